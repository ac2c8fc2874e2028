"""What a syscall is compared by: its text without addresses, which differ in every run.

Only addresses are left out: arguments and results of which the call's signature says so, and where it says
nothing those numbers that lie in a mapping of the run. Sizes, requests, flags and offsets count.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.signatures import RETURN_ADDRESSES, RETURN_TIMES, argument_kinds
from triage_tui.text import safe_line

_LEAST_ADDRESS = 0x1000
"""The first page is never mapped: what is below is no address that differs by chance."""
_NUMBER = re.compile(r"(?<![\w.])(?:0x[0-9a-f]{1,16}|\d{1,20})\b")
_ALONE = re.compile(r"(\w+=)?(-?(?:0x[0-9a-f]{1,16}|\d{1,20}))\Z")
_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*"?)')
_MOMENT = re.compile(r"tv_sec ?= ?-?\d{4,}, ?tv_[nu]sec ?= ?-?\d+")
"""A time since the start of the machine or since 1970, not a duration of seconds."""


class Mapped:
    """Knows which numbers are addresses of something mapped in a run."""

    def __init__(self, maps: Iterable[Mapping]) -> None:
        self._ranges: list[tuple[int, int]] = []
        for start, end in sorted((one.start, one.end) for one in maps):
            if self._ranges and start <= self._ranges[-1][1]:
                self._ranges[-1] = (self._ranges[-1][0], max(end, self._ranges[-1][1]))
            else:
                self._ranges.append((start, end))

    def __contains__(self, value: int) -> bool:
        at = bisect_right(self._ranges, (value, 1 << 65)) - 1
        return value >= _LEAST_ADDRESS and at >= 0 and value < self._ranges[at][1]


def mapped_in(snapshot: Snapshot) -> Mapped:
    """Return what is mapped in the processes of a run."""
    others = (one for process in snapshot.processes for one in process.maps)
    return Mapped([*snapshot.maps, *others])


def call_key(call: Syscall, mapped: Mapped) -> str:
    """Return what a call is compared by."""
    kinds = argument_kinds(call.name)
    texts = call.arguments or [f"{argument:#x}" for argument in call.args]
    if kinds is not None:
        # What is recorded beyond them was left in registers that the call does not use.
        texts = texts[: len(kinds)]
    arguments = [
        _argument(text, kinds[index] if kinds is not None else "v", _raw(call, index), mapped)
        for index, text in enumerate(texts)
    ]
    path = f" {call.path}" if call.path is not None and not call.arguments else ""
    return safe_line(f"{call.name}({', '.join(arguments)}) = {_result(call)}{path}", 2000)


def _raw(call: Syscall, index: int) -> int | None:
    """Return the register of an argument, of which a text may show the lower half only."""
    return call.args[index] if index < len(call.args) else None


def _argument(text: str, kind: str, raw: int | None, mapped: Mapped) -> str:
    alone = _ALONE.match(text)
    if alone is not None:
        value = int(alone[2], 0) if alone[2].lstrip("-").startswith("0x") else int(alone[2])
        whole = raw if raw is not None and (raw ^ value) & 0xFFFFFFFF == 0 else value
        address = abs(value) >= _LEAST_ADDRESS if kind == "p" else kind == "v" and whole in mapped
        return f"{alone[1] or ''}ADDRESS" if address else f"{alone[1] or ''}{value}"
    text = _MOMENT.sub("TIME", text)
    if kind == "n":
        return text

    def shown(found: re.Match[str]) -> str:
        value = int(found[0], 0) if found[0].startswith("0x") else int(found[0])
        return "ADDRESS" if value in mapped else found[0]

    pieces = _QUOTED.split(text)
    return "".join(piece if piece.startswith('"') else _NUMBER.sub(shown, piece) for piece in pieces)


def _result(call: Syscall) -> str:
    if call.ret is None:
        return "…"
    if call.errno:
        return call.errno
    if call.name in RETURN_ADDRESSES and abs(call.ret) >= _LEAST_ADDRESS:
        return "ADDRESS"
    return "TIME" if call.name in RETURN_TIMES and call.ret > 0 else str(call.ret)
