"""Sentences and words about a run: state, header, what a person can do next. All of it safe to show."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from triage_tui.runs.ids import is_run_id
from triage_tui.runs.signatures import RETURN_ADDRESSES
from triage_tui.text import safe_line
from triage_tui.ui.rows import short

if TYPE_CHECKING:
    from triage_tui.runs.listing import RunSummary
    from triage_tui.runs.model import Snapshot, Syscall
    from triage_tui.ui.run_view import RunView

STATES: dict[str, tuple[str, str]] = {
    "captured": ("captured", "info"),
    "diagnosed": ("diagnosed", "info"),
    "proposed": ("to review", "accent"),
    "approved": ("approved", "good"),
    "rejected": ("rejected", "muted"),
    "applied": ("rule active", "good"),
    "resumed": ("resumed", "info"),
    "retrying": ("retrying", "warn"),
    "progressed": ("progressed", "good"),
    "sideways": ("sideways", "warn"),
    "regressed": ("regressed", "bad"),
    "resolved": ("resolved", "good"),
    "inconclusive": ("inconclusive", "warn"),
    "rolled_back": ("rolled back", "muted"),
    "ended": ("ended", "muted"),
    "needs_person": ("needs you", "wait"),
}
"""State to the word and the colour role that show it."""

WAITING = ("waits for you", "wait")
REOPENED = ("reopened", "bad")
"""A failure that a stable set once mended is back."""
FORMS: dict[str, tuple[str, str]] = {
    "writing": ("writing", "muted"),
    "unreadable": ("unreadable", "bad"),
    "sfemu": ("SFEmu run", "info"),
    "newer": ("newer version", "warn"),
    "misnamed": ("no run", "bad"),
}
"""What is no run of this version, to the word and the colour role that show it."""


def place(path: str) -> str:
    """Return a path of this machine as people write it, with ~ for the home directory; safe."""
    home = os.path.expanduser("~").rstrip("/")
    if home and (path == home or path.startswith(home + "/")):
        path = "~" + path[len(home) :]
    return safe_line(path, 400)


def when(run_id: str, long: bool) -> str:
    """Return "14:03" or "11-20 14:03:22" from the time in a run id; blanks for what is no run id."""
    if not is_run_id(run_id):
        return " " * (14 if long else 5)
    clock = f"{run_id[9:11]}:{run_id[11:13]}"
    return f"{run_id[4:6]}-{run_id[6:8]} {clock}:{run_id[13:15]}" if long else clock


def state_word(state: str, waiting: bool = False) -> tuple[str, str]:
    """Return (word, role) of a run's state."""
    return WAITING if waiting else STATES.get(state, (safe_line(state), "muted"))


def next_step(run: RunSummary) -> tuple[str, str]:
    """Return what a person can do about a run, in two or three words, and its colour role."""
    rules = f"{run.proposals} rule{'s' * (run.proposals != 1)}"
    if run.waiting:
        return ("approve, or resume", "wait") if run.proposals else ("resume, retry or end", "wait")
    if run.state == "proposed" and run.proposals:
        return f"review {rules}", "accent"
    return ("retry, or look", "wait") if run.state == "needs_person" else ("", "")


def target_words(snapshot: Snapshot) -> str:
    """Return the command and its architecture: "udhcpc -i eth0 (mipsel)"."""
    argv = snapshot.target.argv or [snapshot.target.program]
    name = argv[0].rsplit("/", 1)[-1]
    return safe_line(" ".join([name, *argv[1:]]), 120) + f" ({short(snapshot.target.arch, 12)})"


def call_words(call: Syscall) -> tuple[str, str, str]:
    """Return name, arguments and result of a syscall as safe text."""
    shown = ", ".join(call.arguments) if call.arguments else ", ".join(f"{arg:#x}" for arg in call.args)
    if call.ret is None:
        result = "…"
    elif call.errno:
        result = f"{short(call.errno, 20)}"
    elif call.name in RETURN_ADDRESSES and abs(call.ret) >= 0x10000:
        result = f"{call.ret & (1 << 64) - 1:#x}"
    else:
        # As sizes and numbers stand among the arguments.
        result = str(call.ret)
    return short(call.name, 40), safe_line(shown, 1000), result


def decision_words(view: RunView) -> str | None:
    """Return the banner of a frozen guest that waits, or None when nothing waits."""
    if not view.waiting:
        return None
    if view.run.state in ("applied", "approved"):
        if view.snapshot.reason in ("exit", "signal"):
            # The call that failed is behind it: letting it go on only lets it end.
            return "Rule active. This guest is past the call and about to end: retry it."
        return "Rule active. Retry starts the program anew, resume lets this guest go on."
    if view.proposals and view.run.state in ("proposed", "diagnosed", "captured"):
        return "The guest is frozen and waits. Approve a rule, or resume it as it is."
    return "The guest is frozen and waits for you."
