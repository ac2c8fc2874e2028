"""Draw the screenshots of this directory from real runs: `make screenshots`.

A real program fails under supervision in a scratch workspace, and the app is opened on its frozen guest, on
the proposed rule, and on the run that followed. The scratch directory takes the place of the home directory,
so that the pictures show ~/router and not where they were made.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

from triage_tui.retry.actions import LocalActions
from triage_tui.retry.policy import Limits
from triage_tui.retry.rounds import run_story
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.files import write_atomic
from triage_tui.setup import ensure_program, ensure_qemu, known_programs
from triage_tui.ui.app import TriageApp

HERE = Path(__file__).resolve().parent
PROGRAM = "udhcpc-mipsel"
LARGE, PANE = (140, 42), (100, 30)


class Picture(NamedTuple):
    """One picture: file name, terminal size in cells, keys, theme."""

    name: str
    size: tuple[int, int]
    keys: tuple[str, ...]
    theme: str = "triage-dark"


FROZEN = (
    Picture("diagnosis", LARGE, ()),
    Picture("patch", LARGE, ("2", "z")),
    Picture("syscalls", LARGE, ("3", "z")),
    Picture("panes/light", LARGE, ("2",), "triage-light"),
    Picture("panes/runs", PANE, ("0",)),
    Picture("panes/backtrace", PANE, ("4",)),
    Picture("panes/code", PANE, ("5",)),
    Picture("panes/registers", PANE, ("6",)),
    Picture("panes/memory", PANE, ("7",)),
    Picture("panes/process", PANE, ("8",)),
    Picture("panes/help", (100, 36), ("question_mark",)),
)
"""Drawn while the guest is frozen."""

RETRIED = (Picture("retry", LARGE, ("9",)),)
"""Drawn of the run that followed."""


async def _draw(workspace: Workspace, picture: Picture) -> str:
    app = TriageApp(workspace.root, actions=LocalActions(workspace), theme=picture.theme)
    async with app.run_test(size=picture.size) as pilot:
        while not (app.main.tiles and app.main.view is not None):
            await pilot.pause(0.02)
        await pilot.pause()
        for key in picture.keys:
            await pilot.press(key)
            await pilot.pause()
        while app.main.patch.display and app.main.view.rules and not app.main.patch.insights:
            await pilot.pause(0.02)
        svg = app.export_screenshot(title="triage-tui")
    # Rich names classes after a random number; a fixed name keeps unchanged pictures byte for byte the same.
    return re.sub(r"terminal-\d+", f"terminal-{picture.name.replace('/', '-')}", svg)


def draw(workspace: Workspace, pictures: tuple[Picture, ...]) -> None:
    """Open the app for each picture, press its keys, and write it as SVG."""
    for picture in pictures:
        path = HERE / f"{picture.name}.svg"
        write_atomic(path, asyncio.run(_draw(workspace, picture)))
        print(f"drawn {path.relative_to(HERE)}")


def main() -> int:
    """Draw all pictures; returns the exit code."""
    qemu = ensure_qemu(print)
    source = ensure_program(PROGRAM, print)
    argv = list(known_programs()[PROGRAM].argv)
    frozen, cancel = threading.Event(), threading.Event()

    def listen(line: str) -> None:
        if line.startswith("frozen"):
            frozen.set()

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "router"
        shutil.copytree(source, root / "rootfs", symlinks=True)
        os.environ["TRIAGE_TUI_QEMU_DIR"] = str(qemu)
        os.environ["HOME"] = scratch
        start = Start(
            program=argv[0],
            argv=argv,
            rootfs=str(root / "rootfs"),
            env={"PATH": "/sbin:/bin"},
        )
        workspace = Workspace.at(str(root))
        supervisor = threading.Thread(
            target=run_story, args=(workspace, start), kwargs={"narrate": listen, "cancel": cancel}
        )
        supervisor.start()
        try:
            if not frozen.wait(60):
                raise RuntimeError("the program was not frozen within a minute")
            draw(workspace, FROZEN)
        finally:
            cancel.set()
            supervisor.join()
        run_story(workspace, start, policy="auto", limits=Limits(rounds=2), narrate=print)
        draw(workspace, RETRIED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
