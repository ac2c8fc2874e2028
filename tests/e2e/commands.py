"""Run the command line as a user does, and wait for what it records."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.waiting import wait_until
from triage_tui.cli.main import main
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.runs.events import read_events
from triage_tui.runs.listing import RunSummary, run_dirs, summarize

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


def triage_here(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command in this process, for what it does and says; no interpreter has to start for that.

    Where signals, pipes, a terminal or what outlives a process are the point, a process of its own is run.
    """
    words = command(workspace, *arguments)[3:]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def last_json(done: subprocess.CompletedProcess[str]) -> Any:
    """Return the one JSON value, or the last, that a command with --json printed."""
    assert done.stdout.strip(), done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def triage_json(workspace: Path, *arguments: str) -> Any:
    """Run one command with --json in this process and return its one JSON value."""
    name, *rest = arguments
    return last_json(triage_here(workspace, name, "--json", *rest))


def triage_lines(workspace: Path, *arguments: str) -> list[Any]:
    """Run one command with --json in this process and return its JSON values, one a line."""
    name, *rest = arguments
    return [json.loads(line) for line in triage_here(workspace, name, "--json", *rest).stdout.splitlines()]


class Watcher:
    """Follows the runs of a workspace: what happens to them is told once, in the order of events."""

    def __init__(self, workspace: Path) -> None:
        self._runs_dir = workspace / "ai_runs"
        self._told: dict[str, int] = {}

    def _new(self) -> Iterator[tuple[str, RunSummary]]:
        """Yield the kind of each event that was not told yet, and how its run stands now."""
        for run_dir in reversed(run_dirs(self._runs_dir)):
            told = self._told.setdefault(run_dir.name, 0)
            for event in read_events(run_dir)[0][told:]:
                self._told[run_dir.name] += 1
                yield event.kind, summarize(run_dir)

    def until(self, kind: str, **wanted: object) -> RunSummary:
        """Wait for the next event of this kind after which its run has these values; return the run."""
        found: list[RunSummary] = []

        def came() -> bool:
            for happened, run in self._new():
                if happened == kind and all(getattr(run, key) == value for key, value in wanted.items()):
                    found.append(run)
                    return True
            return False

        wait_until(came, lambda: f"a run that came to {kind} {wanted}")
        return found[0]

    def until_waiting(self, **wanted: object) -> RunSummary:
        """Return the next run that begins to wait for a decision; each is told once."""
        return self.until("waiting", waiting=True, **wanted)


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
