"""Names and numbers of the guest's syscalls, from the generated data file `syscalls.json`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import MappingProxyType

_DATA = Path(__file__).with_name("syscalls.json")


@cache
def _tables() -> dict[str, dict[str, int]]:
    data: dict[str, dict[str, int]] = json.loads(_DATA.read_text(encoding="utf-8"))
    return data


@cache
def numbers(table: str) -> MappingProxyType[str, int]:
    """Return name -> number of the table `table` ("arm", "mipso32", ...). MIPS numbers include their base.

    Raises:
        KeyError: there is no such table.
    """
    return MappingProxyType(_tables()[table])


@cache
def names(table: str) -> MappingProxyType[int, str]:
    """Return number -> name of the table `table`.

    Raises:
        KeyError: there is no such table.
    """
    return MappingProxyType({number: name for name, number in numbers(table).items()})
