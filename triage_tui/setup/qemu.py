"""Find the static user-mode emulators, or fetch them from the distribution into the user's cache."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.resources import CACHED_EMULATORS, cache_dir
from triage_tui.setup.apt import NotOfferedError
from triage_tui.setup.cache import Progress, exclusive, point, publish, quiet, staging
from triage_tui.setup.sources import fetch, unpack

DIRECTORY_VARIABLE = "TRIAGE_TUI_QEMU_DIR"
"""Names a directory with emulators that is preferred to all others."""

EMULATORS = (
    *("aarch64", "arm", "armeb", "i386", "mips", "mips64el", "mipsel", "ppc", "ppc64le", "riscv64", "s390x"),
    "x86_64",
)
"""QEMU's names of the architectures that guests can have."""

# Since QEMU 9.1 Debian's qemu-user-static is an empty package that stands for qemu-user, whose programs are
# static but have lost the suffix.
_PACKAGES = ("qemu-user-static", "qemu-user")

_PT_INTERP = 3


def find_qemu() -> Path | None:
    """Return a directory with all emulators as `qemu-<architecture>-static`, None if there is none yet.

    Looked for in this order: the directory named by TRIAGE_TUI_QEMU_DIR, PATH, the user's cache.
    """
    places = [
        os.environ.get(DIRECTORY_VARIABLE, ""),
        *os.get_exec_path(),
        str(cache_dir() / CACHED_EMULATORS),
    ]
    for place in filter(os.path.isabs, places):
        directory = Path(place)
        if _has_all(directory):
            return directory
    return None


def ensure_qemu(progress: Progress = quiet) -> Path:
    """Return a directory with all emulators as `qemu-<architecture>-static`, fetching them if needed.

    Raises:
        TriageError: they are not there and cannot be fetched; the sentence says what to install.
    """
    if found := find_qemu():
        return found
    with exclusive(progress) as cache:
        if found := find_qemu():
            return found
        for package in _PACKAGES:
            if _fetch_emulators(package, cache, progress):
                return cache / CACHED_EMULATORS
    raise TriageError(
        f"No package of {', '.join(_PACKAGES)} has static emulators for {', '.join(EMULATORS)}: "
        f"install them yourself and set {DIRECTORY_VARIABLE} to their directory."
    )


def _fetch_emulators(package: str, cache: Path, progress: Progress) -> bool:
    """Unpack the emulators of `package` into the cache; False when it does not have them all."""
    with staging(cache) as work:
        try:
            [file] = fetch([package], cache, work, progress).values()
        except NotOfferedError:
            return False
        progress(f"unpacking {file.name}")
        unpack(file, work / "tree")
        programs = work / "tree" / "usr" / "bin"
        _add_suffix(programs)
        if not _has_all(programs):
            return False
        _drop_others(programs)
        point(cache / "qemu", publish(work / "tree", cache / "store" / f"{file.stem}+{len(EMULATORS)}"))
    return True


def _has_all(directory: Path) -> bool:
    return all(os.access(directory / f"qemu-{name}-static", os.X_OK) for name in EMULATORS)


def _add_suffix(programs: Path) -> None:
    """Give statically linked emulators without the suffix their other name."""
    for name in EMULATORS:
        plain = programs / f"qemu-{name}"
        suffixed = programs / f"qemu-{name}-static"
        if plain.is_file() and not suffixed.exists() and _is_static(plain):
            suffixed.symlink_to(plain.name)


def _drop_others(programs: Path) -> None:
    """Remove the emulators nobody asked for: they are most of four hundred megabytes."""
    wanted = {f"qemu-{name}{suffix}" for name in EMULATORS for suffix in ("", "-static")}
    for program in programs.iterdir():
        if program.name not in wanted:
            program.unlink()


def _is_static(program: Path) -> bool:
    """Whether a 64-bit ELF program asks for no interpreter (System V gABI, program header PT_INTERP)."""
    with program.open("rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:5] != b"\x7fELF\x02":
            return False
        order = "<" if header[5] == 1 else ">"
        (table,) = struct.unpack_from(f"{order}Q", header, 32)
        entry_size, entries = struct.unpack_from(f"{order}HH", header, 54)
        file.seek(table)
        headers = file.read(entry_size * entries)
    kinds = (
        struct.unpack_from(f"{order}I", headers, offset)[0] for offset in range(0, len(headers), entry_size)
    )
    return _PT_INTERP not in kinds
