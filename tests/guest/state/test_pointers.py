"""The table of pointer arguments."""

from __future__ import annotations

import pytest

from triage_tui.guest import arch
from triage_tui.guest.arch import syscalls, tables
from triage_tui.guest.state.pointers import UNKNOWN_SIZE, PointerArgument, _table, pointer_arguments

ARM, MIPS, AARCH64 = arch.by_name("arm"), arch.by_name("mipsel"), arch.by_name("aarch64")


def pointers(entry: arch.Arch, name: str, *args: int) -> list[PointerArgument]:
    return list(pointer_arguments(entry, name, list(args)))


def test_sizes_follow_lengths_words_and_factors() -> None:
    assert pointers(ARM, "read", 3, 0x8000, 17) == [PointerArgument(1, "buffer", 17)]
    assert pointers(ARM, "nanosleep", 0x8000, 0) == [PointerArgument(0, "interval", 8)]
    assert pointers(AARCH64, "nanosleep", 0x8000, 0) == [PointerArgument(0, "interval", 16)]
    assert pointers(ARM, "writev", 1, 0x8000, 3) == [PointerArgument(1, "vector", 24)]
    assert pointers(ARM, "poll", 0x8000, 2, 0) == [PointerArgument(0, "descriptors", 16)]
    assert pointers(ARM, "openat", 0, 0x8000, 0, 0) == [PointerArgument(1, "path", None)]
    assert [p.index for p in pointers(ARM, "renameat", 0, 1, 2, 3)] == [1, 3]
    assert [p.what for p in pointers(ARM, "connect", 3, 0x8000, 16)] == ["socket address"]


def test_size_of_an_ioctl_argument_is_in_the_request() -> None:
    # TUNSETIFF and SIOCGIFINDEX, which is too old to hold one.
    assert pointers(ARM, "ioctl", 3, 0x400454CA, 0x8000) == [PointerArgument(2, "argument", 4)]
    assert pointers(MIPS, "ioctl", 3, 0x800454CA, 0x8000) == [PointerArgument(2, "argument", 4)]
    assert pointers(ARM, "ioctl", 3, 0x8933, 0x8000) == [PointerArgument(2, "argument", 40)]


def test_missing_arguments_are_left_out() -> None:
    assert pointers(ARM, "connect") == []
    assert pointers(ARM, "read", 3, 0x8000) == [PointerArgument(1, "buffer", 0)]


def test_calls_without_pointers_have_none_and_unknown_calls_may_have_any() -> None:
    assert pointers(ARM, "exit_group", 1, 0x8000, 0x9000) == []
    assert [p.size for p in pointers(ARM, "no_such_call", 1, 2)] == [UNKNOWN_SIZE] * 2


def test_every_name_is_a_syscall_of_some_architecture() -> None:
    names = {name for entry in tables.ALL for name in syscalls.numbers(entry.syscall_table)}
    assert set(_table()) <= names


@pytest.mark.parametrize("entry", tables.ALL, ids=lambda entry: entry.name)
def test_absurd_arguments_give_bounded_sizes(entry: arch.Arch) -> None:
    for name in _table():
        for argument in pointers(entry, name, *[entry.word_mask] * 8):
            assert argument.size is None or 0 <= argument.size <= 1 << 27
