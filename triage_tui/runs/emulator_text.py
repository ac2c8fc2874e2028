"""QEMU's own words: it writes to the stderr of the program that it runs.

Such lines are the emulator's only where the program's writes cannot have made them: a program may print the
same text itself.
"""

from __future__ import annotations

import re

# linux-user/signal.c (uncaught target signal), cpu_loop.c (unhandled CPU exception),
# util/qemu-thread-posix.c, error-report.c, and the assertions of GLib.
_OWN = re.compile(rb"qemu(-[\w-]+)?: .*|qemu_\w+: .*|\*\*|(ERROR:|Bail out! ERROR:)\.\./.*")


def emulator_lines(data: bytes, written: int) -> dict[int, int]:
    """Return number (from 1) -> size in bytes of the lines of output `data` that are the emulator's.

    `written` is how many bytes the program's calls wrote; empty unless these leave room for all such lines.
    """
    pieces = enumerate(re.findall(rb"[^\n]*\n|[^\n]+", data), start=1)
    found = {number: len(line) for number, line in pieces if _OWN.fullmatch(line.rstrip(b"\r\n"))}
    return found if sum(found.values()) <= len(data) - written else {}


def failure_words(data: bytes) -> str:
    """Return what the emulator said of its own failure at the end of a stream, "" where it said nothing.

    That the guest dies of a signal is no failure of the emulator.
    """
    tail = data[len(data) - emulator_tail(data) :].splitlines()
    lines = [line for line in tail if line != b"**" and b": uncaught target signal " not in line]
    return (
        lines[-1].decode("utf-8", "backslashreplace").removeprefix("Bail out! ").rstrip(".") if lines else ""
    )


def emulator_tail(data: bytes) -> int:
    """Return how many bytes at the end of a stream read like the emulator's own lines."""
    size = 0
    for line in reversed(re.findall(rb"[^\n]*\n|[^\n]+", data)):
        if not _OWN.fullmatch(line.rstrip(b"\r\n")):
            break
        size += len(line)
    return size
