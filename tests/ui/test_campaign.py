"""The campaign screen: targets, stories, rules, next steps and a comparison, live, from the record alone."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from rich.cells import cell_len
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from tests.campaign.states import happened, need, on_disk, rule, run_id, small, state_of, target
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from tests.ui.fixtures import EXIT_RUN, LOOP_RUN, make_exit_run, make_loop_run
from tests.ui.pictures import picture
from tests.ui.test_screens import Pictures, settle
from triage_tui.campaign.model import CampaignState, Outcome
from triage_tui.campaign.record import ProgressLog, held, read_campaign
from triage_tui.ui.app import TriageApp
from triage_tui.ui.campaign_data import ORDERS, advice, arranged, fitting, ordered, pace, passing, reckon
from triage_tui.ui.campaign_rows import fit_name, progress_bar
from triage_tui.ui.campaign_views import VIEWS, CampaignPlace, columns, rows_of
from triage_tui.ui.screens.campaign_sheet import CampaignSheet
from triage_tui.ui.widgets.line_view import LineView

HOSTILE = "\x1b]52;c;eA==\x07 \u202e [@click=app.quit]x"
KEY = "NVRAM default lan_ipaddr"
WIDE = ("targets", "next", "compared")
"""Views that are kept in the large size, too."""


def with_runs() -> CampaignState:
    """A campaign of which two targets have runs that are in the workspace of these tests."""
    state = small()
    for number, run in ((2, LOOP_RUN), (3, EXIT_RUN)):
        outcome = state.outcome(target(number).target)
        assert outcome is not None
        outcome.runs = [run]
    return state


async def sheet(pilot: Pilot[None], app: TriageApp, text: str) -> None:
    await until(pilot, lambda: isinstance(app.screen, CampaignSheet) and text in shown(app), text)


def current(app: TriageApp) -> str:
    row = app.screen.query_one(LineView).current
    return row.text if row is not None else ""


# --- without a screen ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [30, 74, 150])
def test_every_row_is_safe_and_fits(width: int) -> None:
    one = target(1, name=HOSTILE, group=HOSTILE)
    one.arch = HOSTILE
    outcome = Outcome(
        word=HOSTILE, cause=HOSTILE, signature=HOSTILE, headline=HOSTILE, ended=HOSTILE,
        rules=[rule(HOSTILE, helped=True, title=HOSTILE)],
        needs=[need(HOSTILE, HOSTILE, needs_input=HOSTILE)],
    )  # fmt: skip
    state = state_of([one, target(2)], {1: outcome, 2: happened(2, "refused", HOSTILE)})
    state.problems = [HOSTILE]
    before = state_of([target(9, name=HOSTILE, group=HOSTILE)], {9: outcome}, id=run_id(7))
    before.campaign.triage_tui, state.campaign.triage_tui = HOSTILE, "1"
    data = reckon(state, before)
    place = CampaignPlace()
    place.opened = frozenset([HOSTILE])
    for view, _ in VIEWS:
        for place.folded in (False, True):
            place.view = view
            rows, _ = rows_of(data, place, width)
            rows.layout(width)
            drawn = [rows.row(index) for index in range(len(rows))]
            assert drawn, view
            assert all(row.text.isprintable() for row in drawn)
            assert all("\x1b" not in row.whole for row in drawn)
            if width >= 60:
                assert all(cell_len(row.text) <= width for row in drawn), view
        assert columns(view, width).isprintable()


def test_a_filter_takes_words_and_terms() -> None:
    data = reckon(small())

    def found(text: str) -> list[int]:
        return list(passing(data, text))

    assert found("") == list(range(10))
    assert found("httpd7") == [7]
    assert found("stands:well") == [0, 1]
    assert found("-stands:well group:a") == [2, 3, 4]
    assert found("cause:missing_dev") == [4]
    assert found("rung:none verdict:not") == [5]
    assert found("group:b worker") == [6]
    assert found("stands: -stands:") == list(range(10))
    assert found("!httpd7 group:b") == [5, 6, 8, 9]
    assert advice("colour:red").startswith("no term colour: is known")
    assert advice("stands:well") == ""


def test_a_filter_of_stories_and_steps_is_about_their_texts_and_the_targets_behind() -> None:
    data = reckon(small())
    stories = data.statistics.stories

    def found(text: str) -> list[str]:
        fits = fitting(data, text)
        return [one.key for one in stories if fits(one.targets, one.key)]

    everything = [one.key for one in stories]
    assert found("") == everything
    assert found("stands:worse") == ["missing_device open(/dev/led) ENOENT"]
    assert found("stands:well stands:stuck") == []
    assert found("-missing_file stands:worse") == ["missing_device open(/dev/led) ENOENT"]
    assert found("missing -stands:worse") == ["missing_file open(/etc/a.conf) ENOENT"]


@pytest.mark.parametrize("order", ORDERS)
def test_each_order_shows_every_target_once(order: str) -> None:
    data = reckon(small())
    places = ordered(data, range(10), order)
    assert sorted(places) == list(range(10))
    first = {"worst first": 4, "cause": 4, "rung": 1, "longest": 0}.get(order, 0)
    assert places[0] == first
    folded = arranged(data, places, frozenset())
    assert sum(entry.size for entry in folded) == 10
    # The story of most targets first, and what is no story last.
    assert folded[0].heading == "missing_file open(/etc/a.conf) ENOENT"
    assert all(entry.heading[0] == "\0" for entry in folded[2:])


def test_the_pace_is_said_only_of_a_campaign_that_is_at_work() -> None:
    state = small()
    now = datetime.fromisoformat("2026-01-31T02:06:00+00:00")
    assert pace(reckon(state), now) == ""
    state.running = True
    # Six outcomes in six minutes; the one that waits is left.
    assert pace(reckon(state), now) == "1.0 a minute, about 60 s left"
    state.campaign.started = "yesterday"
    assert pace(reckon(state), now) == ""
    # One that was begun yesterday and goes on now goes as fast as it does now.
    for number, minute in ((1, 0), (2, 2), (3, 4)):
        state.last[target(number).target].at = f"2026-01-31T02:0{minute}:00+00:00"
    for number in (0, 4, 5):
        state.last[target(number).target].event = "started"
    assert pace(reckon(state), now).startswith("0.3 a minute, ")


def test_what_there_is_one_of_has_its_cell_in_the_bar() -> None:
    bar = progress_bar({"well": 9998, "worse": 1, "lost": 1}, 10_000, 20)
    assert sum(cell_len(text) for text, _ in bar) == 20
    # It is full where no target waits, and not where one does.
    full = progress_bar({"well": 6, "further": 6, "stuck": 2}, 14, 10)
    assert [(len(text), role) for text, role in full] == [(5, "good"), (4, "info"), (1, "warn")]
    assert progress_bar({"well": 9999, "waiting": 1}, 10_000, 20)[-1] == ("·", "faint")
    assert [role for _, role in progress_bar({"well": 1, "running": 1}, 100, 20)] == [
        "good",
        "accent",
        "faint",
    ]


# --- on the screen ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_every_view(
    tmp_path: Path, actions: RecordedActions, snapshot: SnapshotAssertion, size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("triage_tui.campaign.record.new_run_id", _ids())
    monkeypatch.chdir(tmp_path)
    workspace = Path("demo")
    make_exit_run(workspace / "ai_runs")
    make_loop_run(workspace / "ai_runs")
    on_disk(workspace, small())
    later = with_runs()
    later.last[target(0).target] = happened(0, Outcome(word="diagnosed", cause="missing_peer", signature="p"))
    on_disk(workspace, later)
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("Q")
        await sheet(pilot, app, "a/httpd3")
        keys = {
            "targets": ["1"], "folded": ["o", "enter"], "stories": ["o", "2"], "rules": ["3"], "next": ["4"],
            "behind": ["enter"], "compared": ["5", "c", "enter"], "filter": ["1", "slash", *"stands:lost"],
        }  # fmt: skip
        for name, presses in keys.items():
            for key in presses:
                await pilot.press(key)
                await pilot.pause()
            if name == "compared":
                await sheet(pilot, app, "Against campaign")
            if size == (80, 24) or name in WIDE:
                await settle(pilot, app)
                assert picture(app) == snapshot(name=name, extension_class=Pictures), name


def _ids() -> object:
    numbers = iter(range(1, 9))
    return lambda _place: run_id(next(numbers))


async def test_no_campaign_and_a_broken_one_are_said(
    workspace: Path, actions: RecordedActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage_tui.ui.screens.campaign_sheet.LOOK_FOR_EVERY_S", 0.05)
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("Q")
        await sheet(pilot, app, "No campaign in this workspace yet")
        await sheet(pilot, app, "begins one.")
        for key in ("enter", "m", "o", "s", "c", "left_square_bracket", "tab", "3", "escape"):
            await pilot.press(key)
        await until(pilot, lambda: app.screen is app.main)
        state = on_disk(workspace, small())
        (state.dir / "campaign.json").write_text('{"id": "\x1b]0;x\x07')
        await pilot.press("Q")
        await sheet(pilot, app, "This campaign cannot be shown: campaign.json of campaign")
        assert "is damaged" in shown(app)
        # It is mended meanwhile.
        (state.dir / "campaign.json").unlink()
        other = on_disk(workspace, small())
        (state.dir / "campaign.json").write_bytes((other.dir / "campaign.json").read_bytes())
        await sheet(pilot, app, "a/httpd3")
        # One that began since is there to turn to, and one that is gone can be left.
        await until(pilot, lambda: "[ ] campaigns" in shown(app), "the newer campaign")
        await pilot.press("left_square_bracket")
        await sheet(pilot, app, f"Campaign {other.dir.name} ended")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "This is the newest campaign" in said(app))
        # That nothing passes a filter is not told as if there were nothing.
        await pilot.press("3", "slash", *"zzz")
        await sheet(pilot, app, "Nothing passes the filter.")
        assert "No rule was tried" not in shown(app)
        await pilot.press("escape", "1")
        shutil.rmtree(other.dir)
        await sheet(pilot, app, "This campaign cannot be shown: ")
        await pilot.press("right_square_bracket")
        await sheet(pilot, app, "a/httpd3")


async def test_lines_that_cannot_be_read_cost_no_other(workspace: Path, actions: RecordedActions) -> None:
    state = on_disk(workspace, small())
    with (state.dir / "progress.jsonl").open("ab") as log:
        log.write(b'{"event": "finished", "target": 7}\n\xff\xfe\n{"event": "fin')
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("Q", "4")
        await sheet(pilot, app, "1. NVRAM")
        await pilot.press("G")
        await sheet(pilot, app, "2 lines of progress.jsonl cannot be read and were passed over")
        assert "read with problems" in shown(app)


async def test_a_target_a_story_and_a_step_lead_to_their_runs(
    workspace: Path, actions: RecordedActions
) -> None:
    on_disk(workspace, with_runs())
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("Q")
        await sheet(pilot, app, "a/httpd3")
        # One without a run says why.
        await pilot.press("slash", *"httpd7", "enter", "enter")
        await until(pilot, lambda: "httpd7 has no run (refused): its root has no /bin/httpd." in said(app))
        # The step, the targets behind it, the run of one.
        await pilot.press("escape", "4", "enter")
        await sheet(pilot, app, f"{KEY}, 2 of these")
        assert current(app).split()[1] == "a/httpd2"
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.main and app.main.wanted == LOOP_RUN)
        await until(pilot, lambda: app.main.view is not None and app.main.view.run_id == LOOP_RUN)
        # Back to where it was: the targets behind the step, and behind those the step itself.
        await pilot.press("Q")
        await sheet(pilot, app, f"{KEY}, 2 of these")
        await pilot.press("escape")
        await sheet(pilot, app, "NVRAM default lan_ipaddr: 2 targets need it next")
        # All of them at once.
        await pilot.press("m")
        await until(pilot, lambda: app.screen is app.main)
        assert app.main.run_list.marked == {EXIT_RUN, LOOP_RUN}
        assert "2 runs marked: what you decide now is for all of them." in said(app)
        assert app.main.active == "runs"


async def test_it_follows_what_happens_and_the_cursor_stays(
    workspace: Path, actions: RecordedActions
) -> None:
    state = on_disk(workspace, small(), ended=False)
    app = TriageApp(workspace, actions=actions)
    with held(state.dir):
        log = ProgressLog(state.dir)
        async with app.run_test(size=(120, 40)) as pilot:
            await opened(pilot)
            await pilot.press("Q")
            await sheet(pilot, app, "at work")
            await pilot.press("s", "g", "j")
            before = current(app)
            log.add(happened(9, "started"))
            await sheet(pilot, app, "1 running")
            log.add(happened(9, Outcome(word="regressed", rung="runs", cause="missing_file")))
            # It stands before the others in this order; the cursor is on the same target as before.
            await sheet(pilot, app, "2 worse")
            assert current(app) == before
            assert app.screen.query_one(LineView).cursor == 2
        log.close()


async def test_it_ends_with_the_sheet(workspace: Path, actions: RecordedActions) -> None:
    on_disk(workspace, small())
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("Q")
        await sheet(pilot, app, "a/httpd3")
        assert isinstance(app.screen, CampaignSheet)
        follower = app.screen._follower
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        assert follower is not None
        assert follower.ended


async def test_many_targets_draw_only_what_is_seen(workspace: Path, actions: RecordedActions) -> None:
    targets = [target(number, group=f"fw{number // 20}") for number in range(3000)]
    directory = on_disk(workspace, state_of(targets, {})).dir
    encoded = b"".join(
        b'{"event":"finished","target":"%s","outcome":{"word":"sideways","rung":"runs","cause":"missing_file"}}\n'
        % one.target.encode()
        for one in targets
    )
    (directory / "progress.jsonl").write_bytes(encoded)
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("Q")
        await sheet(pilot, app, "3000 stuck")
        view = app.screen.query_one(LineView)
        made: list[int] = []
        row = view.rows.row
        view.rows.row = lambda index: made.append(index) or row(index)  # type: ignore[method-assign,func-returns-value]
        await pilot.press("G")
        await until(pilot, lambda: "fw149/httpd2999" in shown(app))
        assert len(set(made)) < 200
        await pilot.press("slash", *"httpd1234")
        await until(pilot, lambda: len(view.rows) == 1)
        assert os.path.basename(current(app).split()[1]) == "httpd1234"


def test_of_a_campaign_that_grows_only_what_happened_is_made_anew(tmp_path: Path) -> None:
    state = on_disk(tmp_path, small(), ended=False)
    first = reckon(state)
    log = ProgressLog(state.dir)
    log.add(happened(9, Outcome(word="healthy", headline="late")))
    log.close()
    grown = read_campaign(state.dir, state)
    again = reckon(grown, None, first)
    changed = [now.target for was, now in zip(first.lines, again.lines, strict=True) if was is not now]
    assert changed == [target(9).target]
    assert again == reckon(grown)


def test_a_long_group_is_cut_before_the_name_of_a_target() -> None:
    assert fit_name("rootfs-e30121b4c1b5/udhcpc", 16) == "rootfs-e…/udhcpc"
    assert fit_name("a/httpd", 10) == "a/httpd   "
    assert fit_name("a/a-name-that-is-long-itself", 16) == "a-name-that-is-…"
    assert fit_name("rootfs-7111d1f20b2b/hardware-tools-armhf", 19) == "hardware-tools-arm…"
    assert fit_name("one-name-and-no-group", 16) == "one-name-and-no…"
