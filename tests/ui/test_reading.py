"""Which run is being read, and that what is no longer wanted is not read to its end."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest

from tests.ui import fixtures
from tests.ui.conftest import opened, until
from triage_tui.errors import Stopped
from triage_tui.ui import loading
from triage_tui.ui.app import TriageApp
from triage_tui.ui.loading import load_view
from triage_tui.ui.reading import Readings
from triage_tui.ui.run_view import RunView


def test_another_run_makes_the_one_before_unwanted() -> None:
    readings = Readings()
    first, second = readings.begin("a"), readings.begin("b")
    assert first is not None
    assert second is not None
    assert (first.unwanted.is_set(), second.unwanted.is_set()) == (True, False)
    assert first.serial < second.serial
    assert not readings.ended(first)
    # That the first one ended does not end the second.
    assert readings.begin("b") is None
    assert readings.ended(second)


def test_a_run_that_changes_all_the_time_is_read_to_its_end_and_once_more() -> None:
    readings = Readings()
    first = readings.begin("a")
    assert first is not None
    assert [readings.begin("a") for _ in range(5)] == [None] * 5
    assert not first.unwanted.is_set()
    assert readings.ended(first)
    again = readings.begin("a")
    assert again is not None
    assert not readings.ended(again)


PARTS = [name for name in vars(loading) if name.startswith("_read_")]


@pytest.mark.parametrize("last", ["_read_code", "_read_logs", "_read_audit"])
def test_reading_stops_after_the_part_in_which_it_became_unwanted(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    unwanted, read = threading.Event(), list[str]()

    def counted(name: str) -> None:
        real = getattr(loading, name)

        def part(view: RunView, **more: object) -> None:
            read.append(name)
            if name == last:
                unwanted.set()
            real(view, **more)

        monkeypatch.setattr(loading, name, part)

    for name in (*PARTS, "_explain", "_look_up_evidence"):
        counted(name)
    with pytest.raises(Stopped):
        load_view(workspace / "ai_runs" / fixtures.EXIT_RUN, workspace, unwanted=unwanted)
    assert read[-1] == last
    read.clear()
    last = ""
    unwanted.clear()
    load_view(workspace / "ai_runs" / fixtures.EXIT_RUN, workspace, unwanted=unwanted)
    assert set(read) == {*PARTS, "_explain", "_look_up_evidence"}


async def test_who_goes_on_reads_only_the_last_run_to_its_end(
    app: TriageApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended, go_on = list[str](), list[str](), threading.Event()
    slow, last = loading._read_code, loading._look_up_evidence

    def first_part(view: RunView) -> None:
        begun.append(view.run_id)
        go_on.wait(60)
        slow(view)

    def last_part(view: RunView) -> None:
        ended.append(view.run_id)
        last(view)

    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        monkeypatch.setattr(loading, "_read_code", first_part)
        monkeypatch.setattr(loading, "_look_up_evidence", last_part)
        for run_id in (fixtures.RETRY_RUN, fixtures.LOOP_RUN, fixtures.EXIT_RUN):
            app.main.load(run_id)
            await until(pilot, partial(begun.__contains__, run_id))
            # However often it changes meanwhile, no thread more reads it.
            for _ in range(9):
                app.main.load(run_id)
        go_on.set()
        await until(pilot, lambda: app.main._loaded is not None and ended.count(fixtures.EXIT_RUN) == 2)
        await until(pilot, lambda: not [one for one in app.workers if one.group == "load"])
        assert begun == [fixtures.RETRY_RUN, fixtures.LOOP_RUN, fixtures.EXIT_RUN, fixtures.EXIT_RUN]
        assert set(ended) == {fixtures.EXIT_RUN}
