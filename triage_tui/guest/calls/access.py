"""What a rule may do to the guest during one held call: the supervisor's `GuestAccess`."""

from __future__ import annotations

import errno
import os
import socket
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch, layouts
from triage_tui.guest.calls.call_context import AddressDescriber, CallContext, CallerFinder
from triage_tui.guest.calls.guest_paths import linked, real_path
from triage_tui.guest.calls.ifreq import NAME_SIZE, ifreq_member
from triage_tui.guest.calls.labels import Labels
from triage_tui.guest.calls.module_builds import base_of
from triage_tui.guest.calls.private_files import PrivateFiles, memory_file
from triage_tui.guest.calls.rule_probe import RuleProbes
from triage_tui.guest.host import host_memory, process
from triage_tui.guest.state.memory import Memory
from triage_tui.guest.state.sockets import process_handle, take
from triage_tui.guest.state.views import FrozenViews
from triage_tui.rulehost.peer_script import PeerScript
from triage_tui.rulehost.protocol import HOST_DEVICES, Endian, IfreqField, PeerMode, StandIn
from triage_tui.runs.process_model import Mapping as GuestMapping

_AT_FDCWD = -100


class RuleAccess:
    """`GuestAccess` of one guest; see the protocol for what each method means.

    It is made before the guest, because the rule host needs it; `current` is set by the supervisor during
    each call, and outside of a call everything but the architecture's facts fails with ESRCH.
    """

    def __init__(
        self,
        arch: Arch,
        describe: AddressDescriber | None = None,
        find_callers: CallerFinder | None = None,
    ) -> None:
        """`describe` names code addresses; without it only their mapping is told.

        `find_callers` finds the call stack; without it none is told.
        """
        self._first_arch = arch
        self._describe = describe
        self._find_callers = find_callers
        self._probes = RuleProbes()
        self._labels = Labels()
        self.private_files = PrivateFiles()
        self.current: CallContext | None = None

    @property
    def _call(self) -> CallContext:
        if self.current is None:
            raise OSError(errno.ESRCH, "no call of the guest is being decided")
        return self.current

    @property
    def _views(self) -> FrozenViews:
        return self._call.views

    @property
    def _arch(self) -> Arch:
        """The architecture of the calling process; outside of a call, that of the first program."""
        return self._first_arch if self.current is None else self.current.views.arch

    @property
    def endian(self) -> Endian:
        """Byte order of the guest."""
        return self._arch.endian

    @property
    def word(self) -> int:
        """Bytes of a guest address."""
        return self._arch.word

    @property
    def arch(self) -> str:
        """QEMU's name of the architecture."""
        return self._arch.name

    def errno_number(self, name: str) -> int | None:
        """Target errno of a symbolic name."""
        return self._arch.errno_number(name)

    def _failure(self, number: int | None) -> int:
        return -self._arch.to_target(number or errno.EIO)

    def read_bytes(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes at a guest address."""
        try:
            data = self._views.read_memory(address, size) if size else b""
        except TriageError as error:
            raise OSError(errno.EFAULT, str(error)) from error
        if len(data) != size:
            raise OSError(errno.EFAULT, f"only {len(data)} of {size} bytes are readable at {address:#x}")
        return data

    def write_bytes(self, address: int, data: bytes) -> None:
        """Write all of `data` at a guest address."""
        try:
            self._views.write_memory(address, data)
        except TriageError as error:
            raise OSError(errno.EFAULT, str(error)) from error
        self._call.written.append((address, data))

    def read_registers(self) -> Mapping[str, int]:
        """Registers of the calling thread."""
        try:
            found = self._views.registers()
        except TriageError as error:
            raise OSError(errno.ESRCH, str(error)) from error
        if self._call.registers is not None:
            found = found | self._call.registers
            if self._call.result is not None:
                found[self._arch.syscall_return] = self._call.result & self._arch.word_mask
        order = {spec.name: spec.num for spec in self._arch.registers}
        return dict(sorted(found.items(), key=lambda item: order.get(item[0], 1 << 16)))

    def write_register(self, name: str, value: int) -> int:
        """Set one register of the calling thread."""
        try:
            self._views.write_register(name, value)
        except TriageError:
            return self._failure(errno.EINVAL)
        if self._call.registers is not None and name in self._call.registers:
            self._call.registers[name] = value
        return 0

    def set_argument(self, index: int, value: int) -> int:
        """Note another value for an argument."""
        if not self._call.may_change or not 0 <= index < 8:
            return self._failure(errno.EINVAL)
        self._call.changes[index] = value
        return 0

    def start_program(self) -> int:
        """Note that the program of an execve is to run under its emulator."""
        if not self._call.may_change or not self._call.executes:
            return self._failure(errno.EINVAL)
        self._call.starts.append(True)
        return 0

    def _absolute(self, path: bytes) -> bytes:
        if path.startswith(b"/"):
            return path
        return os.path.join(linked(self._views.pid, "cwd"), path)

    def mkdir_p(self, path: bytes, mode: int) -> int:
        """Make a directory and its parents inside the guest's root."""
        result = self._call.cell.request("mkdir_p", self._absolute(path), mode)
        return self._failure(-result) if result < 0 else 0

    def provide_file(self, path: bytes, content: bytes, mode: int) -> int:
        """Create a file inside the guest's root."""
        fd = memory_file(content)
        try:
            result = self._call.cell.request("provide_file", self._absolute(path), mode, fd)
        finally:
            os.close(fd)
        return self._failure(-result) if result < 0 else 0

    def remove_path(self, path: bytes) -> int:
        """Take away what is at a path inside the guest's root."""
        result = self._call.cell.request("remove", self._absolute(path), 0)
        return self._failure(-result) if result < 0 else 0

    def provide_socket(self, path: bytes, mode: int) -> int:
        """Make the name of a local socket inside the guest's root."""
        result = self._call.cell.request("provide_socket", self._absolute(path), mode)
        return self._failure(-result) if result < 0 else 0

    def _give(self, fd: int, cloexec: bool) -> int:
        try:
            return self._call.carrier.add_fd(self._call.notification, fd, None, cloexec)
        except OSError as error:
            return self._failure(error.errno)
        finally:
            os.close(fd)

    def open_bytes(self, content: bytes, cloexec: bool, label: bytes = b"") -> int:
        """Give the guest a descriptor on a private file."""
        return self._give(memory_file(content, label), cloexec)

    def open_shared(self, content: bytes, cloexec: bool, label: bytes) -> int:
        """Give the guest a descriptor on the private file of this label."""
        try:
            fd = self.private_files.open(label, content)
        except OSError as error:
            return self._failure(error.errno)
        return self._give(fd, cloexec)

    def write_shared(self, label: bytes, offset: int, data: bytes) -> int:
        """Write into the private file of this label."""
        try:
            self.private_files.write(label, offset, data)
        except OSError as error:
            return self._failure(error.errno)
        return 0

    def descriptor_label(self, fd: int) -> bytes:
        """The label of what a rule opened."""
        return self._labels.of(self._views.pid, fd, self._call.peers)

    def descriptor_path(self, fd: int) -> bytes:
        """The path behind a descriptor, or the working directory."""
        return linked(self._views.pid, "cwd" if fd == _AT_FDCWD else f"fd/{fd}")

    def real_path(self, path: bytes) -> bytes:
        """The path with the links of its directories followed."""
        return real_path(self._views.pid, path)

    def write_field(self, address: int, structure: str, field: str, value: int) -> int:
        """Write one number of a structure that `layouts` knows."""
        try:
            place = layouts.layout(self._arch, structure).fields[field]
        except KeyError:
            return self._failure(errno.EINVAL)
        if place.kind == "bytes":
            return self._failure(errno.EINVAL)
        data = (value & ((1 << 8 * place.size) - 1)).to_bytes(place.size, self._arch.endian)
        try:
            self.write_bytes(address + place.offset, data)
        except OSError as error:
            return self._failure(error.errno)
        return 0

    def open_host(self, path: bytes, flags: int, mode: int, label: bytes = b"") -> int:
        """Give the guest a descriptor on a harmless host device."""
        if path.decode("utf-8", "replace") not in HOST_DEVICES:
            return self._failure(errno.EACCES)
        try:
            fd = self._labels.open_device(path, flags & os.O_ACCMODE, label)
        except OSError as error:
            return self._failure(error.errno)
        return self._give(fd, bool(flags & os.O_CLOEXEC))

    def ifreq_name(self, address: int) -> bytes:
        """Interface name in the current ioctl's struct ifreq."""
        if self._call.in_host_call:
            data = host_memory.read_memory(self._views.tid, self._call.notification.args[2], NAME_SIZE)
        else:
            data = self.read_bytes(address, NAME_SIZE)
        return data.split(b"\0")[0]

    def ifreq_set(self, address: int, field: IfreqField, value: int | bytes) -> int:
        """Fill in one member of the union.

        In a call that reaches the host that is the host's struct: QEMU has converted the guest's into it and
        converts it back after the call. Otherwise it is the guest's.
        """
        host = self._call.in_host_call
        order: Endian = "little" if host else self._arch.endian
        data = ifreq_member(field, value, order)
        if data is None:
            return self._failure(errno.EINVAL)
        try:
            if host:
                at = self._call.notification.args[2] + NAME_SIZE
                host_memory.write_memory(self._views.tid, at, data)
            else:
                self.write_bytes(address + NAME_SIZE, data)
        except OSError as error:
            return self._failure(error.errno)
        return 0

    def connect_peer(self, fd: int, mode: PeerMode) -> int:
        """Put one end of a connected pair in the place of the guest's socket."""

        def keep(ours: socket.socket, theirs: socket.socket) -> None:
            if mode == "eof":
                ours.close()
            else:
                self._call.peers.add(ours, theirs)

        return self._connect(fd, keep)

    def connect_script(self, fd: int, script: PeerScript) -> int:
        """The same with a peer that answers by a script."""
        return self._connect(fd, lambda ours, theirs: self._call.peers.add_scripted(ours, theirs, script))

    def tell_peer(self, fd: int, message: bytes) -> int:
        """Give a message to the peer behind the guest's socket, as if it had been sent."""
        try:
            return self._call.peers.tell(self._views.tid, fd, message)
        except OSError as error:
            return self._failure(error.errno)

    def _connect(self, fd: int, keep: Callable[[socket.socket, socket.socket], None]) -> int:
        """Replace the guest's socket by one end of a pair, and give `keep` both."""
        if not self._call.peers.has_room(self._views.pid):
            return self._failure(errno.EMFILE)
        try:
            kind, flags = self._socket_kind(fd)
            ours, theirs = self._call.cell.open_pair(kind)
        except OSError as error:
            return self._failure(error.errno)
        with theirs:
            if flags & os.O_NONBLOCK:
                theirs.setblocking(False)
            try:
                self._call.carrier.add_fd(
                    self._call.notification,
                    theirs.fileno(),
                    fd,
                    bool(flags & os.O_CLOEXEC),
                )
            except OSError as error:
                ours.close()
                return self._failure(error.errno)
            keep(ours, theirs)
        return 0

    def socket_stub(self, kind: StandIn, flags: int, protocol: int, label: bytes = b"") -> int:
        """Give the guest a new socket with our end behind it."""
        if not self._call.peers.has_room(self._views.pid):
            return self._failure(errno.EMFILE)
        try:
            ours, theirs = self._call.cell.open_pair(socket.SOCK_SEQPACKET)
        except OSError as error:
            return self._failure(error.errno)
        with theirs:
            # As SOCK_NONBLOCK and SOCK_CLOEXEC have it, socket(2); MIPS has O_NONBLOCK elsewhere.
            theirs.setblocking(not flags & (0x80 if self._arch.name.startswith("mips") else os.O_NONBLOCK))
            try:
                number = self._call.carrier.add_fd(
                    self._call.notification, theirs.fileno(), None, bool(flags & os.O_CLOEXEC)
                )
            except OSError as error:
                ours.close()
                return self._failure(error.errno)
            if kind == "blackhole":
                self._call.peers.add(ours, theirs, label=label)
            else:
                self._call.peers.add_netlink(
                    ours,
                    theirs,
                    self._arch.endian,
                    process.inner_pid(self._views.pid),
                    protocol=protocol,
                    takes_changes=kind == "netlink",
                )
        return number

    def _socket_kind(self, fd: int) -> tuple[socket.SocketKind, int]:
        """Return the type of the local socket that can stand in for the guest's `fd`, and its open flags."""
        pid = self._views.pid
        with process_handle(process.living_id(pid)) as handle, take(handle, fd) as taken:
            kind = taken.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        # A raw socket keeps message borders too, and there are no local ones of that type, unix(7).
        stand_in = socket.SOCK_DGRAM if kind == socket.SOCK_RAW else socket.SocketKind(kind)
        return stand_in, process.descriptor_flags(pid, fd)

    def start_probe(self, address: str, timeout: float, payload: bytes) -> int:
        """Send `payload` to the guest's own service in the background."""
        cell = self._call.cell
        result = self._probes.start(
            lambda: cell.open_socket(socket.AF_INET, socket.SOCK_STREAM), address, timeout, payload
        )
        return self._failure(-result) if result < 0 else 0

    def module_base(self, path: str, build: str) -> int:
        """Where a file is mapped, if it is the build that is meant."""
        try:
            return base_of(self._maps(), path, build, self.read_bytes, self._views.read_file)
        except OSError as error:
            return self._failure(error.errno)

    def callers(self, most: int) -> Sequence[Mapping[str, int | str]]:
        """The call stack of the calling thread."""
        if self._find_callers is None:
            return []
        registers = self.read_registers()
        memory = Memory(self._views, self._arch)
        root = Path(self._views.root_path)
        return self._find_callers(self._arch, registers, memory, self._maps(), root, most)

    def _maps(self) -> list[GuestMapping]:
        maps = self._call.maps
        if not maps:
            maps += self._views.maps()
        return maps

    def may_write(self, address: int, size: int) -> bool:
        """Whether the guest itself may write there, as far as its program and its calls say."""
        if _is_writable(self._maps(), address, address + size):
            return True
        # A rule may have made a mapping since they were read.
        self._call.maps.clear()
        return _is_writable(self._maps(), address, address + size)

    def resolve_address(self, address: int) -> Mapping[str, int | str] | None:
        """What is mapped at a guest code address."""
        maps = self._maps()
        index = bisect_right(maps, address, key=lambda mapping: mapping.start) - 1
        for mapping in maps[max(index, 0) : index + 1]:
            if address < mapping.end:
                name = os.path.basename(mapping.path)
                known: dict[str, int | str] = {
                    "map_start": mapping.start,
                    "map_offset": mapping.offset,
                    "map_path": mapping.path,
                }
                if name:
                    known["module_name"] = name
                if self._describe is not None:
                    known |= self._describe(maps, Path(self._views.root_path), address)
                return known
        return None


def _is_writable(maps: Sequence[GuestMapping], address: int, end: int) -> bool:
    for mapping in maps:
        if mapping.start <= address < mapping.end and "w" in mapping.perms[:3]:
            address = mapping.end
    return address >= end
