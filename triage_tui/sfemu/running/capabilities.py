"""What a rule directory of SFEmu asks for, read from its Lua, and what of that differs here.

Nothing is executed: names are looked for in the text, without comments and strings. A name that the text puts
together while it runs is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.sfemu.rules_dir import RECORD_DIRECTORIES, RulesDirectory, is_on
from triage_tui.text import number_of, safe_line

_MOST_FILES, _MOST_BYTES = 2000, 4 << 20

Grade = Literal["ok", "limited", "missing"]


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that the directory uses. `cost` says what is different, empty for nothing."""

    name: str
    grade: Grade
    found: str
    cost: str = ""


_SAME = """
c_get_timestamp c_read_string c_read_guest_u32 c_read_guest_u64 c_write_guest_u32 c_write_guest_u64
c_write_guest_bytes c_write_bytes c_read_guest_bytes c_read_bytes c_list_regs c_set_reg c_mkdir_p
c_watchdog_suspend
"""
_DIFFERENT = {
    "c_log": "its lines are in logs/rules.log of the run, not on stderr and in no file of the guest's",
    "c_read_guest_string": "it prints no addresses",
    "c_get_reg": "of the core registers only",
    "c_do_syscall": "the thread makes the call through the emulator; -ENOSYS for fork, clone, execve, "
    "exit, and in a thread's exit; calls of the process's other threads meanwhile are not shown to the hooks",
    "c_g2h": "a userdata that only c_h2g and c_resolve_host_addr take",
    "c_h2g": "of what c_g2h gave, and of addresses in the guest's memory",
    "c_resolve_addr": "with the program's own symbols; pseudocode and prototypes come from --sfanalysis",
    "c_resolve_host_addr": "of the guest's memory only, not of the emulator's",
    "c_get_shadowstack": "empty without --sfemu-stack; with it the stack is unwound",
    "c_async_probe_http": "in the guest's own network",
    "c_wait_user_continue": "the guest is frozen and recorded, and a person decides in the app or by "
    "a command; where nobody is asked (--policy auto) it gives false, -5",
    "c_open_host": "the access mode and O_CLOEXEC of the flags count",
    "c_request_reexec": "the process executes its program again in place, with the descriptors that it has",
}
_HOOKS = {
    "entry": "not shown: readings of the clock, futex, sched_yield, and what the emulator answers without a "
    "trace (brk, rt_sigprocmask, set_tid_address)",
    "finish": "not after fork, clone, execve, exit and sigreturn",
    "idle": "of the main process, which goes on while it runs; c_do_syscall gives -ENOSYS in it",
}
_OFFLINE = "no server is asked: the guest's cell has no network of this machine"
_SETTINGS = {
    "SFEMU_AI_CMD": "no program of this machine is executed, so that its analyst is not asked",
    "SFEMU_AI_MCP_ENABLE": "its Python tool is not executed",
    "OPENAI_API_KEY": _OFFLINE,
    "OPENAI_KEY": _OFFLINE,
}
_SWITCHES = ("SFEMU_AI_MCP_ENABLE",)
_LIBRARY = {
    "os.execute": "plain commands (mkdir, ln, test, rm, cp, mv, touch, chmod, cat, ls, readlink, find) are "
    "carried out; others run in the guest's shell, which cannot execute programs",
    "io.popen": "as os.execute; for reading only",
    "os.exit": "it ends the guest process with that code",
    "package.loadlib": "libraries of this machine are not there",
    "io.write": "what goes to standard output is in logs/rules.log",
    "io.read": "nothing can be read from a terminal",
}
_LIMITED = frozenset(("os.execute", "io.popen", "io.read", "io.write", "os.exit"))

_COMMENT = re.compile(r"--\[(=*)\[.*?\]\1\]|--[^\n]*", re.DOTALL)
_TEXT = re.compile(r"\[(=*)\[.*?\]\1\]|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_NAME = re.compile(r"(?<![.:\w])c_[a-z][a-z0-9_]*\b")
_CALLED = re.compile(r"(?<![.:\w])(c_[a-z][a-z0-9_]*)\s*\(")
_DEFINED = re.compile(r"(?:\blocal\s+function|\bfunction)\s+(c_[a-z0-9_]+)|\blocal\s+(c_[a-z0-9_]+)")


def capabilities(rules: RulesDirectory) -> list[Capability]:
    """Return what the directory uses, a line each: hooks, functions, library, settings.

    Raises:
        TriageError: it has no `entry.lua`, or cannot be read.
    """
    if not (rules.root / "entry.lua").is_file():
        shown = safe_line(str(rules.root), 200)
        raise TriageError(f"{shown} has no entry.lua: name a whole rule directory of SFEmu")
    code = {path: _code(read_bounded(path, _MOST_BYTES)) for path in _lua_files(rules.root)}
    found: list[Capability] = []
    for hook, cost in _HOOKS.items():
        defines = re.compile(rf"\bfunction\s+{hook}\s*\(|^\s*{hook}\s*=", re.MULTILINE)
        if places := [path for path, text in code.items() if defines.search(text)]:
            found.append(Capability(f"hook {hook}", "limited", _where(rules.root, places), cost))
    found += _functions(rules.root, code)
    for name, cost in _LIBRARY.items():
        used = re.compile(rf"\b{re.escape(name)}\b")
        if places := [path for path, text in code.items() if used.search(text)]:
            grade: Grade = "limited" if name in _LIMITED else "missing"
            found.append(Capability(name, grade, _where(rules.root, places), cost))
    for name, cost in _SETTINGS.items():
        value = rules.settings.get(name)
        if value and (name not in _SWITCHES or is_on(value, False)):
            found.append(Capability(f"setting {name}", "missing", "set in config/env", cost))
    if outside := rules.foreign_overrides:
        shown = ", ".join(safe_line(str(path), 100) for path in outside)
        cost = "only the rule directory itself is there: put the overrides into it"
        found.append(Capability("override directories", "missing", f"outside of it: {shown}", cost))
    return found


def _functions(root: Path, code: dict[Path, str]) -> Iterator[Capability]:
    used: dict[str, list[Path]] = {}
    own: set[str] = set()
    same = _SAME.split()
    for path, text in code.items():
        own |= {name for pair in _DEFINED.findall(text) for name in pair if name}
        known = {name for name in _NAME.findall(text) if name in same or name in _DIFFERENT}
        for name in known | set(_CALLED.findall(text)):
            used.setdefault(name, []).append(path)
    for name in sorted(used):
        where = _where(root, used[name])
        if name in same:
            yield Capability(name, "ok", where)
        elif name in _DIFFERENT:
            yield Capability(name, "limited", where, _DIFFERENT[name])
        elif name not in own:
            yield Capability(name, "missing", where, "no version of SFEmu that is known here has it")


def _lua_files(root: Path) -> list[Path]:
    """Return the Lua files of a rule directory, those that it recorded left out.

    Raises:
        TriageError: there are too many.
    """
    files: list[Path] = []
    for path in sorted(root.rglob("*.lua")):
        inside = path.relative_to(root)
        if inside.parts[0] not in RECORD_DIRECTORIES and path.is_file() and not path.is_symlink():
            files.append(path)
        if len(files) > _MOST_FILES:
            raise TriageError(f"{safe_line(str(root), 200)} has more than {_MOST_FILES} Lua files")
    return files


def _code(raw: bytes) -> str:
    """Return a Lua text without comments, and with empty strings in the place of its strings."""
    text = raw.decode("utf-8", "replace")
    return _TEXT.sub('""', _COMMENT.sub(" ", text))


def _where(root: Path, places: Iterable[Path]) -> str:
    names = [safe_line(str(path.relative_to(root)), 80) for path in places]
    more = f" and {number_of(len(names) - 2, 'more file')}" if len(names) > 3 else ""
    return "used in " + ", ".join(names[:2] if more else names) + more
