"""The app in a real browser: it is drawn, keys work, decisions are on disk, and other pages get nowhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.commands import processes_with, wait_until_gone
from tests.serve.served import Served
from tests.ui import fixtures
from tests.waiting import PATIENCE_S, wait_until
from triage_tui.runs.reader import load_run

if TYPE_CHECKING:
    from aiohttp import web
    from playwright.async_api import Browser, BrowserContext, Page

# The page keeps its terminal to itself; this takes it when the page gives it its first add-on.
_TAKE_TERMINAL = """
window.terminalOfPage = new Promise(taken => Object.defineProperty(Object.prototype, "fitAddon", {
  configurable: true,
  set(addon) {
    taken(this.terminal);
    Object.defineProperty(this, "fitAddon", { value: addon, writable: true });
  },
}));
"""
# Resolves once the terminal has painted the text. It cannot be a condition that the page itself is given: the
# policy of the page forbids to make functions of text.
_PAINTED = """
async text => {
  const terminal = await window.terminalOfPage;
  await new Promise(painted => {
    const look = () => {
      for (let row = 0; row < terminal.rows; row++) {
        if (terminal.buffer.active.getLine(row)?.translateToString().includes(text)) {
          painted();
        }
      }
    };
    terminal.onRender(look);
    look();
  });
}
"""
_SHOWN = """
async () => {
  const terminal = await window.terminalOfPage;
  const row = number => terminal.buffer.active.getLine(number)?.translateToString();
  return Array.from({ length: terminal.rows }, (_, number) => row(number)).join("\\n");
}
"""


class Tab:
    """A page with the app."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type == "error" else None,
        )

    async def until(self, text: str) -> None:
        """Wait until the terminal shows `text`."""
        try:
            await asyncio.wait_for(self.page.evaluate(_PAINTED, text), PATIENCE_S)
        except TimeoutError as error:
            raise AssertionError(f"{text!r} did not come:\n{await self.page.evaluate(_SHOWN)}") from error

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)


@asynccontextmanager
async def fresh(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 720})
    # In milliseconds.
    context.set_default_timeout(PATIENCE_S * 1000)
    await context.add_init_script(_TAKE_TERMINAL)
    try:
        yield context
    finally:
        await context.close()


async def opened(context: BrowserContext, address: str) -> Tab:
    tab = Tab(await context.new_page())
    await tab.page.goto(address)
    await tab.page.wait_for_url(re.compile("/[^/?]{20,}/$"), wait_until="load")
    await tab.until("waits for you")
    return tab


async def left(marker: str, number: int) -> None:
    """Wait until as many processes mention `marker`; those of the server are not ours to wait for."""
    await asyncio.to_thread(
        wait_until, lambda: len(processes_with(marker)) == number, lambda: processes_with(marker)
    )


async def test_a_review_in_two_tabs(demo: Path, served: Served, browser: Browser) -> None:
    marker = f"triage_tui.cli.served -C {demo}"
    run_dir = demo / "ai_runs" / fixtures.EXIT_RUN
    async with fresh(browser) as context:
        tab = await opened(context, served.address)
        for text in ("udhcpc", "watchd", "unreadable", "missing_interface (0.93)", "held before it happens"):
            await tab.until(text)
        assert tab.page.url == f"http://{served.host}{served.place}"
        [cookie] = await context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["value"]) == (True, "Strict", served.key)
        # What was read from the terminal is also painted: the bar that calls to act has its colour.
        before = await tab.page.screenshot()
        await tab.press("2")
        await tab.until("Let udhcpc believe")
        async with asyncio.timeout(PATIENCE_S):
            # The terminal tells of its text before the browser has painted it.
            while await tab.page.screenshot() == before:
                await asyncio.sleep(0.1)

        other = await opened(context, f"http://{served.host}{served.place}")
        assert len(processes_with(marker)) == 2
        await tab.press("a")
        await tab.until("Rule active.")
        await other.press("2")
        await other.until("active: generation 0001")
        await other.page.set_viewport_size({"width": 700, "height": 480})
        # So narrow that only the pane that is shown has its name.
        await other.until("0  1  2 Patch 3  4 ")

        for one in (tab, other):
            assert one.complaints == []
            assert {url.split("/")[2] for url in one.asked} == {served.host}
        await other.page.close()
        await tab.press("u")
        await tab.until("no rule is active for this target")
        await left(marker, 1)
        await tab.press("q")
        await tab.until("eave it frozen")
        await tab.press("q")
        await tab.page.get_by_text("This session has ended").wait_for()
        wait_until_gone(marker)
        async with tab.page.expect_navigation():
            await tab.page.get_by_text("Open it again").click()
        await tab.until("waits for you")
    wait_until_gone(marker)
    kinds = [event.kind for event in load_run(run_dir).events]
    assert kinds[3:] == ["approved", "activated", "rolled_back"]
    code, said = served.interrupt()
    assert (code, "Traceback" in said) == (0, False)


_ATTACK = """
async address => {
  const outcomes = {};
  const frame = document.createElement("iframe");
  frame.src = `http://${address}`;
  document.body.append(frame);
  await new Promise(loaded => { frame.onload = loaded; });
  try { outcomes.frame = frame.contentDocument ? "blank" : "blocked"; } catch { outcomes.frame = "blocked"; }
  outcomes.socket = await new Promise(answer => {
    const socket = new WebSocket(`ws://${address}ws?width=80&height=24`);
    socket.onopen = () => answer("open");
    socket.onerror = () => answer("refused");
  });
  const page = fetch(`http://${address}`, { credentials: "include" });
  outcomes.read = await page.then(() => "read", () => "refused");
  return outcomes;
}
"""


@pytest.mark.parametrize("name", ["127.0.0.1", "attacker.test"])
async def test_another_page_of_the_same_browser_gets_nowhere(
    demo: Path, served: Served, browser: Browser, name: str
) -> None:
    """Also one on another port of this machine: cookies know no ports, but they know paths."""
    from aiohttp import web

    cookies: list[str] = []

    async def page(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie", ""))
        return web.Response(text="<!doctype html><body>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/", page)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with fresh(browser) as context:
            entered = await context.new_page()
            await entered.goto(served.address)
            await entered.wait_for_url(f"http://{served.host}{served.place}")
            await entered.close()
            attacker = await context.new_page()
            await attacker.goto(f"http://{name}:{port}/")
            assert await attacker.evaluate(_ATTACK, served.host + served.place) == {
                "frame": "blocked",
                "socket": "refused",
                "read": "refused",
            }
            assert cookies
            assert not any(served.key in cookie for cookie in cookies)
            rebound = await attacker.goto(f"http://attacker.test:{served.port}/?key={served.key}")
            assert rebound is not None
            assert rebound.status == 403
    finally:
        await runner.cleanup()
    wait_until_gone(f"triage_tui.cli.served -C {demo}")
