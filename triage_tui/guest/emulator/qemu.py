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

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.emulator.elf import read_elf
from triage_tui.resources import CACHED_EMULATORS, cache_dir

DIRECTORY_VARIABLE = "TRIAGE_TUI_QEMU_DIR"
_HEADER_BYTES = 1 << 16


def _is_static(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return read_elf(file.read(_HEADER_BYTES), path.name).interpreter is None
    except (OSError, TriageError):
        return False


def find_qemu(arch: Arch, directory: Path | None = None) -> Path:
    """Return the path of the emulator for `arch`.

    Searched in this order: `directory`, $TRIAGE_TUI_QEMU_DIR, PATH, the cache directory.

    Raises:
        TriageError: none is there, or only dynamically linked ones are.
    """
    given = os.environ.get(DIRECTORY_VARIABLE)
    found_dynamic: Path | None = None
    places: list[Path | None] = [directory, Path(given) if given else None]
    for name in arch.qemu_names:
        candidates = [place / name for place in places if place is not None]
        in_path = shutil.which(name)
        if in_path:
            candidates.append(Path(in_path))
        candidates.append(cache_dir() / CACHED_EMULATORS / name)
        for candidate in candidates:
            if not candidate.is_file() or not os.access(candidate, os.X_OK):
                continue
            if _is_static(candidate):
                return candidate.resolve()
            found_dynamic = candidate
    static_name = arch.qemu_names[0]
    if found_dynamic:
        raise TriageError(
            f"{found_dynamic} is dynamically linked and cannot run inside the guest's root: "
            f"install {static_name} (Debian: qemu-user-static) or run `triage-tui setup`"
        )
    raise TriageError(
        f"{static_name} was not found: install it (Debian: qemu-user-static), run `triage-tui setup`, "
        f"or set {DIRECTORY_VARIABLE} to its directory"
    )


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
