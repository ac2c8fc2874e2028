"""A shared library that Debian's compilers and linkers made, for every architecture: libatomic, 8 kB each."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.programs.toolchain import TARGETS
from triage_tui.resources import cache_dir
from triage_tui.setup.cache import exclusive, publish, staging
from triage_tui.setup.sources import fetch, unpack

ARCHES = tuple(arch for arch, target in TARGETS.items() if target.debian)
"""All but big-endian ARM, which Debian has not."""


def _package(arch: str) -> str:
    return f"libatomic1-{TARGETS[arch].debian}-cross"


def _fetch(directory: Path) -> None:
    """Fetch all of them in one go."""
    with exclusive() as cache_directory:
        if directory.is_dir():
            return
        with staging(cache_directory) as work:
            files = fetch([_package(arch) for arch in ARCHES], cache_directory, work)
            tree = work / "tree"
            tree.mkdir()
            for arch in ARCHES:
                unpack(files[_package(arch)], tree / arch)
            publish(tree, directory)


@cache
def library(arch: str) -> bytes:
    """Return the content of `libatomic.so.1` for a member of `ARCHES`; `thumb` is in Thumb-2 code.

    Raises:
        TriageError: the packages cannot be fetched.
    """
    directory = cache_dir() / "libraries" / "libatomic1-12"
    if not directory.is_dir():
        _fetch(directory)
    [path] = (directory / arch).glob("usr/*/lib/libatomic.so.1.2.0")
    return path.read_bytes()
