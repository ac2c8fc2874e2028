"""An error in one part of the screen costs that part."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tests.ui.conftest import opened, said, shown, until
from triage_tui.crash_report import write_report
from triage_tui.ui.app import TriageApp
from triage_tui.ui.containment import MOST, Reports
from triage_tui.ui.panes import diagnosis
from triage_tui.ui.panes.diagnosis import DiagnosisPane
from triage_tui.ui.rows import MadeRows

LARGE = (160, 48)


def fails(*given: Any) -> Any:
    raise ValueError("secret\x1b]0;x\x07")


@pytest.mark.parametrize("where", ["build", "layout", "row"])
async def test_a_pane_whose_rows_raise_is_one_sentence_and_is_tried_again(
    app: TriageApp, monkeypatch: pytest.MonkeyPatch, contained: list[str], where: str
) -> None:
    with monkeypatch.context() as broken:
        if where == "layout":
            broken.setattr(diagnosis, "_title_rows", fails)
        else:
            build = fails if where == "build" else lambda *_: MadeRows(3, fails)
            broken.setattr(DiagnosisPane, "build", build)
        async with app.run_test(size=LARGE) as pilot:
            await until(
                pilot, lambda: "The diagnosis pane failed (ValueError)" in " ".join(shown(app).split())
            )
            assert "secret" not in shown(app)
            assert "held before it happens" in shown(app)
            await pilot.press("3")
            assert app.main.active == "syscalls"
            broken.undo()
            await pilot.press("1")
            await until(pilot, lambda: "The network interface eth0" in shown(app))
            assert app.is_running
    assert contained
    contained.clear()


async def test_a_handler_and_a_key_that_raise_are_told_and_the_next_works(
    app: TriageApp, monkeypatch: pytest.MonkeyPatch, contained: list[str]
) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        with monkeypatch.context() as broken:
            broken.setattr(type(app.main), "action_zoom", fails)
            await pilot.press("z")
            await until(pilot, lambda: "This action failed (ValueError)" in said(app))
            app.main.call_later(fails)
            await until(pilot, lambda: "The main screen failed (ValueError)" in said(app))
        await pilot.press("3", "k")
        await pilot.pause()
        assert app.main.active == "syscalls"
        assert app.main.pane("syscalls").cursor == 12
    contained.clear()


class _Sheet(ModalScreen[None]):
    """A sheet that fails when it is mounted, or in the handler of its field."""

    def __init__(self, early: bool) -> None:
        super().__init__()
        self.early = early

    def compose(self) -> ComposeResult:
        if self.early:
            fails()
        yield Static("sheet")
        yield Input()

    def on_input_changed(self) -> None:
        fails()


@pytest.mark.parametrize("early", [True, False])
async def test_a_sheet_that_raises_closes(app: TriageApp, contained: list[str], early: bool) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        app.push_screen(_Sheet(early))
        if not early:
            await until(pilot, lambda: "sheet" in shown(app))
            await pilot.press("x")
        await until(pilot, lambda: "failed (ValueError)" in said(app))
        await until(pilot, lambda: app.screen is app.main)
        await pilot.press("6")
        await until(pilot, lambda: app.main.active == "registers")
    contained.clear()


def failure() -> ValueError:
    with pytest.raises(ValueError, match="secret") as caught:
        fails()
    return caught.value


def test_the_same_error_is_written_once_and_too_many_end_it(contained: list[str]) -> None:
    reports = Reports()
    said = {reports.sentence("The memory pane", failure()) for _ in range(3)}
    assert said == {"The memory pane failed (ValueError). Please report it with /tmp/report.txt"}
    assert len(contained) == 1
    assert [reports.too_many for _ in range(MOST)] == [False] * (MOST - 1) + [True]
    contained.clear()


def test_a_report_holds_no_control_characters() -> None:
    path = write_report("ui", failure())
    text = path.read_text()
    path.unlink()
    assert "ValueError: secret\\x1b]0;x\\x07" in text
    assert all(line.isprintable() for line in text.split("\n"))
