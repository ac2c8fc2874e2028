"""Choose and keep the pieces of guest memory that explain a stop."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingABC
from collections.abc import Sequence

from triage_tui.guest.arch import Arch
from triage_tui.guest.state.memory import Memory
from triage_tui.guest.state.pointers import STRING_LIMIT
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.writer import RunWriter

LOWEST_POINTER = 4096
"""Smaller values are numbers, not addresses (nothing is mapped below)."""
MAX_BLOB = 4096
"""Bytes kept of one object."""
STACK_BYTES = 256
"""Bytes kept from sp on."""
REGISTER_BYTES = 64
"""Bytes kept behind a register that points to memory."""
MAX_REGISTER_OBJECTS = 16

_AF_UNIX = 1
_TEXT = re.compile(rb"[\x20-\x7e\t\r\n]{4,}")


class ObjectCollector:
    """Collects memory objects into the run that `writer` makes; an address is kept once."""

    def __init__(self, memory: Memory, writer: RunWriter) -> None:
        self._memory = memory
        self._writer = writer
        self._kept: list[tuple[int, int]] = []
        self.objects: list[MemoryObject] = []

    def is_kept(self, addr: int, size: int) -> bool:
        """Tell whether all of these bytes are in one object already."""
        return any(start <= addr and addr + size <= end for start, end in self._kept)

    def add_string(
        self, ident: str, addr: int, source: str, purpose: str, how: str, file: str
    ) -> MemoryObject:
        """Keep the C string at `addr`."""
        entry = MemoryObject(
            id=ident, tag="string", source=source, addr=addr, addr_hex=f"0x{addr:x}", purpose=purpose, how=how
        )
        self.objects.append(entry)
        raw = self._memory.c_string(addr, STRING_LIMIT)
        if raw is None:
            readable = self._memory.read(addr, STRING_LIMIT)
            entry.string_err = "no NUL within 4096 bytes" if readable else "not readable"
            if not readable:
                return entry
            raw = readable[:REGISTER_BYTES]
        else:
            entry.string = raw.decode("utf-8", "backslashreplace")
        data = self._memory.read(addr, len(raw) + 1)
        entry.blob = self._writer.add_blob(f"{file}_0x{addr:x}_str.txt", addr, data)
        self._kept.append((addr, addr + len(data)))
        return entry

    def add_bytes(
        self, ident: str, addr: int, size: int, tag: str, source: str, purpose: str, how: str, file: str
    ) -> MemoryObject | None:
        """Keep up to `size` bytes at `addr`, None where they are kept already; text in them is recognised."""
        if self.is_kept(addr, size):
            return None
        entry = MemoryObject(
            id=ident, tag=tag, source=source, addr=addr, addr_hex=f"0x{addr:x}", purpose=purpose, how=how
        )
        self.objects.append(entry)
        wanted = min(size, MAX_BLOB)
        data = self._memory.read(addr, wanted)
        if not data:
            entry.blob_err = "not readable" if wanted else "of length 0"
            return entry
        entry.blob = self._writer.add_blob(f"{file}_0x{addr:x}.bin", addr, data)
        if len(data) < wanted:
            entry.blob_err = f"only {len(data)} of {wanted} bytes are readable"
        elif size > MAX_BLOB:
            entry.blob_err = f"only the first {MAX_BLOB} of {size} bytes are kept"
        self._kept.append((addr, addr + len(data)))
        if tag == "socket address" and int.from_bytes(data[:2], self._memory.arch.endian) == _AF_UNIX:
            # sockaddr_un: family, then the path; abstract names begin with a NUL.
            data = data[2:].lstrip(b"\0")
        text = _TEXT.match(data)
        if text and (text.end() == len(data) or data[text.end()] == 0):
            entry.string = text[0].decode("ascii")
        return entry

    def _is_text(self, addr: int) -> bool:
        raw = self._memory.c_string(addr, REGISTER_BYTES)
        text = _TEXT.match(raw) if raw is not None else None
        return raw is not None and text is not None and text.end() == len(raw)

    def add_stack(self, arch: Arch, registers: MappingABC[str, int]) -> None:
        """Keep the window from the stack pointer on."""
        addr = registers.get(arch.sp)
        if addr is not None:
            purpose = "innermost stack frame"
            how = f"{STACK_BYTES} bytes from {arch.sp} on"
            self.add_bytes(
                "reg_sp", addr, STACK_BYTES, "stack", "trigger", purpose, how, f"trigger_reg_{arch.sp}"
            )

    def add_registers(self, arch: Arch, registers: MappingABC[str, int], skip: Sequence[str]) -> None:
        """Keep a piece of what each general register points to, as far as it is data."""
        found = 0
        for name in arch.env_registers:
            value = registers.get(name, 0)
            if name in skip or name in (arch.sp, arch.pc, arch.lr) or value < LOWEST_POINTER:
                continue
            mapping = self._memory.mapping(value)
            if mapping is None or self.is_kept(value, 1):
                continue
            if "x" in mapping.perms and not self._is_text(value):
                # Code says little; but texts often lie in the segment of the code.
                continue
            self.add_bytes(
                f"reg_{name}",
                value,
                min(REGISTER_BYTES, mapping.end - value),
                "register",
                "register",
                f"what {name} points to",
                f"{REGISTER_BYTES} bytes at the value of {name}",
                f"trigger_reg_{name}",
            )
            found += 1
            if found >= MAX_REGISTER_OBJECTS:
                return
