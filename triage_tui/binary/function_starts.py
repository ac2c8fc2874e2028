"""Where functions begin, and how that is known."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from triage_tui.binary.elf_layout import ElfLayout
from triage_tui.binary.hidden_starts import Spans, ends_of, hidden_starts
from triage_tui.binary.index_model import Origin
from triage_tui.binary.linkage import initial_functions, is_library
from triage_tui.binary.sweep.follower import Notes
from triage_tui.binary.sweep.sweeping import padding_of
from triage_tui.binary.symbols import ElfImage

MAX_FUNCTIONS = 300_000
_ARRAYS = (".preinit_array", ".init_array", ".fini_array", ".ctors", ".dtors")
_MAX_GAP = 256
_NAMED_BY_UNWINDING = ("x86_64", "i386", "ppc", "ppc64le", "s390x")
"""Unwind tables name nearly all functions, and between these lies what looks like others: padding of any
kind, linkage stubs."""
_NEAR = 4096
"""Bytes between two cases of one switch."""
_UNITS = {"arm": 4, "armeb": 4, "aarch64": 4, "mips": 4, "mipsel": 4, "mips64el": 4, "ppc": 4, "ppc64le": 4,
          "riscv64": 2, "s390x": 2, "x86_64": 1, "i386": 1}  # fmt: skip
"""Bytes to which instructions are aligned (Thumb: 2)."""


class Starts(msgspec.Struct):
    """Where functions begin; addresses are without the Thumb bit."""

    all: dict[int, tuple[Origin, bool]] = msgspec.field(default_factory=dict)
    """Start -> (how it is known, Thumb)."""
    certain: set[int] = msgspec.field(default_factory=set)
    """Those that the file itself names."""
    ends: dict[int, int] = msgspec.field(default_factory=dict)
    """Start -> end, where a symbol or an unwind table says it."""
    loader: list[int] = msgspec.field(default_factory=list)
    """Those that are started from outside: the entry, constructors, exported functions of a library."""
    exported: set[int] = msgspec.field(default_factory=set)
    defined: set[str] = msgspec.field(default_factory=set)
    """Names of functions that are in the file."""
    _known: list[int] = msgspec.field(default_factory=list)

    def add(self, start: int, origin: Origin, thumb: bool) -> None:
        """Note a start; the first evidence of it counts."""
        if start not in self.all and len(self.all) < MAX_FUNCTIONS:
            self.all[start] = (origin, thumb)

    def guess(self, start: int, origin: Origin, thumb: bool) -> None:
        """Note a start that the file does not name, unless it lies within a function that it does."""
        if not self._known:
            self._known = sorted(self.ends)
        index = bisect.bisect_right(self._known, start) - 1
        if index < 0 or start >= self.ends[self._known[index]]:
            self.add(start, origin, thumb)


def certain_starts(elf: Any, layout: ElfLayout, image: ElfImage, arch: str) -> Starts:
    """Return the starts that the file itself names."""
    starts = Starts()
    is_arm = arch.startswith("arm")

    def add(address: int, origin: Origin) -> int | None:
        thumb = is_arm and (bool(address & 1) or bool(image.thumb_at(address & ~1)))
        start = address & ~1 if is_arm else address
        if layout.code_at(start) is None or start % _unit(arch, thumb):
            return None
        starts.add(start, origin, thumb)
        starts.certain.add(start)
        return start

    for symbol in image.symbols:
        if symbol.is_function:
            if layout.code_at(symbol.start) is not None:
                starts.add(
                    symbol.start, "symbol", symbol.thumb or bool(is_arm and image.thumb_at(symbol.start))
                )
                starts.certain.add(symbol.start)
                if symbol.sized:
                    starts.ends[symbol.start] = symbol.end
            starts.defined.add(symbol.name)
    entry = image.entry
    if is_arm:
        # The image has it without the bit that says Thumb.
        entry |= int.from_bytes(layout.data[24:25] if image.little_endian else layout.data[27:28], "big") & 1
    if (start := add(entry, "entry")) is not None:
        starts.loader.append(start)
    for address in _initial(elf, layout):
        if (start := add(address, "entry")) is not None:
            starts.loader.append(start)
    # What damaged tables hold is left out.
    with suppress(Exception):
        for table in image.unwind.call_frames:
            for begin, end in table.ranges():
                if add(begin, "unwind") is not None:
                    starts.ends.setdefault(begin, end)
    if image.unwind.index is not None:
        for begin in image.unwind.index.starts:
            if layout.code_at(begin) is not None and begin not in starts.all:
                # Whether it is Thumb is not said: the code there tells.
                starts.add(begin, "unwind", False)
        for begin, end in image.unwind.index.whole():
            if begin in starts.all:
                starts.ends.setdefault(begin, end)
    _exported(elf, layout, starts, is_arm)
    return starts


def _unit(arch: str, thumb: bool) -> int:
    return 2 if thumb else _UNITS.get(arch, 1)


def _initial(elf: Any, layout: ElfLayout) -> list[int]:
    """Return the constructors and destructors."""
    single: list[int] = []
    arrays: list[tuple[int, int]] = []
    with suppress(Exception):
        single, arrays = initial_functions(elf, layout.data)
    with suppress(Exception):
        for name in _ARRAYS:
            section = elf.get_section_by_name(name) if elf.num_sections() < 8192 else None
            if section is not None:
                arrays.append((section["sh_addr"], min(section["sh_size"], 1 << 16)))
    found = list(single)
    for address, size in arrays:
        for place in range(address, address + min(size, 1 << 16), layout.word_size):
            value = layout.word(place)
            if value:
                found.append(value)
    return found


def _exported(elf: Any, layout: ElfLayout, starts: Starts, is_arm: bool) -> None:
    """Note the functions that others may call: of a library they are where it is entered."""
    with suppress(Exception):
        section = elf.get_section_by_name(".dynsym")
        if section is None or section.num_symbols() > 200_000:
            return
        for symbol in section.iter_symbols():
            if symbol["st_shndx"] == "SHN_UNDEF" or symbol["st_info"]["type"] != "STT_FUNC":
                continue
            start = symbol["st_value"] & ~1 if is_arm else symbol["st_value"]
            if start in starts.all:
                starts.exported.add(start)
        if is_library(elf, layout.data):
            starts.loader += sorted(starts.exported)


def found_starts(
    starts: Starts,
    notes: Notes,
    layout: ElfLayout,
    image: ElfImage,
    pointers: Sequence[tuple[int, int]],
    arch: str,
    thumb_at: Callable[[int], bool],
) -> None:
    """Add the starts that the code and the data tell; `thumb_at` says which kind of code is at an address."""
    is_arm = arch.startswith("arm")
    stubs = image.linkage.stubs
    modes = dict(notes.prologues)
    for start, (origin, _) in list(starts.all.items()):
        if origin == "unwind" and is_arm:
            starts.all[start] = (origin, modes.get(start, thumb_at(start)))
    for _, target, thumb, _ in notes.calls:
        start = global_entry(arch, layout, target & ~1 if is_arm else target)
        thumb = thumb or bool(is_arm and target & 1)
        one = layout.code_at(start)
        if one is not None and not start % _unit(arch, thumb) and start not in stubs:
            starts.guess(start, "call", thumb)
    # A function may be pointed to behind a call that never comes back.
    ends = sorted({*notes.ends, *(end for *_, end in notes.calls), *(end for *_, end in notes.slot_calls)})
    units = [padding_of(arch, thumb=False), padding_of(arch, thumb=True)]

    def padding(at: int) -> int:
        return units[is_arm and thumb_at(at)](layout.read(at, 4))

    spans, known = Spans(notes), sorted({*starts.all, *modes})
    by_place = dict(pointers)
    weak = [
        (value, not _in_jump_table(place, value, by_place, layout.word_size, modes, starts))
        for place, value in pointers
    ]
    weak += [(entry[1], True) for entry in notes.references if entry is not None]
    for value, single in weak:
        thumb = is_arm and bool(value & 1)
        start = value & ~1 if is_arm else value
        if start in starts.all or layout.code_at(start) is None or start % _unit(arch, thumb):
            continue
        if start in stubs or (is_arm and start & ~3 in notes.literals):
            continue
        if is_arm and not thumb and start in modes and modes[start]:
            # Thumb functions are never pointed to without the bit.
            continue
        if start in modes or (
            single and _follows_end(start, ends, layout, notes, padding) and not spans.crossed(start, known)
        ):
            starts.guess(start, "pointer", thumb)
    for start, thumb in modes.items():
        starts.guess(start, "prologue", thumb)
    if arch in _NAMED_BY_UNWINDING:
        return
    sure = {start for start, (origin, _) in starts.all.items() if origin != "pointer"}
    ends = ends_of(notes, image.linkage, sure)
    for start in hidden_starts(sorted(starts.all), ends, notes, layout, padding):
        thumb = is_arm and thumb_at(start)
        if not start % _unit(arch, thumb):
            starts.guess(start, "prologue", thumb)


def _in_jump_table(
    place: int, value: int, by_place: dict[int, int], word: int, modes: dict[int, bool], starts: Starts
) -> bool:
    """Say whether a pointer stands beside others to places close by that do not look like functions."""
    for other in (place - word, place + word):
        beside = by_place.get(other)
        if beside is None or abs(beside - value) >= _NEAR:
            continue
        if beside & ~1 not in modes and beside & ~1 not in starts.certain:
            return True
    return False


def global_entry(arch: str, layout: ElfLayout, target: int) -> int:
    """Return where the function begins that is called at `target`.

    On ppc64le callers within the file enter 8 bytes behind the two instructions that find the table (ELFv2
    ABI, 3.4.1).
    """
    if arch == "ppc64le":
        code = layout.read(target - 8, 8)
        if code[2:4] in (b"\x4c\x3c", b"\x40\x3c") and code[6:8] == b"\x42\x38":
            return target - 8
    return target


def _follows_end(
    start: int, ends: list[int], layout: ElfLayout, notes: Notes, padding: Callable[[int], int]
) -> bool:
    """Say whether nothing but padding and literals lies between the end of other code and `start`."""
    index = bisect.bisect_right(ends, start) - 1
    if index < 0 or start - ends[index] > _MAX_GAP:
        one = layout.code_at(start)
        return one is not None and one.start == start
    at = ends[index]
    while at < start:
        if at & ~3 in notes.literals:
            at = (at & ~3) + 4
        elif size := padding(at):
            at += size
        elif layout.read(at, 1) in (b"\0", b"\x90", b"\xcc"):
            at += 1
        else:
            # Longer paddings are not told from code here.
            return start - at <= 4
    return True
