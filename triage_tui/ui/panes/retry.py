"""The retry pane: the verdict with its reasons, what was faked, how far a retry is, and the live log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec
from rich.cells import cell_len

from triage_tui.runs.events import Event
from triage_tui.runs.rule_account import rule_account
from triage_tui.runs.verdict_figures import figure_rows, rung_in_words
from triage_tui.runs.verdict_model import Verdict
from triage_tui.text import number_of, safe_line
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.panes.diagnosis import text_with_links
from triage_tui.ui.rows import (
    ListRows,
    Part,
    Row,
    Rows,
    clip,
    fit,
    heading,
    join,
    short,
    wrap_parts,
    wrapped,
)
from triage_tui.ui.run_view import RunView
from triage_tui.ui.words import STATES

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp

_NAME_CELLS = 14
"""Cells of the name of a figure."""
STARTING, STOPPING = "is being started", "is being stopped"
"""What may have been asked for and not be in the record yet."""
MAX_LOG_LINES, MAX_LOG_LINE = 2000, 600
"""Lines of the log that are laid out, the last ones, and characters of each."""


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


def _verdict_rows(payload: dict[str, Any], title: str, width: int, view: RunView | None = None) -> list[Row]:
    """Return a verdict as rows; `view` is the run that it is on, if that is shown, with the evidence."""
    verdict = _text(payload.get("word", payload.get("verdict", "inconclusive")), 40)
    word, role = STATES.get(verdict, (verdict, "warn"))
    head: list[Part] = [("  ", ""), (word.upper(), role)]
    if isinstance(payload.get("rung"), str):
        head += [("  ", ""), (_text(rung_in_words(payload["rung"]), 100), "muted")]
    rows = [heading(title, width), Row(tuple(head))]
    links = payload.get("links")
    known = links if view is not None and isinstance(links, list) else []
    for index, reason in enumerate(_items(payload, "reasons")):
        found = view.resolve(str(known[index])) if view is not None and index < len(known) else None
        if found is not None and found.exists:
            sign = "" if found.hash_ok else " (changed since)"
            text = f"· {reason} [{short(found.title, 40)}]({known[index]}){sign}"
            rows += text_with_links(text, width, 2)
        else:
            rows += wrapped("· " + reason, width, "", 2)
    faked = _items(payload, "masked", "faked")
    if faked:
        rows.append(Row((("  masked, not fixed", "muted"),)))
        for item in faked:
            rows += wrapped("◆ " + item, width, "warn", 2)
    return rows


def _figure_rows(payload: dict[str, Any], width: int) -> list[Row]:
    """Return the figures before and after in columns; what differs stands out."""
    try:
        figures = figure_rows(msgspec.convert(payload, Verdict))
    except msgspec.ValidationError:
        # Records of other versions have other figures.
        return []
    column = max(8, (width - _NAME_CELLS - 5) // 2)
    head = fit("", _NAME_CELLS + 2) + fit(" before", column + 1) + " after"
    rows = [Row(((head, "muted"),))]
    for one in figures:
        cells = [safe_line(text, 200) for text in (one.before, one.after)]
        role = "strong" if one.differs else "muted"
        if max(map(cell_len, cells)) > column:
            told = [
                (cells[0], "muted"),
                *([("  →  ", "muted"), (cells[1], role)] if one.differs else []),
            ]
            head, pad = fit("  " + one.name, _NAME_CELLS + 3), " " * (_NAME_CELLS + 3)
            rows += [Row(parts) for parts in wrap_parts(told, width, head, pad)]
            continue
        parts = (
            ("  ", ""),
            (fit(one.name, _NAME_CELLS), "muted"),
            (" " + fit(cells[0], column), "muted"),
            (" " + clip(cells[1], column), role),
        )
        rows.append(Row(parts, whole=f"{one.name} {cells[0]} {cells[1]}"))
    return rows


def own_verdict(view: RunView, width: int) -> list[Row]:
    """Return how this run compares with the one that it retries."""
    parent = view.snapshot.parent_run
    if not view.verdict:
        return []
    rows = _verdict_rows(view.verdict, f"Round {view.snapshot.round} against the one before", width, view)
    rows += _figure_rows(view.verdict, width)
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
                    (f"  {number_of(hit.hits, 'hit')}", "number"),
                )
            )
        )
        if hit.disabled:
            rows += wrapped(safe_line(hit.disabled, 200), width, "bad" if off else "muted", 4)
        rows += wrapped(account, width, "muted", 4)
    return rows


_STEPS = (
    ("approved", "approved"),
    ("activated", "rules active"),
    ("retry_started", "retry started"),
    ("retry_finished", "judged"),
)
"""Kinds of events in the order in which a retry passes them, and what they are called."""
_ENDS = ("retry_finished", "needs_person")


def _still_asked(view: RunView, asked: str) -> str:
    """Return what was asked for, while the record does not show it."""
    return "" if asked == STARTING and view.run.state == "retrying" else asked


def _progress(view: RunView, width: int, asked: str) -> list[Row]:
    """Return how far the last decision on this run came: which steps were taken, and when.

    `asked` is what was asked for and is not in the record yet: "is being started".
    """
    last = max((n for n, one in enumerate(view.events) if one.kind in ("proposed", "edited")), default=-1)
    events = view.events[last + 1 :]
    running = view.run.state == "retrying"
    began = max((n for n, one in enumerate(events) if one.kind == "retry_started"), default=-1)
    # What an earlier retry came to is no step of this one.
    ended = next((one for one in events[began + 1 :] if one.kind in _ENDS), None)
    steps = [one for one in events if one.kind not in ("retry_started", "retry_finished")]
    if running or not asked:
        steps += [one for one in (events[began] if began >= 0 else None, ended) if one is not None]
    taken = {event.kind: event.wall[11:19] for event in steps}
    if not asked and not taken.keys() & {kind for kind, _ in _STEPS}:
        return []
    rows = [heading("Progress", width, "H shows who decided")]
    now = "retry_finished" if running else "retry_started" if asked else ""
    for kind, words in _STEPS:
        clock = f"  {short(taken[kind], 8)}" if kind in taken else ""
        if kind in taken:
            parts: tuple[Part, ...] = (("  ✓ ", "good"), (words, ""), (clock, "faint"))
        elif kind == now:
            parts = (("  … ", "warn"), (f"the retry {asked}" if asked else "the program runs again", ""))
        else:
            parts = (("  · ", "faint"), (words, "muted"))
        rows.append(Row(parts))
    if ended is not None and ended.kind == "needs_person" and not asked:
        rows += wrapped("✗ " + _text(ended.payload.get("why", "")), width, "warn", 2)
    return rows


def _log(view: RunView, width: int) -> list[Row]:
    if not view.retry_log:
        return []
    live = "live" if view.run.state == "retrying" else number_of(len(view.retry_log), "line")
    rows = [heading("Log", width, live)]
    if (hidden := len(view.retry_log) - MAX_LOG_LINES) > 0:
        rows += wrapped(
            f"… {number_of(hidden, 'earlier line is', 'earlier lines are')} left out here", width, "muted", 2
        )
    for line in view.retry_log[-MAX_LOG_LINES:]:
        text, role = safe_line(line, MAX_LOG_LINE), _log_role(line)
        rows += [Row(parts) for parts in wrap_parts([(text, role)], width, "  ", " " * 11)]
    return rows


def _log_role(line: str) -> str:
    low = line.lower()
    if any(word in low for word in ("error", "failed", "regressed")):
        return "bad"
    return "good" if any(word in low for word in ("progressed", "resolved")) else ""


def retry_rows(view: RunView, width: int, asked: str = "") -> list[Row]:
    """Return verdict, progress, what the rules did, and the log; `asked` is not in the record yet."""
    # The last thing that happened is what a person wants to see first.
    verdicts = [retry_verdict(view.events, width), own_verdict(view, width)]
    rows = join(
        [
            *verdicts,
            _progress(view, width, _still_asked(view, asked)),
            _accounts(view, width),
            _log(view, width),
        ]
    )
    return rows or wrapped(
        "This run was not retried. R runs the program again with the active rules.", width, "muted", 1
    )


def _retries_judged(view: RunView | None) -> int:
    return sum(event.kind == "retry_finished" for event in view.events) if view is not None else 0


class RetryPane(Pane):
    """Verdict, progress and log; follows the log while the cursor is at its end, until there is a verdict."""

    NAME: ClassVar[str] = "retry"
    EMPTY: ClassVar[str] = "This run was not retried."
    FOLLOW: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: Mapping[str, str] = {}
        """Run to what was asked for and has not come about: "is being started"."""

    @property
    def title_note(self) -> str:
        """That a retry is under way, and the key that stops it."""
        view = self.view
        asked = _still_asked(view, self.asked.get(view.run_id, "")) if view is not None else ""
        if view is None or not (asked or view.run.state == "retrying"):
            return ""
        if asked == STOPPING:
            return "stopping …"
        stops = "" if cast("TriageApp", self.app).read_only else " · esc stops it"
        return f"{'begins' if asked else 'runs'}{stops}"

    def build(self, view: RunView) -> Rows:
        """Return the rows."""
        asked = self.asked.get(view.run_id, "")
        return ListRows(lambda width: retry_rows(view, width, asked))

    @property
    def opens(self) -> bool:
        """The run that a retry led to, or that was retried."""
        return super().opens or ((row := self.current) is not None and isinstance(row.target, tuple))

    def show(self, view: RunView | None, empty: str = "") -> None:
        """Show a run; a verdict that has come since is gone to, it stands on top."""
        before = self.view
        super().show(view, empty)
        same = before is not None and view is not None and before.run_id == view.run_id
        if same and _retries_judged(view) > _retries_judged(before):
            self.move_to(0)
