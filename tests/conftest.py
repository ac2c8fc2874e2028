"""Real parts for the tests: QEMU and unmodified foreign programs, fetched once into the user's cache."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from triage_tui.setup import ensure_program, ensure_qemu

# All that is there while tests are collected stays, and would be walked through again and again.
gc.disable()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A test run in the background inherits an ignored SIGINT, and so would every program that it starts; a
    # person at a terminal has none.
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = (
    "e2e/test_story.py",
    "guest/state/test_census.py",
    "guest/test_frames.py",
    "ui/test_footer.py",
    "ui/test_screens.py",
    "guest/emulator/test_signal_actions.py",
    "guest/processes/test_execution.py",
    "ui/test_resizing.py",
    "e2e/test_rude_guests.py",
    "guest/test_hooks.py",
    "retry/test_probe.py",
    "evaluation/test_bench.py",
    "ui/test_app.py",
    "e2e/test_real_programs.py",
    "ui/test_patch_review.py",
    "proposals/test_waits.py",
    "retry/test_capture_limits.py",
    "guest/state/test_address_space.py",
    "ui/test_kept_memory.py",
    "guest/freezing/",
    "guest/test_unwind_hostile.py",
    "cli/test_streams.py",
    "e2e/",
    "guest/",
    "hostile/",
    "packaging/",
    "serve/",
    "setup/",
    "telemetry/",
    "retry/",
    "ui/",
    "analyst/",
    "rulehost/",
)
"""Test files, or what their paths begin with, that take long: they begin first, so that none of them is left
when the others are done."""


def _turn(item: pytest.Item) -> int:
    path = item.nodeid.removeprefix("tests/")
    return next((turn for turn, start in enumerate(LONGEST) if path.startswith(start)), len(LONGEST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files that take longest begin first, where several run at once."""
    items.sort(key=_turn)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test with long data by the argument: every worker must give it the same name, and a zip made
    while the tests are collected holds the time of day.
    """
    return argname if isinstance(val, (bytes, str)) and len(val) > 60 else None


def pytest_collection_finish() -> None:
    """Look for garbage less often: what is collected here stays, and is walked through at each look."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def pytest_sessionfinish() -> None:
    """Look for no more garbage: pytest does, five times at its end, in millions of objects."""
    gc.freeze()


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
