"""Which call made a descriptor, also when its number was given again."""

from __future__ import annotations

import pytest

from triage_tui.guest.log.call_effects import CallEffects, lasting_calls
from triage_tui.guest.log.descriptor_makers import DescriptorMakers
from triage_tui.guest.log.strace import calls_begun
from triage_tui.runs.model import Syscall

OPEN_3 = 'openat(AT_FDCWD,"/a",O_RDONLY) = 3'
KEPT_4 = 'openat(AT_FDCWD,"/CLOEXEC",O_RDONLY) = 4'
EXEC, FORK = "execve", "fork"


def syscall(seq: int, line: str) -> Syscall:
    name, _, rest = line.partition("(")
    arguments, _, result = rest.rpartition(") = ")
    return Syscall(seq=seq, name=name, ret=int(result), arguments=arguments.split(","))


def after(*lines: str) -> dict[int, int]:
    """Return the makers (numbers of lines, from 1 on) of the descriptors that pipes and sockets may be."""
    makers = DescriptorMakers()
    for seq, line in enumerate(lines, 1):
        if line == EXEC:
            makers.begin_program()
        elif line == FORK:
            parent, makers = makers, makers.copy()
            parent.note(syscall(seq, "close_range(0,-1,0) = 0"))
        else:
            makers.note(syscall(seq, line))
    found = {fd: makers.maker(fd, "pipe") or makers.maker(fd, "socket") for fd in range(12)}
    return {fd: maker for fd, maker in found.items() if maker is not None}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([OPEN_3, "close(3) = 0"], {}),
        ([OPEN_3, "close(3) = 0", "pipe2(0x10,O_CLOEXEC) = 0"], {3: 3, 4: 3}),
        ([OPEN_3, "pipe(0x10) = 0", "close(4) = 0", "socket(PF_INET,SOCK_DGRAM,0) = 4"], {3: 1, 4: 4, 5: 2}),
        (["close(0) = 0", "pipe(0x10) = 0"], {0: 2, 3: 2}),
        ([OPEN_3, "pipe(0x10) = 4"], {3: 1, 4: 2, 5: 2}),
        ([OPEN_3, "socketpair(PF_UNIX,SOCK_STREAM,0,0x10) = 0"], {3: 1, 4: 2, 5: 2}),
        ([OPEN_3, "dup(3) = 4", "dup2(3,7) = 7", "dup2(7,7) = 7", "close(4) = 0"], {3: 1, 7: 3}),
        ([OPEN_3, "fcntl64(3,F_DUPFD,9) = 9", "fcntl64(3,F_GETFL) = 2"], {3: 1, 9: 2}),
        (["accept4(3,0x10,0x20,SOCK_NONBLOCK) = 6", "accept(3,NULL,NULL) = 5"], {5: 2, 6: 1}),
        ([OPEN_3, KEPT_4, "socket(1,2,0) = 5", "close_range(4,-1,0) = 0"], {3: 1}),
        ([OPEN_3, KEPT_4, "close_range(0,3,0) = 0"], {4: 2}),
        ([OPEN_3, KEPT_4, "close_range(3,3,4) = 0", EXEC], {4: 2}),
        (['openat(AT_FDCWD,"/a",O_RDONLY|O_CLOEXEC) = 3', KEPT_4, EXEC], {4: 2}),
        ([OPEN_3, KEPT_4, "fcntl(3,F_SETFD,FD_CLOEXEC) = 0", EXEC], {4: 2}),
        ([OPEN_3, "dup3(3,5,O_CLOEXEC) = 5", "dup2(5,6) = 6", EXEC], {3: 1, 6: 3}),
        (["pipe2(0x10,O_CLOEXEC) = 0", "fcntl(3,F_SETFD,0) = 0", EXEC], {3: 1}),
        ([OPEN_3, FORK, KEPT_4], {3: 1, 4: 3}),
    ],
)
def test_the_maker_is_the_call_that_made_what_is_open_now(lines: list[str], expected: dict[int, int]) -> None:
    assert after(*lines) == expected


def test_a_concluded_number_holds_for_its_kind_only() -> None:
    makers = DescriptorMakers()
    makers.note(syscall(1, "pipe(0x10) = 0"))
    assert (makers.maker(3, "pipe"), makers.maker(3, "file"), makers.maker(3)) == (1, None, None)


def test_a_closing_that_is_read_late_takes_no_newer_descriptor() -> None:
    makers = DescriptorMakers()
    makers.note(syscall(7, OPEN_3))
    makers.note(syscall(5, "close(3) = 0"))
    assert makers.maker(3) == 7


@pytest.mark.parametrize("pipe", ["", "2 pipe(0x10) = 0\n"])
def test_skimmed_text_tells_the_same_as_text_that_is_read(pipe: str) -> None:
    text = (
        '2 openat(AT_FDCWD,"/a",O_RDONLY) = 3\n2 openat(AT_FDCWD,"/b",O_RDONLY) = 4\n' + pipe +
        "2 close(3) = 0\n2 fcntl64(4,F_GETFL) = 2\n2 fcntl64(4,F_SETFD,1) = 0\n2 dup2(4,0) = 0\n"
        "2 close(4) = 0\n2 SOCKET(2,1,0) = 4\n2 close(9) = -1 errno=9 (Bad file descriptor)\n"
    ).encode()  # fmt: skip
    lasting = [line for line, _ in lasting_calls(text, set(calls_begun(text)))]
    assert (b'2 openat(AT_FDCWD,"/a",O_RDONLY) = 3\n' in lasting) == bool(pipe), "it is closed again"
    makers: list[list[int | None]] = []
    for lines in ([text], lasting):
        effects = CallEffects()
        for line in b"".join(lines).decode().splitlines():
            if "errno" not in line:
                _, _, words = line.partition(" ")
                name, _, rest = words.partition("(")
                effects.note(syscall(text.decode().splitlines().index(line) + 1, f"{name.lower()}({rest}"))
        makers.append([effects.opener(fd, "pipe") for fd in range(8)])
    assert makers[0] == makers[1]
