"""Rollouts as rows: in which stage each is, what was counted, what is lacking, what was decided; and what is
set aside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field as a_field
from typing import TYPE_CHECKING

import msgspec

from triage_tui.text import safe_line
from triage_tui.ui.rows import BLANK, Row, field, heading, short, wrapped

if TYPE_CHECKING:
    from triage_tui.rulebook.manifest import SetAside
    from triage_tui.rulebook.rollouts.record import Rollout
    from triage_tui.rulebook.rollouts.standing import Standing

_ROLES = {"under_way": "strong", "stopped": "bad", "done": "good"}
_COLUMN = 14
ASIDE = "\0aside"
"""What the rows of rules that are set aside stand for."""


class RolloutsRead(msgspec.Struct, frozen=True):
    """What a look at the rulebook found; `names` are those of targets by their ids."""

    rollouts: Sequence[tuple[Rollout, Standing]] = ()
    names: Mapping[str, str] = a_field(default_factory=dict)
    aside: Mapping[str, SetAside] = a_field(default_factory=dict)
    """Rules of the target of the run that is shown."""
    troubles: Sequence[str] = ()
    """What could not be read, one sentence each."""


def rollout_rows(found: RolloutsRead, width: int) -> list[Row]:
    """Return the rows; those of one rollout have its id as target."""
    rows: list[Row] = []
    for text in found.troubles:
        rows += wrapped(safe_line(text, 600), width, "bad", 1)
    for one, stands in found.rollouts:
        rows += [*([BLANK] if rows else []), *_rows(one, stands, found.names, width)]
    if found.aside:
        title = "Set aside for this program"
        rows += [*([BLANK] if rows else []), heading(title, width, "", ASIDE)]
        for name, why in found.aside.items():
            text = f"{safe_line(name, 200)}: {safe_line(why.why, 400)}"
            rows += wrapped(text, width, "warn", 1, ASIDE)
    return rows


def _rows(one: Rollout, stands: Standing, names: Mapping[str, str], width: int) -> list[Row]:
    from triage_tui.rulebook.rollouts.record import in_words

    rows = [heading(short(one.id, max(8, width - 20)), width, one.state.replace("_", " "), one.id)]

    def add(label: str, text: str, role: str = "") -> None:
        rows.extend(field(label, safe_line(text, 600), width, role, _COLUMN, one.id))

    add("stage", in_words(one), _ROLES[one.state])
    add("rule", f"{one.file}  sha256 {one.sha256[:12]}", "muted")
    add("first target", names.get(one.target, one.target))
    for target in one.group:
        add("group", names.get(target, target))
    add(
        "counted",
        f"{stands.runs} runs, {stands.matches} calls, helped {stands.helped}, hurt {stands.hurt},"
        f" errors {stands.errors}, since {one.since[:19].replace('T', ' ')}",
    )
    if one.state == "under_way":
        for text in stands.breaches:
            add("too much", text, "bad")
        for text in stands.lacking:
            add("lacking", text, "warn")
        if not stands.breaches and not stands.lacking:
            add("criteria", "met: p brings it to its next stage", "good")
    for text in stands.gone if one.state == "done" else ():
        add("but", text, "warn")
    for moved in one.moves:
        why = f": {moved.why}" if moved.why else ""
        what = moved.kind.replace("_", " ")
        add(short(moved.wall[5:16].replace("T", " "), 12), f"{what} ({moved.stage}), by {moved.actor}{why}")
    return rows
