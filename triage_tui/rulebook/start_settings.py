"""Settings of a program's start that rules change: `start/SETTING@ID.lua`, one table of constants each.

    processor     return { model = "max" }                  `-cpu` of the emulator
    arguments     return { "httpd", "-f" }                  the whole vector, argv[0] first
    directory     return { path = "/www" }                  working directory in the guest's root
    environment   return { HOME = "/root", TZ = false }     false: the variable is gone
    user          return { id = 1000 }                      user and group
    interfaces    return { "eth0" }                         besides those that there are
    helpers       return { emulate = true }                 programs that the guest executes

Of the settings in `SINGLE` one rule can be active; environment and interfaces of several rules add up. Rules
come from anybody: all values are bounded here, and checked where they are applied once more.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeAlias, cast, get_args

import msgspec
from msgspec.structs import replace

from triage_tui.errors import TriageError
from triage_tui.rulebook import kinds, rulefile
from triage_tui.rulebook.lua.constants import ConstantTable, Given, Key, NotConstant, read_table
from triage_tui.rulebook.placeholders import unfilled
from triage_tui.text import number_of, safe_line

Setting = Literal["processor", "arguments", "directory", "environment", "user", "interfaces", "helpers"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)
SINGLE = frozenset(SETTINGS) - {"environment", "interfaces"}
"""Settings of which a start has one."""

MAX_ARGUMENTS = 256
MAX_TEXT = 4096
"""Bytes of one argument, value or path."""
MAX_ARGUMENT_BYTES = 32 << 10
"""Bytes of all arguments."""
MAX_VARIABLES = 64
MAX_INTERFACES = 16
MAX_USER = 65_535

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")

Value: TypeAlias = str | int | bool | tuple[str, ...] | dict[str, str | None]


class StartRule(msgspec.Struct, frozen=True):
    """One setting that a rule changes, with the id of the rule.

    `value` is the model, the path, the vector, the id or the names; of the environment it is a mapping of
    variables to their values, None for one that is to be gone. Texts may hold any byte as a surrogate escape,
    but no NUL.
    """

    rule: str
    setting: Setting
    value: Value
    sha256: str = ""
    """Of the rule's text."""
    template: str = ""
    """What its header says it was made from."""

    @property
    def says(self) -> str:
        """What the program is started with, printable: "processor model max"."""
        return safe_line(_WORDS[self.setting](self.value), 300)


def setting_of(name: str) -> Setting | None:
    """Return which setting a rule file called `name` is for, None for no such file."""
    found = kinds.FILE_NAME.fullmatch(name.rpartition("/")[2])
    setting = found["syscall"] if found is not None and kinds.kind_of(name) == "start" else ""
    return cast("Setting", setting) if setting in SETTINGS else None


def read_start_rule(name: str, source: bytes) -> StartRule:
    """Return what the rule file called `name` ("start/processor@start-processor.lua") changes.

    Raises:
        NotConstant: there is no such setting, or the text is no table of what it takes; has the line.
        TriageError: the header is broken.
    """
    setting = setting_of(name)
    if setting is None:
        known = ", ".join(SETTINGS)
        raise NotConstant(1, f"{safe_line(name, 80)} is for no setting of the start: it can be {known}")
    for line, wanted in unfilled(source):
        raise NotConstant(line, f"it is not filled in: {wanted}")
    header = rulefile.parse(source).header
    value = _READERS[setting](read_table(source))
    return StartRule(header.id, setting, value, hashlib.sha256(source).hexdigest(), header.template)


def start_rules(*layers: Mapping[str, bytes]) -> list[StartRule]:
    """Return the start settings among active rules (path to text), which make up layers.

    What an earlier layer sets, a later one does not change; of such a rule only the rest is returned.

    Raises:
        TriageError: one of them is none, or two of a layer set the same to different values; nothing of them
            is to be applied then.
    """
    found: list[StartRule] = []
    for layer in layers:
        of_layer = [
            _read(name, text) for name, text in sorted(layer.items()) if kinds.kind_of(name) == "start"
        ]
        for number, one in enumerate(of_layer):
            for other in of_layer[:number]:
                if (what := disagreement(one, other)) is not None:
                    told = f"the active rules {other.rule} and {one.rule} {what}: roll one of them back"
                    raise TriageError(told)
        found += [left for one in of_layer if (left := _without(one, found)) is not None]
    return found


def _read(name: str, source: bytes) -> StartRule:
    try:
        return read_start_rule(name, source)
    except NotConstant as error:
        raise TriageError(f"{safe_line(name, 100)}, line {error.line}: {error}") from None


def _without(rule: StartRule, before: Iterable[StartRule]) -> StartRule | None:
    """Return what is left of a rule once what is set `before` is left out, None for nothing."""
    same = [one for one in before if one.setting == rule.setting]
    if not isinstance(rule.value, dict):
        return None if same and rule.setting in SINGLE else rule
    known = {name for one in same if isinstance(one.value, dict) for name in one.value}
    left = {name: value for name, value in rule.value.items() if name not in known}
    return replace(rule, value=left) if left else None


def disagreement(one: StartRule, other: StartRule) -> str | None:
    """Return in words what two rules set to different values, None for nothing."""
    if one.setting != other.setting:
        return None
    if isinstance(one.value, dict) and isinstance(other.value, dict):
        names = [name for name, value in one.value.items() if other.value.get(name, value) != value]
        return f"both set the variable {names[0]}" if names else None
    return f"both set the {one.setting}" if one.setting in SINGLE and one.value != other.value else None


# The tables


def _text(given: Given, what: str, most: int = MAX_TEXT) -> str:
    if not isinstance(given.value, bytes):
        raise NotConstant(given.line, f"{what} must be a text")
    if b"\0" in given.value:
        raise NotConstant(given.line, f"{what} has a NUL byte")
    if len(given.value) > most:
        raise NotConstant(given.line, f"{what} has {len(given.value)} bytes, more than the {most} allowed")
    return given.value.decode("utf-8", "surrogateescape")


def _only(table: ConstantTable, key: str, what: str) -> Given:
    """Return the one value of a table `{ key = value }`."""
    for item in table.items:
        raise NotConstant(item.line, f"a value without a name: it is {{ {key} = {what} }}")
    for name, given in table.named.items():
        if name != key:
            raise NotConstant(given.line, f"{_shown(name)} is not known here: it is {{ {key} = {what} }}")
    if key not in table.named:
        raise NotConstant(table.line, f"{key} is missing: it is {{ {key} = {what} }}")
    return table.named[key]


def _listed(table: ConstantTable, most: int, what: str) -> list[Given]:
    for name, given in table.named.items():
        raise NotConstant(given.line, f"{_shown(name)} has a name here: it is a list of {what}")
    if not 1 <= len(table.items) <= most:
        count = number_of(len(table.items), "value")
        raise NotConstant(table.line, f"these are {count}: it is a list of 1 to {most} {what}")
    return table.items


def _shown(name: Key) -> str:
    return repr(safe_line(str(name), 60))


def _processor(table: ConstantTable) -> Value:
    given = _only(table, "model", '"NAME"')
    model = _text(given, "the processor model")
    if model == "help":
        raise NotConstant(
            given.line, "help is no processor model: the emulator would list its models and end"
        )
    if not _MODEL.fullmatch(model):
        raise NotConstant(
            given.line, f"{_shown(model)} is no name of a processor model: letters, digits and ._+- only"
        )
    return model


def _arguments(table: ConstantTable) -> Value:
    items = _listed(table, MAX_ARGUMENTS, "arguments, the program's own name first")
    found = tuple(_text(given, f"argument {number}") for number, given in enumerate(items))
    total = sum(len(text.encode("utf-8", "surrogateescape")) + 1 for text in found)
    if total > MAX_ARGUMENT_BYTES:
        raise NotConstant(
            table.line, f"the arguments have {total} bytes, more than the {MAX_ARGUMENT_BYTES} allowed"
        )
    return found


def _directory(table: ConstantTable) -> Value:
    given = _only(table, "path", '"/DIRECTORY"')
    path = _text(given, "the working directory")
    if not path.startswith("/") or ".." in path.split("/"):
        raise NotConstant(
            given.line, f"{_shown(path)} is no absolute path without `..`: it is one inside the guest's root"
        )
    return path


def _environment(table: ConstantTable) -> Value:
    for item in table.items:
        raise NotConstant(item.line, 'a value without a name: it is { NAME = "VALUE" }')
    if not 1 <= len(table.named) <= MAX_VARIABLES:
        raise NotConstant(
            table.line, f"these are {len(table.named)} variables: 1 to {MAX_VARIABLES} can be set"
        )
    found: dict[str, str | None] = {}
    for name, given in table.named.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise NotConstant(
                given.line, f"{_shown(name)} is no name of a variable: letters, digits and _ only"
            )
        if name.startswith("QEMU_"):
            raise NotConstant(given.line, f"{name} would change the emulator: leave it out")
        found[name] = None if given.value is False else _text(given, f"the value of {name}")
    return found


def _user(table: ConstantTable) -> Value:
    given = _only(table, "id", "NUMBER")
    if type(given.value) is not int or not 0 <= given.value <= MAX_USER:
        raise NotConstant(given.line, f"the user's id must be a whole number of 0 to {MAX_USER}")
    return given.value


def _interfaces(table: ConstantTable) -> Value:
    items = _listed(table, MAX_INTERFACES, "names of interfaces")
    found = tuple(_text(given, f"interface {number}") for number, given in enumerate(items, 1))
    for name, given in zip(found, items, strict=True):
        if not _INTERFACE.fullmatch(name) or name == "lo":
            raise NotConstant(
                given.line,
                f"{_shown(name)} is no name for another network interface: up to 15 letters, digits and ._-,"
                " and not lo",
            )
    if len(set(found)) != len(found):
        raise NotConstant(table.line, "an interface is there twice")
    return found


def _helpers(table: ConstantTable) -> Value:
    given = _only(table, "emulate", "true or false")
    if not isinstance(given.value, bool):
        raise NotConstant(given.line, "emulate must be true or false")
    return given.value


_READERS: dict[Setting, Callable[[ConstantTable], Value]] = {
    "processor": _processor,
    "arguments": _arguments,
    "directory": _directory,
    "environment": _environment,
    "user": _user,
    "interfaces": _interfaces,
    "helpers": _helpers,
}


def _variables(value: Value) -> str:
    assert isinstance(value, dict)
    # Values may be secrets, and the record holds none: who may see them reads the rule.
    return ", ".join(f"without {name}" if text is None else f"{name} set" for name, text in value.items())


def _quoted(value: Value) -> str:
    assert isinstance(value, tuple)
    return shlex.join(value)


def _names(value: Value) -> str:
    assert isinstance(value, tuple)
    return " ".join(value)


_WORDS: dict[Setting, Callable[[Value], str]] = {
    "processor": lambda value: f"processor model {value}",
    "arguments": lambda value: f"arguments {_quoted(value)}",
    "directory": lambda value: f"working directory {value}",
    "environment": lambda value: f"environment {_variables(value)}",
    "user": lambda value: f"user {value}",
    "interfaces": lambda value: f"network interface {_names(value)}",
    "helpers": lambda value: "its programs under their emulator" if value else "its programs refused",
}
