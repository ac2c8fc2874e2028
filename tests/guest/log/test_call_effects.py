"""What calls leave behind: openers of descriptors, permissions of ranges, the heap."""

from __future__ import annotations

from triage_tui.guest.log.call_effects import CallEffects, lasting_calls
from triage_tui.guest.log.strace import calls_begun
from triage_tui.runs.model import Syscall


def call(seq: int, name: str, ret: int, *arguments: str) -> Syscall:
    return Syscall(seq=seq, name=name, ret=ret, arguments=list(arguments))


def test_the_last_opener_of_a_descriptor_counts() -> None:
    effects = CallEffects()
    effects.note(call(1, "openat", 3, "AT_FDCWD", '"/a"', "O_RDONLY"))
    effects.note(call(2, "dup2", 3, "0", "3"))
    effects.note(call(3, "fcntl64", 4, "3", "F_DUPFD", "4"))
    effects.note(call(4, "fcntl64", 2, "3", "F_GETFL"))
    assert [effects.opener(fd) for fd in (2, 3, 4, 5)] == [None, 2, 3, None]
    child = effects.copy()
    child.note(call(9, "socket", 5))
    assert (child.opener(3), child.opener(5), effects.opener(5)) == (2, 9, None)


def test_permissions_follow_the_calls_page_by_page() -> None:
    effects = CallEffects()
    effects.note(
        call(1, "mmap2", 0x10000, "NULL", "0x2800", "PROT_READ|PROT_WRITE", "MAP_PRIVATE", "-1", "0")
    )
    effects.note(call(2, "mprotect", 0, "0x11000", "4096", "PROT_EXEC|PROT_READ"))
    effects.note(call(3, "mprotect", 0, "not a number", "4096", "PROT_NONE"))
    assert list(effects.permissions()) == [
        (0x10000, 0x11000, "rw-"),
        (0x11000, 0x12000, "r-x"),
        (0x12000, 0x13000, "rw-"),
    ]
    effects.note(call(4, "munmap", 0, "0x10000", "0x1000"))
    effects.note(call(5, "mremap", 0x20000, "0x11000", "0x1000", "0x2000", "MREMAP_MAYMOVE"))
    assert list(effects.permissions()) == [(0x12000, 0x13000, "rw-"), (0x20000, 0x22000, "r-x")]


def test_the_heap_grows_shrinks_and_ends_with_the_program() -> None:
    assert CallEffects().heap is None
    effects = CallEffects()
    for seq, end in enumerate((0x1000, 0x5000, 0x3000)):
        effects.note(call(seq, "brk", end))
    assert effects.heap == (0x1000, 0x3000)
    assert list(effects.permissions()) == [(0x1000, 0x5000, "rw-")]
    effects.note(call(8, "socket", 3))
    effects.begin_program()
    assert effects.opener(3) == 8
    assert list(effects.permissions()) == []
    effects.note(call(9, "brk", 0x9000))
    assert effects.heap == (0x9000, 0x9000)


def test_a_great_many_mappings_stay_quick_and_right() -> None:
    effects = CallEffects()
    for seq in range(20_000):
        effects.note(call(seq, "mmap", seq % 100 * 0x1000, "NULL", "4096", "PROT_READ", "", "-1", "0"))
    assert len(list(effects.permissions())) == 100


def test_only_lines_with_lasting_effects_are_taken_from_text() -> None:
    text = (
        b'2 openat(AT_FDCWD,"/a",O_RDONLY) = 3\n'
        b'2 read(3,0x1000,5) = 5\n2 openat(AT_FDCWD,"/none",O_RDONLY) = -1 errno=2 (No such file)\n'
        b'2 brk(0x9000) = 0x00009000\n2 openat(AT_FDCWD,"/b",O_RDONLY) = 3\n2 SOCKET(2,1,0) = 4\n'
        b"2 brk(0x9000) = 0x00009000\n2 openat_of_another_kind(1) = 9\n"
    )
    lines = lasting_calls(text, set(calls_begun(text)))
    assert sorted(line for line, _ in lines) == [
        b"2 SOCKET(2,1,0) = 4\n",
        b"2 brk(0x9000) = 0x00009000\n",
        b'2 openat(AT_FDCWD,"/b",O_RDONLY) = 3\n',
    ]
    # Each is the last of those that are like it.
    assert all(text.rfind(line) == offset for line, offset in lines)
    assert lasting_calls(text, {b"read"}) == []
