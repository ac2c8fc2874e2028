"""A guest made of a dictionary of pages: what a rule can do to a guest, without an emulator."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence

from triage_tui.rulehost.peer_script import PeerScript
from triage_tui.rulehost.protocol import Endian, IfreqField, PeerMode, StandIn

PAGE = 4096


class MemoryGuest:
    """Implements GuestAccess on plain data and remembers what was asked of it."""

    def __init__(self, endian: Endian = "little", word: int = 4) -> None:
        self._endian: Endian = endian
        self._word = word
        self.pages: dict[int, bytearray] = {}
        self.registers: dict[str, int] = {"r0": 1, "r1": 0xFFFFFFFF, "sp": 0xBEFF0000, "pc": 0x8000}
        self.files: dict[bytes, tuple[bytes, int]] = {}
        self.directories: dict[bytes, int] = {}
        self.opened: list[tuple[bytes, bool]] = []
        self.labels: dict[int, bytes] = {}
        self.shared: dict[tuple[bytes, int], bytes] = {}
        self.fields: dict[tuple[int, str, str], int] = {}
        self.ifreq: dict[tuple[int, str], int | bytes] = {}
        self.peers: list[tuple[int, str]] = []
        self.scripts: list[tuple[int, PeerScript]] = []
        self.probes: list[tuple[str, float, bytes]] = []
        self.arguments: dict[int, int] = {}
        self.started = 0

    @property
    def endian(self) -> Endian:
        return self._endian

    @property
    def word(self) -> int:
        return self._word

    @property
    def arch(self) -> str:
        return "mips" if self._endian == "big" else "mipsel"

    def map(self, address: int, data: bytes) -> int:
        for offset, value in enumerate(data):
            page = self.pages.setdefault((address + offset) // PAGE, bytearray(PAGE))
            page[(address + offset) % PAGE] = value
        return address

    def errno_number(self, name: str) -> int | None:
        # Those of MIPS.
        numbers = {"ENOSYS": 89, "ECONNREFUSED": 146, "ENOENT": 2, "EDQUOT": 1133, "EOPNOTSUPP": 122}
        return (numbers | {"ENOTTY": 25, "EINVAL": 22}).get(name)

    def read_bytes(self, address: int, size: int) -> bytes:
        out = bytearray()
        for place in range(address, address + size):
            if place // PAGE not in self.pages:
                raise OSError(errno.EIO, "unmapped")
            out.append(self.pages[place // PAGE][place % PAGE])
        return bytes(out)

    def write_bytes(self, address: int, data: bytes) -> None:
        self.read_bytes(address, len(data))
        self.map(address, data)

    def read_registers(self) -> Mapping[str, int]:
        return self.registers

    def write_register(self, name: str, value: int) -> int:
        self.registers[name] = value
        return 0

    def mkdir_p(self, path: bytes, mode: int) -> int:
        self.directories[path] = mode
        return 0

    def provide_file(self, path: bytes, content: bytes, mode: int) -> int:
        if path in self.files:
            return -errno.EEXIST
        self.files[path] = (content, mode)
        return 0

    def remove_path(self, path: bytes) -> int:
        return 0 if self.files.pop(path, None) is not None else -errno.ENOENT

    def real_path(self, path: bytes) -> bytes:
        return path.replace(b"/var/run/", b"/run/")

    def provide_socket(self, path: bytes, mode: int) -> int:
        return self.provide_file(path, b"", mode)

    def open_bytes(self, content: bytes, cloexec: bool, label: bytes = b"") -> int:
        self.opened.append((content, cloexec))
        fd = 20 + len(self.opened)
        self.labels[fd] = label
        return fd

    def open_shared(self, content: bytes, cloexec: bool, label: bytes) -> int:
        return self.open_bytes(content, cloexec, label)

    def write_shared(self, label: bytes, offset: int, data: bytes) -> int:
        self.shared[label, offset] = data
        return 0

    def descriptor_label(self, fd: int) -> bytes:
        if fd not in self.labels:
            raise OSError(errno.EBADF, "not open")
        return self.labels[fd]

    def descriptor_path(self, fd: int) -> bytes:
        return b"/home" if fd == -100 else b"/dev"

    def write_field(self, address: int, structure: str, field: str, value: int) -> int:
        self.fields[address, structure, field] = value
        return 0

    def open_host(self, path: bytes, flags: int, mode: int, label: bytes = b"") -> int:
        self.labels[9] = label
        return 9

    def ifreq_name(self, address: int) -> bytes:
        return self.read_bytes(address, 16).split(b"\0")[0]

    def ifreq_set(self, address: int, field: IfreqField, value: int | bytes) -> int:
        self.ifreq[(address, field)] = value
        return 0

    def set_argument(self, index: int, value: int) -> int:
        self.arguments[index] = value
        return 0

    def start_program(self) -> int:
        self.started += 1
        return 0

    def socket_stub(self, kind: StandIn, flags: int, protocol: int, label: bytes = b"") -> int:
        self.labels[30] = label
        self.peers.append((flags, kind))
        return 30

    def connect_peer(self, fd: int, mode: PeerMode) -> int:
        self.peers.append((fd, mode))
        return 0

    def connect_script(self, fd: int, script: PeerScript) -> int:
        self.scripts.append((fd, script))
        return 0

    def tell_peer(self, fd: int, message: bytes) -> int:
        return len(message) if fd == 5 else -145

    def start_probe(self, address: str, timeout: float, payload: bytes) -> int:
        self.probes.append((address, timeout, payload))
        return 0

    def module_base(self, path: str, build: str) -> int:
        if path != "/usr/sbin/httpd":
            return -2
        return 0x8000 if build == "build-id:00ff" else -116

    def callers(self, most: int) -> Sequence[Mapping[str, int | str]]:
        frames: list[dict[str, int | str]] = [
            {"addr": 0x8000, "module_name": "libc.so.6", "func_name": "open", "func_offset": 16},
            {"addr": 0x9000, "module_name": "httpd"},
            {"addr": 0xA000, "module_name": "httpd", "func_name": "read_config", "func_offset": 4},
        ]
        return frames[:most]

    def resolve_address(self, address: int) -> Mapping[str, int | str] | None:
        if address == 0x8000:
            return {"module_name": "httpd", "func_name": "main", "func_entry": 0x7FF0, "func_offset": 16}
        return None
