"""Which actions make sense now: the footer and the palette show only those."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triage_tui.ui.actions.model import Action

if TYPE_CHECKING:
    from triage_tui.ui.screens.main import MainScreen


_ON_MARKED = frozenset(["approve", "reject", "rollback", "resume", "retry", "end", "compare"])
"""Actions that concern the marked runs when there are some; which of them they fit is said when asked."""


def available(screen: MainScreen, action: Action) -> bool:
    """Tell whether an action makes sense now."""
    if action.writes and screen.app.read_only:
        return False
    view = screen.view
    if screen.on_marked and action.id in _ON_MARKED:
        return action.id not in ("resume", "end") or any(run.waiting for run in screen.runs.marked_runs)
    match action.id:
        case "approve" if screen.active == "patch" and view is not None and view.rules:
            return screen.patch.approvable
        case "approve" | "edit" | "edit_here" | "reject":
            return view is not None and bool(view.rules)
        case "rollback":
            return bool(screen.decided) or (view is not None and view.generation is not None)
        case "redo":
            return bool(screen.undone)
        case "approve_all":
            return screen.active == "patch" and view is not None and len(view.rules) > 1
        case "next_hunk" | "previous_hunk" | "match_runs" | "turn_patch":
            return screen.active == "patch" and view is not None and bool(view.rules)
        case "counterfactual":
            return screen.active == "patch" and view is not None and bool(screen.patch.files_here)
        case "divide_hunk":
            return screen.active == "patch" and screen.patch.place.hunk >= 0
        case "resume":
            return view is not None and view.waiting
        case "end":
            return view is not None and (view.waiting or screen.retry_goes_on)
        case "retry":
            can = view is not None and (view.waiting or view.generation is not None)
            return can and not screen.retry_goes_on
        case "diagnose" | "explain" | "trace":
            return view is not None
        case "experiment":
            return screen.offered is not None
        case "open":
            return screen.pane(screen.active).opens
        case "return":
            return bool(screen.trail)
        case "mark":
            return screen.active == "patch" and view is not None and bool(view.rules)
        case "failures" | "output" | "call_code":
            return screen.active == "syscalls"
        case "story":
            return screen.active == "runs" and (entry := screen.runs.entry) is not None and entry.size > 1
        case "next_round":
            return not screen.pane(screen.active).search_text and screen.round_beside(1) is not None
        case "previous_round":
            return screen.round_beside(-1) is not None
        case "peek":
            return view is not None and screen.pane(screen.active).peeked_link is not None
        case "compare":
            return view is not None and (screen.active == "runs" or screen.compared is not None)
        case "copy" | "copy_more":
            return screen.pane(screen.active).current is not None
        case "sort" | "mark_run" | "mark_all" | "mark_range":
            return screen.active == "runs"
        case "next_thread" | "previous_thread":
            pane = screen.stepped
            return pane is not None and len(pane.threads) > 1
        case "next_source":
            return screen.active == "code" and screen.code.sources > 1
        case "calls":
            return screen.active in ("code", "backtrace") and screen.asked_address is not None
        case "decompile":
            return screen.active in ("code", "backtrace") and screen.code.frame is not None
        case "go_to_address":
            return screen.active == "memory" and view is not None
        case "add_log":
            return view is not None
        case "ask_model" | "tools" | "points":
            return view is not None
        case "filter":
            return screen.active in ("runs", "syscalls")
        case "export":
            return screen.can_export
        case "search":
            return screen.pane(screen.active).SEARCH
        case "next_hit" | "previous_hit":
            return bool(screen.pane(screen.active).search_text)
        case "next_run" | "previous_run" if screen.pane(screen.active).search_text:
            return False
        case "zoom":
            return screen.size.width >= 120
        case "runs":
            return screen.active != "runs" and screen.single
        case _:
            return True


def label_of(screen: MainScreen, action: Action) -> str:
    """Return what the footer calls an action now: what it would be done to."""
    match action.id:
        case "approve" | "reject" if screen.active == "patch" and screen.view is not None:
            return f"{action.label} {screen.patch.object_of(action.id)}".strip()
        case "mark" if screen.active == "patch":
            return screen.patch.next_mark
        case "rollback":
            undoes = bool(screen.decided) and not screen.rolls_marked_back
            return f"undo {screen.decided[-1].what}" if undoes else "roll back"
        case "end" if screen.view is not None and not screen.view.waiting and not screen.on_marked:
            return "stop retry"
        case "experiment" if (offered := screen.offered) is not None:
            return f"try {offered.kind.replace('_', ' ')}"
        case "turn_patch" if screen.active == "patch":
            return "one text" if screen.patch.beside else "side by side"
        case _:
            return action.label
