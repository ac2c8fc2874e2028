"""Read the configuration of a plugin from a rule file, and say where it is wrong. Nothing is executed.

The classes in this package say by their annotations what can be given; here the table is held against them.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook.lua.constants import ConstantTable, Given, Value, read_table
from triage_tui.rulebook.plugins.configuration import Configuration, Place, Settings
from triage_tui.rulebook.plugins.shipped import configuration_of
from triage_tui.text import safe_line

_EXPECTED = re.compile(r"Expected `(.*)`, got `(.*)`")
_WORDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}


class BadConfiguration(TriageError):
    """The table is not what the plugin takes; `line` is that of the rule file, from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class PluginFile(msgspec.Struct, frozen=True):
    """A plugin's name, its configuration, and the table that this was read from."""

    name: str
    configuration: Configuration
    table: ConstantTable

    def line(self, place: Place) -> int:
        """Return the line on which the value at `place` stands."""
        found: Given | None = None
        table: Value = self.table
        for step in place:
            if not isinstance(table, ConstantTable):
                break
            items = dict(enumerate(table.items)) if table.items else table.named
            found = items.get(step, found)  # type: ignore[arg-type]
            table = found.value if found is not None else 0
        return found.line if found is not None else self.table.line


def read_plugin(name: str, source: bytes) -> PluginFile:
    """Read a rule file (its whole text) that configures the plugin `name`.

    Raises:
        NotConstant: it is no table of constants.
        BadConfiguration: it is not what the plugin takes, or there is no such plugin.
    """
    kind = configuration_of(name)
    if kind is None:
        raise BadConfiguration(1, f"there is no plugin named {safe_line(name, 40)!r}")
    table = read_table(source)
    found = PluginFile(name, _settings(kind, table, ()), table)
    for place, problem in found.configuration.problems():
        raise BadConfiguration(found.line(place), f"{_dotted(place)}: {problem}")
    return found


def _dotted(place: Place) -> str:
    """Return how a place is written: "devices[1].path", counted from 1 as Lua does."""
    text = ""
    for step in place:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return safe_line(text, 120) or "the table"


@cache
def _hints(kind: type[Settings]) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _settings(kind: type[Settings], table: ConstantTable, place: Place) -> Any:
    hints = _hints(kind)
    if table.items:
        names = ", ".join(hints)
        raise BadConfiguration(
            table.items[0].line, f"{_dotted(place)}: a value without a name (there are: {names})"
        )
    for name, given in table.named.items():
        if name not in hints:
            told = f"there is no setting {safe_line(str(name), 60)!r} here, only {', '.join(hints)}"
            raise BadConfiguration(given.line, f"{_dotted(place)}: {told}" if place else told)
    values = {str(name): _value(hints[str(name)], one, (*place, name)) for name, one in table.named.items()}
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in values:
            raise BadConfiguration(table.line, f"{_dotted(place)}: the setting {field.name!r} is missing")
    return kind(**values)


def _value(annotation: Any, given: Given, place: Place) -> Any:
    plain, limits = annotation, []
    if get_origin(plain) is Annotated:
        plain, *limits = get_args(plain)
    choices = get_args(plain) if get_origin(plain) in (Union, types.UnionType) else (plain,)
    value = given.value
    if not isinstance(value, ConstantTable):
        return _leaf(annotation, given, place)
    for wrapped in choices:
        choice, bounds = wrapped, limits
        if get_origin(wrapped) is Annotated:
            choice, *bounds = get_args(wrapped)
        origin = get_origin(choice)
        found: Any
        if isinstance(choice, type) and issubclass(choice, Settings):
            return _settings(choice, value, place)
        if origin is list and not value.named:
            (inner,) = get_args(choice)
            found = [_value(inner, one, (*place, index)) for index, one in enumerate(value.items)]
        elif origin is dict and not value.items:
            key_kind, inner = get_args(choice)
            found = {
                _leaf(
                    key_kind, Given(one.line, key.encode() if isinstance(key, str) else key), (*place, key)
                ): _value(inner, one, (*place, key))
                for key, one in value.named.items()
            }
        else:
            continue
        _check_length(bounds, found, given.line, place)
        return found
    wanted = " or ".join(dict.fromkeys(_in_words(choice) for choice in choices if choice is not type(None)))
    raise BadConfiguration(given.line, f"{_dotted(place)}: {wanted} is wanted, not such a table")


def _in_words(annotation: Any) -> str:
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    origin = get_origin(plain)
    if origin is list:
        return "a list"
    if origin is dict or (isinstance(plain, type) and issubclass(plain, Settings)):
        return "a table with names"
    return _WORDS.get(getattr(plain, "__name__", ""), "another value")


def _check_length(limits: list[Any], found: list[Any] | dict[Any, Any], line: int, place: Place) -> None:
    for limit in limits:
        least, most = getattr(limit, "min_length", None), getattr(limit, "max_length", None)
        if least is not None and len(found) < least:
            raise BadConfiguration(line, f"{_dotted(place)}: at least {least} are wanted")
        if most is not None and len(found) > most:
            raise BadConfiguration(line, f"{_dotted(place)}: these are {len(found)}, at most {most} can be")


def _leaf(annotation: Any, given: Given, place: Place) -> Any:
    value = given.value.decode("latin-1") if isinstance(given.value, bytes) else given.value
    if isinstance(value, float) and value - value != 0:
        raise BadConfiguration(given.line, f"{_dotted(place)}: this number is too large")
    try:
        return msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        told = _why(str(error), annotation)
        raise BadConfiguration(given.line, f"{_dotted(place)}: {told}") from None


def _why(error: str, annotation: Any) -> str:
    """Return what msgspec says about a value in words of a rule file."""
    message = error.partition(" - at `")[0]
    found = _EXPECTED.fullmatch(message)
    if found is not None:
        wanted, got = (
            " or ".join(dict.fromkeys(map(_type_in_words, text.split(" | ")))) for text in found.groups()
        )
        return f"{wanted} is wanted, not {got}"
    for one in _within(annotation):
        if get_origin(one) is Literal:
            return f"one of {', '.join(map(str, get_args(one)))} is wanted"
        if isinstance(one, msgspec.Meta) and one.description:
            return f"{one.description} is wanted"
    return safe_line(
        message.replace("`int`", "a whole number").replace("`str`", "a text").replace("Expected", "expected"),
        200,
    )


def _within(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all that it is made of."""
    yield annotation
    for one in get_args(annotation):
        yield from _within(one)


def _type_in_words(name: str) -> str:
    return {**_WORDS, "array": "a list", "object": "a table", "null": "nothing"}.get(name, "another value")
