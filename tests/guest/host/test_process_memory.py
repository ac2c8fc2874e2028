"""The memory of another process through a file that stays open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from triage_tui.guest.host import host_memory
from triage_tui.guest.host.process_memory import ProcessMemory

_PROGRAM = """
import ctypes, os, sys
text = ctypes.create_string_buffer(b"first\\0second", 64)
print(ctypes.addressof(text), flush=True)
sys.stdin.readline()
if len(sys.argv) > 1:
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", _PROGRAM, _PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        yield started
        started.kill()


def _address(other: subprocess.Popen[bytes]) -> int:
    assert other.stdout is not None
    return int(other.stdout.readline())


def test_reads_and_writes_what_the_process_has(other: subprocess.Popen[bytes]) -> None:
    address, memory = _address(other), ProcessMemory()
    assert memory.read(other.pid, address, 12) == b"first\0second"
    assert memory.read_string(other.pid, address) == b"first"
    memory.write(other.pid, address, b"other")
    assert host_memory.read_memory(other.pid, address, 5) == b"other"
    memory.close()
    memory.write(other.pid, address + 6, bytearray(b"SECOND"))
    assert memory.read(other.pid, address + 6, 6) == b"SECOND"
    memory.close()


def test_another_program_has_another_memory(other: subprocess.Popen[bytes]) -> None:
    memory = ProcessMemory()
    assert memory.read(other.pid, _address(other), 5) == b"first"
    assert other.stdin is not None
    other.stdin.write(b"\n")
    other.stdin.flush()
    address = _address(other)
    memory.write(other.pid, address, b"after")
    assert memory.read(other.pid, address, 5) == b"after"
    memory.close()


@pytest.mark.parametrize("address", [0, 1 << 62, (1 << 64) - 4096])
def test_an_address_that_is_none_is_an_error(other: subprocess.Popen[bytes], address: int) -> None:
    start, memory = _address(other), ProcessMemory()
    with pytest.raises(OSError, match="memory at"):
        memory.read(other.pid, address, 8)
    with pytest.raises(OSError, match=r"memory|Input"):
        memory.write(other.pid, address, b"x")
    assert memory.read(other.pid, start, 5) == b"first"
    memory.close()


def test_a_process_that_is_gone_is_an_error(other: subprocess.Popen[bytes]) -> None:
    address, memory = _address(other), ProcessMemory()
    assert memory.read(other.pid, address, 5) == b"first"
    other.kill()
    other.wait()
    with pytest.raises(OSError, match=r"No such process|memory at"):
        memory.read(other.pid, address, 5)
    memory.close()
