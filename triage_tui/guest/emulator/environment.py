"""The environment of a guest's programs, kept from meaning anything to the emulator itself.

QEMU takes the guest's environment from its own, and reads options from it (QEMU_*); the C library and GLib
that are linked into it read others, some of which name files of code to load (GCONV_PATH, LD_LIBRARY_PATH for
them). So these variables are not in the emulator's environment: they go to the guest by option -E.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from triage_tui.errors import TriageError
from triage_tui.guest.host import host_memory

_FOR_THE_EMULATOR = re.compile(
    rb"(?:QEMU_\w*|LD_\w*|G_\w*|GLIBC_TUNABLES|MALLOC_\w*|GCONV_PATH|LOCPATH|NLSPATH|CHARSET|OUTPUT_CHARSET"
    rb"|GETCONF_DIR|HOSTALIASES|LOCALDOMAIN|RES_OPTIONS|RESOLV_\w*|TMPDIR|TZDIR)="
)
_BEGINNING = 32
_MAX_STRING = 32 * 4096


def turns_round(version: str) -> bool:
    """Return whether a QEMU release gives the environment to the guest in the opposite order (before 10)."""
    major = version.partition(".")[0]
    return not major.isdecimal() or int(major) < 10


_SOMEWHERE = re.compile(rb"(?:^|\0)" + _FOR_THE_EMULATOR.pattern)


def reaches_emulator(environment: bytes) -> bool:
    """Return whether /proc/<pid>/environ has a variable that means something to the emulator."""
    return _SOMEWHERE.search(environment) is not None


def split(variables: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the environment of the first program's emulator, and the options that give the guest the rest.

    Raises:
        TriageError: a variable that has to go by option has a comma, which QEMU takes for an end.
    """
    left: dict[str, str] = {}
    options: list[str] = []
    for name, value in variables.items():
        if not reaches_emulator(os.fsencode(f"{name}={value}")):
            left[name] = value
        elif "," in value:
            raise TriageError(f"the environment variable {name} cannot have a comma in its value here")
        else:
            options += ["-E", f"{name}={value}"]
    return left, options


def sift(tid: int, pointers: list[int]) -> tuple[list[int], list[bytes], list[str]]:
    """Take the variables that mean something to the emulator out of an environment.

    `pointers` are the host addresses of "NAME=value" strings. Returns the pointers that are left, the strings
    that go by option, and the names of those that cannot: QEMU takes a comma in the option for an end.

    Raises:
        OSError: a string is not readable.
    """
    left: list[int] = []
    moved: list[bytes] = []
    dropped: list[str] = []
    for pointer in pointers:
        if not _FOR_THE_EMULATOR.match(host_memory.read_string(tid, pointer, _BEGINNING)):
            left.append(pointer)
            continue
        text = host_memory.read_string(tid, pointer, _MAX_STRING)
        if b"," in text:
            dropped.append(os.fsdecode(text.partition(b"=")[0]))
        else:
            moved.append(text)
    return left, moved, dropped
