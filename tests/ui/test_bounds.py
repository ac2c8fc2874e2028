"""What is laid out of very large runs is bounded, and what is left out is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.ui import fixtures
from triage_tui.runs.diagnosis_model import Evidence, Hypothesis
from triage_tui.runs.evidence import parse_link
from triage_tui.ui.loading import MAX_LOG_BYTES, load_view
from triage_tui.ui.panes import diagnosis, process, retry
from triage_tui.ui.rows import Row
from triage_tui.ui.run_view import RunView


def view_of(workspace: Path) -> RunView:
    return load_view(workspace / "ai_runs" / fixtures.EXIT_RUN, workspace)


def text(rows: list[Row]) -> str:
    return "\n".join(row.text for row in rows)


def targets(rows: list[Row]) -> set[object]:
    return {row.target for row in rows if isinstance(row.target, tuple)}


def test_of_a_long_log_the_ends_and_the_cited_lines_are_laid_out(workspace: Path) -> None:
    log = workspace / "ai_runs" / fixtures.EXIT_RUN / "logs" / "guest.log"
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(1, 15_001)))
    view = view_of(workspace)
    assert view.diagnosis
    link = "ev:log/guest.log#L5000"
    view.diagnosis.hypotheses[0].evidence.append(Evidence(link=link, says="it said so"))
    # Which lines are shown is found out once, when a run is read.
    rows = process.process_rows(replace(view), 80)
    shown = targets(rows)
    for number in (1, 200, 4990, 5000, 5010, 13_201, 15_000):
        assert ("log", "guest.log", number) in shown
    for number in (201, 4989, 5011, 13_200):
        assert ("log", "guest.log", number) not in shown
    assert "… 4789 lines are left out here" in text(rows)
    assert parse_link(link).line == 5000


def test_a_long_line_is_wrapped_and_cut(workspace: Path) -> None:
    log = workspace / "ai_runs" / fixtures.EXIT_RUN / "logs" / "guest.log"
    log.write_bytes(b"word " * 3000 + b"\nshort\n")
    rows = [
        row for row in process.process_rows(view_of(workspace), 80) if row.target == ("log", "guest.log", 1)
    ]
    assert 7 <= len(rows) <= 12
    assert all(len(row.text) <= 80 for row in rows)
    assert "…(+" in rows[-1].text


def test_what_was_not_read_of_a_log_is_said(workspace: Path) -> None:
    log = workspace / "ai_runs" / fixtures.EXIT_RUN / "logs" / "guest.log"
    log.write_bytes(b"x\n" * MAX_LOG_BYTES)
    words = text(process.process_rows(view_of(workspace), 80))
    assert f"only the first {MAX_LOG_BYTES} of {2 * MAX_LOG_BYTES} bytes were read" in words


def test_of_a_long_retry_log_the_end_is_laid_out(workspace: Path) -> None:
    view = view_of(workspace)
    view.retry_log = [f"12:00:00 event {number}" for number in range(1, 10_001)]
    rows = retry.retry_rows(view, 80)
    assert "… 8000 earlier lines are left out here" in text(rows)
    assert rows[-1].text.endswith("event 10000")
    assert "event 8001" in text(rows)
    assert "event 8000" not in text(rows)


def test_an_endless_diagnosis_is_cut_and_says_so(workspace: Path) -> None:
    view = view_of(workspace)
    assert view.diagnosis
    endless = Hypothesis(
        cause="x",
        proximate="x",
        confidence=0.5,
        title="t",
        explanation="word " * 20_000,
        evidence=[Evidence(link="ev:syscall/1", says="it said " * 500)] * 200,
    )
    view.diagnosis.hypotheses = [endless] * 50
    rows = diagnosis.diagnosis_rows(view, 80)
    words = text(rows)
    assert "characters are left out here" in " ".join(words.split())
    assert "170 more are left out here" in words
    assert "30 more hypotheses are left out here" in words
    assert len(rows) < 10_000
