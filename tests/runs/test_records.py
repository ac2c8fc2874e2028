import errno
import json
import os
from pathlib import Path

import jsonschema
import msgspec
import pytest

from tests.runs.build import failed_open, write_run
from triage_tui.errors import TriageError
from triage_tui.runs import reader
from triage_tui.runs.events import append_event
from triage_tui.runs.files import inside, read_bounded, write_atomic
from triage_tui.runs.ids import is_run_id, new_run_id
from triage_tui.runs.listing import list_runs
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.schema import SCHEMAS, schema
from triage_tui.runs.writer import RunWriter, fnv1a32


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    calls = [failed_open(seq, f"/etc/{seq}") for seq in range(1, 200)]
    run = load_run(write_run(tmp_path, calls))
    assert run.problems == []
    assert run.snapshot.target.arch == "mipsel"
    assert len(run.snapshot.recent_syscalls) == 64
    assert [call.seq for call in run.trace()] == list(range(1, 200))
    assert run.syscall(3) == calls[2]
    assert run.memory_bytes("m1") == b"hello\0"


def test_what_could_not_be_written_again_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RunWriter(tmp_path)
    writer.write_text("regs.txt", "first")
    with monkeypatch.context() as full:
        full.setattr(os, "fchmod", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full"):
            writer.write_text("regs.txt", "second")
    run_dir = write_run(tmp_path, writer=writer)
    assert load_run(run_dir).problems == []
    assert not (run_dir / "regs.txt").exists()


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_published_schemas_are_the_ones_in_use(name: str) -> None:
    published = Path(__file__).parents[2] / "docs" / "schemas" / f"{name}.schema.json"
    assert msgspec.json.decode(published.read_bytes()) == schema(name)


def test_what_is_written_follows_the_schema(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    append_event(run_dir, "captured", {"holder": {"pid": 1, "start": 2}})
    jsonschema.validate(msgspec.json.decode((run_dir / "snapshot.json").read_bytes()), schema("snapshot"))
    for line in (run_dir / "trace.jsonl").read_bytes().splitlines():
        jsonschema.validate(msgspec.json.decode(line), schema("trace-line"))
    for line in (run_dir / "events.jsonl").read_bytes().splitlines():
        jsonschema.validate(msgspec.json.decode(line), schema("event"))


def test_an_unpublished_run_is_not_listed(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.write_text("regs.txt", "half")
    assert list_runs(tmp_path) == []
    with pytest.raises(ValueError, match="snapshot"):
        writer.publish()
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_run_ids_grow_and_never_collide(tmp_path: Path) -> None:
    ids = [new_run_id(tmp_path) for _ in range(5)]
    assert ids == sorted(set(ids))
    assert all(is_run_id(name) for name in ids)


def test_one_bad_run_never_hides_the_others(tmp_path: Path) -> None:
    good = write_run(tmp_path)
    for number, content in enumerate([b"", b"{", b"[]", b"[" * 200_000, b'{"run_id": 1}', b"\xff"]):
        directory = tmp_path / f"20260101_000000_{number:08d}"
        directory.mkdir()
        (directory / "snapshot.json").write_bytes(content)
    fifo = tmp_path / "20260101_000001_00000000"
    fifo.mkdir()
    os.mkfifo(fifo / "snapshot.json")
    empty = tmp_path / "20260101_000001_00000001"
    empty.mkdir()
    (tmp_path / "20260101_000001_00000002").symlink_to(good)
    (tmp_path / "not-a-run").mkdir()
    summaries = {entry.run_id: entry for entry in list_runs(tmp_path)}
    assert summaries[good.name].problem is None
    assert len(summaries) == 9
    assert "not a regular file" in str(summaries[fifo.name].problem)
    assert "still being written" in str(summaries[empty.name].problem)


def test_a_missing_directory_holds_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nothing") == []


def test_a_newer_version_says_so_and_still_opens(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    path = run_dir / "snapshot.json"
    data = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**data, "schema_version": 99, "new_field": {"x": 1}}))
    run = load_run(run_dir)
    assert run.snapshot.target.program == "/sbin/x"
    assert any("newer version" in problem for problem in run.problems)


def test_fields_of_another_shape_are_left_out_and_named(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    path = run_dir / "snapshot.json"
    data = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**data, "regs": {"r0": 1}, "maps": [{"start": "x"}]}))
    run = load_run(run_dir)
    assert run.snapshot.trigger.exit_code == 1
    assert run.snapshot.regs == []
    assert any("regs, maps" in problem for problem in run.problems)


def test_no_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match=r"has no snapshot\.json"):
        load_run(tmp_path)


def test_damaged_trace_lines_are_counted(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    with open(run_dir / "trace.jsonl", "ab") as stream:
        stream.write(b"{nonsense}\n\xff\n")
    run = load_run(run_dir)
    assert len(run.trace()) == 1
    assert any("2 damaged lines" in problem for problem in run.problems)


def test_of_a_trace_that_is_too_long_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = write_run(tmp_path, [failed_open(seq, f"/etc/{seq}.conf") for seq in range(1, 201)])
    monkeypatch.setattr(reader, "MAX_TRACE_BYTES", 10_000)
    run = load_run(run_dir)
    calls = run.trace()
    assert calls[-1].seq == 200
    assert [call.seq for call in calls] == list(range(calls[0].seq, 201))
    assert run.problems == ["trace.jsonl is longer than 0 MiB: its beginning is left out"]
    assert run.syscall(200) == calls[-1]
    assert run.syscall(1) is None


def test_a_record_of_sfemu_is_read(tmp_path: Path) -> None:
    run_dir = tmp_path / "20260131_020304_00000042"
    run_dir.mkdir()
    snapshot = {
        "run_id": run_dir.name,
        "reason": "deadloop",
        "created_at": "2026-01-31 02:03:04",
        "rules_dir": "/rules/",
        "trigger": {"seq": 42, "syscall_name": "select", "syscall_num": 142, "args": [0] * 8, "ts_sec": 1},
        "outputs": [],
        "regs": [{"num": 0, "name": "r0", "feature": "core", "size": 4, "rc": 4, "value": 5}],
        "memory": [
            {"tag": "arg1", "source": "trigger", "addr": 8192, "addr_hex": "0x2000", "string": "/dev/nvram"}
        ],
        "recent_syscalls": [
            {"seq": 40, "name": "open", "num": 5, "args": [8192], "ret": -2, "intercepted": False}
        ],
    }
    (run_dir / "snapshot.json").write_text(json.dumps(snapshot))
    run = load_run(run_dir)
    assert run.snapshot.reason == "loop"
    assert run.snapshot.memory[0].string == "/dev/nvram"
    assert run.snapshot.recent_syscalls[0].name == "open"
    assert run.problems == ["snapshot.json does not follow this program's format; left out: target"]


def test_changed_memory_is_refused(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path))
    (run.dir / "memory" / "m1.bin").write_bytes(b"other!")
    with pytest.raises(TriageError, match="changed after it was recorded"):
        run.memory_bytes("m1")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\0b", "link/x"])
def test_names_that_leave_the_directory_are_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(TriageError, match="refused"):
        inside(root, name)


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with open(path, "wb") as stream:
        stream.truncate(1 << 40)
    assert len(read_bounded(path, 1000)) == 1000
    with pytest.raises(TriageError, match="more than the 1000"):
        read_bounded(path, 1000, whole=True)


def test_an_atomic_write_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_atomic(link, "new")
    assert target.read_text() == "old"
    assert link.read_text() == "new"
    assert not link.is_symlink()


def test_fnv1a32_vectors() -> None:
    # Test vectors of the FNV specification (draft-eastlake-fnv, appendix).
    assert fnv1a32(b"") == 0x811C9DC5
    assert fnv1a32(b"a") == 0xE40C292C
    assert fnv1a32(b"foobar") == 0xBF9CF968


def test_guest_text_survives_json(tmp_path: Path) -> None:
    nasty = Syscall(seq=1, name="openat", path="\x1b]52;c;x\x07\u202e/etc\\xff", ret=-2, errno="ENOENT")
    assert load_run(write_run(tmp_path, [nasty])).trace() == [nasty]


def test_what_a_killed_writer_left_is_removed_and_what_is_written_is_not(tmp_path: Path) -> None:
    living = RunWriter(tmp_path)
    abandoned = tmp_path / ".tmp-20260101_000000_00000001"
    (abandoned / "memory").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / ".tmp-link").symlink_to(outside)
    for path in (living.dir, abandoned):
        os.utime(path, (1, 1))
    fresh = RunWriter(tmp_path)
    assert not abandoned.exists()
    assert living.dir.is_dir()
    assert fresh.dir.is_dir()
    assert outside.is_dir()
    fresh.discard()
    assert not fresh.dir.exists()


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "circle"])
@pytest.mark.parametrize("name", ["events.jsonl", "snapshot.json", "diagnosis.json", "trace.jsonl"])
def test_what_is_no_file_hides_no_other_run(tmp_path: Path, name: str, kind: str) -> None:
    good, bad = write_run(tmp_path), write_run(tmp_path)
    (bad / name).unlink(missing_ok=True)
    if kind == "directory":
        (bad / name).mkdir()
    elif kind == "fifo":
        os.mkfifo(bad / name)
    else:
        (bad / name).symlink_to("/dev/zero" if kind == "link" else name)
    assert [entry.run_id for entry in list_runs(tmp_path)] == [bad.name, good.name]
    if name == "snapshot.json":
        with pytest.raises(TriageError):
            load_run(bad)
    else:
        run = load_run(bad)
        run.trace()
        # A run need not have a diagnosis, and a link in a circle leads to none.
        assert bool(run.problems) == (kind != "circle" or name != "diagnosis.json")
    if name == "events.jsonl":
        with pytest.raises(TriageError, match="cannot write the event log"):
            append_event(bad, "diagnosed")
