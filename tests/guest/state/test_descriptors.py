"""Descriptors of this very process, of every kind that the kernel tells about."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from triage_tui.guest.state import descriptors
from triage_tui.guest.state.descriptors import open_descriptors
from triage_tui.runs.process_model import Descriptor


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


def describe(fd: int) -> Descriptor:
    return next(entry for entry in open_descriptors(os.getpid(), 1 << 20) if entry.fd == fd)


def test_file_with_its_place_flags_and_size(tmp_path: Path) -> None:
    path = tmp_path / "a\nb\x1b[31m"
    path.write_bytes(b"hello")
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    os.lseek(fd, 3, os.SEEK_SET)
    found = describe(fd)
    assert (found.target, found.kind, found.offset, found.size) == (str(path), "file", 3, 5)
    assert found.flag_names == ["O_RDWR", "O_APPEND", "O_CLOEXEC"]
    assert found.cloexec
    fcntl.lockf(fd, fcntl.LOCK_EX)
    locked = describe(fd).detail
    path.unlink()
    gone = describe(fd).detail
    os.close(fd)
    assert locked is not None
    assert locked.startswith("locked: ")
    assert gone is not None
    assert gone.startswith("deleted")


def test_access_modes_and_synchronous_writing() -> None:
    assert descriptors.flag_names(os.O_WRONLY | os.O_SYNC) == ["O_WRONLY", "O_SYNC"]
    assert descriptors.flag_names(os.O_RDONLY | os.O_DSYNC) == ["O_RDONLY", "O_DSYNC"]
    assert descriptors.flag_names(os.O_RDONLY | os.O_NONBLOCK) == ["O_RDONLY", "O_NONBLOCK"]


def test_devices_directories_and_pipes(tmp_path: Path) -> None:
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_WRONLY)
    place = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    found = [describe(fd) for fd in (null, place, read, write)]
    for fd in (read, write, null, place):
        os.close(fd)
    assert [entry.kind for entry in found] == ["device", "directory", "pipe", "pipe"]
    assert found[0].detail == "device 1:3"
    assert found[1].flag_names[:2] == ["O_RDONLY", "O_DIRECTORY"]
    assert found[2].offset is None


def test_counters_watchers_and_their_contents() -> None:
    counter = os.eventfd(7, os.EFD_NONBLOCK)
    with select.epoll() as watcher, socket.socketpair()[0] as one:
        assert describe(watcher.fileno()).detail == "epoll, watching nothing"
        watcher.register(counter, select.EPOLLIN | select.EPOLLET)
        watched = describe(watcher.fileno()).detail
        assert describe(one.fileno()).kind == "socket"
    found = describe(counter)
    os.close(counter)
    assert watched == f"epoll, watching {counter} (EPOLLIN EPOLLET)"
    assert found.detail == "eventfd, count 7"
    assert "O_NONBLOCK" in found.flag_names


def test_what_the_other_anonymous_files_tell() -> None:
    timer = {"clockid": ["1"], "ticks": ["2"], "it_value": ["(1, 500000000)"], "it_interval": ["(3, 0)"]}
    words = "timerfd, CLOCK_MONOTONIC, expired 2 times, 1.5 s left, every 3 s"
    assert descriptors._anonymous("timerfd", timer) == words
    mask = f"{1 << signal.SIGTERM - 1:x}"
    assert descriptors._anonymous("signalfd", {"sigmask": [mask]}) == "signalfd, SIGTERM"
    assert (
        descriptors._anonymous("inotify", {"inotify": ["wd:1 ino:1f sdev:2b"]})
        == "inotify, watching inode 31"
    )
    assert descriptors._anonymous("pidfd", {"Pid": ["4"], "NSpid": ["4 2"]}) == "pidfd of process 2"
    # A kernel that tells less, or in other words.
    assert descriptors._anonymous("timerfd", {}) == "timerfd"
    assert descriptors._anonymous("x" * 1000, {}) == "x" * 100


def test_only_the_guests_own_and_who_opened_them() -> None:
    first = sorted(map(int, os.listdir("/proc/self/fd")))[2]
    found = list(open_descriptors(os.getpid(), first, lambda fd, _kind: 100 + fd))
    assert [entry.fd for entry in found] == [0, 1]
    assert [entry.origin_seq for entry in found] == [100, 101]


def test_a_process_that_is_gone() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(OSError, match="No such"):
        list(open_descriptors(child, 1024))
