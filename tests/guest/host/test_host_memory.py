"""Reading another process's memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading

import pytest

from triage_tui.guest.host import host_memory


def test_memory_is_read_up_to_where_the_mapping_ends() -> None:
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    pages[:] = bytes(range(256)) * (len(pages) // 256)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    me = os.getpid()
    for size in (1, 255, 1024, 1025, mmap.PAGESIZE + 1):
        assert host_memory.read_memory(me, start, size) == pages[:size]
    assert host_memory.read_memory(me, start, 0) == b""
    with pytest.raises(OSError, match="reading memory"):
        host_memory.read_memory(me, 8, 16)


def test_a_string_may_be_longer_than_one_read_and_end_on_any_page() -> None:
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    me = os.getpid()
    for length in (0, 1, 127, 128, 129, 3000, 4095):
        at = mmap.PAGESIZE - length // 2
        pages[:] = bytes(len(pages))
        pages[at : at + length] = b"x" * length
        assert host_memory.read_string(me, start + at) == b"x" * length
    pages[:] = b"y" * len(pages)
    assert host_memory.read_string(me, start) == b"y" * 4096


def test_threads_do_not_share_what_they_read() -> None:
    blocks = [ctypes.create_string_buffer(bytes([65 + index]) * 512, 512) for index in range(2)]
    wrong: list[bytes] = []

    def read(block: ctypes.Array[ctypes.c_char]) -> None:
        for _ in range(2000):
            data = host_memory.read_memory(os.getpid(), ctypes.addressof(block), 512)
            if data != block.raw:
                wrong.append(data)

    workers = [threading.Thread(target=read, args=(block,)) for block in blocks]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
