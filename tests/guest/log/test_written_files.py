"""Which file each write went to."""

from __future__ import annotations

import pytest

from triage_tui.guest.log.written_files import written_by
from triage_tui.runs.model import Syscall

Made = tuple[str, list[str], int, int]
"""Name, arguments, result, process."""


def calls(*made: Made) -> list[Syscall]:
    found = []
    for seq, (name, arguments, ret, pid) in enumerate(made, 1):
        path = next((text.strip('"') for text in arguments if text.startswith('"')), None)
        found.append(Syscall(seq=seq, name=name, arguments=arguments, ret=ret, pid=pid, path=path))
    return found


def made(name: str, arguments: list[str], ret: int) -> Made:
    return name, arguments, ret, 2


def opened(path: str, fd: int, flags: str = "O_WRONLY|O_CREAT|O_TRUNC", base: str = "AT_FDCWD") -> Made:
    return "openat", [base, f'"{path}"', flags, "0666"], fd, 2


def wrote(fd: int, size: int, pid: int = 2) -> Made:
    return "write", [str(fd), "0x1000", str(size)], size, pid


@pytest.mark.parametrize(
    ("those", "files", "printed"),
    [
        ([opened("/a.log", 3), wrote(3, 5), wrote(1, 2)], {"/a.log": [2]}, {3: "stdout"}),
        ([made("chdir", ['"/var"'], 0), opened("../b", 3), wrote(3, 5)], {"/b": [3]}, {}),
        ([opened("/d", 3, "O_RDONLY|O_DIRECTORY"), opened("x", 4, base="3"), wrote(4, 1)], {"/d/x": [3]}, {}),
        ([opened("/a", 3), made("dup2", ["3", "1"], 1), wrote(1, 4)], {"/a": [3]}, {}),
        ([made("fcntl64", ["1", "F_DUPFD", "10"], 10), wrote(10, 4)], {}, {2: "stdout"}),
        ([made("dup2", ["1", "2"], 2), wrote(2, 4)], {}, {2: "stdout"}),
        ([opened("/a", 3), made("close", ["3"], 0), wrote(3, 4)], {"/a": []}, {}),
        (
            [opened("/a", 3), made("close", ["3"], 0), made("socket", ["PF_UNIX"], 3), wrote(3, 4)],
            {"/a": []},
            {},
        ),
        ([opened("/a", 3), made("clone", [], 7), wrote(3, 4, 7)], {"/a": [3]}, {}),
        (
            [opened("/a", 3, "O_WRONLY|O_CREAT|O_CLOEXEC"), made("execve", ['"/x"'], 0), wrote(3, 4)],
            {"/a": []},
            {},
        ),
        ([opened("/a", 3), wrote(3, 4), opened("/a", 4), wrote(4, 2)], {"/a": [4]}, {}),
        ([opened("/a", 3, "O_RDONLY"), wrote(3, 4)], {}, {}),
        ([made("openat", ["AT_FDCWD", '"/a"', "O_WRONLY"], -2), wrote(3, 4)], {}, {}),
    ],
)
def test_writes_are_followed_to_their_files(
    those: list[Made], files: dict[str, list[int]], printed: dict[int, str]
) -> None:
    found = written_by(calls(*those))
    assert {path: [call.seq for call in file.writes] for path, file in found.files.items()} == files
    assert found.printed == printed


@pytest.mark.parametrize(
    ("those", "is_clear"),
    [
        ([opened("/a", 3), made("lseek", ["3", "0", "SEEK_END"], 0), wrote(3, 4)], True),
        ([opened("/a", 3), wrote(3, 4), made("lseek", ["3", "0", "SEEK_SET"], 0)], False),
        ([opened("/a", 3), made("pwrite64", ["3", "0x1", "4", "9"], 4)], False),
        (
            [opened("/a", 3), made("mmap2", ["NULL", "4096", "PROT_WRITE", "MAP_SHARED", "3", "0"], 4096)],
            False,
        ),
        ([opened("/a", 3), wrote(3, 4), opened("/a", 4, "O_WRONLY"), wrote(4, 2)], False),
        ([opened("/a", 3), wrote(3, 4), opened("/a", 4, "O_WRONLY|O_APPEND"), wrote(4, 2)], True),
    ],
)
def test_what_is_not_certain_is_said(those: list[Made], is_clear: bool) -> None:
    assert (written_by(calls(*those)).files["/a"].unclear == "") is is_clear


def test_with_a_gap_nobody_is_said_to_have_written() -> None:
    found = written_by(calls(opened("/a", 3), wrote(3, 4), wrote(1, 2)), left_out=5)
    assert found.printed == {}
    assert found.files["/a"].unclear == "at least 5 syscalls in between were not kept"
