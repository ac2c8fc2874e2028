"""Serve one request of a rule with the supervisor's `GuestAccess`, trusting nothing that the rule host says.

Requests come from a process that counts as hostile: types, ranges and sizes are checked here, addresses
are reduced to the guest's word, and every failure becomes a negative target errno. The errno numbers used
directly (EPERM 1 to ENOSPC 28) are the same on every Linux port.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import cast

from triage_tui.rulehost import wire
from triage_tui.rulehost.arguments import PATH_MAX, Arguments, BadRequest
from triage_tui.rulehost.peer_script import read_script
from triage_tui.rulehost.plain_values import facts_text, ifreq_value
from triage_tui.rulehost.protocol import (
    HOST_DEVICES,
    IFREQ_FIELDS,
    PEER_MODES,
    STAND_INS,
    GuestAccess,
    IfreqField,
    PeerMode,
    StandIn,
)
from triage_tui.rulehost.shared_values import SharedValues
from triage_tui.rulehost.sources import Limits

_ENOENT, _EIO, _EACCES, _EFAULT, _EINVAL, _ENOSPC = 2, 5, 13, 14, 22, 28
_LAST_COMMON_ERRNO = 34
"""Up to ERANGE the numbers are the same on every Linux port, include/uapi/asm-generic/errno-base.h."""
_AT_FDCWD = -100
_NAME_MAX = 64
_KEY_MAX = 256
_LONGEST_PROBE, _LONGEST_PROBE_MS = 4096, 60_000
_PAGE = 4096
_MOST_CALLERS = 64
_O_CLOEXEC = 0o2000000
"""Guest value on every port but alpha, parisc and sparc."""
_BUILD = re.compile(rb"build-id:(?:[0-9a-f]{2}){2,64}|sha256:[0-9a-f]{64}")

EFFECTS = frozenset(
    (
        "write_bytes",
        "write_integer",
        "write_field",
        "set_register",
        "set_register_bytes",
        "set_argument",
        "start_program",
        "mkdir_p",
        "provide_file",
        "provide_socket",
        "remove_path",
        "open_bytes",
        "open_shared",
        "write_shared",
        "open_host",
        "ifreq_set",
        "connect_peer",
        "connect_script",
        "socket_stub",
    )
)
"""Requests that change the guest; a rule that made one with success counts as a hit."""


class Service:
    """Serves the requests of one rule host with one guest."""

    def __init__(self, access: GuestAccess, limits: Limits) -> None:
        """Of `limits`, `request_bytes` bounds what one request reads, the shared_ ones what rules share."""
        self._access = access
        self._request_bytes = limits.request_bytes
        self._shared = SharedValues(limits.shared_bytes, limits.shared_keys)
        self.restart_tag = ""
        """What the last rule that asked for a restart gave as its reason."""

    def serve(self, ask: wire.Ask) -> wire.Reply:
        """Return the reply to one request; never raises for what the request holds."""
        handler = self._handlers().get(ask.method)
        if handler is None:
            return wire.Reply(-_EINVAL)
        try:
            return handler(Arguments(ask.args))
        except BadRequest:
            return wire.Reply(-_EINVAL)
        except OSError as error:
            return wire.Reply(_negative(error))
        except Exception:
            # Whatever fails: the rule waits for a reply, and the next call must not get it instead.
            return wire.Reply(-_EIO)

    def _handlers(self) -> dict[str, Callable[[Arguments], wire.Reply]]:
        return {
            "read_string": self._read_string,
            "read_integer": self._read_integer,
            "write_integer": self._write_integer,
            "read_bytes": self._read_bytes,
            "write_bytes": self._write_bytes,
            "register_names": self._register_names,
            "get_register": self._get_register,
            "set_register": self._set_register,
            "set_register_bytes": self._set_register_bytes,
            "set_argument": self._set_argument,
            "start_program": self._start_program,
            "resolve_address": self._resolve_address,
            "module_base": self._module_base,
            "callers": self._callers,
            "mkdir_p": self._mkdir_p,
            "open_host": self._open_host,
            "provide_file": self._provide_file,
            "provide_socket": self._provide_socket,
            "remove_path": self._remove_path,
            "open_bytes": self._open_bytes,
            "open_shared": self._open_shared,
            "write_shared": self._write_shared,
            "descriptor_label": self._descriptor_label,
            "descriptor_path": self._descriptor_path,
            "real_path": self._real_path,
            "write_field": self._write_field,
            "ifreq_name": self._ifreq_name,
            "ifreq_set": self._ifreq_set,
            "connect_peer": self._connect_peer,
            "connect_script": self._connect_script,
            "tell_peer": self._tell_peer,
            "socket_stub": self._socket_stub,
            "errno_number": self._errno_number,
            "guest_info": self._guest_info,
            "probe_http": self._probe_http,
            "shared_get": self._shared_get,
            "shared_set": self._shared_set,
            "request_reexec": self._request_reexec,
        }

    # Memory

    def _address(self, value: int) -> int:
        return value & ((1 << (8 * self._access.word)) - 1)

    def _read(self, address: int, size: int) -> bytes:
        try:
            data = self._access.read_bytes(address, size)
        except OSError:
            raise OSError(_EFAULT, "not readable") from None
        if len(data) != size:
            raise OSError(_EFAULT, "not readable")
        return bytes(data)

    def _write(self, address: int, data: bytes) -> wire.Reply:
        try:
            self._access.write_bytes(address, data)
        except OSError:
            return wire.Reply(-_EFAULT)
        return wire.Reply(0)

    def _read_string(self, arguments: Arguments) -> wire.Reply:
        address, room = self._address(arguments.integer()), arguments.integer(1, self._request_bytes)
        parts = bytearray()
        # Page by page, so that a string that ends before an unmapped page is read whole.
        while room:
            size = min(room, _PAGE - address % _PAGE)
            piece = self._read(address, size)
            end = piece.find(b"\0")
            parts += piece if end < 0 else piece[:end]
            if end >= 0:
                break
            address, room = self._address(address + size), room - size
        return wire.Reply(0, (bytes(parts),))

    def _read_integer(self, arguments: Arguments) -> wire.Reply:
        address, size = self._address(arguments.integer()), arguments.integer(4, 8)
        value = int.from_bytes(self._read(address, size), self._access.endian)
        return wire.Reply(0, (_signed(value, 64),))

    def _write_integer(self, arguments: Arguments) -> wire.Reply:
        address, size = self._address(arguments.integer()), arguments.integer(4, 8)
        value = arguments.integer() & ((1 << (8 * size)) - 1)
        return self._write(address, value.to_bytes(size, self._access.endian))

    def _read_bytes(self, arguments: Arguments) -> wire.Reply:
        address, size = self._address(arguments.integer()), arguments.integer(0, self._request_bytes)
        return wire.Reply(0, (self._read(address, size) if size else b"",))

    def _write_field(self, arguments: Arguments) -> wire.Reply:
        address = self._address(arguments.integer())
        structure, field = (arguments.data(_NAME_MAX).decode("latin-1") for _ in range(2))
        return wire.Reply(min(self._access.write_field(address, structure, field, arguments.integer()), 0))

    def _write_bytes(self, arguments: Arguments) -> wire.Reply:
        address, data = self._address(arguments.integer()), arguments.data(self._request_bytes)
        return self._write(address, data) if data else wire.Reply(0)

    # Registers

    def _register_names(self, arguments: Arguments) -> wire.Reply:
        return wire.Reply(0, ("\n".join(self._access.read_registers()).encode(),))

    def _register(self, key: int | bytes) -> tuple[str, int]:
        """Return name and value of a register given by number or, whatever its case, by name."""
        registers = self._access.read_registers()
        if isinstance(key, int):
            names = list(registers)
            found = names[key : key + 1] if 0 <= key < len(names) else []
        else:
            wanted = key.decode("utf-8", "backslashreplace").lower()
            found = [name for name in registers if name.lower() == wanted]
        if len(found) != 1:
            raise OSError(_ENOENT, "no such register")
        return found[0], registers[found[0]]

    def _get_register(self, arguments: Arguments) -> wire.Reply:
        _, value = self._register(arguments.any())
        return wire.Reply(0, (_signed(value, 64), self._access.word))

    def _set_register(self, arguments: Arguments) -> wire.Reply:
        name, _ = self._register(arguments.any())
        rc = self._access.write_register(name, self._address(arguments.integer()))
        return wire.Reply(min(rc, 0), (self._access.word if rc >= 0 else 0,))

    def _set_register_bytes(self, arguments: Arguments) -> wire.Reply:
        name, _ = self._register(arguments.any())
        data = arguments.data(self._access.word)
        if len(data) != self._access.word:
            raise BadRequest
        rc = self._access.write_register(name, int.from_bytes(data, self._access.endian))
        return wire.Reply(min(rc, 0), (self._access.word if rc >= 0 else 0,))

    def _start_program(self, _arguments: Arguments) -> wire.Reply:
        return wire.Reply(min(self._access.start_program(), 0))

    def _set_argument(self, arguments: Arguments) -> wire.Reply:
        index = arguments.integer(1, 8)
        return wire.Reply(min(self._access.set_argument(index - 1, self._address(arguments.integer())), 0))

    def _resolve_address(self, arguments: Arguments) -> wire.Reply:
        address = self._address(arguments.integer())
        known = self._access.resolve_address(address)
        if known is None:
            return wire.Reply(-_ENOENT)
        facts: dict[str, int | str] = {"addr": address, "analysis_addr": address, **known}
        return wire.Reply(0, (facts_text(facts)[: self._request_bytes],))

    def _callers(self, arguments: Arguments) -> wire.Reply:
        frames = self._access.callers(arguments.integer(1, _MOST_CALLERS))
        data = b""
        for frame in frames[:_MOST_CALLERS]:
            # An empty fact ends each of them.
            more = data + facts_text(frame) + b"\0"
            if len(more) > self._request_bytes:
                break
            data = more
        return wire.Reply(0, (data,))

    def _module_base(self, arguments: Arguments) -> wire.Reply:
        path, build = arguments.guest_path(), arguments.data(_KEY_MAX)
        if not _BUILD.fullmatch(build):
            raise BadRequest
        base = self._access.module_base(path.decode("utf-8", "surrogateescape"), build.decode("ascii"))
        return wire.Reply(min(base, 0), (_signed(base, 64) if base >= 0 else 0,))

    # Files and descriptors

    def _mkdir_p(self, arguments: Arguments) -> wire.Reply:
        path, mode = arguments.guest_path(), arguments.integer(0, 0o777)
        return wire.Reply(min(self._access.mkdir_p(path, mode), 0))

    def _open_host(self, arguments: Arguments) -> wire.Reply:
        path = arguments.data(PATH_MAX)
        flags, mode = arguments.integer(0, 0xFFFFFFFF), arguments.integer(0, 0o777)
        if path.decode("latin-1") not in HOST_DEVICES:
            return wire.Reply(-_EACCES)
        return wire.Reply(self._access.open_host(path, flags, mode, arguments.label()))

    def _provide_file(self, arguments: Arguments) -> wire.Reply:
        path, content = arguments.guest_path(), arguments.data(self._request_bytes)
        return wire.Reply(min(self._access.provide_file(path, content, arguments.integer(0, 0o777)), 0))

    def _provide_socket(self, arguments: Arguments) -> wire.Reply:
        path, mode = arguments.guest_path(), arguments.integer(0, 0o777)
        return wire.Reply(min(self._access.provide_socket(path, mode), 0))

    def _remove_path(self, arguments: Arguments) -> wire.Reply:
        return wire.Reply(min(self._access.remove_path(arguments.guest_path()), 0))

    def _open_bytes(self, arguments: Arguments) -> wire.Reply:
        content, flags = arguments.data(self._request_bytes), arguments.integer()
        label = arguments.label()
        return wire.Reply(self._access.open_bytes(content, bool(flags & _O_CLOEXEC), label))

    def _open_shared(self, arguments: Arguments) -> wire.Reply:
        content, flags = arguments.data(self._request_bytes), arguments.integer()
        label = arguments.label()
        return wire.Reply(self._access.open_shared(content, bool(flags & _O_CLOEXEC), label))

    def _write_shared(self, arguments: Arguments) -> wire.Reply:
        label, offset = arguments.label(), arguments.integer(0, (1 << 31) - 1)
        rc = self._access.write_shared(label, offset, arguments.data(self._request_bytes))
        return wire.Reply(min(rc, 0))

    def _descriptor_label(self, arguments: Arguments) -> wire.Reply:
        return wire.Reply(0, (self._access.descriptor_label(arguments.integer(0, (1 << 31) - 1)),))

    def _descriptor_path(self, arguments: Arguments) -> wire.Reply:
        return wire.Reply(0, (self._access.descriptor_path(arguments.integer(_AT_FDCWD, (1 << 31) - 1)),))

    def _real_path(self, arguments: Arguments) -> wire.Reply:
        return wire.Reply(0, (self._access.real_path(arguments.guest_path()),))

    # Network

    def _ifreq_name(self, arguments: Arguments) -> wire.Reply:
        address = self._address(arguments.integer())
        try:
            return wire.Reply(0, (self._access.ifreq_name(address)[:16],))
        except OSError:
            return wire.Reply(-_EFAULT)

    def _ifreq_set(self, arguments: Arguments) -> wire.Reply:
        address = self._address(arguments.integer())
        field = arguments.data(_NAME_MAX).decode("latin-1")
        if field not in IFREQ_FIELDS:
            raise BadRequest
        value = ifreq_value(field, arguments.any())
        return wire.Reply(min(self._access.ifreq_set(address, cast("IfreqField", field), value), 0))

    def _connect_peer(self, arguments: Arguments) -> wire.Reply:
        fd, mode = arguments.integer(0, 1 << 20), arguments.data(_NAME_MAX).decode("latin-1")
        if mode not in PEER_MODES:
            raise BadRequest
        return wire.Reply(min(self._access.connect_peer(fd, cast("PeerMode", mode)), 0))

    def _connect_script(self, arguments: Arguments) -> wire.Reply:
        fd = arguments.integer(0, 1 << 20)
        try:
            script = read_script(arguments.rest())
        except ValueError:
            raise BadRequest from None
        return wire.Reply(min(self._access.connect_script(fd, script), 0))

    def _tell_peer(self, arguments: Arguments) -> wire.Reply:
        fd, message = arguments.integer(0, 1 << 20), arguments.data(self._request_bytes)
        return wire.Reply(self._access.tell_peer(fd, message))

    def _socket_stub(self, arguments: Arguments) -> wire.Reply:
        kind, flags = arguments.data(_NAME_MAX).decode("latin-1"), arguments.integer(0, 0xFFFFFFFF)
        protocol = arguments.integer(-1, 0xFFFFFFFF)
        if kind not in STAND_INS:
            raise BadRequest
        return wire.Reply(self._access.socket_stub(cast("StandIn", kind), flags, protocol, arguments.label()))

    def _probe_http(self, arguments: Arguments) -> wire.Reply:
        text, milliseconds = arguments.data(_NAME_MAX), arguments.integer(1, _LONGEST_PROBE_MS)
        payload = arguments.data(_LONGEST_PROBE)
        try:
            address = str(ipaddress.IPv4Address(text.decode("latin-1")))
        except ValueError:
            raise BadRequest from None
        return wire.Reply(min(self._access.start_probe(address, milliseconds / 1000, payload), 0))

    def _errno_number(self, arguments: Arguments) -> wire.Reply:
        number = self._access.errno_number(arguments.data(_NAME_MAX).decode("latin-1"))
        return wire.Reply(0 if number is not None else -_EINVAL, (number,))

    def _guest_info(self, _arguments: Arguments) -> wire.Reply:
        access = self._access
        order = b"<" if access.endian == "little" else b">"
        return wire.Reply(0, (access.arch.encode(), access.word, order))

    # What rules leave for each other, and for the person

    def _shared_get(self, arguments: Arguments) -> wire.Reply:
        value = self._shared.get(arguments.data(_KEY_MAX))
        return wire.Reply(0 if value is not None else -_ENOENT, (value,))

    def _shared_set(self, arguments: Arguments) -> wire.Reply:
        key, value = arguments.data(_KEY_MAX), arguments.data(self._request_bytes)
        return wire.Reply(0 if self._shared.set(key, value) else -_ENOSPC)

    def _request_reexec(self, arguments: Arguments) -> wire.Reply:
        self.restart_tag = arguments.data(_KEY_MAX).decode("utf-8", "backslashreplace")
        return wire.Reply(0)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def signed_argument(value: int, word: int) -> int:
    """Return a raw argument register as SFEmu's rules see it: a signed abi_long of `word` bytes."""
    return _signed(value, 8 * word)


def _negative(error: OSError) -> int:
    number = error.errno or _EIO
    return -number if 0 < number <= _LAST_COMMON_ERRNO else -_EIO
