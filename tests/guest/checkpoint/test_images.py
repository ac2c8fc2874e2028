"""Images are read as they were written, and what is wrong with them is one sentence."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage_tui.guest.arch import by_name
from triage_tui.guest.checkpoint import wire
from triage_tui.guest.checkpoint.image_files import read_image, write_image
from triage_tui.guest.checkpoint.messages import SHAPES
from triage_tui.guest.checkpoint.model import (
    Action,
    ChangedFile,
    Checkpoint,
    Descriptor,
    Facts,
    Mark,
    OpenFile,
    PageRun,
    SocketOption,
    Thread,
    ThreadFacts,
    Timer,
    Watch,
)
from triage_tui.guest.checkpoint.reading import DamagedCheckpoint, read_checkpoint
from triage_tui.guest.checkpoint.writing import write_checkpoint
from triage_tui.runs.process_model import Mapping

ARCH = by_name("mipsel")


def a_checkpoint() -> Checkpoint:
    state = bytearray(0x600)
    state[128:132] = (0x400100).to_bytes(4, "little")
    facts = Facts(
        arch="mipsel",
        emulator="qemu-mipsel-static",
        emulator_version="7.2.22",
        emulator_sha256="0" * 64,
        emulator_options=[],
        program="/bin/x",
        program_sha256="1" * 64,
        call="poll",
        seq=7,
        state_end=len(state),
        pc_offset=128,
        streams={1: "stdout"},
        devices=[3],
        directories=[],
        threads=[ThreadFacts(0x404010, "futex")],
        clear_tid=0x404020,
        first_call="poll",
        last_marks={14: 9},
        semaphores=[8],
        options={6: [SocketOption(1, 6, "01000000")]},
        mapped={"/bin/x": "1" * 64},
        emulator_pages=[],
        changed=[ChangedFile(path="/tmp/a", kind="file", mode=0o600, size=4)],
        pages_bytes=8192,
    )
    return Checkpoint(
        facts=facts,
        pid=2,
        name="x",
        registers=ARCH.registers_from_env(bytes(state), 128),
        floats=[],
        state=bytes(state),
        tls=0,
        threads=[
            Thread(
                tid=5,
                registers=ARCH.registers_from_env(bytes(state), 128),
                floats=[],
                state=bytes(state),
                tls=0,
                blocked=3,
                clear_tid=0x404010,
                name="worker",
                call="futex",
            )
        ],
        areas=[
            Mapping(start=0x400000, end=0x404000, perms="r-xp", path="/bin/x"),
            Mapping(start=0x404000, end=0x408000, perms="rw-p", name="[heap]"),
        ],
        pages=[PageRun(0x404000, 2, 0)],
        files=[
            OpenFile(id=1, kind="stdout", pipe=5, flags=1),
            OpenFile(id=2, kind="file", path="/etc/\udcff", flags=2, offset=9),
            OpenFile(id=3, kind="device", path="/dev/null", flags=2),
            OpenFile(id=4, kind="pipe", pipe=9, flags=0),
            OpenFile(id=5, kind="pipe", pipe=9, flags=1),
            OpenFile(
                id=6,
                kind="unix",
                path="/run/s",
                family=1,
                socket_type=1,
                listening=True,
                backlog=5,
                mode=0o640,
                user=7,
                options=[SocketOption(1, 6, "01000000")],
            ),
            OpenFile(
                id=7, kind="inet", family=10, socket_type=2, protocol=17, address="::1", port=67, reuse=True
            ),
            OpenFile(id=8, kind="eventfd", flags=2, counter=1 << 40, semaphore=True),
            OpenFile(id=9, kind="epoll", flags=2, watches=[Watch(9, 1 << 31 | 1, (1 << 64) - 2)]),
            OpenFile(id=10, kind="timerfd", flags=2, timer=Timer(1, 3, 10**9 + 5, 7)),
            OpenFile(id=11, kind="signalfd", flags=2, signals=1 << 63 | 2),
            OpenFile(id=12, kind="pair", flags=2, family=1, socket_type=2, peer=13),
            OpenFile(id=13, kind="pair", flags=2, family=1, socket_type=2, peer=12),
            OpenFile(id=14, kind="inotify", marks=[Mark(7, "/etc/\udcff", 1 << 31 | 2, 12, 43)], last_mark=9),
        ],
        descriptors=[Descriptor(1, 1), Descriptor(3, 2, True), Descriptor(4, 3)]
        + [Descriptor(number, number) for number in (5, 6, 7)]
        + [Descriptor(8, 4), *(Descriptor(number + 1, number) for number in range(8, 15))],
        cwd="/tmp",
        umask=0o27,
        actions=[Action(1, 0x400200, 0x10000000, 0, 1 << 40), Action(24, 1, 0, 0, 0)],
        blocked=1 << 63,
        heap=(0x404000, 0x407123),
        auxv=[3, 0x400034],
        pipes={9: b"kept"},
        pipe_sizes={9: 65536},
        queues={12: [b"one", b"", b"two"], 13: []},
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    (directory / "pages-1.img").write_bytes(b"p" * 8192)
    (directory / "files.bin").write_bytes(b"abcd")
    write_checkpoint(directory, a_checkpoint())
    return directory


def test_what_is_written_is_read(written: Path) -> None:
    before, after = a_checkpoint(), read_checkpoint(written)
    wanted = msgspec.to_builtins(before, str_keys=True)
    found = msgspec.to_builtins(after, str_keys=True)
    del wanted["files"], found["files"]
    assert found == wanted
    kinds = [(one.id, one.kind, one.path, one.flags, one.offset) for one in after.files[:14]]
    assert kinds == [(one.id, one.kind, one.path, one.flags, one.offset) for one in before.files]
    assert after.files[5:14] == before.files[5:]


@given(st.binary(max_size=300))
def test_a_message_is_read_or_refused(data: bytes) -> None:
    for name in ("core_entry", "mm_entry", "file_entry", "pagemap_entry"):
        with suppress(wire.Damaged):
            wire.decode(SHAPES, name, data)


@given(st.integers(0, (1 << 64) - 1), st.integers(-(1 << 63), (1 << 63) - 1), st.binary(max_size=99))
def test_fields_come_back(number: int, signed: int, data: bytes) -> None:
    shapes = {
        "x": {"a": wire.Field(1, "unsigned"), "b": wire.Field(2, "zigzag"), "c": wire.Field(300, "bytes")}
    }
    message = {"a": number, "b": signed, "c": data}
    assert wire.decode(shapes, "x", wire.encode(shapes, "x", message)) == message


def test_flipped_and_cut_images_are_refused_in_one_sentence(written: Path) -> None:
    chance = random.Random(7)
    refused = 0
    for path in sorted(written.iterdir()):
        whole = path.read_bytes()
        cases = [whole[:size] for size in {0, 3, len(whole) // 2, len(whole) - 1} if 0 <= size < len(whole)]
        for _ in range(25):
            flipped = bytearray(whole)
            for _ in range(chance.randint(1, 3)):
                if flipped:
                    flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
            cases.append(bytes(flipped))
        for case in cases:
            path.write_bytes(case)
            said = refusal(written)
            refused += bool(said)
            assert re.fullmatch(r"(the checkpoint cannot be used: [^\n]+)?", said)
        path.write_bytes(whole)
    assert refused > 100


def refusal(directory: Path) -> str:
    """Return why a checkpoint is refused, "" where it is not."""
    try:
        read_checkpoint(directory)
    except DamagedCheckpoint as error:
        return str(error)
    return ""


def edited(directory: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    entries = [entry for entry, _ in read_image(directory, name, 99)]
    for entry in entries:
        change(entry)
    (directory / name).unlink()
    write_image(directory, name, entries)


def facts(directory: Path, **changes: object) -> None:
    path = directory / "triage.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _overlap(entry: dict[str, Any]) -> None:
    entry["vmas"][1]["start"] = 0x403000


def _huge(entry: dict[str, Any]) -> None:
    entry["vmas"][1]["end"] = 1 << 40


def _stray(entry: dict[str, Any]) -> None:
    if "vaddr" in entry:
        entry["vaddr"] = 0x500000


def _many(entry: dict[str, Any]) -> None:
    if "vaddr" in entry:
        entry["nr_pages"] = 1 << 50


def _outside(entry: dict[str, Any]) -> None:
    if "reg" in entry and entry["id"] == 2:
        entry["reg"]["name"] = "/tmp/../../etc/shadow"


def _another_pc(entry: dict[str, Any]) -> None:
    entry["ti_mips"]["gpregs"]["cp0_epc"] = 4


def _twice(entry: dict[str, Any]) -> None:
    if "pipe" in entry:
        entry["id"] = 1


def _bomb(entry: dict[str, Any]) -> None:
    entry["mm_saved_auxv"] = [1] * 140_000


def _alone(entry: dict[str, Any]) -> None:
    if entry["id"] == 12:
        entry["usk"]["peer"] = 6


def _watches_nothing(entry: dict[str, Any]) -> None:
    if "epfd" in entry:
        entry["epfd"]["tfd"][0]["tfd"] = 77


def _marks_outside(entry: dict[str, Any]) -> None:
    if "ify" in entry:
        entry["ify"]["wd"][0]["f_handle"]["path"] = "/../etc"


def _mark_without_number(entry: dict[str, Any]) -> None:
    if "ify" in entry:
        entry["ify"]["wd"][0]["wd"] = 0


def _two_first(entry: dict[str, Any]) -> None:
    entry["threads"] = [2, 2]


def _crowd(entry: dict[str, Any]) -> None:
    entry["threads"] = [2, *range(5, 300)]


def _more(entry: dict[str, Any]) -> None:
    entry["threads"] = [2, 5, 6]


def _late(entry: dict[str, Any]) -> None:
    if "tfd" in entry:
        entry["tfd"]["vnsec"] = 10**9


_CHANGED = {"path": "/a", "kind": "file", "size": 4}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda d: edited(d, "mm-2.img", _overlap), "overlaps the one before it"),
        (lambda d: edited(d, "mm-2.img", _huge), "does not fit into the address space"),
        (lambda d: edited(d, "pagemap-2.img", _stray), "lies in no mapping"),
        (lambda d: edited(d, "pagemap-2.img", _many), "pages that cannot be"),
        (lambda d: edited(d, "files.img", _outside), "is no path in the guest's root"),
        (lambda d: edited(d, "core-2.img", _another_pc), "do not agree"),
        (lambda d: edited(d, "files.img", _alone), "a socket has no other end"),
        (lambda d: edited(d, "files.img", _watches_nothing), "watches a descriptor that is not there"),
        (lambda d: edited(d, "files.img", _marks_outside), "no path in the guest's root"),
        (lambda d: edited(d, "files.img", _mark_without_number), "inotify instance watches what it cannot"),
        (lambda d: facts(d, last_marks={"14": 3}), "inotify instance watches what it cannot"),
        (lambda d: facts(d, last_marks={"9": 3}), "of no inotify instance"),
        (lambda d: edited(d, "files.img", _late), "a timer runs for a time that cannot be"),
        (lambda d: edited(d, "pstree.img", _two_first), "not of one process with its threads"),
        (lambda d: edited(d, "pstree.img", _crowd), "more than 256 threads"),
        (lambda d: edited(d, "pstree.img", _more), "is not of its 3 threads"),
        (lambda d: edited(d, "core-5.img", _another_pc), "do not agree"),
        (lambda d: facts(d, threads=[{"clear_tid": -1, "call": ""}]), "is not of a thread"),
        (lambda d: facts(d, semaphores=[9]), "a semaphore is no eventfd"),
        (lambda d: facts(d, options={"6": [{"level": 1, "name": 36, "value": "0"}]}), "cannot be set"),
        (lambda d: (d / "pages-1.img").write_bytes(b"p" * 4096), "pages that cannot be|should have"),
        (lambda d: (d / "core-2.img").unlink(), "cannot be read"),
        (lambda d: os.truncate(d / "files.img", 1 << 40), "no regular file of at most"),
        (lambda d: facts(d, changed=[_CHANGED | {"path": "/../a"}]), "no path in the guest's root"),
        (lambda d: facts(d, changed=[_CHANGED | {"size": 1 << 40}]), "is cut off"),
        (lambda d: facts(d, changed=[_CHANGED | {"user": -1}]), "belongs to nobody"),
        (lambda d: facts(d, changed=[_CHANGED | {"kind": "link", "target": "\ud800"}]), "cannot be"),
        (lambda d: facts(d, changed=[_CHANGED | {"path": "/\ud800"}]), "no path in the guest's root"),
        (lambda d: facts(d, changed=[_CHANGED | {"kind": "name", "target": "../a"}]), "no path in the guest"),
        (lambda d: facts(d, mapped={"/a\0": "0"}), "no path in the guest's root"),
        (lambda d: facts(d, seq=1 << 70), "numbers that cannot be"),
        (lambda d: facts(d, next_mapping=1 << 40), "mappings begin where none can"),
        (lambda d: facts(d, attributes={"root": "/.."}), "no path in the guest's root"),
        (lambda d: facts(d, attributes={"nice": 99}), "its priority is none"),
        (lambda d: edited(d, "files.img", _twice), "names a file twice"),
        (lambda d: edited(d, "mm-2.img", _bomb), "holds more than 131072 of mm_saved_auxv"),
        (lambda d: os.truncate(d / "pages-1.img", 40 << 30), "no regular file of at most"),
        (lambda d: facts(d, streams={"1": "inet"}), "one of its streams is none"),
        (lambda d: facts(d, schema_version=9), "version 9"),
        (lambda d: facts(d, arch="vax"), "is not known"),
        (lambda d: facts(d, pc_offset=8), "not of an emulator that is known"),
    ],
)
def test_hostile_checkpoints(written: Path, spoil: Callable[[Path], object], why: str) -> None:
    spoil(written)
    with pytest.raises(DamagedCheckpoint, match=why):
        read_checkpoint(written)


def test_links_are_not_followed(written: Path, tmp_path: Path) -> None:
    (written / "emulator-state.bin").rename(tmp_path / "elsewhere")
    (written / "emulator-state.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedCheckpoint, match=re.escape("emulator-state.bin cannot be read")):
        read_checkpoint(written)
    with pytest.raises(DamagedCheckpoint, match="there is no checkpoint"):
        read_checkpoint(tmp_path / "nowhere")
