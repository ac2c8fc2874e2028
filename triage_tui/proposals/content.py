"""What to put into a file that is missing: a sibling from the root file system, a known form, or nothing."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from triage_tui.diagnosis.calls import is_directory_by_name
from triage_tui.errors import TriageError
from triage_tui.proposals.templates import Library
from triage_tui.runs import guest_abi
from triage_tui.runs.files import inside, read_bounded

MAX_CONTENT = 48 << 10
"""Bytes of a file that a rule carries; a rule file may have 256 KiB and a byte may take four characters."""

_SUFFIXES = (
    "default",
    "dist",
    "example",
    "sample",
    "orig",
    "bak",
    "template",
    "tmpl",
    "in",
    "factory",
    "def",
)
_SEPARATORS = (".", "-", "_")
_DIRECTORIES = (
    "/etc/defaults",
    "/etc/default",
    "/etc_ro",
    "/usr/etc",
    "/rom/etc",
    "/factory",
    "/etc.default",
)
_OF_PROCESSES = re.compile(r"/proc/(self|thread-self|\d+)(/|\Z)")
_SECRET = re.compile(
    r"(?i)(host_?key|private|id_(rsa|dsa|ecdsa|ed25519)|\.(key|pem|crt|p12|pfx|der)\Z|_key\Z|shadow-)"
)


class Content(msgspec.Struct, frozen=True):
    """What a missing file could hold. `data` is None when only a person can say."""

    data: bytes | None
    source: str
    risk: str
    needs: str | None = None


def siblings(path: str) -> Iterator[str]:
    """Return the guest paths where a default or an example of `path` may lie, likeliest first."""
    directory, base = posixpath.split(path)
    for suffix in _SUFFIXES:
        for separator in _SEPARATORS:
            yield f"{directory}/{base}{separator}{suffix}"
    stem, dot, extension = base.rpartition(".")
    if stem and dot:
        for suffix in _SUFFIXES:
            yield f"{directory}/{stem}{dot}{suffix}{dot}{extension}"
            yield f"{directory}/{stem}-{suffix}{dot}{extension}"
    for other in _DIRECTORIES:
        yield f"{other}/{base}"


def _read(rootfs: Path, path: str) -> bytes | None:
    try:
        data = read_bounded(inside(rootfs, path.lstrip("/")), MAX_CONTENT + 1)
    except (TriageError, OSError, ValueError):
        return None
    return data if len(data) <= MAX_CONTENT else None


def of_processes(path: str) -> bool:
    """Tell whether a path is in what the kernel shows of a process (proc(5)): no file can stand for it."""
    return _OF_PROCESSES.match(path) is not None


def may_be_file(path: str, rootfs: str | None) -> bool:
    """Tell whether a file can be put at an absolute guest path.

    It cannot where a directory is meant, in what the kernel shows of processes, and where the path is another
    spelling of one that is there, as programs ask for to find out whether letters' case matters.
    """
    if is_directory_by_name(path) or of_processes(path):
        return False
    if rootfs is None or path == path.lower():
        return True
    try:
        return not os.path.lexists(inside(Path(rootfs), path.lower().lstrip("/")))
    except (TriageError, OSError, ValueError):
        return True


def now_at(path: str, rootfs: str | None) -> bytes | None:
    """Return what the file at an absolute guest path holds, None without one or where it is too long."""
    return _read(Path(rootfs), path) if rootfs else None


def choose(path: str, rootfs: str | None, library: Library, arch: str = "") -> Content:
    """Return what the file at the absolute guest path `path` could hold on the architecture `arch`."""
    if rootfs:
        for candidate in siblings(path):
            data = _read(Path(rootfs), candidate)
            if data is not None:
                return Content(
                    data, f"the content of {candidate}", "the sibling may be meant for another model"
                )
    for known in library.contents:
        if known.path.search(path):
            text = known.text
            if known.text_big_endian is not None and guest_abi.endian(arch) == "big":
                text = known.text_big_endian
            return Content(text.encode(), "the usual content of such a file", known.risk)
    if _SECRET.search(posixpath.basename(path)):
        # No colon behind the path: what follows a name such as host_key is masked as its value.
        what = f"put a key or certificate into the rule, a new one or the device's, as the content of {path}"
        return Content(None, "the content that a person supplies", "a made-up key is of no use", what)
    return Content(
        b"",
        "nothing in it",
        "an empty file may be parsed without end, or may mean something else than no file",
    )
