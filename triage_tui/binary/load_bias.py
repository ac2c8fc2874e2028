"""Where the modules of a call stack were loaded, where only names of functions tell it.

SFEmu's snapshots have addresses and the names that its analysis gave them, and no mappings. A module is
loaded at a multiple of a page, so that an address in a function that is shorter than a page fits one place
only; of longer ones several frames together leave one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.runs.frame_model import Frame

PAGE = 4096
"""The smallest page of the supported architectures, and so of where a module can be loaded."""
MAX_PLACES = 4096
"""Places of one function that are looked at: longer functions tell nothing."""


def load_biases(frames: Sequence[Frame], results: SfAnalysis) -> dict[str, int]:
    """Return module path -> run-time minus file addresses, where one value only fits all frames of it."""
    fitting: dict[str, set[int]] = {}
    for frame in frames:
        if frame.module_real_path is None or frame.func_name is None:
            continue
        places = results.places(frame.module_real_path, frame.func_name)
        if not places or sum(map(len, places)) > MAX_PLACES * PAGE:
            continue
        found = {bias for place in places for bias in _biases(_inside(frame), place)}
        known = fitting.get(frame.module_real_path)
        fitting[frame.module_real_path] = found if known is None else known & found
    return {path: next(iter(found)) for path, found in fitting.items() if len(found) == 1}


def _inside(frame: Frame) -> int:
    """Return an address inside of the function: a return address may lie behind its end."""
    exact = frame.method in ("pc", "signal_frame")
    return frame.addr if exact else frame.addr - 1


def _biases(addr: int, place: range) -> list[int]:
    first = place.start + (addr - place.start) % PAGE
    return [addr - vaddr for vaddr in range(first, place.stop, PAGE) if vaddr <= addr]


def with_places(frames: Sequence[Frame], results: SfAnalysis) -> list[Frame]:
    """Return the frames with their places in their modules, and with names, as far as the results tell."""
    biases = load_biases(frames, results)
    return [_placed(frame, biases, results) for frame in frames]


def _placed(frame: Frame, biases: dict[str, int], results: SfAnalysis) -> Frame:
    path = frame.module_real_path
    offset = frame.module_offset
    if path is None:
        within = [
            one for one, bias in biases.items() if results.name_at(one, _inside(frame) - bias) is not None
        ]
        if len(within) != 1:
            return frame
        path = within[0]
        frame = msgspec.structs.replace(frame, module_real_path=path, module_name=path.rpartition("/")[2])
    if offset is None and path in biases and frame.addr >= biases[path]:
        offset = frame.addr - biases[path]
    if offset is None:
        return frame
    found = results.name_at(path, offset - (frame.addr - _inside(frame)))
    if found is None or frame.func_name not in (None, found[0]):
        return msgspec.structs.replace(frame, module_offset=offset)
    name, plus, prototype = found
    plus += frame.addr - _inside(frame)
    return msgspec.structs.replace(
        frame,
        module_offset=offset,
        func_name=name,
        func_offset=plus,
        function_start=offset - plus,
        prototype=frame.prototype or prototype,
    )
