"""Real parts for the tests: QEMU and unmodified foreign programs, fetched once into the user's cache."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from triage_tui.setup import ensure_program, ensure_qemu

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A test run in the background inherits an ignored SIGINT, and so would every program that it starts; a
    # person at a terminal has none.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the app remembers, also in processes that tests start, out of the user's own state."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def qemu_dir() -> Path:
    """The directory with qemu-<architecture>-static."""
    return ensure_qemu()


@pytest.fixture(scope="session")
def rootfs(qemu_dir: Path) -> Callable[[str], Path]:
    """Gives the root file system of a program named in triage_tui/setup/programs.toml; never write to it."""
    return ensure_program
