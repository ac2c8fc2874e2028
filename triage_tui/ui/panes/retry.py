"""The retry pane: the verdict with its reasons, what was decided and done, and the live log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from triage_tui.runs.events import Event
from triage_tui.runs.rule_account import rule_account
from triage_tui.text import safe_line
from triage_tui.ui.loading import RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rounds import ladder_rows
from triage_tui.ui.rows import ListRows, Part, Row, Rows, fit, heading, join, short, wrap_parts, wrapped
from triage_tui.ui.words import STATES

MAX_LOG_LINES, MAX_LOG_LINE = 2000, 600
"""Lines of the log that are laid out, the last ones, and characters of each."""

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


def _verdict_rows(payload: dict[str, Any], title: str, width: int) -> list[Row]:
    verdict = _text(payload.get("word", payload.get("verdict", "inconclusive")), 40)
    word, role = STATES.get(verdict, (verdict, "warn"))
    head: list[Part] = [("  ", ""), (word.upper(), role)]
    if isinstance(payload.get("rung"), str):
        head += [("  ", ""), (_text(payload["rung"], 100), "muted")]
    rows = [heading(title, width), Row(tuple(head))]
    for reason in _items(payload, "reasons"):
        rows += wrapped("· " + reason, width, "", 2)
    faked = _items(payload, "masked", "faked")
    if faked:
        rows.append(Row((("  masked, not fixed", "muted"),)))
        for item in faked:
            rows += wrapped("◆ " + item, width, "warn", 2)
    return rows


def own_verdict(view: RunView, width: int) -> list[Row]:
    """Return how this run compares with the one that it retries."""
    parent = view.snapshot.parent_run
    if not view.verdict:
        return []
    rows = _verdict_rows(view.verdict, f"Round {view.snapshot.round} against the one before", width)
    if parent:
        target = ("run", parent)
        rows.append(Row((("  the round before was ", "muted"), (short(parent, 40), "link")), target))
    return rows


def retry_verdict(events: Sequence[Event], width: int) -> list[Row]:
    """Return the verdict on the last retry of this run: the word, the reasons, the run it led to."""
    event = next((event for event in reversed(events) if event.kind == "retry_finished"), None)
    if event is None:
        return []
    rows = _verdict_rows(event.payload, "Retry of this run", width)
    child = event.payload.get("run")
    if isinstance(child, str):
        rows.append(Row((("  it led to ", "muted"), (_text(child, 40), "link")), ("run", child)))
    return rows


def _accounts(view: RunView, width: int) -> list[Row]:
    """Return what the rules of this round did and cost, where the run says so."""
    told = [(hit, account) for hit in view.snapshot.rule_hits[:64] if (account := rule_account(hit))]
    rows = [heading("Rules in this round", width)] if told else []
    for hit, account in told:
        off = hit.state == "disabled"
        rows.append(
            Row(
                (
                    ("  ", ""),
                    (short(hit.rule, 80), "bad" if off else "good"),
                    (f"  {hit.hits} hits", "number"),
                )
            )
        )
        if hit.disabled:
            rows += wrapped(safe_line(hit.disabled, 200), width, "bad" if off else "muted", 4)
        rows += wrapped(account, width, "muted", 4)
    return rows


def _history(events: Sequence[Event], width: int) -> list[Row]:
    rows = [heading("What happened", width)] if events else []
    for event in events[-200:]:
        word, role = _EVENTS.get(event.kind, (_text(event.kind, 20), "muted"))
        when = short(event.wall[11:19], 8)
        head: list[Part] = [(f"  {fit(when, 8)}  ", "faint"), (fit(word, 20), role), (" ", "")]
        detail, actor = _detail(event), short(event.actor, 16)
        room = max(8, width - 34 - len(actor))
        parts: list[Part] = [*head, (fit(detail, room), ""), (" " + actor, "faint")]
        rows.append(Row(tuple(parts)))
    return rows


def _detail(event: Event) -> str:
    for key in ("action", "reason", "why", "verdict", "generation", "file"):
        if key in event.payload:
            value = event.payload[key]
            return f"generation {_text(value, 20)}" if key == "generation" else _text(value, 120)
    files = event.payload.get("files")
    names = list(files)[:8] if isinstance(files, list | dict) else []
    return ", ".join(_text(name, 60) for name in names)


def _log(view: RunView, width: int) -> list[Row]:
    if not view.retry_log:
        return []
    live = "live" if view.run.state == "retrying" else f"{len(view.retry_log)} lines"
    rows = [heading("Log", width, live)]
    if (hidden := len(view.retry_log) - MAX_LOG_LINES) > 0:
        rows += wrapped(f"… {hidden} earlier lines are left out here", width, "muted", 2)
    for line in view.retry_log[-MAX_LOG_LINES:]:
        text, role = safe_line(line, MAX_LOG_LINE), _log_role(line)
        rows += [Row(parts) for parts in wrap_parts([(text, role)], width, "  ", " " * 11)]
    return rows


def _log_role(line: str) -> str:
    low = line.lower()
    if any(word in low for word in ("error", "failed", "regressed")):
        return "bad"
    return "good" if any(word in low for word in ("progressed", "resolved")) else ""


def retry_rows(view: RunView, width: int) -> list[Row]:
    """Return verdict, history and log."""
    verdicts = [own_verdict(view, width), retry_verdict(view.events, width)]
    steps = ladder_rows(view.rounds, view.run_id, width)
    rows = join([*verdicts, steps, _accounts(view, width), _history(view.events, width), _log(view, width)])
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
