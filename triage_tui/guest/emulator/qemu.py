"""Find the emulator for an architecture.

Only a static user-mode QEMU will do: it is executed after the guest's root has become the root directory,
where the host's loader and libraries are not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch, by_name, known_names
from triage_tui.guest.emulator.elf import read_elf
from triage_tui.guest.host.descriptor_reserve import is_exhausted
from triage_tui.resources import CACHED_EMULATORS, cache_dir
from triage_tui.text import safe_line

DIRECTORY_VARIABLE = "TRIAGE_TUI_QEMU_DIR"
_HEADER_BYTES = 1 << 16


class GivenDirectoryError(TriageError):
    """What $TRIAGE_TUI_QEMU_DIR names cannot be used."""


def _is_static(path: Path) -> bool:
    """Return whether a file is a statically linked program.

    Raises:
        TriageError: it cannot be looked at now: there are no descriptors left.
    """
    try:
        with path.open("rb") as file:
            return read_elf(file.read(_HEADER_BYTES), path.name).interpreter is None
    except OSError as error:
        if is_exhausted(error):
            raise TriageError(f"{path.name} cannot be looked at: {error.strerror}") from error
        return False
    except TriageError:
        return False


class Searched(NamedTuple):
    """Where emulators are looked for, and when something there changed last: equal as long as nothing did."""

    directory: Path | None
    given: str | None
    places: tuple[tuple[str, int, int], ...]
    """(directory, inode, time of its last change in ns), zeros for one that is not there."""


def searched(directory: Path | None = None) -> Searched:
    """Return where `find_qemu` looks."""
    given = os.environ.get(DIRECTORY_VARIABLE)
    names = [str(directory or ""), given or "", *os.get_exec_path(), str(cache_dir() / CACHED_EMULATORS)]
    places = []
    for name in filter(None, names):
        try:
            status = os.stat(name)
        except (OSError, ValueError):
            places.append((name, 0, 0))
        else:
            places.append((name, status.st_ino, status.st_mtime_ns))
    return Searched(directory, given, tuple(places))


def find_qemu(arch: Arch, directory: Path | None = None, *, use_given: bool = True) -> Path:
    """Return the path of the emulator for `arch`.

    Searched in this order: `directory`, $TRIAGE_TUI_QEMU_DIR if `use_given`, PATH, the cache directory.

    Raises:
        GivenDirectoryError: $TRIAGE_TUI_QEMU_DIR names no such directory, see `given_directory`, or its
            emulator for `arch` cannot be used.
        TriageError: there is no emulator, or only dynamically linked ones are there, or no descriptor is left
            to look at one.
    """
    dynamic: list[Path] = []
    for candidate in _candidates(arch, directory):
        if _is_usable(candidate, dynamic):
            return candidate.resolve()
    if use_given and (given := given_directory()) is not None:
        named = [candidate for candidate in _candidates(arch, given) if os.path.lexists(candidate)]
        for candidate in named:
            if _is_usable(candidate, []):
                return candidate.resolve()
        if named:
            why = "is no statically linked program" if os.access(named[0], os.X_OK) else "is not executable"
            raise GivenDirectoryError(
                f"{DIRECTORY_VARIABLE} names {_shown(given)}, but {named[0].name} there {why}"
            )
    for name in arch.qemu_names:
        found = shutil.which(name)
        if found and _is_usable(Path(found), dynamic):
            return Path(found).resolve()
    for candidate in _candidates(arch, cache_dir() / CACHED_EMULATORS):
        if _is_usable(candidate, dynamic):
            return candidate.resolve()
    static_name = arch.qemu_names[0]
    if dynamic:
        raise TriageError(
            f"{dynamic[-1]} is dynamically linked and cannot run inside the guest's root: "
            f"install {static_name} (Debian: qemu-user-static) or run `triage-tui setup`"
        )
    raise TriageError(
        f"{static_name} was not found: install it (Debian: qemu-user-static), run `triage-tui setup`, "
        f"or set {DIRECTORY_VARIABLE} to its directory"
    )


def given_directory() -> Path | None:
    """Return the directory that $TRIAGE_TUI_QEMU_DIR names, None where it is not set.

    Raises:
        GivenDirectoryError: there is no such directory, or no emulator in it. Whoever named it did not mean
            the emulator that would be taken instead.
    """
    text = os.environ.get(DIRECTORY_VARIABLE)
    if not text:
        return None
    given = Path(text)
    if not os.path.isdir(given):
        what = "is no directory" if os.path.lexists(given) else "does not exist"
        raise GivenDirectoryError(f"{DIRECTORY_VARIABLE} names {_shown(given)}, which {what}")
    every = (by_name(name) for name in known_names())
    if not any(os.path.lexists(candidate) for arch in every for candidate in _candidates(arch, given)):
        raise GivenDirectoryError(
            f"{DIRECTORY_VARIABLE} names {_shown(given)}, where no emulator can be found "
            "(qemu-arm-static and its kin)"
        )
    return given


def _shown(path: Path) -> str:
    return safe_line(str(path), 200)


def _candidates(arch: Arch, directory: Path | None) -> list[Path]:
    return [] if directory is None else [directory / name for name in arch.qemu_names]


def _is_usable(candidate: Path, dynamic: list[Path]) -> bool:
    """Return whether a file is an emulator that can be used; add it to `dynamic` if it only is not static."""
    if not os.path.isfile(candidate) or not os.access(candidate, os.X_OK):
        return False
    if _is_static(candidate):
        return True
    dynamic.append(candidate)
    return False


@cache
def qemu_version(path: Path) -> str:
    """Return the emulator's version ("7.2.22"), "unknown" when it does not say."""
    try:
        result = subprocess.run(
            [str(path), "--version"], capture_output=True, timeout=10, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    found = re.search(rb"version (\d+(?:\.\d+)+)", result.stdout)
    return found[1].decode() if found else "unknown"
