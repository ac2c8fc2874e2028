"""Leaving while guests are frozen, or a model is at work: what is to become of them."""

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


_MODEL = (("leave", "Stop it and leave; what it came to so far is kept"), ("stay", "Stay"))


class Leaving(Question):
    """A question. The key that leaves the app, once more, takes the first answer."""

    # "leave" would read as leaving the app.
    ESCAPE: ClassVar[str] = "stay"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "first", "first answer", show=False)]

    @classmethod
    def guests(cls, waiting: int, guests_end: bool) -> Leaving:
        """Ask what is to become of frozen guests."""
        guests = "1 guest is frozen and waits" if waiting == 1 else f"{waiting} guests are frozen and wait"
        if guests_end:
            return cls(f"{guests} for you. Leaving the demo ends what it started.", _DEMO)
        them = "it" if waiting == 1 else "them"
        return cls(f"{guests} for you. What is to become of {them}?", _answers(waiting))

    @classmethod
    def model(cls, runs: int) -> Leaving:
        """Ask what is to become of a model that is at work."""
        about = "a run" if runs == 1 else f"{runs} runs"
        return cls(f"The model is still being asked about {about}.", _MODEL)

    async def action_first(self) -> None:
        """Take the first answer."""
        await self.action_answer(0)


def ask_to_leave(app: TriageApp) -> None:
    """Ask about the model first, then about the guests, and leave when both may end."""
    if isinstance(app.screen, Leaving):
        return
    if not app.main.asked:
        _ask_about_guests(app)
        return

    def answered(answer: str | None) -> None:
        if answer == "leave":
            _ask_about_guests(app)

    app.push_screen(Leaving.model(len(app.main.asked)), answered)


def _ask_about_guests(app: TriageApp) -> None:
    waiting = app.still_waiting
    if not waiting or app.read_only:
        app.exit()
        return
    app.push_screen(Leaving.guests(len(waiting), app.guests_end), lambda answer: leave(app, waiting, answer))


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
