"""How the start scripts of a root file system call a program. They are the guest's and only ever searched."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.files import inside, read_bounded

MAX_SCRIPT = 64 << 10
"""Bytes of a script that are searched."""
MAX_SCRIPTS = 300
MAX_ARGUMENTS = 64

_DIRECTORIES = ("etc/init.d", "etc/rc.d", "etc/rc.d/init.d", "etc/rcS.d", "etc/rc.d/rcS.d", "etc/rc.common")
_FILES = ("etc/inittab", "etc/rc", "etc/rcS", "etc/rc.local", "etc/inetd.conf", "etc/init.d/rcS", "init")
_NOT_ITS_START = re.compile(
    r"\b(killall|kill|pidof|pgrep|pkill|echo|printf|which|type|rm|ls|cat|chmod|grep|test|insmod)\b[^;&|]*$|\[[^\]]*$"
)
"""What stands in front of a program's name where a line is not about its start."""
_END = re.compile(r"[;&|<>#`)]")
_DYNAMIC = re.compile(r"[$*?{}\[\]~\\]")


class CommandLine(msgspec.Struct, frozen=True):
    """A line of a start script. `words` are its arguments, None where only the shell knows them."""

    script: str
    line: int
    text: str
    words: tuple[str, ...] | None


def command_line(rootfs: str | None, program: str) -> CommandLine | None:
    """Return how the start scripts call the program of that name, the first whose arguments are certain.

    None where none of them does.
    """
    name = posixpath.basename(program)
    if not rootfs or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", name):
        return None
    found = list(_found(Path(rootfs), name))
    return next((one for one in found if one.words is not None), found[0] if found else None)


def _found(root: Path, name: str) -> Iterator[CommandLine]:
    called = re.compile(rf"(?:^|(?<=[\s;&|(:`\"']))(?:/[\w.+/-]*/)?{re.escape(name)}(?=[\s\"';&|)]|$)")
    for script in _scripts(root):
        try:
            data = read_bounded(inside(root, script), MAX_SCRIPT)
        except (TriageError, OSError, ValueError):
            continue
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            match = called.search(line)
            if match is None or line.lstrip().startswith("#") or _NOT_ITS_START.search(line[: match.start()]):
                continue
            yield CommandLine(f"/{script}", number, line.strip(), _words(line, match.end()))


def _words(line: str, after: int) -> tuple[str, ...] | None:
    rest = line[after:].lstrip("\"'")
    if "start-stop-daemon" in line[:after]:
        # start-stop-daemon(8): what is behind `--` belongs to the program.
        _, _, rest = rest.partition(" -- ")
    rest = _END.split(rest, maxsplit=1)[0]
    if _DYNAMIC.search(rest):
        return None
    try:
        words = shlex.split(rest)
    except ValueError:
        return None
    return tuple(words) if len(words) <= MAX_ARGUMENTS else None


def _scripts(root: Path) -> Iterator[str]:
    yield from _FILES
    left = MAX_SCRIPTS
    for directory in _DIRECTORIES:
        try:
            names = sorted(os.listdir(inside(root, directory)))
        except (OSError, TriageError, ValueError):
            continue
        for name in names[:left]:
            yield f"{directory}/{name}"
        left -= min(left, len(names))
