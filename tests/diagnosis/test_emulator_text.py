"""What the emulator writes to a program's stderr is not what the program said."""

from __future__ import annotations

from triage_tui.diagnosis.output import lines_of
from triage_tui.guest.log.printed import line_up
from triage_tui.runs.emulator_text import emulator_tail, failure_words
from triage_tui.runs.model import Syscall

OWN = b"qemu: uncaught target signal 6 (Aborted) - core dumped\n"


def write(seq: int, size: int) -> Syscall:
    return Syscall(seq=seq, name="write", pid=2, arguments=["2", "0x1000", str(size)], ret=size)


def test_lines_that_no_write_made_are_the_emulators() -> None:
    lines = lines_of(b"one\n" + OWN + b"two\n", [write(1, 4), write(2, 4)])
    assert [(line.number, line.seq, line.emulator) for line in lines] == [
        (1, 1, False),
        (2, -1, True),
        (3, 2, False),
    ]


def test_a_program_may_print_the_same_itself() -> None:
    (line,) = lines_of(OWN, [write(1, len(OWN))])
    assert (line.seq, line.emulator) == (1, False)


def test_the_emulators_last_words_do_not_hide_who_printed_what() -> None:
    said = write(1, 4)
    stderr = b"one\n" + OWN
    assert line_up([said], {"stderr": len(stderr)}, 0, emulator_tail(stderr)) is None
    assert said.printed is not None
    assert (said.printed.offset, said.printed.size) == (0, 4)
    own = write(1, len(stderr))
    assert line_up([own], {"stderr": len(stderr)}, 0, emulator_tail(stderr)) is None
    assert line_up([write(1, 3)], {"stderr": len(stderr)}, 0, emulator_tail(stderr)) is not None


def test_what_the_emulator_says_of_its_own_failure() -> None:
    words = b"qemu-i386-static: ./include/qemu/rcu.h:102: f: Assertion `x' failed."
    assert failure_words(b"program\n" + words + b"\n" + words + b"\n") == words.decode().rstrip(".")
    failed = b"Bail out! ERROR:../../accel/tcg/cpu-exec.c:9:f: assertion failed: (x)\n"
    assert failure_words(b"**\n" + failed) == failed.decode().removeprefix("Bail out! ").strip()
    assert failure_words(OWN) == ""
    assert failure_words(words + b"\nand the program goes on\n") == ""
