"""Keys, what they do, and what is then on the screen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual.message import Message

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.runs.events import append_event
from triage_tui.ui.actions import ACTIONS, PANE_KEYS, PANES
from triage_tui.ui.app import TriageApp
from triage_tui.ui.messages import RunLoaded
from triage_tui.ui.panes.code import CodePane
from triage_tui.ui.panes.memory import MemoryPane
from triage_tui.ui.panes.syscalls import SyscallsPane
from triage_tui.ui.screens.help import HelpScreen

SMALL, LARGE = (80, 24), (160, 48)


async def test_waiting_run_is_first_and_calls_to_act(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        text = shown(app)
        rows = [line for line in text.split("\n") if "udhcpc" in line]
        assert "waits for you" in rows[0]
        assert "1 guest waits for you" in text
        assert "The guest is frozen and waits." in text
        sentence = "Most likely: missing_interface (0.93). 1 rule proposed, 1 observes."
        assert sentence in " ".join(text.split())
        assert "⏎ open" in text


async def test_broken_half_written_and_newer_runs_say_so_and_stop_nothing(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        text = shown(app)
        assert "unreadable" in text
        assert "writing" in text
        await pilot.press("G")
        await until(pilot, lambda: app.main.failure, "the broken run's sentence")
        assert "not valid JSON" in " ".join(shown(app).split())
        await pilot.press("1")
        await pilot.pause()
        assert "This run cannot be shown." in shown(app)
        await pilot.press("0")
        assert app.main.runs.select(fixtures.NEWER_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.NEWER_RUN)
        await pilot.press("1")
        await pilot.pause()
        assert "written by a newer version (schema 99" in shown(app)


async def test_a_run_that_is_deleted_while_it_is_shown_is_said_to_be(app: TriageApp, workspace: Path) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("3")
        before = app.main.runs.selected
        assert before is not None
        shutil.rmtree(workspace / "ai_runs" / before.run_id)
        app.update_runs([before.run_id])
        await until(pilot, lambda: app.main.wanted != before.run_id, "the neighbour")
        assert app.main.runs.selected is not None
        assert app.main.wanted == app.main.runs.selected.run_id
        assert f"Run {before.run_id} was deleted: this is {app.main.runs.selected.name}" in said(app)
        for run in list(app.main.known_runs):
            shutil.rmtree(workspace / "ai_runs" / run.run_id)
        app.update_runs([run.run_id for run in app.main.known_runs])
        # Read just then, or told by the list: either way it is said.
        await until(pilot, lambda: "was deleted" in (app.main.failure or ""), "nothing is left")
        await until(pilot, lambda: app.main.view is None, "no run on screen")
        assert "This run cannot be shown." in shown(app)


async def test_number_keys_open_every_pane(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        expected = {
            "diagnosis": "The network interface eth0 does not exist",
            "patch": "Let udhcpc believe that eth0 exists.",
            "syscalls": "held before it happens",
            "backtrace": "candidate from the stack",
            "code": "bgez",
            "registers": "was 0x1057",
            "memory": "the interface that was asked for",
            "process": "udhcpc: started, v1.35.0",
            "retry": "This run was not retried",
            "history": "frozen and recorded",
        }
        for key, (name, _, _) in zip(PANE_KEYS, PANES, strict=True):
            await pilot.press(key)
            await pilot.pause()
            assert app.main.active == name
            assert app.focused is app.main.pane(name)
            assert expected[name] in shown(app), name


async def test_wide_terminal_shows_tiles_side_by_side(app: TriageApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        text = shown(app)
        for part in ("0 Runs", "The network interface eth0", "held before it happens", "_exit", "bgez"):
            assert part in text


async def test_resizing_to_tiny_and_back_loses_nothing(app: TriageApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        await pilot.press("3", "k", "k")
        before = app.main.pane("syscalls").cursor
        await pilot.resize_terminal(40, 10)
        await pilot.pause()
        assert "Please make this terminal larger" in shown(app)
        assert "udhcpc" not in shown(app)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert app.main.active == "syscalls"
        assert app.main.pane("syscalls").cursor == before
        assert "SIOCGIFINDEX" in shown(app)
        await pilot.resize_terminal(*LARGE)
        await pilot.pause()
        assert "held before it happens" in shown(app)
        assert app.main.pane("syscalls").cursor == before


async def test_evidence_link_opens_marks_and_backspace_returns(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("1")
        pane = app.main.pane("diagnosis")
        await pilot.press("enter")
        await until(pilot, lambda: "enter follows lines that have an underlined link" in said(app))
        row = pane.rows.find(lambda row: any("mem/ioctl-arg" in link for _, _, link in row.links))
        assert row is not None
        pane.move_to(row)
        await pilot.press("enter")
        await pilot.pause()
        memory = app.main.query_one(MemoryPane)
        assert app.main.active == "memory"
        assert memory.marked == [2]
        assert "65 74 68 30" in memory.rows.row(2).text
        await pilot.press("backspace")
        await pilot.pause()
        assert app.main.active == "diagnosis"
        assert pane.cursor == row


async def test_link_into_code_goes_to_frame_and_line(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        app.main.follow("ev:code/2#L6")
        await pilot.pause()
        code = app.main.query_one(CodePane)
        assert app.main.active == "code"
        assert code.marked == [5]
        assert "strncpy_IFNAMSIZ" in code.rows.row(5).text


async def test_link_that_leads_nowhere_says_so(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        app.main.follow("ev:syscall/999")
        await until(pilot, lambda: "not in the run" in said(app))


async def test_code_follows_the_selected_frame(app: TriageApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        assert "bgez" in shown(app)
        await pilot.press("4", "j", "j")
        await pilot.pause()
        assert "strncpy_IFNAMSIZ" in shown(app)


async def test_filter_runs_as_typed_and_keep_or_drop(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("slash", *"arch:arm")
        await pilot.pause()
        assert app.main.runs.selected is not None
        assert {app.main.runs.rows.row(n).target.arch for n in range(len(app.main.runs.rows))} == {"arm"}
        await pilot.press("enter")
        await pilot.pause()
        assert app.focused is app.main.runs
        assert app.main.runs.filter_text == "arch:arm"
        await pilot.press("escape")
        await pilot.pause()
        assert app.main.runs.title_note == "6"


async def test_syscalls_filter_and_failures_only(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        pane = app.main.query_one(SyscallsPane)
        await pilot.press("3", "f")
        assert len(pane.rows) == 3
        await until(pilot, lambda: "failures · 3 of 14" in shown(app))
        await pilot.press("f", "slash", *"enodev", "enter")
        assert [pane.rows.row(n).target for n in range(len(pane.rows))] == [11]
        await pilot.press("escape")
        assert len(pane.rows) == 14


async def test_enter_shows_the_whole_syscall(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("3")
        app.main.pane("syscalls").move_to(10)
        await pilot.press("enter")
        await until(pilot, lambda: "Syscall 11" in shown(app))
        for part in ("SIOCGIFINDEX", "ENODEV", "eth0"):
            assert part in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_a_long_timeline_opens_at_its_trigger(app: TriageApp, size: tuple[int, int]) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.LOOP_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.LOOP_RUN)
        await pilot.press("3")
        await pilot.pause()
        assert "  121 " in shown(app)
        assert "╭" in shown(app)
        await pilot.press("g")
        await pilot.pause()
        assert "watchd" in shown(app)
        assert "  121 " not in shown(app)


async def test_a_filter_typed_ahead_never_runs_as_commands(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await app.main.action_filter()
        app.main.runs.focus()
        await pilot.press("x", "R", "q", "backspace", "r")
        await pilot.pause()
        assert app.main.runs.filter_text == "xRr"
        assert actions.calls == []
        assert app.screen is app.main


async def test_next_and_previous_run_keep_the_pane(app: TriageApp) -> None:
    messages: list[Message] = []
    async with app.run_test(size=SMALL, message_hook=messages.append) as pilot:
        await opened(pilot)
        await pilot.press("o", "6", "n")
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.RETRY_RUN)
        assert app.main.active == "registers"
        await pilot.press("p")
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.EXIT_RUN)
        loaded = [m.view.run_id for m in messages if isinstance(m, RunLoaded)]
        assert loaded[0] == fixtures.EXIT_RUN
        assert fixtures.RETRY_RUN in loaded


async def test_verdict_names_reasons_and_what_is_masked(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.RETRY_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.RETRY_RUN)
        await pilot.press("9")
        await pilot.pause()
        text = shown(app)
        for part in (
            "PROGRESSED",
            "the exit after ENODEV is gone",
            "masked, not fixed",
            "answered by a rule",
        ):
            assert part in text


async def test_a_new_run_and_a_changed_state_appear_by_themselves(app: TriageApp, workspace: Path) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        fixtures.make_loop_run(workspace / "ai_runs", "20251119_000000_00000009", rounds=3)
        await until(pilot, lambda: app.main.runs.title_note == "7", "the new run")
        append_event(workspace / "ai_runs" / fixtures.EXIT_RUN, "decision", {"action": "end"})
        await until(pilot, lambda: app.main.view and not app.main.view.waiting, "the decision")
        assert "waits for you" not in shown(app)


async def test_retry_log_is_followed_live(app: TriageApp, workspace: Path) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("9", "G")
        log = workspace / "ai_runs" / fixtures.EXIT_RUN / "retry.log"
        for number in range(40):
            with log.open("a") as stream:
                stream.write(f"line {number}\n")
        await until(pilot, lambda: "line 39" in shown(app), "the end of the log")


async def test_a_key_freezes_the_guest_that_runs(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("F")
        await until(pilot, lambda: ("freeze",) in actions.calls, "the freeze")


async def test_help_lists_every_key_of_the_registry(app: TriageApp) -> None:
    async with app.run_test(size=(100, 200)) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.pause()
        text = " ".join(shown(app).split())
        for action in ACTIONS:
            assert " ".join(action.help.split()[:4]) in text, action.id
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.main


async def test_palette_runs_an_action(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("colon")
        await pilot.pause()
        await pilot.press(*"registers")
        await until(pilot, lambda: "Go to the registers pane." in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.main.active == "registers")


async def test_palette_runs_what_works_everywhere(app: TriageApp) -> None:
    async def run(words: str, about: str) -> None:
        await pilot.press("colon")
        await pilot.pause()
        await pilot.press(*words)
        await until(pilot, lambda: about in shown(app))
        await pilot.press("enter")

    app.guests_end = True
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("6")
        await run("help", "All keys.")
        await until(pilot, lambda: type(app.screen).__name__ == "HelpScreen")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        await run("quit", "Leave. While a guest is frozen")
        await until(pilot, lambda: type(app.screen).__name__ == "Leaving" or not app.is_running)


async def test_mouse_selects_runs_tabs_and_links(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("o")
        await pilot.click("#pane-runs", offset=(5, 1))
        assert app.main.runs.cursor == 1
        await pilot.click("#tabs", offset=(10, 0))
        await pilot.pause()
        assert app.main.active == "diagnosis"
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.RETRY_RUN)
        pane = app.main.pane("diagnosis")
        row = pane.rows.find(lambda row: any("syscall/11" in link for _, _, link in row.links))
        assert row is not None
        start = pane.rows.row(row).links[0][0]
        await pilot.click("#pane-diagnosis", offset=(start + 1, row))
        await pilot.pause()
        assert app.main.active == "syscalls"


async def test_tile_titles_are_tabs_for_the_mouse(app: TriageApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        await pilot.click("#tile-story", offset=(19, 0))
        await pilot.pause()
        assert app.main.active == "patch"


async def test_zoom_gives_the_screen_to_one_pane(app: TriageApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        await pilot.press("7", "z")
        await pilot.pause()
        assert app.main.pane("memory").size.width > 150
        await pilot.press("escape")
        await pilot.pause()
        assert "0 Runs" in shown(app)


async def test_tab_visits_every_pane_and_returns(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        seen = []
        for _ in range(len(PANES) + 1):
            await pilot.press("tab")
            seen.append(app.main.active)
        assert seen == [*(name for name, _, _ in PANES), "runs"]


async def test_keys_can_be_changed_by_the_user(
    workspace: Path, actions: RecordedActions, tmp_path: Path
) -> None:
    directory = tmp_path / "config" / "triage-tui"
    directory.mkdir(parents=True)
    (directory / "keys.yaml").write_text("pane_memory: M\nnonsense: x\n")
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "unknown actions: nonsense" in said(app))
        await pilot.press("M")
        await pilot.pause()
        assert app.main.active == "memory"


async def test_empty_workspace_says_how_to_start(tmp_path: Path) -> None:
    app = TriageApp(tmp_path)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "No runs yet. Start one: triage-tui run PROGRAM" in shown(app))


@pytest.mark.parametrize("theme", ["triage-dark", "triage-light", "textual-dark", "ansi-dark"])
async def test_every_theme_draws_every_pane(workspace: Path, actions: RecordedActions, theme: str) -> None:
    app = TriageApp(workspace, actions=actions, theme=theme)
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        assert app.theme == theme
        await pilot.press(*PANE_KEYS)
        await pilot.pause()
        assert "frozen and recorded" in shown(app)


async def test_copy_takes_the_row_as_it_is_shown(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("3", "y")
        assert app.clipboard.endswith("exit_group(1) held before it happens")
        assert app.clipboard.isprintable()


async def test_the_open_run_is_the_highlighted_one_when_a_filter_hides_it(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        before = app.main.runs.cursor
        app.main.runs.set_filter("watchd")
        await until(pilot, lambda: app.main.view and app.main.view.run_id != fixtures.EXIT_RUN)
        assert app.main.runs.cursor == before
        assert app.main.runs.selected
        assert app.main.view
        assert app.main.runs.selected.run_id == app.main.view.run_id
        chosen = app.main.view.run_id
        app.main.runs.set_filter("nothing has this name")
        app.main.runs.set_filter("")
        await pilot.pause()
        assert app.main.runs.selected.run_id == app.main.view.run_id == chosen


async def test_half_typed_filters_do_not_lead_the_cursor_away(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        runs = app.main.runs
        app.main.runs.select(fixtures.LOOP_RUN)

        async def typed(*keys: str) -> tuple[str, int]:
            await pilot.press(*keys)
            await pilot.pause()
            assert runs.selected is not None
            return runs.selected.run_id, runs.cursor

        # Hidden, then matched again, by what is typed on the way.
        assert (await typed("slash", *"target:u"))[1] == 0
        assert (await typed("backspace"))[0] == fixtures.LOOP_RUN
        assert (await typed(*"w"))[0] == fixtures.LOOP_RUN
        await typed("backspace")
        hidden, cursor = await typed(*"udhcpc")
        assert hidden != fixtures.LOOP_RUN
        assert cursor == 0
        # Dropped, it is where it was; kept, it stays on the first match.
        assert (await typed("escape"))[0] == fixtures.LOOP_RUN
        assert (await typed("slash", *"target:udhcpc", "enter")) == (hidden, 0)
        # The list goes on from there.
        assert (await typed("escape"))[0] == hidden


async def test_the_open_run_stays_the_highlighted_one_when_runs_come_on_top(
    app: TriageApp, workspace: Path
) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        summaries = list(app.main.waiting_runs)
        source = workspace / "ai_runs" / fixtures.EXIT_RUN
        copy = workspace / "ai_runs" / "20991231_235959_00000001"
        shutil.copytree(source, copy)
        await until(pilot, lambda: len(app.main.waiting_runs) > len(summaries), "the new run")
        assert app.main.runs.cursor == 1
        assert app.main.runs.selected
        assert app.main.view
        assert app.main.runs.selected.run_id == app.main.view.run_id == fixtures.EXIT_RUN


async def test_leaving_asks_only_where_it_ends_frozen_guests(
    workspace: Path, actions: RecordedActions
) -> None:
    demo = TriageApp(workspace, actions=actions, guests_end=True)
    async with demo.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("q")
        await pilot.pause()
        assert "1 guest is frozen and waits for you. Leaving the demo ends" in " ".join(shown(demo).split())
        await pilot.press("enter")
        await pilot.pause()
        assert demo.is_running
        await pilot.press("q", "2")
        await pilot.pause()
        assert not demo.is_running


async def test_an_unforeseen_error_is_kept_and_not_printed(
    workspace: Path, actions: RecordedActions, capsys: pytest.CaptureFixture[str]
) -> None:
    app = TriageApp(workspace, actions=actions)

    def fail() -> None:
        secret = "local variables may hold secrets"
        raise ValueError(secret[:5])

    async def fails() -> None:
        async with app.run_test(size=SMALL) as pilot:
            await opened(pilot)
            app.call_later(fail)
            await pilot.pause()

    with pytest.raises(ValueError, match="local"):
        await fails()
    assert isinstance(app.crash, ValueError)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err


async def test_page_keys_in_an_empty_palette_do_nothing(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("colon", *"zzqq", "pageup", "pagedown", "home", "end")
        await pilot.pause()
        await pilot.press("escape")
        assert app.is_running


async def test_a_run_that_takes_long_to_read_says_so(app: TriageApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        with monkeypatch.context() as slow:
            slow.setattr(app, "load_run", lambda run_id: None)
            app.main.runs.select(fixtures.LOOP_RUN)
            await until(pilot, lambda: f"reading {fixtures.LOOP_RUN}" in shown(app))
        app.main.load(fixtures.LOOP_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.LOOP_RUN)
        assert "reading" not in shown(app)
