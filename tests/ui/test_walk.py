"""Every link of the shipped recordings leads to a place that is marked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from textual.pilot import Pilot

from tests.ui.conftest import until
from triage_tui.resources import recorded_runs
from triage_tui.runs.evidence import links_in, parse_link, resolve
from triage_tui.ui.app import TriageApp
from triage_tui.ui.own_links import own_link
from triage_tui.ui.run_view import RunView
from triage_tui.ui.screens.main import MainScreen

RUNS = ("00000001", "00000006", "00000010")
"""Of three architectures: an exit, one that waits with rules active, and a loop of one call."""
EACH = 40
"""Rows of each pane whose own links are followed."""


def _cited(view: RunView) -> Iterator[str]:
    for hypothesis in view.diagnosis.hypotheses if view.diagnosis else ():
        yield from (entry.link for entry in (*hypothesis.evidence, *hypothesis.contrary))
        yield from (link for _, link in links_in(hypothesis.explanation))


def _in_rows(main: MainScreen) -> Iterator[str]:
    for tile in main.tiles:
        for pane in tile.panes:
            step = max(1, len(pane.rows) // EACH)
            for index in range(len(pane.rows)):
                row = pane.rows.row(index)
                yield from (link for _, _, link in row.links)
                if index % step == 0 and (own := own_link(pane.NAME, row, 80, pane.own_choice)):
                    yield own


async def _select(pilot: Pilot[None], main: MainScreen, run_id: str) -> RunView:
    main.runs.select(run_id)
    await until(pilot, lambda: main.view and main.view.run_id == run_id)
    await until(pilot, lambda: main.pane("process").view is main.view)
    assert main.view is not None
    return main.view


async def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    for name in RUNS:
        source = next(path for path in recorded_runs() if path.name.endswith(name))
        shutil.copytree(source, tmp_path / "ai_runs" / source.name)
    app = TriageApp(tmp_path)
    followed = 0
    async with app.run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: app.main.tiles and app.main.view)
        main = app.main
        for run_dir in sorted((tmp_path / "ai_runs").iterdir()):
            view = await _select(pilot, main, run_dir.name)
            cited = set(_cited(view))
            for text in dict.fromkeys([*cited, *_in_rows(main)]):
                link = parse_link(text)
                if link.kind == "code" and link.id.startswith("0x"):
                    # Without the program files only what the record itself has is offered.
                    thumb = view.snapshot.target.arch == "arm"
                    assert main.code.show_address(int(link.id, 16) & (~1 if thumb else -1)), text
                    continue
                if text in cited:
                    found = resolve(view.run, link)
                    assert found.exists, text
                    assert found.hash_ok, text
                pane = next(p for tile in main.tiles for p in tile.panes if link.kind in p.KINDS)
                main.show_pane(pane.NAME)
                assert pane.reveal(link), text
                assert pane.marked, text
                followed += 1
    assert followed > 300
