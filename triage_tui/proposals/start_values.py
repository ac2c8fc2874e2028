"""Values for the settings of a program's start: Lua literals that templates of start rules hold.

What the record does not tell is a placeholder: then a person must fill it in.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from triage_tui.diagnosis.calls import operation
from triage_tui.errors import TriageError
from triage_tui.proposals.lua import guest_bytes
from triage_tui.proposals.start_scripts import command_line
from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.rulebook.placeholders import placeholder
from triage_tui.rulebook.start_settings import MAX_USER
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

Given: TypeAlias = Mapping[str, str]
"""Parameters of a hypothesis."""

MAX_DIRECTORIES = 5000
"""Directories of a root file system that are looked into."""
MAX_SHOWN = 160

_NEWEST = {
    **dict.fromkeys(("arm", "armeb", "aarch64", "i386", "x86_64", "s390x"), "max"),
    **dict.fromkeys(("mips", "mipsel"), "74Kf"),
    "mips64el": "Loongson-3A4000",
    "ppc": "7448",
    "ppc64le": "power10",
}
"""Architecture -> the processor model that knows most instructions and all of the older ones (`qemu-ARCH -cpu
help` of QEMU 7.2 and 10.0). MIPS release 6 is left out: it gave up instructions of earlier ones; and so
is P5600, which refuses programs with the older form of NaN (EF_MIPS_NAN2008)."""
_AT_UID = 11
"""getauxval(3), linux/auxvec.h."""
_ASKS_USER = frozenset(("getuid", "getuid32", "geteuid", "geteuid32"))
_NOBODY = 65534
MAX_ACCOUNTS = 64 << 10
"""Bytes of /etc/passwd that are read."""
MAX_CONFIGURATION = 64 << 10
"""Bytes of a configuration file that are read for names of interfaces."""
MAX_INTERFACES = 4
_NOT_SEARCHED = frozenset(("proc", "sys", "dev"))
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_NAMED_INTERFACE = re.compile(r"\b(?:eth|lan|wan|wlan|br|ath|ra)-?[0-9]{1,2}(?:\.[0-9]{1,4})?\b")
_VARIABLE = re.compile(
    r"\$([A-Z][A-Z0-9_]{2,63})\b"
    r"|\b([A-Z][A-Z0-9_]{2,63})\b[`'\"]? (?:is |was |must be )?(?:not set|unset|undefined|set\b)"
)
_HOME = re.compile(r"\bHOME\b|(?i:home ?(?:dir|path))")
_RISCV = (9, "max", "rv64")
"""From this release of QEMU on the first model, before it the second."""


def start_literals(run: Run, hypothesis: Hypothesis, names: Iterable[str]) -> dict[str, str]:
    """Return the Lua literals of those `names` that are of start settings and can be given a value."""
    found = {name: _LITERALS[name](run, hypothesis.parameters) for name in names if name in _LITERALS}
    return {name: value for name, value in found.items() if value}


def _processor(run: Run, _given: Given) -> str:
    return lua_string(_model(run).encode())


def _model(run: Run) -> str:
    target, engine = run.snapshot.target, run.snapshot.engine
    model = _NEWEST.get(target.arch, "")
    if target.arch == "riscv64":
        since, new, old = _RISCV
        major = re.match(r"\d{1,4}", engine.emulator_version)
        model = new if major is not None and int(major[0]) >= since else old
    tried = {one.says for one in run.snapshot.start_settings}
    if model and f"processor model {model}" not in tried:
        return model
    return placeholder(
        f"a processor model that knows the instruction, of those of {engine.emulator} -cpu help"
    )


def _arguments(run: Run, given: Given) -> str:
    """Return the whole vector, as the start scripts of the root file system have it, as items of a table."""
    said = given.get("text", "")
    target = run.snapshot.target
    own = target.argv or [target.program]
    # A program of many names is started by the name of one of them.
    kept = own[:2] if len(own) > 1 and posixpath.basename(target.program) == "busybox" else own[:1]
    found = command_line(target.rootfs, kept[-1] if len(kept) > 1 else target.program)
    if found is not None and found.words is not None and [*kept, *found.words] != own:
        words = [*kept, *found.words]
    else:
        wanted = "the arguments, as the start scripts of the device have them"
        if found is not None:
            wanted = f"the arguments; {found.script}, line {found.line}: {safe_line(found.text, MAX_SHOWN)}"
        elif said:
            wanted += f"; the program said: {safe_line(said, MAX_SHOWN)}"
        words = [*kept, placeholder(wanted)]
    return ", ".join(lua_string(guest_bytes(word)) for word in words)


def _directory(run: Run, given: Given) -> str:
    """Return the directory of the root in which a relative path exists, "" for none."""
    path = given.get("path", "")
    target = run.snapshot.target
    if not path or path.startswith("/"):
        return ""
    wanted = os.fsdecode(guest_bytes(path))
    parts = [part for part in wanted.split("/") if part not in ("", ".")]
    if not target.rootfs or path.startswith("/") or not parts or ".." in parts or "\0" in wanted:
        return ""
    found = _holding(target.rootfs, "/".join(parts), target.cwd)
    return lua_string(os.fsencode(found)) if found else ""


def _unknown_directory(_run: Run, given: Given) -> str:
    """Return a placeholder for the directory of a relative path."""
    path = given.get("path", "")
    wanted = placeholder(f"the directory in which the program finds {safe_line(path, MAX_SHOWN)}")
    return lua_string(f"/{wanted}".encode()) if path and not path.startswith("/") else ""


def _holding(rootfs: str, name: str, but: str) -> str:
    """Return the guest path of the directory that is nearest to the root and holds `name`, "" for none."""
    found: list[str] = []
    for number, (place, directories, _) in enumerate(os.walk(rootfs)):
        if number >= MAX_DIRECTORIES:
            break
        guest = "/" + os.path.relpath(place, rootfs) if place != rootfs else "/"
        directories[:] = sorted(one for one in directories if guest != "/" or one not in _NOT_SEARCHED)
        if guest.rstrip("/") == but.rstrip("/") or not os.path.lexists(os.path.join(place, name)):
            continue
        with contextlib.suppress(TriageError, OSError):
            if inside(Path(rootfs), f"{guest[1:]}/{name}".lstrip("/")).exists():
                found.append(guest)
    return min(found, key=lambda one: (one.count("/"), one), default="")


def _variables(run: Run, given: Given) -> str:
    """Return the variable that a message asks for, as a field of a table."""
    said = given.get("text", "")
    named = _VARIABLE.search(said)
    name = "HOME" if _HOME.search(said) else (named[1] or named[2]) if named is not None else ""
    if name == "HOME":
        root = run.snapshot.target.rootfs
        value = "/root" if root and os.path.isdir(os.path.join(root, "root")) else "/"
        return f"HOME = {lua_string(value.encode())}"
    if not name:
        wanted = placeholder(f"the name of the variable; the program said: {safe_line(said, MAX_SHOWN)}")
        return f"[{lua_string(wanted.encode())}] = {lua_string(placeholder('its value').encode())}"
    wanted = placeholder(f"the value of {name}, as the start scripts of the device set it")
    return f"{name} = {lua_string(wanted.encode())}"


def _as_root(run: Run, _given: Given) -> str:
    """Return the id of root where the program was started as somebody else."""
    auxiliary = [one for process in run.snapshot.processes[:1] for one in process.auxv]
    started = next((one.value for one in auxiliary if one.type == _AT_UID), None)
    if started is None:
        # What it was told first: it may have changed its user since.
        started = next(
            (call.ret for call in run.trace() if call.name in _ASKS_USER and call.ret is not None), 0
        )
    return "0" if started else ""


def _other_user(run: Run, _given: Given) -> str:
    """Return the id of an account that is not root: the program's own, else nobody's."""
    target = run.snapshot.target
    accounts: dict[str, int] = {}
    if target.rootfs:
        with contextlib.suppress(TriageError, OSError, ValueError):
            data = read_bounded(inside(Path(target.rootfs), "etc/passwd"), MAX_ACCOUNTS)
            for line in data.decode("utf-8", "replace").splitlines():
                fields = line.split(":")
                if len(fields) > 2 and re.fullmatch(r"[1-9][0-9]{0,4}", fields[2]):
                    accounts.setdefault(fields[0], int(fields[2]))
    for name in (posixpath.basename(target.program), "nobody"):
        if 0 < accounts.get(name, 0) <= MAX_USER:
            return str(accounts[name])
    return str(_NOBODY)


def _new_interface(run: Run, given: Given) -> str:
    """Return the name of the interface that is missing, or those that the configuration names; else eth0."""
    named = _NAMED_INTERFACE.search(given.get("text", ""))
    name = given.get("interface") or (named[0] if named is not None else "")
    had = {
        word
        for one in run.snapshot.start_settings
        if one.setting == "interfaces"
        for word in one.says.split()
    }
    wanted = [name] if name else _configured_interfaces(run) or ["eth0"]
    names = [one for one in wanted if _INTERFACE.fullmatch(one) and one != "lo" and one not in had]
    return ", ".join(lua_string(one.encode()) for one in names)


def _configured_interfaces(run: Run) -> list[str]:
    """Return the interfaces that the program's configuration files name, in their order.

    That is what the program opened below /etc and what is text there; lines that begin with # are comments.
    """
    root = run.snapshot.target.rootfs
    if not root:
        return []
    found: list[str] = []
    for path in dict.fromkeys(
        call.path
        for call in run.trace()
        if operation(call) == "open" and call.ret is not None and call.ret >= 0
    ):
        if not path or not path.startswith("/etc/"):
            continue
        with contextlib.suppress(TriageError, OSError, ValueError):
            text = read_bounded(inside(Path(root), path[1:]), MAX_CONFIGURATION).decode("utf-8", "replace")
            for line in text.splitlines() if "\0" not in text else ():
                if not line.lstrip().startswith("#"):
                    found += _NAMED_INTERFACE.findall(line)
    return list(dict.fromkeys(found))[:MAX_INTERFACES]


_LITERALS: dict[str, Callable[[Run, Given], str]] = {
    "processor": _processor,
    "arguments": _arguments,
    "start_directory": _directory,
    "unknown_directory": _unknown_directory,
    "variables": _variables,
    "as_root": _as_root,
    "other_user": _other_user,
    "new_interface": _new_interface,
}
START_LITERALS = frozenset(_LITERALS)
"""What may stand between @ and @ in the text of a start rule."""
