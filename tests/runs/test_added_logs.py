"""Logs that a person adds to a run."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from tests.runs.build import failed_open, write_run
from triage_tui.errors import TriageError
from triage_tui.runs import adding_logs, long_logs
from triage_tui.runs.added_logs import in_words, places, read_index
from triage_tui.runs.adding_logs import MAX_KEPT, MAX_LOGS, add_log, told
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.events import append_event
from triage_tui.runs.evidence import make_link, resolve
from triage_tui.runs.log_times import SECOND
from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.shown_logs import shown_logs

STOP = datetime(2026, 11, 21, 20, 57, 10, tzinfo=UTC)
BOOT = 5000 * SECOND
"""The time of the stop on the clock of the trace."""


def run_of(tmp_path: Path) -> Run:
    """Ten calls, a second apart, the last one at the stop."""
    calls = [Syscall(seq=n, name="getpid", ret=2, ts_mono_ns=BOOT - (10 - n) * SECOND) for n in range(1, 11)]
    directory = write_run(tmp_path, calls)
    path = directory / "snapshot.json"
    snapshot = msgspec.json.decode(path.read_bytes(), type=Snapshot)
    snapshot.trigger.ts_sec, snapshot.trigger.ts_mono_ns = int(STOP.timestamp()), BOOT
    path.write_bytes(msgspec.json.encode(snapshot))
    append_event(directory, "captured", {})
    return load_run(directory)


def log(tmp_path: Path, text: str | bytes, name: str = "messages") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_lines_are_placed_between_the_calls(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    stamps = [STOP + timedelta(seconds=shift) for shift in (-100, -4.5, -4, 50)]
    lines = [f"{moment.isoformat(timespec='milliseconds')} line {n}" for n, moment in enumerate(stamps)]
    added = add_log(run, log(tmp_path, "\n".join(lines)), UTC)
    assert (added.form, added.why, added.lines) == ("ISO 8601", "", 4)
    found = {number: str(place) for number, place in places(run, added).items()}
    assert found == {1: "before", 2: "#5", 3: "#6", 4: "after"}
    # It is a log of the run like any other, and the events say who added it.
    link = make_link(run, "log", added.file.removeprefix("logs/"), line=3)
    assert resolve(run, link).text.endswith("line 2")
    shown = {entry.file: entry for entry in shown_logs(run)}["added-messages.log"]
    assert [at for _number, at, _text in shown.rows] == ["before", "#5", "#6", "after"]
    again = load_run(run.dir)
    assert again.events[-1].kind == "log_added"
    assert again.state == run.state
    assert again.problems == run.problems


def test_a_stamp_of_seconds_spans_calls_and_dmesg_counts_since_boot(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    syslog = add_log(run, log(tmp_path, "<6>Nov 21 20:57:06 kernel: x\n", "s.log"), UTC)
    # The second begins with call 6; the next one is a second later.
    assert str(places(run, syslog)[1]) == "#6"
    kernel = add_log(run, log(tmp_path, "[ 4997.250000] usb reset\n", "dmesg"), UTC)
    assert str(places(run, kernel)[1]) == "#7"
    assert [entry.file for entry in read_index(run).logs] == ["logs/added-s.log", "logs/added-dmesg.log"]


def test_one_without_times_stands_beside(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    added = add_log(run, log(tmp_path, "\x1b[31mno time\x1b[0m\nnone\n"))
    assert "known form" in added.why
    assert places(run, added) == {}
    assert "not lined up" in in_words(run, added)
    shown = shown_logs(run)[-1]
    assert "\x1b" not in "".join([shown.heading, *shown.lines])
    # One more of that name gets a name of its own.
    assert add_log(run, log(tmp_path, "x\n")).file == "logs/added-messages-2.log"


def test_of_a_long_one_the_time_of_the_run_is_kept(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    far, near = STOP - timedelta(hours=3), STOP - timedelta(seconds=4)
    old = f"{far.isoformat()} {'x' * 200}\n" * 6000
    added = add_log(run, log(tmp_path, f"{old}{near.isoformat()} here\n{old}"))
    assert "here" in run.text_file(added.file)
    assert (run.dir / added.file).stat().st_size <= MAX_KEPT
    assert added.first_line == 6001
    assert added.lines + added.left_out == 12001


@pytest.mark.parametrize("place", [0.0, 0.3, 1.0])
def test_of_a_very_long_one_the_time_of_the_run_is_read(
    tmp_path: Path, place: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding_logs, "MAX_READ", 1 << 20)
    monkeypatch.setattr(long_logs, "PART", 1 << 18)
    run = run_of(tmp_path)
    begin = STOP - timedelta(minutes=int(40_000 * place))
    lines = [f"{begin + timedelta(minutes=n):%Y-%m-%dT%H:%M:%S}Z {n} {'x' * 40}\n" for n in range(40_001)]
    path = log(tmp_path, "".join(lines))
    added = add_log(run, path, UTC)
    at = places(run, added)
    here = next(number for number in at if str(at[number]) == "#10")
    assert f" {int(40_000 * place)} x" in run.text_file(added.file).split("\n")[here - 1]
    assert added.unread > 1 << 20
    assert "not read" in in_words(run, added)
    # One without times, or of another year, is read from its end.
    path.write_bytes(b"no time\n" * 200_000 + b"the end\n")
    assert run.text_file(add_log(run, path, UTC).file).endswith("the end\n")


def test_of_many_lines_the_times_near_the_run_are_kept(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    stamps = [STOP - timedelta(seconds=shift) for shift in range(20_000, 0, -1)]
    text = "".join(f"{moment:%Y-%m-%dT%H:%M:%S}Z x\n" for moment in stamps)
    added = add_log(run, log(tmp_path, text), UTC)
    assert added.lines == 20_000
    assert len(added.times) < 100
    assert str(places(run, added)[20_000]) == "#9"


@pytest.mark.parametrize("kind", ["binary", "latin", "fifo", "directory", "missing", "unreadable"])
def test_what_is_no_log_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    run = run_of(tmp_path)
    path = tmp_path / "what"
    match kind:
        case "binary":
            path.write_bytes(bytes(range(256)) * 100)
        case "latin":
            path.write_bytes(b"\xff\xfe\xfd" * 500)
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "unreadable":
            # A regular file whose first byte cannot be read: EIO.
            path = Path("/proc/self/mem")
    before = sorted(one.name for one in run.dir.rglob("*"))
    with pytest.raises(TriageError, match=path.name):
        add_log(run, path)
    assert sorted(one.name for one in run.dir.rglob("*")) == before


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_hides_no_time(tmp_path: Path, encoding: str) -> None:
    run = run_of(tmp_path)
    text = "2026-11-21T20:57:05Z lan0: größer\r\n2026-11-21T20:57:06Z up\r\n"
    added = add_log(run, log(tmp_path, text.encode(encoding)))
    assert (added.why, added.form, [number for number, _at, _span in added.times]) == ("", "ISO 8601", [1, 2])
    assert run.text_file(added.file).splitlines()[0] == "2026-11-21T20:57:05Z lan0: größer"


def opening(tmp_path: Path) -> Run:
    """The same ten calls, each about a file of its own."""
    run = run_of(tmp_path)
    calls = [failed_open(n, f"/etc/f{n}.conf") for n in range(1, 11)]
    for call in calls:
        call.ts_mono_ns = BOOT - (10 - call.seq) * SECOND
    (run.dir / "trace.jsonl").write_bytes(b"".join(encode_line(call) + b"\n" for call in calls))
    return load_run(run.dir)


def named(shift: timedelta, *numbers: int, late: float = 0.01) -> str:
    """Lines that name files, stamped with a clock that is ahead."""
    moments = [(n, STOP - timedelta(seconds=10 - n) + timedelta(seconds=late * n) + shift) for n in numbers]
    return "".join(
        f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} no /etc/f{n}.conf\n" for n, at in moments
    )


@pytest.mark.parametrize(
    ("shift", "says"),
    [
        (timedelta(), "times in the form of ISO 8601, 4 lines of the run"),
        (timedelta(hours=2), "its clock is 2 h 0 min ahead, another time zone, as 3 lines"),
        (timedelta(seconds=-67.3), "its clock is 1 min 7 s behind (give or take 0."),
        # In the time of the run, so that nothing but the lines tells that it is another clock.
        (timedelta(seconds=-4), "its clock is 3.9 s behind (give or take 0.3 s), as 3 lines"),
    ],
)
def test_a_clock_that_is_another_is_set_by_what_the_lines_name(
    tmp_path: Path, shift: timedelta, says: str
) -> None:
    run = opening(tmp_path)
    added = add_log(run, log(tmp_path, named(shift, 3, 5, 8) + "without a time\n"), UTC)
    assert says in in_words(run, added)
    assert (added.agreed, added.contents) == (3, [])
    found = places(run, added)
    for number, call in ((1, 3), (2, 5), (3, 8)):
        assert found[number].first <= call <= found[number].last
    if not added.unsure_ns:
        assert [str(found[number]) for number in (1, 2, 3, 4)] == ["#3", "#5", "#8", "#8"]


def test_where_lines_agree_on_no_clock_what_they_say_counts(tmp_path: Path) -> None:
    run = opening(tmp_path)
    # A device that took three times as long, and as if by chance at the same time.
    text = "".join(named(timedelta(seconds=-2 * n), n) for n in (2, 5, 9))
    added = add_log(run, log(tmp_path, text), UTC)
    assert {number: str(at) for number, at in places(run, added).items()} == {1: "#2", 2: "#5", 3: "#9"}
    assert "by content" in in_words(run, added)


def test_times_of_another_day_are_told_with_the_distance(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    added = add_log(run, log(tmp_path, "Nov 21 18:57:06 kernel: x\n"), UTC)
    assert "0 lines of the run: the nearest is 1 h 59 min away" in in_words(run, added)
    # The same log with its zone said is the same log.
    again = add_log(run, tmp_path / "messages", timezone(timedelta(hours=-2)))
    assert [one.file for one in read_index(run).logs] == [added.file]
    assert str(places(run, again)[1]) == "#6"


def test_the_same_log_is_added_once(tmp_path: Path) -> None:
    run = opening(tmp_path)
    first = add_log(run, log(tmp_path, named(timedelta(), 3, 4)), UTC)
    link = make_link(run, "log", first.file.removeprefix("logs/"), line=2)
    before, events = read_index(run), (run.dir / "events.jsonl").read_bytes()
    same = add_log(run, log(tmp_path, named(timedelta(), 3, 4), "copy.txt"), UTC)
    assert same.file == first.file
    # It goes on, and what was cited of it stays.
    grown = add_log(run, log(tmp_path, named(timedelta(), 3, 4, 9), "copy.txt"), UTC)
    assert [one.file for one in read_index(run).logs] == [first.file] == [grown.file]
    assert (grown.lines, resolve(load_run(run.dir), link).holds) == (3, True)
    assert told(run, before, first).startswith("nothing new")
    assert told(run, before, grown).startswith("lined up anew")
    assert (run.dir / "events.jsonl").read_bytes() != events
    other = add_log(run, log(tmp_path, named(timedelta(), 4)), UTC)
    assert told(run, before, other).startswith("added ")


def test_numbers_of_an_index_from_elsewhere_are_bounded(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    add_log(run, log(tmp_path, "Nov 21 20:57:06 kernel: x\n"), UTC)
    index = read_index(run)
    (one,) = index.logs
    huge = 10**400
    for name in msgspec.json.decode(msgspec.json.encode(one)):
        if isinstance(getattr(one, name), int) and not isinstance(getattr(one, name), bool):
            setattr(one, name, huge)
    one.times = [(1, huge, -huge), (1, -huge, huge)]
    (run.dir / "added_logs.json").write_text(json.dumps(msgspec.to_builtins(index)))
    for contents in ([], [(1, 0, huge), (huge, 1, 1)]):
        index.logs[0].contents = contents
        (run.dir / "added_logs.json").write_text(json.dumps(msgspec.to_builtins(index)))
        assert all(len(text) < 1000 for shown in shown_logs(run) for text in (shown.heading, *shown.lines))


def test_names_and_numbers_are_bounded(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    hostile = log(tmp_path, "x\n", "..\x1b[2J$(id);a b.log")
    assert add_log(run, hostile).file == "logs/added-2J_id_a_b.log"
    for number in range(MAX_LOGS - 1):
        add_log(run, log(tmp_path, f"{number}\n"))
    with pytest.raises(TriageError, match="already"):
        add_log(run, log(tmp_path, "y\n"))
    (run.dir / "added_logs.json").write_bytes(b'{"logs": [{"file": 3}]')
    assert read_index(run).logs == []
