"""Draw the screenshots of this directory from real runs: `make screenshots`.

A real program fails under supervision in a scratch workspace, and the app is opened on its frozen guest, on
the proposed rule, and on the run that followed.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from pathlib import Path

from triage_tui.retry.actions import LocalActions
from triage_tui.retry.rounds import run_story
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.setup import ensure_program, ensure_qemu, known_programs
from triage_tui.ui.app import TriageApp

HERE = Path(__file__).resolve().parent
PROGRAM = "udhcpc-mipsel"
SIZE = (140, 42)


async def draw(workspace: Workspace, pictures: dict[str, list[str]]) -> None:
    """Open the app, press the keys of each picture in turn, and write it as SVG."""
    app = TriageApp(workspace.root, actions=LocalActions(workspace))
    async with app.run_test(size=SIZE) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        for name, keys in pictures.items():
            await pilot.press(*keys)
            await app.workers.wait_for_complete()
            await pilot.pause()
            (HERE / f"{name}.svg").write_text(
                app.export_screenshot(title=f"triage-tui: {name}"), encoding="utf-8"
            )
            print(f"drawn {HERE / name}.svg")


def main() -> int:
    """Draw all pictures; returns the exit code."""
    ensure_qemu(print)
    rootfs = ensure_program(PROGRAM, print)
    argv = list(known_programs()[PROGRAM].argv)
    start = Start(program=argv[0], argv=argv, rootfs=str(rootfs), env={"PATH": "/sbin:/bin"})
    frozen, cancel = threading.Event(), threading.Event()

    def listen(line: str) -> None:
        if line.startswith("frozen"):
            frozen.set()

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "router"
        root.mkdir()
        workspace = Workspace.at(str(root))
        supervisor = threading.Thread(
            target=run_story, args=(workspace, start), kwargs={"narrate": listen, "cancel": cancel}
        )
        supervisor.start()
        try:
            if not frozen.wait(60):
                raise RuntimeError("the program was not frozen within a minute")
            asyncio.run(draw(workspace, {"diagnosis": [], "patch": ["2", "z"], "syscalls": ["z", "3", "z"]}))
        finally:
            cancel.set()
            supervisor.join()
        run_story(workspace, start, policy="auto", narrate=print)
        asyncio.run(draw(workspace, {"retry": ["9"]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
