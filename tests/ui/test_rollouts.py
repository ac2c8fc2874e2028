"""The rollouts in the app: what stands, and begun, promoted, stopped and renewed by keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from tests.retry.decisions import workspace_at
from tests.ui.conftest import opened, shown, until
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.sharing import rollout as rolling
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.rulebook.generations import SetAside
from triage_tui.rulebook.rollouts import record
from triage_tui.rulebook.rollouts.record import Moved, Rollout
from triage_tui.rulebook.rollouts.standing import Standing
from triage_tui.ui.app import TriageApp
from triage_tui.ui.rollout_rows import RolloutsRead, rollout_rows
from triage_tui.ui.screens.question import Question
from triage_tui.ui.screens.rollouts_sheet import RolloutsSheet

HOSTILE = "\x1b]52;c;eA==\x07 \u202e [@click=app.quit]x"
ID = "openat-1"


@pytest.mark.parametrize("width", [30, 100])
def test_every_row_is_safe_and_fits(width: int) -> None:
    moved = Moved(kind="stopped", stage="all", wall=HOSTILE, actor=HOSTILE, why=HOSTILE)
    one = Rollout(
        id=HOSTILE, file=HOSTILE, rule="r", sha256=HOSTILE, target=HOSTILE, group=[HOSTILE], moves=[moved],
        since=HOSTILE,
    )  # fmt: skip
    stands = Standing(lacking=[HOSTILE], breaches=[HOSTILE])
    aside = {HOSTILE: SetAside(sha256="", target="", generation=1, why=HOSTILE)}
    rows = rollout_rows(RolloutsRead([(one, stands)], {HOSTILE: HOSTILE}, aside), width)
    assert all(cell_len(row.text) <= width for row in rows)
    assert all(row.text.isprintable() for row in rows)


async def sheet(pilot: Pilot[None], app: TriageApp, text: str) -> None:
    await until(pilot, lambda: isinstance(app.screen, RolloutsSheet) and text in shown(app))


async def test_a_rollout_is_begun_promoted_and_stopped_by_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It starts the rule host.
    monkeypatch.setattr(rolling, "check_named", lambda _w, rules, **_: {rule.name: [] for rule in rules})
    run_id = workspace_at(tmp_path)
    workspace = Workspace(tmp_path)
    app = TriageApp(tmp_path, actions=LocalActions(workspace, "ann"))
    async with app.run_test(size=(110, 40)) as pilot:
        await opened(pilot, run_id)
        await pilot.press("O")
        await sheet(pilot, app, "No rule is being rolled out. Press b to begin one")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("1")
        await sheet(pilot, app, "observed, it acts nowhere")
        assert "0 of 1 runs at whose calls it was tried" in shown(app)

        # Not without a reason while the criteria are not met.
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Question))
        assert "The criteria are not met" in shown(app)
        await pilot.press("2")
        await pilot.press(*"due", "enter")
        await sheet(pilot, app, "acts for one target")
        now = record.read(workspace.rulebook, ID)
        assert (now.stage, now.moves[-1].actor) == ("one", "ann")
        assert now.moves[-1].why.endswith(": due")
        active = generations.current(workspace.rulebook_dir("x-1"))
        assert active is not None
        assert list(active.files) == ["syscall/openat@openat-1.lua"]

        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("1")
        await sheet(pilot, app, "stopped")
        assert record.read(workspace.rulebook, ID).moves[-1].why == "It does harm"
        active = generations.current(workspace.rulebook_dir("x-1"))
        assert active is not None
        assert dict(active.files) == {}


async def test_what_is_set_aside_is_shown_and_renewed(tmp_path: Path) -> None:
    run_id = workspace_at(tmp_path)
    workspace = Workspace(tmp_path)
    target = workspace.rulebook_dir("x-1")
    rule = "syscall/read@read-1.lua"
    text = b"-- triage-rule: 1\n-- id: read-1\n-- hit-limit: 1\n\nfunction do_syscall() return 0, 0 end\n"
    made = generations.activate(target, add={rule: text}, actor="ann", reason="r")
    aside = SetAside(
        sha256=made.files[rule], target="x-1", generation=1, why="the program is another one now"
    )
    generations.activate(
        target,
        add={},
        remove=[rule],
        actor="policy:expiry",
        reason="r",
        kind="expired",
        set_aside={rule: aside},
    )
    app = TriageApp(tmp_path, actions=LocalActions(workspace, "ann"))
    async with app.run_test(size=(110, 40)) as pilot:
        await opened(pilot, run_id)
        await pilot.press("O")
        await sheet(pilot, app, "Set aside for this program")
        assert f"{rule}: the program is another one now" in shown(app)
        await pilot.press("r")
        await until(pilot, lambda: not isinstance(app.screen, RolloutsSheet) or "No rule is" in shown(app))
        if isinstance(app.screen, Question):
            await pilot.press("1")
        await sheet(pilot, app, "No rule is being rolled out")
        active = generations.current(target)
        assert active is not None
        assert list(active.files) == [rule]


async def test_a_read_only_view_shows_and_changes_nothing(tmp_path: Path) -> None:
    run_id = workspace_at(tmp_path)
    app = TriageApp(tmp_path, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, run_id)
        await pilot.press("O")
        await sheet(pilot, app, "No rule is being rolled out.")
        assert "Press b" not in shown(app)
        await pilot.press("b", "p", "x", "r")
        assert isinstance(app.screen, RolloutsSheet)
