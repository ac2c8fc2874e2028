"""Both futures of a rule in the app: run by a key, shown beside each other, approved on what was seen."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.runs.build import a_proposal
from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.errors import TriageError
from triage_tui.retry.trials.process import in_process
from triage_tui.rulebook import patches
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import load_run
from triage_tui.runs.trials_model import CallLine, Counterfactual, Future, keep
from triage_tui.runs.verdict_model import Figures, Verdict
from triage_tui.runs.writer import encode_json
from triage_tui.ui.app import TriageApp
from triage_tui.ui.futures_rows import futures_rows
from triage_tui.ui.panes.patch import PatchPane
from triage_tui.ui.screens.futures_sheet import FuturesSheet

RUN = fixtures.EXIT_RUN
HOSTILE = "\x1b]52;c;eA==\x07 \u202e [@click=app.quit]x"


def record(files: dict[str, str], text: str = "openat") -> Counterfactual:
    figures = Figures(run_id="", reason="exit", listening=[text])
    common = CallLine(seq=1, text="read(0) = 0", same="read ok")
    failed = CallLine(seq=2, text=f"{text}() = ENOENT", same=f"{text} ENOENT")
    helped = CallLine(seq=2, text=f"{text}() = 3", same=f"{text} ok", rule=text)
    return Counterfactual(
        run=RUN,
        proposal=text,
        files=files,
        generation=0,
        without=Future(figures=figures, ends="ended with code 1", calls=[common, failed], output=[text]),
        with_rules=Future(
            figures=figures, ends="waits", calls=[common, helped], faked=[text], probes=[text], healthy=True
        ),
        verdict=Verdict(
            word="progressed",
            rung="listens",
            reasons=[text],
            before=figures,
            after=figures,
            masked=[text],
        ),
        difference=f"after 1 call that both make, {text} gives ENOENT without the rule, and 3 with it",
        common=1,
        lost=[text],
        notes=[text],
        wall=text,
        actor=text,
    )


@pytest.mark.parametrize("width", [40, 78, 140])
def test_every_row_is_safe_and_fits(width: int) -> None:
    rows = futures_rows(record({}, HOSTILE), width)
    assert all(cell_len(row.text) <= width for row in rows)
    assert all(row.text.isprintable() for row in rows)
    text = "\n".join(row.text for row in rows)
    assert ("≠" in text) == (width >= 90)


class LookingActions(RecordedActions):
    """Actions that keep a record, as the process does that runs both futures."""

    def counterfactual(
        self, run_id: str, files: Sequence[str], cancel: threading.Event, tell: Callable[[str], None]
    ) -> str:
        said = super().counterfactual(run_id, files, cancel, tell)
        run_dir = self.run_dir
        keep(run_dir, record({name: _digest(run_dir, name) for name in files}))
        return said

    run_dir: Path


def _digest(run_dir: Path, name: str) -> str:
    return hashlib.sha256(patches.read_rule(run_dir, name)).hexdigest()


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_both_futures_are_run_once_shown_and_approved(workspace: Path, size: tuple[int, int]) -> None:
    actions = LookingActions()
    actions.run_dir = workspace / "ai_runs" / RUN
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("2", "b")
        await until(pilot, lambda: isinstance(app.screen, FuturesSheet) and "progressed" in shown(app))
        files = list(app.main.patch.files_here)
        assert ("counterfactual", RUN, *files) in actions.calls
        assert "not fixed" in shown(app)
        await pilot.press("escape")
        # What was seen of the very same rules is shown without a run.
        before = len(actions.calls)
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, FuturesSheet))
        assert len(actions.calls) == before
        await pilot.press("a")
        await until(pilot, lambda: actions.calls[-1][:2] == ("approve", RUN))
        assert len(actions.calls) == before + 1


async def test_what_cannot_be_run_is_said(app: TriageApp, actions: RecordedActions) -> None:
    actions.refuse = "the program is another file by now"
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("2", "b")
        await until(pilot, lambda: "The program is another file by now" in said(app))
        assert not isinstance(app.screen, FuturesSheet)


async def test_a_smaller_set_says_what_it_takes_out_and_is_approved_as_a_whole(
    workspace: Path, app: TriageApp, actions: RecordedActions
) -> None:
    run_dir = workspace / "ai_runs" / RUN
    run = load_run(run_dir)
    assert run.diagnosis is not None
    smaller = a_proposal(
        "smaller-1",
        template="trial",
        title="take out 1 rule",
        source="trial",
        removes={"syscall/read@x.lua": "0" * 64},
    )
    run.diagnosis.proposals.insert(0, smaller)
    write_atomic(run_dir / "diagnosis.json", encode_json(run.diagnosis))
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("2")
        pane = app.main.pane("patch")
        assert isinstance(pane, PatchPane)
        await until(pilot, lambda: "takes out" in shown(app))
        assert "from trials" in shown(app)
        await pilot.press("g", "a")
        await until(pilot, lambda: ("approve_smaller", RUN, "smaller-1") in actions.calls)


def test_a_command_that_refuses_says_why(tmp_path: Path) -> None:
    (tmp_path / "ai_runs").mkdir()
    with pytest.raises(TriageError, match="no run"):
        in_process(tmp_path, ["counterfactual", "-- nobody"], threading.Event(), lambda text: None)
