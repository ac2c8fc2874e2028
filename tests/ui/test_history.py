"""The history pane: rounds, decisions with digests, stale approvals, and what an entry opens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.conftest import opened, shown, until
from triage_tui.rulebook.audit.trail import Audit, AuditEntry, AuditFile
from triage_tui.ui.actions import PANES
from triage_tui.ui.app import TriageApp
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.history import (
    HistoryPane,
    ToGeneration,
    ToRule,
    ToRun,
    audit_rows,
    generation_rows,
)
from triage_tui.ui.screens.chrome import tabs

RULE = "fix/syscall/ioctl.lua"
DIGEST = "0123456789abcdef" * 4


def entry(kind: str, **more: object) -> AuditEntry:
    given = {"wall": "2025-11-18T14:03:00+01:00", "actor": "analyst", "by": "person", "run_id": "r1", **more}
    return AuditEntry(kind=kind, **given)  # type: ignore[arg-type]


def test_an_entry_says_who_what_on_which_bytes_and_what_changed() -> None:
    trail = Audit(
        (
            entry("approved", files=(AuditFile(RULE, DIGEST, changed=True),)),
            entry("activated", by="policy", actor="policy:auto", before=0, after=1),
            entry("rolled_back", run_id="r2", before=1, after=0),
        )
    )
    rows = audit_rows(trail, "r1", 120)
    text = "\n".join(row.text for row in rows)
    assert "14:03:00  approved            analyst" in text
    assert DIGEST in text
    assert f"stale: {RULE} was changed after this approval" in text
    assert "policy auto" in text
    assert "generation none → 1" in text
    assert "generation 1 → none" in text
    targets = [row.target for row in rows]
    assert [ToRun("r1"), ToRule("r1", RULE), ToGeneration(1), ToRun("r2")] == [
        target for n, target in enumerate(targets) if target and target not in targets[:n]
    ]


def test_each_entry_is_found_again_at_another_width(workspace: Path) -> None:
    entries = [entry("activated", before=number % 2, after=1 - number % 2) for number in range(6)]
    stale = entry("approved", files=(AuditFile(RULE, DIGEST, changed=True),) * 3)
    view = load_view(workspace / "ai_runs" / fixtures.EXIT_RUN, workspace)
    rows = HistoryPane().build(replace(view, audit=Audit((*entries, stale, *entries))))
    rows.layout(80)
    heads = [index for index in range(len(rows)) if "14:03:00" in rows.row(index).text]
    assert len(heads) == 13
    for index in heads:
        moved, _ = rows.relayout(160, index, {})
        assert rows.relayout(80, moved, {}) == (index, {})


@pytest.mark.parametrize("width", [40, 78, 120])
def test_rows_of_hostile_entries_are_safe_and_fit(width: int) -> None:
    evil = "\x1b[2J\u202e" * 40
    trail = Audit((entry("approved", actor=evil, says=evil, wall=evil, run_id=evil, problem=evil,
                         files=(AuditFile(evil, evil, changed=True),)),))  # fmt: skip
    for row in audit_rows(trail, "", width):
        assert row.text.isprintable()
        assert cell_len(row.text) <= max(width, 60)
    assert "not in the rulebook" in generation_rows(trail, 7, width)[0].text


@pytest.mark.parametrize("width", [60, 80, 119])
def test_all_tabs_are_on_the_screen(width: int) -> None:
    items = tabs("history", width)
    assert sum(cell_len(item.text) for item in items) <= width
    keys = [item.text.strip() for item in items if item.text.strip() in {*"0123456789H"}]
    assert keys == [*"0123456789H"]
    assert any(item.text.startswith("Hist") for item in items)
    assert len(PANES) == 10


async def test_entries_open_the_rule_and_the_generation(app: TriageApp, workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / fixtures.EXIT_RUN
    fixtures.write_events(
        run_dir,
        [
            ("captured", {}),
            ("approved", {"files": {RULE: DIGEST}}),
            ("activated", {"generation": 3, "parent": 2, "files": ["syscall/ioctl@x.lua"]}),
        ],
    )
    app.open_run = fixtures.EXIT_RUN
    async with app.run_test(size=(80, 24)) as pilot:
        app = await opened(pilot)
        await pilot.press("H")
        pane = app.main.pane("history")
        assert "stale:" in shown(app)
        pane.move_to(pane.rows.find(lambda row: isinstance(row.target, ToGeneration)) or 0)
        await pilot.press("enter")
        await until(pilot, lambda: "Generation 3 is not in the rulebook" in shown(app))
        await pilot.press("escape")
        pane.move_to(pane.rows.find(lambda row: isinstance(row.target, ToRule)) or 0)
        await pilot.press("enter")
        await until(pilot, lambda: app.main.active == "patch" and app.main.patch.marked)
        assert app.main.patch.place.file == RULE
        await pilot.press("backspace")
        await until(pilot, lambda: app.main.active == "history")


async def test_the_cursor_begins_where_the_pane_has_its_matter(app: TriageApp) -> None:
    app.open_run = fixtures.RETRY_RUN
    async with app.run_test(size=(80, 24)) as pilot:
        app = await opened(pilot, fixtures.RETRY_RUN)
        history, registers = app.main.pane("history").current, app.main.pane("registers").current
        assert history is not None
        assert history.fill == "current", "the round that is shown"
        assert registers is None or isinstance(registers.target, str), "the first register"
