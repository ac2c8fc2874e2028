"""The files of a rule directory that are ours: what is kept of them, and how they are written and removed.

    <rules>/syscall_override_user/openat.lua        published
    <rules>/syscall_override_user/.openat.lua.triage-tui    written and not in force yet
    <home>/published.json                           which files and directories are ours, by SHA-256

What may be there is kept before anything is written, so that at any moment it can be told what is ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import read_bounded, sync_directory, write_all, write_atomic
from triage_tui.runs.record import Record
from triage_tui.sfemu.rule_text import MARK
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.text import safe_line

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


def _staged(rules: RulesDirectory, name: str) -> Path:
    path = rules.root / name
    return path.with_name(f".{path.name}.triage-tui")


def make_ready(rules: RulesDirectory, state: Published, plan: Plan) -> None:
    """Write the texts of a plan beside their places, so that there is room and permission for them.

    Raises:
        TriageError: there is none; nothing is left of it.
    """
    if not plan.texts and not plan.gone:
        return
    try:
        with _in_one_sentence(rules):
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


def carry_out(rules: RulesDirectory, state: Published, plan: Plan) -> None:
    """Give the texts of a plan their names, and remove what is to go and what is not needed any more.

    Raises:
        TriageError: it cannot be written.
    """
    with _in_one_sentence(rules):
        _carry_out(rules, state, plan)


def remove_leftovers(rules: RulesDirectory) -> None:
    """Remove what a killed program left beside our own record."""
    for leftover in rules.home.glob(f".{STATE_FILE}.*.tmp"):
        leftover.unlink(missing_ok=True)


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
def _in_one_sentence(rules: RulesDirectory) -> Iterator[None]:
    """Say in one sentence what cannot be written."""
    try:
        yield
    except OSError as error:
        where = error.filename or error.filename2 or str(rules.root)
        raise TriageError(
            f"nothing was published: {safe_line(str(where))} cannot be written: {error.strerror or error}"
        ) from error
