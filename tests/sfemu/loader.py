"""SFEmu's loading of rules, in a real Lua 5.3: lookup order, environment, caches, functions of its C side.

Written from the contract: the first file wins, each is loaded text-only into an environment of its own that
falls back to the globals, an error means that the call passes, and what was loaded, or was not there, is
cached.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lupa import lua53

_EFAULT = 14

LOADER = """
local rules_dir, forever, log = ...
local cache, missing = {}, {}

local function there(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function find(name)
  local named = rawget(_G, "SFEMU_RULES_OVERRIDE_DIR")
  if type(named) ~= "string" or named == "" then named = "syscall_override_user:syscall_override" end
  for directory in (named .. ":syscall"):gmatch("[^:]+") do
    local path = (directory:sub(1, 1) == "/" and "" or rules_dir) .. directory .. "/" .. name .. ".lua"
    if there(path) then return path end
  end
end

local function handler(name)
  if cache[name] then return cache[name] end
  local overrides = { "syscall_override_user/", "syscall_override/" }
  if missing[name] then
    if forever or not (there(rules_dir .. overrides[1] .. name .. ".lua") or
        there(rules_dir .. overrides[2] .. name .. ".lua")) then
      return nil
    end
    missing[name] = nil
  end
  local path = find(name)
  if path == nil then missing[name] = true return nil end
  local env = setmetatable({ __rules_dir = rules_dir, __syscall_name = name }, { __index = _G })
  local chunk, problem = loadfile(path, "t", env)
  local good = chunk ~= nil
  if good then good, problem = pcall(chunk) end
  if not good or type(env.do_syscall) ~= "function" then
    log("load: " .. tostring(problem))
    missing[name] = true
    return nil
  end
  cache[name] = env
  return env
end

function entry(name, num, ...)
  local env = handler(name)
  if env == nil then return false, 0 end
  local good, action, ret = pcall(env.do_syscall, num, ...)
  if not good then
    log("run: " .. tostring(action))
    return false, 0
  end
  if not (action == true or action == 1) then return false, 0 end
  return true, math.type(ret) == "integer" and ret or 0
end
"""


class Loader:
    """One process of SFEmu with a rule directory; `memory` maps guest addresses of pages to their bytes."""

    def __init__(self, rules: Path, *, overrides: str = "", forever: bool = False) -> None:
        self.log: list[str] = []
        self.made: list[tuple[int, ...]] = []
        self.result: Callable[..., int] = lambda *_: 0
        """What the emulator's own code of a syscall gives: number and arguments to result."""
        self.memory: dict[int, bytearray] = {}
        self.lua = lua53.LuaRuntime(encoding=None, register_eval=False, unpack_returned_tuples=True)
        world = self.lua.globals()
        function = self.lua.eval(b"function(call) return function(...) return call(...) end end")
        for name in ("c_log", "c_read_string", "c_read_bytes", "c_write_bytes", "c_do_syscall", "c_get_reg"):
            # What C registers is a function to Lua, which an object of Python is not.
            world[name.encode()] = function(getattr(self, f"_{name[2:]}"))
        if overrides:
            world[b"SFEMU_RULES_OVERRIDE_DIR"] = overrides.encode()
        self.lua.execute(LOADER.encode(), f"{rules}/".encode(), forever, self._log)
        self.entry = world[b"entry"]

    def call(self, name: str, num: int, *args: int) -> tuple[bool, int]:
        """Make a call of the guest: whether a rule answered it, and what."""
        args = (*args, *([0] * 8))[:8]
        answered, ret = self.entry(name.encode(), num, *args)
        return bool(answered), ret

    def text(self, address: int, data: bytes) -> None:
        """Map the page of `address`, if it is not, and put a text there."""
        page = address & ~0xFFF & 0xFFFFFFFF
        found = self.memory.setdefault(page, bytearray(4096))
        found[address & 0xFFF : (address & 0xFFF) + len(data)] = data

    def _bytes(self, address: int, size: int) -> bytes | None:
        found = bytearray()
        for at in range(address & 0xFFFFFFFF, (address & 0xFFFFFFFF) + size):
            page = self.memory.get(at & ~0xFFF)
            if page is None:
                return None
            found.append(page[at & 0xFFF])
        return bytes(found)

    def _log(self, message: bytes) -> None:
        self.log.append(message.decode("utf-8", "replace"))

    def _read_string(self, address: int, size: int = 4096) -> Any:
        if size <= 0:
            return b"", -22
        if address == 0:
            return b"(null)", 0
        data = self._bytes(address, size)
        return (b"", -_EFAULT) if data is None else (data.split(b"\0")[0], 0)

    def _read_bytes(self, address: int, size: int) -> Any:
        data = self._bytes(address, size)
        return (b"", -_EFAULT) if data is None else (data, 0)

    def _write_bytes(self, address: int, data: bytes) -> Any:
        if self._bytes(address, len(data)) is None:
            return 0, -_EFAULT
        for number, byte in enumerate(data):
            at = (address + number) & 0xFFFFFFFF
            self.memory[at & ~0xFFF][at & 0xFFF] = byte
        return len(data), 0

    def _do_syscall(self, num: int, *args: int) -> int:
        self.made.append((num, *args))
        return self.result(num, *args)

    def _get_reg(self, name: bytes) -> Any:
        return (0x7FFF8000, 4, 0) if name.lower() in (b"sp", b"29", b"r29") else (None, 0, -22)
