"""Real parts for the tests: QEMU and unmodified foreign programs, fetched once into the user's cache."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from triage_tui.setup import ensure_program, ensure_qemu

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A test run in the background inherits an ignored SIGINT, and so would every program that it starts; a
    # person at a terminal has none.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def qemu_dir() -> Path:
    """The directory with qemu-<architecture>-static."""
    return ensure_qemu()


@pytest.fixture(scope="session")
def rootfs(qemu_dir: Path) -> Callable[[str], Path]:
    """Gives the root file system of a program named in triage_tui/setup/programs.toml; never write to it."""
    return ensure_program
