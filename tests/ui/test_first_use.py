"""What a person who sees the app for the first time would stumble over."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from textual.message import Message

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.runs.events import append_event
from triage_tui.ui.app import TriageApp
from triage_tui.ui.loading import load_view
from triage_tui.ui.messages import Done, RunLoaded
from triage_tui.ui.panes.diagnosis import diagnosis_rows
from triage_tui.ui.widgets.bar import Bar
from triage_tui.ui.words import decision_words

SMALL = (80, 24)


async def test_the_run_of_the_program_that_was_started_is_shown_when_it_comes(
    workspace: Path, actions: RecordedActions
) -> None:
    known = frozenset(path.name for path in (workspace / "ai_runs").iterdir())
    app = TriageApp(workspace, actions=actions, runs_before=known)
    started, later = "20251119_000000_00000009", "20251119_000001_00000010"
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("3")
        await until(pilot, lambda: "… the program runs" in shown(app))
        fixtures.make_loop_run(workspace / "ai_runs", started, rounds=3)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == started, "the run")
        fixtures.make_loop_run(workspace / "ai_runs", later, rounds=3)
        await until(pilot, lambda: later in app.main.run_list, "the run after it")
        assert app.main.wanted == started
        assert "the program runs" not in shown(app)


async def test_a_run_that_is_being_recorded_is_no_trouble(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.WRITING_RUN)
        await until(pilot, lambda: "This run is being recorded" in shown(app))
        assert "unreadable" not in shown(app).splitlines()[-2]


async def test_a_decision_on_one_run_shows_in_the_others_of_its_target(app: TriageApp) -> None:
    read: list[str] = []

    def note(message: Message) -> None:
        if isinstance(message, RunLoaded):
            read.append(message.view.run_id)

    async with app.run_test(size=SMALL, message_hook=note) as pilot:
        await opened(pilot)
        other = app.main.related(fixtures.EXIT_RUN)[0]
        before = len(read)
        app.main.post_message(Done("No rule is active now", run_id=other))
        await until(pilot, lambda: fixtures.EXIT_RUN in read[before:], "the run that is shown")


async def test_a_verdict_is_gone_to_when_it_comes(app: TriageApp, workspace: Path) -> None:
    run = workspace / "ai_runs" / fixtures.EXIT_RUN
    (run / "retry.log").write_text("line\n" * 60)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("9", "G")
        append_event(run, "retry_finished", {"verdict": "sideways", "run": fixtures.RETRY_RUN})
        await until(pilot, lambda: "SIDEWAYS" in shown(app), "the verdict")
        assert app.main.pane("retry").cursor == 0
        assert "N next round" in shown(app)


async def test_no_key_stands_in_the_footer_without_its_word(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        for pane, widths in (("0", range(70, 100, 2)), ("3", range(71, 100, 2))):
            await pilot.press(pane)
            for width in widths:
                await pilot.resize_terminal(width, 24)
                await pilot.pause()
                items = [item for _, item in app.main.query_one("#keys", Bar).places()]
                words = [after for item, after in itertools.pairwise(items) if item.role == "key"]
                assert words
                assert {item.role for item in words} == {"muted"}, width
                assert items[-1].role == "muted"


async def test_what_to_press_is_not_said_any_more_once_it_is_pressed(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("1", "a")
        await until(pilot, lambda: "Press a once more" in said(app))
        await pilot.press("a")
        await until(pilot, lambda: "was recorded" in said(app))
        assert "Press a once more" not in said(app)


async def test_a_step_to_another_run_says_where_it_led(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("o", "7", "n")
        await until(pilot, lambda: "The next older run: udhcpc of 14:10." in said(app))


@pytest.mark.parametrize(
    ("reason", "words"),
    [("exit", "about to end: retry it"), ("signal", "about to end: retry it"), ("idle", "lets this guest")],
)
def test_a_guest_that_is_about_to_end_is_to_be_retried(tmp_path: Path, reason: str, words: str) -> None:
    run = fixtures.make_exit_run(tmp_path / "ai_runs")
    append_event(run, "activated", {"generation": "1"})
    view = load_view(run, tmp_path)
    view.waiting = True
    view.snapshot.reason = reason  # type: ignore[assignment]
    assert view.run.state == "applied"
    told = decision_words(view)
    assert told is not None
    assert words in told
    assert len(told) <= 76


@pytest.mark.parametrize("width", [40, 80])
def test_all_hypotheses_are_ranked_in_one_line(tmp_path: Path, width: int) -> None:
    view = load_view(fixtures.make_exit_run(tmp_path / "ai_runs"), tmp_path)
    assert view.diagnosis is not None
    first = diagnosis_rows(view, width)[0].text
    assert first.strip(" …") in diagnosis_rows(view, 20)[0].whole, "a search finds what the width cuts"
    count = len(view.diagnosis.hypotheses)
    assert first.startswith(f"  {count} hypotheses: missing_interface 0.93")
    assert len(first) <= width
    view.diagnosis.hypotheses = view.diagnosis.hypotheses[:1]
    assert "hypotheses" not in diagnosis_rows(view, width)[0].text


async def test_a_pane_asked_for_before_there_are_panes_comes_with_them(
    app: TriageApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = app.main.mount_panes

    async def later() -> None:
        """Stand in for a machine on which the panes take their time."""

    monkeypatch.setattr(app.main, "mount_panes", later)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: app.main.runs.selected)
        assert not app.main.tiles
        await pilot.press("3")
        monkeypatch.setattr(app.main, "mount_panes", mount)
        await mount()
        await opened(pilot)
        assert app.main.active == "syscalls"
