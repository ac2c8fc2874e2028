"""Suspicious points of a run as rows: what is suspected, by whom, on what evidence, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from triage_tui.text import safe_line
from triage_tui.ui.rows import BLANK, Row, field, heading, wrap_parts

if TYPE_CHECKING:
    from triage_tui.runs.suspicious_points import SuspiciousPoint

STATE_WORDS = {"open": "open", "confirmed": "confirmed", "refuted": "dismissed"}
_ROLES = {"open": "warn", "confirmed": "bad", "refuted": "muted"}
_COLUMN = 11


def author(actor: str) -> str:
    """Return who noted something, in words: a model is never taken for a person."""
    if actor == "agent":
        return "an outside agent (a model's)"
    kind, _, name = actor.partition(" ")
    if kind == "model":
        return f"a model ({safe_line(name, 60)})" if name else "a model"
    return safe_line(actor or "somebody", 60)


def by_model(point: SuspiciousPoint) -> bool:
    """Whether a point was noted by a model, or by an agent that one drives."""
    actor = point.history[0].actor if point.history else ""
    return actor == "agent" or actor.partition(" ")[0] == "model"


def point_rows(points: Sequence[SuspiciousPoint], trouble: str, width: int) -> list[Row]:
    """Return the rows of all points; those of one point have its id as target."""
    rows: list[Row] = []
    if trouble:
        rows += [Row(parts) for parts in wrap_parts([(safe_line(trouble, 400), "bad")], width - 1)]
    for point in points:
        rows += [BLANK] if rows else []
        rows += _rows(point, width)
    return rows


def _rows(point: SuspiciousPoint, width: int) -> list[Row]:
    noted = point.history[0].actor if point.history else ""
    title = f"{safe_line(point.id, 20)}  {safe_line(point.function_name, 60)}"
    rows = [heading(title, width, f"{STATE_WORDS[point.state]}  {point.score:.2f}", point.id)]

    def add(label: str, text: str, role: str = "") -> None:
        rows.extend(field(label, text, width, role, _COLUMN, point.id))

    add("noted by", author(noted), "model" if by_model(point) else "")
    add("state", STATE_WORDS[point.state], _ROLES[point.state])
    if point.module:
        add("file", safe_line(point.module, 300))
    if point.cause:
        add("cause", safe_line(point.cause, 80))
    add("why", safe_line(point.description, 4000))
    if point.important_controlflow:
        add("through", " > ".join(safe_line(one, 100) for one in point.important_controlflow))
    if point.notes:
        add("then", safe_line(point.notes, 4000))
    for one in point.evidence:
        # What a model cites and the record has not never looks like evidence.
        sign, role = ("●", "link") if one.supported else ("✗ unsupported:", "bad")
        text = f"{sign} {safe_line(one.says or one.link, 200)}"
        links = ((0, width, one.link),) if one.supported else ()
        made = field("evidence", text, width, role, _COLUMN, point.id)
        rows += [row._replace(links=links) for row in made]
    if not point.evidence:
        add("evidence", "none is cited", "muted")
    for change in point.history[1:]:
        what = ", ".join(
            f"{safe_line(name.replace('_', ' '), 30)} was {safe_line(text or '(empty)', 60)}"
            for name, text in change.before.items()
        )
        add("history", f"{safe_line(change.wall, 25)}  {author(change.actor)}: {what}", "muted")
    return rows
