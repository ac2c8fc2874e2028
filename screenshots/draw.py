"""Draw the pictures of this directory from the recorded runs that ship: `make screenshots`.

One session of the app goes through all pictures. What would differ from machine to machine is fixed: size,
theme, time zone, terminal, names of directories, the configuration of whoever draws. So the same code and
the same recordings give the same bytes, and a test sees a screen that changed while its picture did not.

A guest that waits cannot be recorded, so no picture has one. `campaign/` is the record of a campaign over
sixteen programs of Debian, as it was played, but for the directory of their roots and without its runs.
`python -m screenshots.draw DIR` draws into another directory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from triage_tui.resources import recorded_runs
from triage_tui.runs.files import write_atomic

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from triage_tui.ui.app import TriageApp

HERE = Path(__file__).resolve().parent
WORKSPACE = "router"
"""The directory of the recorded runs, as pictures may name it."""

LARGE, PANE = (146, 44), (104, 30)
"""Columns and rows."""

DARK, LIGHT = "triage-dark", "triage-light"

CAMPAIGN = HERE / "campaign"
PROPOSED, BEFORE, RETRIED = "00000004", "00000001", "00000002"
"""A DHCP client whose interface is missing; its failure in an earlier story, and the round after that."""

EDITED = "00000009"
"""An entropy daemon that misses a file below /proc."""

_FIXED = {
    "COLORTERM": "truecolor",
    "LANG": "C.UTF-8",
    "TERM": "xterm-256color",
    "TEXTUAL_ANIMATIONS": "none",
    "TZ": "UTC",
}
_CALM_S = 0.03
_PATIENCE = 250


class Picture(NamedTuple):
    """One picture: file name, size in cells, the end of the run's id, keys from the diagnosis on, theme."""

    name: str
    size: tuple[int, int]
    run: str
    keys: tuple[str, ...] = ()
    theme: str = DARK


PICTURES = (
    Picture("diagnosis", LARGE, PROPOSED),
    Picture("panes/light", LARGE, PROPOSED, ("2",), LIGHT),
    Picture("patch", LARGE, PROPOSED, ("2", "z")),
    Picture("syscalls", LARGE, PROPOSED, ("3", "z")),
    Picture("panes/runs", PANE, PROPOSED, ("0",)),
    Picture("panes/backtrace", PANE, PROPOSED, ("4",)),
    Picture("panes/code", PANE, PROPOSED, ("5",)),
    Picture("panes/registers", PANE, PROPOSED, ("6",)),
    Picture("panes/memory", PANE, PROPOSED, ("7",)),
    Picture("panes/process", PANE, PROPOSED, ("8",)),
    Picture("panes/peek", PANE, PROPOSED, ("j", "j", "j", "K")),
    Picture("panes/export", PANE, PROPOSED, ("W",)),
    Picture("panes/help", (104, 36), PROPOSED, ("question_mark",)),
    Picture("campaign", LARGE, PROPOSED, ("Q",)),
    Picture("panes/next", LARGE, PROPOSED, ("Q", "4")),
    Picture("retry", LARGE, RETRIED, ("6", "9")),
    Picture("panes/history", PANE, RETRIED, ("H",)),
    Picture("panes/compare", LARGE, BEFORE, ("c", "N", "c")),
)
"""In the order in which the app goes through them: runs that are folded away at first come late."""

HUNKS = Picture("panes/hunks", LARGE, EDITED, ("2", "z", "right_curly_bracket"))
"""Drawn once its rule is active and was edited after that, so that there are two texts to compare."""

_EDIT = {'"256\\010"': '"4096\\010"', "content, 420)": "content, 292)"}
"""What an analyst might change in the rule of HUNKS: texts to what takes their place."""


async def _pictures(workspace: Path) -> AsyncIterator[tuple[str, str]]:
    """Yield the name and the SVG of each picture."""
    from triage_tui.retry.actions import LocalActions
    from triage_tui.retry.workspace import Workspace
    from triage_tui.ui.app import TriageApp

    actions = LocalActions(Workspace.at(str(workspace)))
    app = TriageApp(workspace, actions=actions)
    async with app.run_test(size=LARGE) as pilot:
        for picture in PICTURES:
            yield picture.name, await _taken(app, pilot, picture)
        run = next(path for path in (workspace / "ai_runs").iterdir() if path.name.endswith(HUNKS.run))
        (rule,) = (run / "rules_patch").glob("fix/syscall/*.lua")
        relpath = str(rule.relative_to(run / "rules_patch"))
        actions.approve(run.name, [relpath])
        text = rule.read_text()
        for before, after in _EDIT.items():
            text = text.replace(before, after)
        actions.save_edit(run.name, relpath, text)
        yield HUNKS.name, await _taken(app, pilot, HUNKS)


async def _taken(app: TriageApp, pilot: Pilot[None], picture: Picture) -> str:
    while len(app.screen_stack) > 1:
        app.pop_screen()
    await pilot.resize_terminal(*picture.size)
    app.theme = picture.theme
    await _open(app, pilot, picture.run)
    for key in picture.keys:
        await pilot.press(key)
        await _still(app, pilot)
    app.clear_notifications()
    svg = await _still(app, pilot)
    if "z" in picture.keys:
        app.main.action_zoom()
    return _same_everywhere(svg, picture.name)


async def _open(app: TriageApp, pilot: Pilot[None], run: str) -> None:
    """Show a run as it is shown when it is opened, whatever was looked at before."""
    main = app.main
    for _ in range(_PATIENCE):
        known = [one.run_id for one in main.run_list.runs if one.run_id.endswith(run)]
        if main.tiles and known:
            break
        await pilot.pause(0.02)
    else:
        raise RuntimeError(f"run {run} is not listed")
    for name in ("syscalls", "backtrace", "memory"):
        # In each tile the pane that is in front at the start, whatever pane earlier pictures are of.
        main.show_pane(name)
    main.open_run(known[0])
    main.show_pane("diagnosis")
    for _ in range(_PATIENCE):
        panes = [pane for tile in main.tiles for pane in tile.panes]
        if main.view and main.view.run_id == known[0] and all(pane.view is main.view for pane in panes):
            break
        await pilot.pause(0.02)
    else:
        raise RuntimeError(f"run {known[0]} is not shown")
    await _still(app, pilot)


async def _still(app: TriageApp, pilot: Pilot[None]) -> str:
    """Wait until threads have nothing left to show and the screen no longer changes; return it as SVG."""
    before = ""
    for _ in range(_PATIENCE):
        await pilot.pause()
        patch = app.main.patch
        awaited = patch.display and app.main.view is not None and app.main.view.rules and not patch.insights
        if not awaited and not any(worker.is_running for worker in app.workers):
            svg = app.export_screenshot(title="triage-tui", simplify=True)
            # A campaign is read by a thread of its own.
            if svg == before and not re.search(r"Reading\W+(?:#160;)?the", svg):
                return svg
            before = svg
        await asyncio.sleep(_CALM_S)
    raise RuntimeError("the screen does not come to rest")


def _same_everywhere(svg: str, name: str) -> str:
    """Return a picture without what depends on the drawing, and without fonts from elsewhere."""
    svg = re.sub(r"terminal-\d+", f"terminal-{name.replace('/', '-')}", svg)
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    # Twenty pixels are a little narrow for the second font where a drawing program does not stretch texts.
    svg = svg.replace("font-size: 20px", "font-size: 20.26px")
    # Without this some drawing programs drop the blanks at the ends of each text.
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
    svg = svg.replace(
        "font-family: Fira Code, monospace", "font-family: Fira Code, DejaVu Sans Mono, monospace"
    )
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


def _draw(destination: Path) -> None:
    """Draw all pictures; the process has the fixed environment, and begins in an empty directory."""

    async def draw() -> None:
        async for name, svg in _pictures(Path(WORKSPACE)):
            path = destination / f"{name}.svg"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, svg)
            print(f"drawn {name}")

    runs = Path(WORKSPACE) / "ai_runs"
    for source in recorded_runs():
        shutil.copytree(source, runs / source.name)
    campaign = json.loads((CAMPAIGN / "campaign.json").read_text())
    shutil.copytree(CAMPAIGN, Path(WORKSPACE) / "campaigns" / campaign["id"])
    asyncio.run(draw())


def draw_all(destination: Path) -> None:
    """Draw all pictures into a directory, in a process of its own that knows nothing of this machine.

    Raises:
        subprocess.CalledProcessError: a picture could not be drawn; what was printed tells why.
    """
    with tempfile.TemporaryDirectory() as scratch:
        fixed = {**_FIXED, "HOME": scratch, "PATH": os.environ.get("PATH", os.defpath)}
        fixed["PYTHONPATH"] = str(HERE.parent)
        command = [sys.executable, "-m", "screenshots.draw", "--here", str(destination.absolute())]
        subprocess.run(command, env=fixed, cwd=scratch, check=True)


def main() -> int:
    """Draw all pictures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m screenshots.draw", description=__doc__)
    parser.add_argument("destination", nargs="?", type=Path, default=HERE, metavar="DIR")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        _draw(args.destination)
    else:
        draw_all(args.destination)
    return 0


if __name__ == "__main__":
    sys.exit(main())
