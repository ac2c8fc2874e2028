"""Limits that would hit the emulator: what is kept, what is refused, what is answered."""

from __future__ import annotations

import errno
import resource
import struct

import pytest

from triage_tui.guest.cell.limits import Answer, Limits, Request

INFINITY = (1 << 64) - 1
FILES, SIZE = resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE
NEW, OLD = 0x100, 0x200


class Memory(dict[int, bytes]):
    """Host memory of a process, as far as these calls use it."""

    def read(self, address: int, size: int) -> bytes:
        if address not in self:
            raise OSError(errno.EFAULT, "bad address")
        return self[address][:size]


def ask(limits: Limits, which: int, new: tuple[int, int] | None, may_raise: bool = False) -> Answer:
    memory = Memory({NEW: struct.pack("=2Q", *new)} if new else {})
    request = Request(0, which, NEW if new else 0, 0)
    return limits.answer(
        request,
        (INFINITY, INFINITY),
        1024,
        may_raise,
        memory.read,
        lambda at, data: memory.update({at: data}),
    )


def get(limits: Limits, which: int) -> tuple[int, ...]:
    memory = Memory()
    request = Request(0, which, 0, OLD)
    write = lambda at, data: memory.update({at: data})  # noqa: E731
    answer = limits.answer(request, (INFINITY, INFINITY), 1024, False, memory.read, write)
    assert answer == Answer(0)
    return struct.unpack("=2Q", memory[OLD])


def test_each_host_call_is_understood() -> None:
    assert Request.of("prlimit64", (7, FILES, NEW, OLD, 0, 0)) == Request(7, FILES, NEW, OLD)
    assert Request.of("setrlimit", (FILES, NEW, 0, 0, 0, 0)) == Request(0, FILES, NEW, 0)
    assert not Request(0, resource.RLIMIT_CPU, NEW, 0).is_kept_here


def test_a_wish_is_kept_and_answered_and_inherited() -> None:
    limits = Limits.beginning(1024)
    assert get(limits, FILES) == (1024, 1024)
    assert ask(limits, FILES, (64, 128)) == Answer(0, "", True)
    assert (get(limits, FILES), limits.open_files(1024)) == ((64, 128), 64)
    child = limits.copy()
    assert ask(child, FILES, (8, 8)).result == 0
    assert (limits.open_files(1024), child.open_files(1024)) == (64, 8)
    assert get(limits, SIZE) == (INFINITY, INFINITY)
    kept = ask(limits, SIZE, (16, 16))
    assert (kept.result, "not enforced" in kept.note) == (0, True)
    assert get(limits, SIZE) == (16, 16)
    assert get(child, SIZE) == (INFINITY, INFINITY)


@pytest.mark.parametrize(
    ("new", "may_raise", "result"),
    [
        ((65, 64), True, -errno.EINVAL),
        ((64, 65), False, -errno.EPERM),
        ((64, 65), True, 0),
        ((64, 64), False, 0),
        ((64, (1 << 20) + 1), True, -errno.EPERM),
    ],
)
def test_what_the_kernel_refuses_is_refused(new: tuple[int, int], may_raise: bool, result: int) -> None:
    limits = Limits()
    assert ask(limits, FILES, (64, 64)).result == 0
    assert ask(limits, FILES, new, may_raise).result == result
    assert get(limits, FILES) == ((64, 64) if result else new)


def test_no_more_descriptors_than_there_are() -> None:
    limits = Limits.beginning(1024)
    answer = ask(limits, FILES, (65536, 65536), may_raise=True)
    assert (answer.result, answer.note) == (0, "kept, but no more than 1024 descriptors can be had here")
    assert limits.open_files(1024) == 1024


def test_a_bad_address_is_told() -> None:
    limits = Limits()
    bad = Request(0, FILES, 0x999, 0)
    memory = Memory()
    answer = limits.answer(bad, (5, 5), 1024, True, memory.read, lambda at, data: memory.update({at: data}))
    assert answer == Answer(-errno.EFAULT)
    assert limits.wishes == {}
