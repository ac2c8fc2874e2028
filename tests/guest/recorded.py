"""Recorded guests: code, stack and registers of the chain program in `chain/`, with its symbols."""

from __future__ import annotations

import base64
import bisect
import json
import zlib
from pathlib import Path
from typing import Any

from triage_tui.guest import arch
from triage_tui.guest.state.memory import Memory
from triage_tui.runs.process_model import Mapping

CHAIN = Path(__file__).with_name("chain")
VARIANTS = sorted(path.stem for path in CHAIN.glob("*.json"))


class RecordedGuest:
    """A MemorySource made from a recording; `patch` changes bytes."""

    def __init__(self, variant: str) -> None:
        data: dict[str, Any] = json.loads((CHAIN / f"{variant}.json").read_text(encoding="utf-8"))
        self.arch = arch.by_name(data["arch"])
        self.registers: dict[str, int] = data["registers"]
        self._maps = [Mapping(**entry) for entry in data["maps"]]
        self._regions = {
            region["addr"]: bytearray(zlib.decompress(base64.b64decode(region["zlib"])))
            for region in data["regions"]
        }
        self.functions: list[tuple[int, int, str]] = [tuple(entry) for entry in data["functions"]]

    def maps(self) -> list[Mapping]:
        return self._maps

    def read_memory(self, addr: int, size: int) -> bytes:
        """Return zeros where the recording has nothing but the mapping exists."""
        if not any(m.start <= addr < m.end for m in self._maps):
            raise OSError("not mapped")
        out = bytearray(size)
        for start, data in self._regions.items():
            low, high = max(addr, start), min(addr + size, start + len(data))
            if low < high:
                out[low - addr : high - addr] = data[low - start : high - start]
        return bytes(out)

    def patch(self, addr: int, data: bytes) -> None:
        for start, region in self._regions.items():
            if start <= addr < start + len(region):
                region[addr - start : addr - start + len(data)] = data

    @property
    def memory(self) -> Memory:
        return Memory(self, self.arch)

    def function(self, addr: int) -> tuple[int, str] | None:
        index = bisect.bisect_right(self.functions, (addr, 1 << 62, "")) - 1
        if index >= 0 and addr < self.functions[index][0] + self.functions[index][1]:
            return self.functions[index][0], self.functions[index][2]
        return None

    def start_of(self, name: str) -> int:
        return next(start for start, _, other in self.functions if other == name)

    def name_of_frame(self, idx: int, addr: int) -> str:
        found = self.function(addr - (1 if idx else 0))
        return found[1].lstrip("_") if found else "?"
