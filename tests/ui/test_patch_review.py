"""Reviewing hunks by keys: choosing, splitting, approving, dropping, undoing, with the result on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.retry.test_actions import FILE, TEXT, tree
from tests.runs.build import write_run
from tests.ui.conftest import said, shown, until
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import append_event
from triage_tui.ui.app import TriageApp
from triage_tui.ui.editing import draft_path
from triage_tui.ui.screens.editor import EditorScreen
from triage_tui.ui.signals import keep_edits
from triage_tui.ui.widgets.lua_area import LuaArea

NEW = TEXT.replace(b"hit-limit: 3", b"hit-limit: 9").replace(b"return 0, 0", b"return 1, -13")
SIZE = (110, 48)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace with one run, whose rule is active and was edited in two places."""
    workspace = Workspace(tmp_path / "w")
    run_dir = write_run(workspace.runs_dir)
    rule = run_dir / "rules_patch" / FILE
    rule.parent.mkdir(parents=True)
    rule.write_bytes(TEXT)
    append_event(run_dir, "captured", {})
    append_event(run_dir, "proposed", {})
    actions = LocalActions(workspace, "ann")
    actions.approve(run_dir.name, [FILE])
    actions.save_edit(run_dir.name, FILE, NEW.decode())
    return workspace


def app_of(place: Workspace) -> TriageApp:
    return TriageApp(place.root, actions=LocalActions(place, "ann"), remember=True)


async def at_patch(pilot: Pilot[None], app: TriageApp) -> None:
    await until(pilot, lambda: app.main.tiles and app.main.view and app.main.patch.view)
    await pilot.press("2")
    await until(pilot, lambda: app.main.patch.insights, "what is known of the rule")


def active(place: Workspace) -> Path:
    return next((place.root / "rulebook").iterdir()) / "current"


def proposed(place: Workspace) -> Path:
    return next(place.runs_dir.iterdir()) / "rules_patch" / FILE


async def test_one_hunk_is_approved_undone_and_approved_again(place: Workspace) -> None:
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        before = tree(active(place))
        assert "changes the active rule, 2 hunks" in shown(app)
        await pilot.press("}", "}", "space")
        assert "✓ hunk 2 of 2  +1 -1  chosen" in shown(app)
        assert "approve 1 hunk" in shown(app).split("\n")[-1]
        await pilot.press("a")
        await until(pilot, lambda: "1 rule with 1 of 2 hunks active" in said(app))
        assert "u undoes it" in said(app)
        after = tree(active(place))
        assert TEXT.replace(b"return 0, 0", b"return 1, -13") in after.values()
        await until(pilot, lambda: "hunk 1 of 1" in shown(app), "the hunk that is left")
        assert "undo approval" in shown(app).split("\n")[-1]
        await pilot.press("u")
        await until(pilot, lambda: tree(active(place)) == before, "the bytes from before")
        await until(pilot, lambda: "U does it again" in said(app))
        await pilot.press("U")
        await until(pilot, lambda: tree(active(place)) != before, "the hunk again")
        assert TEXT.replace(b"return 0, 0", b"return 1, -13") in tree(active(place)).values()


async def test_what_gets_in_the_way_of_an_active_rule_is_asked_about_first(place: Workspace) -> None:
    other = TEXT.replace(b"fix-openat-1", b"a-first").replace(b"return 0, 0", b"return 1, -13")
    mine = place.rulebook / "own" / "x-1" / "syscall" / "openat@a-first.lua"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(other)
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        before = tree(active(place))
        assert "the active rule a-first (path=/etc/x.conf) is for the same calls and" in shown(app)
        for answer in ("escape", "1"):
            await pilot.press("A")
            await until(pilot, lambda: "It gets in the way of active rules: the active" in shown(app))
            await pilot.press(answer)
            await until(pilot, lambda: app.screen is app.main)
            assert tree(active(place)) == before
        await pilot.press("A")
        await until(pilot, lambda: "Approve all the same" in shown(app))
        await pilot.press("2")
        await until(pilot, lambda: "generation 2), although" in said(app))
        assert tree(active(place)) != before


async def test_what_changed_on_disk_is_shown_and_not_approved(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        before = tree(active(place))
        # The watcher may be faster than the key: what was seen is what counts.
        monkeypatch.setattr(app, "update_runs", lambda run_ids: None)
        proposed(place).write_bytes(NEW + b"-- sneaked in\n")
        await pilot.press("a")
        await until(pilot, lambda: "changed since it was shown" in said(app))
        assert tree(active(place)) == before
        monkeypatch.undo()
        app.update_runs({app.main.view.run_id} if app.main.view else set())
        await until(pilot, lambda: "sneaked in" in shown(app), "the new text")


@pytest.mark.parametrize("size", [(80, 24), (120, 30)])
async def test_what_changed_since_it_was_looked_at_is_gone_to_before_it_is_approved(
    place: Workspace, size: tuple[int, int]
) -> None:
    (proposed(place).parent / "write.lua").write_bytes(TEXT.replace(b"openat", b"write"))
    long = NEW + b"".join(b"-- line %d\n" % number for number in range(100))
    proposed(place).write_bytes(long)
    app = app_of(place)
    async with app.run_test(size=size) as pilot:
        await at_patch(pilot, app)
        before = tree(active(place))
        changed = long.replace(b"line 60\n", b"evil\n").replace(b"-- line 99\n", b"")
        proposed(place).write_bytes(changed)
        app.update_runs({place.load("last").run_id})
        await until(pilot, lambda: "changed on disk since you looked" in said(app))
        assert f"{FILE} changed on disk" in said(app)
        assert "-- evil" not in shown(app)
        await pilot.press("A")
        await until(pilot, lambda: "2 changes were made since you looked at the rule" in said(app))
        assert "▼ this line changed since you looked" in shown(app)
        assert "-- evil" in shown(app)
        await pilot.press("A")
        await until(pilot, lambda: "1 change was made since you looked at the rule, this" in said(app))
        assert "▼ lines are gone since you looked" in shown(app)
        assert tree(active(place)) == before
        await pilot.press("A")
        await until(pilot, lambda: changed in tree(active(place)).values())
        await until(pilot, lambda: "▼" not in shown(app))
        # What was approved is folded, and the cursor stays with it.
        await until(pilot, lambda: "active as it is" in shown(app))
        await pilot.pause()
        assert app.main.patch.place.file == FILE
        await pilot.press("a")
        await until(pilot, lambda: "This rule is active already, byte for byte." in said(app))


async def test_all_says_what_it_left_out_and_an_active_rule_is_said_to_be_active(place: Workspace) -> None:
    rules = proposed(place).parent
    (rules / "read.lua").write_bytes(b"-- line\n" * 4116)
    (rules / "write.lua").write_bytes(TEXT.replace(b"openat", b"write"))
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        assert app.main.patch.go_to_file("fix/syscall/write.lua")
        app.main.patch.set_here("dropped")
        await pilot.press("a")
        await until(pilot, lambda: "write.lua is dropped: space leaves it open again." in said(app))
        assert app.main.patch.go_to_file("fix/syscall/read.lua")
        await pilot.press("a")
        await until(pilot, lambda: "read.lua cannot be approved: " in said(app))
        assert "a approve" in shown(app).split("\n")[-1]
        await pilot.press("A")
        await until(pilot, lambda: "1 rule active for" in said(app))
        assert "; left out: fix/syscall/read.lua (" in said(app)
        assert "4116 lines" in said(app)
        assert "fix/syscall/write.lua (dropped)" in said(app)
        await until(pilot, lambda: "active as it is" in shown(app))
        assert app.main.patch.go_to_file(FILE)
        app.main.refresh_bars()
        await until(pilot, lambda: "a approve" not in shown(app).split("\n")[-1])
        await pilot.press("a")
        await until(pilot, lambda: "This rule is active already, byte for byte." in said(app))


async def test_all_leaves_out_what_a_model_proposed_and_says_so(place: Workspace) -> None:
    name = "fix/syscall/read@fix-read-1.lua"
    text = TEXT.replace(b"fix-openat-1", b"fix-read-1").replace(
        b"template:", b"proposed-by: model m\n-- template:"
    )
    (proposed(place).parent / "read@fix-read-1.lua").write_bytes(text)
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        await pilot.press("A")
        await until(pilot, lambda: "1 rule active for" in said(app))
        assert f"left out: {name} (by a model: look at it, and approve it with a)" in said(app)
        assert not list(active(place).rglob("read@*"))
        assert "by a model" in shown(app)
        # The sentence comes before the pane: what it shows must be what is active, or nothing is approved.
        await until(pilot, lambda: "active as it is" in shown(app))
        await pilot.press("A")
        await until(pilot, lambda: f"Nothing was approved; left out: {name}" in said(app))
        assert app.main.patch.go_to_file(name)
        await pilot.press("a")
        await until(pilot, lambda: "1 rule, proposed by a model, active for" in said(app))
        assert [path.read_bytes() for path in active(place).rglob("read@*")] == [text]


async def test_a_file_is_dropped_with_a_typed_reason_and_that_is_undone(place: Workspace) -> None:
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        await pilot.press("}", "x")
        await until(pilot, lambda: "Why drop this hunk?" in shown(app))
        await pilot.press("6")
        await until(pilot, lambda: app.screen.query(Input))
        await pilot.press(*"q is no", "enter")
        await until(pilot, lambda: f"Dropped {FILE}:1; u undoes it" in said(app))
        assert "✗ hunk 1 of 2  +1 -1  dropped" in shown(app)
        run = place.load("last")
        assert (run.events[-1].kind, run.events[-1].payload) == (
            "dropped",
            {"what": [f"{FILE}:1"], "reason": "q is no"},
        )
        await pilot.press("u")
        await until(pilot, lambda: "is taken back" in said(app))
        assert "○ hunk 1 of 2" in shown(app)


async def test_a_hunk_is_split_and_states_outlive_the_app(place: Workspace) -> None:
    proposed(place).write_bytes(TEXT + b"-- one\n\n-- two\n-- three\n")
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        await pilot.press("}", "S")
        assert "hunk 2 of 2  +2" in shown(app)
        await pilot.press("}", "j", "j", "S", "space")
        assert "✓ hunk 3 of 3  +1  chosen" in shown(app)
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        assert "✓ hunk 3 of 3  +1  chosen" in shown(app)
        await pilot.press("a")
        await until(pilot, lambda: "1 rule with 1 of 3 hunks active" in said(app))
        assert TEXT + b"-- three\n" in tree(active(place)).values()


async def test_an_edit_with_errors_is_marked_kept_not_approved_and_undone(place: Workspace) -> None:
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        before = tree(active(place))
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen) and app.screen.query(LuaArea))
        editor = app.screen
        assert isinstance(editor, EditorScreen)
        area = editor.query_one(LuaArea)
        area.move_cursor(area.document.end)
        await pilot.press(*"x = = 1")
        await until(pilot, lambda: [finding.line for finding in editor.findings] == [16])
        await until(pilot, lambda: "✗ error, line 16" in shown(app) and "not approved" in shown(app))
        area.move_cursor((0, 0))
        await pilot.press("f8")
        assert area.cursor_location == (15, 0)
        await pilot.press("f2")
        await until(pilot, lambda: "cannot be approved as it is" in said(app))
        assert proposed(place).read_bytes() == NEW + b"x = = 1"
        await until(pilot, lambda: "✗ error, line 16" in shown(app))
        await pilot.press("a")
        await until(pilot, lambda: "Line 16 of fix/" in said(app))
        assert tree(active(place)) == before
        await pilot.press("u")
        await until(pilot, lambda: proposed(place).read_bytes() == NEW)


async def test_an_edit_is_kept_when_the_app_is_told_to_end(place: Workspace) -> None:
    app = app_of(place)
    draft = draft_path(place.load("last").run_id, FILE, NEW.decode())
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen) and app.screen.query(LuaArea))
        keep_edits(app)
        assert not draft.exists(), "nothing was typed yet"
        await pilot.press(*"--mine", "enter")
        keep_edits(app)
        assert draft.read_bytes() == b"--mine\n" + NEW
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen) and app.screen.query(LuaArea))
        assert app.screen.query_one(LuaArea).text == "--mine\n" + NEW.decode()


async def test_an_edit_that_is_refused_is_kept_and_taken_up_again(place: Workspace) -> None:
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen) and app.screen.query(LuaArea))
        await pilot.press(*"--mine", "enter")
        proposed(place).write_bytes(NEW + b"-- another's\n")
        await pilot.press("f2")
        await until(pilot, lambda: "not saved over it; the edit is kept in" in said(app))
        draft = draft_path(place.load("last").run_id, FILE, NEW.decode())
        assert draft.read_bytes() == b"--mine\n" + NEW
        await until(pilot, lambda: app.main.view and "another's" in app.main.view.rules[FILE].text)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen) and app.screen.query(LuaArea))
        assert f"as it was before it changed, is kept in {draft}" in said(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        proposed(place).write_bytes(NEW)
        app.update_runs({place.load("last").run_id})
        await until(pilot, lambda: app.main.view and app.main.view.rules[FILE].text == NEW.decode())
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen) and app.screen.query(LuaArea))
        await pilot.press("f2")
        await until(pilot, lambda: proposed(place).read_bytes() == b"--mine\n" + NEW)
        await until(pilot, lambda: not draft.exists())
        # One's own edit needs no second look.
        await until(pilot, lambda: app.main.view and app.main.view.rules[FILE].text.startswith("--mine"))
        await pilot.press("A")
        await until(pilot, lambda: b"--mine\n" + NEW in tree(active(place)).values())


async def test_an_approval_of_somebody_else_is_rolled_back_only_after_a_question(place: Workspace) -> None:
    app = app_of(place)
    run_id = place.load("last").run_id
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        await pilot.press("A")
        await until(pilot, lambda: "generation 2" in said(app))
        LocalActions(place, "ann").rollback(run_id)
        LocalActions(place, "bob").approve(run_id, [FILE])
        after = tree(active(place))
        app.update_runs({run_id})
        await until(pilot, lambda: app.main.view and app.main.view.generation == "0003")
        await pilot.press("u")
        await until(pilot, lambda: "generation 3 of bob is: so nothing was undone" in said(app))
        await pilot.press("u")
        await until(pilot, lambda: "Roll back generation 0003 of" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.main)
        assert tree(active(place)) == after
        await pilot.press("u")
        await until(pilot, lambda: "Roll back generation 0003 of" in shown(app))
        await pilot.press("2")
        await until(pilot, lambda: "Rolled back to generation 1" in said(app))


@pytest.mark.parametrize(
    ("keys", "question"),
    [(["u"], "Roll back generation 0001 of"), (["0", "space", "u"], "Take the rules of 1 run (")],
)
async def test_what_somebody_else_approved_while_the_question_stood_stays_active(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, keys: list[str], question: str
) -> None:
    app = app_of(place)
    run_id = place.load("last").run_id
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        # As if the change were noticed only after the answer.
        monkeypatch.setattr(app, "update_runs", lambda runs: None)
        await pilot.press(*keys)
        await until(pilot, lambda: question in shown(app))
        bob = LocalActions(place, "bob")
        bob.rollback(run_id)
        bob.approve(run_id, [FILE])
        after = tree(active(place))
        await pilot.press("2")
        await until(pilot, lambda: "eneration 1 is not active any more, 2 of bob is" in said(app))
        assert "othing was rolled back" in said(app)
    assert tree(active(place)) == after


async def test_texts_stand_side_by_side_where_there_is_room(place: Workspace) -> None:
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        line = next(line for line in shown(app).split("\n") if "hit-limit: 3" in line)
        assert "hit-limit: 9" in line
        await pilot.press("v")
        await pilot.pause()
        line = next(line for line in shown(app).split("\n") if "- -- hit-limit: 3" in line)
        assert "hit-limit: 9" not in line


async def test_other_runs_are_asked_what_they_would_have_matched(place: Workspace) -> None:
    run_id = place.load("last").run_id
    write_run(place.runs_dir)
    app = TriageApp(place.root, actions=LocalActions(place), open_run=run_id)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        await pilot.press("m")
        await until(pilot, lambda: "in 1 other run" in shown(app))


async def test_what_a_rule_does_wrong_at_recorded_calls_is_shown_once_it_is_run(place: Workspace) -> None:
    # Where this goes cannot be told from the text.
    writes = b"local far = c_shared_get('x') or 4096 c_write_bytes(a2 + far, 'x') return 0, 0"
    proposed(place).write_bytes(TEXT.replace(b"return 0, 0", writes))
    app = app_of(place)
    async with app.run_test(size=SIZE) as pilot:
        await at_patch(pilot, app)
        assert "✗ error" not in shown(app)
        await pilot.press("m")
        await until(pilot, lambda: "✗ error, line 14" in shown(app) and "no memory of an" in shown(app))
        before = tree(active(place))
        await pilot.press("a")
        await until(pilot, lambda: "Line 14 of fix/" in said(app))
        assert tree(active(place)) == before
