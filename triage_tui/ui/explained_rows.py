"""Why a run is diagnosed so and not otherwise, as rows whose facts can be followed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from triage_tui.diagnosis.knowledge_base.explained_lines import Line
from triage_tui.text import safe_line
from triage_tui.ui.rows import BLANK, Row, wrap_parts

STEP = "step:"
"""What a link begins with that leads to another line of the same sheet: its number follows."""
_ROLES = {"entry": "strong", "held": "", "failed": "muted", "because": "link"}
_NUMBER = re.compile(r"[0-9]+")


def explained_rows(lines: Sequence[Line], width: int) -> list[Row]:
    """Return the lines of an explanation, wrapped; Enter on a fact goes to it, on a number to that line."""
    rows: list[Row] = []
    for line in lines:
        text = safe_line(line.text, 2000)
        if not text:
            rows.append(BLANK)
            continue
        role = "link" if line.link else _ROLES.get(line.role, "muted")
        first, rest = " " * line.indent, " " * (line.indent + line.hang)
        for place, parts in enumerate(wrap_parts([(text, role)], max(20, width - 1), first, rest)):
            links: tuple[tuple[int, int, str], ...] = ((0, width, line.link),) if line.link else ()
            if line.role == "because":
                shown = "".join(part for part, _ in parts)
                links = tuple((*hit.span(), f"{STEP}{hit[0]}") for hit in _NUMBER.finditer(shown))
            # What is continued on further rows is gone to at its first.
            target = line.number if line.number and place == 0 else None
            rows.append(Row(parts, target=target, links=links, whole=text))
    return rows
