"""A real Lua 5.3 with its whole standard library and the functions that SFEmu gives its scripts.

The functions have the shapes that SFEmu's C code returns (which its own documents tell otherwise in places).
No guest runs: what a call returns, and what memory holds, is what a test says. As a program,

    python -m tests.sfemu.lua_host RULES_DIR [--version N] [--machine arm|mips|x86_64|aarch64]

loads `entry.lua` and `finish.lua` and reads one JSON array a line: `["entry", name, number, argument...]`,
`["finish", ...]`, `["idle", ...]`. It answers with one JSON object a line: what was returned, and before it
what happened meanwhile (`log`, `prompt`, `watchdog`, `syscall`, `reexec`).
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lupa import lua53

HOOKS = ("entry", "finish", "idle")
DEVICES = ("/dev/zero", "/dev/null", "/dev/urandom", "/dev/random")
POLL = {"arm": 168, "mips": 4188, "x86_64": 7}
"""poll(2) by machine; the fourth machine has none."""

_REGISTERS = {
    "arm": ("org.gnu.gdb.arm.core", ("r0", "r1", "sp", "lr", "pc", "cpsr"), 4),
    "mips": ("org.gnu.gdb.mips.cpu", ("r0", "r29", "status", "pc"), 4),
    "x86_64": ("org.gnu.gdb.i386.core", ("rax", "rsp", "rip", "eflags"), 8),
    "aarch64": ("org.gnu.gdb.aarch64.core", ("x0", "sp", "pc", "cpsr"), 8),
}

_POPEN = """
function io.popen(command)
  local name = os.tmpname()
  os.execute("( " .. command .. " ) > " .. name)
  local file = io.open(name, "rb")
  os.remove(name)
  return file
end
"""

Say = Callable[..., None]
Result = int | tuple[Any, ...] | None


class LuaHost:
    """One Lua state with the functions of SFEmu `version`; `say` is told what happens."""

    def __init__(self, version: int = 6, machine: str = "arm", say: Say = lambda **what: None) -> None:
        self.version = version
        self.machine = machine
        self.say = say
        self.memory: dict[int, bytearray] = {}
        """Mapped memory: where a piece begins, and its bytes."""
        self.calls: list[tuple[int, ...]] = []
        """What `c_do_syscall` was asked for: number and arguments."""
        self.answers: dict[int, int] = {}
        """What it answers, by number; otherwise 0."""
        self.registers: dict[str, int] = {}
        self.shadow_stack: list[int] = []
        self.functions: dict[int, dict[str, Any]] = {}
        """What `c_resolve_addr` knows, by address."""
        self.reexec: str | None = None
        """Tag of a restart that was asked for."""
        self.lua = lua53.LuaRuntime(
            encoding="latin-1", unpack_returned_tuples=True, register_eval=False, register_builtins=False
        )
        self._as_function = self.lua.eval("function(f) return function(...) return f(...) end end")
        for name in dir(self):
            if name.startswith("c_") and self.version >= _SINCE.get(name, 1):
                self.define(name, getattr(self, name))
        aliases = {"c_read_bytes": "c_read_guest_bytes", "c_write_bytes": "c_write_guest_bytes"}
        for alias, name in aliases.items():
            self.lua.globals()[alias] = self.lua.globals()[name]
        # Nothing of the host language is in SFEmu.
        self.lua.globals()["python"] = None
        # This build of Lua has none, and the Lua that SFEmu is linked with has.
        self.lua.execute(_POPEN)

    def define(self, name: str, function: Callable[..., Result]) -> None:
        """Make a function of this language a global one of Lua's kind."""
        self.lua.globals()[name] = self._as_function(function)

    def load(self, rules: Path) -> None:
        """Run the two scripts of a rule directory, named as SFEmu names them."""
        self.lua.globals()["SFEMU_RULES_PATH"] = str(rules)
        self.lua.globals()["SFEMU_SYSCALL_CTX_KEEP"] = 256
        self.lua.globals()["SFEMU_RULES_IDLE_MS"] = 5000
        for name in ("entry.lua", "finish.lua"):
            self.lua.globals()["dofile"](f"{rules}/{name}")

    def hook(self, name: str, *args: Any) -> tuple[Any, ...]:
        """Call `entry`, `finish` or `idle`; return what it returned."""
        returned = self.lua.globals()[name](*args)
        return returned if isinstance(returned, tuple) else (returned,)

    # What SFEmu offers, in the order of its interface.

    def c_log(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError("bad argument #1 to 'c_log' (string expected)")
        self.say(event="log", text=text)

    def c_get_timestamp(self) -> Result:
        now = time.time_ns()
        return now // 10**9, now % 10**9

    def c_read_string(self, addr: int, most: int = 4096) -> Result:
        if most <= 0:
            return "", -errno.EINVAL
        if addr == 0:
            return "(null)", 0
        data = self._mapped(addr, most)
        if data is None:
            # The whole window has to be there, also for a short text.
            return "", -errno.EFAULT
        return bytes(data).partition(b"\0")[0].decode("latin-1"), 0

    c_read_guest_string = c_read_string

    def c_read_guest_u32(self, addr: int) -> Result:
        return self._number(addr, 4)

    def c_read_guest_u64(self, addr: int) -> Result:
        return self._number(addr, 8)

    def c_write_guest_u32(self, addr: int, value: int) -> Result:
        return self._write(addr, (value & 0xFFFFFFFF).to_bytes(4, "little"))

    def c_write_guest_u64(self, addr: int, value: int) -> Result:
        return self._write(addr, (value & (1 << 64) - 1).to_bytes(8, "little"))

    def c_read_guest_bytes(self, addr: int, size: int) -> Result:
        data = self._mapped(addr, size)
        return ("", -errno.EFAULT) if data is None else (bytes(data).decode("latin-1"), 0)

    def c_write_guest_bytes(self, addr: int, data: str) -> Result:
        rc = self._write(addr, data.encode("latin-1"))
        return (0, rc) if rc else (len(data), 0)

    def c_list_regs(self) -> Any:
        feature, names, _ = _REGISTERS[self.machine]
        return self.lua.table_from(
            [self.lua.table_from({"num": n, "name": m, "feature": feature}) for n, m in enumerate(names)]
        )

    def c_get_reg(self, which: str | int) -> Result:
        _, names, size = _REGISTERS[self.machine]
        name = names[which] if isinstance(which, int) and which < len(names) else which
        known = [one for one in names if isinstance(name, str) and one == name.lower()]
        return (self.registers.get(known[0], 0), size, 0) if known else (None, 0, -errno.ENOENT)

    def c_set_reg(self, which: str | int, value: int) -> Result:
        _, size, rc = self.c_get_reg(which)  # type: ignore[misc]
        if rc:
            return 0, rc
        _, names, _ = _REGISTERS[self.machine]
        self.registers[names[which] if isinstance(which, int) else which.lower()] = value
        return size, 0

    def c_do_syscall(self, num: int, *args: int) -> int:
        self.calls.append((num, *args))
        if num == POLL.get(self.machine) and args[:2] == (0, 0):
            time.sleep(args[2] / 1000)
            return 0
        self.say(event="syscall", number=num, args=list(args))
        return self.answers.get(num, 0)

    def c_g2h(self, addr: int) -> Result:
        return self.lua.table_from({"host": addr}) if self._mapped(addr, 1) is not None else None

    def c_h2g(self, place: Any) -> Result:
        return int(place["host"]) if place is not None else 0

    def c_resolve_addr(self, addr: int, most: int = 4096) -> Result:
        known = self.functions.get(addr, {})
        info = {"addr": addr, "map_start": 0, "map_offset": 0, "load_bias": 0, "analysis_addr": addr, **known}
        if isinstance(text := info.get("pseudocode"), str):
            info |= {"pseudocode": text[:most], "pseudocode_truncated": len(text) > most}
        return self.lua.table_from(info), 0

    def c_resolve_host_addr(self, addr: int, most: int = 4096) -> Result:
        return self.lua.table_from({"addr": addr, "host_addr": addr}), 0

    def c_get_shadowstack(self) -> Any:
        return self.lua.table_from(self.shadow_stack)

    def c_async_probe_http(self, ip: str = "127.0.0.1", timeout_ms: int = 500, payload: str = "") -> Result:
        self.say(event="probe", ip=ip)
        return True, 0

    def c_wait_user_continue(self, prompt: str) -> Result:
        self.say(event="prompt", text=prompt)
        return True, 0

    def c_watchdog_suspend(self, on: bool) -> Result:
        self.say(event="watchdog", suspended=bool(on))
        return True, 0

    def c_mkdir_p(self, path: str, mode: int = 0o755) -> Result:
        if not 0 <= mode <= 0o777:
            return False, -errno.EINVAL
        try:
            os.makedirs(path, mode, exist_ok=True)
        except OSError as error:
            return False, -(error.errno or errno.EIO)
        return True, 0

    def c_open_host(self, path: str, flags: int, mode: int = 0o644) -> Result:
        if path not in DEVICES:
            return -errno.EACCES
        try:
            return os.open(path, flags, mode)
        except OSError as error:
            return -(error.errno or errno.EIO)

    def c_request_reexec(self, tag: str) -> Result:
        self.reexec = tag
        return True, 0

    # Memory.

    def _mapped(self, addr: int, size: int) -> memoryview | None:
        for start, data in self.memory.items():
            if start <= addr and addr + size <= start + len(data):
                return memoryview(data)[addr - start : addr - start + size]
        return None

    def _number(self, addr: int, size: int) -> Result:
        data = self._mapped(addr, size)
        if data is None:
            return 0, -errno.EFAULT
        value = int.from_bytes(data, "little")
        return value - (1 << 64 if value >> 63 else 0), 0

    def _write(self, addr: int, data: bytes) -> int:
        place = self._mapped(addr, len(data))
        if place is None:
            return -errno.EFAULT
        place[:] = data
        return 0


_SINCE = {"c_watchdog_suspend": 3, "c_request_reexec": 4, "c_open_host": 5}
"""The version of SFEmu that offers a function first."""


def main(arguments: Sequence[str]) -> None:
    """Serve the hooks of a rule directory over standard input and output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rules", type=Path)
    parser.add_argument("--version", type=int, default=6)
    parser.add_argument("--machine", default="arm")
    parser.add_argument("--define", default="", help="MODULE:FUNCTION that is given the host before loading")
    args = parser.parse_args(arguments)

    def say(**what: Any) -> None:
        print(json.dumps(what), flush=True)

    host = LuaHost(args.version, args.machine, say)
    if args.define:
        module, _, function = args.define.partition(":")
        getattr(__import__(module, fromlist=[function]), function)(host, args.rules)
    host.load(args.rules)
    say(event="ready", pid=os.getpid())
    # Not read ahead: who is executed again gets the rest.
    while line := _line():
        hook, *values = json.loads(line)
        returned = host.hook(hook, *values)
        if hook == "entry" and host.reexec is not None:
            _execute_again(host.reexec, say)
            host.reexec = None
        say(event="returned", values=[one for one in returned if isinstance(one, bool | int | None)])


def _line() -> bytes:
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def _execute_again(tag: str, say: Say) -> None:
    """Do as SFEmu does after an `entry` that asked for it: no more often than its environment allows."""
    count = int(os.environ.get("SFEMU_REEXEC_COUNT", "0"))
    if count >= int(os.environ.get("SFEMU_REEXEC_MAX", "3")):
        return
    say(event="reexec", tag=tag)
    environment = {**os.environ, "SFEMU_REEXEC_COUNT": str(count + 1), "SFEMU_REEXEC_TAG": tag}
    os.execve(sys.executable, [sys.executable, "-m", "tests.sfemu.lua_host", *sys.argv[1:]], environment)


if __name__ == "__main__":
    main(sys.argv[1:])
