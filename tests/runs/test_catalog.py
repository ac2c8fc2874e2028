"""The catalog of runs and its index: whatever happened to the files, what it tells is what is there."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from tests.runs.build import write_run
from tests.waiting import PATIENCE_S
from triage_tui.runs import catalog, listing, look_ahead, run_index
from triage_tui.runs.catalog import Catalog
from triage_tui.runs.events import append_event, this_process
from triage_tui.runs.index_path import index_file
from triage_tui.runs.listing import RunSummary
from triage_tui.runs.run_index import Index, load_index
from triage_tui.runs.writer import RunWriter

SETTLED_NS = 20_000_000


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep summaries at once: file systems of today tell changes apart that are milliseconds apart."""
    monkeypatch.setattr(catalog, "SETTLED_NS", SETTLED_NS)
    monkeypatch.setattr(catalog, "LEAST_KEPT", 0)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "runs.index"


def fresh(runs_dir: Path) -> list[RunSummary]:
    return Catalog(runs_dir).read()


def kept(runs_dir: Path, index: Path) -> list[RunSummary]:
    """List with the index, and bring that up to date as the app does when it is left."""
    known = Catalog(runs_dir, index)
    found = known.read()
    known.settle()
    known.save()
    return found


def settle() -> None:
    """Wait until what was written before counts as settled."""
    deadline = time.monotonic_ns() + 2 * SETTLED_NS
    while time.monotonic_ns() < deadline:
        os.sched_yield()


def rewrite(path: Path, data: bytes) -> None:
    """Write a file in place and set its time of modification to what it was."""
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def same_size_edit(run_dir: Path, _: random.Random) -> None:
    path = run_dir / "snapshot.json"
    if path.is_file():
        rewrite(path, path.read_bytes().replace(b'"/sbin/', b'"/bin//', 1).replace(b"mipsel", b"mipseb"))


def truncate(run_dir: Path, chance: random.Random) -> None:
    path = run_dir / chance.choice(["snapshot.json", "diagnosis.json", "events.jsonl"])
    if path.is_file():
        os.truncate(path, path.stat().st_size // 2)


def remove_file(run_dir: Path, chance: random.Random) -> None:
    (run_dir / chance.choice(["snapshot.json", "diagnosis.json", "events.jsonl"])).unlink(missing_ok=True)


def remove_run(run_dir: Path, _: random.Random) -> None:
    shutil.rmtree(run_dir)


def replace_run(run_dir: Path, _: random.Random) -> None:
    shutil.rmtree(run_dir)
    write_run(run_dir.parent, reason="loop").rename(run_dir)


def swap_runs(run_dir: Path, chance: random.Random) -> None:
    other = chance.choice(sorted(path for path in run_dir.parent.iterdir() if path.is_dir()))
    spare = run_dir.parent / "spare"
    if other != run_dir:
        run_dir.rename(spare)
        other.rename(run_dir)
        spare.rename(other)


def append(run_dir: Path, _: random.Random) -> None:
    append_event(run_dir, "rejected", {"reason": "not now"})


def diagnose(run_dir: Path, chance: random.Random) -> None:
    cause = chance.choice(["missing_file", "network_wait"])
    data = {"headline": f"It was {cause}.", "hypotheses": [{"cause": cause, "confidence": 0.5}]}
    (run_dir / "diagnosis.json").write_bytes(msgspec.json.encode(data))


def link_file(run_dir: Path, _: random.Random) -> None:
    path = run_dir / "snapshot.json"
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/hostname")


def add_run(run_dir: Path, _: random.Random) -> None:
    write_run(run_dir.parent)


def odd_names(run_dir: Path, chance: random.Random) -> None:
    place = run_dir.parent / chance.choice(["notes", "\x1b[2J", "20260101_000000_1", ".hidden"])
    with suppress(FileExistsError):
        match chance.randrange(3):
            case 0:
                place.mkdir()
            case 1:
                place.symlink_to(run_dir)
            case _:
                place.touch()


CHANGES: list[Callable[[Path, random.Random], None]] = [
    same_size_edit, truncate, remove_file, remove_run, replace_run, swap_runs, append, diagnose, link_file,
    add_run, odd_names,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.usefixtures("at_once")
def test_after_any_changes_the_index_tells_what_a_fresh_listing_tells(
    tmp_path: Path, index: Path, seed: int
) -> None:
    chance = random.Random(seed)
    runs_dir = tmp_path / "ai_runs"
    for _ in range(4):
        write_run(runs_dir)
    living = Catalog(runs_dir)
    living.read()
    for step in range(40):
        run_dirs = sorted(path for path in runs_dir.iterdir() if path.is_dir() and not path.is_symlink())
        change = chance.choice(CHANGES) if run_dirs else add_run
        change(chance.choice(run_dirs) if run_dirs else runs_dir / "x", chance)
        if chance.random() < 0.3:
            settle()
        if chance.random() < 0.1 and index.exists():
            raw = bytearray(index.read_bytes())
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
            index.write_bytes(raw)
        expected = fresh(runs_dir)
        assert kept(runs_dir, index) == expected, (step, change)
        living.refresh()
        assert living.read() == expected, (step, change)


@pytest.mark.usefixtures("at_once")
def test_what_is_kept_is_not_read_again(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs_dir = tmp_path / "ai_runs"
    names = [write_run(runs_dir).name for _ in range(3)]
    settle()
    expected = kept(runs_dir, index)
    read: list[str] = []

    def reading(path: Path) -> listing.Reading:
        read.append(path.name)
        return listing.read_summary(path)

    monkeypatch.setattr(catalog, "read_summary", reading)
    assert kept(runs_dir, index) == expected
    assert read == []
    append_event(runs_dir / names[1], "rejected")
    assert kept(runs_dir, index)[1].state == "rejected"
    assert set(read) == {names[1]}


def test_files_that_have_just_changed_are_not_kept(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "LEAST_KEPT", 0)
    runs_dir = tmp_path / "ai_runs"
    write_run(runs_dir)
    kept(runs_dir, index)
    assert load_index(index, runs_dir) == Index()


@pytest.mark.usefixtures("at_once")
def test_what_depends_on_a_process_is_not_kept(tmp_path: Path, index: Path) -> None:
    runs_dir = tmp_path / "ai_runs"
    waits, retries, plain = write_run(runs_dir), write_run(runs_dir), write_run(runs_dir)
    append_event(waits, "captured", {"holder": this_process()})
    append_event(retries, "retry_started", this_process())
    settle()
    kept(runs_dir, index)
    assert list(load_index(index, runs_dir).runs) == [plain.name]


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "writable", "link", "huge", "moved"])
@pytest.mark.usefixtures("at_once")
def test_an_index_that_is_not_ours_is_as_if_it_were_not_there(
    tmp_path: Path, index: Path, damage: str
) -> None:
    runs_dir = tmp_path / "ai_runs"
    write_run(runs_dir)
    settle()
    expected = kept(runs_dir, index)
    assert load_index(index, runs_dir).runs
    raw = index.read_bytes()
    match damage:
        case "cut":
            index.write_bytes(raw[:-5])
        case "empty":
            index.write_bytes(b"")
        case "other":
            index.write_bytes(raw.replace(b"form 1", b"form 2"))
        case "writable":
            index.chmod(0o666)
        case "link":
            index.rename(index.with_suffix(".real"))
            index.symlink_to(index.with_suffix(".real"))
        case "huge":
            os.truncate(index, run_index.MAX_BYTES + 1)
        case _:
            runs_dir.rename(tmp_path / "elsewhere")
            shutil.copytree(tmp_path / "elsewhere", runs_dir)
    assert load_index(index, runs_dir) == Index()
    assert kept(runs_dir, index) == expected == fresh(runs_dir)


@pytest.mark.usefixtures("at_once")
def test_a_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    runs_dir = tmp_path / "ai_runs"
    write_run(runs_dir)
    settle()
    (tmp_path / "file").touch()
    assert kept(runs_dir, tmp_path / "file" / "runs.index") == fresh(runs_dir)


def test_the_index_lies_in_the_cache_of_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = index_file(tmp_path / "ai_runs")
    assert path.is_relative_to(tmp_path / "cache")
    assert path != index_file(tmp_path / "other" / "ai_runs")


def test_every_name_shows_as_what_it_is(tmp_path: Path) -> None:
    good = write_run(tmp_path)
    writer = RunWriter(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "20260101_000000_00000001").symlink_to(good)
    (tmp_path / "20260101_000000_00000002").touch()
    (tmp_path / "20260101_000000_00000003").mkdir()
    os.mkfifo(tmp_path / "20260101_000000_00000004")
    (tmp_path / "README").touch()
    (tmp_path / ".git").mkdir()
    sfemu = tmp_path / "20260101_000000_123456789012"
    sfemu.mkdir()
    record = {
        "run_id": sfemu.name, "reason": "idle_deadloop", "created_at": "2026-01-01 00:00:00",
        "rules_dir": "/rules/", "outputs": [], "backtrace": [], "target": [],
        "trigger": {"seq": 1, "syscall_name": "idle", "syscall_num": -1, "args": [0] * 4},
        "recent_syscalls": [{"seq": 1, "name": "read", "num": 0, "args": []}],
    }  # fmt: skip
    (sfemu / "snapshot.json").write_bytes(msgspec.json.encode(record))
    newer = write_run(tmp_path)
    data = msgspec.json.decode((newer / "snapshot.json").read_bytes())
    (newer / "snapshot.json").write_bytes(msgspec.json.encode({**data, "schema_version": 9, "target": "x"}))
    found = {run.run_id: run for run in fresh(tmp_path)}
    assert {name: run.form for name, run in found.items()} == {
        good.name: "run",
        writer.run_id: "writing",
        newer.name: "newer",
        sfemu.name: "sfemu",
        "notes": "misnamed",
        "20260101_000000_00000001": "misnamed",
        "20260101_000000_00000002": "misnamed",
        "20260101_000000_00000003": "writing",
        "20260101_000000_00000004": "misnamed",
    }
    assert "not followed" in str(found["20260101_000000_00000001"].problem)
    assert "no directory" in str(found["20260101_000000_00000004"].problem)
    assert "newer version" in str(found[newer.name].problem)
    assert (found[sfemu.name].reason, found[sfemu.name].syscalls) == ("idle", 1)
    assert list(found)[-1] == "20260101_000000_00000001"
    writer.discard()
    assert writer.run_id not in {run.run_id for run in fresh(tmp_path)}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up the rights of root, which nothing is refused to."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("what", ["snapshot.json", "."])
def test_a_run_that_may_not_be_read_says_so_and_hides_no_other(what: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        runs_dir = Path(scratch) / "ai_runs"
        Path(scratch).chmod(0o755)
        good, closed = write_run(runs_dir), write_run(runs_dir)
        for path in (runs_dir, good):
            path.chmod(0o755)
        (closed / what).chmod(0)
        with as_nobody():
            found = fresh(runs_dir)
        (closed / what).chmod(0o700)
    assert [run.run_id for run in found] == [closed.name, good.name]
    assert found[0].form == "unreadable"
    assert "Permission denied" in str(found[0].problem)
    assert found[1].problem is None


def test_texts_of_a_summary_are_bounded(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    data = msgspec.json.decode((run_dir / "snapshot.json").read_bytes())
    data["target"] |= {"program": "/p" * 90_000, "argv": ["x" * 90_000] * 500, "arch": "a" * 90_000}
    (run_dir / "snapshot.json").write_bytes(msgspec.json.encode(data))
    (found,) = fresh(tmp_path)
    assert len(msgspec.msgpack.encode(found)) < 50_000


def test_looking_at_one_run_reads_that_run(tmp_path: Path) -> None:
    first, second = write_run(tmp_path), write_run(tmp_path)
    known = Catalog(tmp_path)
    known.read()
    append_event(first, "rejected")
    shutil.rmtree(second)
    found = known.look([first.name, second.name, "nothing"])
    assert {name: run.state if run else None for name, run in found.items()} == {
        first.name: "rejected",
        second.name: None,
        "nothing": None,
    }
    assert known.refresh() == {}


@pytest.mark.usefixtures("at_once")
def test_what_another_process_saw_ahead_is_used_and_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(look_ahead, "LEAST_BYTES", 0)
    monkeypatch.setattr(look_ahead, "_WAIT_S", PATIENCE_S)
    # Tests before this one may have left some.
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    runs_dir = tmp_path / "ai_runs"
    names = [write_run(runs_dir).name for _ in range(4)]
    index = index_file(runs_dir)
    assert look_ahead.look_ahead(runs_dir) is None
    settle()
    kept(runs_dir, index)
    append_event(runs_dir / names[1], "rejected")
    shutil.rmtree(runs_dir / names[2])
    (runs_dir / "notes").mkdir()
    added = write_run(runs_dir).name
    ahead = look_ahead.look_ahead(runs_dir)
    assert ahead is not None
    seen = ahead.take()
    assert seen is not None
    assert (set(seen.names), seen.gone) == ({names[1], "notes", added}, [names[2]])
    assert Catalog(runs_dir, index).read(seen) == fresh(runs_dir)
    seen.digest = b"of another index"
    seen.names = []
    assert Catalog(runs_dir, index).read(seen) == fresh(runs_dir)


@pytest.mark.usefixtures("at_once")
def test_another_process_that_dies_or_says_nonsense_costs_nothing(tmp_path: Path) -> None:
    for answer in (b"", b"nonsense"):
        here, there = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(there, answer)
            os._exit(1)
        os.close(there)
        assert look_ahead.LookAhead(pid, here).take() is None


@pytest.mark.usefixtures("at_once")
def test_numbers_that_nothing_can_hold_hide_no_run_and_break_no_index(tmp_path: Path, index: Path) -> None:
    runs_dir = tmp_path / "ai_runs"
    good, large, odd = write_run(runs_dir), write_run(runs_dir), write_run(runs_dir)
    data = msgspec.json.decode((large / "snapshot.json").read_bytes())
    text = json.dumps({**data, "round": 10**30, "statistics": {"syscalls": -5}})
    (large / "snapshot.json").write_text(text)
    digits = "9" * 5000
    event = '{"event_id":1,"kind":"captured","actor":"x","wall":"","ts_mono_ns":1,'
    (odd / "events.jsonl").write_text(event + f'"payload":{{"holder":{{"pid":{digits},"start":1}}}}}}\n')
    settle()
    found = {run.run_id: run for run in kept(runs_dir, index)}
    assert found[good.name].problem is None
    assert found.keys() == {good.name, large.name, odd.name}
    assert good.name in load_index(index, runs_dir).runs
    assert list(found.values()) == fresh(runs_dir)


def test_a_change_that_is_found_while_settling_is_told(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    known = Catalog(tmp_path)
    known.read()
    assert known.settle() == {}
    append_event(run_dir, "rejected")
    (found,) = known.settle().values()
    assert found is not None
    assert found.state == "rejected"
    assert known.settle() == {}
