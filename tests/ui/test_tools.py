"""The tools and the suspicious points in the app, on real runs and the real tools."""

from __future__ import annotations

from pathlib import Path

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.runs.reader import load_run
from triage_tui.runs.suspicious_points import SuspiciousPoint, add_point
from triage_tui.ui.app import TriageApp
from triage_tui.ui.screens.points_sheet import PointsSheet
from triage_tui.ui.screens.tool_sheet import ToolSheet

HOSTILE = "\x1b[2J\u202ebecause\x9b1m"


async def test_a_tool_is_chosen_filled_in_asked_and_followed(app: TriageApp) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        await pilot.press("T", "slash", *"get_syscalls", "enter", "enter")
        await until(pilot, lambda: "lowest sequence number" in shown(app).lower())
        # Third field: a value that the run has, by its first letters.
        await pilot.press("tab", "tab", *"ioc")
        await until(pilot, lambda: "│  ioctl" in shown(app))
        await pilot.press("down", "enter", "enter")
        await until(pilot, lambda: "SIOCGIFINDEX" in shown(app))
        await pilot.press("slash", *"SIOCGIFINDEX", "enter")
        await until(pilot, lambda: "evidence" not in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.main.active == "syscalls" and app.is_main)
        assert app.main.syscalls.marked
        await pilot.press("backspace")
        await until(pilot, lambda: isinstance(app.screen, ToolSheet) and "SIOCGIFINDEX" in shown(app))
        # Back to the fields, which are as they were, and out.
        await pilot.press("escape")
        await until(pilot, lambda: "only calls of this name" in shown(app).lower() or "ioctl" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.is_main)
        # From the code the function that is shown is in the field.
        await pilot.press("4", "T", "slash", *"get_callees", "enter", "enter")
        function = app.main.code.frame.func_name  # type: ignore[union-attr]
        await until(pilot, lambda: function and f"function name             {function}" in shown(app))


async def test_what_is_missing_and_what_cannot_be_answered_is_a_sentence(app: TriageApp) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        # The palette has each tool.
        await pilot.press("colon", *"search_code")
        await until(pilot, lambda: "Tool search_code" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ToolSheet))
        await pilot.press("enter")
        await until(pilot, lambda: "Pattern is needed." in shown(app))
        await pilot.press(*"open", "enter")
        # The programs of these runs are not on this machine.
        await until(pilot, lambda: "cannot be read any more" in shown(app) or "no index" in shown(app))


async def test_points_are_shown_as_whose_they_are_and_judged(
    app: TriageApp, actions: RecordedActions, workspace: Path
) -> None:
    run = load_run(workspace / "ai_runs" / fixtures.EXIT_RUN)
    links = [f"ev:syscall/{run.trace()[-1].seq}", "ev:reg/nosuch"]
    point = SuspiciousPoint(id="", function_name=f"main{HOSTILE}", description=HOSTILE)
    add_point(run, point, links, f"model test{HOSTILE}")
    add_point(run, SuspiciousPoint(id="", function_name="f", description="here", score=0.1), [], "ada")
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(pilot)
        assert "2 suspicious points" in shown(app)
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(app.screen, PointsSheet) and "a model (test" in shown(app))
        assert "ada" in shown(app)
        assert "unsupported" in shown(app)
        assert not set("\x1b\x9b\u202e") & set(shown(app))
        await pilot.press("c")
        wanted = ("note_point", fixtures.EXIT_RUN, "update_suspicious_point", "1", "confirmed", "sp1")
        await until(pilot, lambda: wanted in actions.calls)
        await until(pilot, lambda: isinstance(app.screen, PointsSheet))
        # Adding one opens its fields; the run's own functions are offered.
        await pilot.press("a")
        await until(pilot, lambda: "function name" in shown(app) and "write it down" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.is_main)
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(app.screen, PointsSheet))
        await pilot.press("slash", *"syscall", "enter", "enter")
        await until(pilot, lambda: app.main.active == "syscalls" and app.is_main)
        await pilot.press("backspace")
        await until(pilot, lambda: isinstance(app.screen, PointsSheet))
    assert "note_point was recorded" in said(app).lower()


async def test_a_read_only_view_looks_and_notes_nothing(workspace: Path) -> None:
    app = TriageApp(workspace, read_only=True)
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        await pilot.press("T")
        await until(pilot, lambda: "get_registers" in shown(app))
        await pilot.press("slash", *"suspicious", "enter")
        assert "create_suspicious_point" not in shown(app)
        assert "list_suspicious_points" in shown(app)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.is_main)
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: "Nobody noted a suspicious point in this run." in shown(app))
        await pilot.press("a", "c", "x", "e")
        assert isinstance(app.screen, PointsSheet)
    assert not (workspace / "ai_runs" / fixtures.EXIT_RUN / "suspicious_points.json").exists()
