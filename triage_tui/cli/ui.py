"""`triage-tui ui`: open the terminal app."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.sfemu.analysis_results import results_of
from triage_tui.text import safe_line

if TYPE_CHECKING:
    from triage_tui.retry.actions import LocalActions
    from triage_tui.ui.app import TriageApp


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--read-only", action="store_true", help="look, but decide nothing")
    parser.add_argument(
        "--sfanalysis", metavar="DIR", help="SFAnalysis results of the firmware: show their pseudocode first"
    )


def run(args: argparse.Namespace) -> int:
    """Open the app and return when the person leaves it."""
    workspace = Workspace.at(args.workspace)
    results = results_of(workspace.root, args.sfanalysis)
    return open_app(workspace, read_only=args.read_only, sfanalysis=results)


@contextmanager
def _drawn_often() -> Iterator[None]:
    """Have Textual, imported within, draw 120 times a second at most, unless the user says otherwise.

    With the 60 of its own a row that changes just after a title was drawn waits 17 to 33 ms.
    """
    ours = "TEXTUAL_FPS" not in os.environ
    if ours:
        os.environ["TEXTUAL_FPS"] = "120"
    try:
        yield
    finally:
        # Guests and editors have the environment that the user gave.
        if ours:
            del os.environ["TEXTUAL_FPS"]


def require_terminal() -> None:
    """Make sure that there is somebody to show the app to.

    Raises:
        TriageError: standard input or output is no terminal, or it is one that cannot be drawn on.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise TriageError(
            "the app needs a terminal; without one use `triage-tui list`, `show`, `approve` and `retry`"
        )
    name = os.environ.get("TERM", "")
    if not _can_be_drawn_on(name):
        raise TriageError(
            f"the app cannot draw on a terminal of the kind TERM={safe_line(name, 40)}: set TERM to what it"
            " is, or use `triage-tui list`, `show`, `approve` and `retry`"
        )


def _can_be_drawn_on(name: str) -> bool:
    """Tell whether a terminal of this name takes ANSI sequences for places; one not known is given a try."""
    if name == "dumb":
        return False
    try:
        import curses
    except ImportError:
        return True
    try:
        curses.setupterm(name, sys.stdout.fileno())
        place = curses.tigetstr("cup")
    except (ValueError, curses.error):
        return True
    return place is not None and place.startswith(b"\x1b[")


def open_app(
    workspace: Workspace,
    *,
    read_only: bool = False,
    guests_end: bool = False,
    sfanalysis: Path | None = None,
    runs_before: frozenset[str] | None = None,
) -> int:
    """Open the app on `workspace`; `guests_end` says that the caller ends the guests afterwards.

    `sfanalysis` is a directory of SFAnalysis results. `runs_before` names all runs that were there before a
    program was started in the background: the run of that program is the one to begin with.

    Raises:
        TriageError: standard input or output is no terminal, or there is no such directory.
    """
    require_terminal()
    from triage_tui.ui import pauses

    # Before the app is imported: what is made then is all there to stay.
    usual = pauses.shorten()
    made: list[LocalActions] = []
    try:
        app = build_app(
            workspace,
            read_only=read_only,
            guests_end=guests_end,
            sfanalysis=sfanalysis,
            runs_before=runs_before,
            made=made,
        )
        app.run()
    finally:
        pauses.restore(usual)
        for actions in made if guests_end else ():
            actions.end_retries()
    if app.crash is not None:
        from triage_tui.cli.crash import report

        return report("ui", app.crash)
    from triage_tui.cli.output import say

    # The list of the app may not have come to a retry that was asked for just before it was left.
    asked = set().union(*(actions.retries_under_way() for actions in made))
    for sentence in left_behind(app, asked, guests_end=guests_end):
        say(sentence)
    return app.return_code or 0


def left_behind(app: TriageApp, asked: set[str], *, guests_end: bool = False) -> list[str]:
    """Return what goes on without the app that was left, and what will not begin, one sentence each.

    `asked` are runs whose retry was asked for in it and is not over.
    """
    from triage_tui.ui.panes.retry import STOPPING

    sentences = []
    if not_begun := app.main.retries_not_begun:
        sentences.append(
            f"{not_begun} marked retr{'ies' if not_begun > 1 else 'y'} had to wait and did not begin"
        )
    if guests_end:
        return sentences
    stopped = {run_id for run_id, what in app.main.asked_retries.items() if what == STOPPING}
    retried = (app.retries_running | asked) - stopped
    if running := len(retried):
        sentences.append(
            f"{running} retr{'ies go' if running > 1 else 'y goes'} on: open the app again to see the verdict"
        )
    if waiting := len(app.still_waiting - retried):
        sentences.append(
            f"{waiting} frozen guest{'s go' if waiting > 1 else ' goes'} on waiting: open the app again to"
            " decide, or end one with `triage-tui decide RUN end`"
        )
    return sentences


def build_app(
    workspace: Workspace,
    *,
    read_only: bool = False,
    guests_end: bool = False,
    sfanalysis: Path | None = None,
    runs_before: frozenset[str] | None = None,
    made: list[LocalActions] | None = None,
) -> TriageApp:
    """Return the app on `workspace`, ready to be run; the parameters are those of `open_app`.

    `made` gets the actions, once the first one was asked for.

    Raises:
        TriageError: there is no such directory.
    """
    if sfanalysis is not None and not sfanalysis.is_dir():
        raise TriageError(f"there is no directory {safe_line(str(sfanalysis), 200)} of SFAnalysis results")
    from triage_tui.runs.feed import RunsFeed
    from triage_tui.runs.index_path import index_file
    from triage_tui.runs.look_ahead import look_ahead

    # Now, so that both go on while the app is imported; the process before the thread, which forbids a fork.
    ahead = look_ahead(workspace.runs_dir)
    feed = RunsFeed(workspace.runs_dir, index_file(workspace.runs_dir), ahead)
    feed.begin()
    with _drawn_often():
        from triage_tui.ui.app import TriageApp
    from triage_tui.ui.backend import Actions, deferred

    def actions() -> Actions:
        from triage_tui.retry.actions import LocalActions

        local = LocalActions(workspace)
        if made is not None:
            made.append(local)
        return local

    # What decisions need (linting, the rulebook) is imported when the first is made, not at the start.
    return TriageApp(
        workspace.root,
        actions=deferred(actions),
        read_only=read_only,
        guests_end=guests_end,
        sfanalysis=sfanalysis,
        runs_before=runs_before,
        remember=True,
        feed=feed,
    )
