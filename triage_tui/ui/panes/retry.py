"""The retry pane: what was decided and done, the verdict with its reasons, and the live log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from triage_tui.runs.events import Event
from triage_tui.text import safe_line
from triage_tui.ui.loading import RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import ListRows, Part, Row, Rows, clip, fit, heading, join, wrapped
from triage_tui.ui.words import STATES

_EVENTS = {
    "captured": ("frozen and recorded", "info"),
    "diagnosed": ("diagnosed", "info"),
    "proposed": ("rules proposed", "accent"),
    "edited": ("rule edited", "accent"),
    "approved": ("approved", "good"),
    "rejected": ("rejected", "muted"),
    "activated": ("rules activated", "good"),
    "decision": ("decided", "accent"),
    "resumed": ("guest goes on", "info"),
    "retry_started": ("retry started", "warn"),
    "retry_finished": ("retry finished", "warn"),
    "rolled_back": ("rolled back", "muted"),
    "ended": ("guest ended", "muted"),
    "holder_lost": ("supervisor lost", "bad"),
    "needs_person": ("needs a person", "wait"),
}


def _text(value: Any, limit: int = 400) -> str:
    return safe_line(value if isinstance(value, str) else str(value)[: limit * 2], limit)


def _items(payload: dict[str, Any], *names: str) -> list[str]:
    for name in names:
        value = payload.get(name)
        if isinstance(value, list):
            return [_text(item) for item in value[:50]]
        if isinstance(value, str) and value:
            return [_text(value)]
    return []


def verdict_rows(events: Sequence[Event], width: int) -> list[Row]:
    """Return the last verdict: the word, the reasons, what was faked."""
    event = next((event for event in reversed(events) if event.kind == "retry_finished"), None)
    if event is None:
        return []
    verdict = _text(event.payload.get("verdict", "inconclusive"), 20)
    word, role = STATES.get(verdict, (verdict, "warn"))
    rows = [
        heading("Verdict", width),
        Row(
            (
                ("  ", ""),
                (word.upper(), role if role != "good" else "good"),
            )
        ),
    ]
    for reason in _items(event.payload, "reasons", "reason"):
        rows += wrapped("· " + reason, width, "", 2)
    faked = _items(event.payload, "faked", "what_was_faked")
    if faked:
        rows.append(Row((("  what was faked on the way", "muted"),)))
        for item in faked:
            rows += wrapped("◆ " + item, width, "warn", 2)
    child = event.payload.get("run_id", event.payload.get("child_run"))
    if isinstance(child, str):
        rows.append(
            Row((("  the new run is ", "muted"), (_text(child, 40), "strong")), target=("run", child))
        )
    return rows


def _history(events: Sequence[Event], width: int) -> list[Row]:
    rows = [heading("What happened", width)] if events else []
    for event in events[-200:]:
        word, role = _EVENTS.get(event.kind, (_text(event.kind, 20), "muted"))
        when = safe_line(event.wall[11:19], 8)
        parts: list[Part] = [(f"  {fit(when, 8)}  ", "faint"), (fit(word, 20), role), (" ", "")]
        detail = _detail(event)
        parts += [(clip(detail, max(8, width - 46)), ""), ("  " + _text(event.actor, 24), "faint")]
        rows.append(Row(tuple(parts)))
    return rows


def _detail(event: Event) -> str:
    for key in ("action", "reason", "verdict", "generation", "run_id"):
        if key in event.payload:
            value = event.payload[key]
            return f"generation {_text(value, 20)}" if key == "generation" else _text(value, 120)
    files = event.payload.get("files")
    return ", ".join(_text(name, 60) for name in files[:8]) if isinstance(files, list) else ""


def _log(view: RunView, width: int) -> list[Row]:
    if not view.retry_log:
        return []
    live = "live" if view.run.state == "retrying" else f"{len(view.retry_log)} lines"
    return [
        heading("Log", width, live),
        *(Row((("  ", ""), (line, _log_role(line)))) for line in view.retry_log),
    ]


def _log_role(line: str) -> str:
    low = line.lower()
    if any(word in low for word in ("error", "failed", "regressed")):
        return "bad"
    return "good" if any(word in low for word in ("progressed", "resolved")) else ""


def retry_rows(view: RunView, width: int) -> list[Row]:
    """Return verdict, history and log."""
    rows = join([verdict_rows(view.events, width), _history(view.events, width), _log(view, width)])
    return rows or wrapped(
        "This run was not retried. R runs the program again with the active rules.", width, "muted", 1
    )


class RetryPane(Pane):
    """Rounds, verdict and log; follows the log while the cursor is at its end."""

    NAME: ClassVar[str] = "retry"
    EMPTY: ClassVar[str] = "This run was not retried."
    FOLLOW: ClassVar[bool] = True

    def build(self, view: RunView) -> Rows:
        """Return the rows."""
        return ListRows(lambda width: retry_rows(view, width))
