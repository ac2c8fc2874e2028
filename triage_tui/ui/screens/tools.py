"""The tools and the suspicious points on the main screen: what a model may ask, a person may."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.ui.screens.asking import AskScreen

if TYPE_CHECKING:
    from triage_tui.retry.inspecting.tool_desk import Answer, ToolDesk
    from triage_tui.runs.suspicious_points import SuspiciousPoint
    from triage_tui.ui.run_view import RunView


class ToolsScreen(AskScreen):
    """The part of the main screen that asks the tools."""

    _desk: ToolDesk | None = None

    def _shown_run(self) -> RunView | None:
        """Return the run to look into, or say why there is none; looking is allowed in a read-only view."""
        if self.view is None:
            self.say_no_run()
        elif self.coming:
            self.say(f"{self.coming} is not shown yet: press the key again when it is.", "warning")
        else:
            return self.view
        return None

    async def action_tools(self, name: str = "") -> None:
        """Choose a tool, or fill in the fields of one."""
        view = self._shown_run()
        if view is not None:
            # The tools know much: what they need is imported beside the keys.
            await asyncio.to_thread(import_module, "triage_tui.ui.screens.tool_sheet")
            self.open_tool(view, name, self._guess(name))

    def _guess(self, name: str) -> dict[str, str]:
        """Return what the fields of a tool most likely are where the person is."""
        texts: dict[str, str] = {}
        if self.active in ("code", "backtrace") and self.asked_address is not None:
            frame = self.code.frame if self.code.function is None else None
            texts["function_name"] = (frame.func_name if frame is not None else "") or hex(self.asked_address)
        link = self.pane(self.active).peeked_link if self.active != "runs" else None
        if name in ("", "create_suspicious_point") and link is not None:
            texts["evidence"] = link
        return texts

    def _desk_of(self, view: RunView) -> ToolDesk:
        from triage_tui.retry.inspecting.tool_desk import ToolDesk
        from triage_tui.retry.workspace import Workspace

        if self._desk is None or self._desk.run is not view.run:
            self._desk = ToolDesk(Workspace(self.app.workspace), view.run)
        return self._desk

    def open_tool(
        self,
        view: RunView,
        name: str,
        texts: dict[str, str],
        answer: Answer | None = None,
        cursor: int = 0,
    ) -> None:
        """Show the sheet of the tools; from what an answer led to, one comes back to the answer."""
        from triage_tui.ui.screens.tool_sheet import ToolSheet

        def follow(link: str, answer: Answer, asked: dict[str, str], place: int) -> None:
            back = partial(self.open_tool, view, answer.tool, asked, answer, place)
            self.follow_in(view.run_id, link, back)

        def noted(sentence: str) -> None:
            self.say(sentence)
            self.app.update_runs({view.run_id})
            self.show_points(view)

        note = None if self.app.read_only else partial(self.app.actions.note_point, view.run_id)
        sheet = ToolSheet(
            self._desk_of(view), follow, note, noted, tool=name, texts=texts, answer=answer, cursor=cursor
        )
        self.app.push_screen(sheet)

    # --- suspicious points -------------------------------------------------------------------------------

    def action_points(self) -> None:
        """Show the suspicious points of the run."""
        view = self._shown_run()
        if view is not None:
            self.show_points(view)

    def show_points(self, view: RunView, cursor: int = 0) -> None:
        """Read the points in a thread, and show them."""

        def work() -> None:
            from triage_tui.runs.suspicious_points import read_points

            points: list[SuspiciousPoint] = []
            trouble = ""
            try:
                points = sorted(read_points(view.run).points, key=lambda one: -one.score)
            except TriageError as error:
                trouble = str(error)
            except Exception as error:
                # A run that defeats the reader must not take the review down.
                trouble = self.app.reports.sentence("Reading the suspicious points", error)
            self.app.call_from_thread(self._show_points, view, points, trouble, cursor)

        self.run_worker(work, thread=True, group="points", exclusive=True, exit_on_error=False)

    def _show_points(self, view: RunView, points: list[SuspiciousPoint], trouble: str, cursor: int) -> None:
        from triage_tui.ui.screens.points_sheet import PointsSheet

        if self.app.screen is not self:
            return

        def follow(link: str, place: int) -> None:
            self.follow_in(view.run_id, link, lambda: self.show_points(view, place))

        write = None if self.app.read_only else partial(self._write_point, view)
        self.app.push_screen(PointsSheet(points, trouble, follow, write, cursor))

    def _write_point(self, view: RunView, name: str, texts: dict[str, str]) -> None:
        if "state" not in texts:
            self.run_worker(self._open_writing(view, name, texts), group="tools", exclusive=True)
            return
        actions = self.app.actions

        def work() -> None:
            try:
                said, failed = actions.note_point(view.run_id, name, texts), False
            except TriageError as error:
                said, failed = str(error), True
            except Exception as error:
                # Its own defect must not take the review down.
                said, failed = self.app.reports.sentence("Noting", error), True
            self.app.call_from_thread(self._point_written, view, said, failed)

        self.run_worker(work, thread=True, group="points", exit_on_error=False)

    async def _open_writing(self, view: RunView, name: str, texts: dict[str, str]) -> None:
        await asyncio.to_thread(import_module, "triage_tui.ui.screens.tool_sheet")
        guess = self._guess(name) if name == "create_suspicious_point" else {}
        self.open_tool(view, name, {**guess, **texts})

    def _point_written(self, view: RunView, said: str, failed: bool) -> None:
        self.say(said, "warning" if failed else "information")
        self.app.update_runs({view.run_id})
        self.show_points(view)
