"""Join what the code says: which function leads to which, and which strings it uses."""

from __future__ import annotations

import bisect
import re
from typing import Any

from triage_tui.binary.disassembly import lite_engine
from triage_tui.binary.elf_layout import ElfLayout
from triage_tui.binary.function_starts import global_entry
from triage_tui.binary.index_model import CERTAIN, BinaryIndex, Edge, EdgeKind, Text, TextUse
from triage_tui.binary.jumps import MAX_BYTES, jump_at, table_register
from triage_tui.binary.sweep.follower import Notes
from triage_tui.binary.symbols import ElfImage

MAX_EDGES = 1_000_000
MAX_SITES = 3_000_000
"""Instructions of all edges."""
MAX_USES = 500_000
MAX_TABLE = 4096
"""Bytes of a table of pointers without a symbol that are looked at."""
_MAX_IN_TABLE = 512
_MAX_STUBS = 20_000
_MAX_HOLDERS = 40
"""Functions that refer to one table at most."""


_INDIRECT = re.compile(
    r"ldr(?:\.w)? pc,|bx (?!lr)|add pc,|br |(?:c\.)?jr \$?(?!ra)|jalr \$?(?!ra)"
    r"|(?:bnd )?jmp .*(?:\[|e..$|r..$)|bctr"
)
"""How the jump of a linkage stub begins."""
_ELSEWHERE = re.compile(r"push|pop|bl|call|ret|jal|brasl|stp|stwu|stmg|b[ .]")
"""What no linkage stub does before it."""


class EdgeMaker:
    """Fills in edges and uses of one index."""

    def __init__(
        self,
        index: BinaryIndex,
        layout: ElfLayout,
        image: ElfImage,
        notes: Notes,
        pointers: list[tuple[int, int]],
    ) -> None:
        self._index, self._layout, self._image, self._notes = index, layout, image, notes
        filled = [one for one in layout.other if one.linkage]
        self._pointers = sorted(
            (place, value)
            for place, value in pointers
            if not any(one.start <= place < one.end for one in filled)
        )
        self._imports = {
            one.name: place for place, one in enumerate(index.functions) if one.origin == "import"
        }
        self._first = len(self._imports)
        self._starts = [one.start for one in index.functions[self._first :]]
        self._by_start = {start: place + self._first for place, start in enumerate(self._starts)}
        self._named = {one.name: place for place, one in enumerate(index.functions) if one.name}
        self._edges: dict[tuple[int, int, EdgeKind], list[int]] = {}
        self._sites = 0
        self._left_out = 0
        self._stubs: dict[int, str | None] = {}
        self._engines: dict[bool, Any] = {}
        self._is_arm = index.arch.startswith("arm")

    def place_at(self, address: int) -> int | None:
        """Return the place of the function that holds an address, or None."""
        place = bisect.bisect_right(self._starts, address) - 1 + self._first
        return place if place >= self._first and address < self._index.functions[place].end else None

    def make(self) -> None:
        """Fill in everything."""
        functions, notes = self._index.functions, self._notes
        for site, target, thumb, _ in notes.calls:
            self._direct(site, target, thumb, "call")
        for site, target, thumb in notes.jumps:
            caller = self.place_at(site)
            if caller is not None and not functions[caller].start <= target < functions[caller].end:
                self._direct(site, target, thumb, "jump")
        for site, slot, _ in notes.slot_calls:
            self._by_slot(site, slot)
        for site in notes.indirect:
            place = self.place_at(site)
            if place is not None:
                functions[place].indirect += 1
        for site in notes.conditions:
            place = self.place_at(site)
            if place is not None:
                functions[place].complexity += 1
        for site, ways in notes.ways:
            place = self.place_at(site)
            if place is not None:
                # A branch with so many ways is as many decisions less one.
                functions[place].complexity += ways - 1
        self._references()
        # Whoever calls a function has its address, of course.
        gone = {(caller, callee) for caller, callee, kind in self._edges if kind in CERTAIN}
        self._index.edges = sorted(
            (
                Edge(caller, callee, kind, sorted(set(sites)))
                for (caller, callee, kind), sites in self._edges.items()
                if kind in CERTAIN or (caller, callee) not in gone
            ),
            key=lambda edge: (edge.caller, edge.site, edge.callee),
        )
        if self._left_out:
            self._index.problems.append(f"the file has too many calls: {self._left_out:,} are left out")

    def _add(self, site: int, callee: int | None, kind: EdgeKind) -> bool:
        """Note an instruction that leads from one function to another."""
        caller = self.place_at(site)
        if caller is None or callee is None:
            return False
        key = (caller, callee, kind)
        if (key not in self._edges and len(self._edges) >= MAX_EDGES) or self._sites >= MAX_SITES:
            self._left_out += 1
        else:
            self._edges.setdefault(key, []).append(site)
            self._sites += 1
        return True

    def _plain(self, address: int) -> int:
        return address & ~1 if self._is_arm else address

    def _direct(self, site: int, target: int, thumb: bool, kind: EdgeKind) -> None:
        target = global_entry(self._index.arch, self._layout, self._plain(target))
        name = self._stub(target, thumb)
        if name is not None:
            self._add(site, self._by_name(name), kind)
            return
        place = self._by_start.get(target)
        if place is None and kind == "call":
            place = self.place_at(target)
        self._add(site, place, kind)

    def _by_name(self, name: str) -> int | None:
        place = self._imports.get(name)
        return self._named.get(name) if place is None else place

    def _stub(self, target: int, thumb: bool) -> str | None:
        """Return the name of the imported function to which the stub at `target` leads, or None."""
        known = self._image.linkage.stubs.get(target)
        if known is not None:
            return known
        if target not in self._stubs:
            self._stubs[target] = self._read_stub(target, thumb) if len(self._stubs) < _MAX_STUBS else None
        return self._stubs[target]

    def _read_stub(self, target: int, thumb: bool) -> str | None:
        one = self._layout.code_at(target)
        if one is None or not self._image.linkage.got:
            return None
        if not one.linkage and not (self._looks_like_stub(target) and self._jumps_away(target, thumb)):
            return None
        linkage = self._image.linkage
        known: dict[str, int] = {}
        register = table_register(self._index.arch)
        base = self._notes.bases.get(target, linkage.table)
        if register is not None and base is not None:
            known[register] = base
        jump = jump_at(self._index.arch, self._layout.read, self._layout.word, target, known, thumb)
        return linkage.got.get(jump.loaded_from) if jump is not None else None

    def _looks_like_stub(self, target: int) -> bool:
        """Say whether a stub outside of the sections for them begins here, as PowerPC linkers put them."""
        code = self._layout.read(target, 4)
        if self._index.arch == "ppc":
            return code[:2] in (b"\x81\x7e", b"\x3d\x7e", b"\x3d\x60")
        if self._index.arch == "ppc64le":
            return code in (b"\x18\x00\x41\xf8", b"\x00\x00\x00\x00") or code[2:] in (
                b"\x82\x3d",
                b"\x62\x3d",
            )
        # A file without section headers, or a veneer between A32 and Thumb.
        return not any(one.linkage for one in self._layout.code) or code == b"\x78\x47\xc0\x46"

    def _jumps_away(self, target: int, thumb: bool) -> bool:
        """Say whether an indirect jump is among the first instructions, before it is followed exactly."""
        engine = self._engines.get(thumb)
        if engine is None:
            engine = self._engines[thumb] = lite_engine(self._index.arch, thumb)
        for _, _, mnemonic, operands in engine.disasm_lite(self._layout.read(target, MAX_BYTES), target):
            text = f"{mnemonic} {operands}"
            if _INDIRECT.match(text):
                return True
            if _ELSEWHERE.match(text):
                return False
        return False

    def _by_slot(self, site: int, slot: int) -> None:
        """Note a call through a word of memory."""
        callee = self._slot(slot)
        if not self._add(site, callee, "call") or callee is None:
            place = self.place_at(site)
            if place is not None:
                self._index.functions[place].indirect += 1

    def _slot(self, slot: int) -> int | None:
        name = self._image.linkage.got.get(slot)
        if name is not None:
            # A function of the file's own may be named there too.
            own = self._named.get(name)
            return self._imports.get(name) if own is None else own
        value = self._layout.word(slot)
        if value is None:
            return None
        target = self._plain(value)
        stub = self._image.linkage.stubs.get(target)
        return self._by_name(stub) if stub is not None else self._by_start.get(target)

    # --- references ------------------------------------------------------------------------------------

    def _references(self) -> None:
        """Note whose address is taken, which tables and which strings are used."""
        texts = self._index.texts
        addresses = [text.address for text in texts]
        tables: dict[int, list[int]] = {}
        holders: dict[int, dict[int, int]] = {}
        referred = sorted({entry[1] for entry in self._notes.references if entry is not None})
        uses: dict[tuple[int, int], int] = {}
        """(function, address of the string) -> instruction."""
        for entry in self._notes.references:
            if entry is None:
                continue
            site, value = entry
            callee = self._by_start.get(self._plain(value))
            if callee is not None:
                self._add(site, callee, "pointer")
                continue
            name = self._image.linkage.stubs.get(value)
            if name is not None:
                self._add(site, self._by_name(name), "pointer")
                continue
            caller = self.place_at(site)
            if caller is None:
                continue
            place = bisect.bisect_right(addresses, value) - 1
            if place >= 0 and value < addresses[place] + len(texts[place].text):
                if len(uses) < MAX_USES:
                    uses.setdefault((caller, value), site)
                continue
            if value not in tables:
                tables[value] = self._table(value, referred)
            if tables[value]:
                holders.setdefault(value, {}).setdefault(caller, site)
        for value, sites in holders.items():
            # What half of the file refers to is the linker's own table, not one of the program's.
            if len(sites) <= _MAX_HOLDERS:
                for site in sites.values():
                    for member in tables[value]:
                        self._add(site, member, "table")
        for site, slot in self._notes.loads:
            name = self._image.linkage.got.get(slot)
            if name is not None and (callee := self._slot(slot)) is not None:
                self._add(site, callee, "pointer")
        self._note_uses(uses)

    def _note_uses(self, uses: dict[tuple[int, int], int]) -> None:
        """Note which strings are used. One may begin within another: linkers let them share their ends."""
        texts = self._index.texts
        addresses = [text.address for text in texts]
        known = set(addresses)
        ends = []
        for address in {address for _, address in uses} - known:
            whole = texts[bisect.bisect_right(addresses, address) - 1]
            raw = whole.text.encode("utf-8", "backslashreplace")[address - whole.address :]
            ends.append(Text(address, raw.decode("utf-8", "backslashreplace")))
        self._index.texts = sorted([*texts, *ends], key=lambda text: text.address)
        places = {text.address: place for place, text in enumerate(self._index.texts)}
        self._index.uses = [
            TextUse(places[address], function, site)
            for (function, address), site in sorted(uses.items(), key=lambda item: (item[0][0], item[1]))
        ]

    def _table(self, address: int, referred: list[int]) -> list[int]:
        """Return the functions whose addresses stand in the data that begins at `address`."""
        symbol = self._image.symbol_at(address)
        if symbol is not None and not symbol.is_function and symbol.end > symbol.start:
            end = min(symbol.end, symbol.start + 16 * MAX_TABLE)
        else:
            following = bisect.bisect_right(referred, address)
            end = referred[following] if following < len(referred) else address + MAX_TABLE
            end = min(end, address + MAX_TABLE)
        found: list[int] = []
        at = bisect.bisect_left(self._pointers, (address, 0))
        while at < len(self._pointers) and self._pointers[at][0] < end and len(found) < _MAX_IN_TABLE:
            place = self._by_start.get(self._plain(self._pointers[at][1]))
            if place is not None:
                found.append(place)
            at += 1
        return found
