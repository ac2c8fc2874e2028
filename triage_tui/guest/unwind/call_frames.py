"""Unwind one frame by the call frame information of its program file (`.eh_frame`, `.debug_frame`)."""

from __future__ import annotations

from triage_tui.binary.cfi import DamagedError, Row, Rule
from triage_tui.guest.unwind.calls import is_return_address
from triage_tui.guest.unwind.expression import evaluate
from triage_tui.guest.unwind.model import OUTERMOST, Code, Cursor, Step
from triage_tui.guest.unwind.registers import (
    EM_ARM,
    EM_MIPS,
    EM_S390,
    code_address,
    dwarf_names,
    preserved_names,
)


def step(code: Code, cursor: Cursor) -> Step:
    """Return the caller of `cursor`, or None if its module has no (usable) information for it."""
    # A return address may lie behind its function, where the call never returns.
    row = code.unwind_row(cursor.pc if cursor.exact else cursor.pc - 1)
    if row is None:
        return None
    arch = code.memory.arch
    names = dwarf_names(arch)
    values = {number: cursor.saved[name] for number, name in names.items() if name in cursor.saved}
    sp = cursor.sp + (_pushed_arguments(code, cursor.pc) if cursor.exact else 0)
    values |= {number: sp for number, name in names.items() if name == arch.sp}
    if arch.lr is not None and cursor.lr is not None:
        values |= {number: cursor.lr for number, name in names.items() if name == arch.lr}
    try:
        cfa = _cfa(code, row, values)
        if cfa is None:
            return None
        ret = _value(code, row, row.return_register, cfa, values)
        if row.rules.get(row.return_register, Rule("same")).kind == "undefined" or ret == 0:
            return OUTERMOST
        if ret is None:
            return None
        above = _stack_pointer(code, row, names, cfa, values)
        if above is None:
            return None
        saved = {}
        kept = preserved_names(arch)
        for number, name in names.items():
            value = _value(code, row, number, cfa, values) if name in kept else None
            if value is not None:
                saved[name] = value
    except DamagedError:
        return None
    pc = code_address(arch, ret)
    if not is_return_address(code, ret) and _is_own(code, cursor, pc):
        # The link register was used for something else, and the table does not say what was in it before.
        return None
    if not code.is_code(pc) and not is_return_address(code, ret):
        return None
    return Cursor(
        pc,
        above,
        None,
        saved,
        thumb=arch.elf_machine == EM_ARM and bool(ret & 1),
        method="cfi",
        confidence="high" if is_return_address(code, ret) else "medium",
    )


def _is_own(code: Code, cursor: Cursor, addr: int) -> bool:
    """Say whether `addr` lies in the function of `cursor`."""
    own = code.function_start(cursor.pc if cursor.exact else cursor.pc - 1)
    return own is not None and own == code.function_start(addr)


def _pushed_arguments(code: Code, pc: int) -> int:
    """Return the bytes that a MIPS o32 syscall with stack arguments took behind the compiler's back.

    musl and uClibc make room for them inside an assembler statement, which no table knows of:
    `subu sp,sp,32; ...; syscall; addu sp,sp,32`.
    """
    memory = code.memory
    if memory.arch.elf_machine != EM_MIPS or memory.instruction(pc - 4) != 0x0000000C:
        return 0
    after = memory.instruction(pc) or 0
    return after & 0x7FFF if after >> 15 == 0x27BD << 1 else 0


def _stack_pointer(
    code: Code, row: Row, names: dict[int, str], cfa: int, values: dict[int, int]
) -> int | None:
    """Return the caller's stack pointer: the CFA unless the table says otherwise.

    On s390x the CFA lies 160 bytes above it, and a function that takes no stack leaves it alone.
    """
    arch = code.memory.arch
    number = next(number for number, name in names.items() if name == arch.sp)
    if number in row.rules or arch.elf_machine == EM_S390:
        return _value(code, row, number, cfa, values)
    return cfa


def _cfa(code: Code, row: Row, values: dict[int, int]) -> int | None:
    """Return the canonical frame address: sp in the caller just before the call."""
    if row.cfa_expression:
        return evaluate(code.memory, row.cfa_expression, values)
    base = values.get(row.cfa_register)
    return None if base is None else (base + row.cfa_offset) & code.memory.arch.word_mask


def _value(code: Code, row: Row, number: int, cfa: int, values: dict[int, int]) -> int | None:
    """Return a register's value in the caller, or None if it is lost."""
    mask = code.memory.arch.word_mask
    rule = row.rules.get(number)
    if rule is None or rule.kind == "same":
        return values.get(number)
    match rule.kind:
        case "offset":
            return code.memory.word((cfa + rule.number) & mask)
        case "val_offset":
            return (cfa + rule.number) & mask
        case "register":
            return values.get(rule.number)
        case "expression":
            return code.memory.word(evaluate(code.memory, rule.expression, values, cfa))
        case "val_expression":
            return evaluate(code.memory, rule.expression, values, cfa)
        case _:
            return None
