"""A program that SFEmu stopped and that waits: a real Lua process with the plugin of this project."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.sfemu import records, scenes
from tests.sfemu.lua_host import LuaHost
from triage_tui.resources import shipped

_OWN = Path(__file__).parent / "waiting_rules"
_ROOT = Path(__file__).parents[2]
_SCENES = {"exit": "exit", "deadloop": "deadloop", "idle_deadloop": "idle"}
LOOP = ["entry", "loop", 5, 0, 0, 0, 0, 0, 0, 0, 0]
EXIT = ["entry", "exit_group", 248, 0, 0, 0, 0, 0, 0, 0, 0]
IDLE = ["idle", 0x1B0F4, 5000, 4, 9]


def make_rules(root: Path, version: int = 6, config: str = "") -> Path:
    """Make a rule directory that pauses, with the plugin in it; return its name."""
    rules = records.rules_directory(root, version, f"SFEMU_TRIAGE_POLL_MS=50\n{config}")
    shutil.copytree(_OWN, rules, dirs_exist_ok=True)
    plugin = rules / "plugins" / "triage_tui"
    plugin.mkdir()
    shutil.copy(shipped("rules") / "lua" / "sfemu" / "decide.lua", plugin)
    return rules


def home_of(rules: Path, version: int = 6) -> Path:
    """Return where the plugin and this program meet."""
    return rules / records.records_name(version) / "triage_tui"


def define(host: LuaHost, rules: Path) -> None:
    """Give the host what stands for the record that SFEmu's base/ai.lua writes."""
    taken = 0

    def record_stop(reason: str) -> tuple[str, str]:
        nonlocal taken
        taken += 1
        scene = scenes.SCENES[_SCENES[reason]]()
        run_dir = records.write_run(rules, scene, host.version, number=taken)
        return run_dir.name, str(run_dir)

    host.define("record_stop", record_stop)


class Stopped:
    """The process, and what it said so far. To be used as a context manager, which ends it."""

    def __init__(self, rules: Path, version: int = 6, machine: str = "arm", **environment: str) -> None:
        command = [sys.executable, "-m", "tests.sfemu.lua_host", str(rules), "--version", str(version)]
        self.process = subprocess.Popen(
            [*command, "--machine", machine, "--define", "tests.sfemu.stopped:define"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT), **environment},
            start_new_session=True,
        )
        self.said: list[dict[str, Any]] = []
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.until("ready")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def call(self, hook: list[Any]) -> None:
        """Have it called: `LOOP`, `EXIT` or `IDLE`."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(hook).encode() + b"\n")
        self.process.stdin.flush()

    def until(self, event: str, text: str = "") -> dict[str, Any]:
        """Wait until it says something, and return that."""
        while line := self._lines.get(timeout=60):
            self.said.append(json.loads(line))
            if self.said[-1]["event"] == event and text in str(self.said[-1].get("text", "")):
                return self.said[-1]
        raise AssertionError(f"it ended without {event} {text}: {self.said}")

    def waits(self) -> None:
        """Wait until it announced itself."""
        self.until("log", "waits: ")

    def logged(self) -> str:
        """Return all that it logged so far."""
        return "\n".join(one["text"] for one in self.said if one["event"] == "log")

    def ended(self) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(60)

    def __enter__(self) -> Stopped:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
