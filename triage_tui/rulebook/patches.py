"""The rule files that a run proposes: `rules_patch/{fix,observe}/KIND/*.lua` of its directory (see `kinds`).

Run directories may come from elsewhere: names are matched against one strict form, links that lead out are
refused, and sizes are bounded. `syscall/*.lua` directly below `rules_patch/` is SFEmu's older form of a fix.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook.kinds import KINDS, PLACE
from triage_tui.rulebook.rulefile import MAX_RULE_BYTES, parse
from triage_tui.runs.files import inside, read_bounded, write_atomic
from triage_tui.text import safe_line

PATCH_DIR = "rules_patch"
MAX_RULES = 256
_PLACES = (*(f"{purpose}/{kind}" for purpose in ("fix", "observe") for kind in KINDS), "syscall")
_NAME = re.compile(rf"(?:(?:fix|observe)/)?{PLACE.pattern}")


def list_rules(run_dir: Path) -> list[str]:
    """Return the names of the proposed rule files, below `rules_patch/`, sorted; at most `MAX_RULES`.

    Files whose names are not those of rules are left out.
    """
    names = []
    for place in _PLACES:
        try:
            directory = inside(run_dir, f"{PATCH_DIR}/{place}")
            found = sorted(os.listdir(directory))
        except (OSError, TriageError):
            continue
        names += [f"{place}/{name}" for name in found if _NAME.fullmatch(f"{place}/{name}")]
    return sorted(names)[:MAX_RULES]


def read_rule(run_dir: Path, name: str) -> bytes:
    """Return the text of one proposed rule file.

    Raises:
        TriageError: no rule file name, outside of the run, not a regular file, or too long.
    """
    return read_bounded(_path(run_dir, name), MAX_RULE_BYTES, whole=True)


def write_rule(run_dir: Path, name: str, data: bytes) -> None:
    """Replace or create one proposed rule file, atomically, inside the run only.

    Raises:
        TriageError: no rule file name, outside of the run, too long, or it cannot be written.
    """
    if len(data) > MAX_RULE_BYTES:
        raise TriageError(f"a rule of {len(data)} bytes is longer than the {MAX_RULE_BYTES} allowed")
    path = _path(run_dir, name)
    try:
        write_atomic(path, data)
    except OSError as error:
        shown = safe_line(str(path))
        raise TriageError(f"{shown} cannot be written: {error.strerror or error}") from error


def remove_rule(run_dir: Path, name: str) -> None:
    """Remove one proposed rule file, if it is there.

    Raises:
        TriageError: no rule file name, or outside of the run.
    """
    _path(run_dir, name).unlink(missing_ok=True)


@contextmanager
def replaced(run_dir: Path, name: str, data: bytes) -> Iterator[None]:
    """Replace a rule file while the block runs; when that fails, the old one is back, which needs no room.

    Raises:
        TriageError: see `write_rule`.
    """
    path = _path(run_dir, name)
    old = path.with_name(f".{path.name}.old.tmp")
    with contextlib.suppress(OSError):
        old.unlink(missing_ok=True)
        os.link(path, old, follow_symlinks=False)
    try:
        write_rule(run_dir, name, data)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.replace(old, path)
        raise
    finally:
        old.unlink(missing_ok=True)


def remove_leftovers(run_dir: Path, name: str) -> None:
    """Remove what a killed program left beside a rule file that it was writing.

    Raises:
        TriageError: no rule file name, or outside of the run.
    """
    path = _path(run_dir, name)
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink(missing_ok=True)


def active_name(name: str, source: bytes) -> str:
    """Return the path in a generation for a proposed rule file: "syscall/openat@fix-1.lua".

    Raises:
        TriageError: no rule file name, or a broken header.
    """
    found = _matched(name)
    return f"{found['kind']}/{found['syscall']}@{parse(source).header.id}.lua"


def _matched(name: str) -> re.Match[str]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise TriageError(
            f"{safe_line(name, 100)!r} is no rule file of a run"
            " (fix/syscall/NAME.lua or observe/syscall/NAME.lua; also plugin/ and start/)"
        )
    return found


def _path(run_dir: Path, name: str) -> Path:
    _matched(name)
    return inside(run_dir, f"{PATCH_DIR}/{name}")
