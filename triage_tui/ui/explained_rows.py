"""Why a run is diagnosed so and not otherwise, as rows whose facts can be followed."""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.diagnosis.knowledge_base.explained_lines import Line
from triage_tui.text import safe_line
from triage_tui.ui.rows import BLANK, Row, wrap_parts

_ROLES = {"entry": "strong", "held": "", "failed": "muted"}


def explained_rows(lines: Sequence[Line], width: int) -> list[Row]:
    """Return the lines of an explanation, wrapped; Enter on a fact goes to it."""
    rows: list[Row] = []
    for line in lines:
        text = safe_line(line.text, 2000)
        if not text:
            rows.append(BLANK)
            continue
        role = "link" if line.link else _ROLES.get(line.role, "muted")
        first, rest = " " * line.indent, " " * (line.indent + line.hang)
        for parts in wrap_parts([(text, role)], max(20, width - 1), first, rest):
            links = ((0, width, line.link),) if line.link else ()
            rows.append(Row(parts, links=links, whole=text))
    return rows
