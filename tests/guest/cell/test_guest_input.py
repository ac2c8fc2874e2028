"""What a guest can do with its standard input, whatever that is on the host: read it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.errors import TriageError
from triage_tui.guest.supervisor import Guest


def output_with(tmp_path: Path, qemu_dir: Path, **how: object) -> list[bytes]:
    root = root_with(tmp_path / "root", "arm", "turns_input")
    with Guest.start(spec(root, qemu_dir, "/bin/turns_input", **how)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 0)
        assert guest.problems == []
        return guest.output().splitlines()


def test_a_directory_is_refused(tmp_path: Path, qemu_dir: Path) -> None:
    with pytest.raises(TriageError, match="as the guest's input: it is a directory"):
        output_with(tmp_path, qemu_dir, stdin=tmp_path)


def test_a_fifo_is_read_and_not_written_to(tmp_path: Path, qemu_dir: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    before = fifo.stat()
    writer = threading.Thread(target=fifo.write_bytes, args=(b"through the pipe\n" * 20_000,))
    writer.start()
    said = output_with(tmp_path, qemu_dir, stdin=fifo)
    writer.join()
    assert said.count(b"through the pipe") == 20_000
    assert fifo.stat().st_mode == before.st_mode
    # What the guest wrote to a pipe of its own came back to itself only.
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_a_device_is_read_through_a_pipe(tmp_path: Path, qemu_dir: Path) -> None:
    control, device = os.openpty()
    os.write(control, b"typed\n\x04")
    said = output_with(tmp_path, qemu_dir, stdin=Path(os.ttyname(device)))
    assert b"typed" in said
    os.close(device)
    os.close(control)


def test_the_null_device_is_not_the_hosts_to_change(tmp_path: Path, qemu_dir: Path) -> None:
    said = output_with(tmp_path, qemu_dir)
    assert said[0] == b"kept times: Read-only file system"
    assert [line.split(b":")[0] for line in said[1:4]] == [
        b"kept mode",
        b"kept file below",
        b"kept file above",
    ]
