"""A guest that is only a recorded call: it knows the memory of the call's arguments, and where that ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec

from triage_tui.rulebook.check.recorded_arguments import Given, given, place_at
from triage_tui.rulehost.peer_script import PeerScript
from triage_tui.rulehost.protocol import Endian, IfreqField, PeerMode, StandIn
from triage_tui.runs import errnos, guest_abi
from triage_tui.runs.model import Syscall
from triage_tui.text import safe_line

_EBADF, _EFAULT = 9, 14
_FIRST_MADE_UP = 1000
"""Descriptors that a rule opens begin here: none of a recorded program is that high."""
_MAX_KEPT = 64


class Write(msgspec.Struct, frozen=True):
    """What a rule wrote to memory. `argument` 0: to none of an argument; `room` is what that has left."""

    address: int
    size: int
    argument: int = 0
    room: int | None = None

    @property
    def is_outside(self) -> bool:
        """Whether it reaches memory that does not belong to the argument."""
        return self.argument == 0 or (self.room is not None and self.size > self.room)


class RecordedGuest:
    """Implements the rule host's `GuestAccess`. What is not recorded cannot be read: `blind` then says so.

    Nothing that a rule does goes anywhere; `did` has it in words, for the call that stands.
    """

    def __init__(self, arch: str) -> None:
        self._arch_of_run = arch
        self._arch = arch
        self.given = Given([])
        self.blind = False
        """The rule wanted something that is not recorded, so what it would do is not known for sure."""
        self.did: list[str] = []
        self.writes: list[Write] = []
        self._interface: bytes | None = None
        self._written: dict[int, int] = {}
        self._opened = _FIRST_MADE_UP
        self._labels: dict[int, bytes] = {}

    def begin(self, call: Syscall) -> Given:
        """Stand for this call, and return its arguments."""
        self._arch = call.arch or self._arch_of_run
        self.blind = False
        self.did, self.writes, self._written = [], [], {}
        self._interface = call.interface.encode("utf-8", "surrogateescape") if call.interface else None
        self.given = given(call, self._arch)
        return self.given

    @property
    def arch(self) -> str:
        """Architecture of the program that made the call."""
        return self._arch

    @property
    def endian(self) -> Endian:
        """Byte order of the program that made the call."""
        return guest_abi.endian(self._arch)

    @property
    def word(self) -> int:
        """Bytes of its registers."""
        return guest_abi.word(self._arch)

    def errno_number(self, name: str) -> int | None:
        """The number of an error there."""
        return errnos.numbers(guest_abi.errno_kind(self._arch)).get(name)

    def read_bytes(self, address: int, size: int) -> bytes:
        """Return what is recorded or was written by the rule; zeros behind the end of a text."""
        known = self._recorded(address, size)
        if not self._written:
            return known if known is not None else self._see_nothing()
        data = bytearray(known or size)
        for index in range(size):
            byte = self._written.get(address + index)
            if byte is not None:
                data[index] = byte
            elif known is None:
                self._see_nothing()
        return bytes(data)

    def _recorded(self, address: int, size: int) -> bytes | None:
        place = place_at(self.given.places, address)
        if place is None or place.content is None:
            return None
        offset = address - place.start
        if not place.is_text and offset + size > len(place.content):
            return None
        return place.content[offset : offset + size].ljust(size, b"\0")

    def _see_nothing(self) -> NoReturn:
        self.blind = True
        raise OSError(_EFAULT, "not recorded")

    def write_bytes(self, address: int, data: bytes) -> None:
        """Note where it goes; what is read from there later is what was written."""
        place = place_at(self.given.places, address)
        if place is not None:
            room = place.size - (address - place.start) if place.size is not None else None
            self.writes.append(Write(address, len(data), place.argument, room))
            self._do(f"writes {len(data)} bytes to argument {place.argument}")
        elif self.given.complete:
            self.writes.append(Write(address, len(data)))
            self._do(f"writes {len(data)} bytes to {address:#x}")
        else:
            self.blind = True
            self._do(f"writes {len(data)} bytes to {address:#x}")
        self._written |= {address + index: byte for index, byte in enumerate(data)}

    def _do(self, text: str) -> None:
        if len(self.did) < _MAX_KEPT:
            self.did.append(text)

    def read_registers(self) -> Mapping[str, int]:
        """Say that none is known."""
        self.blind = True
        return {}

    def write_register(self, name: str, value: int) -> int:
        """Pretend."""
        self._do(f"sets register {safe_line(name, 20)} to {value:#x}")
        return 0

    def set_argument(self, index: int, value: int) -> int:
        """Pretend."""
        self._do(f"changes argument {index + 1} to {value:#x}")
        return 0

    def start_program(self) -> int:
        """Pretend."""
        self._do("starts the program through its emulator")
        return 0

    def mkdir_p(self, path: bytes, mode: int) -> int:
        """Pretend."""
        self._do(f"makes the directory {safe_line(path, 200)}")
        return 0

    def provide_file(self, path: bytes, content: bytes, mode: int) -> int:
        """Pretend."""
        self._do(f"provides {safe_line(path, 200)} ({len(content)} bytes)")
        return 0

    def remove_path(self, path: bytes) -> int:
        """Pretend."""
        self._do(f"takes away {safe_line(path, 200)}")
        return 0

    def provide_socket(self, path: bytes, mode: int) -> int:
        """Pretend."""
        self._do(f"provides the socket {safe_line(path, 200)}")
        return 0

    def open_bytes(self, content: bytes, cloexec: bool, label: bytes = b"") -> int:
        """Pretend."""
        stands = f" for {safe_line(label, 120)}" if label else ""
        return self._open(f"opens a private file of {len(content)} bytes{stands}", label)

    def open_shared(self, content: bytes, cloexec: bool, label: bytes) -> int:
        """Pretend."""
        return self.open_bytes(content, cloexec, label)

    def write_shared(self, label: bytes, offset: int, data: bytes) -> int:
        """Pretend."""
        self._do(f"writes {len(data)} bytes to the private file {safe_line(label, 120)}")
        return 0

    def descriptor_label(self, fd: int) -> bytes:
        """Return the label of a file that a rule opened; what else a recorded program had open has none."""
        return self._labels.get(fd, b"")

    def descriptor_path(self, fd: int) -> bytes:
        """Say that it is not recorded."""
        self.blind = True
        raise OSError(_EBADF, "not recorded")

    def real_path(self, path: bytes) -> bytes:
        """Return the path: a record does not tell of links."""
        return path

    def write_field(self, address: int, structure: str, field: str, value: int) -> int:
        """Pretend: only a guest knows how its structures are laid out."""
        self._do(f"sets {safe_line(structure, 20)}.{safe_line(field, 20)} to {value:#x}")
        return 0

    def open_host(self, path: bytes, flags: int, mode: int, label: bytes = b"") -> int:
        """Pretend."""
        return self._open(f"opens {safe_line(path, 80)} of the host", label)

    def _open(self, text: str, label: bytes) -> int:
        self._do(text)
        self._opened += 1
        self._labels[self._opened] = label
        return self._opened

    def ifreq_name(self, address: int) -> bytes:
        """Return the interface of the recorded call."""
        if self._interface is None:
            self.blind = True
            raise OSError(_EFAULT, "not recorded")
        return self._interface

    def ifreq_set(self, address: int, field: IfreqField, value: int | bytes) -> int:
        """Pretend."""
        self._do(f"fills in {field}")
        return 0

    def connect_peer(self, fd: int, mode: PeerMode) -> int:
        """Pretend."""
        self._do(f"connects descriptor {fd} to a peer ({mode})")
        return 0

    def connect_script(self, fd: int, script: PeerScript) -> int:
        """Pretend."""
        self._do(f"connects descriptor {fd} to a peer with {len(script.steps)} replies")
        return 0

    def tell_peer(self, fd: int, message: bytes) -> int:
        """Say that no peer is there yet."""
        return -(self.errno_number("ENOTCONN") or 0)

    def start_probe(self, address: str, timeout: float, payload: bytes) -> int:
        """Send nothing."""
        self._do(f"sends a request to {safe_line(address, 40)}")
        return 0

    def socket_stub(self, kind: StandIn, flags: int, protocol: int, label: bytes = b"") -> int:
        """Pretend."""
        return self._open(f"opens a socket ({kind})", label)

    def module_base(self, path: str, build: str) -> int:
        """Say that no such file is mapped: a record does not hold the program's memory."""
        self.blind = True
        return -(self.errno_number("ENOENT") or 0)

    def callers(self, most: int) -> Sequence[Mapping[str, int | str]]:
        """Say that nothing is known."""
        self.blind = True
        return []

    def resolve_address(self, address: int) -> Mapping[str, int | str] | None:
        """Say that nothing is known."""
        self.blind = True
        return None
