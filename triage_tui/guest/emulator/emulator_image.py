"""Find registers and address space of a program that a running guest executed, without a gdb stub.

QEMU keeps its CPUStates in a list (`cpus_queue`, a QTAILQ) whose head is a static variable: always at the
same place of one emulator's image, and known by its shape, as the first element points back to the head.
Where the registers lie behind the CPUState is the same in every process of one emulator. So what was measured
once holds for all later processes of it (`Landmarks`). It is measured in the guest's first process, whose
registers the gdb stub showed, or, for the emulator of another architecture, at the first call of its first
program, where the registers must show that call.

The program's auxiliary vector lies on its stack as QEMU's `create_elf_tables` made it (linux-user/elfload.c).
"""

from __future__ import annotations

import os
import struct
from array import array

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.emulator.elf import ElfInfo
from triage_tui.guest.emulator.env_locator import Location
from triage_tui.guest.host import host_memory, process
from triage_tui.guest.host.process import HostMapping
from triage_tui.runs.model import Syscall

_BACKWARD = 0x6000
"""How far behind the start of a CPUState its registers may be (QEMU 7.2 to 10.0: less than 0x5000)."""
_MAX_IMAGE = 64 << 20
_NEAR_STACK, _MAX_STACK = 64 << 10, 4 << 20
"""How much of a guest's stack is searched for its auxiliary vector: arguments and environment lie above."""
_MAX_THREADS = 4096
_MAX_KEY = 64
"""The largest key that an auxiliary vector may have (linux/auxvec.h has 51)."""
_AT_NULL, _AT_PHDR, _AT_PHENT, _AT_PHNUM = 0, 3, 4, 5


class Landmarks(msgspec.Struct, frozen=True):
    """Where one emulator keeps things. Offsets in bytes."""

    head: int
    """List head of the CPUStates, from the start of the emulator's image."""
    node: int
    """List link, from the start of a CPUState."""
    env: int
    """First general register, from the start of a CPUState."""
    pc: int
    """The pc, from the first general register."""


def own_image(pid: int, maps: list[HostMapping]) -> tuple[int, list[HostMapping]]:
    """Return (start, writable mappings) of the emulator's own image; its zeroed data included.

    Raises:
        OSError: the process is gone.
    """
    status = os.stat(f"/proc/{process.living_id(pid)}/exe")
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    start, end = 0, 0
    writable: list[HostMapping] = []
    for mapping in maps:
        is_file = mapping.inode == status.st_ino and mapping.device == device
        if is_file or (end and mapping.start == end and not mapping.inode and mapping.path == ""):
            start = start or mapping.start
            end = mapping.end
            if mapping.perms.startswith("rw") and mapping.end - mapping.start < _MAX_IMAGE:
                writable.append(mapping)
    return start, writable


def _words(pid: int, start: int, size: int) -> array[int]:
    try:
        data = host_memory.read_memory(pid, start, size)
    except OSError:
        data = b""
    words = array("Q")
    words.frombytes(data[: len(data) & ~7])
    return words


def _word(pid: int, address: int) -> int:
    words = _words(pid, address, 8)
    return words[0] if words else 0


def learn(pid: int, location: Location) -> Landmarks | None:
    """Return the landmarks of the emulator in process `pid`, whose first thread's registers are known."""
    try:
        start, writable = own_image(pid, process.read_maps(pid))
    except OSError:
        return None
    low = (location.env - _BACKWARD) & ~7
    lowest = min((mapping.start for mapping in writable), default=0)
    highest = max((mapping.end for mapping in writable), default=0)
    for index, head in enumerate(_words(pid, low, _BACKWARD)):
        # There are thousands of words, and hardly one of them points there.
        if not lowest <= head < highest or not any(
            mapping.start <= head < mapping.end for mapping in writable
        ):
            continue
        # This word would be node.tqe_circ.tql_prev of the only element.
        node = low + 8 * index - 8
        begin, last = _word(pid, head), _word(pid, head + 8)
        if last == node and low <= begin < node:
            return Landmarks(head - start, node - begin, location.env - begin, location.pc_offset)
    return None


def first_registers(pid: int, marks: Landmarks) -> int | None:
    """Return the host address of the registers in the first CPUState of the list, None if there is none."""
    try:
        begin = _begin_of_first(pid, process.read_maps(pid), marks)
    except OSError:
        return None
    return begin + marks.env if begin else None


def _begin_of_first(pid: int, maps: list[HostMapping], marks: Landmarks) -> int:
    """Return the address of the first CPUState, 0 if there is none."""
    start, _writable = own_image(pid, maps)
    head = start + marks.head
    begin = _word(pid, head)
    return begin if begin and _word(pid, begin + marks.node + 8) == head else 0


def discover(pid: int, arch: Arch, location: Location, call: Syscall | None) -> Landmarks | None:
    """Return the landmarks of an emulator of which nothing is known, from its first thread being in `call`.

    `location` is what is known of the program, its registers left out. Without a call, what must fit is only
    that the thread executes code of the program and has a stack.
    """
    try:
        maps = process.read_maps(pid)
        start, writable = own_image(pid, maps)
    except OSError:
        return None
    allocated = [m for m in maps if m.perms.startswith("rw") and m.path in ("", "[heap]")]
    for mapping in writable:
        words = _words(pid, mapping.start, mapping.end - mapping.start)
        for index in range(len(words) - 1):
            begin, last = words[index], words[index + 1]
            if begin & 7 or last & 7 or not _holds(allocated, begin) or not _holds(allocated, last):
                continue
            head = mapping.start + 8 * index
            node = _first_link(pid, head, last)
            if 0 < node - begin < _BACKWARD:
                found = _registers_behind(pid, arch, location, call, begin, maps)
                if found is not None:
                    return Landmarks(head - start, node - begin, *found)
    return None


def _first_link(pid: int, head: int, last: int) -> int:
    """Follow a list back from its last link to the one that points to `head`; 0 where there is no such list.

    A new thread is in the list before the call that makes it.
    """
    link = last
    for _ in range(_MAX_THREADS):
        previous = _word(pid, link + 8)
        if previous == head or not previous:
            return link if previous else 0
        if not 0 < link - _word(pid, previous) < _BACKWARD:
            return 0
        link = previous
    return 0


def _registers_behind(
    pid: int, arch: Arch, location: Location, call: Syscall | None, begin: int, maps: list[HostMapping]
) -> tuple[int, int] | None:
    """Return (offset of the registers from `begin`, of the pc from there) where they show `call`."""
    data = _words(pid, begin, _BACKWARD).tobytes()
    code = [m for m in maps if m.inode and "r" in m.perms]
    stacks = [m for m in maps if m.perms.startswith("rw")]
    found: list[tuple[int, int]] = []
    for offset in range(0, len(data), 8):
        for pc_offset in arch.env_pc_offsets:
            values = arch.registers_from_env(data[offset : offset + arch.env_span], pc_offset)
            pc, sp = values.get(arch.pc, 0), values.get(arch.sp, 0)
            if not pc or not sp or (call is not None and arch.syscall_in(values) != call.num):
                continue
            if _holds(code, pc + location.guest_base) and _holds(stacks, sp + location.guest_base):
                found.append((offset, pc_offset))
    return found[0] if len(found) == 1 else None


def _holds(mappings: list[HostMapping], address: int) -> bool:
    return any(mapping.start <= address < mapping.end for mapping in mappings)


def find_program(pid: int, arch: Arch, elf: ElfInfo) -> Location:
    """Return what can be told of the program in the emulator's process `pid` without its registers (`env` 0).

    Raises:
        TriageError: it was not found.
    """
    return _find_program(pid, process.read_maps(pid), arch, elf, None)


def _find_program(pid: int, maps: list[HostMapping], arch: Arch, elf: ElfInfo, sp: int | None) -> Location:
    """Find the program by its ELF header, and its auxiliary vector on its stack, above `sp` if given."""
    places = [mapping.start for mapping in maps if _begins_with(pid, mapping, elf.header)]
    if sp is not None:
        # Where the program must be at one address, or the guest's addresses are the host's, one look does.
        guesses = [0]
        guesses += [] if elf.position_independent else [place - elf.lowest for place in places]
        for base in guesses:
            stack = next((m for m in maps if m.start <= base + sp < m.end), None)
            if stack is not None:
                size = min(stack.end - base - sp, _NEAR_STACK)
                if found := _search(pid, base + sp, size, places, arch, elf):
                    return found
    reach = 1 << 32 if arch.bits == 32 else 1 << 48
    for mapping in maps:
        if mapping.path or not mapping.perms.startswith("rw-p"):
            continue
        if not any(abs(mapping.start - place) < reach for place in places):
            continue
        size = mapping.end - mapping.start
        for part in (min(size, _NEAR_STACK), min(size, _MAX_STACK)):
            if found := _search(pid, mapping.end - part, part, places, arch, elf):
                return found
    raise TriageError("the program was not found in the emulator's memory, so guest memory cannot be read")


def _search(pid: int, start: int, size: int, places: list[int], arch: Arch, elf: ElfInfo) -> Location | None:
    """Look for the program's auxiliary vector in `size` bytes; `places` hold its ELF header."""
    try:
        data = host_memory.read_memory(pid, start, size)
    except OSError:
        return None
    order = "<" if arch.endian == "little" else ">"
    word = "I" if arch.word == 4 else "Q"
    # e_phentsize and e_phnum
    at = 42 if elf.bits == 32 else 54
    entry, count = (int.from_bytes(elf.header[i : i + 2], arch.endian) for i in (at, at + 2))
    pattern = struct.pack(f"{order}4{word}", _AT_PHENT, entry, _AT_PHNUM, count)
    pair = struct.Struct(f"{order}2{word}")
    at = data.find(pattern)
    while at >= pair.size:
        vector = _vector(pair, data, _begin_of_vector(pair, data, at - pair.size))
        header = vector.get(_AT_PHDR, 0) - elf.program_headers
        fits = elf.position_independent or header == elf.lowest
        for base in (place - header for place in places):
            if fits and header > 0 and base >= 0 and not base & 4095:
                return Location(0, arch.env_pc_offsets[0], base, header - elf.lowest, vector)
        at = data.find(pattern, at + 1)
    return None


def _begins_with(pid: int, mapping: HostMapping, header: bytes) -> bool:
    if "r" not in mapping.perms or mapping.offset or not mapping.inode:
        return False
    try:
        return host_memory.read_memory(pid, mapping.start, len(header)) == header
    except OSError:
        return False


def _begin_of_vector(pair: struct.Struct, data: bytes, at: int) -> int:
    """Return where the vector begins that has an entry at `at`: behind the environment's pointers and a 0."""
    while at >= pair.size:
        key, _value = pair.unpack_from(data, at - pair.size)
        if not 0 < key <= _MAX_KEY:
            break
        at -= pair.size
    return at


def _vector(pair: struct.Struct, data: bytes, at: int) -> dict[int, int]:
    """Read an auxiliary vector up to its end."""
    found: dict[int, int] = {}
    while at + pair.size <= len(data) and len(found) < 64:
        key, value = pair.unpack_from(data, at)
        if key == _AT_NULL:
            break
        found[key] = value
        at += pair.size
    return found


def locate(pid: int, arch: Arch, elf: ElfInfo, marks: Landmarks) -> Location:
    """Return where the program in the emulator's process `pid` lives.

    Raises:
        TriageError: it was not found, or has not come so far yet.
    """
    maps = process.read_maps(pid)
    try:
        begin = _begin_of_first(pid, maps, marks)
        data = host_memory.read_memory(pid, begin + marks.env, arch.env_span) if begin else b""
    except OSError:
        begin = 0
    if not begin:
        raise TriageError("the program has only just been started")
    sp = arch.registers_from_env(data, marks.pc).get(arch.sp)
    found = _find_program(pid, maps, arch, elf, sp)
    return Location(begin + marks.env, marks.pc, found.guest_base, found.load_bias, found.auxv)
