"""What the names and expressions of a rule stand for, as far as its text alone tells it.

A name counts as known where one value is given to it and nowhere another. What is not known is told as not
known, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from triage_tui.rulebook.lua.forms import (
    Assign,
    Binary,
    Block,
    Call,
    Constant,
    Expression,
    Function,
    If,
    Local,
    Loop,
    Name,
    Statement,
    Unary,
    Vararg,
    expressions_of,
    statements_in,
    walk,
)

_PACK = re.compile(rb"[<>](?:[iI][1248])+")
_PACKED = re.compile(rb"([iI])([1248])")

RESULT = -1
"""Stands for the result among the arguments of after_syscall."""


class Argument(msgspec.Struct, frozen=True):
    """What the guest gave: `number` counts arguments from 1, 0 is the call's number, `RESULT` its result."""

    number: int


class Part(msgspec.Struct, frozen=True):
    """The value number `index` (from 0) of what a call returns, or a value that a loop gives a name."""

    call: Expression
    index: int


Value: TypeAlias = Expression | Argument | Part


class Scope(msgspec.Struct):
    """What names stand for inside one function; `outer` is asked for the rest."""

    values: dict[str, Value | None]
    outer: Scope | None = None

    def value(self, name: str) -> tuple[Value | None, Scope]:
        """Return what a name stands for, None where that is not known, and where to look further from."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name], scope
            scope = scope.outer
        return None, self


def inside_of(function: Function, outer: Scope, given: Mapping[str, Value]) -> Scope:
    """Return the scope inside of a function whose parameters stand for what is given."""
    values = bound_in(function)
    for name in function.parameters:
        # A parameter that is assigned to again is not known any more.
        values[name] = None if name in values or name not in given else given[name]
    return Scope(values, outer)


def bound_in(function: Function, top: bool = False) -> dict[str, Value | None]:
    """Return what is bound in a function: name to its value, None where it has several."""
    values: dict[str, Value | None] = {}

    def bind(name: str, value: Value | None) -> None:
        values[name] = None if name in values else value

    for statement in own_statements(function.body):
        if isinstance(statement, Local):
            for index, name in enumerate(statement.names):
                bind(name, _nth(statement.values, index, statement.line))
        elif isinstance(statement, Loop):
            for index, name in enumerate(statement.names):
                bind(name, Part(statement.heads[0], index) if statement.heads else None)
        elif isinstance(statement, Assign):
            for index, target in enumerate(statement.targets):
                if isinstance(target, Name) and (top or target.text in values):
                    bind(target.text, _nth(statement.values, index, statement.line))
    for name in function.assigned_inside & set(values):
        # Some function in it gives it another value.
        values[name] = None
    return values


def own_statements(statements: list[Statement]) -> Iterator[Statement]:
    """Yield the statements of a block and of the blocks in it, but not those of functions."""
    waiting = list(reversed(statements))
    while waiting:
        one = waiting.pop()
        yield one
        match one:
            case If(branches=branches, otherwise=otherwise):
                waiting += reversed([s for _, block in branches for s in block] + otherwise)
            case Loop(body=inner) | Block(body=inner):
                waiting += reversed(inner)


def _nth(values: list[Expression], index: int, line: int) -> Value:
    if index < len(values) - 1 or (values and index == len(values) - 1):
        return values[index]
    if values and isinstance(values[-1], (Call, Vararg)):
        return Part(values[-1], index - len(values) + 1)
    return Constant(line, None)


def resolved(expression: Value, scope: Scope) -> tuple[Value | None, Scope]:
    """Follow names to what they stand for; None where that is not known."""
    value: Value | None = expression
    for _ in range(16):
        if not isinstance(value, Name):
            return value, scope
        name = value.text
        value, scope = scope.value(name)
        if value is None:
            return None, scope
    return None, scope


def resolve(expression: Value, scope: Scope) -> Value | None:
    """Return what an expression is once names are followed; an unknown name is None."""
    return resolved(expression, scope)[0]


def function_named(call: Call, scope: Scope) -> tuple[Function, Scope] | None:
    """Return the rule's own function that is called, with the scope it was defined in."""
    if not isinstance(call.function, Name):
        return None
    value, where = resolved(call.function, scope)
    return (value, where) if isinstance(value, Function) else None


def parts(expression: Value, scope: Scope) -> Iterator[Expression | Argument]:
    """Yield everything that a value is made of, names followed: arguments of the guest, constants, calls.

    The bodies of the rule's own functions belong to it too.
    """
    waiting: list[tuple[Value, Scope]] = [(expression, scope)]
    seen: set[int] = set()
    while waiting and len(seen) < 2000:
        value, where = waiting.pop()
        if isinstance(value, Part):
            value = value.call
        if isinstance(value, Argument):
            yield value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        for one in walk(value):
            if isinstance(one, Name):
                found, inner = where.value(one.text)
                if found is not None:
                    waiting.append((found, inner))
                else:
                    yield one
            elif isinstance(one, Function):
                inside = inside_of(one, where, {})
                for statement in statements_in(one.body):
                    waiting += [(part, inside) for part in expressions_of(statement)]
            else:
                yield one


def arguments_in(expression: Value, scope: Scope) -> set[int]:
    """Return the numbers of the guest's arguments that a value depends on; `RESULT` is the result."""
    return {one.number for one in parts(expression, scope) if isinstance(one, Argument)}


def constant(expression: Value, scope: Scope) -> Constant | None:
    """Return the constant that an expression comes to, None where it is none or not known.

    `-N`, `#"text"`, `string.rep("x", 4)`, `string.pack("<i4", 1)`, `N + M` and text put together with `..`
    count.
    """
    value = resolve(expression, scope)
    match value:
        case Constant():
            return value
        case Unary(operator="-", operand=operand):
            inner = constant(operand, scope)
            if inner is not None and type(inner.value) in (int, float):
                return Constant(value.line, -inner.value)  # type: ignore[operator]
        case Unary(operator="#", operand=operand):
            inner = constant(operand, scope)
            if inner is not None and isinstance(inner.value, bytes):
                return Constant(value.line, len(inner.value))
        case Binary():
            return _folded(value, scope)
        case Call(name="string.rep", arguments=[text, times]):
            piece, count = constant(text, scope), constant(times, scope)
            if (
                piece is not None
                and count is not None
                and isinstance(piece.value, bytes)
                and isinstance(count.value, int)
                and 0 <= count.value * len(piece.value) <= 1 << 20
            ):
                return Constant(value.line, piece.value * count.value)
        case Call(name="string.pack", arguments=[form, *numbers]):
            return _packed(value.line, constant(form, scope), [constant(one, scope) for one in numbers])
    return None


def _packed(line: int, form: Constant | None, given: Sequence[Constant | None]) -> Constant | None:
    """Return what string.pack makes of whole numbers whose order and sizes the format says; else None."""
    text = form.value if form is not None else None
    if not isinstance(text, bytes) or not _PACK.fullmatch(text):
        return None
    order: Literal["little", "big"] = "big" if text[:1] == b">" else "little"
    kinds = _PACKED.findall(text)
    if len(kinds) != len(given):
        return None
    data = b""
    for (_, size), one in zip(kinds, given, strict=True):
        if one is None or type(one.value) is not int:
            return None
        data += (one.value & ((1 << 8 * int(size)) - 1)).to_bytes(int(size), order)
    return Constant(line, data)


def _folded(value: Binary, scope: Scope) -> Constant | None:
    left, right = constant(value.left, scope), constant(value.right, scope)
    if left is None or right is None:
        return None
    a, b = left.value, right.value
    if value.operator == ".." and isinstance(a, bytes) and isinstance(b, bytes):
        return Constant(value.line, a + b)
    if type(a) is int and type(b) is int:
        match value.operator:
            case "+":
                return Constant(value.line, a + b)
            case "-":
                return Constant(value.line, a - b)
            case "*":
                return Constant(value.line, a * b)
            case "|":
                return Constant(value.line, a | b)
            case "&":
                return Constant(value.line, a & b)
    return None
