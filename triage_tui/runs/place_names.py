"""What lies at a guest address, in words: a symbol of a frame, module+offset, or the name of a mapping."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from triage_tui.runs.frame_model import Frame
from triage_tui.runs.process_model import Mapping


class PlaceName(NamedTuple):
    """Where an address lies. `name` is raw text."""

    name: str
    perms: str
    symbol: bool = False
    """The name is a function's, with the offset in it."""
    mapping: int = -1
    """Index among the mappings."""
    frame: int | None = None
    """The frame whose address this is."""

    @property
    def code(self) -> bool:
        """Whether it can be executed."""
        return "x" in self.perms


def module_bias(maps: Sequence[Mapping], path: str, frames: Sequence[Frame] = ()) -> int:
    """Return what is added to an address in a module's own terms: told by a frame, else by its first page."""
    for frame in frames:
        if frame.module_real_path == path and frame.module_offset is not None:
            return frame.addr - frame.module_offset
    return min(max(0, one.start - one.offset) for one in maps if one.path == path)


class PlaceNames:
    """Names the addresses of one process."""

    def __init__(self, maps: Sequence[Mapping], frames: Sequence[Frame] = ()) -> None:
        """`frames` are those of the process that is looked at; none for another."""
        order = sorted(range(len(maps)), key=lambda index: maps[index].start)
        self._maps = [(maps[index], index) for index in order]
        self._starts = [mapping.start for mapping, _ in self._maps]
        self._frames = {frame.addr: frame for frame in reversed(frames)}
        self._all, self._all_frames = maps, frames
        self._biases: dict[str, int] = {}

    def at(self, address: int) -> PlaceName | None:
        """Return the place that `address` lies in, or None where nothing is mapped."""
        place = bisect_right(self._starts, address) - 1
        if place < 0 or address >= self._maps[place][0].end:
            return None
        mapping, index = self._maps[place]
        frame = self._frames.get(address)
        number = frame.idx if frame is not None else None
        if frame is not None and frame.func_name:
            name = f"{frame.func_name}+{frame.func_offset or 0:#x}"
            return PlaceName(name, mapping.perms, True, index, number)
        return PlaceName(self._name(mapping, address), mapping.perms, False, index, number)

    def _name(self, mapping: Mapping, address: int) -> str:
        path = mapping.path
        if not path or path.startswith("["):
            return path or mapping.name or "anonymous"
        bias = self._biases.get(path)
        if bias is None:
            bias = self._biases[path] = module_bias(self._all, path, self._all_frames)
        return f"{path.rsplit('/', 1)[-1]}+{address - bias:#x}"
