"""Ask a tool that was written for SFEmu about a run of ours: the rules that it writes become proposals.

SFEmu calls such a tool with a snapshot, a directory for rules and the name of its settings, through the shell
(its setting SFEMU_AI_CMD). Here nothing is applied: what the tool wrote is read with care, copied into the
run, and a person reviews it like any other proposal.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import Conflict, Stopped, TriageError
from triage_tui.retry.rules.proposing import propose
from triage_tui.retry.settling import settle
from triage_tui.retry.sharing import foreign_tool
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.kinds import SYSCALL_NAME
from triage_tui.rulebook.rulefile import MAX_RULE_BYTES
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction
from triage_tui.sfemu.tool_snapshot import ToolRun, write_tool_run
from triage_tui.text import number_of, safe_line

PLACES = (("fix", "fix/syscall"), ("fix", "syscall"), ("observe", "observe/syscall"))
"""Where a tool puts rules, in the order in which SFEmu takes them; the second one is the older form."""
MAX_FILES = 64
MAX_EXPLANATION = 64 << 10
MEANINGS = {
    2: "it was called otherwise than it wants to be",
    3: "it cannot read the snapshot",
    4: "its model did not answer (where that is, and its key, --env tells it)",
    6: "it could not write its rules",
    126: "the shell may not execute it",
    127: "the shell does not find it",
}
"""What the exit status of SFEmu's own tool, and of the shell, means."""

_POLL_S = 0.1
_RULE = re.compile(rf"({SYSCALL_NAME.pattern})\.lua\Z")


class Written(msgspec.Struct, frozen=True):
    """A rule that a tool wrote."""

    purpose: str
    """"fix" or "observe"."""
    syscall: str
    source: bytes

    @property
    def sha256(self) -> str:
        """Digest of the text."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def file(self) -> str:
        """Name below `rules_patch/` under which it is proposed: another text is another rule."""
        return f"{self.purpose}/syscall/{self.syscall}@tool-{self.sha256[:12]}.lua"


def ask_tool(
    workspace: Workspace,
    run_id: str,
    command: str,
    *,
    seconds: float,
    cancel: threading.Event,
    tell: Callable[[str], None],
    actor: str = "",
    keep_secrets: bool = False,
    env: Path | None = None,
) -> str:
    """Have `command` (a shell command, as in SFEMU_AI_CMD) look at a run; return one sentence.

    The tool has `seconds`; `cancel` ends it. `tell` gets what it prints. `env` is the file of its settings,
    which it reads as it is; without it the tool is given an empty one.

    Raises:
        Stopped: it was cancelled.
        TriageError: it failed, took too long, or wrote no rule.
    """
    settle(workspace.root)
    run = workspace.load(run_id)
    with tempfile.TemporaryDirectory(prefix="triage-tui-tool-") as place:
        try:
            asked = write_tool_run(run, Path(place), Redaction.of(run, off=keep_secrets))
        except OSError as error:
            raise TriageError(f"the run cannot be written for the tool: {error.strerror}") from error
        if env is not None:
            asked = msgspec.structs.replace(asked, env=env)
        _call(command, asked, seconds, cancel, tell)
        found, left_out = read_written(asked.patch_dir)
        said = _explanation(asked.patch_dir)
    if not found and not left_out:
        why = f": {safe_line(said, 200)}" if said else ""
        raise TriageError(f"the tool wrote no rule for run {run.run_id}{why}")
    if not found:
        raise TriageError(f"the tool wrote no rule for run {run.run_id} that can be taken:{_of(left_out)}")
    told = _propose(workspace, run, found, said, _name_of(command), actor)
    return f"{told}; {number_of(len(left_out), 'file')} left out:{_of(left_out)}" if left_out else told


def _of(left_out: list[str]) -> str:
    more = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
    return f" {left_out[0]}{more}"


def read_written(patch_dir: Path) -> tuple[list[Written], list[str]]:
    """Return the rules in a `rules_patch/` of SFEmu, and what is left out of it, and why."""
    found: list[Written] = []
    left_out: list[str] = []
    taken: set[tuple[str, str]] = set()
    for purpose, place in PLACES:
        try:
            names = sorted(os.listdir(inside(patch_dir, place)))
        except FileNotFoundError:
            continue
        except (OSError, TriageError):
            left_out.append(f"{place} is no directory of its own")
            continue
        for name in names:
            shown = f"{place}/{safe_line(name, 60)}"
            syscall = name.removesuffix(".lua")
            if (purpose, syscall) in taken:
                continue
            if not _RULE.match(name):
                left_out.append(f"{shown} is not named as a syscall")
            elif len(found) == MAX_FILES:
                left_out.append(f"{shown}: there are {MAX_FILES} already")
            else:
                try:
                    source = read_bounded(patch_dir / place / name, MAX_RULE_BYTES, whole=True)
                except TriageError:
                    left_out.append(f"{shown} is no file of at most {MAX_RULE_BYTES >> 10} KiB")
                    continue
                taken.add((purpose, syscall))
                found.append(Written(purpose, syscall, source))
    return found, left_out


def _name_of(command: str) -> str:
    """Return what a tool is called: its program, or the script that an interpreter runs."""
    words = [os.path.basename(word) for word in command.replace("'", " ").replace('"', " ").split()]
    named = (word for word in words if not word.startswith("-") and not _INTERPRETER.match(word))
    return safe_line(next(named, command), 60)


_INTERPRETER = re.compile(r"(env|sh|bash|dash|node|perl|lua[0-9.]*|python[0-9.]*)\Z")


def _explanation(patch_dir: Path) -> str:
    try:
        raw = read_bounded(patch_dir / "ai_explain.md", MAX_EXPLANATION)
    except TriageError:
        return ""
    return " ".join(raw.decode("utf-8", "backslashreplace").split())


def _call(
    command: str, asked: ToolRun, seconds: float, cancel: threading.Event, tell: Callable[[str], None]
) -> None:
    paths = [shlex.quote(str(path)) for path in (asked.snapshot, asked.patch_dir, asked.env)]
    try:
        process = foreign_tool.start(" ".join([command, *paths]))
    except OSError as error:
        raise TriageError(f"the tool cannot be started: {error.strerror}") from error
    reader = threading.Thread(target=_tell_lines, args=(process, tell), daemon=True)
    reader.start()
    waited = 0.0
    try:
        while process.poll() is None:
            if cancel.wait(_POLL_S):
                raise Stopped("the tool was stopped, nothing was proposed")
            waited += _POLL_S
            if waited >= seconds:
                raise TriageError(
                    f"the tool did not end within {seconds:g} seconds, so it was stopped and nothing proposed"
                )
    finally:
        foreign_tool.end(process)
        reader.join(1)
    if process.returncode != 0:
        meaning = MEANINGS.get(process.returncode, "")
        raise TriageError(f"the tool ended with {process.returncode}{f': {meaning}' if meaning else ''}")


def _tell_lines(process: subprocess.Popen[bytes], tell: Callable[[str], None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        while line := process.stdout.readline(4096):
            if shown := safe_line(line.decode("utf-8", "backslashreplace").strip(), 400):
                tell(shown)


def _propose(workspace: Workspace, run: Run, found: list[Written], said: str, tool: str, actor: str) -> str:
    run = workspace.load(run.run_id)
    there = set(run.patch_files())
    if all(one.file in there for one in found):
        raise Conflict(f"run {run.run_id} proposes what the tool wrote already")
    diagnosis = run.diagnosis or diagnose(run)
    proposals = [_proposal(one, said, tool) for one in found]
    known = {one.id for one in proposals}
    diagnosis.proposals = [one for one in diagnosis.proposals if one.id not in known]
    texts = {one.file: one.source for one in found}
    propose(workspace, run, diagnosis, proposals, texts, by=f"tool {tool}", actor=actor)
    return f"{number_of(len(found), 'rule')} of {tool} proposed on run {run.run_id}: review before approving"


def _proposal(one: Written, said: str, tool: str) -> Proposal:
    watches = one.purpose == "observe"
    return Proposal(
        id=f"tool-{one.syscall}-{one.sha256[:12]}",
        hypothesis=0,
        template="tool",
        title=f"{one.syscall}, written by {tool}",
        intent=safe_line(said, 400) or f"{tool} does not say",
        effect=f"watches {one.syscall}"
        if watches
        else f"may answer any {one.syscall} in the program's place",
        risk="high",
        risk_text=f"its text is {tool}'s own, and nothing here vouches for it: read it",
        inverse="roll back",
        files=[one.file],
        observe_only=watches,
        source="sfemu",
    )
