"""x86: addresses relative to rip, immediate operands, and on i386 the table that ebx points to."""

from __future__ import annotations

import re
from typing import ClassVar

from triage_tui.binary.sweep.follower import Follower, Handler, number

_RIP = re.compile(r"\[rip (\+|-) (0x[0-9a-f]+|\d+)\]")
_BASE = re.compile(r"(?:(\w+), )?(?:[dq]word ptr )?\[(e\w\w) (\+|-) (0x[0-9a-f]+|\d+)\]\Z")
_PLAIN = re.compile(r"\[(0x[0-9a-f]+)\]\Z")
_IMMEDIATE = re.compile(r"(?:, |^)(0x[0-9a-f]{4,})\Z")
_JUMPS = ("jo", "jno", "jb", "jae", "je", "jne", "jbe", "ja", "js", "jns", "jp", "jnp", "jl", "jge", "jle",
          "jg", "jrcxz", "jecxz", "loop", "loope", "loopne")  # fmt: skip
_ENDBR = ("endbr64", "endbr32")


class X86Follower(Follower):
    """Follows x86 code, 32 and 64 bits."""

    clobbered: ClassVar[frozenset[str]] = frozenset(("eax", "ecx", "edx"))

    def _handlers(self) -> dict[str, Handler]:
        self._pushed = -1
        return {
            **dict.fromkeys(_JUMPS, self._branch),
            **dict.fromkeys(_ENDBR, self._start),
            "lea": self._lea,
            "mov": self._mov,
            "movabs": self._mov,
            "movzx": self._mention_operands,
            "movaps": self._mention_operands,
            "cmp": self._mention_operands,
            "push": self._push,
            "add": self._add,
            "call": self._call,
            "jmp": self._jmp,
            "bnd jmp": self._jmp,
            "notrack jmp": self._jmp,
            "ret": self._ret,
            "bnd ret": self._ret,
            "hlt": self._stop,
            "ud2": self._stop,
            "pop": self._pop,
            "sub": self._sub,
        }

    def padding(self, data: bytes) -> int:
        """Nops of all lengths, `int3` and zeros; what is none ends the gap soon after."""
        return 2 * (
            data[:1]
            in (
                b"\x90",
                b"\xcc",
                b"\0",
                b"\x66",
                b"\x0f",
                b"\x2e",
                b"\x8d",
                b"\x1f",
                b"\x84",
                b"\x40",
            )
        )

    def _address(self, address: int, size: int, operands: str) -> int | None:
        """Return the address of a memory operand."""
        match = _RIP.search(operands)
        if match is not None:
            by = int(match[2], 0)
            return (address + size + (by if match[1] == "+" else -by)) & self.view.mask
        match = _BASE.match(operands)
        if match is not None:
            base = self.values.get(match[2])
            by = int(match[4], 0)
            return None if base is None else (base + (by if match[3] == "+" else -by)) & self.view.mask
        match = _PLAIN.search(operands)
        return int(match[1], 16) if match is not None else None

    def _lea(self, address: int, size: int, operands: str) -> None:
        name = operands.partition(",")[0]
        place = self._address(address, size, operands)
        if place is None:
            self.forget(name)
        else:
            self.make(address, name, place)

    def _mov(self, address: int, size: int, operands: str) -> None:
        name, _, source = operands.partition(", ")
        if "[" in name:
            self._immediate(address, source)
            return
        if "[" in source:
            place = None if "byte" in source or " word" in source else self._address(address, size, operands)
            if place is None:
                self.forget(name)
            else:
                self.load(address, name, place)
            return
        value = number(source)
        if value is None:
            self.copy(name, source)
        else:
            self.forget(name)
            self.mention(address, value)

    def _immediate(self, address: int, text: str) -> None:
        match = _IMMEDIATE.search(text)
        if match is not None:
            self.mention(address, int(match[1], 16))

    def _mention_operands(self, address: int, size: int, operands: str) -> None:
        place = self._address(address, size, operands) if "[" in operands else None
        if place is not None:
            self.mention(address, place)
        self._immediate(address, operands)

    def _push(self, address: int, _size: int, operands: str) -> None:
        if operands in ("rbp", "ebp"):
            self.prologue(address)
        else:
            self._immediate(address, operands)

    def _sub(self, address: int, _size: int, operands: str) -> None:
        if operands.startswith("rsp, "):
            self.prologue(address)
        else:
            self.forget(operands.partition(",")[0])

    def _start(self, address: int, _size: int, _operands: str) -> None:
        self.prologue(address)

    def _add(self, address: int, _size: int, operands: str) -> None:
        name, _, text = operands.partition(", ")
        start, by = self.values.get(name), number(text)
        if start is None or by is None:
            self.forget(name)
            if by is not None:
                self.mention(address, by)
        else:
            self.make(address, name, start + by, name)

    def _call(self, address: int, size: int, operands: str) -> None:
        target = number(operands)
        if target == address + size:
            # It only puts the next address on the stack.
            self._pushed = target
            return
        if target is not None:
            if self._reads_pc(address, size, target):
                return
            self.call(address, address + size, target)
            return
        if "gs:[0x10]" in operands:
            # The C library makes syscalls through the thread block.
            self.forget("eax")
            return
        place = self._address(address, size, operands) if "[" in operands else None
        if place is not None:
            self.notes.slot_calls.append((address, place, address + size))
            self.after_call()
        else:
            self.call_register(address, address + size, operands)

    def _reads_pc(self, address: int, size: int, target: int) -> bool:
        """Follow an i386 call that only puts the next address into a register: mov reg, [esp]; ret."""
        if self.view.mask != 0xFFFFFFFF:
            return False
        code = self.view.read(target, 4)
        if len(code) < 4 or code[0] != 0x8B or code[2:] != b"\x24\xc3" or code[1] & 0xC7 != 0x04:
            return False
        name = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")[code[1] >> 3 & 7]
        self.step(name, address + size)
        return True

    def _jmp(self, address: int, size: int, operands: str) -> None:
        target = number(operands)
        if target is not None:
            self.jump(address, address + size, target)
            return
        place = self._address(address, size, operands) if "[" in operands and "*" not in operands else None
        if place is not None:
            self.notes.slot_calls.append((address, place, 0))
            self.end(address + size)
        else:
            self.jump_register(address, address + size, operands)

    def _ret(self, address: int, size: int, _operands: str) -> None:
        self.end(address + size)

    def _stop(self, address: int, size: int, _operands: str) -> None:
        self.end(address + size)

    def _pop(self, address: int, _size: int, operands: str) -> None:
        if self._pushed == address:
            self.step(operands, address)
        elif self.values.get(operands, -1) != self.view.table:
            # The table's register is restored before a return in the middle of the function, too.
            self.forget(operands)

    def _branch(self, address: int, _size: int, operands: str) -> None:
        self.branch(address, number(operands) or 0)
