"""Everything a person can do, once: the key map, the footer, the palette and the help screen read this list.

Ids are what a user's `keys.yaml` refers to. Keys never include ctrl+q, ctrl+b or ctrl+o, which terminals,
multiplexers and editors keep for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Scope = Literal["app", "main", "list", "patch", "syscalls", "code", "frames", "threads", "memory", "modal"]
"""Where a key works: everywhere, on the main screen, in any list, in one pane, in questions."""


@dataclass(frozen=True)
class Action:
    """One thing a person can do."""

    id: str
    keys: str
    """Textual key names, comma separated; the first is the one that is shown."""
    action: str
    """The Textual action that does it."""
    label: str
    """One or two words, for the footer."""
    help: str
    """One sentence, for the help screen and the palette."""
    scope: Scope
    section: str
    footer: int = 0
    """Place in the footer, low first; 0 = not there."""
    writes: bool = False
    """Changes something: absent in read-only mode."""
    palette: bool = True
    key_text: str = ""
    """How the key is written, where Textual's name for it is no good."""

    @property
    def shown_key(self) -> str:
        """The first key as people write it."""
        if self.key_text:
            return self.key_text
        return _KEY_TEXT.get(key := self.keys.split(",")[0], key)


_KEY_TEXT = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "backspace": "⌫",
    "enter": "⏎",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "space": "space",
}

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
)
"""Panes in the order of their number keys: id, title, short title."""

_REVIEW = "Review and decide"
_MOVE = "Move"
_LOOK = "Look around"

ACTIONS: tuple[Action, ...] = (
    Action(
        "approve",
        "a",
        "screen.approve",
        "approve",
        "Approve the proposal under the cursor: its rules become active.",
        "main",
        _REVIEW,
        10,
        True,
    ),
    Action(
        "edit",
        "e",
        "screen.edit",
        "edit",
        "Edit the rule in $EDITOR; leaving it with an error discards the edit.",
        "main",
        _REVIEW,
        12,
        True,
    ),
    Action(
        "edit_here",
        "i",
        "screen.edit_here",
        "edit here",
        "Edit the rule inside this terminal.",
        "main",
        _REVIEW,
        13,
        True,
    ),
    Action(
        "reject",
        "x",
        "screen.reject",
        "reject",
        "Reject the proposals of this run, with a reason.",
        "main",
        _REVIEW,
        11,
        True,
    ),
    Action(
        "rollback",
        "u",
        "screen.rollback",
        "roll back",
        "Take the active rules back, byte for byte, to the generation before.",
        "main",
        _REVIEW,
        15,
        True,
    ),
    Action(
        "resume",
        "r",
        "screen.resume",
        "resume",
        "Let the frozen guest go on, with the rules that are active now.",
        "main",
        _REVIEW,
        5,
        True,
    ),
    Action(
        "retry",
        "R",
        "screen.retry",
        "retry",
        "Run the program again from its start with the active rules.",
        "main",
        _REVIEW,
        6,
        True,
        key_text="R",
    ),
    Action(
        "end",
        "E",
        "screen.end_guest",
        "end guest",
        "End the frozen guest.",
        "main",
        _REVIEW,
        7,
        True,
        key_text="E",
    ),
    Action(
        "freeze",
        "F",
        "screen.freeze",
        "freeze",
        "Freeze the guest that runs now, and record what it is doing.",
        "main",
        _REVIEW,
        0,
        True,
        key_text="F",
    ),
    Action(
        "mark",
        "space",
        "screen.mark_proposal",
        "select",
        "Select a proposal, to approve several at once.",
        "patch",
        _REVIEW,
        14,
        True,
    ),
    Action(
        "filter",
        "slash",
        "screen.filter",
        "filter",
        "Filter the runs or the syscalls as you type.",
        "main",
        _LOOK,
        30,
    ),
    Action(
        "next_source",
        "v",
        "next_source",
        "other source",
        "Code pane: show the function from the next source that has it (pseudocode, disassembly).",
        "code",
        _LOOK,
        31,
        palette=False,
    ),
    Action(
        "decompile",
        "d",
        "screen.decompile",
        "decompile",
        "Code and backtrace panes: decompile the selected frame; once more, or esc, stops it.",
        "frames",
        _LOOK,
        32,
        True,
    ),
    Action(
        "failures",
        "f",
        "screen.failures",
        "failures",
        "Show only syscalls that failed, repeat or were answered by a rule.",
        "syscalls",
        _LOOK,
        31,
    ),
    Action(
        "next_thread",
        "right_square_bracket",
        "screen.step_thread(1)",
        "next thread",
        "Registers and backtrace panes: go to the next thread, of whatever process.",
        "threads",
        _LOOK,
        32,
    ),
    Action(
        "previous_thread",
        "left_square_bracket",
        "screen.step_thread(-1)",
        "thread before",
        "Registers and backtrace panes: go to the thread before.",
        "threads",
        _LOOK,
        33,
    ),
    Action(
        "go_to_address",
        "g",
        "screen.go_to_address",
        "go to",
        "Memory pane: go to an address: hex, a register, a symbol, module+offset.",
        "memory",
        _LOOK,
        32,
    ),
    Action("next_run", "n", "screen.step_run(1)", "next run", "Go to the next older run.", "main", _LOOK, 40),
    Action(
        "previous_run", "p", "screen.step_run(-1)", "previous run", "Go to the next newer run.", "main", _LOOK
    ),
    Action(
        "return",
        "backspace",
        "screen.go_back",
        "back",
        "Go back to where the last link was followed.",
        "main",
        _LOOK,
        20,
    ),
    Action("runs", "0", "screen.show_pane('runs')", "runs", "Go to the list of runs.", "main", _LOOK, 45),
    *(
        Action(
            f"pane_{name}",
            str(number),
            f"screen.show_pane('{name}')",
            title,
            f"Go to the {title.lower()} pane.",
            "main",
            "Panes",
        )
        for number, (name, title, _) in enumerate(PANES, 1)
    ),
    Action(
        "next_pane",
        "tab",
        "screen.next_pane(1)",
        "next pane",
        "Go to the next pane.",
        "main",
        _MOVE,
        palette=False,
    ),
    Action(
        "previous_pane",
        "shift+tab",
        "screen.next_pane(-1)",
        "pane before",
        "Go to the pane before.",
        "main",
        _MOVE,
        palette=False,
    ),
    Action(
        "zoom", "z", "screen.zoom", "zoom", "Give the whole screen to this pane, and back.", "main", _LOOK, 46
    ),
    Action(
        "leave",
        "escape",
        "screen.leave",
        "leave",
        "Leave the filter, the zoom or the pane.",
        "main",
        _MOVE,
        palette=False,
    ),
    Action("down", "j,down", "cursor(1)", "down", "Next row.", "list", _MOVE, palette=False, key_text="j ↓"),
    Action("up", "k,up", "cursor(-1)", "up", "Row before.", "list", _MOVE, palette=False, key_text="k ↑"),
    Action(
        "page_down",
        "pagedown,ctrl+d",
        "page(1)",
        "page down",
        "A page down.",
        "list",
        _MOVE,
        palette=False,
        key_text="pgdn",
    ),
    Action(
        "page_up",
        "pageup,ctrl+u",
        "page(-1)",
        "page up",
        "A page up.",
        "list",
        _MOVE,
        palette=False,
        key_text="pgup",
    ),
    Action("top", "g,home", "edge(0)", "top", "First row.", "list", _MOVE, palette=False, key_text="g"),
    Action("bottom", "G,end", "edge(1)", "bottom", "Last row.", "list", _MOVE, palette=False, key_text="G"),
    Action(
        "left",
        "h,left",
        "sideways(-1)",
        "left",
        "Link before in the row, or scroll left.",
        "list",
        _MOVE,
        palette=False,
        key_text="h ←",
    ),
    Action(
        "right",
        "l,right",
        "sideways(1)",
        "right",
        "Next link in the row, or scroll right.",
        "list",
        _MOVE,
        palette=False,
        key_text="l →",
    ),
    Action(
        "open",
        "enter",
        "open",
        "open",
        "Open the row: its evidence, the code of the frame, the whole syscall, the run.",
        "list",
        _MOVE,
        19,
        palette=False,
    ),
    Action(
        "copy", "y", "copy_row", "copy", "Copy the row as it is shown (OSC 52).", "list", _LOOK, palette=False
    ),
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

BY_ID = {action.id: action for action in ACTIONS}


def bindings(*scopes: Scope) -> list[BindingType]:
    """Return the Textual bindings of the scopes; their ids are the action ids, so users can remap them."""
    return [
        Binding(action.keys, action.action, action.label, show=False, tooltip=action.help, id=action.id)
        for action in ACTIONS
        if action.scope in scopes
    ]
