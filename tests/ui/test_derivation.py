"""The derivation in the diagnosis pane: one row that opens into steps, each with its evidence."""

from __future__ import annotations

from pathlib import Path

from tests.ui.conftest import opened, shown
from tests.ui.fixtures import EXIT_RUN
from triage_tui.ui.app import TriageApp
from triage_tui.ui.evidence_rows import FOLD
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.diagnosis import diagnosis_rows

SMALL = (80, 24)


async def test_the_derivation_opens_and_each_step_leads_to_its_evidence(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("1")
        pane = app.main.pane("diagnosis")
        fold = pane.rows.place(FOLD)
        assert fold is not None
        assert "3 steps back from the end, enter shows them (missing resource)" in shown(app)
        assert "what the end shows" not in shown(app)
        pane.move_to(fold)
        assert pane.opens
        await pilot.press("enter")
        await pilot.pause()
        assert "what the end shows" in shown(app)
        await pilot.press("j", "j", "enter")
        await pilot.pause()
        assert app.main.active == "syscalls", "the second step is the message, which a call wrote"
        await pilot.press("backspace")
        await pilot.pause()
        assert app.main.active == "diagnosis"
        assert "what the end shows" in shown(app), "the steps are still there when one comes back"
        pane.move_to(fold)
        await pilot.press("enter")
        await pilot.pause()
        assert "what the end shows" not in shown(app)


def test_steps_that_lead_nowhere_say_so(workspace: Path) -> None:
    view = load_view(workspace / "ai_runs" / EXIT_RUN, workspace)
    assert view.diagnosis
    view.diagnosis.derivation[0].link = "ev:syscall/999~0123456789ab"
    view.diagnosis.derivation[1].says = "\x1b[31m" + "evil " * 400
    text = "\n".join(row.text for row in diagnosis_rows(view, 78, unfolded=True))
    assert "no such evidence" in text
    assert "\x1b" not in text
    assert all(len(line) <= 78 for line in text.splitlines())
    view.diagnosis.derivation = []
    assert "back to the cause" not in "\n".join(row.text for row in diagnosis_rows(view, 78))
