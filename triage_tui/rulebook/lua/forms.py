"""The forms of Lua, as the checks of rules see them: statements, expressions, and ways through them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec


class Constant(msgspec.Struct):
    """A literal: nil, a boolean, a number, or a string as bytes."""

    line: int
    value: bool | int | float | bytes | None


class Name(msgspec.Struct):
    """A variable."""

    line: int
    text: str


class Index(msgspec.Struct):
    """`table.key` or `table[key]`."""

    line: int
    table: Expression
    key: Expression


class Call(msgspec.Struct):
    """`function(arguments)`; `method` is the name behind a colon."""

    line: int
    function: Expression
    arguments: list[Expression]
    method: str = ""

    @property
    def name(self) -> str:
        """The name of what is called, "string.format" for fields of globals; "" for anything else."""
        called = self.function
        if isinstance(called, Name):
            return called.text
        if isinstance(called, Index) and isinstance(called.table, Name):
            key = called.key
            if isinstance(key, Constant) and isinstance(key.value, bytes):
                return f"{called.table.text}.{key.value.decode('utf-8', 'replace')}"
        return ""


class Binary(msgspec.Struct):
    """`left operator right`."""

    line: int
    operator: str
    left: Expression
    right: Expression


class Unary(msgspec.Struct):
    """`operator operand`; operators are `-`, `not`, `#` and `~`."""

    line: int
    operator: str
    operand: Expression


class Table(msgspec.Struct):
    """A table constructor; the key of a field without one is None."""

    line: int
    fields: list[tuple[Expression | None, Expression]]


class Function(msgspec.Struct):
    """A function's parameters and body; the whole text is one too, without parameters."""

    line: int
    parameters: list[str]
    body: list[Statement]
    assigned: set[str] = msgspec.field(default_factory=set)
    """Names that are assigned to in it, declarations left out, or in the functions in it."""
    assigned_inside: set[str] = msgspec.field(default_factory=set)
    """Of these, the names that are assigned to in the functions in it."""


class Vararg(msgspec.Struct):
    """`...`."""

    line: int


Expression: TypeAlias = Constant | Name | Index | Call | Binary | Unary | Table | Function | Vararg


class Local(msgspec.Struct):
    """`local names = values`, and a parameterless way to say `local function` (one name, one function)."""

    line: int
    names: list[str]
    values: list[Expression]


class Assign(msgspec.Struct):
    """`targets = values`, also `function name() ... end`."""

    line: int
    targets: list[Expression]
    values: list[Expression]


class Do(msgspec.Struct):
    """A call as a statement."""

    line: int
    call: Expression


class If(msgspec.Struct):
    """Conditions with their blocks, in order, and the block behind `else`."""

    line: int
    branches: list[tuple[Expression, list[Statement]]]
    otherwise: list[Statement]


class Loop(msgspec.Struct):
    """Any loop. `kind` is while, repeat, numeric or generic; `heads` are its expressions."""

    line: int
    kind: str
    names: list[str]
    heads: list[Expression]
    body: list[Statement]


class Block(msgspec.Struct):
    """`do ... end`."""

    line: int
    body: list[Statement]


class Return(msgspec.Struct):
    """`return values`."""

    line: int
    values: list[Expression]


class Jump(msgspec.Struct):
    """`goto`, a label, or `break`."""

    line: int
    kind: str
    label: str = msgspec.field(default="")


Statement: TypeAlias = Local | Assign | Do | If | Loop | Block | Return | Jump


def expressions_of(statement: Statement) -> list[Expression]:
    """Return the expressions that stand in a statement itself, blocks left out."""
    match statement:
        case Local(values=values) | Return(values=values):
            return values
        case Assign(targets=targets, values=values):
            return [*targets, *values]
        case Do(call=call):
            return [call]
        case If(branches=branches):
            return [condition for condition, _ in branches]
        case Loop(heads=heads):
            return heads
    return []


def blocks_of(statement: Statement) -> list[list[Statement]]:
    """Return the blocks in a statement."""
    match statement:
        case If(branches=branches, otherwise=otherwise):
            return [*(block for _, block in branches), otherwise]
        case Loop(body=body) | Block(body=body):
            return [body]
    return []


def children(expression: Expression) -> list[Expression]:
    """Return the expressions right below one; the body of a function is not looked into."""
    match expression:
        case Index(table=table, key=key):
            return [table, key]
        case Call(function=function, arguments=arguments):
            return [function, *arguments]
        case Binary(left=left, right=right):
            return [left, right]
        case Unary(operand=operand):
            return [operand]
        case Table(fields=fields):
            return [part for one in fields for part in one if part is not None]
    return []


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and all below it; functions in it are yielded, their bodies are not."""
    waiting = [expression]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += children(one)


def statements_in(block: list[Statement]) -> Iterator[Statement]:
    """Yield the statements of a block and of the blocks in it, and of functions defined there."""
    waiting = list(reversed(block))
    while waiting:
        one = waiting.pop()
        yield one
        inner = [statement for part in blocks_of(one) for statement in part]
        for expression in expressions_of(one):
            for part in walk(expression):
                if isinstance(part, Function):
                    inner += part.body
        waiting += reversed(inner)
