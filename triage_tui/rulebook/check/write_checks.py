"""Writes of a rule that leave the memory of the argument they go to, as far as its text alone tells it."""

from __future__ import annotations

from collections.abc import Iterator

from triage_tui.rulebook.check import call_shapes
from triage_tui.rulebook.check.body import Act, Body, comparisons
from triage_tui.rulebook.check.call_shapes import Buffer
from triage_tui.rulebook.check.findings import Finding
from triage_tui.rulebook.lua.forms import Binary, Call, Expression
from triage_tui.rulebook.lua.values import Argument, Scope, arguments_in, constant, parts, resolve

_SIZED = {"c_write_guest_u32": 4, "c_write_guest_u64": 8}
_WRITERS = frozenset(("c_write_bytes", "c_write_guest_bytes", *_SIZED))
_READERS = frozenset(("c_read_string", "c_read_guest_string", "c_read_bytes", "c_read_guest_bytes"))


def check_writes(body: Body, syscall: str, arch: str = "") -> Iterator[Finding]:
    """Yield the writes to memory that do not stay where the argument's own memory is."""
    buffers = call_shapes.buffers_of(syscall)
    if buffers is None:
        return
    for act in body.changes:
        if act.call is not None and act.call.name in _WRITERS and act.call.arguments:
            yield from _write(act, act.call, buffers, syscall, arch)


def _write(act: Act, call: Call, buffers: tuple[Buffer, ...], syscall: str, arch: str) -> Iterator[Finding]:
    place = _place(call.arguments[0], act.scope)
    if place is None:
        return
    number, offset = place
    buffer = next((one for one in buffers if one.argument == number), None)
    if buffer is None:
        pointers = " and ".join(str(one.argument) for one in buffers)
        told = f"argument {number} of {syscall} is no address (of its arguments, {pointers} can be)"
        yield Finding(call.line, "error", "no-address", told)
        return
    if offset < 0:
        told = f"writes {-offset} bytes before the memory of argument {number}"
        yield Finding(call.line, "error", "outside", told)
        return
    length = _length(call, act.scope)
    room = _room(act, buffer, arch)
    if room is not None:
        if length is not None and offset + length > room:
            what = "the text there has" if buffer.size == "path" else f"argument {number} has"
            told = f"writes {offset + length} bytes where {what} {room}: the rest is other memory"
            yield Finding(call.line, "error", "outside", told)
        return
    size_places = call_shapes.size_arguments(buffer)
    if buffer.size == "path":
        told = "writes over the text of an argument: what is longer than that text goes into other memory"
        yield Finding(call.line, "warning", "unbounded-write", told)
    elif size_places and not _looks_at(act, call, size_places):
        (size_place,) = size_places
        much = f"{offset + length} bytes" if length is not None else "bytes"
        told = f"writes {much} to argument {number} without looking at argument {size_place}, which says"
        told += " what is asked there" if buffer.size == "ioctl" else " how much room there is"
        yield Finding(call.line, "warning", "unbounded-write", told)


def _place(address: Expression, scope: Scope) -> tuple[int, int] | None:
    """Return the argument and the offset that an address is made of, None where it is anything else."""
    value = resolve(address, scope)
    if isinstance(value, Argument) and value.number > 0:
        return value.number, 0
    if isinstance(value, Binary) and value.operator in ("+", "-"):
        ways = [(value.left, value.right)]
        ways += [(value.right, value.left)] if value.operator == "+" else []
        for base, more in ways:
            argument, number = resolve(base, scope), constant(more, scope)
            if (
                isinstance(argument, Argument)
                and argument.number > 0
                and number is not None
                and isinstance(number.value, int)
            ):
                return argument.number, number.value if value.operator == "+" else -number.value
    return None


def _length(call: Call, scope: Scope) -> int | None:
    if call.name in _SIZED:
        return _SIZED[call.name]
    data = constant(call.arguments[1], scope) if len(call.arguments) > 1 else None
    return len(data.value) if data is not None and isinstance(data.value, bytes) else None


def _room(act: Act, buffer: Buffer, arch: str) -> int | None:
    """Return how many bytes an argument has at the calls that the rule acts on, None where it is not told."""
    if buffer.size == "path":
        texts = [
            len(known.value) + 1
            for one in comparisons(act.conditions)
            if one.operator == "==" and one.certain
            for text, other in ((one.left, one.right), (one.right, one.left))
            if (known := constant(text, one.scope)) is not None
            and isinstance(known.value, bytes)
            and _is_read_from(other, one.scope, buffer.argument)
        ]
        return texts[0] if texts else None
    if buffer.size == "ioctl":
        requests = _equal_to(act, 2)
        sizes = {call_shapes.request_size(request, arch) for request in requests} if arch else set()
        known_sizes = [size for size in sizes if size is not None]
        return max(known_sizes) if known_sizes and None not in sizes else None
    fixed = call_shapes.fixed_size(buffer, arch)
    if fixed is not None:
        return fixed
    size_places = call_shapes.size_arguments(buffer)
    if buffer.size in {f"a{place}" for place in size_places}:
        lengths = _equal_to(act, *size_places)
        return max(lengths) if lengths else None
    return None


def _is_read_from(value: Expression, scope: Scope, argument: int) -> bool:
    reads = any(isinstance(one, Call) and one.name in _READERS for one in parts(value, scope))
    return reads and argument in arguments_in(value, scope)


def _equal_to(act: Act, argument: int) -> list[int]:
    """Return the numbers that an argument must be equal to for the act."""
    return [
        known.value & 0xFFFFFFFF
        for one in comparisons(act.conditions)
        if one.operator == "==" and one.certain
        for number, other in ((one.left, one.right), (one.right, one.left))
        if (known := constant(number, one.scope)) is not None
        and type(known.value) is int
        and arguments_in(other, one.scope) == {argument}
    ]


def _looks_at(act: Act, call: Call, places: set[int]) -> bool:
    """Whether the arguments that say how much room there is have a part in whether or what is written."""
    looked = {
        number
        for one in comparisons(act.conditions)
        for side in (one.left, one.right)
        for number in arguments_in(side, one.scope)
    }
    for argument in call.arguments[1:]:
        looked |= arguments_in(argument, act.scope)
    return bool(places & looked)
