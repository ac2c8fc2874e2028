"""The command palette: all actions with their keys, all panes, themes, and the runs by program or id."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from textual import on
from textual.command import CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.widgets import Input
from textual.worker import Worker

from triage_tui.text import safe_line
from triage_tui.ui.screens.modal import DismissedOnce
from triage_tui.ui.words import state_word

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary
    from triage_tui.ui.app import TriageApp

MOST_RUNS = 20
"""Runs that a search shows at most, those that match best."""
_SLICE = 200
"""Runs that are compared with what is typed before the app goes on with other work."""


class Palette(DismissedOnce, CommandPalette):
    """Textual's palette, in which Enter waits for what is still being looked for.

    There it runs what was found for the letters before, or offered before anything was typed. A page key in
    an empty list, which raises KeyError there, does nothing here.
    """

    @on(Input.Submitted)
    def _wait_for_commands(self, event: Input.Submitted) -> None:
        looking = [worker for worker in self.workers if worker.node is self and worker.is_running]
        if looking:
            # Textual's own handler is not to be asked as well.
            event.prevent_default()
            event.stop()
            self.run_worker(self._choose_when_found(looking), exit_on_error=False)

    async def _choose_when_found(self, looking: Sequence[Worker[object]]) -> None:
        for worker in looking:
            await worker.wait()
        self._select_or_command()

    def _action_command_list(self, action: str) -> None:
        if self.query_one(CommandList).option_count:
            super()._action_command_list(action)


class ActionsProvider(Provider):
    """All actions that make sense now, found by their names or by what is said of them."""

    async def discover(self) -> Hits:
        """Offer all of them."""
        for title, about, run, shown in self.app.get_system_commands(self.screen):
            if shown:
                yield DiscoveryHit(title, run, title, about)

    async def search(self, query: str) -> Hits:
        """Find those that match what is typed; a name counts for more."""
        matcher = self.matcher(query)
        for title, about, run, _ in self.app.get_system_commands(self.screen):
            score = max(matcher.match(title), 0.5 * matcher.match(about))
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, title, about)


class ToolsProvider(Provider):
    """The tools, one by one, on the run that is shown."""

    async def _tools(self) -> list[tuple[str, str]]:
        import asyncio

        from triage_tui.ui.tool_names import tool_names

        app = cast("TriageApp", self.app)
        if app.main.view is None:
            return []
        # They know much: what they need is imported beside the keys.
        return await asyncio.to_thread(tool_names, writes=not app.read_only)

    def _open(self, name: str) -> None:
        self.app.call_later(cast("TriageApp", self.app).main.action_tools, name)

    async def search(self, query: str) -> Hits:
        """Find tools that match what is typed."""
        matcher = self.matcher(query)
        for name, about in await self._tools():
            title = f"Tool {name}"
            # What is said of a tool is long, and has the letters of almost any word somewhere.
            score = max(matcher.match(title), 0.5 * (query.lower() in about.lower()))
            if score > 0:
                # Below the actions that match as well.
                yield Hit(score * 0.8, matcher.highlight(title), partial(self._open, name), title, about)


class RunsProvider(Provider):
    """Runs to open: by program, arguments, cause or id."""

    def _runs(self) -> list[RunSummary]:
        return cast("TriageApp", self.app).main.known_runs

    def _open(self, run_id: str) -> None:
        self.app.call_later(cast("TriageApp", self.app).main.open_run, run_id)

    @staticmethod
    def _words(run: RunSummary) -> tuple[str, str]:
        """Return the name of a run in the list, and what stands below it."""
        program = safe_line(" ".join([run.name, *run.argv[1:4]]), 60)
        state, _ = state_word(run.state, run.waiting)
        cause = safe_line(run.cause or run.reason or "", 40)
        return f"Open {program}  {run.run_id}", f"{state}  {cause}".strip()

    async def discover(self) -> Hits:
        """Offer the guests that wait before anything is typed."""
        for run in self._runs():
            if run.waiting:
                name, about = self._words(run)
                yield DiscoveryHit(Content(name), partial(self._open, run.run_id), name, about)

    async def search(self, query: str) -> Hits:
        """Find runs that match what is typed."""
        import asyncio
        import heapq

        matcher = self.matcher(query)
        found: list[tuple[float, str]] = []
        names: dict[str, tuple[str, str]] = {}
        for number, run in enumerate(self._runs(), 1):
            name, about = self._words(run)
            if score := matcher.match(f"{name} {about}"):
                names[run.run_id] = (name, about)
                found.append((score, run.run_id))
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        for score, run_id in heapq.nlargest(MOST_RUNS, found):
            name, about = names[run_id]
            # Below the actions that match as well: there are few of those, and they are looked for more.
            yield Hit(score * 0.9, matcher.highlight(name), partial(self._open, run_id), name, about)
