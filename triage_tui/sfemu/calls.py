"""Say what the calls of a stop under SFEmu were: names, errors, paths and flags for their bare numbers.

SFEmu keeps the argument registers only, signed, and the memory of two calls: the one at which it stopped and
the last one that failed. What was in memory then is also what another call with the very same arguments was
about, and of no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triage_tui.diagnosis.calls import OPERATIONS, PATH_ARGUMENT
from triage_tui.guest.arch import Arch
from triage_tui.guest.arch.structures import fields_of, structure_of
from triage_tui.guest.log.call_arguments import decode_arguments
from triage_tui.runs.errnos import names as errno_names
from triage_tui.runs.model import Syscall
from triage_tui.runs.signatures import RETURN_ADDRESSES, argument_kinds
from triage_tui.sfemu.asked import BY_ARM_NUMBER
from triage_tui.sfemu.contexts import Context
from triage_tui.sfemu.machine import Machine
from triage_tui.sfemu.request_names import request_name
from triage_tui.sfemu.snapshot import Call, MemoryPiece

TAG = re.compile(r"(trigger|last_err)_arg([1-8])_0x([0-9a-f]{1,16})\Z")
"""Of a piece of memory: whose argument it was, counted from 1, and its value."""
_REPAIRED = frozenset(("open", "openat", "access", "ioctl"))
"""Calls that version 4 and later make in the place of the program, to look at their errors."""
_ADDRESSES = {"connect": 1, "bind": 1, "sendto": 4}
_OPENS = {"open": 1, "openat": 2}
_ACCESSES = {"access": 1, "faccessat": 2, "faccessat2": 2}
_SOCKETS = {1: "SOCK_STREAM", 2: "SOCK_DGRAM", 3: "SOCK_RAW", 5: "SOCK_SEQPACKET", 10: "SOCK_PACKET"}
_SOCKETS_MIPS = _SOCKETS | {1: "SOCK_DGRAM", 2: "SOCK_STREAM"}
_MAX_TEXT = 512

# include/uapi/asm-generic/fcntl.h, and the same of arm, arm64, powerpc and mips.
_ACCESS = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
_COMMON = {0o100: "O_CREAT", 0o200: "O_EXCL", 0o400: "O_NOCTTY", 0o1000: "O_TRUNC", 0o2000: "O_APPEND",
           0o4000: "O_NONBLOCK", 0o10000: "O_DSYNC", 0o20000: "O_ASYNC", 0o2000000: "O_CLOEXEC",
           0o4000000: "__O_SYNC", 0o1000000: "O_NOATIME", 0o10000000: "O_PATH"}  # fmt: skip
_PLACED = {0o40000: "O_DIRECT", 0o100000: "O_LARGEFILE", 0o200000: "O_DIRECTORY", 0o400000: "O_NOFOLLOW"}
_PLACED_ARM = {0o40000: "O_DIRECTORY", 0o100000: "O_NOFOLLOW", 0o200000: "O_DIRECT", 0o400000: "O_LARGEFILE"}
_PLACED_POWERPC = _PLACED_ARM | {0o200000: "O_LARGEFILE", 0o400000: "O_DIRECT"}
_PLACED_BY_NAME = {"arm": _PLACED_ARM, "aarch64": _PLACED_ARM, "ppc": _PLACED_POWERPC}
_MIPS = {0x100: "O_CREAT", 0x400: "O_EXCL", 0x800: "O_NOCTTY", 0x200: "O_TRUNC", 0x8: "O_APPEND",
         0x80: "O_NONBLOCK", 0x10: "O_DSYNC", 0x1000: "O_ASYNC", 0x8000: "O_DIRECT", 0x2000: "O_LARGEFILE",
         0x10000: "O_DIRECTORY", 0x20000: "O_NOFOLLOW", 0x40000: "O_NOATIME", 0x80000: "O_CLOEXEC",
         0x4000: "__O_SYNC", 0x200000: "O_PATH"}  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """What SFEmu kept of the memory of a call: bytes by address."""

    at: Mapping[int, bytes]

    def string(self, address: int) -> bytes | None:
        """Return the C string at an address, None where its bytes were not kept to its end."""
        data = self.at.get(address)
        end = data.find(b"\0") if data is not None else -1
        return data[:end] if data is not None and end >= 0 else None


def last_failed(calls: Sequence[Call], pieces: Sequence[MemoryPiece], mask: int) -> Call | None:
    """Return the call whose memory is kept as that of the last error: the last with such arguments."""
    wanted = {
        int(found[2]) - 1: int(found[3], 16)
        for piece in pieces
        if (found := TAG.match(piece.tag)) and found[1] == "last_err"
    }
    for call in reversed(calls):
        if call.ret is None or call.ret >= 0:
            continue
        args = dict(enumerate(value & mask for value in call.args))
        if all(args.get(index) == value & mask for index, value in wanted.items()):
            return call
    return None


def translate(
    calls: Sequence[Call],
    machine: Machine,
    contents: Contents,
    with_memory: Sequence[Call],
    contexts: Mapping[int, Context],
) -> list[Syscall]:
    """Return calls as our records have them, oldest first. `with_memory` are those whose memory was kept."""
    known = {(call.num, call.args) for call in with_memory}
    exact = {call.seq for call in with_memory}
    empty = Contents({})
    done = []
    for call in calls:
        has_memory = (call.num, call.args) in known
        one = _translated(call, machine, contents if has_memory else empty)
        if has_memory and call.seq not in exact and (one.path or one.peer or one.interface):
            one.note = _join(one.note, "what it names is read from memory at the stop")
        context = contexts.get(call.seq)
        if context is not None:
            one.ts_mono_ns = context.ts_ns
            one.return_address = machine.code_address(context.returns[0]) if context.returns else None
        done.append(one)
    return done


def _join(first: str | None, second: str) -> str:
    return f"{first}; {second}" if first else second


def name_of(call: Call, machine: Machine) -> str:
    """Return the name of a call: by its number where SFEmu had none, or that of another architecture."""
    by_number = machine.arch.syscall_name(call.num) if machine.arch else None
    if not call.name or call.name == f"sys_{call.num}" or (machine.arch and is_misnamed(call, machine)):
        return by_number or f"sys_{call.num}"
    # SFEmu calls both calls of ARM that are named select so; the kernel has two forms of it.
    return by_number if by_number is not None and by_number == f"_new{call.name}" else call.name


def is_misnamed(call: Call, machine: Machine) -> bool:
    """Tell whether SFEmu's scripts named a call of another architecture by its number on ARM."""
    if machine.arch is None or BY_ARM_NUMBER.get(call.num) != call.name:
        return False
    return machine.arch.syscall_name(call.num) not in (call.name, f"_new{call.name}")


def _translated(call: Call, machine: Machine, contents: Contents) -> Syscall:
    arch = machine.arch
    name = name_of(call, machine)
    args = [value & machine.mask for value in call.args]
    one = Syscall(
        seq=call.seq,
        name=name,
        num=call.num,
        args=args,
        intercepted=call.intercepted,
        arch=machine.name or None,
    )
    _set_result(one, call, machine)
    if is_misnamed(call, machine):
        one.note = f"SFEmu named it {call.name}, which has this number on ARM: it asks a rule of that name"
    if call.intercepted:
        if name in _REPAIRED:
            one.note = "answered by SFEmu: by a rule, or by making the call in its place"
        else:
            one.rule = f"sfemu/{call.name or name}"
            one.note = _join(one.note, "answered by a rule of SFEmu")
    texts = _texts(name, args, machine, contents)
    if arch is not None:
        _add_subject(one, arch, contents)
        texts = decode_arguments(arch, name, texts, args, one.peer)
        _name_values(one, arch, texts)
    one.arguments = [text[:_MAX_TEXT] for text in texts]
    place = PATH_ARGUMENT.get(name)
    if place is not None and place < len(args) and (path := contents.string(args[place])) is not None:
        one.path = path.decode("utf-8", "backslashreplace")
    return one


def _set_result(one: Syscall, call: Call, machine: Machine) -> None:
    if call.ret is None:
        return
    if -4095 <= call.ret < 0:
        one.ret = call.ret
        kind = machine.arch.errno_kind if machine.arch else "generic"
        one.errno = errno_names(kind).get(-call.ret, f"E{-call.ret}")
    else:
        one.ret = call.ret & machine.mask if call.ret < 0 or one.name in RETURN_ADDRESSES else call.ret


def _texts(name: str, args: Sequence[int], machine: Machine, contents: Contents) -> list[str]:
    """Return each argument: a text in quotes, an address in hexadecimal, a number with its sign."""
    kinds = argument_kinds(name)
    if kinds is None:
        kinds = "v" * min(6, len(args))
    bits = machine.mask.bit_length()
    found = []
    for kind, value in zip(kinds, args, strict=False):
        is_input = kind == "p" and OPERATIONS.get(name) not in ("read", "poll")
        text = contents.string(value) if is_input else None
        if text is not None and _is_text(text):
            found.append(f'"{text.decode("utf-8", "backslashreplace")}"')
        elif kind == "p":
            found.append(f"0x{value:x}" if value else "NULL")
        elif value >> (bits - 1):
            found.append(str(value - (1 << bits)))
        elif bits == 64 and value >> 31 == 1:
            # An int of 32 bits; its upper half is not sign-extended everywhere.
            found.append(str(value - (1 << 32)))
        else:
            found.append(str(value) if value < 1 << 20 else f"0x{value:x}")
    return found


def _is_text(text: bytes) -> bool:
    return bool(text) and all(byte >= 0x20 or byte in b"\t\n\r" for byte in text) and b"\x7f" not in text


def _add_subject(one: Syscall, arch: Arch, contents: Contents) -> None:
    """Take peer, request and interface from the call's memory."""
    at = _ADDRESSES.get(one.name)
    if at is not None and at < len(one.args) and (data := contents.at.get(one.args[at])):
        length = one.args[at + 1] if at + 1 < len(one.args) else len(data)
        one.peer = _peer(arch, data[: min(length, 128)] if length else data[:128])
    if one.name == "ioctl" and len(one.args) > 1:
        one.request = request_name(arch, one.args[1])
        data = contents.at.get(one.args[2]) if len(one.args) > 2 else None
        structure = structure_of(arch, "ioctl", one.args, 2, one.request)
        if data and structure is not None and structure.name == "ifreq":
            name = data[:16].partition(b"\0")[0]
            if _is_text(name):
                one.interface = name.decode("ascii", "backslashreplace")


def _peer(arch: Arch, data: bytes) -> str | None:
    """Return a socket address in the words of our records: "unix:/run/x", "inet:1.2.3.4:80"."""
    structure = structure_of(arch, "connect", (), 1)
    fields = {one.name: one.text for one in fields_of(arch, structure, data)} if structure else {}
    if "sun_path" in fields:
        return f"unix:{fields['sun_path'][1:-1]}"
    if "sin_addr" in fields:
        return f"inet:{fields['sin_addr']}:{fields.get('sin_port', '0')}"
    if "sin6_addr" in fields:
        return f"inet6:[{fields['sin6_addr']}]:{fields.get('sin6_port', '0')}"
    if "nl_pid" in fields:
        return f"netlink:port {fields['nl_pid']} groups {fields.get('nl_groups', '0')}"
    return None


def _name_values(one: Syscall, arch: Arch, texts: list[str]) -> None:
    """Name what QEMU's log names itself, and so what no decoder of its texts does."""
    name, args = one.name, one.args
    if name in _OPENS and len(texts) > _OPENS[name]:
        _name_flags(arch, name, texts, args)
    elif name == "ioctl" and len(texts) > 2:
        texts[1] = one.request or texts[1]
        texts[2] = f'{{"{one.interface}"}}' if one.interface else f"0x{args[2]:x}" if args[2] else "NULL"
    elif name == "socket" and len(texts) > 1:
        kinds = _SOCKETS_MIPS if arch.name.startswith("mips") else _SOCKETS
        texts[1] = kinds.get(args[1] & 0xF, texts[1])
    elif name in _ACCESSES and len(texts) > _ACCESSES[name]:
        mode = args[_ACCESSES[name]]
        names = [word for bit, word in ((4, "R_OK"), (2, "W_OK"), (1, "X_OK")) if mode & bit]
        texts[_ACCESSES[name]] = "|".join(names) if 0 < mode < 8 else "F_OK" if not mode else str(mode)


def _name_flags(arch: Arch, name: str, texts: list[str], args: Sequence[int]) -> None:
    index = _OPENS[name]
    flags = args[index] & 0xFFFFFFFF
    if arch.name.startswith("mips"):
        known = _MIPS
    else:
        placed = (own for begin, own in _PLACED_BY_NAME.items() if arch.name.startswith(begin))
        known = _COMMON | next(placed, _PLACED)
    words = [_ACCESS[flags & 3]]
    left = flags & ~3
    for bit, word in known.items():
        if left & bit:
            words.append(word)
            left &= ~bit
    if left:
        words.append(hex(left))
    texts[index] = "|".join(words)
    if not {"O_CREAT", "O_TMPFILE"} & set(words):
        del texts[index + 1 :]
    elif len(texts) > index + 1:
        texts[index + 1] = f"0{args[index + 1] & 0o7777:o}"
