"""What a target's directory in the rulebook is about, in words: `rulebook/<target id>/target.json`.

The id of a target changes with the bytes of its program. This says which program it was, so that the rules of
the one that stood in the same place before are found again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook.lock import locked
from triage_tui.rulebook.places import target_directory
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import read_bounded, refuse_link, write_atomic
from triage_tui.runs.model import Target
from triage_tui.runs.record import Record
from triage_tui.text import safe_line

TARGET_FILE = "target.json"
_MAX_BYTES = 4 << 20


class Described(Record):
    """Which program a target is. `program` is a guest path, `rootfs` a host path or None."""

    program: str
    argv: list[str]
    arch: str = ""
    rootfs: str | None = None
    program_sha256: str = ""

    @property
    def place(self) -> tuple[str | None, str, tuple[str, ...]]:
        """What stays the same when another build of the program is put in its place."""
        return self.rootfs, self.program, tuple(self.argv)

    @property
    def name(self) -> str:
        """What a person calls it, safe to show."""
        return safe_line(" ".join(self.argv) or self.program, 60)


def described(target: Target) -> Described:
    """Return what is to be written of the target of a run."""
    return Described(
        program=target.program,
        argv=list(target.argv),
        arch=target.arch,
        rootfs=target.rootfs,
        program_sha256=target.program_sha256,
    )


def describe(target_dir: Path, target: Target) -> None:
    """Write which program a target is, where that is not written yet.

    Raises:
        Conflict: somebody is changing the rules of the target.
        TriageError: it cannot be written.
    """
    path = target_dir / TARGET_FILE
    data = encode_line(described(target)) + b"\n"
    refuse_link(target_dir, path)
    with contextlib.suppress(TriageError):
        if read_bounded(path, _MAX_BYTES, whole=True) == data:
            return
    try:
        target_dir.mkdir(parents=True, exist_ok=True)
        # Under the lock of a change: what a killed program leaves of it is removed by the next change.
        with locked(target_dir):
            write_atomic(path, data)
    except OSError as error:
        raise TriageError(
            f"nothing was changed: {safe_line(str(path))} cannot be written: {error.strerror or error}"
        ) from error


def description(target_dir: Path) -> Described | None:
    """Return which program a target is, None where that was not written or cannot be read."""
    try:
        return msgspec.json.decode(
            read_bounded(target_dir / TARGET_FILE, _MAX_BYTES, whole=True), type=Described
        )
    except (TriageError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def target_dirs(rulebook: Path) -> Iterator[Path]:
    """Yield the directories of the targets of a rulebook, sorted; links are left out."""
    try:
        found = sorted(rulebook.iterdir())
    except OSError:
        return
    for path in found:
        if path.name[0] != "." and not path.is_symlink() and (path / "generations").is_dir():
            yield path


def name_of(rulebook: Path, target_id: str) -> str:
    """Return what a person calls a target: its command line, where that is known, and its id."""
    found = description(target_directory(rulebook, target_id))
    shown = safe_line(target_id, 16)
    return f"{found.name} ({shown})" if found is not None else shown
