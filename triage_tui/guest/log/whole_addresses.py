"""Make addresses whole of which the emulator's log has the low half only.

QEMU 7.2 prints some arguments with "%#x" (linux-user/strace.list, print_ioctl of strace.c): of a 64-bit
address that shows 32 bits. A call that was held has its registers in the record; of any other the process's
mappings say the rest, where exactly one of them has room for such an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from triage_tui.runs.model import Syscall
from triage_tui.runs.process_model import Mapping as MemoryMapping

_HALVES = {"read": 1, "write": 1, "connect": 1, "ioctl": 2}
"""Call -> index of the argument of which the log has half."""
_HALF = re.compile(r"0x[1-9a-f][0-9a-f]{0,7}\Z")
"""What such an argument looks like; whole ones are written with 16 digits."""
_PAGE_BITS = 12


class WholeAddresses:
    """Knows the mappings of 64-bit processes, as they are now."""

    def __init__(self, maps: Mapping[int, Sequence[MemoryMapping]], calls: Iterable[Syscall]) -> None:
        """Use the mappings `maps`, by process id as the guest sees it.

        A process that became another program, as `calls` say, had other mappings before.
        """
        self._maps = maps
        self._pages: dict[tuple[int, int], int | None] = {}
        self._began: dict[int, int] = {}
        for call in calls:
            if call.name in ("execve", "execveat") and call.ret == 0:
                self._began[call.pid] = max(call.seq, self._began.get(call.pid, 0))

    def complete(self, call: Syscall, texts: list[str]) -> None:
        """Write out in `texts`, the arguments of `call`, what is half an address."""
        index = _HALVES.get(call.name)
        if index is None or index >= len(texts) or not _HALF.match(texts[index]):
            return
        if call.pid not in self._maps or call.seq <= self._began.get(call.pid, -1):
            return
        if call.name == "ioctl" and texts[1][:1].isdigit():
            # The argument of a request that is not known may be any number.
            return
        half = int(texts[index], 16)
        high = self._high(call.pid, half >> _PAGE_BITS)
        if high:
            texts[index] = hex(high << 32 | half)

    def _high(self, pid: int, page: int) -> int | None:
        """Return the upper half of the one mapped address whose lower half is in `page`, None if not one."""
        key = pid, page
        if key not in self._pages:
            low = page << _PAGE_BITS
            found = {
                high
                for mapping in self._maps[pid]
                for high in {mapping.start >> 32, mapping.end - 1 >> 32}
                if mapping.start <= (high << 32 | low) < mapping.end
            }
            self._pages[key] = found.pop() if len(found) == 1 else None
        return self._pages[key]
