"""What SFEmu is answered about one of its stops: our diagnosis, and the rule that the written policy allows.

SFEmu makes what it is given active at once, before anybody looks. So it is given no more than what the policy
in force lets act without a person (docs/retry.md), and of that what can run there; the rest stays a proposal
of the run, for review.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry.rounds.policy import choose
from triage_tui.retry.rounds.written_policy import Automatic, policy_path, read_policy
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches
from triage_tui.rulebook.kinds import PLACE
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.files import read_bounded
from triage_tui.runs.form import MAX_SNAPSHOT_BYTES, SNAPSHOT_FILE
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.reader import Run
from triage_tui.sfemu import adopting, rules_dir
from triage_tui.sfemu.answering import Answer, Refused
from triage_tui.sfemu.rule_text import MARK, NotRunnable, rule_text, what_differs
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.text import safe_line

MODEL_SETTING = "SFEMU_TRIAGE_MODEL"
"""In `config/env`: whether the model that is set up here is asked too. Which one, is never read there."""
POLICY_SETTING = "SFEMU_TRIAGE_POLICY"
"""There too: which list of the written policy holds, `auto` (the usual) or `assist`."""
OVERRIDE = "syscall_override"
"""Where SFEmu puts what a tool gives it."""
_MAX_FILES = 2000
_MAX_COPY = 64 << 20

Tell = Callable[[str], None]


class Unreadable(TriageError):
    """The snapshot is none, or cannot be read."""


class NoAnswer(TriageError):
    """Nothing can be said about the stop."""


def answer(snapshot: Path, env: Path, *, tell: Tell, cancel: threading.Event) -> Answer:
    """Diagnose the run that `snapshot` is of, and return what SFEmu is told.

    In a rule directory the run is taken over into our workspace there, for review. `tell` gets a line of
    progress now and then; `cancel` ends the work of a model.

    Raises:
        Unreadable: the snapshot cannot be read.
        NoAnswer: the diagnosis knows no cause.
        TriageError: our workspace cannot be written, or the policy in force cannot be used.
    """
    snapshot = snapshot.absolute()
    _check(snapshot)
    settings = rules_dir.read_settings(env)
    place = snapshot.parent
    found = rules_dir.find(place.parents[1]) if place.parent.name == "ai_runs" else None
    if found is not None and is_run_id(place.name):
        return _answered(found, place, settings, tell, cancel)
    # A copy from elsewhere: nothing is kept of it.
    with tempfile.TemporaryDirectory(prefix="triage-tui-sfemu-") as made:
        run_dir = _copied(snapshot, Path(made))
        alone = RulesDirectory(Path(made), settings)
        return _answered(alone, run_dir, settings, tell, cancel)


def _check(snapshot: Path) -> None:
    try:
        value = msgspec.json.decode(read_bounded(snapshot, MAX_SNAPSHOT_BYTES, whole=True))
    except (TriageError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        why = safe_line(str(error), 200)
        raise Unreadable(f"{safe_line(str(snapshot), 200)} cannot be read: {why}") from error
    if not isinstance(value, dict) or "trigger" not in value:
        raise Unreadable(f"{safe_line(str(snapshot), 200)} is no snapshot of SFEmu: it has no trigger")


def _copied(snapshot: Path, root: Path) -> Path:
    """Copy the regular files of a run, as far as they are not too many, into a rule directory of its own."""
    source = snapshot.parent
    name = source.name if is_run_id(source.name) else "20000101_000000_00000001"
    run_dir = root / "cache" / "ai_runs" / name
    run_dir.mkdir(parents=True)
    shutil.copyfile(snapshot, run_dir / SNAPSHOT_FILE, follow_symlinks=False)
    room, files = _MAX_COPY, 0
    for place in ("", "memory", "pseudocode"):
        (run_dir / place).mkdir(exist_ok=True)
        for entry in sorted(_files_in(source / place), key=lambda one: one.name):
            size = entry.stat(follow_symlinks=False).st_size
            files += 1
            if size <= room and files <= _MAX_FILES and not (run_dir / place / entry.name).exists():
                room -= size
                shutil.copyfile(entry.path, run_dir / place / entry.name, follow_symlinks=False)
    return run_dir


def _files_in(directory: Path) -> Iterable[os.DirEntry[str]]:
    if directory.is_symlink() or not directory.is_dir():
        return []
    with os.scandir(directory) as entries:
        return [one for one in entries if one.is_file(follow_symlinks=False)]


def _answered(
    rules: RulesDirectory,
    run_dir: Path,
    settings: Mapping[str, str],
    tell: Tell,
    cancel: threading.Event,
) -> Answer:
    workspace = Workspace(rules_dir.made_home(rules))
    taken = adopting.adopt(rules, run_dir)
    if rules_dir.is_on(settings.get(MODEL_SETTING), False):
        _ask_model(workspace, taken.name, tell, cancel)
    run = workspace.load(taken.name)
    if run.diagnosis is None or not run.diagnosis.hypotheses:
        raise NoAnswer(f"nothing is known about the stop of run {run.run_id}")
    return _of(workspace, run, settings)


def _ask_model(workspace: Workspace, run_id: str, tell: Tell, cancel: threading.Event) -> None:
    """Ask the model that is set up; without one, or where it fails, our own diagnosis is the answer."""
    from triage_tui.retry.inspecting.asking import ask_model

    try:
        tell(f"model: {ask_model(workspace.root, run_id, cancel, tell)}")
    except TriageError as error:
        tell(f"{error}; the answer is our own diagnosis")


def _of(workspace: Workspace, run: Run, settings: Mapping[str, str]) -> Answer:
    """Return the rules for a run, and why they are no others."""
    assert run.diagnosis is not None
    written = read_policy(policy_path(workspace))
    which: Automatic = "assist" if settings.get(POLICY_SETTING) == "assist" else "auto"
    fix: dict[str, bytes] = {}
    refused: list[Refused] = []
    tried: set[str] = set()
    told: list[str] = []
    while not fix and (choice := choose(run, tried, written, which)) is not None:
        proposal = choice.proposal
        tried.add(proposal.id)
        try:
            fix = _texts(run, proposal, f"allowed by {choice.line}")
        except TriageError as error:
            refused += [Refused(file, safe_line(str(error), 400)) for file in proposal.files]
            continue
        told += _told(run, proposal, f"allowed by {choice.line}")
    observe: dict[str, bytes] = {}
    for proposal in run.diagnosis.proposals:
        if proposal.observe_only and proposal.source == "kb":
            try:
                texts = _texts(run, proposal, "it only watches")
            except TriageError as error:
                refused += [Refused(file, safe_line(str(error), 400)) for file in proposal.files]
                continue
            observe = {**texts, **observe}
        elif proposal.id not in tried and proposal.source == "kb":
            why = (
                _why_not(run, proposal)
                or f"{proposal.needs_input or _BY_A_PERSON}: review it with triage-tui"
            )
            refused += [Refused(file, safe_line(why, 400)) for file in proposal.files]
    return Answer(_explanation(run, told, refused), fix, observe, tuple(refused))


_BY_A_PERSON = "the policy leaves it to a person"


def _why_not(run: Run, proposal: Proposal) -> str:
    """Return why a proposal cannot run on SFEmu, "" where it can."""
    try:
        _texts(run, proposal, "")
    except TriageError as error:
        return str(error)
    return ""


def _texts(run: Run, proposal: Proposal, why: str) -> dict[str, bytes]:
    """Return the files of a proposal as SFEmu can load them, by syscall.

    Raises:
        NotRunnable: one of them cannot run there.
        TriageError: one cannot be read.
    """
    files: dict[str, dict[str, bytes]] = {}
    for name in proposal.files:
        place = PLACE.search(name)
        if place is None or place["kind"] != "syscall":
            raise NotRunnable(
                f"{safe_line(name, 120)} is no rule for a call, and SFEmu has no others: it acts on"
                " triage-tui's own engine"
            )
        files.setdefault(place["syscall"], {})[place[0]] = patches.read_rule(run.dir, name)
    arch = run.snapshot.target.arch
    head = f"-- triage-tui on run {run.run_id}: {safe_line(proposal.title, 200)}\n-- {safe_line(why, 200)}\n"
    return {
        syscall: head.encode() + _without_mark(rule_text(syscall, rules, arch, OVERRIDE))
        for syscall, rules in files.items()
    }


def _without_mark(text: bytes) -> bytes:
    """Return a published text without the lines that say where it is published: SFEmu keeps it by itself."""
    return text.split(b"\n", 2)[2] if text.startswith(MARK) else text


def _told(run: Run, proposal: Proposal, why: str) -> list[str]:
    lines = [f"- {proposal.title} (risk {proposal.risk}, {why})", f"  undone by: {proposal.inverse}"]
    for name in proposal.files:
        lines += [f"  note: {one}" for one in what_differs(patches.read_rule(run.dir, name))]
    return lines


def _explanation(run: Run, told: list[str], refused: list[Refused]) -> str:
    """Return the diagnosis as Markdown, and what was made of it."""
    text = run.text_file(run.snapshot.outputs.diagnosis_md).rstrip()
    lines = ["", "", "## What SFEmu is given", "", *(told or ["No rule: none may act without a person."])]
    if refused:
        lines += ["", "## What is left for review", ""]
        lines += [f"- {one.file}: {one.why}" for one in refused]
    return text + "\n".join(safe_line(line, 600) for line in lines) + "\n"
