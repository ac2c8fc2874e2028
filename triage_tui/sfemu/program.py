"""Which program a stop under SFEmu was of, from the modules of its call stack: nothing else names it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from triage_tui.sfemu.snapshot import SfemuSnapshot

_LIBRARY = re.compile(r"(?:\.so(?:\.[\w.]+)*|\Ald[-.][^/]*|\Alib[^/]*\.so[^/]*)\Z")
_TOP = frozenset(
    ("bin", "sbin", "usr", "lib", "lib32", "lib64", "opt", "etc", "var", "tmp", "www", "web", "mnt", "userfs")
)
"""Names that stand at the top of a root file system."""


@dataclass(frozen=True)
class Program:
    """What is known of the program."""

    path: str
    """Guest path, else the path of the machine that recorded, else ""."""
    root: str
    """Its root file system on the machine that recorded, "" where that is not known."""
    why: str
    """One sentence without a final full stop."""


def program_of(found: SfemuSnapshot) -> Program:
    """Return the program: the outermost module of the stack that is no library."""
    paths = [frame.module_real_path for frame in found.frames if frame.module_real_path]
    own = [path for path in paths if not _LIBRARY.search(path.rpartition("/")[2])]
    if not own:
        return Program("", "", "not recorded, and no module of its call stack tells it")
    root = _root_of(paths)
    path = own[-1]
    inside = path[len(root) :] if root and path.startswith(root + "/") else path
    why = "not recorded: taken to be the outermost module of the call stack that is no library"
    return Program(inside, root, why)


def _root_of(paths: list[str]) -> str:
    """Return the directory under which all modules lie at places that a root file system has, "" for none."""
    common = PurePosixPath(os.path.commonpath(paths)) if all(p.startswith("/") for p in paths) else None
    if common is None:
        return ""
    for candidate in (common, *common.parents):
        rest = [PurePosixPath(path).relative_to(candidate).parts for path in paths]
        if all(len(parts) > 1 and parts[0] in _TOP for parts in rest):
            return "" if str(candidate) == "/" else str(candidate)
    return ""
