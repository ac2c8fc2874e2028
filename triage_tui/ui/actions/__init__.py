"""Everything a person can do, once: the key map, the footer, the palette and the help screen read this list.

Ids are what a user's `keys.yaml` refers to. Keys never include ctrl+q, ctrl+b or ctrl+o, which terminals,
multiplexers and editors keep for themselves.
"""

from __future__ import annotations

from textual.binding import Binding, BindingType

from triage_tui.ui.actions.anywhere import ANYWHERE
from triage_tui.ui.actions.deciding import DECIDING
from triage_tui.ui.actions.looking import LOOKING
from triage_tui.ui.actions.model import Action, Scope
from triage_tui.ui.actions.moving import MOVING

PANES: tuple[tuple[str, str, str], ...] = (
    ("diagnosis", "Diagnosis", "Why"),
    ("patch", "Patch", "Patch"),
    ("syscalls", "Syscalls", "Calls"),
    ("backtrace", "Backtrace", "Stack"),
    ("code", "Code", "Code"),
    ("registers", "Registers", "Regs"),
    ("memory", "Memory", "Mem"),
    ("process", "Process", "Proc"),
    ("retry", "Retry", "Retry"),
    ("history", "History", "Hist"),
)
"""Panes in the order of their keys: id, title, short title."""

PANE_KEYS = "123456789H"
"""Their keys."""

ACTIONS: tuple[Action, ...] = (
    *DECIDING,
    *LOOKING,
    *(
        Action(
            f"pane_{name}",
            key,
            f"screen.show_pane('{name}')",
            title,
            f"Go to the {title.lower()} pane.",
            "main",
            "Panes",
        )
        for key, (name, title, _) in zip(PANE_KEYS, PANES, strict=True)
    ),
    *MOVING,
    *ANYWHERE,
)

BY_ID = {action.id: action for action in ACTIONS}


def bindings(*scopes: Scope) -> list[BindingType]:
    """Return the Textual bindings of the scopes; their ids are the action ids, so users can remap them."""
    return [
        Binding(action.keys, action.action, action.label, show=False, tooltip=action.help, id=action.id)
        for action in ACTIONS
        if action.scope in scopes
    ]
