"""What works everywhere: palette, help, leaving."""

from __future__ import annotations

from triage_tui.ui.actions.model import Action

_LOOK = "Look around"

ANYWHERE: tuple[Action, ...] = (
    Action(
        "palette",
        "colon,ctrl+p",
        "command_palette",
        "palette",
        "All commands, with search.",
        "app",
        _LOOK,
        palette=False,
    ),
    Action("help", "question_mark,f1", "help", "help", "All keys.", "app", _LOOK, 90),
    Action(
        "quit",
        "q",
        "quit",
        "quit",
        "Leave. While a guest is frozen this asks what to do with it; once more leaves it frozen.",
        "app",
        _LOOK,
        95,
    ),
    Action(
        "suspend",
        "ctrl+z",
        "suspend_process",
        "stop",
        "Go to the shell; `fg` comes back.",
        "app",
        _LOOK,
    ),
)
