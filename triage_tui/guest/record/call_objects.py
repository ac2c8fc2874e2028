"""The memory that a syscall is about: what its arguments point to, and what the structures there point to.

Small first: of each object a bounded block is kept, and of structures only what their fields name, one level
deep. More is read when somebody asks for it (`triage-tui memory`).
"""

from __future__ import annotations

from collections.abc import Container

from triage_tui.guest.arch import Arch, layouts
from triage_tui.guest.arch.contents import MAX_POINTERS, interfaces, pointer_table, recognise
from triage_tui.guest.arch.structures import FieldText, fields_of, structure_of, title_of
from triage_tui.guest.record.objects import LOWEST_POINTER, ObjectCollector
from triage_tui.guest.state.memory import Memory
from triage_tui.guest.state.pointers import PointerArgument, pointer_arguments
from triage_tui.runs.memory_model import MemoryField, MemoryObject
from triage_tui.runs.model import Syscall

MAX_BUFFERS = 4
"""Buffers of one vector that are kept."""
MAX_BUFFER_BYTES = 1024
_MAX_STRING = 256
_MAX_FIELDS = 64
"""Fields of one object that are written down; a reader can decode the bytes again."""
_DATA = frozenset(("data", "buffer", "message", "argument"))
"""Arguments of which nothing is known but where they are."""
_RECEIVED = frozenset(("read", "recv", "recvfrom", "pread64"))


class CallObjects:
    """Collects what calls point to."""

    def __init__(self, memory: Memory, collector: ObjectCollector) -> None:
        self._memory = memory
        self._collector = collector

    def add(self, arch: Arch, call: Syscall, source: str, without: Container[int] = ()) -> None:
        """Keep what the pointer arguments of `call` point to, and what that points to.

        Arguments whose index is in `without` are left out.
        """
        for argument in pointer_arguments(arch, call.name, call.args):
            addr = call.args[argument.index]
            if addr < LOWEST_POINTER or argument.index in without:
                continue
            if argument.what == "argument" and not self._memory.read(addr, 1):
                # Of an unknown call: most likely a number.
                continue
            entry = self._argument(call, source, argument, addr)
            if entry is not None and entry.blob is not None and argument.size is not None:
                self._explain(arch, call, argument, entry)

    def explain_registers(self, arch: Arch) -> None:
        """Decode what registers point to, where that is certain."""
        for entry in self._collector.objects:
            if entry.tag == "register" and entry.blob is not None and not entry.fields:
                self._recognise(arch, entry, self._memory.read(entry.addr, entry.blob.size))

    def _argument(
        self, call: Syscall, source: str, argument: PointerArgument, addr: int
    ) -> MemoryObject | None:
        ident = f"{source}_arg{argument.index}"
        purpose = f"{argument.what} of {call.name} (syscall {call.seq})"
        how = f"argument {argument.index}"
        if source != "trigger":
            how += ", read at the freeze"
        if argument.size is None:
            entry = self._collector.add_string(ident, addr, source, purpose, f"{how}, as a C string", ident)
        else:
            size = argument.size
            if call.name in _RECEIVED and argument.what in _DATA and (call.ret or 0) > 0:
                size = min(size, call.ret or 0)
            how = f"{how}, {size} bytes"
            found = self._collector.add_bytes(ident, addr, size, argument.what, source, purpose, how, ident)
            if found is None:
                return None
            entry = found
        entry.seq = call.seq
        return entry

    def _explain(self, arch: Arch, call: Syscall, argument: PointerArgument, entry: MemoryObject) -> None:
        """Decode an argument, and keep what its pointers lead to."""
        assert entry.blob is not None
        data = self._memory.read(entry.addr, entry.blob.size)
        structure = structure_of(arch, call.name, call.args, argument.index, call.request)
        if structure is not None:
            entry.kind = title_of(structure, arch, data)
            _note(entry, fields_of(arch, structure, data))
            self._follow(arch, entry, structure.name, data)
        elif argument.what == "argument vector":
            self._vector(arch, entry, data)
        elif argument.what in _DATA:
            self._recognise(arch, entry, data)

    def _recognise(self, arch: Arch, entry: MemoryObject, data: bytes) -> None:
        found = recognise(arch, data, self._string)
        if found is not None:
            entry.kind = found.kind
            _note(entry, found.fields)

    def _string(self, addr: int) -> bytes | None:
        return self._memory.c_string(addr, _MAX_STRING)

    def _vector(self, arch: Arch, entry: MemoryObject, data: bytes) -> None:
        """Write down the strings of an argument vector."""
        found = pointer_table(arch, data[: MAX_POINTERS * arch.word], self._string, 1)
        if not found:
            return
        entry.kind = "argument vector"
        _note(entry, found)
        first = self._memory.word(entry.addr) or 0
        if first >= LOWEST_POINTER and not self._collector.is_kept(first, 1):
            # The vector has only where the texts are: what is started is to be seen itself.
            purpose = f"program in the {entry.purpose}"
            how = f"what [0] of {entry.id} points to, as a C string"
            ident = f"{entry.id}.0"
            self._collector.add_string(ident, first, entry.source, purpose, how, ident).seq = entry.seq

    def _follow(self, arch: Arch, entry: MemoryObject, name: str, data: bytes) -> None:
        if name == "msghdr":
            values = layouts.decode(arch, "msghdr", data)
            address, length = _number(values, "msg_name"), _number(values, "msg_namelen")
            if address >= LOWEST_POINTER and 0 < length <= 128:
                self._address(arch, entry, address, length)
            self._buffers(arch, entry, _number(values, "msg_iov"), _number(values, "msg_iovlen"))
        elif name == "iovec":
            size = layouts.layout(arch, "iovec").size
            self._buffers(arch, entry, entry.addr, len(data) // size, is_vector=True)
        elif name == "ifconf":
            values = layouts.decode(arch, "ifconf", data)
            address, length = _number(values, "ifc_buf"), _number(values, "ifc_len")
            if address >= LOWEST_POINTER and 0 < length <= 1 << 16:
                found = self._below(entry, "ifc_buf", address, length, "interfaces", "list of interfaces")
                if found is not None and found.blob is not None:
                    found.kind = "struct ifreq []"
                    _note(found, interfaces(arch, self._memory.read(address, found.blob.size)))

    def _address(self, arch: Arch, entry: MemoryObject, address: int, length: int) -> None:
        found = self._below(entry, "msg_name", address, length, "socket address", "socket address")
        if found is None or found.blob is None:
            return
        data = self._memory.read(address, found.blob.size)
        structure = structure_of(arch, "connect", (), 1)
        if structure is not None:
            found.kind = title_of(structure, arch, data)
            _note(found, fields_of(arch, structure, data))

    def _buffers(
        self, arch: Arch, entry: MemoryObject, vector: int, count: int, *, is_vector: bool = False
    ) -> None:
        """Keep the first buffers of a vector, each up to `MAX_BUFFER_BYTES`."""
        if vector < LOWEST_POINTER or count <= 0:
            return
        size = layouts.layout(arch, "iovec").size
        if not is_vector:
            kept = self._below(entry, "msg_iov", vector, min(count, 64) * size, "vector", "vector")
            if kept is not None:
                kept.kind = f"struct iovec [{min(count, 64)}]"
        for number in range(min(count, MAX_BUFFERS)):
            values = layouts.decode(arch, "iovec", self._memory.read(vector + number * size, size))
            address, length = _number(values, "iov_base"), _number(values, "iov_len")
            if address < LOWEST_POINTER or length <= 0:
                continue
            found = self._below(
                entry, f"iov{number}", address, min(length, MAX_BUFFER_BYTES), "data", f"buffer {number}"
            )
            if found is not None and found.blob is not None:
                if length > MAX_BUFFER_BYTES:
                    found.blob_err = f"only the first {MAX_BUFFER_BYTES} of {length} bytes are kept"
                self._recognise(arch, found, self._memory.read(address, found.blob.size))

    def _below(
        self, entry: MemoryObject, name: str, address: int, size: int, tag: str, what: str
    ) -> MemoryObject | None:
        """Keep what a field of `entry` points to."""
        ident = f"{entry.id}.{name}"
        purpose = f"{what} in the {entry.purpose}"
        how = f"{size} bytes at {name} of {entry.id}"
        found = self._collector.add_bytes(ident, address, size, tag, entry.source, purpose, how, ident)
        if found is not None:
            found.seq = entry.seq
        return found


def _number(values: dict[str, int | bytes], name: str) -> int:
    value = values.get(name, 0)
    return value if isinstance(value, int) else 0


def _note(entry: MemoryObject, fields: list[FieldText]) -> None:
    """Write decoded fields into the index."""
    entry.fields = [
        MemoryField(name=one.name, offset=one.offset, size=one.size, text=one.text)
        for one in fields[:_MAX_FIELDS]
    ]
