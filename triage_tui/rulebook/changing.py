"""How the active rules of a target change: one pointer, the intent before it moves, and what a crash leaves.

See `generations` for the files. All of this but reading the pointer is done under the lock of the target.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.targets import TARGET_FILE
from triage_tui.runs.events import default_actor
from triage_tui.runs.files import read_bounded, sync_directory, write_atomic
from triage_tui.text import safe_line

_POINTER = "current"
_INTENT = ".intent.json"
_LINK = re.compile(r"generations/(\d{4,9})")
_DIRECTORY = re.compile(r"\d{4,9}")
_MAX_INTENT_BYTES = 4096

Step = Callable[[str], None]


class Intent(msgspec.Struct):
    """What a change is about to do.

    `made` is the number of the generation that it writes, 0 for none; `goal` is the one that it makes active,
    0 for none (None: the one that it writes); `change` is its name in the audit log.
    """

    made: int = 0
    goal: int | None = None
    change: str = ""

    @property
    def target(self) -> int | None:
        """What the pointer holds once the change took place."""
        return (self.made if self.goal is None else self.goal) or None


def pointer(target_dir: Path) -> int | None:
    """Return the number of the active generation, None when no rule is active.

    Raises:
        Conflict: what is there is not ours.
    """
    path = target_dir / _POINTER
    try:
        link = os.readlink(path)
    except FileNotFoundError:
        return None
    except OSError:
        raise Conflict(f"{safe_line(str(path))} is not a link of triage-tui: move it away first") from None
    found = _LINK.fullmatch(link)
    if found is None:
        raise Conflict(f"{safe_line(str(path))} leads to {safe_line(link, 100)}: move it away first")
    return int(found[1])


def directory_of(target_dir: Path, number: int) -> Path:
    """Where a generation lies."""
    return target_dir / "generations" / f"{number:04}"


def unfinished(target_dir: Path, number: int) -> Path:
    """Where a generation is written before it gets its name."""
    return target_dir / "generations" / f".new-{number:04}"


def numbers(target_dir: Path) -> list[int]:
    """Return the numbers of the generations on disk, sorted."""
    try:
        names = os.listdir(target_dir / "generations")
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if _DIRECTORY.fullmatch(name))


def point(target_dir: Path, number: int | None, step: Step) -> None:
    """Move the pointer: a reader sees the old or the new one."""
    path = target_dir / _POINTER
    if number is None:
        path.unlink(missing_ok=True)
    else:
        temporary = target_dir / f".{_POINTER}.new"
        temporary.unlink(missing_ok=True)
        os.symlink(f"generations/{number:04}", temporary)
        step("linked")
        os.replace(temporary, path)
    sync_directory(target_dir)
    step("pointed")


def intend(target_dir: Path, intent: Intent) -> None:
    """Write down what is about to change."""
    (target_dir / "generations").mkdir(exist_ok=True)
    write_atomic(target_dir / _INTENT, msgspec.json.encode(intent))


def read_intent(target_dir: Path) -> Intent | None:
    """Return what is about to change, None when nothing is.

    Raises:
        TriageError: it is damaged.
    """
    path = target_dir / _INTENT
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_bounded(path, _MAX_INTENT_BYTES), type=Intent)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TriageError(f"{safe_line(str(path))} is damaged, remove it: {error}") from None


def clear(target_dir: Path, step: Step) -> None:
    """Remove the intent of a change that took place."""
    (target_dir / _INTENT).unlink()
    sync_directory(target_dir)
    step("cleared")


@contextmanager
def undone_on_failure(target_dir: Path) -> Iterator[None]:
    """When the change fails (the disk is full), leave the old state at once.

    Raises:
        TriageError: it failed; says why.
    """
    try:
        yield
    except (OSError, TriageError) as error:
        # What cannot be removed now is removed by the next change.
        with contextlib.suppress(OSError, TriageError):
            recover_left_over(target_dir)
        if isinstance(error, OSError):
            raise cannot_write(target_dir, error) from error
        raise


def cannot_write(directory: Path, error: OSError) -> TriageError:
    """Return what to say when rules cannot be written."""
    return TriageError(
        f"nothing was changed: {safe_line(str(directory))} cannot be written: {error.strerror or error}"
    )


def recover_left_over(target_dir: Path) -> None:
    """Remove what an interrupted change left over; the pointer alone says whether it took place."""
    for leftover in (f".{_POINTER}.new", *_temporaries(target_dir)):
        (target_dir / leftover).unlink(missing_ok=True)
    intent = read_intent(target_dir)
    if intent is None:
        return
    if pointer(target_dir) != intent.target:
        _withdraw(target_dir, intent)
        if intent.made:
            _remove_tree(unfinished(target_dir, intent.made))
            _remove_tree(directory_of(target_dir, intent.made))
    (target_dir / _INTENT).unlink()
    sync_directory(target_dir)


def _withdraw(target_dir: Path, intent: Intent) -> None:
    """Take back in the audit log what was announced there and did not take place."""
    with audit_log.writing(target_dir.parent) as log:
        if audit_log.announcement(target_dir.parent, intent.change) is not None:
            active = pointer(target_dir) or 0
            entry = audit_log.Entry(
                kind="withdrawn",
                actor=default_actor(),
                says="a program was killed, or the disk was full, before it took place",
                target=target_dir.name,
                before=active,
                after=active,
                change=intent.change,
            )
            log.append(entry)


def _temporaries(target_dir: Path) -> list[str]:
    return [name for name in os.listdir(target_dir) if name.startswith((f".{_INTENT}.", f".{TARGET_FILE}."))]


def _remove_tree(directory: Path) -> None:
    """Remove a generation that never became active, if it is there."""
    if directory.is_dir():
        shutil.rmtree(directory)
