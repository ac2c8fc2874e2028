"""What a person decides, from the key to the action that is asked for."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

import pytest
from textual.widgets import TextArea

from tests.ui import fixtures, texts
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.errors import TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import EVENTS_FILE
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json
from triage_tui.ui.app import TriageApp
from triage_tui.ui.editing import draft_path, edit_outside, editable_here, editor_command, forget_draft

RULE = "fix/syscall/ioctl.lua"
SIZE = (100, 40)


async def test_approve_shows_the_rule_first_and_then_approves_it(
    app: TriageApp, actions: RecordedActions
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("a")
        await pilot.pause()
        assert app.main.active == "patch"
        assert actions.calls == []
        await pilot.press("a")
        await until(pilot, lambda: actions.calls)
        assert actions.calls == [("approve", fixtures.EXIT_RUN, RULE)]
        await until(pilot, lambda: "Approve was recorded; u undoes it." in said(app))


async def test_several_proposals_are_approved_at_once(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("2", "space", "G", "space", "a")
        await until(pilot, lambda: actions.calls)
        assert actions.calls == [("approve", fixtures.EXIT_RUN, RULE, "observe/syscall/socket.lua")]


async def test_proposal_that_needs_input_is_not_approved(workspace: Path, actions: RecordedActions) -> None:
    run_dir = workspace / "ai_runs" / fixtures.EXIT_RUN
    diagnosis = load_run(run_dir).diagnosis
    assert diagnosis is not None
    diagnosis.proposals[0].needs_input = "the address of the peer"
    (run_dir / "diagnosis.json").write_bytes(encode_json(diagnosis))
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("2", "a")
        await until(pilot, lambda: "needs something from you first" in said(app))
        assert actions.calls == []


async def test_reject_asks_for_a_reason(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("x")
        await until(pilot, lambda: "Why reject the proposals" in shown(app))
        await pilot.press("j", "enter")
        await until(pilot, lambda: actions.calls)
        assert actions.calls == [("reject", fixtures.EXIT_RUN, "too broad")]


@pytest.mark.parametrize("key", ["a", "x", "r", "R", "E", "u"])
async def test_nothing_is_decided_on_a_run_that_is_shown_no_more(
    app: TriageApp, actions: RecordedActions, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        # The run under the cursor stays unread for as long as the test lasts.
        monkeypatch.setattr(app, "load_run", lambda run_id: None)
        await pilot.press("0", "j", key)
        await until(pilot, lambda: said(app))
        assert "is not shown yet" in said(app)
        assert app.screen is app.main
        assert actions.calls == []


async def test_nothing_is_decided_where_the_filter_hides_every_run(
    app: TriageApp, actions: RecordedActions
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("0", "slash", *"nosuch", "enter")
        await until(pilot, lambda: "No run matches the filter." in shown(app))
        await until(pilot, lambda: app.focused is app.main.runs)
        await pilot.press("x")
        await until(pilot, lambda: "No run is under the cursor" in said(app))
        assert app.screen is app.main
        assert actions.calls == []


async def test_leaving_the_question_rejects_nothing(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("x")
        await until(pilot, lambda: "Why reject the proposals" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        assert actions.calls == []


@pytest.mark.parametrize(("key", "call"), [("r", "resume"), ("R", "retry")])
async def test_frozen_guest_gets_its_decision(
    app: TriageApp, actions: RecordedActions, key: str, call: str
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press(key)
        await until(pilot, lambda: actions.calls)
        assert actions.calls == [("decide", fixtures.EXIT_RUN, call)]
        await until(pilot, lambda: app.main.active == "retry", "the retry pane")


async def test_ending_the_guest_asks_first(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("E")
        await until(pilot, lambda: "End the frozen guest udhcpc?" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.main)
        assert actions.calls == []
        await pilot.press("E")
        await until(pilot, lambda: "End the frozen guest udhcpc?" in shown(app))
        await pilot.press("2")
        await until(pilot, lambda: actions.calls)
        assert actions.calls == [("decide", fixtures.EXIT_RUN, "end")]


async def test_a_question_is_about_the_run_that_it_was_asked_about(
    app: TriageApp, actions: RecordedActions
) -> None:
    def reached(count: int) -> bool:
        return len(actions.calls) == count

    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        for number, (key, answer) in enumerate((("E", "2"), ("x", "1")), 1):
            app.main.open_run(fixtures.EXIT_RUN)
            await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.EXIT_RUN)
            await pilot.press(key)
            await until(pilot, lambda: app.screen is not app.main)
            app.main.open_run(fixtures.RETRY_RUN)
            await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.RETRY_RUN)
            await pilot.press(answer)
            await until(pilot, partial(reached, number))
    assert [call[:2] for call in actions.calls] == [
        ("decide", fixtures.EXIT_RUN),
        ("reject", fixtures.EXIT_RUN),
    ]


@pytest.mark.parametrize(("key", "answer"), [("E", "2"), ("x", "1")])
async def test_a_run_that_went_while_the_question_stood_is_named(
    workspace: Path, key: str, answer: str
) -> None:
    place = Workspace(workspace)
    app = TriageApp(workspace, actions=LocalActions(place, "ann"))
    logs = {path: path.read_bytes() for path in place.runs_dir.glob(f"*/{EVENTS_FILE}")}
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press(key)
        await until(pilot, lambda: app.screen is not app.main)
        gone = place.runs_dir / fixtures.EXIT_RUN
        gone.rename(workspace / "elsewhere")
        app.update_runs({fixtures.EXIT_RUN})
        await until(pilot, lambda: fixtures.EXIT_RUN not in app.main.run_list)
        await pilot.press(answer)
        await until(pilot, lambda: f"There is no run '{fixtures.EXIT_RUN}'" in said(app))
    left = {path: path.read_bytes() for path in place.runs_dir.glob(f"*/{EVENTS_FILE}")}
    assert left == {path: log for path, log in logs.items() if path.parent != gone}


async def test_a_guest_frozen_while_leaving_is_asked_about_is_not_left_unasked(
    app: TriageApp, workspace: Path, actions: RecordedActions
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("q")
        await until(pilot, lambda: app.screen is not app.main)
        another = "20251118_150000_00000009"
        fixtures.make_exit_run(workspace / "ai_runs", another)
        app.update_runs({another})
        await until(pilot, lambda: another in app.main.waiting_runs)
        await pilot.press("3")
        await until(pilot, lambda: "Another guest was frozen meanwhile" in said(app))
        assert app.is_running
        assert actions.calls == []


async def test_without_a_frozen_guest_resume_says_so_and_retry_starts_again(
    app: TriageApp, actions: RecordedActions
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        app.main.runs.select(fixtures.RETRY_RUN)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == fixtures.RETRY_RUN)
        await pilot.press("r")
        await until(pilot, lambda: "No frozen guest waits in this run." in said(app))
        await pilot.press("R")
        await until(pilot, lambda: actions.calls)
        assert actions.calls == [("retry", fixtures.RETRY_RUN)]


async def test_edit_in_place_saves_only_what_was_saved(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("2", "i")
        await until(pilot, lambda: app.screen is not app.main and app.screen.query(TextArea))
        await pilot.press("X", "escape")
        await pilot.pause()
        assert "Not saved." in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        assert actions.calls == []
        await pilot.press("i")
        await until(pilot, lambda: app.screen is not app.main and app.screen.query(TextArea))
        await pilot.press("minus", "minus", "enter", "f2")
        await until(pilot, lambda: actions.calls)
        assert actions.calls == [("save_edit", fixtures.EXIT_RUN, RULE, "--\n" + texts.OPEN_RULE)]


async def test_rule_with_control_characters_is_not_edited_in_place(
    workspace: Path, actions: RecordedActions
) -> None:
    rule = workspace / "ai_runs" / fixtures.EXIT_RUN / "rules_patch" / RULE
    rule.write_text("-- \x1b]52;c;ZXZpbA==\x07\n")
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("2", "i")
        await until(pilot, lambda: "cannot be shown here" in said(app))
        assert app.screen is app.main


async def test_refusal_of_an_action_is_shown_as_its_sentence(
    app: TriageApp, actions: RecordedActions
) -> None:
    actions.refuse = "somebody else decided first [@click=app.quit]x[/]"
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("2", "a")
        await until(pilot, lambda: "[@click=app.quit]x[/]" in said(app))


def test_outside_editor_changes_or_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "true")
    assert edit_outside("old text\n", RULE) is None
    monkeypatch.setenv("EDITOR", "no-such-editor-here")
    with pytest.raises(TriageError, match="cannot be started"):
        edit_outside("old text\n", RULE)
    monkeypatch.setenv("EDITOR", "'unfinished")
    with pytest.raises(TriageError, match="not a command"):
        edit_outside("old text\n", RULE)
    monkeypatch.setenv("EDITOR", "false")
    with pytest.raises(TriageError, match="ended with 1, and nothing was changed"):
        edit_outside("old text\n", RULE)
    monkeypatch.setenv("EDITOR", "sed -i s/old/new/")
    assert edit_outside("old text\n", RULE) == "new text\n"
    # As long as it is not saved the edit is there, and the editor opens it again.
    monkeypatch.setenv("EDITOR", "sed -i s/new/newer/")
    assert edit_outside("old text\n", RULE) == "newer text\n"
    forget_draft("", RULE, "old text\n")
    monkeypatch.setenv("EDITOR", "true")
    assert edit_outside("old text\n", RULE) is None


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo kept > $0; exit 3", "ended with 3, so the edit was not taken"),
        (r"printf 'kept \377' > $0", "not UTF-8"),
        ("head -c 300000 /dev/zero > $0", "more than"),
    ],
)
def test_an_edit_that_cannot_be_taken_is_opened_again(
    monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"sh -c {shlex.quote(script)}")
    with pytest.raises(TriageError, match=why):
        edit_outside("old\n", RULE, "run")
    assert draft_path("run", RULE, "old\n").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("EDITOR", "sh -c 'head -c 4 $0 > $0.new; echo >> $0.new; mv $0.new $0'")
    edited = edit_outside("old\n", RULE, "run")
    assert edited is not None
    assert edited != "old\n"


def test_an_editor_with_windows_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for editor, command in (
        ("code", ["code", "--wait"]),
        ("/usr/bin/subl --wait -n", ["/usr/bin/subl", "--wait", "-n"]),
        ("vim -u NONE", ["vim", "-u", "NONE"]),
    ):
        monkeypatch.setenv("VISUAL", editor)
        assert editor_command() == command
    forks = tmp_path / "windowed"
    forks.write_text("#!/bin/sh\nexit 0\n")
    forks.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(forks))
    with pytest.raises(TriageError, match="came back at once"):
        edit_outside("old\n", RULE, "run")
    # Saved in the window meanwhile; the next time it is taken.
    draft_path("run", RULE, "old\n").write_text("new\n")
    assert edit_outside("old\n", RULE, "run") == "new\n"


def test_only_plain_text_is_edited_in_place() -> None:
    assert editable_here(texts.OPEN_RULE)
    assert editable_here("\tindented\n")
    assert editable_here("a\r\nb\r\n")
    assert not editable_here("a\r\nb\n")
    assert not editable_here("a\x1b[31mb")
    assert not editable_here("a\u202eb")
    assert not editable_here("a\x9bb")
