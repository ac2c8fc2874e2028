"""Copying more than a row: what there is to choose, whole lists, and files for what is too long."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.runs.build import write_run
from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.writer import RunWriter
from triage_tui.ui.app import TriageApp
from triage_tui.ui.copying import copies_directory

SMALL = (80, 24)


@pytest.fixture(autouse=True)
def _terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TERM", "xterm-256color")


async def test_the_whole_list_is_copied_and_the_number_goes_no_further(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("3", "Y")
        await until(pilot, lambda: "All of it: 14 rows" in shown(app))
        await pilot.press("1")
        await until(pilot, lambda: "14 rows copied." in said(app))
        assert app.main.active == "syscalls"
        lines = app.clipboard.split("\n")
        assert len(lines) == 14
        assert lines[-1].endswith("held before it happens")


async def test_the_evidence_link_and_the_highlighted_part_can_be_copied(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("1")
        pane = app.main.pane("diagnosis")
        row = pane.rows.find(lambda row: any("syscall/11" in link for _, _, link in row.links))
        assert row is not None
        pane.move_to(row)
        await pilot.press("Y")
        await until(pilot, lambda: "The evidence link" in shown(app))
        await pilot.press("2")
        await until(pilot, lambda: "Link copied." in said(app))
        assert "syscall/11" in app.clipboard
        await pilot.press("enter", "Y")
        await until(pilot, lambda: "The highlighted part: 1 row" in shown(app))
        await pilot.press("2")
        await until(pilot, lambda: "SIOCGIFINDEX" in app.clipboard)


async def test_what_is_too_long_for_a_clipboard_goes_into_a_file(app: TriageApp, workspace: Path) -> None:
    fixtures.make_loop_run(workspace / "ai_runs", "20991231_235959_00000009", rounds=400)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: app.main.tiles and app.main.runs.select("20991231_235959_00000009"))
        await until(pilot, lambda: app.main.view and app.main.view.run_id == "20991231_235959_00000009")
        pane = app.main.pane("syscalls")
        await pilot.press("3")
        await until(pilot, lambda: app.main.active == "syscalls" and len(pane.rows) > 1200)
        await pilot.press("Y")
        await until(pilot, lambda: "All of it: " in shown(app))
        await pilot.press("1")
        await until(pilot, lambda: "more than most terminals take" in said(app))
        assert app.clipboard == ""
        await pilot.press("Y")
        await until(pilot, lambda: "All of it into a file" in shown(app))
        await pilot.press("2")
        count = len(pane.rows)
        await until(pilot, lambda: f"{count} rows are in" in said(app))
    files = list(copies_directory().iterdir())
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600]
    assert len(files[0].read_text().splitlines()) == count


async def test_a_terminal_without_a_clipboard_says_so(
    app: TriageApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("y")
        await until(pilot, lambda: "This terminal has no clipboard" in said(app))


async def test_secrets_are_masked_unless_they_are_asked_for(app: TriageApp, workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / "20991231_235959_00000009"
    writer = RunWriter(workspace / "ai_runs")
    blob = writer.add_blob("env.bin", 0x2000, b"HOME=/\0\0\0\0API_KEY=hunter2secret\0\1\2\3\4")
    entry = MemoryObject(id="env", tag="arg", source="trigger", addr=0x2000, addr_hex="0x2000", blob=blob)
    write_run(workspace / "ai_runs", memory=[entry], writer=writer).rename(run_dir)
    async with app.run_test(size=(110, 40)) as pilot:
        await until(pilot, lambda: app.main.tiles and app.main.runs.select(run_dir.name))
        await until(pilot, lambda: app.main.view and app.main.view.run_id == run_dir.name)
        await pilot.press("7")
        pane = app.main.pane("memory")
        await until(pilot, lambda: app.main.active == "memory" and "hunter2" in shown(app))
        await pilot.press("Y")
        await until(pilot, lambda: "All of it as it is, with secrets" in shown(app))
        await pilot.press("1")
        await until(pilot, lambda: "masked: Y can copy them as they are" in said(app))
        for leak in ("hunter", "er2", "secret\n", "68 75 6e", "65 72 32", "72 65 74"):
            assert leak not in app.clipboard, leak
        assert "I_KEY=********" in app.clipboard
        assert "** ** **" in app.clipboard
        row = pane.rows.find(lambda row: "hunter2" in row.text)
        assert row is not None
        pane.move_to(row)
        await pilot.press("y")
        await until(pilot, lambda: "Row copied. 1 secret is masked" in said(app))
        assert "hunter2" not in app.clipboard
        await pilot.press("Y")
        await until(pilot, lambda: "All of it as it is" in shown(app))
        await pilot.press("end", "enter")
        await until(pilot, lambda: "68 75 6e" in app.clipboard)
