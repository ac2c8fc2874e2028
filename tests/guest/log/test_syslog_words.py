"""The line that a program has ready for its system log."""

from __future__ import annotations

import struct

import pytest

from triage_tui.guest.arch import by_name
from triage_tui.guest.log.syslog_words import MAX_BYTES, SyslogWords
from triage_tui.runs.model import Syscall

LINE = b"<27>Nov  1 20:11:02 app[2]: calibration block is missing"
STACK = 0x7FF0
BUFFER = 0x20010


def heard(memory: dict[int, bytes], arch: str = "arm", peer: str = "unix:/dev/log") -> SyslogWords:
    words = SyslogWords()
    hear(words, memory, arch, peer)
    return words


def hear(
    words: SyslogWords, memory: dict[int, bytes], arch: str = "arm", peer: str = "unix:/dev/log"
) -> None:
    def read(address: int, size: int) -> bytes:
        for start, data in memory.items():
            if start <= address < start + len(data):
                return data[address - start :][:size]
        raise OSError

    words.take(Syscall(seq=0, name="connect", peer=peer), by_name(arch), STACK, read)


@pytest.mark.parametrize(
    ("arch", "pointer"), [("arm", "<I"), ("mips", ">I"), ("aarch64", "<Q"), ("s390x", ">Q")]
)
def test_it_is_on_the_stack_or_where_the_stack_points_to(arch: str, pointer: str) -> None:
    assert heard({STACK: b"\1" * 40 + LINE + b"\0rest"}, arch).content() == LINE + b"\n"
    stack = b"\1" * 40 + struct.pack(pointer, BUFFER) + b"\2" * 40
    assert heard({STACK: stack, BUFFER: LINE + b"\n\0"}, arch).content() == LINE + b"\n"


@pytest.mark.parametrize(
    "memory",
    [{}, {STACK: b"no line <27> here"}, {STACK: b"<999>Nov  1 20:11:02 app: x\0"}, {STACK: b"\xff" * 9000}],
)
def test_nothing_is_made_up(memory: dict[int, bytes]) -> None:
    words = heard(memory)
    assert words.content() == b""
    assert words.unseen == 1


def test_only_the_system_log_is_asked_and_a_retry_is_no_second_line() -> None:
    assert heard({STACK: LINE + b"\0"}, peer="unix:/run/x").total == 0
    words = heard({STACK: LINE + b"\0"})
    hear(words, {STACK: LINE + b"\0"})
    hear(words, {STACK: LINE + b" again\x1b[2J\0"})
    assert words.content().splitlines() == [LINE, LINE + b" again [2J"]


def test_it_is_bounded() -> None:
    words = SyslogWords()
    for number in range(200):
        hear(words, {STACK: b"<27>Nov  1 20:11:02 app: %d " % number + b"x" * 900 + b"\0"})
    assert len(words.content()) <= MAX_BYTES
    assert words.total > len(words.content())
