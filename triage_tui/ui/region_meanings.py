"""What stands beside the bytes of kept regions: fields of known structures, strings, where pointers lead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from triage_tui.errors import TriageError
from triage_tui.runs.memory_model import MemoryRegion
from triage_tui.runs.recorded_memory import RecordedMemory
from triage_tui.runs.telescope import Chain, string_in
from triage_tui.text import safe_line
from triage_tui.ui.kept_memory import segment_at
from triage_tui.ui.memory_fields import LEAST_TEXT, Decoded
from triage_tui.ui.memory_sections import RegionSection
from triage_tui.ui.pointers import Pointers, chain_parts
from triage_tui.ui.rows import Part, Row, clip, short

if TYPE_CHECKING:
    from triage_tui.ui.run_view import RunView

_AHEAD = 128
"""Bytes that are looked at of a string that begins on a row."""
_LEAST_ROOM = 12
_MAX_TRIES = 8
"""How often a row is asked about while its pointers lead to pages that are not there yet."""
_MAX_KNOWN = 4096


class _Peeking:
    """Reads a region from the pages that are there; the others are wanted, and told as unknown so far."""

    def __init__(self, section: RegionSection) -> None:
        self._section = section
        self.region: MemoryRegion = section.region
        self.lacks = False

    def read(self, address: int, size: int) -> bytes:
        section = self._section
        index = segment_at(section.segments, address)
        if index is None or section.segments[index].kind == "missing":
            return b""
        segment = section.segments[index]
        size = min(size, segment.addr + segment.size - address)
        found = section.pages.peek(section.number, segment, address, size)
        if isinstance(found, str):
            raise TriageError(found)
        self.lacks |= found is None
        return found or b""


class RegionMeanings:
    """What the rows of one process's regions mean; nothing is read from the disk here."""

    def __init__(
        self, view: RunView, pid: int | None, sections: Iterable[RegionSection], fields: dict[int, Decoded]
    ) -> None:
        """`fields` are those of structures that are known to lie at an address."""
        snapshot = view.snapshot
        process = next((one for one in snapshot.processes if one.pid == pid), None)
        looked_at = process is None or process.looked_at
        self._pointers = Pointers(
            view, process, snapshot.maps if process is None or looked_at else process.maps
        )
        self._readers = [_Peeking(section) for section in sections if section.region.pid == pid]
        objects = [(item.entry.addr, item.data) for item in view.memory] if looked_at else []
        self._pointers.memory = RecordedMemory(objects, self._readers)
        self._fields = fields if looked_at else {}
        self._known: dict[tuple[int, int], Row] = {}
        self._tries: dict[int, int] = {}

    def row(self, address: int, data: bytes, room: int) -> Row:
        """Return what `data` at an address means, in `room` cells: as much of it as there is room for."""
        known = self._known.get((address, room))
        if known is not None:
            return known
        if self._tries.get(address, 0) >= _MAX_TRIES:
            return Row(())
        for reader in self._readers:
            reader.lacks = False
        made = self._made(address, data, room)
        if any(reader.lacks for reader in self._readers):
            # Drawn again once the pages are there that it leads to.
            self._tries[address] = self._tries.get(address, 0) + 1
            return Row(())
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
            self._tries.clear()
        self._known[address, room] = made
        return made

    def _made(self, address: int, data: bytes, room: int) -> Row:
        parts: list[Part] = []
        links: list[tuple[int, int, str]] = []
        used, at = 0, 0
        while at < len(data) and room - used > _LEAST_ROOM:
            found, size = self._at(address + at, data[at:])
            if found is None:
                at += size
                continue
            head = f"{'   ' if parts else ''}+{at:x} "
            name = f"{short(found.name, 26)} " if found.name else ""
            text = clip(safe_line(found.text, 120), room - used - len(head) - cell_len(name))
            pieces: list[Part] = [(head, "address"), (name, "register"), (text, found.role)]
            parts += pieces
            used += sum(cell_len(piece) for piece, _ in pieces)
            if found.chain is not None and room - used > _LEAST_ROOM:
                links.append((used - cell_len(text), used, self._pointers.link(found.chain.hops[0])))
                led = chain_parts(self._pointers, found.chain, room - used - 1)
                parts += [(" ", ""), *led.parts]
                links += [(used + 1 + first, used + 1 + end, link) for first, end, link in led.links]
                used += 1 + sum(cell_len(piece) for piece, _ in led.parts)
            at += size
        return Row(tuple(parts), links=tuple(links))

    def _at(self, address: int, data: bytes) -> tuple[Decoded | None, int]:
        """Return what is at an address, and how many bytes of the row that are."""
        field = self._fields.get(address)
        if field is not None:
            return field, max(1, field.size)
        machine = self._pointers.machine
        if machine is None or address % machine.word or len(data) < machine.word:
            return None, 1
        value = int.from_bytes(data[: machine.word], machine.endian)
        chain: Chain | None = self._pointers.follow(value)
        if chain is not None:
            return Decoded("", 0, machine.word, f"{value:#x}", "number", chain), machine.word
        text = string_in(self._pointers.memory.read(address, _AHEAD) or data, LEAST_TEXT)
        if text is None or text[1] < LEAST_TEXT:
            return None, 1
        shown = f'"{text[0]}"{"…" if text[2] else ""}'
        return Decoded("", 0, text[1], shown, "string"), -(-text[1] // machine.word) * machine.word


def give_meanings(view: RunView, sections: Sequence[RegionSection], fields: dict[int, Decoded]) -> None:
    """Have the rows of all regions say what their bytes mean."""
    by_process = {
        pid: RegionMeanings(view, pid, sections, fields) for pid in {one.region.pid for one in sections}
    }
    for section in sections:
        section.meaning = by_process[section.region.pid].row
