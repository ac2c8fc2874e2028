"""Read call frame information: where a function's caller and its registers are, for any of its instructions.

Format: DWARF 5, section 6.4 (`.debug_frame`), and its variant `.eh_frame` (Linux Standard Base, "Exception
Frames"). The bytes come from the guest: a table is indexed once, without decoding what nobody asks for, and
every loop over it is bounded. Whatever is damaged counts as not there.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from typing import Literal

import msgspec

MAX_TABLE = 32 << 20
"""Largest table that is read, in bytes."""
MAX_ENTRIES = 100_000
MAX_STEPS = 20_000
"""Instructions executed for one row."""
MAX_RULES = 256
"""Registers in one row; the most that an architecture numbers is about a hundred that are saved."""
MAX_EXPRESSION = 1024
"""Bytes of one expression."""
_MAX_STATES = 64

RuleKind = Literal["offset", "val_offset", "register", "expression", "val_expression", "same", "undefined"]


class Rule(msgspec.Struct, frozen=True):
    """How to get one register of the caller (DWARF 5, 6.4.1)."""

    kind: RuleKind
    number: int = 0
    """Distance from the CFA in bytes, or a register number."""
    expression: bytes = b""


class Row(msgspec.Struct):
    """What holds at one instruction. Registers are DWARF numbers; addresses are the file's own."""

    start: int
    """Where the entry (most often a function) starts."""
    return_register: int
    """The column that holds the return address."""
    cfa_register: int = -1
    cfa_offset: int = 0
    cfa_expression: bytes = b""
    """Used instead of register and offset where it is not empty."""
    rules: dict[int, Rule] = msgspec.field(default_factory=dict)
    signal: bool = False
    """True for code that the kernel enters a signal handler through."""


class DamagedError(ValueError):
    """The table cannot be what it says it is."""


class Reader:
    """A cursor over table bytes. Every method raises `DamagedError` beyond the end."""

    def __init__(self, data: bytes, at: int, end: int, little: bool, word: int) -> None:
        self.data, self.at, self.end = data, at, min(end, len(data))
        self.order, self.word = "<" if little else ">", word

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        if size < 0 or self.at + size > self.end:
            raise DamagedError("cut off")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int, *, signed: bool = False) -> int:
        """Return the next integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little" if self.order == "<" else "big", signed=signed)

    def uleb(self) -> int:
        """Return the next unsigned LEB128 number (DWARF 5, 7.6)."""
        return self._leb()[0]

    def sleb(self) -> int:
        """Return the next signed LEB128 number."""
        value, bits = self._leb()
        return value - (1 << bits) if value >> (bits - 1) else value

    def _leb(self) -> tuple[int, int]:
        """Return the next LEB128 number as unsigned, and how many bits it was written with."""
        value = bits = 0
        while bits < 70:
            byte = self.number(1)
            value |= (byte & 0x7F) << bits
            bits += 7
            if byte < 0x80:
                return value, bits
        raise DamagedError("endless number")

    def text(self) -> bytes:
        """Return the bytes up to the next NUL."""
        end = self.data.find(0, self.at, min(self.end, self.at + 64))
        if end < 0:
            raise DamagedError("endless text")
        found = self.data[self.at : end]
        self.at = end + 1
        return found

    def pointer(self, encoding: int, address: int) -> int:
        """Return the next pointer in a DW_EH_PE encoding; `address` is where byte 0 of the data is loaded."""
        if encoding == 0xFF:
            return 0
        here = address + self.at
        kind = encoding & 0x0F
        if kind in (1, 9):
            value = self.uleb() if kind == 1 else self.sleb()
        else:
            sizes = {0: self.word, 2: 2, 3: 4, 4: 8, 8: self.word, 10: 2, 11: 4, 12: 8}
            if kind not in sizes:
                raise DamagedError("unknown pointer encoding")
            value = self.number(sizes[kind], signed=kind >= 8)
        if encoding & 0x70 == 0x10:
            value += here
        elif encoding & 0x70:
            raise DamagedError("unsupported pointer encoding")
        return value & ((1 << 8 * self.word) - 1)


class _Common(msgspec.Struct, frozen=True):
    """A CIE: what many entries share."""

    code_align: int
    data_align: int
    return_register: int
    encoding: int
    augmented: bool
    signal: bool
    start: int
    end: int
    """Where its initial instructions lie in the table."""


class CallFrameTable:
    """One `.eh_frame` or `.debug_frame`."""

    def __init__(self, data: bytes, address: int, *, little: bool, word: int, is_eh: bool) -> None:
        self._data = data[:MAX_TABLE]
        self._address = address
        self._little, self._word, self._is_eh = little, word, is_eh
        self._commons: dict[int, _Common | None] = {}
        self._entries: list[tuple[int, int, int, int, int]] | None = None

    def _reader(self, at: int, end: int) -> Reader:
        return Reader(self._data, at, end, self._little, self._word)

    def _blocks(self) -> Iterator[tuple[int, int, int, bool]]:
        """Yield (offset of the body, end, CIE offset or -1 for a CIE, 64-bit) of all entries."""
        at = 0
        order = "<" if self._little else ">"
        length32, length64 = struct.Struct(order + "I"), struct.Struct(order + "Q")
        for _ in range(MAX_ENTRIES):
            if at + 4 > len(self._data):
                return
            (size,) = length32.unpack_from(self._data, at)
            at += 4
            wide = size == 0xFFFFFFFF
            if wide:
                if at + 8 > len(self._data):
                    return
                (size,) = length64.unpack_from(self._data, at)
                at += 8
            if size == 0:
                if self._is_eh:
                    # A terminator; linkers leave some in the middle.
                    continue
                return
            field_size = 8 if wide and not self._is_eh else 4
            end = at + size
            if size < field_size or end > len(self._data):
                return
            value = int.from_bytes(self._data[at : at + field_size], "little" if self._little else "big")
            body = at + field_size
            if self._is_eh:
                yield body, end, (-1 if value == 0 else at - value), wide
            else:
                yield body, end, (-1 if value == (1 << 8 * field_size) - 1 else value), wide
            at = end

    def _common(self, offset: int) -> _Common | None:
        if offset not in self._commons:
            try:
                self._commons[offset] = self._read_common(offset)
            except DamagedError:
                self._commons[offset] = None
        return self._commons[offset]

    def _read_common(self, offset: int) -> _Common:
        if not 0 <= offset < len(self._data):
            raise DamagedError("no such CIE")
        reader = self._reader(offset, len(self._data))
        size = reader.number(4)
        wide = size == 0xFFFFFFFF
        if wide:
            size = reader.number(8)
        end = reader.at + size
        reader.end = min(end, len(self._data))
        reader.number(8 if wide and not self._is_eh else 4)
        version = reader.number(1)
        augmentation = reader.text()
        if version == 4:
            reader.take(2)
        if augmentation == b"eh":
            reader.take(self._word)
        code_align, data_align = reader.uleb(), reader.sleb()
        return_register = reader.number(1) if version == 1 else reader.uleb()
        encoding, signal = 0, False
        augmented = augmentation.startswith(b"z")
        if augmented:
            length = reader.uleb()
            after = reader.at + length
            for letter in augmentation[1:].decode("latin-1"):
                if letter == "R":
                    encoding = reader.number(1)
                elif letter == "L":
                    reader.number(1)
                elif letter == "P":
                    # The personality routine; an indirect pointer is read like any other.
                    reader.pointer(reader.number(1) & 0x7F, self._address)
                elif letter == "S":
                    signal = True
            reader.at = after
        return _Common(
            code_align, data_align, return_register, encoding, augmented, signal, reader.at, reader.end
        )

    def _index(self) -> list[tuple[int, int, int, int, int]]:
        """Return (start, end, CIE, first instruction, its end) of all entries, ordered."""
        if self._entries is None:
            found: list[tuple[int, int, int, int, int]] = []
            for body, end, offset, _wide in self._blocks():
                common = self._common(offset) if offset >= 0 else None
                if common is None:
                    continue
                reader = self._reader(body, end)
                try:
                    start = reader.pointer(common.encoding, self._address)
                    size = reader.pointer(common.encoding & 0x0F, self._address)
                    if common.augmented:
                        reader.take(reader.uleb())
                except DamagedError:
                    continue
                if size:
                    found.append((start, start + size, offset, reader.at, end))
            self._entries = sorted(found)
        return self._entries

    def _entry(self, vaddr: int) -> tuple[int, int, int, int, int] | None:
        entries = self._index()
        at = bisect.bisect_right(entries, (vaddr, 1 << 64, 1 << 64, 0, 0)) - 1
        return entries[at] if at >= 0 and entries[at][0] <= vaddr < entries[at][1] else None

    def ranges(self) -> list[tuple[int, int]]:
        """Return (start, end) of all functions that it covers, ordered."""
        return [(start, end) for start, end, *_ in self._index()]

    def start_of(self, vaddr: int) -> int | None:
        """Return where the entry that covers the file address `vaddr` starts, or None."""
        entry = self._entry(vaddr)
        return entry[0] if entry else None

    def row(self, vaddr: int) -> Row | None:
        """Return what holds at the file address `vaddr`, or None if the table says nothing (readable)."""
        entry = self._entry(vaddr)
        common = self._common(entry[2]) if entry else None
        if entry is None or common is None:
            return None
        row = Row(entry[0], common.return_register, signal=common.signal)
        try:
            self._run(common, common.start, common.end, row, {}, None)
            self._run(common, entry[3], entry[4], row, dict(row.rules), vaddr)
        except DamagedError:
            return None
        return row if row.cfa_expression or row.cfa_register >= 0 else None

    def _run(
        self, common: _Common, at: int, end: int, row: Row, initial: dict[int, Rule], vaddr: int | None
    ) -> None:
        """Execute call frame instructions until the location passes `vaddr`."""
        reader = self._reader(at, end)
        location = row.start
        states: list[tuple[dict[int, Rule], int, int, bytes]] = []
        scale = common.data_align
        for _ in range(MAX_STEPS):
            if reader.at >= reader.end:
                return
            op = reader.number(1)
            low = op & 0x3F
            moved: int | None = None
            match op >> 6:
                case 1:
                    moved = location + low * common.code_align
                case 2:
                    row.rules[low] = Rule("offset", reader.uleb() * scale)
                case 3:
                    _restore(row, initial, low)
                case _:
                    if op in _ADVANCES:
                        moved = location + reader.number(_ADVANCES[op]) * common.code_align
                    elif op == 0x01:
                        moved = reader.pointer(common.encoding, self._address)
                    elif op == 0x0A:
                        if len(states) >= _MAX_STATES:
                            raise DamagedError("too many states")
                        states.append((dict(row.rules), row.cfa_register, row.cfa_offset, row.cfa_expression))
                    elif op == 0x0B:
                        if not states:
                            raise DamagedError("no state to restore")
                        row.rules, row.cfa_register, row.cfa_offset, row.cfa_expression = states.pop()
                    else:
                        _set(reader, op, row, initial, scale)
            if len(row.rules) > MAX_RULES:
                raise DamagedError("too many registers")
            if moved is not None:
                if vaddr is not None and moved > vaddr:
                    return
                location = moved
        raise DamagedError("endless instructions")


_ADVANCES = {0x02: 1, 0x03: 2, 0x04: 4, 0x1D: 8}
"""DW_CFA_advance_loc1, 2, 4 and DW_CFA_MIPS_advance_loc8: bytes of the distance."""


def _restore(row: Row, initial: dict[int, Rule], register: int) -> None:
    if register in initial:
        row.rules[register] = initial[register]
    else:
        row.rules.pop(register, None)


def _expression(reader: Reader) -> bytes:
    size = reader.uleb()
    if size > MAX_EXPRESSION:
        raise DamagedError("expression too long")
    return reader.take(size)


def _set(reader: Reader, op: int, row: Row, initial: dict[int, Rule], scale: int) -> None:
    """Execute one instruction that changes the row (DWARF 5, 7.24)."""
    match op:
        case 0x00 | 0x2D:
            # DW_CFA_nop; DW_CFA_AARCH64_negate_ra_state: the code is removed from any return address.
            pass
        case 0x05:
            register = reader.uleb()
            row.rules[register] = Rule("offset", reader.uleb() * scale)
        case 0x06:
            _restore(row, initial, reader.uleb())
        case 0x07:
            row.rules[reader.uleb()] = Rule("undefined")
        case 0x08:
            row.rules[reader.uleb()] = Rule("same")
        case 0x09:
            register = reader.uleb()
            row.rules[register] = Rule("register", reader.uleb())
        case 0x0C:
            row.cfa_register, row.cfa_offset, row.cfa_expression = reader.uleb(), reader.uleb(), b""
        case 0x0D:
            row.cfa_register, row.cfa_expression = reader.uleb(), b""
        case 0x0E:
            row.cfa_offset = reader.uleb()
        case 0x0F:
            row.cfa_expression = _expression(reader)
        case 0x10 | 0x16:
            register = reader.uleb()
            kind: RuleKind = "expression" if op == 0x10 else "val_expression"
            row.rules[register] = Rule(kind, expression=_expression(reader))
        case 0x11 | 0x15:
            register = reader.uleb()
            row.rules[register] = Rule("offset" if op == 0x11 else "val_offset", reader.sleb() * scale)
        case 0x12:
            row.cfa_register, row.cfa_offset, row.cfa_expression = reader.uleb(), reader.sleb() * scale, b""
        case 0x13:
            row.cfa_offset = reader.sleb() * scale
        case 0x14:
            register = reader.uleb()
            row.rules[register] = Rule("val_offset", reader.uleb() * scale)
        case 0x2E:
            reader.uleb()
        case 0x2F:
            register = reader.uleb()
            row.rules[register] = Rule("offset", -reader.uleb() * scale)
        case _:
            raise DamagedError("unknown instruction")
