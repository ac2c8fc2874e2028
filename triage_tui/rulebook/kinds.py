"""The kinds of rule files: a file's directory says what it is.

    syscall/openat@fix-1.lua    functions that the rule host asks at each call of that name
    plugin/nvram@fix-2.lua      the configuration of a plugin that is shipped: one table of constants
    start/processor@fix-3.lua   a setting of the program's start: one table of constants

All are Lua text with the same header (`rulefile`). A table of constants is read, never executed
(`lua.constants`).
"""

from __future__ import annotations

import re
from typing import Literal, cast, get_args

Kind = Literal["syscall", "plugin", "start"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RULE_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SYSCALL_NAME = re.compile(r"[a-z_][a-z0-9_]{0,47}")
FILE_NAME = re.compile(rf"(?P<syscall>{SYSCALL_NAME.pattern})(?:@(?P<id>{RULE_ID.pattern}))?\.lua")
"""`openat.lua` (SFEmu's form) or `openat@fix-openat-3f2a91c0.lua` (several rules for one syscall)."""
PLACE = re.compile(rf"(?P<kind>{'|'.join(KINDS)})/{FILE_NAME.pattern}")
"""A rule file below the directory of a generation."""

ENTRY_POINTS = ("do_syscall", "after_syscall")
"""Functions of which a rule for a syscall defines one or both: asked before the call, and after it."""


def kind_of(name: str) -> Kind:
    """Return what the rule file `name` is ("fix/start/processor@fix-3.lua", also behind a run's name).

    One that lies in a directory of another name, or in none, is for a syscall.
    """
    directory = re.split(r"[/:]", name)[-2:-1]
    return cast("Kind", directory[0]) if directory and directory[0] in KINDS else "syscall"
