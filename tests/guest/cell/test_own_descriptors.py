"""What cannot be told of a path is no permission: the test's own process is the one that makes the call."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from pathlib import Path

import pytest

from tests.guest.test_exhausted_supervisor import leave
from triage_tui.guest.cell import own_descriptors
from triage_tui.guest.host.seccomp import Notification

FIRST = 1025
_AT_FDCWD = 0xFFFFFF9C


def refusal(path: str) -> int:
    """Return how this process's opening of `path` for writing is answered."""
    text = ctypes.create_string_buffer(os.fsencode(path))
    args = (_AT_FDCWD, ctypes.addressof(text), os.O_WRONLY, 0, 0, 0)
    return own_descriptors.refusal("openat", Notification(1, os.getpid(), 0, args), FIRST)


def test_a_link_to_a_log_is_found_and_other_files_are_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/proc/self/fd/2000")
    assert refusal(str(tmp_path / "log")) == errno.ENOENT
    assert refusal(str(tmp_path / "file")) == 0
    assert refusal(str(tmp_path / "none" / "file")) == 0


def test_a_path_that_is_too_long_to_be_followed_from_here_is_refused(tmp_path: Path) -> None:
    directory = str(tmp_path)
    while len(directory) < 4085:
        directory += "/" + "d" * min(200, 4085 - len(directory))
        os.mkdir(directory)
    link = f"{directory}/log"
    os.symlink("/proc/self/fd/2000", link)
    assert os.readlink(link) == "/proc/self/fd/2000"
    assert refusal(link) == errno.EACCES


def test_without_descriptors_nothing_is_said_of_a_path() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    leave(0)
    try:
        with pytest.raises(OSError, match="Too many open files"):
            refusal("/proc/self/fd/2000")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
