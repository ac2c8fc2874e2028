"""The arguments of a recorded call as numbers, and what is known of the memory that they point to."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from triage_tui.rulebook.check import call_shapes
from triage_tui.rulebook.check.call_shapes import Buffer
from triage_tui.runs import guest_abi
from triage_tui.runs.model import Syscall

_MADE_UP = 0x10000000
"""Where a string lies whose address is not recorded; those of other arguments follow at equal distances."""
_DISTANCE = 0x100000
_NUMBER = re.compile(r"-?(?:0x[0-9a-fA-F]{1,16}|[0-9]{1,20})")
_WORDS = {"NULL": 0, "AT_FDCWD": -100}
_OPEN_FLAGS = {
    "O_RDONLY": 0, "O_WRONLY": 1, "O_RDWR": 2, "O_CREAT": 0o100, "O_EXCL": 0o200, "O_NOCTTY": 0o400,
    "O_TRUNC": 0o1000, "O_APPEND": 0o2000, "O_NONBLOCK": 0o4000, "O_DSYNC": 0o10000, "O_SYNC": 0o4010000,
    "O_DIRECT": 0o40000, "O_LARGEFILE": 0o100000, "O_DIRECTORY": 0o200000, "O_NOFOLLOW": 0o400000,
    "O_NOATIME": 0o1000000, "O_CLOEXEC": 0o2000000, "O_PATH": 0o10000000,
}  # fmt: skip
"""asm-generic/fcntl.h; what other architectures have otherwise follows (arch/*/include/uapi/asm/fcntl.h)."""
_ARM = {"O_DIRECTORY": 0o40000, "O_NOFOLLOW": 0o100000, "O_DIRECT": 0o200000, "O_LARGEFILE": 0o400000}
_FLAGS_OF = {
    "arm": _ARM,
    "aarch64": _ARM,
    "ppc": {"O_DIRECTORY": 0o40000, "O_NOFOLLOW": 0o100000, "O_LARGEFILE": 0o200000, "O_DIRECT": 0o400000},
    "mips": {
        "O_APPEND": 0x8, "O_DSYNC": 0x10, "O_NONBLOCK": 0x80, "O_CREAT": 0x100, "O_TRUNC": 0x200,
        "O_EXCL": 0x400, "O_NOCTTY": 0x800, "O_LARGEFILE": 0x2000, "O_SYNC": 0x4010, "O_DIRECT": 0x8000,
    },
}  # fmt: skip
_FAMILIES = {"unix": 1, "inet": 2}


class Place(msgspec.Struct):
    """Memory of one argument. `size` None: how long it is is not known. `content` is what is known of it."""

    argument: int
    start: int
    size: int | None
    content: bytes | None = None
    is_text: bool = False


class Given(msgspec.Struct):
    """A recorded call as a rule gets it."""

    arguments: list[int]
    unknown: set[int] = msgspec.field(default_factory=set)
    """Numbers (from 1) of the arguments whose values are not recorded; they stand as 0."""
    places: list[Place] = msgspec.field(default_factory=list)
    complete: bool = False
    """Whether the places are all the memory that this call is about."""


def given(call: Syscall, arch: str) -> Given:
    """Return the arguments of a call and the memory behind them, as far as they are recorded."""
    found = _numbers(call, arch)
    buffers = call_shapes.buffers_of(call.name.lower())
    mask = (1 << 8 * guest_abi.word(arch)) - 1
    for index, value in enumerate(found.arguments):
        found.arguments[index] = value & mask
    for buffer in buffers or _guessed(call):
        place = _place(call, buffer, found, arch)
        if place is not None:
            found.places.append(place)
    found.complete = buffers is not None and not any(
        buffer.argument in found.unknown or buffer.argument > len(found.arguments) for buffer in buffers
    )
    return found


def _numbers(call: Syscall, arch: str) -> Given:
    if call.args:
        return Given(list(call.args))
    found = Given([])
    for number, text in enumerate(call.arguments, 1):
        text = text.strip()
        if text.startswith('"'):
            found.arguments.append(_MADE_UP + number * _DISTANCE)
        elif text in _WORDS:
            found.arguments.append(_WORDS[text])
        elif _NUMBER.fullmatch(text):
            found.arguments.append(int(text, 0) if text.lstrip("-").startswith("0x") else int(text))
        elif (flags := _flags(text, arch)) is not None:
            found.arguments.append(flags)
        else:
            found.arguments.append(0)
            found.unknown.add(number)
    return found


def _flags(text: str, arch: str) -> int | None:
    """Return what flags of open come to, None for anything else."""
    family = next((name for name in _FLAGS_OF if arch.startswith(name)), "")
    table = _OPEN_FLAGS | _FLAGS_OF.get(family, {})
    value = 0
    for word in text.split("|"):
        if word in table:
            value |= table[word]
        elif _NUMBER.fullmatch(word) and value and not word.startswith("-"):
            value |= int(word, 0) if word.startswith("0x") else int(word, 8 if word.startswith("0") else 10)
        else:
            return None
    return value


def _guessed(call: Syscall) -> tuple[Buffer, ...]:
    """Return the texts among the arguments of a syscall whose memory is not in the tables."""
    return tuple(
        Buffer(number, "in", "path")
        for number, text in enumerate(call.arguments, 1)
        if text.startswith('"') and call.path is not None and call.path in text
    )


def _place(call: Syscall, buffer: Buffer, found: Given, arch: str) -> Place | None:
    number = buffer.argument
    if number > len(found.arguments) or number in found.unknown or not found.arguments[number - 1]:
        return None
    start = found.arguments[number - 1]
    if buffer.size == "path":
        text = _text_of(call, number)
        content = text + b"\0" if text is not None else None
        return Place(number, start, len(content) if content else None, content, is_text=True)
    if call_shapes.size_arguments(buffer) & found.unknown:
        return Place(number, start, None)
    size = call_shapes.size_at(buffer, found.arguments, arch)
    content = _address_bytes(call, arch) if buffer.direction == "in" and size else None
    if content is not None and size is not None:
        content = content[:size].ljust(size, b"\0")
    return Place(number, start, size, content)


def _text_of(call: Syscall, number: int) -> bytes | None:
    """Return the text of argument `number`, None where it is not recorded."""
    shown = call.arguments[number - 1] if number <= len(call.arguments) else ""
    if call.path is not None and (not shown or call.path in shown or not shown.startswith('"')):
        return call.path.encode("utf-8", "surrogateescape")
    if shown.startswith('"') and shown.endswith('"') and len(shown) > 1 and "\\" not in shown:
        return shown[1:-1].encode("utf-8", "surrogateescape")
    return None


def _address_bytes(call: Syscall, arch: str) -> bytes | None:
    """Return the socket address of a call as the guest has it in memory, None where it is not recorded."""
    if call.peer is None:
        return None
    kind, _, rest = call.peer.partition(":")
    if kind not in _FAMILIES:
        return None
    family = _FAMILIES[kind].to_bytes(2, guest_abi.endian(arch))
    if kind == "unix":
        return family + rest.encode("utf-8", "surrogateescape") + b"\0"
    host, _, port = rest.rpartition(":")
    with suppress(OSError, ValueError, OverflowError):
        return family + int(port).to_bytes(2, "big") + socket.inet_pton(socket.AF_INET, host)
    return None


def place_at(places: Sequence[Place], address: int) -> Place | None:
    """Return the place that an address lies in; one of unknown size reaches to the next page border."""
    for place in places:
        size = place.size if place.size is not None else 4096
        if place.start <= address < place.start + size:
            return place
    return None
