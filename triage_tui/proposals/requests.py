"""Requests of ioctl(2) to devices whose answer is known: number, structure and values by architecture.

They are `requests` of the templates' files. A request's number follows from its code by asm-generic/ioctl.h,
and by the same of mips and powerpc, which have the direction in three bits; its structure is laid out as the
architecture of the run has it (`runs/struct_layout.py`).
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.runs import guest_abi
from triage_tui.runs.struct_layout import Field, Layout, lay_out

MAX_ANSWER = 4096
"""Bytes of a structure that a rule fills in."""
_CODE = re.compile(r"(?:(\S)|0x([0-9a-f]{2})) (\d{1,3}) (none|read|write|both)")
_FEW_SIZES = ("mips", "ppc", "alpha", "sparc")
"""Beginnings of the architectures with 13 bits of size, and three of direction."""
_NOW = ("tm_sec", "tm_min", "tm_hour", "tm_mday", "tm_mon", "tm_year", "tm_wday", "tm_yday")
"""What `now.NAME` can stand for: the fields of a struct tm, of the time at which the run was recorded."""

_Line = Annotated[str, Meta(min_length=1, max_length=600)]


class RequestEntry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One request as it is written.

    `code` is letter (or 0x12), number and direction of an encoded request, `number` that of any other, with
    `number_mips` and `number_ppc` where those have another. Without `values` the request needs no answer but
    that it was carried out.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z0-9_]{0,63}$")]
    code: str = ""
    number: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] = 0
    number_mips: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] = 0
    number_ppc: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] = 0
    struct: str = ""
    header: str = ""
    fields: str = ""
    values: dict[str, int | str] | None = None
    at: Annotated[int, Meta(ge=0, le=MAX_ANSWER, description="bytes before the fields that stay")] = 0
    risk: _Line = "the values are made up"


class Answer(msgspec.Struct, frozen=True):
    """What is known of one request on one architecture."""

    name: str
    number: int
    structure: str
    """In words: "struct rtc_time (36 bytes)", "" where nothing is to be filled in."""
    code: str
    """A Lua expression: the bytes to write, "" where nothing is to be filled in."""
    at: int
    """Where from the argument they go."""
    risk: str


def request_number(entry: RequestEntry, arch: str) -> int:
    """Return the number of a request on an architecture.

    Raises:
        ValueError: its code or its fields are not of their form.
    """
    few = arch.startswith(_FEW_SIZES)
    if not entry.code:
        own = entry.number_mips if arch.startswith("mips") else entry.number_ppc if few else 0
        return own or entry.number
    match = _CODE.fullmatch(entry.code)
    if match is None or int(match[3]) > 0xFF:
        raise ValueError(f"{entry.code!r} is not LETTER NUMBER DIRECTION, such as 'p 9 read'")
    letter = ord(match[1]) if match[1] else int(match[2], 16)
    size = _layout(entry, arch).size
    direction = {"none": 0, "write": 1, "read": 2, "both": 3}[match[4]]
    top = {0: 1, 1: 4, 2: 2, 3: 6}[direction] << 29 if few else direction << 30
    return top | size << 16 | (letter & 0xFF) << 8 | int(match[3])


def _layout(entry: RequestEntry, arch: str) -> Layout:
    if not entry.fields:
        return Layout(0, {})
    return lay_out(entry.fields, arch, guest_abi.word(arch))


def problems(entry: RequestEntry) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong) of a request whose form is right."""
    try:
        for arch in ("arm", "mips64el", "i386"):
            request_number(entry, arch)
            if _layout(entry, arch).size + entry.at > MAX_ANSWER:
                yield "fields", f"are more than the {MAX_ANSWER} bytes that a rule fills in"
                return
    except ValueError as error:
        yield ("code" if entry.code and "DIRECTION" in str(error) else "fields"), str(error)
        return
    if not entry.code and not entry.number:
        yield "number", "or code is needed: which request it is"
    fields = _layout(entry, "arm").fields
    for name, value in (entry.values or {}).items():
        if name not in fields:
            yield f"values.{name}", "is no field"
        elif not _fits(fields[name], value):
            yield f"values.{name}", f"{value!r} does not fit a field of {fields[name].size} bytes"


def _fits(field: Field, value: int | str) -> bool:
    if field.kind == "bytes":
        return isinstance(value, str) and len(value.encode()) <= field.size
    if isinstance(value, str):
        return value.removeprefix("now.") in _NOW and field.size >= 2
    bits = 8 * field.size
    low = -(1 << bits - 1) if field.kind == "signed" else 0
    return low <= value < 1 << (bits - 1 if field.kind == "signed" else bits)


def known_answer(
    entries: Iterable[RequestEntry], arch: str, number: int, name: str, recorded: str
) -> Answer | None:
    """Return the answer to a request, None for one that is not known.

    `number` is that of the call, 0 where only its `name` is known; `recorded` is the time of the record, in
    the form of ISO 8601.
    """
    for entry in entries:
        own = request_number(entry, arch)
        if own == number & 0xFFFFFFFF if number else entry.name == name:
            return _answer(entry, arch, own, recorded)
    return None


def _answer(entry: RequestEntry, arch: str, number: int, recorded: str) -> Answer:
    if entry.values is None:
        return Answer(entry.name, number, "", "", 0, entry.risk)
    layout = _layout(entry, arch)
    sign = ">" if guest_abi.endian(arch) == "big" else "<"
    values = _filled(entry.values, recorded)
    lines: list[tuple[str, str]] = []
    end = 0
    for name, field in layout.fields.items():
        if field.offset > end:
            lines.append((lua_string(bytes(field.offset - end)), "padding"))
        lines.append((_packed(field, values.get(name, 0), sign), name))
        end = field.offset + field.size
    if layout.size > end:
        lines.append((lua_string(bytes(layout.size - end)), "padding"))
    kind = entry.struct if " " in entry.struct or not entry.struct else f"struct {entry.struct}"
    shown = f"{kind or 'a number'} ({layout.size} byte{'' if layout.size == 1 else 's'})"
    text = "\n      .. ".join(f"{code} -- {name}" for code, name in lines)
    return Answer(entry.name, number, shown, text, entry.at, entry.risk)


def _packed(field: Field, value: int | str, sign: str) -> str:
    if field.kind == "bytes":
        data = value.encode() if isinstance(value, str) else b""
        if not data:
            return f'string.rep("\\000", {field.size})'
        return lua_string(data.ljust(field.size, b"\0"))
    letter = "i" if field.kind == "signed" else "I"
    return f'string.pack("{sign}{letter}{field.size}", {value})'


def _filled(values: Mapping[str, int | str], recorded: str) -> dict[str, int | str]:
    """Return the values with `now.NAME` replaced by that part of the time of the record, in UTC."""
    moment = 0
    with suppress(ValueError):
        moment = calendar.timegm(datetime.fromisoformat(recorded).utctimetuple())
    at = time.gmtime(max(0, moment))
    parts = {
        "tm_sec": at.tm_sec, "tm_min": at.tm_min, "tm_hour": at.tm_hour, "tm_mday": at.tm_mday,
        # A struct tm counts months from 0 and years from 1900; its week begins with Sunday.
        "tm_mon": at.tm_mon - 1, "tm_year": at.tm_year - 1900, "tm_wday": (at.tm_wday + 1) % 7,
        "tm_yday": at.tm_yday - 1,
    }  # fmt: skip
    return {
        name: parts[value.removeprefix("now.")]
        if isinstance(value, str) and value.startswith("now.")
        else value
        for name, value in values.items()
    }


def statements(answers: Iterable[Answer]) -> str:
    """Return Lua statements that answer each request; `request` is its number there, `a3` its argument."""
    return "\n".join(_statement(answer) for answer in answers)


def _statement(answer: Answer) -> str:
    if not answer.code:
        return (
            f"  if request == 0x{answer.number:x} then -- {answer.name}, which gives nothing back\n"
            f'    c_log("said that {answer.name} was carried out")\n'
            "    return 1, 0\n"
            "  end"
        )
    place = f"a3 + {answer.at}" if answer.at else "a3"
    return (
        f"  if request == 0x{answer.number:x} then -- {answer.name}: {answer.structure}\n"
        f"    local _, rc = c_write_bytes({place}, {answer.code}\n    )\n"
        f'    c_log("answered {answer.name}, rc " .. rc)\n'
        "    if rc == 0 then\n"
        "      return 1, 0\n"
        "    end\n"
        "  end"
    )


def sized_answer(arch: str, number: int) -> int:
    """Return the bytes that a request gives back by its number (asm-generic/ioctl.h), 0 where none."""
    number &= 0xFFFFFFFF
    if arch.startswith(_FEW_SIZES):
        direction, size = number >> 29, number >> 16 & 0x1FFF
        reads = direction in (2, 6)
    else:
        direction, size = number >> 30, number >> 16 & 0x3FFF
        reads = direction == 2
    return size if reads and 0 < size <= MAX_ANSWER and number >> 16 else 0
