"""Tables of constants: Lua text that is one `return { ... }`, read from its syntax tree and never executed.

Values are texts, numbers, `true`, `false` and tables of these; keys are names, texts and whole numbers. There
is no name, call, or operator but the minus of a number.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook.lua.forms import Constant, Expression, Return, Table, Unary
from triage_tui.rulebook.lua.syntax import NotUnderstood, parse

MAX_TABLES = 16
"""How deep tables may nest."""
MAX_VALUES = 20_000

Value: TypeAlias = "bool | int | float | bytes | ConstantTable"
Key: TypeAlias = str | int


class Given(msgspec.Struct, frozen=True):
    """A value and the line, from 1, on which it stands."""

    line: int
    value: Value


class ConstantTable(msgspec.Struct, frozen=True):
    """What a table holds: `named` what has a key, `items` what has none, in order."""

    line: int
    named: dict[Key, Given] = msgspec.field(default_factory=dict)
    items: list[Given] = msgspec.field(default_factory=list)


class NotConstant(TriageError):
    """The text is no table of constants. `line` counts from 1; the message may quote the text."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read_table(source: bytes) -> ConstantTable:
    """Return the table that a rule's text returns.

    Raises:
        NotConstant: it is something else, or too much.
    """
    try:
        body = parse(source).body
    except (NotUnderstood, ImportError) as error:
        raise NotConstant(1, str(error)) from None
    if len(body) != 1 or not isinstance(body[0], Return):
        line = body[1 if len(body) > 1 and isinstance(body[0], Return) else 0].line if body else 1
        raise NotConstant(line, "it must be one `return { ... }` and nothing else")
    values = body[0].values
    if len(values) != 1 or not isinstance(values[0], Table):
        raise NotConstant(body[0].line, "it must return one table, `return { ... }`")
    return _Reader().table(values[0], 1)


class _Reader:
    def __init__(self) -> None:
        self._count = 0

    def table(self, table: Table, depth: int) -> ConstantTable:
        if depth > MAX_TABLES:
            raise NotConstant(table.line, f"tables nest deeper than {MAX_TABLES}")
        found = ConstantTable(table.line)
        for key, expression in table.fields:
            self._count += 1
            if self._count > MAX_VALUES:
                raise NotConstant(expression.line, f"these are more than {MAX_VALUES} values")
            given = Given(expression.line, self._value(expression, depth))
            if key is None:
                found.items.append(given)
                continue
            name = _key(key)
            if name in found.named:
                raise NotConstant(given.line, f"{name} is there twice")
            found.named[name] = given
        return found

    def _value(self, expression: Expression, depth: int) -> Value:
        match expression:
            case Table():
                return self.table(expression, depth + 1)
            case Constant(value=value) if value is not None:
                return value
            case Unary(operator="-", operand=Constant(value=value)) if type(value) in (int, float):
                return -value  # type: ignore[operator]
        raise NotConstant(
            expression.line, "only texts, numbers, true, false and tables of these can stand here"
        )


def _key(key: Expression) -> Key:
    match key:
        case Constant(value=bytes() as text):
            try:
                return text.decode()
            except UnicodeDecodeError:
                raise NotConstant(key.line, "a key is no UTF-8 text") from None
        case Constant(value=int() as number) if type(number) is int:
            return number
    raise NotConstant(key.line, "a key must be a name, a text or a whole number")
