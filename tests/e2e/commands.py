"""Run the command line as a user does, and wait for what it records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.waiting import wait_until
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations

TIMEOUT = 120
"""Seconds after which a command counts as hung; no test depends on how long one takes."""


def triage(
    workspace: Path, *arguments: str, env: dict[str, str] | None = None, timeout: float = TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run one command and return what it said."""
    return subprocess.run(
        command(workspace, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        check=False,
    )


def command(workspace: Path, *arguments: str) -> list[str]:
    """Return the command line; the workspace is given right after the command's name."""
    name, *rest = arguments
    return [sys.executable, "-m", "triage_tui", name, "-C", str(workspace), *rest]


def triage_json(workspace: Path, *arguments: str) -> Any:
    """Run one command with --json and return its one JSON value."""
    name, *rest = arguments
    done = triage(workspace, name, "--json", *rest)
    assert done.stdout.strip(), done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def triage_lines(workspace: Path, *arguments: str) -> list[Any]:
    """Run one command with --json and return its JSON values, one a line."""
    name, *rest = arguments
    return [json.loads(line) for line in triage(workspace, name, "--json", *rest).stdout.splitlines()]


class Watcher:
    """Follow `triage-tui watch --json`: an event for each change, so that no test polls or sleeps."""

    def __init__(self, workspace: Path) -> None:
        self._process = subprocess.Popen(
            command(workspace, "watch", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        assert "watching" in self._process.stderr.readline()

    def until(self, **wanted: object) -> dict[str, Any]:
        """Return the first change that has these values."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            entry: dict[str, Any] = json.loads(line)
            if all(entry[key] == value for key, value in wanted.items()):
                return entry
        raise AssertionError(f"watch ended before {wanted}")

    def until_waiting(self, **wanted: object) -> dict[str, Any]:
        """Return where the next run begins to wait for a decision; a run has one such line."""
        while True:
            entry = self.until(waiting=True, **wanted)
            if entry["event"] is not None and entry["event"]["kind"] == "waiting":
                return entry

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


def processes_with(text: str) -> list[str]:
    """Return the command lines of living processes that mention `text`, this one and zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if text in line:
                found.append(line)
    return found


def processes_with_variable(name: str, value: str) -> list[str]:
    """Return the pids of living processes that have this environment variable, zombies left out."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if wanted in variables:
                found.append(entry.name)
    return found


def best(run: dict[str, Any]) -> dict[str, Any]:
    """Return the first hypothesis of a round or shown run."""
    hypothesis: dict[str, Any] = run["diagnosis"]["hypotheses"][0]
    return hypothesis


def start_in_background(
    workspace: Path, rootfs: Path, argv: Sequence[str], *options: str
) -> subprocess.Popen[str]:
    """Start `triage-tui run` and return it while it runs."""
    return subprocess.Popen(
        command(workspace, "run", *options, "--rootfs", str(rootfs), argv[0], *argv[1:]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_gone(marker: str) -> None:
    """Wait until no process mentions `marker`; the kernel ends them, so there is nothing else to wait on."""
    wait_until(lambda: not processes_with(marker), lambda: f"the end of {processes_with(marker)}")


def read_when_there(path: Path) -> Any:
    """Return the JSON value of a file, which is written whole, once it is there."""
    wait_until(path.exists, lambda: path)
    return json.loads(path.read_text())


def wait_for_line(path: Path, text: str) -> None:
    """Wait until a file that grows has a line with `text`."""
    wait_until(
        lambda: path.exists() and text in path.read_text(errors="replace"), lambda: f"{text!r} in {path}"
    )


def activate_unchecked(workspace: Path, run_id: str, rule: Path) -> None:
    """Make a rule of a run active that no approval lets pass, as one of an older version may be."""
    place = Workspace.at(str(workspace))
    target = place.load(run_id).snapshot.target.target_id
    name = f"syscall/{rule.name}"
    generations.activate(
        place.rulebook_dir(target), add={name: rule.read_bytes()}, actor="test", reason="old"
    )
