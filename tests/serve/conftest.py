"""A workspace, the server on it, and a browser."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.serve.chromium import ARGUMENTS, ensure_chromium
from tests.serve.served import Served
from tests.ui import fixtures

if TYPE_CHECKING:
    # Each worker of the tests reads this file; who starts a browser loads what drives it.
    from playwright.async_api import Browser


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return fixtures.make_workspace(tmp_path / "demo")


@pytest.fixture
def served(demo: Path) -> Iterator[Served]:
    with Served(demo) as server:
        yield server


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A browser that has never been started before and knows attacker.test as this machine."""
    from playwright.async_api import async_playwright

    chromium = ensure_chromium()
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=chromium.program,
            args=[*ARGUMENTS, "--host-resolver-rules=MAP attacker.test 127.0.0.1"],
            chromium_sandbox=False,
            env={**os.environ, **chromium.environment, **places},
        )
        yield started
        await started.close()
