"""Types of variables and prototypes from debug information (DWARF 2 to 5), where a file has it.

A file may lie about all of it: how much is looked at is bounded, and what cannot be read is not known.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

import msgspec
from elftools.elf.elffile import ELFFile

from triage_tui.binary.symbols import MAX_SECTIONS
from triage_tui.errors import TriageError

MAX_DEBUG = 64 << 20
"""Bytes of debug information that are looked at."""
SECONDS = 20.0
"""Time after which looking is given up."""
_MAX_ENTRIES = 3_000_000
_MAX_PARAMETERS = 40
_T = TypeVar("_T")
_MAX_DEPTH = 12
_VARIABLES = ("DW_TAG_variable", "DW_TAG_formal_parameter")
_ORIGINS = ("DW_AT_abstract_origin", "DW_AT_specification")
"""What leads from an entry to where it is declared."""
_QUALIFIERS = {
    "DW_TAG_const_type": "const",
    "DW_TAG_volatile_type": "volatile",
    "DW_TAG_restrict_type": "restrict",
    "DW_TAG_atomic_type": "_Atomic",
}
_KINDS = {
    "DW_TAG_structure_type": "struct",
    "DW_TAG_union_type": "union",
    "DW_TAG_enumeration_type": "enum",
    "DW_TAG_class_type": "class",
}


class VariableType(msgspec.Struct, frozen=True):
    """What the debug information says of one variable; texts are raw."""

    type: str
    kind: Literal["parameter", "local", "global"]
    declared: str | None
    """File and line of its declaration, "main.c:12"."""


MAX_SAME = 20
"""Variables of one name in one function that are told."""


def variable_type(data: bytes, name: str, function: int | None = None) -> VariableType | None:
    """Return the type of a variable of the function that begins at a file address, or of a global one.

    None where the debug information has no such variable; the first one where it has several.

    Raises:
        TriageError: the file has no debug information, or it cannot be read.
    """
    found = variable_types(data, name, function)
    return found[0] if found else None


def variable_types(data: bytes, name: str, function: int | None = None) -> list[VariableType]:
    """Return the types of all variables of a name: blocks within a function may each have their own.

    Raises:
        TriageError: as `variable_type`.
    """
    return _understood(data, lambda dwarf: _Search(dwarf, name, function).run())


def prototype(data: bytes, function: int) -> str | None:
    """Return the prototype of the function that begins at a file address, as C writes it, None if unknown.

    Raises:
        TriageError: as `variable_type`.
    """
    return _understood(data, lambda dwarf: _Search(dwarf, "", function).prototype())


def _understood(data: bytes, ask: Callable[[Any], _T]) -> _T:
    # pyelftools raises whatever its parsers meet in a damaged file.
    try:
        return ask(_debug_information(data))
    except TriageError:
        raise
    except Exception as error:
        raise TriageError(f"its debug information is damaged ({type(error).__name__})") from error


def _debug_information(data: bytes) -> Any:
    elf = ELFFile(io.BytesIO(data))
    if elf.num_sections() > MAX_SECTIONS:
        raise TriageError("the file has no debug information, so types of variables are not known")
    size = 0
    for section in elf.iter_sections():
        if section.name.startswith((".debug_", ".zdebug_")):
            # A compressed section says how large it will be; it may lie, but is never read past that.
            size += section.data_size
    if not elf.has_dwarf_info() or not size:
        raise TriageError("the file has no debug information, so types of variables are not known")
    if size > MAX_DEBUG:
        raise TriageError(f"its debug information is larger than {MAX_DEBUG >> 20} MiB, so it is not read")
    return elf.get_dwarf_info(follow_links=False)


class _Search:
    """One walk through the debug information."""

    def __init__(self, dwarf: Any, name: str, function: int | None) -> None:
        self._dwarf = dwarf
        self._name = name.encode("utf-8", "surrogateescape")
        self._function = function
        self._end = time.monotonic() + SECONDS
        self._left = _MAX_ENTRIES

    def run(self) -> list[VariableType]:
        for unit, entry in self._entries():
            if found := self._in(unit, entry):
                return found
        return []

    def prototype(self) -> str | None:
        for _, entry in self._entries():
            if self._is_function(entry):
                return self._prototype(entry)
        return None

    def _entries(self) -> Iterator[tuple[Any, Any]]:
        """Yield what stands at the top of each unit, with the unit."""
        for unit in self._dwarf.iter_CUs():
            self._spend()
            for entry in unit.get_top_DIE().iter_children():
                self._spend()
                yield unit, entry

    def _is_function(self, entry: Any) -> bool:
        """Say whether an entry is the function that is asked for."""
        low = entry.attributes.get("DW_AT_low_pc")
        if entry.tag != "DW_TAG_subprogram" or low is None or self._function is None:
            return False
        return bool(low.value & ~1 == self._function & ~1)

    def _prototype(self, entry: Any) -> str:
        name = self._name_of(entry)
        parameters = []
        for child in entry.iter_children():
            self._spend()
            if child.tag == "DW_TAG_formal_parameter":
                parameters.append(_declaration(self._type(self._typed(child), 0), self._name_of(child)))
            elif child.tag == "DW_TAG_unspecified_parameters":
                parameters.append("...")
            if len(parameters) > _MAX_PARAMETERS:
                parameters[-1] = "..."
                break
        result = self._type(self._typed(entry), 0)
        return f"{_declaration(result, name)}({', '.join(parameters) or 'void'})"

    def _name_of(self, entry: Any) -> str:
        """Return the name of an entry, which may stand where it is declared."""
        for _ in range(3):
            known = entry.attributes.get("DW_AT_name")
            if known is not None:
                return str(known.value.decode("utf-8", "backslashreplace"))
            further = [one for one in _ORIGINS if one in entry.attributes]
            if not further:
                break
            entry = entry.get_DIE_from_attribute(further[0])
        return ""

    def _typed(self, entry: Any) -> Any:
        """Return the entry that has the type of this one."""
        if "DW_AT_type" not in entry.attributes:
            for other in _ORIGINS:
                if other in entry.attributes:
                    return entry.get_DIE_from_attribute(other)
        return entry

    def _spend(self) -> None:
        self._left -= 1
        if self._left <= 0 or (self._left % 256 == 0 and time.monotonic() > self._end):
            raise TriageError("its debug information is too long to be gone through")

    def _in(self, unit: Any, entry: Any) -> list[VariableType]:
        if self._function is None:
            named = entry.tag == "DW_TAG_variable" and self._is_named(entry)
            return [self._told(unit, entry, "global")] if named else []
        found: list[VariableType] = []
        if self._is_function(entry):
            self._local(unit, entry, 0, found)
        return found

    def _local(self, unit: Any, entry: Any, depth: int, found: list[VariableType]) -> None:
        for child in entry.iter_children():
            self._spend()
            if child.tag in _VARIABLES and self._is_named(child):
                kind: Literal["parameter", "local"]
                kind = "parameter" if child.tag == "DW_TAG_formal_parameter" else "local"
                if len(found) < MAX_SAME:
                    found.append(self._told(unit, child, kind))
            if child.has_children and depth < _MAX_DEPTH:
                self._local(unit, child, depth + 1, found)

    def _is_named(self, entry: Any) -> bool:
        name = entry.attributes.get("DW_AT_name")
        if name is None and "DW_AT_abstract_origin" in entry.attributes:
            name = entry.get_DIE_from_attribute("DW_AT_abstract_origin").attributes.get("DW_AT_name")
        return name is not None and bool(name.value == self._name)

    def _told(self, unit: Any, entry: Any, kind: Literal["parameter", "local", "global"]) -> VariableType:
        entry = self._typed(entry)
        return VariableType(self._type(entry, 0), kind, self._declared(unit, entry))

    def _type(self, entry: Any, depth: int) -> str:
        """Return the type that an entry refers to, as C writes it."""
        if "DW_AT_type" not in entry.attributes:
            return "void"
        if depth > _MAX_DEPTH:
            return "..."
        self._spend()
        kind = entry.get_DIE_from_attribute("DW_AT_type")
        name = kind.attributes.get("DW_AT_name")
        text = name.value.decode("utf-8", "backslashreplace") if name is not None else ""
        tag = kind.tag
        if tag in ("DW_TAG_pointer_type", "DW_TAG_reference_type"):
            inner = self._type(kind, depth + 1)
            mark = "*" if tag == "DW_TAG_pointer_type" else "&"
            if inner.endswith(")") and "(*)" not in inner:
                return inner.replace("(", "(*)(", 1)
            return f"{inner}{'' if inner.endswith('*') else ' '}{mark}"
        if tag in _QUALIFIERS:
            inner = self._type(kind, depth + 1)
            return f"{inner} {_QUALIFIERS[tag]}" if inner.endswith("*") else f"{_QUALIFIERS[tag]} {inner}"
        if tag == "DW_TAG_array_type":
            return self._type(kind, depth + 1) + self._bounds(kind)
        if tag == "DW_TAG_subroutine_type":
            parameters = [
                self._type(child, depth + 1) if child.tag == "DW_TAG_formal_parameter" else "..."
                for child in list(kind.iter_children())[:20]
            ]
            return f"{self._type(kind, depth + 1)} ({', '.join(parameters) or 'void'})"
        if tag in _KINDS:
            return f"{_KINDS[tag]} {text or '(unnamed)'}"
        return text or tag.removeprefix("DW_TAG_")

    def _bounds(self, array: Any) -> str:
        bounds = ""
        for child in list(array.iter_children())[:8]:
            if child.tag == "DW_TAG_subrange_type":
                upper, count = (child.attributes.get(name) for name in ("DW_AT_upper_bound", "DW_AT_count"))
                size = ""
                if upper is not None and isinstance(upper.value, int):
                    size = str(upper.value + 1)
                elif count is not None and isinstance(count.value, int):
                    size = str(count.value)
                bounds += f"[{size}]"
        return bounds or "[]"

    def _declared(self, unit: Any, entry: Any) -> str | None:
        line = entry.attributes.get("DW_AT_decl_line")
        number = entry.attributes.get("DW_AT_decl_file")
        if line is None:
            return None
        name = ""
        program = self._dwarf.line_program_for_CU(unit) if number is not None else None
        if program is not None:
            files = program["file_entry"]
            # DWARF 5 counts files from 0, older versions from 1.
            place = number.value - (0 if program["version"] >= 5 else 1)
            if 0 <= place < len(files):
                name = files[place].name.decode("utf-8", "backslashreplace")
        return f"{name or '?'}:{line.value}"


def _declaration(kind: str, name: str) -> str:
    """Return a type with a name, as C declares it."""
    if not name:
        return kind
    if "(*)" in kind:
        return kind.replace("(*)", f"(*{name})", 1)
    if kind.endswith("]"):
        plain, bracket, bounds = kind.partition("[")
        return f"{plain} {name}{bracket}{bounds}"
    return f"{kind}{'' if kind.endswith('*') else ' '}{name}"
