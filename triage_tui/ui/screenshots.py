"""Make the pictures of the documentation from real runs: `python -m triage_tui.ui.screenshots`.

    python -m triage_tui.ui.screenshots [--workspace DIR] [--to screenshots/panes] [--run RUN_ID]

Each picture is what the app draws for the runs of the workspace, at a fixed size, after fixed keys. Nothing
can be changed by it: the app is opened read-only.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from pathlib import Path
from typing import NamedTuple

from textual.pilot import Pilot

from triage_tui.errors import TriageError
from triage_tui.runs.files import write_atomic
from triage_tui.runs.listing import list_runs
from triage_tui.ui.app import RUNS_DIR, TriageApp

_PATIENCE = 500
_STEP_S = 0.02


class Picture(NamedTuple):
    """One picture: file name, terminal size in cells, theme, keys."""

    name: str
    size: tuple[int, int]
    theme: str
    keys: tuple[str, ...]


PICTURES: tuple[Picture, ...] = (
    Picture("main", (160, 48), "triage-dark", ("1",)),
    Picture("main-light", (160, 48), "triage-light", ("2",)),
    Picture("runs", (100, 30), "triage-dark", ("0",)),
    Picture("diagnosis", (100, 30), "triage-dark", ("1",)),
    Picture("patch", (100, 36), "triage-dark", ("2",)),
    Picture("syscalls", (100, 30), "triage-dark", ("3",)),
    Picture("backtrace", (100, 30), "triage-dark", ("4",)),
    Picture("code", (100, 30), "triage-dark", ("5",)),
    Picture("registers", (100, 30), "triage-dark", ("6",)),
    Picture("memory", (100, 30), "triage-dark", ("7",)),
    Picture("process", (100, 30), "triage-dark", ("8",)),
    Picture("retry", (100, 30), "triage-dark", ("9",)),
    Picture("help", (100, 36), "triage-dark", ("question_mark",)),
)


async def _settled(pilot: Pilot[None], app: TriageApp, run_id: str) -> None:
    for _ in range(_PATIENCE):
        await pilot.pause(_STEP_S)
        if app.main.tiles and app.main.view is not None and app.main.view.run_id == run_id:
            await pilot.pause()
            return
    raise TriageError(f"run {run_id} was not on the screen in time, so no picture was made")


async def draw(workspace: Path, run_id: str, picture: Picture) -> str:
    """Return the SVG text of one picture.

    Raises:
        TriageError: the run did not come on the screen.
    """
    app = TriageApp(workspace, read_only=True, theme=picture.theme, open_run=run_id)
    async with app.run_test(size=picture.size) as pilot:
        await _settled(pilot, app, run_id)
        for key in picture.keys:
            await pilot.press(key)
            await pilot.pause()
        svg = app.export_screenshot(title="triage-tui")
    # Rich names classes after a random number; a fixed name keeps unchanged pictures byte for byte the same.
    return re.sub(r"terminal-\d+", f"terminal-{picture.name}", svg)


def main(arguments: list[str] | None = None) -> int:
    """Make all pictures; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m triage_tui.ui.screenshots", description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path())
    parser.add_argument("--to", type=Path, default=Path("screenshots/panes"))
    parser.add_argument("--run", help="the run to show; the newest by default")
    options = parser.parse_args(arguments)
    runs = [run.run_id for run in list_runs(options.workspace / RUNS_DIR) if run.program]
    run_id = options.run or (runs[0] if runs else None)
    if run_id not in runs:
        print("triage-tui: there is no such run in this workspace, so no picture was made", file=sys.stderr)
        return TriageError.exit_code
    try:
        for picture in PICTURES:
            svg = asyncio.run(draw(options.workspace, run_id, picture))
            write_atomic(options.to / f"{picture.name}.svg", svg)
            print(options.to / f"{picture.name}.svg")
    except TriageError as error:
        print(f"triage-tui: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
