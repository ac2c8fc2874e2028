"""Leaving while guests are frozen: what is to become of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from triage_tui.errors import TriageError
from triage_tui.ui.messages import Done
from triage_tui.ui.screens.question import Question

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp
    from triage_tui.ui.backend import Decision

_DEMO = (("stay", "Stay"), ("leave", "Leave and end them; the records stay"))


def _answers(count: int) -> tuple[tuple[str, str], ...]:
    them = "it" if count == 1 else "them"
    return (
        ("leave", f"Leave {them} frozen: open the app again to decide"),
        ("resume", f"Resume {them} with the rules that are active now, and leave"),
        ("end", f"End {them}, and leave; the records stay"),
        ("stay", "Stay here"),
    )


class Leaving(Question):
    """The question. The key that leaves the app, once more, takes the first answer."""

    # "leave" would read as leaving the app.
    ESCAPE: ClassVar[str] = "stay"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "first", "first answer", show=False)]

    def __init__(self, waiting: int, guests_end: bool) -> None:
        guests = "1 guest is frozen and waits" if waiting == 1 else f"{waiting} guests are frozen and wait"
        if guests_end:
            super().__init__(f"{guests} for you. Leaving the demo ends what it started.", _DEMO)
        else:
            super().__init__(
                f"{guests} for you. What is to become of {'it' if waiting == 1 else 'them'}?",
                _answers(waiting),
            )

    async def action_first(self) -> None:
        """Take the first answer."""
        await self.action_answer(0)


def leave(app: TriageApp, waiting: Iterable[str], answer: str | None) -> None:
    """Do what was answered: leave, or decide for all guests in a thread and leave when that went well.

    A guest that was frozen while the question stood was not asked about: then the app stays open.
    """
    asked = set(waiting)
    if answer in ("leave", "resume", "end") and app.still_waiting - asked:
        app.main.say("Another guest was frozen meanwhile, so the app stays open: q asks again.", "warning")
        return
    match answer:
        case "leave":
            app.exit()
        case "resume":
            app.run_worker(_decide(app, sorted(asked), "resume"), thread=True, group="action")
        case "end":
            app.run_worker(_decide(app, sorted(asked), "end"), thread=True, group="action")


def _decide(app: TriageApp, waiting: list[str], decision: Decision) -> Callable[[], None]:
    def work() -> None:
        for run_id in waiting:
            try:
                app.actions.decide(run_id, decision)
            except TriageError as error:
                app.main.post_message(Done(f"{error}, so the app stays open", failed=True, run_id=run_id))
                return
            app.decided.add(run_id)
        app.call_from_thread(app.exit)

    return work
