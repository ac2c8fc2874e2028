"""Answer what the Lua of a rule directory asks for, in the shapes of SFEmu's C functions."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Protocol

from triage_tui.errors import TriageError
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.host import host_memory
from triage_tui.guest.state.views import FrozenViews
from triage_tui.rulehost import wire
from triage_tui.rulehost.arguments import Arguments, BadRequest
from triage_tui.rulehost.plain_values import facts_text
from triage_tui.rulehost.service import Service, signed_argument
from triage_tui.rulehost.sources import Limits
from triage_tui.sfemu.running.messages import MOST_BYTES

_SHARED = ("write_integer", "write_bytes", "open_host", "probe_http")
"""What is answered as it is for our own rules."""
_WRITES = ("write_integer", "write_bytes")
_FEATURES = {
    "arm": "org.gnu.gdb.arm.core",
    "armeb": "org.gnu.gdb.arm.core",
    "aarch64": "org.gnu.gdb.aarch64.core",
    "i386": "org.gnu.gdb.i386.core",
    "x86_64": "org.gnu.gdb.i386.core",
    "riscv64": "org.gnu.gdb.riscv.cpu",
    "ppc": "org.gnu.gdb.power.core",
    "s390x": "org.gnu.gdb.s390.core",
}
"""Names of GDB's target features for the core registers (gdb-xml of QEMU); MIPS has no XML there."""
_FRAMES = 64
_LONGEST_PSEUDOCODE = 1 << 20


class AddressBook(Protocol):
    """Names and pseudocode of functions beyond those of the program files."""

    def __call__(self, module: str, address: int, most: int) -> tuple[dict[str, int | str], bytes, bool]:
        """Return facts about `address` of a module in its own terms, pseudocode, and whether it was cut."""
        ...


class Answers:
    """Serves the requests of the Lua of one guest."""

    def __init__(self, access: RuleAccess, book: AddressBook | None, has_stack: bool) -> None:
        """`book` knows pseudocode; with `has_stack` the call stack is looked for when it is asked for."""
        self._access = access
        self._service = Service(access, Limits(request_bytes=MOST_BYTES))
        self._book = book
        self._has_stack = has_stack
        self.suspended = False
        """Whether no idle state is to be told."""
        self._own: dict[str, Callable[[Arguments], wire.Reply]] = {
            "clock": self._clock,
            "read_bytes": self._read_bytes,
            "read_integer": self._read_integer,
            "list_registers": self._list_registers,
            "get_register": self._get_register,
            "set_register": self._set_register,
            "g2h": self._g2h,
            "h2g": self._h2g,
            "resolve": self._resolve,
            "shadowstack": self._shadowstack,
            "suspend_watchdog": self._suspend,
            "target_errno": self._target_errno,
        }

    def serve(self, ask: wire.Ask) -> wire.Reply:
        """Return the reply to one request; never raises for what the request holds."""
        if ask.method in _SHARED:
            if ask.method in _WRITES and not self._may_write(ask.args):
                return wire.Reply(-errno.EFAULT)
            return self._service.serve(ask)
        handler = self._own.get(ask.method)
        if handler is None:
            return wire.Reply(-errno.EINVAL)
        try:
            return handler(Arguments(ask.args))
        except BadRequest:
            return wire.Reply(-errno.EINVAL)
        except (OSError, TriageError):
            return wire.Reply(-errno.EFAULT)
        except Exception:
            # Whatever fails: the Lua waits for a reply.
            return wire.Reply(-errno.EIO)

    def _mask(self, value: int) -> int:
        return value & ((1 << (8 * self._access.word)) - 1)

    def _read(self, address: int, size: int) -> bytes:
        """Return exactly `size` bytes that the guest itself could read.

        Raises:
            OSError: it cannot read all of them. What the emulator keeps free for the guest is not mapped.
        """
        views = self._views()
        data = host_memory.read_memory(views.tid, views.guest_base + self._mask(address), size)
        if len(data) != size:
            raise OSError(errno.EFAULT, "not all of it is readable")
        return data

    def _may_write(self, arguments: tuple[int | bytes, ...]) -> bool:
        """Return whether the guest itself could write there, which is what SFEmu asks."""
        address, data = arguments[0], arguments[1]
        size = len(data) if isinstance(data, bytes) else data
        return isinstance(address, int) and self._access.may_write(self._mask(address), size)

    def _read_bytes(self, arguments: Arguments) -> wire.Reply:
        return wire.Reply(0, (self._read(arguments.integer(), arguments.integer(1, MOST_BYTES)),))

    def _read_integer(self, arguments: Arguments) -> wire.Reply:
        address, size = arguments.integer(), arguments.integer(4, 8)
        value = int.from_bytes(self._read(address, size), self._access.endian)
        return wire.Reply(0, (signed_argument(value, 8) if size == 8 else value,))

    def _clock(self, _arguments: Arguments) -> wire.Reply:
        return wire.Reply(0, divmod(time.time_ns(), 1_000_000_000))

    def _list_registers(self, _arguments: Arguments) -> wire.Reply:
        views = self._views()
        known = self._access.read_registers()
        feature = _FEATURES.get(views.arch.name, "core")
        lines = "".join(
            f"{spec.num} {spec.name} {feature}\n" for spec in views.arch.registers if spec.name in known
        )
        return wire.Reply(0, (lines.encode(),))

    def _register(self, key: int | bytes) -> tuple[str, int, int]:
        """Return name, value and bytes of a register, given by GDB's number or, in any case, by name."""
        known = self._access.read_registers()
        wanted = key if isinstance(key, int) else key.decode("utf-8", "backslashreplace").lower()
        for spec in self._views().arch.registers:
            if spec.name in known and wanted in (spec.num, spec.name.lower()):
                return spec.name, known[spec.name], spec.size
        raise BadRequest

    def _get_register(self, arguments: Arguments) -> wire.Reply:
        _name, value, size = self._register(arguments.any())
        return wire.Reply(0, (signed_argument(value, 8) if size == 8 else value, size))

    def _set_register(self, arguments: Arguments) -> wire.Reply:
        name, _value, size = self._register(arguments.any())
        value = arguments.any()
        if isinstance(value, bytes):
            if len(value) != size:
                raise BadRequest
            value = int.from_bytes(value, self._access.endian)
        elif size not in (1, 2, 4, 8):
            raise BadRequest
        rc = self._access.write_register(name, value & ((1 << (8 * size)) - 1))
        return wire.Reply(min(rc, 0), (size if rc >= 0 else 0,))

    def _views(self) -> FrozenViews:
        current = self._access.current
        if current is None:
            raise OSError(errno.ESRCH, "no call of the guest is being decided")
        return current.views

    def _g2h(self, arguments: Arguments) -> wire.Reply:
        address = self._mask(arguments.integer())
        self._read(address, 1)
        return wire.Reply(0, (self._views().guest_base + address,))

    def _h2g(self, arguments: Arguments) -> wire.Reply:
        address = arguments.integer() - self._views().guest_base
        if address != self._mask(address):
            return wire.Reply(-errno.EFAULT)
        self._read(address, 1)
        return wire.Reply(0, (signed_argument(address, 8),))

    def _resolve(self, arguments: Arguments) -> wire.Reply:
        address, most = self._mask(arguments.integer()), arguments.integer()
        known = self._access.resolve_address(address)
        if known is None:
            return wire.Reply(-errno.ENOENT)
        facts: dict[str, int | str] = {"addr": address, "map_start": 0, "map_offset": 0, "load_bias": 0}
        facts |= {"analysis_addr": address, **known}
        pseudocode = b""
        cut = False
        module = facts.get("module_real_path")
        if self._book is not None and isinstance(module, str) and isinstance(facts["analysis_addr"], int):
            most = max(0, min(most, _LONGEST_PSEUDOCODE))
            more, pseudocode, cut = self._book(module, facts["analysis_addr"], most)
            facts |= more
        text = facts_text(facts)
        if pseudocode:
            text += b"pseudocode_truncated=b%d\0" % cut
        return wire.Reply(0, (text, pseudocode))

    def _shadowstack(self, _arguments: Arguments) -> wire.Reply:
        if not self._has_stack:
            return wire.Reply(0, (b"",))
        # The innermost frame is where the thread stands; the others are where it returns to.
        frames = self._access.callers(_FRAMES)[1:]
        addresses = [frame["addr"] for frame in frames]
        return wire.Reply(
            0, (b" ".join(b"%d" % address for address in addresses if isinstance(address, int)),)
        )

    def _suspend(self, arguments: Arguments) -> wire.Reply:
        self.suspended = bool(arguments.integer(0, 1))
        return wire.Reply(0)

    def _target_errno(self, arguments: Arguments) -> wire.Reply:
        name = errno.errorcode.get(-arguments.integer(-4095, -1), "EIO")
        return wire.Reply(-(self._access.errno_number(name) or errno.EIO))
