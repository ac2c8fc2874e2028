"""Evaluate the DWARF expressions of call frame information (DWARF 5, sections 2.5 and 7.7.1)."""

from __future__ import annotations

import operator
from collections.abc import Callable

from triage_tui.binary.cfi import DamagedError, Reader
from triage_tui.guest.state.memory import Memory

MAX_OPERATIONS = 256
_MAX_DEPTH = 64

_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: operator.and_,
    0x1C: operator.sub,
    0x1E: operator.mul,
    0x21: operator.or_,
    0x22: operator.add,
    0x24: lambda left, right: left << min(right, 64),
    0x25: lambda left, right: left >> min(right, 64),
    0x27: operator.xor,
}
_COMPARE: dict[int, Callable[[int, int], bool]] = {
    0x29: operator.eq,
    0x2A: operator.ge,
    0x2B: operator.gt,
    0x2C: operator.le,
    0x2D: operator.lt,
    0x2E: operator.ne,
}
_CONSTANTS = {
    0x08: (1, False),
    0x09: (1, True),
    0x0A: (2, False),
    0x0B: (2, True),
    0x0C: (4, False),
    0x0D: (4, True),
    0x0E: (8, False),
    0x0F: (8, True),
}


def evaluate(memory: Memory, expression: bytes, registers: dict[int, int], first: int | None = None) -> int:
    """Return what `expression` gives, with `first` (the CFA) on its stack if that is not None.

    Raises:
        DamagedError: it cannot be evaluated: an unknown register, unreadable memory, no end.
    """
    arch = memory.arch
    reader = Reader(expression, 0, len(expression), arch.endian == "little", arch.word)
    stack = [] if first is None else [first]
    for _ in range(MAX_OPERATIONS):
        if reader.at >= reader.end:
            break
        _operate(reader, memory, registers, stack)
        if len(stack) > _MAX_DEPTH:
            raise DamagedError("expression too deep")
    else:
        raise DamagedError("endless expression")
    if not stack:
        raise DamagedError("empty expression")
    return stack[-1]


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _operate(reader: Reader, memory: Memory, registers: dict[int, int], stack: list[int]) -> None:
    mask = memory.arch.word_mask
    op = reader.number(1)
    if op in _CONSTANTS:
        size, signed = _CONSTANTS[op]
        stack.append(reader.number(size, signed=signed) & mask)
    elif op == 0x10:
        stack.append(reader.uleb() & mask)
    elif op == 0x11:
        stack.append(reader.sleb() & mask)
    elif 0x30 <= op <= 0x4F:
        stack.append(op - 0x30)
    elif 0x70 <= op <= 0x8F or op == 0x92:
        number = op - 0x70 if op != 0x92 else reader.uleb()
        if number not in registers:
            raise DamagedError("unknown register")
        stack.append((registers[number] + reader.sleb()) & mask)
    else:
        _on_stack(op, reader, memory, stack)


def _on_stack(op: int, reader: Reader, memory: Memory, stack: list[int]) -> None:
    """Do an operation that takes its operands from the stack."""
    mask, bits = memory.arch.word_mask, memory.arch.bits
    if op == 0x96:
        return
    if not stack or (len(stack) < 2 and op in (*_BINARY, *_COMPARE, 0x14, 0x16)):
        raise DamagedError("operand missing")
    if op == 0x06:
        value = memory.word(stack.pop())
        if value is None:
            raise DamagedError("unreadable memory")
        stack.append(value)
    elif op == 0x12:
        stack.append(stack[-1])
    elif op == 0x13:
        stack.pop()
    elif op == 0x14:
        stack.append(stack[-2])
    elif op == 0x16:
        stack[-1], stack[-2] = stack[-2], stack[-1]
    elif op == 0x1F:
        stack.append(-stack.pop() & mask)
    elif op == 0x23:
        stack.append((stack.pop() + reader.uleb()) & mask)
    elif op in _BINARY:
        right, left = stack.pop(), stack.pop()
        stack.append(_BINARY[op](left, right) & mask)
    elif op in _COMPARE:
        right, left = _signed(stack.pop(), bits), _signed(stack.pop(), bits)
        stack.append(int(_COMPARE[op](left, right)))
    else:
        raise DamagedError("unsupported operation")
