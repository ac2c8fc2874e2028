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
        "Leave. A frozen guest goes on waiting; those of the demo end, after a question.",
        "app",
        _LOOK,
        95,
    ),
)
