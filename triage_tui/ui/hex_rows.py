"""Rows of hex and text: how many bytes fit, and which cells a byte takes."""

from __future__ import annotations

from triage_tui.ui.rows import Part, Row

OFFSET_CELLS = 13
"""Cells in front of the bytes: a margin, an address of up to 11 digits, and two spaces."""


def bytes_per_row(width: int, prefix: int = OFFSET_CELLS) -> int:
    """Return 16, 8 or 4: as many bytes as fit beside an address and their text."""
    for count in (16, 8):
        if prefix + count * 3 - 1 + (count - 1) // 8 + 2 + count <= width:
            return count
    return 4


def hex_cells(index: int, prefix: int = OFFSET_CELLS) -> tuple[int, int]:
    """Return the cells [first, behind last) of byte `index` of a row in the hex columns."""
    first = prefix + index * 3 + index // 8
    return first, first + 2


def bytes_in_cells(span: tuple[int, int], count: int, prefix: int = OFFSET_CELLS) -> range:
    """Return which of the `count` bytes of a row are within the cells [first, behind last)."""
    within = [
        index
        for index in range(count)
        if span[0] <= hex_cells(index, prefix)[0] and hex_cells(index, prefix)[1] <= span[1]
    ]
    return range(within[0], within[-1] + 1) if within else range(0)


def hex_row(data: bytes, offset: int, address: int, count: int, prefix: int = OFFSET_CELLS) -> Row:
    """Return `count` bytes at `offset`: address, hex in groups of eight, printable text."""
    chunk = data[offset : offset + count]
    parts: list[Part] = [(f"{address + offset:08x}".rjust(prefix - 2) + "  ", "address")]
    for index in range(count):
        gap = "" if index == 0 else " " if index % 8 else "  "
        if index < len(chunk):
            byte = chunk[index]
            role = "faint" if byte == 0 else "string" if 0x20 <= byte < 0x7F else "number"
            parts.append((f"{gap}{byte:02x}", role))
        else:
            parts.append((gap + "  ", ""))
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in chunk)
    return Row((*parts, ("  ", ""), (text, "string")), target=("byte", offset))
