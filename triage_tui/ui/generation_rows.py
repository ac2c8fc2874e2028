"""The rules of a target as rows: who wins, every generation with who, when and why, what rules did, packs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from triage_tui.rulebook.generation_list import ListedGeneration
from triage_tui.rulebook.layers_in_words import in_order, layer_words
from triage_tui.rulebook.packs.imported import Kept
from triage_tui.rulebook.places import SHARED
from triage_tui.rulebook.statistics import RuleTotals
from triage_tui.text import number_of, safe_line
from triage_tui.ui.rows import BLANK, Part, Row, clip, field, fit, heading, short, wrapped
from triage_tui.ui.rulebook_state import RulebookState

if TYPE_CHECKING:
    from triage_tui.sfemu.lookup import Looked

MAX_GENERATIONS = 256
"""Newest generations of a list; the command shows all."""
MAX_RULES = 256
_WHOSE = 22


class ToGeneration(NamedTuple):
    """A row of a generation: of a target or "shared", 0 for no rule."""

    target: str
    number: int


class ToPack(NamedTuple):
    """A row of an imported pack."""

    name: str


def rulebook_rows(state: RulebookState, width: int) -> list[Row]:
    """Return all rows."""
    rows = [heading("Rules in force", width, "asked in this order"), *_layer_rows(state, width), BLANK]
    if state.sfemu is not None:
        rows += [
            heading("Rule files that SFEmu finds", width, "first of a call first"),
            *_sfemu_rows(state.sfemu, width),
        ]
        rows += [BLANK]
    rows += [heading("Generations of this target", width, "newest first")]
    rows += _generation_list(state.generations, state.target, width)
    if state.shared:
        rows += [BLANK, heading("Generations that all targets share", width, "newest first")]
        rows += _generation_list(state.shared, SHARED, width)
    rows += _other_rules(state, width)
    if state.packs:
        rows += [BLANK, heading("Packs", width, "p proposes one on this run")]
        for pack in state.packs:
            rows += _pack_rows(pack, width)
    return rows


def _layer_rows(state: RulebookState, width: int) -> list[Row]:
    rows: list[Row] = []
    if state.trouble:
        rows += wrapped(safe_line(state.trouble, 400), width, "bad", 1)
    elif not state.layers:
        rows += wrapped("No rule acts for this target.", width, "muted", 1)
    for asked, rule, why in list(in_order(state.layers))[:MAX_RULES]:
        name = clip(safe_line(rule.known_as, 100), max(8, width - _WHOSE - 8))
        parts: list[Part] = [
            (f" {fit(asked, 5, 'right')}  ", "key"),
            (fit(layer_words(rule), _WHOSE), "accent" if rule.layer == "own" else "muted"),
            (name, "" if why else "strong"),
        ]
        rows += _row(parts, width, whole=safe_line(rule.name, 200))
        if why:
            rows += wrapped(safe_line(why, 300), width, "warn", 6)
        if (total := state.totals.get(rule.sha256)) is not None:
            rows += wrapped(did(total), width, "bad" if total.hurt else "muted", 6)
    own = f"Files of your own go into rulebook/own/{short(state.target, 40)}/syscall; they are never written."
    if state.sfemu is not None:
        own = (
            "SFEmu loads the rules of the active generation only, and not files of your own in rulebook/own."
        )
    return [*rows, *wrapped(own, width, "faint", 1)]


def _row(parts: Sequence[Part], width: int, target: object = None, whole: str = "") -> list[Row]:
    """Return parts in columns as a row, or as wrapped text where there is no room for columns."""
    text = "".join(part for part, _ in parts)
    if cell_len(text) <= width:
        return [Row(tuple(parts), target, whole=whole)]
    return wrapped(" ".join(text.split()), width, "strong", 1, target)


def did(total: RuleTotals) -> str:
    """Return what a rule did so far, in one clause."""
    told = [
        number_of(total.runs, "run"),
        f"helped {total.helped}",
        f"hurt {total.hurt}",
        f"{number_of(total.hits, 'hit')} of {number_of(total.calls, 'call')}",
    ]
    if total.errors:
        told.append(number_of(total.errors, "error"))
    if total.calls:
        told.append(f"{total.time_us // total.calls} us each")
    if total.last_used:
        told.append(f"last {safe_line(total.last_used[:16].replace('T', ' '), 16)}")
    return ", ".join(told)


def _sfemu_rows(looked: Looked, width: int) -> list[Row]:
    """Return what SFEmu asks for each call, and what hides what."""
    rows: list[Row] = []
    for told, look in ((looked.wrong, "bad"), (looked.hides, "warn")):
        for sentence in told[:MAX_RULES]:
            rows += wrapped(sentence, width, look, 1)
    for one in looked.files[:MAX_RULES]:
        ours = one.whose in ("ours", "changed")
        name = clip(safe_line(one.path, 200), max(8, width - _WHOSE - 8))
        parts: list[Part] = [
            (fit(" asked" if one.asked else "", 8), "key"),
            (fit("published" if ours else one.whose, _WHOSE), "accent" if ours else "muted"),
            (name, "strong" if one.asked else ""),
        ]
        rows += _row(parts, width, whole=safe_line(one.path, 200))
    if not looked.files:
        rows += wrapped("No rule file is there.", width, "muted", 1)
    return rows


def _generation_list(made: Sequence[ListedGeneration], target: str, width: int) -> list[Row]:
    rows: list[Row] = []
    for one in list(reversed(made))[:MAX_GENERATIONS]:
        rows += _generation_rows(one, target, width)
    if len(made) > MAX_GENERATIONS:
        text = f"{len(made) - MAX_GENERATIONS} older ones are shown by `triage-tui rules generations`."
        rows += wrapped(text, width, "muted", 1)
    active = any(one.active for one in made)
    none: list[Part] = [(" " if active else " ▶", "good"), (fit("0", 5 if active else 4, "right"), "strong")]
    rows.append(Row((*none, ("  no rule", "muted" if active else "good")), ToGeneration(target, 0)))
    return rows


def _generation_rows(one: ListedGeneration, target: str, width: int) -> list[Row]:
    made, place = one.made, ToGeneration(target, one.made.number)
    when = safe_line(made.created[:16].replace("T", " "), 16)
    parts: list[Part] = [
        (" ▶" if one.active else "  ", "good"),
        (fit(str(made.number), 4, "right"), "strong"),
        (f"  {fit(when, 16)}  ", "muted"),
        (fit(short(made.actor, 12), 12), ""),
        (f"  {number_of(len(made.files), 'rule')}, {one.changed}", "muted"),
    ]
    if one.active:
        parts.append(("  active", "good"))
    rows = _row(parts, width, place)
    rows += wrapped(safe_line(made.reason or "no reason given", 300), width, "", 8, place)
    if one.problem:
        rows += wrapped(safe_line(one.problem, 300), width, "bad", 8, place)
    for name, aside in list(made.set_aside.items())[:16]:
        text = f"set aside: {safe_line(name, 100)}, {safe_line(aside.why, 200)}"
        rows += wrapped(text, width, "warn", 8, place)
    return rows


def _other_rules(state: RulebookState, width: int) -> list[Row]:
    """Return what rules did that are not in force now."""
    shown = {rule.sha256 for rule in state.layers}
    others = [total for sha256, total in state.totals.items() if sha256 not in shown]
    if not others:
        return []
    rows = [BLANK, heading("What other rules did", width, "the last used first")]
    others.sort(key=lambda total: total.last_used, reverse=True)
    for total in others[:MAX_RULES]:
        rows += wrapped(f"{safe_line(total.rule, 64)}  {short(total.sha256, 8)}", width, "strong", 1)
        rows += wrapped(did(total), width, "muted", 6)
    return rows


def _pack_rows(pack: Kept, width: int) -> list[Row]:
    place = ToPack(pack.name)
    rows = wrapped(short(pack.name, 60), width, "strong", 1, place)
    if pack.pack is None or pack.problem:
        return [*rows, *wrapped(safe_line(pack.problem, 300), width, "bad", 6, place)]
    found = pack.pack.manifest
    signed = f"signed by {short(pack.key_name, 40)} ({short(pack.key, 20)})" if pack.key else "not signed"
    text = f"verified: {number_of(found.count, 'rule')}, {signed}"
    rows += wrapped(text, width, "good" if pack.key else "warn", 6, place)
    if found.description:
        rows += wrapped(safe_line(found.description, 300), width, "", 6, place)
    return rows


def detail_rows(one: ListedGeneration, changes: Sequence[str], width: int) -> list[Row]:
    """Return everything about a generation; `changes` is how it differs from the one that it was made of."""
    made = one.made
    rows = field("made", safe_line(f"{made.created} by {made.actor}", 200), width)
    rows += field("why", safe_line(made.reason or "no reason given", 400), width)
    if one.run:
        rows += field("run", short(one.run, 60), width, "accent")
    rows += field("of", f"generation {made.parent}" if made.parent else "no rules", width)
    rows += field("digest", short(made.digest, 64), width, "muted")
    proof = safe_line(one.problem, 300) or "every byte is as it was made"
    rows += field("proof", proof, width, "bad" if one.problem else "good")
    for entry in one.moves:
        when = entry.wall[:19].replace("T", " ")
        text = f"line {entry.number}, {when}, {entry.actor}: {entry.says or entry.kind}"
        rows += field("active", safe_line(text, 300), width)
    rows += [BLANK, heading("Files", width, str(len(made.files)))]
    for name, sha256 in list(made.files.items())[:MAX_RULES]:
        rows += wrapped(safe_line(name, 200), width, "strong", 1)
        rows += wrapped(f"sha256 {short(sha256, 64)}", width, "muted", 3)
    of = f"generation {made.parent}" if made.parent else "no rules"
    return [*rows, BLANK, heading("Changed", width, f"against {of}"), *change_rows(changes, width)]


def change_rows(changes: Sequence[str], width: int) -> list[Row]:
    """Return the lines of a comparison."""
    if not changes:
        return wrapped("The rules are the same.", width, "muted", 1)
    rows: list[Row] = []
    for line in changes:
        if not line:
            rows.append(BLANK)
            continue
        role = "" if line.startswith(" ") else "strong"
        if line.startswith("    "):
            role = {"+": "added", "-": "removed", "@": "muted"}.get(line.strip()[:1], "")
        rows += wrapped(line.strip(), width, role, 1 + len(line) - len(line.lstrip()))
    return rows
