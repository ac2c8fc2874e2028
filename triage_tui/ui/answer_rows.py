"""What a tool answered, as rows: fields, lists, code; what leads to evidence or code can be followed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rich.cells import cell_len

from triage_tui.text import safe_line
from triage_tui.ui.rows import BLANK, Row, fit, heading, wrap_parts

MAX_TEXT = 4000
_LABEL = 22
_CELL = 30
_LINKS = ("evidence", "link")
_CODE_ADDRESSES = ("site", "address", "file_address", "end")
_LISTED = re.compile(r"\s*(?:=>)?\s*(?:0x)?([0-9a-f]{4,16})\b")


class AnswerRows:
    """Makes the rows of one answer."""

    def __init__(self, values: Mapping[str, Any], biases: Mapping[str, int], width: int) -> None:
        self._values = values
        self._biases = biases
        self._width = max(30, width - 1)
        module = values.get("module")
        self._module = module if isinstance(module, str) else ""

    def rows(self) -> list[Row]:
        """Return all rows."""
        if "error" in self._values:
            return list(self._lines(str(self._values["error"]), 0, "bad"))
        made: list[Row] = []
        for name, value in self._values.items():
            made += self._named(str(name), value, 0)
        return made or [Row((("The answer is empty.", "muted"),))]

    def _named(self, name: str, value: Any, indent: int) -> Iterator[Row]:
        label = safe_line(name.replace("_", " "), 60)
        if isinstance(value, str) and "\n" in value:
            yield from (BLANK, heading(label, self._width))
            yield from self._block(name, value)
        elif isinstance(value, dict):
            yield from (BLANK, Row(((" " * indent + label, "strong"),)))
            for key, item in value.items():
                yield from self._named(str(key), item, indent + 2)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from (BLANK, heading(f"{label}  {len(value)}", self._width))
            yield from self._table(value)
        elif isinstance(value, list) and value:
            yield from (BLANK, heading(f"{label}  {len(value)}", self._width))
            for item in value:
                text = _plain(item)
                yield from self._lines(text, 1, link=text if text.startswith("ev:") else "")
        else:
            yield from self._field(name, label, value, indent)

    def _field(self, name: str, label: str, value: Any, indent: int) -> Iterator[Row]:
        head = fit(" " * indent + label, max(_LABEL, cell_len(label) + indent + 1))
        link = self._link({name: value} | ({"module": self._module} if self._module else {}))
        role = "link" if link else ""
        lines = wrap_parts([(_plain(value), role)], max(8, self._width - len(head)))
        for number, parts in enumerate(lines):
            row = ((head if number == 0 else " " * len(head), "muted"), *parts)
            yield Row(row, links=_whole(link, self._width))

    def _block(self, name: str, text: str) -> Iterator[Row]:
        """Return lines of code or of a file, with their numbers."""
        first = self._values.get("start_line", 1)
        bias = self._biases.get(self._module)
        listed = name == "source" and self._values.get("kind") == "disassembly" and bias is not None
        for number, line in enumerate(text.split("\n"), first if isinstance(first, int) else 1):
            found = _LISTED.match(line) if listed else None
            link = f"ev:code/{int(found[1], 16) + (bias or 0):#x}" if found is not None else ""
            shown = safe_line(line.expandtabs(4), MAX_TEXT)
            yield Row(
                ((f"{number:>5}  ", "faint"), (shown, "")), links=_whole(link, self._width), whole=shown
            )

    def _table(self, items: list[Any]) -> Iterator[Row]:
        rows = [item if isinstance(item, dict) else {"": item} for item in items]
        nested = {key for row in rows for key, item in row.items() if _is_nested(item)}
        names = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in nested]
        shown = [name for name in names if name not in _LINKS or len(names) == 1]
        widths = {
            name: min(_CELL, max(len(name), *(cell_len(_plain(row.get(name))) for row in rows)))
            for name in shown
        }
        # What is longest has the rest of the line, and is last.
        shown.sort(key=lambda name: widths[name] >= _CELL)
        titles = "  ".join(fit(name.replace("_", " "), widths[name]) for name in shown)
        if len(shown) > 1:
            yield Row(((f" {titles}".rstrip()[: self._width], "muted"),))
        for row in rows:
            yield from self._entry(row, shown, widths)
            for key in nested & row.keys():
                for item in row[key]:
                    inside = item if isinstance(item, dict) else {"": item}
                    text = "  ".join(_plain(one) for name, one in inside.items() if name not in _LINKS)
                    link = self._link(inside | {"module": row.get("module", self._module)})
                    told = f"{key.replace('_', ' ')}  {text or _plain(inside.get('link'))}"
                    yield from self._lines(told, 6, "link" if link else "muted", link)

    def _entry(self, row: Mapping[str, Any], shown: list[str], widths: Mapping[str, int]) -> Iterator[Row]:
        link = self._link({"module": self._module, **row})
        role = "link" if link else ""
        cells = []
        for name in shown[:-1]:
            text = _plain(row.get(name))
            cells.append(f"{text}{' ' * (widths[name] - cell_len(text))}")
        last = _plain(row.get(shown[-1])) if shown else ""
        hang = sum(cell_len(cell) + 2 for cell in cells) + 1
        yield from self._lines("  ".join([*cells, last]), 1, role, link, min(hang, self._width // 2))

    def _lines(self, text: str, indent: int, role: str = "", link: str = "", hang: int = 0) -> Iterator[Row]:
        first, rest = " " * indent, " " * max(hang, indent)
        whole = safe_line(text, MAX_TEXT)
        if cell_len(whole) + indent <= self._width:
            # Blanks between its columns stay.
            yield Row(((first, ""), (whole, role)), links=_whole(link, self._width), whole=whole)
            return
        for parts in wrap_parts([(whole, role or ("link" if link else ""))], self._width, first, rest):
            yield Row(parts, links=_whole(link, self._width), whole=whole)

    def _link(self, row: Mapping[str, Any]) -> str:
        """Return where an entry leads to: its evidence, or its code as it lay in the run; "" for nowhere."""
        for name in _LINKS:
            if isinstance(link := row.get(name), str) and link.startswith("ev:"):
                return link
        if (there := _number(row.get("address_in_run"))) is not None:
            return f"ev:code/{there:#x}"
        bias = self._biases.get(row.get("module") or self._module)
        # That of a string is an address of data.
        names = _CODE_ADDRESSES if "text" not in row or "function_name" in row else ("site",)
        address = next((at for name in names if (at := _number(row.get(name))) is not None), None)
        return "" if bias is None or address is None else f"ev:code/{address + bias:#x}"


def _number(value: Any) -> int | None:
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-f]{1,16}", value):
        return None
    return int(value, 16)


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def _whole(link: str, width: int) -> tuple[tuple[int, int, str], ...]:
    return ((0, width + 1, link),) if link else ()


def _plain(value: Any) -> str:
    """Return a value as one line of safe text."""
    if value == []:
        return "none"
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return safe_line(", ".join(_plain(item) for item in value), MAX_TEXT)
    if isinstance(value, dict):
        return safe_line(" ".join(_plain(item) for item in value.values()), MAX_TEXT)
    return safe_line(str(value), MAX_TEXT)
