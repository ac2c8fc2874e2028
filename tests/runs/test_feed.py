"""The feed of runs: what appears, changes and goes is told, by whatever way it came."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.runs.build import write_run
from tests.waiting import PATIENCE_S as WAIT_S
from triage_tui.runs import catalog, feed, listing
from triage_tui.runs.events import append_event
from triage_tui.runs.feed import RunsFeed
from triage_tui.runs.listing import RunSummary
from triage_tui.runs.writer import RunWriter


class Told:
    """What a feed told, as the list that follows from it."""

    def __init__(self) -> None:
        self.runs: dict[str, RunSummary] = {}
        self.listings = 0
        self.reread: list[str] = []
        self.sentences: list[str] = []
        self._news = threading.Condition()

    def listed(self, runs: list[RunSummary]) -> None:
        with self._news:
            self.listings += 1
            self.runs = {run.run_id: run for run in runs}
            self._news.notify_all()

    def updated(self, runs: dict[str, RunSummary | None], files_changed: bool) -> None:
        with self._news:
            for run_id, run in runs.items():
                self.reread.append(run_id)
                if run is None:
                    self.runs.pop(run_id, None)
                else:
                    self.runs[run_id] = run
            self._news.notify_all()

    def trouble(self, sentence: str) -> None:
        with self._news:
            self.sentences.append(sentence)
            self._news.notify_all()

    def until(self, condition: Callable[[], object]) -> None:
        with self._news:
            assert self._news.wait_for(condition, WAIT_S), (self.runs, self.sentences)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "ai_runs"


@pytest.fixture
def told(runs_dir: Path) -> Iterator[Told]:
    write_run(runs_dir)
    listener = Told()
    running = RunsFeed(runs_dir)
    running.start(listener)
    listener.until(lambda: listener.listings)
    yield listener
    running.stop()


def test_runs_are_told_as_they_come_change_and_go(told: Told, runs_dir: Path) -> None:
    writer = RunWriter(runs_dir)
    told.until(lambda: writer.run_id in told.runs)
    assert told.runs[writer.run_id].form == "writing"
    writer.discard()
    told.until(lambda: writer.run_id not in told.runs)
    name = write_run(runs_dir).name
    told.until(lambda: name in told.runs and told.runs[name].form == "run")
    append_event(runs_dir / name, "rejected")
    told.until(lambda: told.runs[name].state == "rejected")
    shutil.rmtree(runs_dir / name)
    told.until(lambda: name not in told.runs)
    (runs_dir / "notes").mkdir()
    told.until(lambda: "notes" in told.runs)
    assert told.listings == 1


def test_a_change_of_one_run_reads_that_run_only(told: Told, runs_dir: Path) -> None:
    first, second = write_run(runs_dir).name, write_run(runs_dir).name
    told.until(lambda: {first, second} <= told.runs.keys())
    told.reread.clear()
    append_event(runs_dir / second, "rejected")
    told.until(lambda: told.runs[second].state == "rejected")
    assert set(told.reread) == {second}


def test_when_the_directory_itself_goes_all_runs_are_gone(told: Told, runs_dir: Path) -> None:
    name = write_run(runs_dir).name
    told.until(lambda: name in told.runs)
    shutil.rmtree(runs_dir)
    told.until(lambda: not told.runs)


def test_another_directory_in_its_place_is_followed(
    told: Told, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "LOOK_EVERY_S", 0.02)
    first = write_run(runs_dir).name
    told.until(lambda: first in told.runs)
    runs_dir.rename(runs_dir.with_name("before"))
    told.until(lambda: not told.runs)
    write_run(runs_dir)
    told.until(lambda: told.runs)
    later = write_run(runs_dir).name
    told.until(lambda: later in told.runs)


def test_without_watches_changes_still_show(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_EVERY_S", 0.05)
    write_run(runs_dir)
    listener = Told()
    running = RunsFeed(runs_dir)
    monkeypatch.setattr("triage_tui.runs.watch.INotify", _no_inotify)
    running.start(listener)
    listener.until(lambda: listener.sentences)
    assert "cannot be watched" in listener.sentences[0]
    name = write_run(runs_dir).name
    listener.until(lambda: name in listener.runs)
    running.stop()


def _no_inotify(**_: object) -> object:
    raise OSError(24, "Too many open files")


def test_files_in_subdirectories_are_told_of_the_run_that_is_open(runs_dir: Path) -> None:
    name = write_run(runs_dir).name
    listener = Told()
    running = RunsFeed(runs_dir)
    running.start(listener)
    running.watch_closely(name)
    listener.until(lambda: listener.listings)
    running.look_again([name], files_changed=False)
    listener.until(lambda: name in listener.reread)
    listener.reread.clear()
    (runs_dir / name / "logs" / "guest.log").write_text("one line more\n")
    listener.until(lambda: name in listener.reread)
    running.stop()


def test_a_listing_that_takes_long_ends_with_the_app(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        write_run(runs_dir)
    monkeypatch.setattr(catalog, "REST_EVERY", 1)
    reading, go_on, read = threading.Event(), threading.Event(), list[str]()

    def held(path: Path) -> listing.Reading:
        read.append(path.name)
        reading.set()
        go_on.wait(WAIT_S)
        return listing.read_summary(path)

    monkeypatch.setattr(catalog, "read_summary", held)
    listener = Told()
    running = RunsFeed(runs_dir)
    running.start(listener)
    assert reading.wait(WAIT_S)
    ending = threading.Thread(target=running.stop)
    ending.start()
    while not running._ended.is_set():
        ending.join(0.01)
    go_on.set()
    ending.join(WAIT_S)
    assert not ending.is_alive()
    assert len(read) == 1
    assert listener.listings == 0


def test_a_list_that_is_there_early_is_not_told_again(runs_dir: Path) -> None:
    name = write_run(runs_dir).name
    feed = RunsFeed(runs_dir)
    assert feed.early() is None
    feed.begin()
    while (runs := feed.early()) is None:
        feed._thread.join(0.01)
    assert [run.run_id for run in runs] == [name]
    assert feed.early() is None
    later = write_run(runs_dir).name
    listener = Told()
    feed.start(listener)
    listener.until(lambda: later in listener.runs)
    feed.stop()
    assert listener.listings == 0


def test_many_runs_that_must_be_read_wait_for_the_screen(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {write_run(runs_dir).name for _ in range(3)}
    monkeypatch.setattr(catalog, "REST_EVERY", 1)
    read = list[str]()
    summary, held = listing.read_summary, threading.Event()

    def counted(path: Path) -> listing.Reading:
        read.append(path.name)
        return summary(path)

    class Gate(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            held.set()
            return super().wait(timeout)

    monkeypatch.setattr(catalog, "read_summary", counted)
    feed = RunsFeed(runs_dir)
    feed._started = Gate()
    feed.begin()
    assert held.wait(WAIT_S)
    assert len(read) == 1
    assert feed.early() is None
    listener = Told()
    feed.start(listener)
    listener.until(lambda: listener.listings)
    feed.stop()
    assert listener.runs.keys() == names


def test_a_feed_that_nobody_listened_to_ends(runs_dir: Path) -> None:
    write_run(runs_dir)
    feed = RunsFeed(runs_dir)
    feed.begin()
    feed.stop()
    assert not feed._thread.is_alive()
