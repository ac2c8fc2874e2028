"""Pointer chains for the views: whose memory is read, and a chain as the parts and links of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from triage_tui.errors import TriageError
from triage_tui.runs.memory_files import RegionReader
from triage_tui.runs.place_names import PlaceNames
from triage_tui.runs.process_model import Mapping, Process
from triage_tui.runs.recorded_memory import RecordedMemory
from triage_tui.runs.telescope import Chain, Hop, Machine, telescope
from triage_tui.text import safe_line
from triage_tui.ui.rows import Part, clip, short

if TYPE_CHECKING:
    from triage_tui.ui.run_view import RunView

LEAST_LAST = 6
"""Cells that the last piece of a chain needs to be worth showing."""

_Link = tuple[int, int, str]


def machine_of(arch: str) -> Machine | None:
    """Return the pointer size and byte order of an architecture by its name, None if it is not known."""
    from triage_tui.guest.arch import by_name

    try:
        known = by_name(arch)
    except TriageError:
        return None
    return Machine(known.word, known.endian)


class Pointers:
    """Follows the pointers of one process of a run."""

    def __init__(self, view: RunView, process: Process | None, maps: Sequence[Mapping]) -> None:
        """`process` is None in a record that names none: then it is the one that is looked at."""
        snapshot = view.snapshot
        own = process is None or process.looked_at
        self._view = view
        self._pid = process.pid if process is not None else None
        self._owner = "" if own or process is None else f"{process.pid}@"
        self._own = own
        arch = process.arch if process is not None and process.arch else snapshot.target.arch
        self.machine = machine_of(arch)
        self.names = PlaceNames(maps, snapshot.backtrace.frames[:256] if own else ())
        objects = [(item.entry.addr, item.data) for item in view.memory] if own else []
        self._objects = objects
        self.memory = RecordedMemory(objects)

    @property
    def has_regions(self) -> bool:
        """Whether more can be known by reading kept memory from the disk (see `with_regions`)."""
        return any(region.pid == self._pid for region in self._view.snapshot.memory_regions)

    def with_regions(self) -> None:
        """Read kept memory too. That takes a while, so chains are to be made in a worker thread then."""
        from pathlib import Path

        run = self._view.run
        root = Path(self._view.snapshot.target.rootfs or "/")
        readers = [
            RegionReader(run.dir, region, root)
            for region in self._view.snapshot.memory_regions
            if region.pid == self._pid
        ]
        self.memory = RecordedMemory(self._objects, readers)

    def follow(self, value: int | str) -> Chain | None:
        """Return where a value leads, None when it is no address or the architecture is not known."""
        if self.machine is None or not isinstance(value, int):
            return None
        return telescope(value, self.machine, self.memory.read, self.names.at)

    def link(self, hop: Hop, size: int = 0) -> str:
        """Return the link to what an address of a chain points to: its bytes, its frame, or its mapping."""
        if hop.place.frame is not None and self._own:
            return f"ev:frame/{hop.place.frame}"
        if not hop.recorded and self._own and hop.place.mapping >= 0 and not self.has_regions:
            return f"ev:map/{hop.place.mapping}"
        length = size or (self.machine.word if self.machine is not None else 1)
        return f"ev:mem/{self._owner}0x{hop.address:x}+0:{length}"


class ChainParts(NamedTuple):
    """A chain as a piece of a row: parts, and the links of its addresses, cells counted from its begin."""

    parts: list[Part]
    links: list[_Link]


def chain_parts(pointers: Pointers, chain: Chain, room: int) -> ChainParts:
    """Return what stands behind a value, in at most `room` cells: where it lies, then each further address.

    Where there is little room, where it leads comes before where it lies.
    """
    made, whole = _chain_parts(pointers, chain, room, first=True)
    if not whole and (len(chain.hops) > 1 or chain.end == "text"):
        made, _ = _chain_parts(pointers, chain, room, first=False)
    return made


def _chain_parts(pointers: Pointers, chain: Chain, room: int, *, first: bool) -> tuple[ChainParts, bool]:
    """Return the parts, and whether all of the chain is in them; `first`: with the place of the value."""
    parts: list[Part] = []
    links: list[_Link] = []
    used = 0

    def add(text: str, role: str, link: str = "") -> bool:
        nonlocal used
        left = room - used
        if left < min(LEAST_LAST, cell_len(text)):
            return False
        shown = clip(text, left)
        if link:
            links.append((used, used + cell_len(shown), link))
        parts.append((shown, role))
        used += cell_len(shown)
        return cell_len(text) <= left

    for number, hop in enumerate(chain.hops):
        place = hop.place
        name = short(place.name, 60)
        role = "symbol" if place.symbol else "muted"
        if number == 0:
            if first and not add(name, role):
                return ChainParts(parts, links), False
            continue
        arrow = " → " if parts else "→ "
        last = number == len(chain.hops) - 1
        if not (add(arrow, "faint") and add(f"{hop.address:#x}", "number", pointers.link(hop))):
            return ChainParts(parts, links), False
        if (last or place.symbol) and not add(f" {name}", role):
            return ChainParts(parts, links), False
    lead = " " if parts else ""
    last_hop = chain.hops[-1]
    whole = True
    match chain.end:
        case "text":
            text = f'"{safe_line(chain.text, 120)}"{"…" if chain.cut else ""}'
            whole = add(f"{lead}→ ", "faint") and add(text, "string", pointers.link(last_hop, chain.size))
        case "value":
            whole = add(f"{lead}→ ", "faint") and add(f"{chain.value:#x}", "number")
        case "unrecorded":
            whole = add(f"{lead}· not recorded", "faint")
        case "cycle":
            whole = add(f"{lead}→ back to {chain.value:#x}", "warn")
        case "longer":
            whole = add(f"{lead}→ …", "faint")
        case _:
            pass
    return ChainParts(parts, links), whole
