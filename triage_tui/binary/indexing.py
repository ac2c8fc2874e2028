"""Make the index of a file: from what the file says of itself, and from one pass over its code."""

from __future__ import annotations

import bisect
import io
import time
from collections.abc import Callable
from typing import Any

from elftools.elf.elffile import ELFFile

from triage_tui.binary.arm_modes import modes
from triage_tui.binary.data_scan import pointers_of, texts_of
from triage_tui.binary.disassembly import word_size
from triage_tui.binary.elf_layout import ElfLayout, Range, read_layout
from triage_tui.binary.elf_machine import describe, instruction_set_of
from triage_tui.binary.function_starts import Starts, certain_starts, found_starts
from triage_tui.binary.index_edges import EdgeMaker
from triage_tui.binary.index_model import BinaryIndex, Function
from triage_tui.binary.linkage import names_its_pointers, relocated_words
from triage_tui.binary.sweep.follower import View
from triage_tui.binary.sweep.sweeping import supports, sweep
from triage_tui.binary.symbols import MAX_FILE, ElfImage, parse_image
from triage_tui.errors import TriageError

Progress = Callable[[str, float], None]
"""Gets what is done now, and the share of the whole that is done, 0 to 1."""

Pieces = list[tuple[Range, list[tuple[int, int, bool]]]]
"""Ranges of code with their parts (start, end, Thumb)."""

_TABLES = {"mips": "gp", "mipsel": "gp", "mips64el": "gp", "ppc64le": "r2"}


def build_index(data: bytes, progress: Progress = lambda what, share: None) -> BinaryIndex:
    """Return the index of a program file.

    Raises:
        TriageError: it is no ELF file that can be understood, or too large; the text says which.
    """
    began = time.monotonic()
    if len(data) > MAX_FILE:
        raise TriageError(f"the file is larger than {MAX_FILE >> 20} MiB, so it is not indexed")
    arch = instruction_set_of(data)
    if arch is None or not supports(arch):
        raise TriageError(f"it is {describe(data)}, which cannot be indexed here")
    progress("reading symbols", 0.0)
    image = parse_image(data)
    index = BinaryIndex(image.sha256, arch, len(data), stripped=not image.has_table)
    if image.problem:
        index.problems.append(image.problem)
    if not image.segments:
        sections = _section_headers(data)
        if sections > len(data):
            raise TriageError(
                f"the file is cut short: its section headers should stand at byte {sections:,}, and it has"
                f" {len(data):,} bytes"
            )
        raise TriageError("the file loads nothing, so it has no code to index")
    layout, elf = _layout(data, image, arch, index)
    index.code_bytes = sum(one.end - one.start for one in layout.code)
    pieces: Pieces = [(one, _pieces(arch, layout, one, image)) for one in layout.code]
    starts = certain_starts(elf, layout, image, arch)
    total = max(index.code_bytes, 1)
    notes = sweep(
        arch,
        layout,
        pieces,
        sorted(starts.certain),
        _view(arch, layout, image),
        lambda done: progress("reading code", 0.05 + 0.7 * done / total),
    )
    index.instructions = notes.instructions
    progress("reading data", 0.8)
    pointers = list(pointers_of(layout))
    index.texts = texts_of(layout)
    progress("joining", 0.85)
    found_starts(starts, notes, layout, image, pointers, arch, _thumb_in(pieces))
    index.functions = _functions(starts, layout, image)
    maker = EdgeMaker(index, layout, image, notes, pointers)
    maker.make()
    index.entries = sorted({place for at in starts.loader if (place := maker.place_at(at)) is not None})
    progress("done", 1.0)
    index.seconds = round(time.monotonic() - began, 3)
    return index


def _section_headers(data: bytes) -> int:
    """Return where the section headers should stand in the file (gABI, "ELF Header")."""
    raw = data[0x28:0x30] if data[4] == 2 else data[0x20:0x24]
    return int.from_bytes(raw, "little" if data[5] == 1 else "big")


def _layout(data: bytes, image: ElfImage, arch: str, index: BinaryIndex) -> tuple[ElfLayout, Any]:
    # pyelftools raises whatever its parsers meet in a damaged file.
    try:
        elf = ELFFile(io.BytesIO(data))
        layout = read_layout(elf, data, image, word_size(arch))
    except Exception as error:
        raise TriageError(
            f"its headers are damaged ({type(error).__name__}), so it is not indexed"
        ) from error
    if not layout.code:
        raise TriageError("the file has no code")
    try:
        layout.words = relocated_words(elf, data, image.machine)
        layout.all_pointers = bool(layout.words) and names_its_pointers(elf, data, image.machine)
    except Exception as error:
        index.problems.append(f"its relocations are damaged ({type(error).__name__})")
    return layout, elf


def _pieces(arch: str, layout: ElfLayout, one: Range, image: ElfImage) -> list[tuple[int, int, bool]]:
    if not arch.startswith("arm"):
        return [(one.start, one.end, False)]
    code = layout.data[one.offset : one.offset + one.end - one.start]
    little = image.little_endian or arch == "arm"
    return modes(code, one.start, little, image.thumb_marks)


def _thumb_in(pieces: Pieces) -> Callable[[int], bool]:
    parts = sorted(part for _, several in pieces for part in several)
    begins = [begin for begin, _, _ in parts]

    def thumb_at(address: int) -> bool:
        index = bisect.bisect_right(begins, address) - 1
        return index >= 0 and parts[index][2]

    return thumb_at


def _view(arch: str, layout: ElfLayout, image: ElfImage) -> View:
    linkage = image.linkage
    register = _TABLES.get(arch)
    table = linkage.gp if register == "gp" else linkage.table
    return View(
        layout.word,
        layout.read,
        layout.low,
        layout.high,
        (1 << 8 * layout.word_size) - 1,
        layout.little,
        table,
        frozenset((register,)) if register and table is not None else frozenset(),
    )


def _functions(starts: Starts, layout: ElfLayout, image: ElfImage) -> list[Function]:
    """Return the functions by start, each ending where the next one begins or its code does."""
    order = sorted(starts.all)
    imports = sorted({*image.linkage.got.values(), *image.linkage.stubs.values()} - starts.defined)
    found = [Function(0, 0, name, "import") for name in imports if name]
    for index, start in enumerate(order):
        one = layout.code_at(start)
        if one is None:
            continue
        following = order[index + 1] if index + 1 < len(order) else one.end
        end = min(following, one.end)
        symbol = image.symbol_at(start, functions_only=True)
        named = symbol if symbol is not None and symbol.start == start else None
        if named is not None and start < named.end < end:
            end = named.end
        covered = starts.ends.get(start)
        if covered is not None and start < covered < end:
            end = covered
        origin, thumb = starts.all[start]
        name = named.name if named is not None else image.linkage.stubs.get(start, "")
        found.append(Function(start, end, name, origin, thumb, exported=start in starts.exported))
    return found
