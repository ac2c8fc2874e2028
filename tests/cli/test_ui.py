"""What is said when the app was left."""

from __future__ import annotations

from pathlib import Path

from tests.ui import fixtures
from triage_tui.cli.ui import left_behind
from triage_tui.runs.listing import list_runs
from triage_tui.ui.app import TriageApp
from triage_tui.ui.panes.retry import STARTING, STOPPING


def test_what_goes_on_is_said_though_the_list_does_not_show_it_yet(tmp_path: Path) -> None:
    app = TriageApp(fixtures.make_workspace(tmp_path))
    app.main.run_list.set_runs(list_runs(tmp_path / "ai_runs"))
    (waiting,) = app.still_waiting
    ended = fixtures.RETRY_RUN
    assert [sentence.partition(":")[0] for sentence in left_behind(app, set())] == [
        "1 frozen guest goes on waiting"
    ]
    app.main.asked_retries[ended] = STARTING
    assert [sentence.partition(":")[0] for sentence in left_behind(app, {ended})] == [
        "1 retry goes on",
        "1 frozen guest goes on waiting",
    ]
    # Its guest does not wait any more, and a retry that is being stopped does not go on.
    app.main.asked_retries[ended] = STOPPING
    assert left_behind(app, {ended, waiting}) == ["1 retry goes on: open the app again to see the verdict"]
    assert left_behind(app, {ended, waiting}, guests_end=True) == []
