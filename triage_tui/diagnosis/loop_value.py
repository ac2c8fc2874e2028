"""The value with which a polling loop ends: its recorded code carried out for one value after another.

Only what such loops are made of is understood: moves, masks, shifts by a constant, additions of a constant,
comparisons, branches, and calls, which leave nothing certain in the registers that a function may change.
What is not understood leaves its result unknown, and a branch that depends on it gives no answer. Meanings
are those of the architecture manuals of Arm (A32, T32, A64), MIPS, Intel, POWER and RISC-V.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence

from triage_tui.diagnosis.listing import CALL, COMPARE, CONDITIONAL, DELAYED_CALLS, JUMP, Line

_ROUNDS = 3
"""A load in the delay slot of the branch counts in the next round only."""
_MAX_TRIED = 40
_FEW = (1, 0, 2, 3, 4, 5, 8, 16, 0x80)
_NUMBER = re.compile(r"^#?(-?(?:0x[0-9a-f]+|\d+))$")
_CONDITIONS: dict[str, Callable[[int, int, int], bool]] = {}
"""Condition -> whether it holds for two compared numbers of so many bits."""


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _fill_conditions() -> None:
    signed = {"lt": operator.lt, "ge": operator.ge, "gt": operator.gt, "le": operator.le}
    unsigned = {"lo": operator.lt, "hs": operator.ge, "hi": operator.gt, "ls": operator.le}
    for name, holds in signed.items():
        _CONDITIONS[name] = lambda a, b, bits, holds=holds: holds(_signed(a, bits), _signed(b, bits))  # type: ignore[misc]
    for name, holds in unsigned.items():
        _CONDITIONS[name] = lambda a, b, _bits, holds=holds: holds(a, b)  # type: ignore[misc]
    _CONDITIONS["eq"] = lambda a, b, _bits: a == b
    _CONDITIONS["ne"] = lambda a, b, _bits: a != b
    same = {
        "e": "eq", "z": "eq", "nz": "ne", "l": "lt", "g": "gt", "b": "lo", "ae": "hs", "a": "hi", "be": "ls",
        "cc": "lo", "cs": "hs", "mi": "lt", "pl": "ge", "s": "lt", "ns": "ge", "gez": "ge", "gtz": "gt",
        "lez": "le", "ltz": "lt", "eqz": "eq", "nez": "ne", "ltu": "lo", "geu": "hs", "nh": "le", "nl": "ge",
        "h": "gt", "he": "ge",
    }  # fmt: skip
    for name, meaning in same.items():
        _CONDITIONS[name] = _CONDITIONS[meaning]


_fill_conditions()
_KEPT = re.compile(
    r"^(?:\$?s[0-8p]|\$?fp|\$?gp|r[4-9]|r1[01]|[xw](?:19|2[0-9])|ebx|esi|edi|ebp|rbx|rbp|r1[2-5])$"
)
"""Registers that a function gives back as they were, by the psABIs."""


class _UnknownError(Exception):
    """A branch depends on what is not known."""


class _Machine:
    """The registers of one try."""

    def __init__(self, registers: Mapping[str, int], bits: int) -> None:
        self._registers: dict[str, int] = {_plain(name): value for name, value in registers.items()}
        self._registers |= {"zero": 0, "xzr": 0, "wzr": 0}
        self._bits = bits
        self._compared: tuple[int, int] | None = None

    def _value(self, text: str) -> int | None:
        number = _NUMBER.match(text)
        if number is not None:
            return int(number[1], 0) & ((1 << self._bits) - 1)
        return self._registers.get(_plain(text))

    def set(self, name: str, value: int | None) -> None:
        if value is None:
            self._registers.pop(_plain(name), None)
        elif _plain(name) not in ("zero", "xzr", "wzr"):
            self._registers[_plain(name)] = value & ((1 << self._bits) - 1)

    def call(self) -> None:
        self._registers = {
            name: value for name, value in self._registers.items() if _KEPT.match(name) or name == "zero"
        }
        self._compared = None

    def compare(self, value: int, other: str) -> None:
        """Compare a number with an operand."""
        second = self._value(other)
        self._compared = None if second is None else (value, second)

    def carry_out(self, line: Line) -> None:
        """Carry out one instruction that does not branch."""
        name = re.sub(r"\.(?:w|n)$", "", line.name)
        words = operands(line)
        if name in ("nop", "") or not words:
            return
        values = [self._value(word) for word in words]
        if name in ("cmp", "cmpwi", "cmplwi", "cmpw", "cmpdi", "cmpldi", "tst", "test", "cmn", "chi", "cghi"):
            first, second = values[-2:] if len(values) > 1 else (values[0], 0)
            if name in ("tst", "test"):
                first = first & second if first is not None and second is not None else None
                second = 0
            if name == "cmn" and second is not None:
                second = -second & ((1 << self._bits) - 1)
            self._compared = None if first is None or second is None else (first, second)
            return
        target, sources = words[0], values[1:]
        if len(sources) == 1 and name not in _ONE:
            # Two-operand forms: the target is a source as well.
            sources = [values[0], sources[0]]
        result = _result(name, sources, self._bits)
        self.set(target, result)
        if name.endswith("s") and name[:-1] in _TWO | _ONE.keys():
            self._compared = None if result is None else (result, 0)

    def holds(self, line: Line) -> bool:
        """Tell whether a conditional branch is taken.

        Raises:
            _UnknownError: that cannot be said.
        """
        name = re.sub(r"(?:\.w|[+-])$", "", line.name)
        words = [word for word in operands(line) if not re.fullmatch(r"#?0x[0-9a-f]+|cr\d", word)]
        pair: tuple[int | None, int | None]
        if name in ("cbz", "cbnz"):
            condition, pair = "eq" if name == "cbz" else "ne", (self._value(words[0]), 0)
        elif name in ("tbz", "tbnz"):
            raise _UnknownError
        elif words and name.startswith("b") and not name.startswith("b."):
            # MIPS, RISC-V: what is compared stands in the branch.
            values = [self._value(word) for word in words]
            condition = name[1:].removesuffix("l") if name not in ("bltz", "blez") else name[1:]
            pair = (values[0], values[1] if len(values) > 1 else 0)
            if len(values) == 1 and not condition.endswith("z"):
                condition += "z"
        else:
            condition = name.removeprefix("b.").removeprefix("b") if name[0] == "b" else name[1:]
            pair = self._compared or (None, None)
        first, second = pair
        test = _CONDITIONS.get(condition)
        if test is None or first is None or second is None:
            raise _UnknownError
        return test(first, second, self._bits)


_ONE: dict[str, Callable[[int, int], int]] = {
    "mov": lambda a, _bits: a, "move": lambda a, _bits: a, "mv": lambda a, _bits: a, "li": lambda a, _bits: a,
    "mr": lambda a, _bits: a, "movz": lambda a, _bits: a, "movs": lambda a, _bits: a,
    "uxtb": lambda a, _bits: a & 0xFF, "uxth": lambda a, _bits: a & 0xFFFF, "movzx": lambda a, _bits: a,
    "sxtb": lambda a, _bits: _signed(a, 8), "sxth": lambda a, _bits: _signed(a, 16),
    "seb": lambda a, _bits: _signed(a, 8), "seh": lambda a, _bits: _signed(a, 16),
    "mvn": lambda a, _bits: ~a, "not": lambda a, _bits: ~a, "neg": lambda a, _bits: -a,
    "negu": lambda a, _bits: -a, "sext.w": lambda a, _bits: _signed(a, 32), "lui": lambda a, _bits: a << 16,
}  # fmt: skip
_BINARY: dict[str, Callable[[int, int, int], int]] = {
    "and": lambda a, b, _bits: a & b, "or": lambda a, b, _bits: a | b, "xor": lambda a, b, _bits: a ^ b,
    "add": lambda a, b, _bits: a + b, "sub": lambda a, b, _bits: a - b,
    "sll": lambda a, b, _bits: a << (b & 63), "srl": lambda a, b, _bits: a >> (b & 63),
    "sra": lambda a, b, bits: _signed(a, bits) >> (b & 63),
    "slt": lambda a, b, bits: int(_signed(a, bits) < _signed(b, bits)),
    "sltu": lambda a, b, _bits: int(a < b), "bic": lambda a, b, _bits: a & ~b,
}  # fmt: skip
_SAME = {
    "andi": "and", "ori": "or", "orr": "or", "xori": "xor", "eor": "xor", "addi": "add", "addiu": "add",
    "addu": "add", "subu": "sub", "lsl": "sll", "lsr": "srl", "asr": "sra", "slli": "sll", "srli": "srl",
    "slti": "slt", "sltiu": "sltu", "daddiu": "add", "addiw": "add", "shl": "sll", "shr": "srl",
}  # fmt: skip
_TWO = frozenset((*_BINARY, *_SAME))


def _result(name: str, sources: Sequence[int | None], bits: int) -> int | None:
    known = [value for value in sources if value is not None]
    if not sources or len(known) != len(sources):
        return None
    plain = name if name in _ONE or name in _TWO else name.removesuffix("s")
    if plain in _ONE and len(known) == 1:
        return _ONE[plain](known[0], bits)
    two = _BINARY.get(_SAME.get(plain, plain))
    return two(known[0], known[1], bits) if two is not None and len(known) == 2 else None


def _plain(name: str) -> str:
    name = name.strip().lstrip("$%")
    # The low half of a 64-bit register of AArch64 holds what is compared here.
    return f"x{name[1:]}" if re.fullmatch(r"w\d+", name) else name


def operands(line: Line) -> list[str]:
    """Return the operands of an instruction, what stands in brackets in one piece."""
    text = line.rest.split(";")[0].split("<")[0].strip()
    return [word.strip() for word in re.split(r",(?![^\[]*\])", text)] if text else []


def ending_value(
    body: Sequence[Line], load: Line, registers: Mapping[str, int], *, bits: int, size: int, held: int | None
) -> int | None:
    """Return a value of `size` bytes that ends the loop when `load` reads it, None where that is not certain.

    `body` is the loop and, where there is one, the instruction in the delay slot of its last branch.
    `registers` are known before it. The value that the place holds (`held`) must keep the loop going, or the
    loop was not understood.
    """
    if held is not None and _ends(body, load, registers, bits, held) is not False:
        return None
    limit = 1 << (8 * size)
    numbers = [int(match[1], 0) for line in body for word in operands(line) if (match := _NUMBER.match(word))]
    told = [value for value in (*numbers, *registers.values()) if 0 <= value < 0x10000]
    near = [value + step for value in told for step in (0, 1, -1)]
    tried = dict.fromkeys(value for value in (*_FEW[:1], *near, *_FEW, limit - 1) if 0 <= value < limit)
    for value in list(tried)[:_MAX_TRIED]:
        if value != held and _ends(body, load, registers, bits, value):
            return value
    return None


def _ends(
    body: Sequence[Line], load: Line, registers: Mapping[str, int], bits: int, value: int
) -> bool | None:
    """Tell whether the loop ends when `load` gives `value`; None where that cannot be said."""
    inside = {line.addr for line in body}
    closing = next(
        (line for line in reversed(body) if CONDITIONAL.match(line.name) or JUMP.match(line.name)), None
    )
    machine = _Machine(registers, bits)
    try:
        for _ in range(_ROUNDS):
            delayed = False
            for line in body:
                called, delayed = delayed, line.name in DELAYED_CALLS
                if line is load and COMPARE.match(line.name):
                    machine.compare(value, operands(line)[1])
                elif line is load:
                    machine.set(operands(line)[0], value)
                elif CALL.match(line.name):
                    machine.call()
                elif CONDITIONAL.match(line.name):
                    taken = machine.holds(line)
                    if (taken and line.target not in inside) or (line is closing and not taken):
                        return True
                    if taken and line is not closing:
                        return None
                elif not JUMP.match(line.name):
                    machine.carry_out(line)
                if called:
                    machine.call()
    except _UnknownError:
        return None
    return False
