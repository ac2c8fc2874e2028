"""Processes that are killed in the middle: at a named step, or before the n-th change of the file system."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from triage_tui.errors import TriageError

_CHANGES = frozenset(
    ["os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate", "os.chmod", "fcntl.flock"]
)
"""Audit events (PEP 578) that are raised before the file system changes; opening for writing is another."""

Ended = Literal["done", "refused", "killed"]


class Kill(NamedTuple):
    """When to kill: after the step `step`, or before the change number `change` (from 0); neither: never."""

    step: str = ""
    change: int = -1


NEVER = Kill()


def carried_out(work: Callable[[Callable[[str], None]], object], kill: Kill = NEVER) -> tuple[Ended, str]:
    """Run `work`, which gets the function to call at each step, in a process that is killed as `kill` says.

    Returns how it ended and, when it refused, its sentence.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            if kill.change >= 0:
                _kill_before(kill.change)
            work(lambda name: _die() if name == kill.step else None)
            os._exit(0)
        except TriageError as error:
            os.write(writing, str(error).encode()[:4000])
            os._exit(3)
        except BaseException as error:
            os.write(writing, repr(error).encode()[:4000])
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return "killed", ""
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 3), said
    return ("done", "") if code == 0 else ("refused", said)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_before(number: int) -> None:
    """Count the changes of this process from now on, and kill it before one of them."""
    left = number

    def count() -> None:
        nonlocal left
        if left == 0:
            _die()
        left -= 1

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if event in _CHANGES or writes:
            count()

    fsync, write = os.fsync, os.write

    def counted_fsync(handle: int) -> None:
        count()
        fsync(handle)

    def counted_write(handle: int, data: bytes) -> int:
        if left == 0:
            write(handle, data[: len(data) // 2])
        count()
        return write(handle, data)

    os.fsync, os.write = counted_fsync, counted_write  # type: ignore[assignment]
    sys.addaudithook(hook)
