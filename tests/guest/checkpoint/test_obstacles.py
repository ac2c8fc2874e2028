"""What cannot be restored is named in one sentence, and nothing is left of the attempt."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.guest.helpers import QUICK, shell, spec
from tests.programs import build
from triage_tui.guest.arch import by_name
from triage_tui.guest.checkpoint.model import Descriptor, Mark, OpenFile
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.checkpoint.taking import take_checkpoint
from triage_tui.guest.checkpoint.taking_files import Opened
from triage_tui.guest.checkpoint.taking_marks import name_marks
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.state.descriptors import open_descriptors
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Syscall


def refusal(start: LaunchSpec, directory: Path) -> str:
    with Guest.start(start) as guest:
        guest.run_until_stop()
        with pytest.raises(Obstacle) as error:
            take_checkpoint(guest, directory)
    assert not directory.exists()
    return str(error.value)


def test_several_processes(rootfs: Callable[[str], Path], qemu_dir: Path, tmp_path: Path) -> None:
    start = spec(rootfs("busybox-mipsel"), qemu_dir, *shell("sleep 60; echo"), checkpoint=True)
    assert refusal(start, tmp_path / "c").startswith("it has 2 processes")


def test_the_end_and_a_computing_guest(qemu_dir: Path, rootfs: Callable[[str], Path], tmp_path: Path) -> None:
    ends = spec(rootfs("busybox-mipsel"), qemu_dir, "/bin/busybox", "false", checkpoint=True)
    assert refusal(ends, tmp_path / "c") == "it was just ending (exit_group), and would only end again"
    program = str(build("spins", "arm"))
    spins = LaunchSpec(program=program, qemu_dir=qemu_dir, triggers=QUICK, checkpoint=True)
    assert "registers are exact in a call only" in refusal(spins, tmp_path / "c")


@contextmanager
def opened(make: Callable[[ExitStack], int]) -> Iterator[tuple[Opened, int]]:
    """Give what a checkpoint sees of a descriptor of this very process."""
    with ExitStack() as stack:
        fd = make(stack)
        yield Opened(os.getpid(), by_name("mipsel"), {}, open_diagnosis=_diagnosis), fd


def _diagnosis() -> int:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4).detach()


def look(make: Callable[[ExitStack], int]) -> Opened:
    with opened(make) as (found, fd):
        for one in open_descriptors(os.getpid(), 1 << 20):
            if one.fd == fd:
                found.add(one)
        assert found.descriptors
        found.check()
        return found


def _closing(stack: ExitStack, *fds: int) -> int:
    for fd in fds:
        stack.callback(os.close, fd)
    return fds[0]


def _connected(stack: ExitStack) -> int:
    first, _second = (stack.enter_context(one) for one in socket.socketpair())
    return first.fileno()


def _has_heard(stack: ExitStack) -> int:
    libc = ctypes.CDLL(None)
    fd = _closing(stack, libc.inotify_init())
    libc.inotify_add_watch(fd, b"/dev/null", 0x20)
    with open("/dev/null", "rb"):
        return fd


def _told_once(stack: ExitStack) -> int:
    told = stack.enter_context(select.epoll())
    told.register(_closing(stack, os.eventfd(1)), select.EPOLLIN | select.EPOLLONESHOT)
    told.poll(0)
    return told.fileno()


def _forgotten(stack: ExitStack) -> int:
    told = stack.enter_context(select.epoll())
    fd = os.eventfd(1)
    told.register(fd, select.EPOLLIN)
    stack.callback(os.close, os.dup(fd))
    os.close(fd)
    return told.fileno()


def _on_its_way(stack: ExitStack) -> int:
    first, second = (stack.enter_context(one) for one in socket.socketpair())
    socket.send_fds(second, [b"x"], [1])
    return first.fileno()


def _half_closed(stack: ExitStack) -> int:
    first, second = (stack.enter_context(one) for one in socket.socketpair())
    second.shutdown(socket.SHUT_WR)
    return first.fileno()


def _reading(stack: ExitStack) -> int:
    fd = _closing(stack, os.open("/proc", os.O_RDONLY))
    os.lseek(fd, 3, os.SEEK_SET)
    return fd


def _told_by_signal(stack: ExitStack) -> int:
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    return _closing(stack, reader, writer)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_connected, "a socket with somebody at its other end"),
        (lambda stack: _closing(stack, *pty.openpty()), "a terminal with a state of its own"),
        (lambda stack: _closing(stack, os.pidfd_open(os.getpid())), "something that cannot be made again"),
        (_has_heard, "is inotify, and has something to tell that was not read"),
        (_told_once, "an epoll instance that has told of descriptor"),
        (_forgotten, "an epoll instance that watches a file whose descriptor was closed"),
        (_on_its_way, "more than bytes in it (SCM_RIGHTS)"),
        (_half_closed, "half closed"),
        (_reading, "a directory that it is just reading"),
        (_told_by_signal, "has a signal sent"),
        (lambda stack: _closing(stack, os.memfd_create("x")), "a file without a name"),
    ],
)
def test_descriptors_that_cannot_be_made_again(make: Callable[[ExitStack], int], why: str) -> None:
    with pytest.raises(Obstacle) as error:
        look(make)
    assert why in str(error.value)


def test_listening_sockets_and_pipes_can_be(tmp_path: Path) -> None:
    def listens(stack: ExitStack) -> int:
        one = stack.enter_context(socket.socket(socket.AF_UNIX))
        one.bind(str(tmp_path / "s"))
        one.listen()
        return one.fileno()

    (file,) = look(listens).files
    assert (file.kind, file.path, file.listening) == ("unix", str(tmp_path / "s"), True)

    writers: list[int] = []

    def holds(stack: ExitStack) -> int:
        reader, writer = os.pipe()
        os.write(writer, b"kept")
        writers.append(writer)
        return _closing(stack, reader, writer)

    with opened(holds) as (found, fd):
        for one in open_descriptors(os.getpid(), 1 << 20):
            if one.fd in (fd, writers[-1]):
                found.add(one)
        assert list(found.pipes.values()) == [b"kept"]
        found.check()
    with pytest.raises(Obstacle, match="other end of one of its pipes"):
        look(holds)


def test_watched_files_are_found_by_the_paths_of_the_calls(tmp_path: Path) -> None:
    (tmp_path / "watched").touch()
    (tmp_path / "link").symlink_to("watched")
    inode = (tmp_path / "watched").stat().st_ino

    def add(path: str, number: int, fd: str = "5") -> Syscall:
        return Syscall(1, "inotify_add_watch", arguments=[fd, "0", "2"], ret=number, path=path)

    def named(*calls: Syscall) -> OpenFile:
        file = OpenFile(id=1, kind="inotify", marks=[Mark(2, "", 2, inode, 0)])
        name_marks(os.getpid(), str(tmp_path), "/", [file], [Descriptor(5, 1)], calls)
        return file

    file = named(add("/", 1), add("link", 2), add("/", 7), add("/", 9, "6"))
    assert ([mark.path for mark in file.marks], file.last_mark) == ([str(tmp_path / "watched")], 7)
    (tmp_path / "watched").rename(tmp_path / "renamed")
    with pytest.raises(Obstacle, match="descriptor 5 is inotify, and what it watches has another name"):
        named(add("link", 2))


def test_a_watch_whose_recorded_path_is_no_path_is_an_obstacle() -> None:
    file = OpenFile(id=1, kind="inotify", flags=0, marks=[Mark(1, "", 2, 5, 5)])
    call = Syscall(seq=1, name="inotify_add_watch", ret=1, arguments=["3"], path="/etc/a\0b")
    with pytest.raises(Obstacle, match="another name by now"):
        name_marks(os.getpid(), "/", "/", [file], [Descriptor(3, 1)], [call])
