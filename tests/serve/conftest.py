"""A workspace, the server on it, and a browser."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.serve.chromium import ARGUMENTS, ensure_chromium
from tests.serve.served import Served
from tests.ui import fixtures


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
