"""C programs for the tests, compiled for every architecture on first use; the sources are in `src/`."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from tests.programs.toolchain import TARGETS, compile_static, fetch_libraries, identity
from triage_tui.resources import cache_dir

__all__ = ["ARCHES", "build", "fetch_libraries", "qemu_name", "root_with"]

ARCHES = tuple(TARGETS)
"""What programs can be compiled for; "arm" is A32 code, "thumb" the same architecture in Thumb-2 code."""

_SOURCES = Path(__file__).with_name("src")


def qemu_name(arch: str) -> str:
    """Return the emulator's name of a member of `ARCHES`."""
    return "arm" if arch == "thumb" else arch


def build(source: str, arch: str, *flags: str) -> Path:
    """Return the static program made of `src/<source>.c` for `arch`, out of the user's cache.

    `flags` are further options of the compiler, such as "-DROUNDS=100" or "-O2". The file is shared: copy it
    before changing it.

    Raises:
        TriageError: the C libraries cannot be fetched.
        RuntimeError: the compiler refuses the source; the text holds its messages.
    """
    fetch_libraries()
    path = _SOURCES / f"{source}.c"
    digest = hashlib.sha256(identity(arch, flags).encode())
    for part in (path, *sorted(_SOURCES.glob("*.h"))):
        digest.update(part.read_bytes())
    program = cache_dir() / "programs" / f"{source}-{arch}-{digest.hexdigest()[:16]}" / source
    if not program.is_file():
        program.parent.mkdir(parents=True, exist_ok=True)
        # Tests may run at the same time: each makes its own, and the last one to finish gives its file.
        with tempfile.TemporaryDirectory(dir=program.parent) as work:
            fresh = Path(work, source)
            compile_static(path, arch, fresh, flags)
            fresh.replace(program)
    return program


def root_with(directory: Path, arch: str, *sources: str) -> Path:
    """Make `directory` a root file system with `sources` of `arch` as /bin/<source>; return it."""
    for name in ("bin", "dev", "etc", "proc", "tmp", "var/log"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for source in sources:
        shutil.copy(build(source, arch), directory / "bin" / source)
    return directory
