"""The written policy: which proposals become active without a person, line by line. See docs/retry.md.

One small YAML file, of which exactly one is in force: the one that was named, else the workspace's, else the
user's, else the shipped one. A file can only narrow what the code allows at all: see `policy.choose`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from triage_tui.diagnosis.knowledge_base.documents import BadDocumentError, Document, document_of
from triage_tui.diagnosis.knowledge_base.entries import CAUSES
from triage_tui.errors import TriageError
from triage_tui.proposals.templates import load_library
from triage_tui.resources import config_dir, shipped
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.kinds import Kind, kind_of
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.files import read_bounded, real_path
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

POLICY_FILE = "policy.yaml"
MAX_BYTES = 64 << 10
MAX_LINES = 200

Automatic = Literal["assist", "auto"]
"""The policies that a file is for."""

_Name = Annotated[str, Meta(max_length=80)]
_Pattern = Annotated[str, Meta(min_length=1, max_length=80)]
_Share = Annotated[float, Meta(ge=0, le=1)]


class _Statement(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    name: _Name = ""
    kinds: list[Kind] = []
    templates: list[_Pattern] = []
    causes: list[_Pattern] = []


class Allowed(_Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may become active; see `rules/policy/policy.yaml` for the fields."""

    risks: Annotated[list[Literal["low", "medium"]], Meta(min_length=1)]
    confidence: _Share = 0.0
    filled_in: bool = False
    observed: bool = False


class Never(_Statement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left to a person whatever else is said."""

    risks: list[Literal["low", "medium", "high"]] = []


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    schema: Literal[1]
    assist: Annotated[list[Allowed], Meta(max_length=MAX_LINES)] | None = None
    auto: Annotated[list[Allowed], Meta(max_length=MAX_LINES)] | None = None
    never: Annotated[list[Never], Meta(max_length=MAX_LINES)] = []


class Line(msgspec.Struct, frozen=True):
    """One statement of a policy file, and where it stands."""

    says: Allowed | Never
    file: str
    number: int

    def __str__(self) -> str:
        name = f" ({safe_line(self.says.name, 80)})" if self.says.name else ""
        return f"line {self.number} of {self.file}{name}"

    def is_about(self, run: Run, proposal: Proposal) -> bool:
        """Tell whether a proposal of a run is what this line speaks of."""
        says = self.says
        hypotheses = run.diagnosis.hypotheses if run.diagnosis is not None else []
        about = hypotheses[proposal.hypothesis] if 0 <= proposal.hypothesis < len(hypotheses) else None
        if says.risks and proposal.risk not in says.risks:
            return False
        if says.kinds and not (
            proposal.files and {kind_of(name) for name in proposal.files} <= {*says.kinds}
        ):
            return False
        if says.templates and not _matches(proposal.template, says.templates):
            return False
        if says.causes and not (about is not None and _matches(about.cause, says.causes)):
            return False
        if isinstance(says, Never):
            return True
        sure = about.confidence if about is not None else 0.0
        return sure >= says.confidence and (says.filled_in or not proposal.needs_input)


class WrittenPolicy(msgspec.Struct, frozen=True):
    """A policy file that was read."""

    path: Path
    assist: tuple[Line, ...]
    auto: tuple[Line, ...]
    never: tuple[Line, ...]
    problems: tuple[str, ...] = ()
    """One sentence each: names that nothing has. Such a line allows nothing."""

    def __str__(self) -> str:
        return policy_name(self.path)

    def lines(self, policy: Automatic) -> tuple[Line, ...]:
        """Return what a policy approves by itself."""
        return self.assist if policy == "assist" else self.auto

    def allows(self, policy: Automatic, run: Run, proposal: Proposal) -> Line | None:
        """Return the first line that allows a proposal, None where none does or one forbids it."""
        if self.forbids(run, proposal) is not None:
            return None
        return next((line for line in self.lines(policy) if line.is_about(run, proposal)), None)

    def forbids(self, run: Run, proposal: Proposal) -> Line | None:
        """Return the line that leaves a proposal to a person whatever else is said."""
        return next((line for line in self.never if line.is_about(run, proposal)), None)


def policy_path(workspace: Workspace, named: str | Path | None = None) -> Path:
    """Return the policy file in force: the named one, the workspace's, the user's, or the shipped one."""
    if named is not None:
        return Path(named)
    own = (workspace.rulebook / POLICY_FILE, config_dir() / POLICY_FILE)
    return next((path for path in own if path.exists()), shipped_policy())


def read_policy(path: Path) -> WrittenPolicy:
    """Read a policy file.

    Raises:
        TriageError: it cannot be read or has a mistake; the sentence names file, line and key.
    """
    document, file = _read(path)
    name = policy_name(path)

    def lines(key: str, statements: Iterable[Allowed | Never]) -> tuple[Line, ...]:
        found = enumerate(statements)
        return tuple(Line(one, name, document.line(f"{key}[{index}]")) for index, one in found)

    assist, never = lines("assist", file.assist or []), lines("never", file.never)
    own = lines("auto", file.auto or [])
    auto = own if file.auto is not None or path == shipped_policy() else read_policy(shipped_policy()).auto
    problems = (text for line in (*assist, *own, *never) for text in _unknown(line))
    return WrittenPolicy(path, assist, auto, never, tuple(problems))


def policy_name(path: Path) -> str:
    """Return how a policy file is called in logs."""
    return "the shipped policy" if path == shipped_policy() else safe_line(str(path), 200)


def shipped_policy() -> Path:
    """Return the policy file that ships with the product."""
    return shipped("rules") / "policy" / POLICY_FILE


def _read(path: Path) -> tuple[Document, _File]:
    document = None
    try:
        document = document_of(path, read_bounded(real_path(path), MAX_BYTES, whole=True))
        return document, msgspec.convert(dict(document.data), _File)
    except BadDocumentError as error:
        raise TriageError(f"the policy cannot be used: {safe_line(str(error), 400)}") from None
    except (msgspec.ValidationError, RecursionError) as error:
        what, _, where = str(error).partition(" - at `$")
        key = where.strip("`.")
        line = document.line(key) if document is not None else 0
        place = f"{safe_line(str(path), 200)}:{line}" + (f", {safe_line(key, 60)}" if key else "")
        raise TriageError(f"the policy cannot be used: {place}: {_in_words(what)}") from None


def _in_words(what: str) -> str:
    """Return what is wrong, where msgspec's own words help nobody."""
    if "'high'" in what:
        return "a rule of high risk is only ever approved by a person: leave high out"
    return safe_line(what[:1].lower() + what[1:], 200)


def _unknown(line: Line) -> Iterable[str]:
    templates = load_library().templates.keys() if line.says.templates else ()
    for what, patterns, known in (
        ("template", line.says.templates, templates),
        ("cause", line.says.causes, CAUSES),
    ):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in known):
                shown = safe_line(pattern, 80)
                yield f"{line}: no {what} is called {shown!r}, so that it is about nothing"


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
