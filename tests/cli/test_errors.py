"""What commands say when they cannot work: nothing in it reaches the terminal as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.emulator.test_elf import make
from triage_tui.cli.main import main


def test_a_program_cannot_write_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "program").write_bytes(make(interpreter=b"/lib/\x1b[2J\xff\0").ljust(0x1000, b"\0"))
    assert main(["run", "-C", str(tmp_path), "--rootfs", str(tmp_path), "/program"]) != 0
    said = capsys.readouterr().err
    assert r"needs the interpreter /lib/\x1b[2J\xff" in said
    assert "\x1b" not in said


def test_an_option_is_not_echoed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["list", "\x1b[2J"])
    assert "\x1b" not in capsys.readouterr().err


def test_what_is_too_large_for_a_program_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "program").open("wb") as file:
        file.write(make(interpreter=b"/lib/ld.so\0"))
        file.truncate(1 << 40)
    assert main(["run", "-C", str(tmp_path), "--rootfs", str(tmp_path), "/program"]) == 2
    said = capsys.readouterr().err
    assert "is too large for a program: it has 1048576 MiB, and at most 1024 MiB are read" in said
