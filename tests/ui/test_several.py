"""Marking several runs, and deciding on all of them at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.ui import fixtures
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from tests.waiting import PATIENCE_S
from triage_tui.errors import TriageError
from triage_tui.runs.listing import RunSummary
from triage_tui.ui import several
from triage_tui.ui.app import TriageApp
from triage_tui.ui.backend import refusing
from triage_tui.ui.run_list import RunList
from triage_tui.ui.several import Deed, Outcome, again, carry_out, in_turn, plan, retry_in_turn, why_nothing

SMALL, LARGE = (80, 24), (160, 48)


def run(number: int, program: str = "/sbin/httpd", **more: Any) -> RunSummary:
    run_id = f"20251118_1400{number:02d}_00000001"
    return RunSummary(run_id=run_id, program=program, argv=[program], **more)


def name(number: int) -> str:
    return run(number).run_id


@pytest.fixture
def runs() -> RunList:
    """Three runs of one story, and two of others."""
    found = RunList()
    found.set_runs([*(run(n, cause="missing_file") for n in (1, 2, 3)), run(4, "/bin/sh"), run(5, "/bin/a")])
    found.arrange()
    return found


def test_a_folded_row_stands_for_its_whole_story(runs: RunList) -> None:
    row = next(entry for entry in runs.entries if entry.folded)
    runs.toggle_mark(row)
    assert runs.marked == {name(1), name(2), name(3)}
    assert runs.marked_of(row) == "all"
    runs.marked = {name(2)}
    assert runs.marked_of(row) == "some"
    runs.toggle_mark(row)
    assert runs.marked == {name(1), name(2), name(3)}
    runs.toggle_mark(row)
    assert runs.marked == set()


def test_a_run_of_an_open_story_is_marked_alone(runs: RunList) -> None:
    runs.toggle_story(name(3))
    place = runs.place(name(2))
    assert place is not None
    runs.toggle_mark(runs.entries[place])
    assert runs.marked == {name(2)}


def test_marks_survive_filter_and_order_and_go_with_their_run(runs: RunList) -> None:
    runs.marked = {name(1), name(4)}
    runs.filter = "bin/a"
    runs.set_order("target")
    runs.arrange()
    assert [entry.run.run_id for entry in runs.entries] == [name(5)]
    assert runs.marked == {name(1), name(4)}
    runs.update({name(4): None})
    assert runs.marked == {name(1)}


def test_all_that_pass_the_filter_are_marked_and_then_none(runs: RunList) -> None:
    runs.marked = {name(5)}
    runs.filter = "httpd"
    runs.arrange()
    assert runs.mark_all()
    assert runs.marked == {name(1), name(2), name(3), name(5)}
    assert not runs.mark_all()
    assert runs.marked == set()


PROPOSED: dict[str, Any] = {"proposals": 1, "state": "proposed"}


@pytest.mark.parametrize(
    ("deed", "fit", "unfit"),
    [
        (
            "approve",
            [1, 6],
            {"without a proposed rule": [2, 5], "with active rules already": [3], "unreadable": [4]},
        ),
        ("reject", [1, 3, 6], {"without a proposal": [2, 5], "unreadable": [4]}),
        ("rollback", [3], {"without an active rule": [1, 2, 5, 6], "unreadable": [4]}),
        ("resume", [2], {"not waiting": [1, 3, 5, 6], "unreadable": [4]}),
        ("retry", [1, 2, 3, 6], {"being retried": [5], "unreadable": [4]}),
        ("end", [2], {"not waiting": [1, 3, 5, 6], "unreadable": [4]}),
    ],
)
def test_what_a_decision_does_not_fit_is_left_out_and_counted(
    deed: Deed, fit: list[int], unfit: dict[str, list[int]]
) -> None:
    runs = [
        run(1, **PROPOSED),
        run(2, waiting=True),
        run(3, **PROPOSED, generation=1),
        run(4, form="unreadable", problem="x"),
        run(5, state="retrying"),
        run(6, **PROPOSED),
    ]
    found = plan(deed, runs)
    assert [one.run_id for one in found.fit] == [name(number) for number in fit]
    assert found.unfit == {why: [name(n) for n in numbers] for why, numbers in unfit.items()}
    assert ("1 run" if len(fit) == 1 else f"{len(fit)} runs") in found.question
    for why, numbers in unfit.items():
        assert f"{len(numbers)} {why}" in found.question


def test_approving_takes_one_run_of_each_target() -> None:
    found = plan("approve", [run(n, **PROPOSED, target_id="t" if n < 3 else "u") for n in (1, 2, 3)])
    assert [one.run_id for one in found.fit] == [name(1), name(3)]
    assert found.unfit == {"of the same target as another": [name(2)]}


def test_when_nothing_fits_it_is_said_why() -> None:
    runs = [run(1), run(2)]
    said = why_nothing(plan("rollback", runs), runs)
    assert said == "Nothing to do: of 2 marked, 2 without an active rule."


class Failing(RecordedActions):
    """Actions of which one fails as foreseen and one as nobody foresaw."""

    def reject(self, run_id: str, reason: str, seen: str = "") -> str:
        if run_id == name(2):
            raise TriageError("the disk is full")
        if run_id == name(3):
            raise ZeroDivisionError
        return super().reject(run_id, reason, seen)


def test_one_that_fails_stops_no_other_and_is_named() -> None:
    actions, told = Failing(), list[str]()
    chosen = plan("reject", [run(n, **PROPOSED) for n in (1, 2, 3, 4)])
    found = carry_out(chosen, actions, "not now", threading.Event(), told.append, lambda error: "a defect")
    assert [call[1] for call in actions.calls] == [name(1), name(4)]
    assert found.left == [name(2), name(3)]
    assert told == ["1 of 4, httpd", "2 of 4, httpd", "3 of 4, httpd", "4 of 4, httpd"]
    assert found.sentence == (
        f"2 of 4 runs rejected, 2 failed and stay marked ({name(2)}: the disk is full; {name(3)}: a defect)"
    )


def test_a_cancelled_decision_says_how_far_it_came() -> None:
    actions, cancel = RecordedActions(), threading.Event()

    def tell(far: str) -> None:
        if far.startswith("2"):
            cancel.set()

    chosen = plan("reject", [run(n, **PROPOSED) for n in (1, 2, 3)])
    found = carry_out(chosen, actions, "x", cancel, tell, str)
    assert found.left == [name(3)]
    assert found.sentence == "2 of 3 runs rejected, stopped before the others"


class InTurn(RecordedActions):
    """Retries that last until they are let go; `most` is how many there were at the same time."""

    def __init__(self, fails: str = "") -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._fails = fails
        self.running: set[str] = set()
        self.most = 0

    def await_retry(self, run_id: str, unwanted: threading.Event) -> str:
        with self._changed:
            self.running.add(run_id)
            self.most = max(self.most, len(self.running))
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: run_id not in self.running or unwanted.is_set(), 60)
        if run_id == self._fails:
            raise TriageError("it never began")
        return ""

    def let_go(self, wanted: int) -> None:
        """Wait until so many run, and let the first of them come to its end."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.running) >= wanted, 60)
            self.running.remove(min(self.running))
            self._changed.notify_all()

    def stir(self) -> None:
        with self._changed:
            self._changed.notify_all()


def test_so_many_retries_run_at_the_same_time_and_no_more() -> None:
    actions, told, outcomes = InTurn(fails=name(2)), list[str](), list[Outcome]()

    def tell(over: int, waiting: int) -> None:
        told.append(in_turn(over, 5, waiting))

    chosen = plan("retry", [run(n) for n in range(1, 6)])

    def work() -> None:
        outcomes.append(retry_in_turn(chosen, actions, threading.Event(), tell, str, 2))

    worker = threading.Thread(target=work)
    worker.start()
    for wanted in (2, 2, 2, 2, 1):
        actions.let_go(wanted)
    worker.join(60)
    assert actions.most == 2
    assert {call[1] for call in actions.calls} == {name(n) for n in range(1, 6)}
    assert (told[0], told[1], told[-1]) == (
        "0 of 5 retried, 4 wait",
        "0 of 5 retried, 3 wait",
        "5 of 5 retried",
    )
    assert outcomes[0].failed == {name(2): "it never began"}
    assert outcomes[0].left == [name(2)]


def test_who_cancels_lets_those_go_on_that_began_and_no_other_begin() -> None:
    actions, cancel, outcomes = InTurn(), threading.Event(), list[Outcome]()
    chosen = plan("retry", [run(n) for n in range(1, 6)])

    def work() -> None:
        outcomes.append(retry_in_turn(chosen, actions, cancel, lambda over, waiting: None, str, 2))

    worker = threading.Thread(target=work)
    worker.start()
    actions.let_go(2)
    cancel.set()
    actions.stir()
    worker.join(60)
    assert not worker.is_alive()
    assert len(actions.calls) in (2, 3), "the third may have begun already"
    assert "stop_retry" not in {call[0] for call in actions.calls}
    assert outcomes[0].cancelled
    assert len(outcomes[0].left) == 5 - len(actions.calls)
    assert outcomes[0].sentence.endswith("runs started again, stopped before the others")


def test_read_only_refuses_below_the_views() -> None:
    chosen = plan("reject", [run(1, **PROPOSED)])
    found = carry_out(chosen, refusing(), "x", threading.Event(), lambda far: None, str)
    assert found.done == []
    assert "read-only" in found.sentence


# --- on the screen ---------------------------------------------------------------------------------------


def test_what_is_done_again_for_several_runs_goes_on_after_a_failure() -> None:
    def act(run_id: str) -> str:
        if run_id in bad:
            raise TriageError("it is retrying")
        return ""

    bad = {"a"}
    assert again(["a", "b", "c"], act, "approved") == "2 of 3 runs: approved, 1 failed (a: it is retrying)"
    bad = {"a", "b"}
    with pytest.raises(TriageError, match="a: it is retrying"):
        again(["a", "b"], act, "approved")


async def test_marked_runs_are_rejected_with_one_question(app: TriageApp, actions: RecordedActions) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        # Rows that were drawn without a mark before.
        await pilot.press("0", "G", "g", "j", "k", "space", "G", "space")
        await pilot.pause()
        assert "2 marked" not in app.main.runs.title_note
        assert "3 marked" in app.main.runs.title_note
        # One row stands for two runs: a story that is folded.
        assert shown(app).count("✓") == 2
        await pilot.press("s", "slash", *"watchd", "enter", "x")
        await until(
            pilot, lambda: "Why reject the proposals of 2 runs (udhcpc of" in " ".join(shown(app).split())
        )
        assert "Left out: 1 unreadable." in " ".join(shown(app).split())
        await pilot.press("2")
        await until(pilot, lambda: "2 runs rejected" in said(app))
        assert set(actions.calls) == {
            ("reject", fixtures.EXIT_RUN, "too broad"),
            ("reject", fixtures.RETRY_RUN, "too broad"),
        }
        assert app.main.runs.list.marked == {fixtures.BROKEN_RUN}
        # One key takes all of it back.
        assert "u undoes it" in said(app)
        assert "undo rejections" in shown(app).split("\n")[-1]
        actions.calls.clear()
        await pilot.press("u")
        await until(pilot, lambda: "2 runs: rejections taken back; U does it again" in said(app))
        assert set(actions.calls) == {("reconsider", fixtures.EXIT_RUN), ("reconsider", fixtures.RETRY_RUN)}


async def test_what_failed_stays_marked_and_nothing_is_done_without_a_yes(
    app: TriageApp, actions: RecordedActions
) -> None:
    actions.refuse = "somebody else decided first"
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("space", "E")
        await until(pilot, lambda: "End the frozen guests of 1 run (" in " ".join(shown(app).split()))
        await pilot.press("escape")
        await pilot.press("E", "1")
        await pilot.pause()
        assert actions.calls == []
        await pilot.press("E", "2")
        await until(pilot, lambda: "somebody else decided first" in said(app))
        assert actions.calls == [("decide", fixtures.EXIT_RUN, "end")]
        assert fixtures.EXIT_RUN in app.main.runs.list.marked
        await pilot.press("escape")
        assert fixtures.RETRY_RUN not in app.main.runs.list.marked


class Held(RecordedActions):
    """Rejections that wait until they are let go."""

    go_on = threading.Event()

    def reject(self, run_id: str, reason: str, seen: str = "") -> str:
        self.go_on.wait(PATIENCE_S)
        return super().reject(run_id, reason, seen)


async def test_a_long_decision_tells_how_far_it_is_and_is_stopped_by_escape(workspace: Path) -> None:
    actions = Held()
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("asterisk", "x", "1")
        await until(pilot, lambda: "Rejecting: 1 of 2" in shown(app))
        await pilot.press("escape")
        await pilot.pause()
        actions.go_on.set()
        await until(pilot, lambda: "stopped before the others" in said(app))
        assert len(actions.calls) == 1
        assert app.screen is app.main


async def test_a_range_is_marked_as_the_cursor_passes(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("v", "j", "j", "k")
        await pilot.pause()
        assert "3 marked" in shown(app)
        rows = app.main.runs.list
        assert rows.marked == rows.runs_between(0, 1)
        await pilot.press("v", "j", "j")
        assert rows.marked == rows.runs_between(0, 1)
        await pilot.press("escape")
        assert rows.marked == set()


async def test_exactly_two_marked_runs_are_compared(app: TriageApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        await pilot.press("0", "asterisk", "c")
        await until(pilot, lambda: "Two runs can be compared, and 6 are marked." in said(app))
        await pilot.press("asterisk", "space", "c")
        await until(pilot, lambda: "Two runs compared" in shown(app))
        assert fixtures.RETRY_RUN in shown(app)


async def test_the_older_of_two_marked_runs_is_what_the_other_is_compared_with(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        app.main.runs.set_marks([fixtures.RETRY_RUN, fixtures.EXIT_RUN])
        await pilot.press("0", "c")
        await until(pilot, lambda: "Two runs compared" in shown(app))
        assert f"- {fixtures.EXIT_RUN}" in shown(app)
        assert f"+ {fixtures.RETRY_RUN}" in shown(app)


async def test_a_read_only_view_marks_and_decides_nothing(workspace: Path, actions: RecordedActions) -> None:
    app = TriageApp(workspace, actions=actions, read_only=True)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("space", "x")
        await until(pilot, lambda: "read-only" in said(app))
        assert app.main.runs.list.marked
    assert actions.calls == []


async def test_marked_retries_tell_how_far_they_are_over_nothing_and_esc_drops_those_that_wait(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "MAX_AT_ONCE", 1)
    actions = InTurn()
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=LARGE) as pilot:
        await opened(pilot)
        app.main.runs.set_marks([fixtures.EXIT_RUN, fixtures.RETRY_RUN])
        await pilot.press("0", "R", "2")
        await until(pilot, lambda: "0 of 2 retried, 1 wait, esc drops those" in shown(app))
        # The app is free meanwhile, and a second queue is refused.
        await pilot.press("R")
        await until(pilot, lambda: "The retries before are still under way" in said(app))
        await pilot.press("3")
        await until(pilot, lambda: app.main.active == "syscalls")
        assert app.main.retries_not_begun == 1
        await pilot.press("0", "escape")
        await until(pilot, lambda: "No retry begins any more" in said(app))
        actions.stir()
        await until(pilot, lambda: "1 of 2 runs started again, stopped before the others" in said(app))
        assert len([call for call in actions.calls if call[0] in ("retry", "decide")]) == 1
        assert "retried" not in shown(app).split("\n")[0]
        assert len(app.main.runs.list.marked) == 1
