"""Print answers of tools and of the index so that a person can read them, and how far a long one is."""

from __future__ import annotations

import time
from typing import Any

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.text import safe_block, safe_line

_FIRST_S = 1.0
_EVERY_S = 2.0


class ProgressLines:
    """Narrates what takes longer than a second, and then not more often than every two."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + _FIRST_S

    def __call__(self, doing: str, share: float) -> None:
        """Tell what is done, and the share of the whole that is done."""
        self.line(f"{self._what}: {doing}, {share:.0%}")

    def line(self, text: str) -> None:
        """Tell a line of raw text, if it is time for one."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_S
            say(text)


def print_answer(answer: dict[str, Any], *, as_json: bool) -> None:
    """Print an answer, as one line of JSON or field by field."""
    if as_json:
        print_json(answer)
        return
    for name, value in answer.items():
        _print(name, value, "")


def _print(name: str, value: Any, indent: str) -> None:
    if isinstance(value, str) and "\n" in value:
        print(f"{indent}{safe_line(name)}:")
        print(safe_block(value))
    elif isinstance(value, dict):
        print(f"{indent}{safe_line(name)}:")
        for key, item in value.items():
            _print(key, item, indent + "  ")
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        print(f"{indent}{safe_line(name)}:")
        columns = list(dict.fromkeys(key for item in value for key in item))
        rows = [[_cell(item.get(key)) for key in columns] for item in value]
        print_table([key.upper().replace("_", " ") for key in columns], rows)
    elif isinstance(value, list) and len(value) > 6:
        print(f"{indent}{safe_line(name)}:")
        for item in value:
            print(f"{indent}  {_cell(item)}")
    else:
        print(f"{indent}{safe_line(name)}: {_cell(value)}")


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(_cell(item) for item in value.values() if item not in (None, "", []))
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value) or "-"
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return safe_line(str(value))
