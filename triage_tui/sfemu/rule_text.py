"""The Lua text that makes rules of ours run on SFEmu: one file for all rules of one syscall.

SFEmu loads one file a syscall, into an environment that falls back to its globals, with the whole standard
library. Such a file holds the texts of the rules as strings, what is known of the guest, and
`rule_world.lua`: it gives each rule the globals that it has in our rule host, with our helpers in plain Lua
where SFEmu has none, counts hits, lets the call go on where a rule fails, and asks the file that it hides
where no rule answers.

A rule without a header of ours that calls none of our helpers is SFEmu's own: it gets SFEmu's world.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook.kinds import PLACE, SYSCALL_NAME
from triage_tui.rulebook.lua.lexer import tokens
from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.rulebook.rulefile import RuleFile, parse
from triage_tui.rulehost.helpers import EXTENSIONS
from triage_tui.runs import errnos, guest_abi
from triage_tui.text import safe_line

MARK = b"-- triage-tui publishes this file"
"""How the first line begins."""
WORLD = b"-- The world of published rules on SFEmu"
"""What every such file holds: it asks the file that it hides."""

NOT_THERE = {
    "c_callers": "SFEmu keeps no call stack by which frames are found",
    "c_connect_peer": "nobody is there to be the other end of the connection",
    "c_fd_label": "SFEmu knows no labels of descriptors",
    "c_fd_path": "plain Lua cannot follow a descriptor to its path",
    "c_module_base": "SFEmu does not tell the build of a mapped file",
    "c_open_bytes": "SFEmu cannot make a descriptor of bytes",
    "c_open_shared": "SFEmu cannot make a descriptor of bytes",
    "c_provide_socket": "plain Lua cannot make a socket",
    "c_real_path": "plain Lua cannot follow links",
    "c_remove_path": "it would remove from the real root of SFEmu, for good",
    "c_socket_stub": "nobody is there to be the other end of the socket",
    "c_start_program": "SFEmu starts programs by itself",
    "c_tell_peer": "nobody is there to be the other end of the connection",
    "c_write_shared": "SFEmu cannot make a descriptor of bytes",
}
"""Our helpers that a rule cannot be given there, each with the reason."""

_STAYS = {
    "c_mkdir_p": "the directory stays",
    "c_provide_file": "the file stays",
}
_POWERS = (
    *("io", "os", "debug", "package", "require", "load", "loadfile", "dofile", "c_do_syscall"),
    # By which any of them can be had without its name.
    *("_G", "_ENV"),
)
_LOADS = frozenset(("loadfile", "dofile"))
_NEEDS_GUEST = ("c_guest_info", "c_write_field", "c_ifreq_set")
_LITERAL_ERRNO = re.compile(rb"\bc_errno\s*\(?\s*[\"'](E[A-Z0-9]+)[\"']")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_LAST_COMMON_ERRNO = 34


class NotRunnable(TriageError):
    """A rule cannot run on SFEmu; the sentence names what is missing there."""


def is_theirs(rule: RuleFile) -> bool:
    """Tell whether a rule is written for SFEmu itself, and is given its world; a file of ours for it is."""
    return not rule.has_header and (WORLD in rule.source or not (_names(rule.source) & EXTENSIONS))


def check_runnable(name: str, source: bytes, arch: str) -> None:
    """Refuse a rule file ("syscall/openat@x.lua", also below `fix/`) that cannot run on SFEmu.

    `arch` is QEMU's name of the guest's architecture, "" where it is not known.

    Raises:
        NotRunnable: says why not.
        TriageError: its header is broken.
    """
    why = why_not_there(name, source, arch)
    if why:
        raise NotRunnable(f"{safe_line(name, 120)}: {why}")


def why_not_there(name: str, source: bytes, arch: str) -> str:
    """Return why a rule file cannot run on SFEmu, "" where it can; see `check_runnable`."""
    place = PLACE.search(name)
    if place is None or place["kind"] != "syscall":
        what = "a setting of the program's start" if "start/" in name else "the configuration of a plugin"
        return f"it is {what}, which triage-tui's own engine has and SFEmu has not"
    rule = parse(source)
    if is_theirs(rule):
        return ""
    named = _names(source)
    for helper, why in NOT_THERE.items():
        if helper in named:
            return f"it calls {helper}, which it cannot be given on SFEmu: {why}"
    if arch and _is_known(arch):
        return ""
    unknown = "which processor the program is for is not known of SFEmu's run"
    for helper in _NEEDS_GUEST:
        if helper in named:
            return f"it calls {helper}, and {unknown}"
    uncommon = [one for one in _errors_named(source) if errnos.numbers("generic")[one] > _LAST_COMMON_ERRNO]
    return f"it answers {uncommon[0]}, whose number depends on that, and {unknown}" if uncommon else ""


def what_differs(source: bytes) -> list[str]:
    """Return what a person has to know before a rule acts on SFEmu, a sentence each.

    Raises:
        TriageError: its header is broken.
    """
    rule, named = parse(source), _names(source)
    if is_theirs(rule):
        powers = powers_of(source)
        acts = "acts with all rights of SFEmu, not in triage-tui's rule host"
        return [f"it uses {', '.join(powers)}: it {acts}"] if powers else []
    told = [
        f"it calls {helper}, and {what} in the root that SFEmu runs in, also after a roll back"
        for helper, what in _STAYS.items()
        if helper in named
    ]
    if "c_request_reexec" in named:
        told.append("it calls c_request_reexec, and SFEmu starts the program again on the spot")
    if "c_called_from" in named:
        told.append("it asks for the call stack: it acts only under -shadowstack and -sfanalysis of SFEmu")
    return told


def powers_of(source: bytes) -> list[str]:
    """Return what a rule of SFEmu's own names that the rule host has not, in a fixed order."""
    named = _names(source)
    return [one for one in _POWERS if one in named]


def rule_text(syscall: str, rules: Mapping[str, bytes], arch: str, here: str) -> bytes:
    """Return the file `<syscall>.lua` that asks rules in their order.

    `rules` maps names ("syscall/openat@x.lua") to texts; `here` is the directory of the rule directory that
    the file is for ("syscall_override_user").

    Raises:
        NotRunnable: one of the rules cannot run there; see `check_runnable`.
        TriageError: a header is broken.
    """
    if not SYSCALL_NAME.fullmatch(syscall):
        raise TriageError(f"{safe_line(syscall, 60)!r} is no name of a syscall")
    for name, source in rules.items():
        check_runnable(name, source, arch)
    parsed = [parse(source) for source in rules.values()]
    order = "<" if guest_abi.endian(arch) == "little" else ">"
    guest = f"{{ arch = {_quoted(arch)}, word = {guest_abi.word(arch)}, order = {_quoted(order)} }}"
    lines = [
        f"{MARK.decode()}: change its rules there, since a file that was changed by hand is not replaced.",
        "-- `triage-tui rules published` says what is published; a roll back there takes it away again.",
        *(f"-- rule: {one.header.id} sha256 {hashlib.sha256(one.source).hexdigest()}" for one in parsed),
        "",
        f"local call_name, here = {_quoted(syscall)}, {_quoted(here)}",
        f"local guest = {guest}",
        f"local errors = {_errors(rules.values(), arch)}",
        f"local fields = {_fields(rules.values(), arch)}",
        "local rules = {",
    ]
    text = "\n".join(lines).encode() + b"\n"
    for one in parsed:
        text += f"  {{ id = {_quoted(one.header.id)}, {_limits(one)}text = ".encode()
        text += _literal(one.source) + b" },\n"
    return text + b"}\n\n" + _world()


@cache
def _world() -> bytes:
    return Path(__file__).with_name("rule_world.lua").read_bytes()


def _is_known(arch: str) -> bool:
    from triage_tui.guest.arch import known_names

    return arch in known_names()


def _limits(rule: RuleFile) -> str:
    header = rule.header
    limits = f"hit_limit = {header.hit_limit}, " if header.hit_limit is not None else ""
    closed = "closed = true, " if header.budget.on_failure == "closed" else ""
    if not is_theirs(rule):
        return limits + closed
    loads = "loads = true, " if _names(rule.source) & _LOADS else ""
    return f"{limits}{closed}plain = true, {loads}"


def _names(source: bytes) -> set[str]:
    return {token.text for token in tokens(source) if token.kind == "name"}


def _quoted(text: str) -> str:
    return lua_string(text.encode())


def _literal(text: bytes) -> bytes:
    """Return a literal that means exactly `text`: in long brackets where it can be read as it is.

    Those lose a line feed at their begin and carriage returns, Lua 5.3 manual section 3.1.
    """
    try:
        shown = text.decode().replace("\n", "").replace("\t", "")
    except UnicodeDecodeError:
        shown = "\0"
    if not shown.isprintable():
        lines = b",\n".join(b"    " + lua_string(line).encode() for line in text.splitlines(keepends=True))
        return b"table.concat({\n" + lines + b",\n  })"
    level = b""
    while (text + b"]" + level + b"]").index(b"]" + level + b"]") != len(text):
        level += b"="
    return b"[" + level + b"[\n" + text + b"]" + level + b"]"


def _errors_named(source: bytes) -> list[str]:
    """Return the names of errors that a rule asks for; all where it may ask for any."""
    known = errnos.numbers("generic")
    asked = sum(token.text == "c_errno" for token in tokens(source))
    literal = [found.decode() for found in _LITERAL_ERRNO.findall(source)]
    if asked > len(literal):
        return sorted(known)
    return sorted({name for name in literal if name in known}) if asked else []


def _errors(sources: Iterable[bytes], arch: str) -> str:
    numbers = errnos.numbers(guest_abi.errno_kind(arch))
    wanted = {"EDQUOT"}.union(*(_errors_named(source) for source in sources))
    return "{ " + ", ".join(f"{name} = {numbers[name]}" for name in sorted(wanted) if name in numbers) + " }"


def _fields(sources: Iterable[bytes], arch: str) -> str:
    """Return the layouts of the structures that rules name: field to offset and size in bytes."""
    words = {
        word.decode() for source in sources if b"c_write_field" in source for word in _WORD.findall(source)
    }
    if not words:
        return "{}"
    from triage_tui.guest.arch import by_name
    from triage_tui.guest.arch.layouts import NAMES, layout

    found = []
    for structure in sorted(words & set(NAMES)):
        laid = layout(by_name(arch), structure).fields
        places = [f"{name} = {{ {p.offset}, {p.size} }}" for name, p in laid.items() if p.kind != "bytes"]
        found.append(f"{structure} = {{ {', '.join(places)} }}")
    return "{ " + ", ".join(found) + " }"
