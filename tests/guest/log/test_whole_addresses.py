"""Addresses of which the emulator's log shows half."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from triage_tui.guest.log.whole_addresses import WholeAddresses
from triage_tui.guest.record.capture import capture
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Engine, Syscall
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter

Rootfs = Callable[[str], Path]

MAPS = {
    2: [
        Mapping(start=0x400000, end=0x480000, perms="r-x"),
        Mapping(start=0x55_0280_0000, end=0x55_0290_0000, perms="rw-"),
        Mapping(start=0x55_FFFF_0000, end=0x56_0001_0000, perms="rw-"),
        Mapping(start=0x7F_0280_0000, end=0x7F_0281_0000, perms="rw-"),
    ]
}


@pytest.mark.parametrize(
    ("name", "given", "whole"),
    [
        ("read", "3,0x2820000,4", "3,0x5502820000,4"),
        ("ioctl", "3,SIOCGIFINDEX,0x2820000", "3,SIOCGIFINDEX,0x5502820000"),
        # A mapping over the border of 4 GiB has two upper halves.
        ("write", "3,0xffff8000,4", "3,0x55ffff8000,4"),
        ("write", "3,0x8000,4", "3,0x5600008000,4"),
        # Two mappings have room for it, none has, it is whole, it may be no address.
        ("read", "3,0x2800010,4", "3,0x2800010,4"),
        ("read", "3,0x2a00010,4", "3,0x2a00010,4"),
        ("read", "3,0x400010,4", "3,0x400010,4"),
        ("read", "3,NULL,4", "3,NULL,4"),
        ("ioctl", "3,0x1234,0x2820000", "3,0x1234,0x2820000"),
        ("lseek", "3,0x2820000,0", "3,0x2820000,0"),
        ("read", "3", "3"),
    ],
)
def test_the_one_mapping_with_room_for_it_tells_the_upper_half(name: str, given: str, whole: str) -> None:
    texts = given.split(",")
    call = Syscall(seq=5, name=name, pid=2, arguments=texts)
    WholeAddresses(MAPS, []).complete(call, texts)
    assert ",".join(texts) == whole


def test_what_another_program_did_before_stays_as_it_is() -> None:
    became = Syscall(seq=7, name="execve", pid=2, ret=0)
    for seq, whole in ((6, "0x2820000"), (8, "0x5502820000")):
        texts = ["3", "0x2820000", "4"]
        call = Syscall(seq=seq, name="read", pid=2, arguments=texts)
        WholeAddresses(MAPS, [became]).complete(call, texts)
        assert texts[1] == whole


def test_buffers_of_a_program_have_addresses_that_are_mapped(
    rootfs: Rootfs, tmp_path: Path, qemu_dir: Path
) -> None:
    with Guest.start(spec(rootfs("xl2tpd-arm64"), qemu_dir, "/usr/sbin/xl2tpd", "-D")) as guest:
        stop = guest.run_until_stop()
        writer = RunWriter(tmp_path / "runs")
        capture(guest, stop, writer, target=guest.target, engine=Engine(contained=guest.contained))
        run = load_run(writer.publish())
    maps = run.snapshot.maps
    buffers = [call.arguments[1] for call in run.trace() if call.name in ("read", "write")]
    assert buffers
    for text in buffers:
        # The program, its heap and its stack all lie above 4 GiB.
        assert int(text, 16) >> 32
        assert any(entry.start <= int(text, 16) < entry.end for entry in maps), text
