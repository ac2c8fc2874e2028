"""The wire format of protocol buffers, as far as CRIU's images need it, both ways.

https://protobuf.dev/programming-guides/encoding/. A message is described by a `Shape`: for each field its
number and its kind. What is read is hostile: lengths are bounded by the data, nesting by the shapes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from triage_tui.errors import TriageError

_MAX_VARINT = 10
_MAX_REPEATED = 1 << 17
"""Values of one field of a message."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SCALARS = frozenset(("unsigned", "int", "zigzag", "bool"))


class Damaged(TriageError):
    """The bytes are no such message."""


class Field(NamedTuple):
    """One field of a message.

    `kind` is "unsigned", "int" (negative numbers as two's complement), "zigzag", "bool", "fixed64", "bytes",
    "text", or the name of a message.
    """

    number: int
    kind: str
    repeated: bool = False
    required: bool = False


Shape = Mapping[str, Field]
Message = dict[str, Any]


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(shapes: Mapping[str, Shape], name: str, message: Message) -> bytes:
    """Return the bytes of a message of the shape `name`.

    Raises:
        KeyError: it has a field that the shape has not, or lacks one that is required.
    """
    shape = shapes[name]
    if unknown := set(message) - set(shape):
        raise KeyError(f"{name} has no {', '.join(sorted(unknown))}")
    out = bytearray()
    for key, field in sorted(shape.items(), key=lambda item: item[1].number):
        if field.required and key not in message:
            raise KeyError(f"{name} needs {key}")
        value = message.get(key)
        if value is None:
            continue
        for one in value if field.repeated else (value,):
            out += _encoded(shapes, field, one)
    return bytes(out)


def _encoded(shapes: Mapping[str, Shape], field: Field, value: Any) -> bytes:
    tag = field.number << 3
    match field.kind:
        case "unsigned" | "int" | "bool":
            return _varint(tag | _VARINT) + _varint(int(value))
        case "zigzag":
            return _varint(tag | _VARINT) + _varint(value << 1 if value >= 0 else (-value << 1) - 1)
        case "fixed64":
            return _varint(tag | _FIXED64) + struct.pack("<Q", value)
        case "bytes":
            data = bytes(value)
        case "text":
            data = value.encode("utf-8", "surrogateescape")
        case kind:
            data = encode(shapes, kind, value)
    return _varint(tag | _BYTES) + _varint(len(data)) + data


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT):
        if at >= len(data):
            raise Damaged("a number is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & ((1 << 64) - 1), at
    raise Damaged("a number is too long")


def decode(shapes: Mapping[str, Shape], name: str, data: bytes | memoryview) -> Message:
    """Return the message of the shape `name` in `data`; fields that the shape does not know are passed over.

    Raises:
        Damaged: it is no such message, or lacks a field that is required.
    """
    shape = shapes[name]
    by_number = {field.number: (key, field) for key, field in shape.items()}
    view = memoryview(data)
    message: Message = {key: [] for key, field in shape.items() if field.repeated}
    at = 0
    while at < len(view):
        tag, at = _read_varint(view, at)
        known = by_number.get(tag >> 3)
        wire = tag & 7
        part: int | memoryview
        if wire == _VARINT:
            part, at = _read_varint(view, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            part = int.from_bytes(view[at : at + size], "little")
            at += size
        elif wire == _BYTES:
            size, at = _read_varint(view, at)
            part = view[at : at + size]
            if len(part) < size:
                raise Damaged(f"{name} is cut off")
            at += size
        else:
            raise Damaged(f"{name} holds a field of an unknown type")
        if at > len(view):
            raise Damaged(f"{name} is cut off")
        if known is None:
            continue
        key, field = known
        values = _decoded(shapes, name, field, part)
        if field.repeated:
            message[key] += values
            if len(message[key]) > _MAX_REPEATED:
                raise Damaged(f"{name} holds more than {_MAX_REPEATED} of {key}")
        else:
            message[key] = values[-1]
    missing = [key for key, field in shape.items() if field.required and key not in message]
    if missing:
        raise Damaged(f"{name} lacks {missing[0]}")
    return message


def _decoded(shapes: Mapping[str, Shape], name: str, field: Field, part: int | memoryview) -> list[Any]:
    if field.kind in _SCALARS:
        if isinstance(part, int):
            return [_number(field.kind, part)]
        if field.repeated:
            found: list[Any] = []
            at = 0
            while at < len(part) and len(found) <= _MAX_REPEATED:
                value, at = _read_varint(part, at)
                found.append(_number(field.kind, value))
            return found
    elif field.kind == "fixed64" and isinstance(part, int):
        return [part]
    elif isinstance(part, memoryview):
        if field.kind == "bytes":
            return [bytes(part)]
        if field.kind == "text":
            return [bytes(part).decode("utf-8", "surrogateescape")]
        return [decode(shapes, field.kind, part)]
    raise Damaged(f"{name} holds a field of another type than it should")


def _number(kind: str, value: int) -> int:
    if kind == "zigzag":
        return value >> 1 if not value & 1 else -(value + 1 >> 1)
    if kind == "int":
        return value - (1 << 64) if value >> 63 else value
    return value
