"""The active rules of a rule directory, published as files that SFEmu loads.

The truth is the active generation of our rulebook; what is published follows from it:

    <rules>/syscall_override_user/openat.lua        all active rules for openat, see `rule_text`
    <rules>/syscall_override_user/.openat.lua.triage-tui    written and not in force yet
    <home>/published.json                           which files and directories are ours, by SHA-256

A change of the active generation is made ready before it takes place, so that a full disk, a directory that
cannot be written or a file of a person refuses it with nothing changed; its files get their names after it.
What a killed program left in between is settled by `settle`. A file that is not ours is never touched, and
neither is one of ours that somebody changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook import generations, layers, targets
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.kinds import PLACE
from triage_tui.rulebook.lock import locked
from triage_tui.rulebook.places import target_directory
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import read_bounded, sync_directory, write_all, write_atomic
from triage_tui.runs.record import Record
from triage_tui.sfemu import rules_dir, target
from triage_tui.sfemu.rule_text import MARK, rule_text
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.text import number_of, safe_line

STATE_FILE = "published.json"
MAX_STATE_BYTES = 4 << 20
MAX_FILE_BYTES = 64 << 20
"""Of a published file: of all rules of one syscall."""


class Published(Record):
    """What of the rule directory is ours.

    `files` maps paths below it to the SHA-256 of what was published there: several while it changes.
    `directories` are those that were made for them.
    """

    files: dict[str, list[str]] = {}
    directories: list[str] = []


class Plan(msgspec.Struct, frozen=True):
    """What is to change: texts by their paths below the rule directory, and files that go."""

    texts: dict[str, bytes] = {}
    gone: list[str] = []
    problems: list[TriageError] = []
    """Why the other files stay as they are."""


class Publication:
    """The publishing of one change of the active generation; does nothing outside of a rule directory."""

    def __init__(self, root: Path) -> None:
        """`root` is the workspace in which the change is made."""
        self._rules = rules_dir.around(root)
        self._made_ready = False

    def make_ready(self, target_dir: Path, generation: Generation | None) -> None:
        """Write what a generation (None: no rule) publishes, without putting it in force.

        Raises:
            Conflict: a file of a person is in the way.
            TriageError: it cannot be written, or a rule cannot run on SFEmu; nothing was changed.
        """
        rules = self._rules
        if rules is None or target_dir != _target_dir(rules):
            return
        with locked(rules.home):
            state = read_state(rules)
            plan = _planned(rules, state, generation)
            if plan.problems:
                raise plan.problems[0]
            _make_ready(rules, state, plan)
        self._made_ready = True

    def put_in_force(self) -> str:
        """Let the files follow the active generation; say what is published, "" for no change.

        Raises:
            TriageError: they do not follow it, and why not.
        """
        if self._rules is None or not self._made_ready:
            return ""
        plan = settle(self._rules)
        if plan.problems:
            raise plan.problems[0]
        return _in_words(plan)

    def give_up(self) -> None:
        """Take away what was made ready for a change that did not take place."""
        if self._rules is not None and self._made_ready:
            settle(self._rules)


def settle_home(root: Path) -> None:
    """Let what is published follow the active generation, where `root` is the workspace of a rule directory.

    Raises:
        TriageError: it cannot, and why not.
    """
    rules = rules_dir.around(root)
    if rules is not None:
        settle(rules)


def settle(rules: RulesDirectory) -> Plan:
    """Let what is published follow the active generation; return what was changed for that.

    A file that somebody else's is in the way of stays as it is, and is among the problems.

    Raises:
        TriageError: it cannot be read or written.
    """
    with locked(rules.home):
        for leftover in rules.home.glob(f".{STATE_FILE}.*.tmp"):
            leftover.unlink(missing_ok=True)
        state = read_state(rules)
        active = generations.current(_target_dir(rules))
        if active is None and state == Published():
            return Plan()
        plan = _planned(rules, state, active)
        with _told(rules):
            _carry_out(rules, state, plan)
        return plan


def read_state(rules: RulesDirectory) -> Published:
    """Return what of a rule directory is ours.

    Raises:
        TriageError: the file that says so is damaged.
    """
    path = rules.home / STATE_FILE
    if not path.exists() and not path.is_symlink():
        return Published()
    try:
        found = msgspec.json.decode(read_bounded(path, MAX_STATE_BYTES, whole=True), type=Published)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise TriageError(
            f"{safe_line(str(path))} is damaged: remove the files that begin with {MARK.decode()!r} from the"
            " override directories, and then this file; `triage-tui rules publish` publishes them again"
        ) from None
    for name in (*found.files, *found.directories):
        parts = Path(name).parts
        if name.startswith("/") or ".." in parts or len(parts) > 8 or "\0" in name:
            raise TriageError(f"{safe_line(str(path))} names {safe_line(name, 80)!r}: remove that by hand")
    return found


def wanted(rules: RulesDirectory, generation: Generation | None) -> dict[str, bytes]:
    """Return the files that a generation publishes, by their paths below the rule directory.

    Raises:
        TriageError: a rule cannot run on SFEmu, or the generation was changed after it was made.
    """
    if generation is None:
        return {}
    described = targets.description(_target_dir(rules))
    by_call: dict[str, dict[str, bytes]] = {}
    for rule in layers.rules_of("target", generation):
        place = PLACE.fullmatch(rule.name)
        by_call.setdefault(place["syscall"] if place else "", {})[rule.name] = rule.source
    here = place_of(rules)
    directory = str(here.relative_to(rules.root))
    arch = described.arch if described is not None else ""
    return {
        f"{directory}/{call}.lua": rule_text(call, texts, arch, directory) for call, texts in by_call.items()
    }


def place_of(rules: RulesDirectory) -> Path:
    """Return the directory to publish in: the first that SFEmu looks into below the rule directory.

    One outside of it may be that of other programs as well.
    """
    return next(path for path in rules.lookup_dirs if path.is_relative_to(rules.root))


def digest(data: bytes) -> str:
    """Return the SHA-256 by which a published file is known."""
    return hashlib.sha256(data).hexdigest()


def on_disk(rules: RulesDirectory, name: str) -> bytes | None:
    """Return what is at a path below the rule directory, None where nothing is.

    Raises:
        TriageError: it is no regular file.
    """
    path = rules.root / name
    if path.is_symlink():
        raise TriageError(f"{safe_line(str(path))} is a link, which is not ours: move it away first")
    return read_bounded(path, MAX_FILE_BYTES, whole=True) if path.exists() else None


# What is to change


def _target_dir(rules: RulesDirectory) -> Path:
    return target_directory(rules.home / "rulebook", target.target_id(rules))


def _planned(rules: RulesDirectory, state: Published, generation: Generation | None) -> Plan:
    plan = Plan()
    try:
        texts = wanted(rules, generation)
    except TriageError as error:
        return Plan(problems=[error])
    for name in sorted(texts.keys() | state.files.keys()):
        text = texts.get(name)
        try:
            if text is not None:
                _check_way(rules, name)
            there = on_disk(rules, name)
            if there not in (None, text):
                _check_ours(rules, state, name, there or b"")
        except TriageError as error:
            plan.problems.append(error)
            continue
        if text is None and there is not None:
            plan.gone.append(name)
        elif text is not None and there != text:
            plan.texts[name] = text
    return plan


def _check_way(rules: RulesDirectory, name: str) -> None:
    """Refuse where SFEmu would find another file first, or a link leads out of the rule directory."""
    path = rules.root / name
    directory = path.parent
    if os.path.realpath(directory) != os.path.join(os.path.realpath(rules.root), os.path.dirname(name)):
        raise TriageError(
            f"{safe_line(str(directory))} is reached by a link, so nothing was published there: put a"
            " directory in its place"
        )
    for before in rules.lookup_dirs:
        if before == directory:
            return
        if os.path.lexists(before / path.name):
            raise Conflict(
                f"{safe_line(str(before / path.name))} would hide {safe_line(name)}, so nothing was changed:"
                " move it away first"
            )


def _check_ours(rules: RulesDirectory, state: Published, name: str, there: bytes) -> None:
    if digest(there) in state.files.get(name, []):
        return
    if there.startswith(MARK):
        raise Conflict(
            f"{safe_line(name)} was changed by hand since it was published, so nothing was changed: move it"
            " away, or bring its change into the rule with `triage-tui edit` and remove it"
        )
    path = rules.root / name
    behind = rules.lookup_dirs[rules.lookup_dirs.index(path.parent) + 1 :]
    free = next((one for one in behind if not os.path.lexists(one / path.name)), None)
    where = f"move it to {_below(rules, free / path.name)}, where the published rule asks it" if free else ""
    raise Conflict(
        f"{safe_line(name)} is not ours and is never overwritten, so nothing was changed:"
        f" {where or 'rename it first, or put the rule into it by hand'}"
    )


def _below(rules: RulesDirectory, path: Path) -> str:
    shown = path.relative_to(rules.root) if path.is_relative_to(rules.root) else path
    return safe_line(str(shown))


def _in_words(plan: Plan) -> str:
    texts, gone = sorted(plan.texts), sorted(plan.gone)
    told = [f"published as {_listed(texts)}"] if texts else []
    if gone:
        told.append(f"{_listed(gone)} taken away")
    return safe_line(", ".join(told), 400)


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {number_of(len(names) - 1, 'more file')}"


# How it changes


def _staged(rules: RulesDirectory, name: str) -> Path:
    path = rules.root / name
    return path.with_name(f".{path.name}.triage-tui")


def _make_ready(rules: RulesDirectory, state: Published, plan: Plan) -> None:
    """Write the texts beside their places, so that there is room and permission for them."""
    if not plan.texts and not plan.gone:
        return
    try:
        with _told(rules):
            state = _with(rules, state, plan)
            _keep(rules, state)
            for name, text in plan.texts.items():
                _stage(rules, name, text)
            for name in plan.gone:
                if not os.access((rules.root / name).parent, os.W_OK | os.X_OK):
                    raise PermissionError(13, os.strerror(13), str((rules.root / name).parent))
    except (TriageError, OSError):
        with contextlib.suppress(OSError, TriageError):
            _clear(rules, state)
        raise


def _with(rules: RulesDirectory, state: Published, plan: Plan) -> Published:
    """Return what is ours while a plan is carried out: the old texts and the new."""
    files = {name: list(known) for name, known in state.files.items()}
    made = list(state.directories)
    for name, text in plan.texts.items():
        files[name] = list(dict.fromkeys([*files.get(name, []), digest(text)]))
        directory = os.path.dirname(name)
        while directory and directory not in made and not (rules.root / directory).exists():
            made.append(directory)
            directory = os.path.dirname(directory)
    return Published(files=files, directories=made)


def _stage(rules: RulesDirectory, name: str, text: bytes) -> Path:
    staged = _staged(rules, name)
    staged.parent.mkdir(parents=True, exist_ok=True)
    staged.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(staged, flags, 0o644)
    try:
        write_all(handle, text)
        os.fsync(handle)
    finally:
        os.close(handle)
    return staged


def _carry_out(rules: RulesDirectory, state: Published, plan: Plan) -> None:
    state = _with(rules, state, plan)
    if plan.texts or plan.gone:
        _keep(rules, state)
    for name, text in plan.texts.items():
        staged = _staged(rules, name)
        ready = None
        with contextlib.suppress(TriageError):
            ready = read_bounded(staged, MAX_FILE_BYTES)
        if ready != text:
            staged = _stage(rules, name, text)
        os.rename(staged, rules.root / name)
        sync_directory(staged.parent)
    for name in plan.gone:
        (rules.root / name).unlink(missing_ok=True)
        sync_directory((rules.root / name).parent)
    _clear(rules, state)


def _clear(rules: RulesDirectory, state: Published) -> None:
    """Remove what was made ready and is not wanted, and directories that are not needed any more."""
    files: dict[str, list[str]] = {}
    for name, known in state.files.items():
        _staged(rules, name).unlink(missing_ok=True)
        there = on_disk(rules, name)
        if there is not None:
            files[name] = [digest(there)] if digest(there) in known else known
    directories = []
    # Those below others first.
    for name in sorted(state.directories, key=len, reverse=True):
        try:
            (rules.root / name).rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            # A file is in it, published or a person's.
            directories.append(name)
    after = Published(files=files, directories=directories)
    if after != read_state(rules):
        _keep(rules, after)


def _keep(rules: RulesDirectory, state: Published) -> None:
    path = rules.home / STATE_FILE
    if state == Published():
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    else:
        write_atomic(path, encode_line(state) + b"\n")


@contextmanager
def _told(rules: RulesDirectory) -> Iterator[None]:
    """Say in one sentence what cannot be written."""
    try:
        yield
    except OSError as error:
        where = error.filename or error.filename2 or str(rules.root)
        raise TriageError(
            f"nothing was published: {safe_line(str(where))} cannot be written: {error.strerror or error}"
        ) from error
