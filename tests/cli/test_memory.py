"""`triage-tui memory`: what was kept, what it means, and more of it while the guest waits."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.memory_windows import answer_asked
from triage_tui.retry.inspecting.more_memory import read_more
from triage_tui.runs.events import append_event, read_events, this_process
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter, encode_json

MEMORY = b"http_passwd=hunter22\0lan_ifname=br0\0\0"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run with the object m1 ("hello") and a block of settings, of which one is a secret."""
    run_dir = write_run(tmp_path / "ai_runs")
    run = load_run(run_dir)
    writer = RunWriter(tmp_path / "blobs")
    blob = writer.add_blob("m2.bin", 0x3000, MEMORY)
    (run_dir / "memory" / "m2.bin").write_bytes(MEMORY)
    run.snapshot.memory.append(
        MemoryObject(
            id="m2", tag="data", source="trigger", addr=0x3000, addr_hex="0x3000", purpose="a block",
            how="argument 1, 38 bytes", blob=blob,
        )
    )  # fmt: skip
    (run_dir / "snapshot.json").write_bytes(encode_json(run.snapshot))
    return run_dir


def memory(run_dir: Path, *arguments: str) -> int:
    return main(["memory", "-C", str(run_dir.parent.parent), "last", *arguments])


def test_objects_are_listed_and_shown(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert memory(run_dir) == 0
    listed = capsys.readouterr().out
    assert "m1 " in listed
    assert "data (secret)" in listed
    assert memory(run_dir, "m2") == 0
    out, err = capsys.readouterr()
    assert "argument 1, 38 bytes" in out
    assert "68 74 74 70 5f" in out
    assert "settings" in out
    assert "lan_ifname=br0" in out
    assert "exports mask it" in err
    # The same piece by its address, as something else, and as data.
    assert memory(run_dir, "0x3000", "--length", "21", "--as", "string") == 0
    assert "http_passwd=hunter22" in capsys.readouterr().out
    assert memory(run_dir, "0x3000", "--length", "8", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["bytes"], found["how"]) == (MEMORY[:8].hex(), "from the record")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["0x9000"], "was not kept, and no frozen guest waits"),
        (["nothing"], "has no memory object nothing"),
        (["0x3000", "--length", "0"], "1 to"),
        (["m1", "--as", "netlink"], "these bytes are no netlink"),
        (["m1", "--as", "sockaddr_in6"], None),
    ],
)
def test_what_cannot_be_had_is_one_sentence(
    run_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str | None
) -> None:
    code = memory(run_dir, *arguments)
    err = capsys.readouterr().err
    assert code == (2 if why else 0)
    assert why is None or (why in err and len(err.splitlines()) == 1)


def test_more_is_read_from_the_guest_while_it_waits(run_dir: Path) -> None:
    append_event(run_dir, "captured", {"holder": this_process()})
    run = load_run(run_dir)
    # Two mappings that touch; behind them lies what is not the guest's.
    run.snapshot.maps = [
        Mapping(start=0x5000, end=0x5200, perms="rw-p"),
        Mapping(start=0x5200, end=0x5400, perms="r--p"),
    ]
    (run_dir / "snapshot.json").write_bytes(encode_json(run.snapshot))
    done = threading.Event()

    def read(address: int, size: int) -> bytes:
        return bytes([address & 0xFF]) * size

    def holder() -> None:
        # The process that holds the guest: it answers when the log of events grows.
        while not done.wait(0.02):
            answer_asked(run_dir, read_events(run_dir)[0], read)

    thread = threading.Thread(target=holder)
    thread.start()
    try:
        run, data, how = read_more(load_run(run_dir), 0x5042, 300, threading.Event())
        assert data == b"\x42" * 300
        assert how == "read from the frozen guest on demand"
        kept = run.memory_object("asked_0x5042")
        assert kept is not None
        assert (kept.source, kept.purpose) == ("person", "asked for by a person")
        # Once it is kept, nobody is asked; a longer piece takes its place.
        before = len(run.events)
        assert read_more(run, 0x5050, 16, threading.Event())[1] == b"\x42" * 16
        assert len(load_run(run_dir).events) == before
        run, data, _ = read_more(run, 0x5042, 600, threading.Event())
        assert len(data) == 600
        assert len(read_more(run, 0x5300, 4096, threading.Event())[1]) == 0x100
        with pytest.raises(TriageError, match="nothing is mapped at 0x12"):
            read_more(run, 0x12, 64, threading.Event())
        assert sum(entry.id == "asked_0x5042" for entry in run.snapshot.memory) == 1
        with pytest.raises(TriageError, match="1 to"):
            read_more(run, 0, 1 << 40, threading.Event())
    finally:
        done.set()
        thread.join()
