"""The sheet of a target's rules: whose act, all generations, what rules did, packs; and their keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from triage_tui.errors import TriageError
from triage_tui.rulebook.manifest import Generation
from triage_tui.text import safe_line
from triage_tui.ui.generation_rows import ToGeneration, ToPack, change_rows, detail_rows, rulebook_rows
from triage_tui.ui.rows import Row
from triage_tui.ui.rulebook_state import RulebookState, differences
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.widgets.line_view import LineView

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp

_READ = "⏎ what it changed  c compare  / find  esc leave"
_WRITE = "⏎ what it changed  c compare  u make active  i import  / find  esc"

Go = Callable[[str, int, int], None]
"""Makes a generation active: the target or "shared", its number, and the one that is active now."""


class RulebookSheet(Sheet):
    """Everything about the rules of one target; the keys are about the row under the cursor."""

    app: TriageApp

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "compare", "compare", show=False),
        Binding("u", "go", "make active", show=False),
        Binding("p", "propose", "propose", show=False),
        Binding("i", "import", "import a pack", show=False),
    ]

    def __init__(
        self,
        state: RulebookState,
        name: str,
        go: Go | None,
        propose: Callable[[str], None] | None,
        take: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """`name` is the program; `go`, `propose` and `take` are None where nothing may be decided.

        `take` asks for a pack.
        """
        super().__init__(f"Rules of {safe_line(name, 60)}", partial(rulebook_rows, state), wide=True)
        self._state, self._go, self._propose, self._take = state, go, propose, take
        self._held: ToGeneration | None = None

    def on_mount(self) -> None:
        """Say what can be done."""
        self._tell(_READ if self._go is None else _WRITE)
        first = next(iter(reversed(self._state.generations)), None)
        if first is not None:
            self.call_after_refresh(self._to, ToGeneration(self._state.target, first.made.number))

    def _to(self, target: ToGeneration) -> None:
        view = self.query_one(LineView)
        if (place := view.rows.place(target)) is not None:
            view.move_to(place)

    def _tell(self, keys: str) -> None:
        self.query_one("#help", Vertical).border_subtitle = Content(keys)

    def _say(self, text: str) -> None:
        self.app.notify(safe_line(text, 400), markup=False, timeout=6)

    @property
    def _chosen(self) -> ToGeneration | None:
        row = self.query_one(LineView).current
        return row.target if row is not None and isinstance(row.target, ToGeneration) else None

    def opened(self, event: LineView.Opened) -> None:
        """Show what the generation of the row changed, and everything else about it."""
        chosen = self._chosen
        one = self._state.generation(*chosen) if chosen is not None else None
        if one is None:
            self._say("Go to a generation: enter shows what it changed.")
            return
        parent = self._state.generation(chosen.target, one.made.parent or 0) if chosen is not None else None
        self._show(
            f"Generation {one.made.number}",
            parent.made if parent is not None else None,
            one.made,
            lambda changes, width: detail_rows(one, changes, width),
        )

    def action_compare(self) -> None:
        """Hold a generation, or compare it with the one that is held."""
        if (chosen := self._chosen) is None:
            self._say("Go to a generation, or to 0: c holds it, and on another compares the two.")
        elif self._held is None or self._held == chosen:
            self._held = chosen
            self._say(f"{_name(chosen)} is held: c on another one compares the two.")
        else:
            old, new = sorted((self._held, chosen), key=lambda one: one.number)
            self._held = None
            self._show(f"{_name(old)} → {_name(new)}", self._made(old), self._made(new), change_rows)

    def _made(self, place: ToGeneration) -> Generation | None:
        one = self._state.generation(*place)
        return one.made if one is not None else None

    def _show(
        self,
        title: str,
        old: Generation | None,
        new: Generation | None,
        rows: Callable[[list[str], int], list[Row]],
    ) -> None:
        """Compare two generations in a thread, and show it over this."""

        def work() -> None:
            show: Callable[[], object]
            try:
                changes = differences(old, new)
                show = partial(self._push, Sheet(title, partial(rows, changes), wide=True))
            except TriageError as error:
                show = partial(self._say, str(error))
            except Exception as error:
                # A rule that defeats what compares must not take the review down.
                show = partial(self._say, self.app.reports.sentence("Comparing generations", error))
            self.app.call_from_thread(show)

        self.run_worker(work, thread=True, group="compare", exclusive=True, exit_on_error=False)

    def _push(self, sheet: Sheet) -> None:
        if self.is_active:
            self.app.push_screen(sheet)

    def action_go(self) -> None:
        """Make the generation of the row active."""
        chosen = self._chosen
        if self._go is None or chosen is None:
            self._say(
                "This view is read-only." if self._go is None else "Go to a generation, or to 0, first."
            )
            return
        active = self._state.active(chosen.target)
        if chosen.number == active:
            self._say(f"{_name(chosen)} is active already.")
            return
        self.dismiss(None)
        self._go(chosen.target, chosen.number, active)

    def action_propose(self) -> None:
        """Propose the rules of the pack of the row on the run that is shown."""
        row = self.query_one(LineView).current
        if self._propose is None or row is None or not isinstance(row.target, ToPack):
            self._say("This view is read-only." if self._propose is None else "Go to a pack first.")
            return
        self.dismiss(None)
        self._propose(row.target.name)

    async def action_import(self) -> None:
        """Ask for the file of a pack."""
        if self._take is None:
            self._say("This view is read-only.")
            return
        self.dismiss(None)
        await self._take()


def _name(place: ToGeneration) -> str:
    return f"Generation {place.number}" if place.number else "No rule"
