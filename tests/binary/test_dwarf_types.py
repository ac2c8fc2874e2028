"""Types of variables from debug information, on a program of the tests compiled with it."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from tests.programs import build
from triage_tui.binary.dwarf_types import VariableType, prototype, variable_type, variable_types
from triage_tui.binary.symbols import parse_image
from triage_tui.errors import TriageError

PROGRAMS = Path(__file__).parent / "programs"


def test_parameters_locals_and_globals_have_types() -> None:
    data = build("chain", "arm", "-g").read_bytes()
    starts = {symbol.name: symbol.start for symbol in parse_image(data).symbols}
    found = variable_type(data, "argv", starts["main"])
    assert found is not None
    assert (found.type, found.kind) == ("char **", "parameter")
    assert found.declared is not None
    assert found.declared.startswith("chain.c:")
    assert variable_type(data, "depth", starts["inner"]) is not None
    whole = variable_type(data, "result")
    assert isinstance(whole, VariableType)
    assert (whole.type, whole.kind) == ("volatile int", "global")
    assert variable_type(data, "argv", starts["inner"]) is None


def test_prototypes_and_each_variable_of_a_name() -> None:
    data = (PROGRAMS / "types.arm").read_bytes()
    starts = {symbol.name: symbol.start for symbol in parse_image(data).symbols}
    assert prototype(data, starts["start"]) == (
        "int start(const struct setting *given, enum state state, char **words,"
        " int (*tell)(const char *, int), ...)"
    )
    assert prototype(data, starts["stop"]) == "void stop(void)"
    assert prototype(data, starts["stop"] + 1000) is None
    found = variable_types(data, "count", starts["start"])
    assert [(one.type, one.declared) for one in found] == [
        ("unsigned char", "types.c:14"),
        ("int", "types.c:16"),
    ]


def test_without_debug_information_and_with_a_damaged_one_a_sentence_says_so() -> None:
    with pytest.raises(TriageError, match="no debug information"):
        variable_type((PROGRAMS / "imports.arm").read_bytes(), "argv")
    data = build("chain", "arm", "-g").read_bytes()
    starts = {symbol.name: symbol.start for symbol in parse_image(data).symbols}
    chance = random.Random(3)
    # The debug information stands behind what is loaded.
    at = max(one.offset + one.file_size for one in parse_image(data).segments)
    for _ in range(12):
        changed = bytearray(data)
        for _ in range(40):
            changed[chance.randrange(at, len(data))] = chance.randrange(256)
        with suppress(TriageError):
            variable_type(bytes(changed), "argv", starts["main"])
            prototype(bytes(changed), starts["main"])
