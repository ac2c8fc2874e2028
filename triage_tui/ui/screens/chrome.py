"""What stands around the panes: title, tabs, facts of the run, the banner of a frozen guest, keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content

from triage_tui.runs.foreign import is_home, rules_root
from triage_tui.text import number_of, shown_line
from triage_tui.ui.actions import ACTIONS, BY_ID, PANE_KEYS, PANES
from triage_tui.ui.actions.model import Action
from triage_tui.ui.panes.runs import RunsPane
from triage_tui.ui.rows import clip, short
from triage_tui.ui.screens.availability import available, label_of
from triage_tui.ui.widgets.bar import Bar, Item
from triage_tui.ui.widgets.framed import Framed
from triage_tui.ui.words import decision_words, place, state_word, when

if TYPE_CHECKING:
    from triage_tui.ui.screens.main import MainScreen
    from triage_tui.ui.widgets.typed_line import TypedLine


def draw(screen: MainScreen) -> None:
    """Draw all bars of the main screen."""
    draw_title(screen)
    screen.query_one("#tabs", Bar).set_items(tabs(screen.active, screen.size.width, screen.app.keys_changed))
    note = _note(screen) if screen.single else ""
    screen.query_one("#facts", Bar).set_items(facts(screen), [Item(note, "info")] if note else [])
    banner = decision_words(screen.view) if screen.view is not None else None
    screen.set_class(banner is not None, "-waiting")
    if banner is not None:
        screen.query_one("#banner", Bar).set_items([Item(" ▶ " + banner, "wait")])
    draw_keys(screen)
    count = screen.runs.note
    screen.query_one("#runs-tile", Framed).entitle(Content(f"0 Runs {shown_line(count)}".strip()))


def draw_title(screen: MainScreen) -> None:
    """Draw the title bar."""
    screen.query_one("#title", Bar).set_items(*title(screen))


def draw_keys(screen: MainScreen) -> None:
    """Draw the footer; under a question or a sheet, which has keys of its own, it is empty."""
    shown = keys(screen) if screen.app.screen is screen else ([], [])
    screen.query_one("#keys", Bar).set_items(*shown)


def _note(screen: MainScreen) -> str:
    pane = screen.pane(screen.active)
    note = pane.note
    # A third of the line stays for the facts of the run.
    return (
        f"{clip(note, min(pane.NOTE_CELLS, screen.size.width * 2 // 3))} "
        if note and screen.active != "runs"
        else ""
    )


_ROOM_FOR_STEPS = 100
"""Columns from which the title has the step of the model, not only its time."""


def no_runs(workspace: Path) -> str:
    """Return what is said where there are no runs: how they come about."""
    if not is_home(workspace):
        return RunsPane.EMPTY
    return "No runs yet. SFEmu records one when it stops a program (SFEMU_AI_ENABLE)."


def title(screen: MainScreen) -> tuple[list[Item], list[Item]]:
    """Return the title bar: product, workspace, what waits."""
    # A list without a border says here what its title would, when that is more than a number.
    note = short(screen.runs.title_note, 40) if screen.single and screen.active == "runs" else ""
    note = "" if note.isdigit() else note
    workspace = screen.app.workspace
    # Beside SFEmu's records it is known by the rule directory.
    shown = rules_root(workspace) if is_home(workspace) else workspace
    where = short(place(str(shown)), 24 if note else 60)
    left = [Item(" triage-tui ", "title"), Item(f" {where}", "muted")]
    if note:
        left.append(Item(f"  {note}", "info"))
    right: list[Item] = []
    if screen.app.read_only:
        right.append(Item("read-only  ", "warn"))
    if screen.app.runs_before is not None:
        right.append(Item("… the program runs  ", "info"))
    if (retries := screen.retries) is not None and retries.far:
        stops = "" if retries.cancel.is_set() or screen.active != "runs" else ", esc drops those"
        right.append(Item(f"… {retries.far}{stops if retries.waiting else ''}  ", "info"))
    if (asked := screen.asked_now) is not None:
        more = f" ({len(screen.asked)} runs)" if len(screen.asked) > 1 else ""
        wide = screen.size.width >= _ROOM_FOR_STEPS
        far = asked.far if wide else f"{asked.seconds} s"
        right.append(Item(f"… model{more}: {far}  ", "info", "screen.show_model"))
    if waiting := screen.runs.waiting:
        guests = "1 guest waits for you" if waiting == 1 else f"{waiting} guests wait for you"
        right.append(Item(f"▶ {guests} ", "wait", "screen.show_pane('runs')"))
    return left, right


def tabs(active: str, width: int, keymap: Mapping[str, str] = MappingProxyType({})) -> list[Item]:
    """Return the tabs of the narrow layout, with short names where the long ones do not fit.

    Where those do not fit either, only the pane that is shown has its name. `keymap` holds the keys that the
    user changed.
    """
    names = [
        ("runs", clip(keymap.get("runs", "0"), 6), "Runs", "Runs"),
        *(
            (n, clip(keymap.get(f"pane_{n}", key), 6), long, short)
            for key, (n, long, short) in zip(PANE_KEYS, PANES, strict=True)
        ),
    ]
    total = sum(len(key) + len(long) + 2 for _, key, long, _ in names)
    tight = sum(len(key) + len(brief) + 2 for _, key, _, brief in names) > width
    items: list[Item] = []
    for name, key, long, brief in names:
        here = name == active
        label = long if total <= width else brief if here or not tight else ""
        action = f"screen.show_pane('{name}')"
        items.append(Item(f" {key} ", "key" if here else "faint", action, "cursor" if here else ""))
        items.append(Item(label, "strong" if here else "muted", action, "cursor" if here else ""))
        if total <= width - len(names):
            items.append(Item(" ", "", action, "cursor" if here else ""))
    return items


def facts(screen: MainScreen) -> list[Item]:
    """Return the line under the headline: state, cause, architecture, run."""
    view = screen.view
    reading = [Item(f" reading {short(screen.wanted or '', 30)} …", "info")] if screen.reads_long else []
    if view is None:
        known = screen.run_list.get(screen.wanted) if screen.wanted is not None else None
        failed = Item(" writing", "info") if known and known.form == "writing" else Item(" unreadable", "bad")
        return reading or ([failed] if screen.failure else [])
    word, role = state_word(view.run.state, view.waiting)
    items = [*reading, Item(f" {word}", role)]
    if (held := screen.compared) is not None:
        clock = f"{when(held.run_id, long=False)}"
        items += [
            Item("  ·  ", "faint"),
            Item(f"c compares with {held.name} {clock}", "wait", "screen.compare"),
        ]
    if screen.trail:
        # Before what the headline says as well: on 80 columns there is not room for all.
        steps = " > ".join(
            [*(spot.name for spot in screen.trail[-3:]), screen.pane(screen.active).place_name]
        )
        items += [Item("  ·  ", "faint"), Item(f"⌫ {steps}", "accent", "screen.go_back")]
    best = view.diagnosis.hypotheses[0] if view.diagnosis and view.diagnosis.hypotheses else None
    if best is not None:
        items += [
            Item("  ·  ", "faint"),
            Item(short(best.cause, 30), "accent"),
            Item(f" {min(1.0, max(0.0, best.confidence)):.2f}", ""),
        ]
    if view.proposals:
        count = number_of(len(view.proposals), "proposal")
        items += [
            Item("  ·  ", "faint"),
            Item(count, "", "screen.show_pane('patch')"),
        ]
    if view.points:
        count = number_of(view.points, "suspicious point")
        items += [Item("  ·  ", "faint"), Item(count, "warn", "screen.points")]
    if view.snapshot.round:
        items += [Item("  ·  ", "faint"), Item(f"round {view.snapshot.round}")]
    if view.run.problems:
        items += [Item("  ·  ", "faint"), Item("read with problems", "bad")]
    items += [
        Item("  ·  ", "faint"),
        Item(short(view.snapshot.target.arch, 12), "muted"),
        Item(f"  {view.run_id}", "faint", "screen.show_pane('runs')"),
    ]
    if view.snapshot.recorded:
        items.append(Item("  recording", "info"))
    return items


_UNDO_PLACE = 8
"""Place of undo in the footer when something can be undone: behind resume, retry and end."""


def _footer_order(screen: MainScreen) -> list[Action]:
    review = ("mark", "approve", "reject", "edit", "edit_here", "rollback")
    actions = [action for action in ACTIONS if action.footer and action.id not in ("help", "quit")]
    # What was just decided is offered to be undone, next to what may follow from it.
    undo = _UNDO_PLACE if screen.decided else 0
    actions.sort(key=lambda action: undo if undo and action.id == "rollback" else action.footer)
    decided = screen.view is not None and not screen.view.under_review
    if screen.active == "patch" and not decided:
        # While a rule is under review, what to do with it comes before what to do with the guest.
        actions.sort(key=lambda action: review.index(action.id) if action.id in review else len(review))
    elif screen.active == "runs":
        # A rule is edited where it can be seen; in the list, to open a run and to mark it matter more.
        actions.sort(key=lambda action: action.id in ("edit", "edit_here"))
    elif screen.active == "retry" and available(screen, BY_ID["next_round"]):
        # The retry is over: what it led to is the next thing to look at.
        actions.sort(key=lambda action: action.id != "next_round")
    elif screen.active not in ("patch", "diagnosis", "retry"):
        actions.sort(key=lambda action: action.id in review)
    return actions


def keys(screen: MainScreen) -> tuple[list[Item], list[Item]]:
    """Return the footer: the keys that matter here, as many as fit."""
    left: list[Item] = [Item(" ")]
    if (line := screen.open_line) is not None:
        return [*left, *_line_items(line)], []
    right = _key_items(screen, [BY_ID["help"], BY_ID["quit"]])
    # A cell before the first key, and one between the last and what stands at the right.
    room = screen.size.width - sum(cell_len(item.text) for item in right) - 2
    for action in _footer_order(screen):
        if not available(screen, action):
            continue
        items = _key_items(screen, [action])
        size = sum(cell_len(item.text) for item in items)
        if size > room:
            break
        left += items
        room -= size
    return left, right


def _line_items(line: TypedLine) -> list[Item]:
    """Return the keys of a line that is typed into: all others are letters for it."""
    items: list[Item] = []
    for key, label, action in line.KEYS:
        click = f"screen.in_line('{action}')"
        items += [Item(key, "key", click), Item(f" {label}  ", "muted", click)]
    return items


def _key_items(screen: MainScreen, actions: list[Action]) -> list[Item]:
    items: list[Item] = []
    for action in actions:
        name = action.action if action.scope != "app" else f"app.{action.action}"
        click = name if name.startswith(("screen.", "app.")) else None
        shown = clip(screen.app.keys_changed.get(action.id, action.shown_key), 16)
        if not shown:
            continue  # The user took the key from it; the palette still has it.
        items += [Item(shown, "key", click), Item(f" {label_of(screen, action)}  ", "muted", click)]
    return items
