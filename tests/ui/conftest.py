"""Workspaces and apps for the tests of the terminal application."""

from __future__ import annotations

import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.ui import fixtures
from tests.waiting import PATIENCE_S
from triage_tui.errors import TriageError
from triage_tui.export.exporting import Wanted
from triage_tui.rulebook.choices import Approval
from triage_tui.runs.analysis_model import Progress
from triage_tui.ui.app import TriageApp
from triage_tui.ui.backend import Decision
from triage_tui.ui.containment import Reports

Call = tuple[str, ...]


@dataclass
class RecordedActions:
    """Actions kept in memory: what was asked for, in order; `refuse` makes each fail with that sentence."""

    calls: list[Call] = field(default_factory=list)
    refuse: str | None = None
    hold: bool = False
    """Whether decompiling lasts until it is cancelled."""

    def _note(self, *call: str) -> str:
        self.calls.append(call)
        if self.refuse is not None:
            raise TriageError(self.refuse)
        return f"{call[0]} was recorded"

    def approve(self, run_id: str, files: list[str], seen: str = "", *, anyway: bool = False) -> str:
        return self._note("approve", run_id, *files)

    def approve_shown(self, run_id: str, approvals: Sequence[Approval], *, anyway: bool = False) -> str:
        names = [approval.name for approval in approvals]
        return self._note("approve", run_id, *names, *(["anyway"] if anyway else []))

    def approve_smaller(self, run_id: str, proposal_id: str) -> str:
        return self._note("approve_smaller", run_id, proposal_id)

    def counterfactual(
        self, run_id: str, files: Sequence[str], cancel: threading.Event, tell: Callable[[str], None]
    ) -> str:
        tell("it runs for 2 s")
        return self._note("counterfactual", run_id, *files)

    def drop(self, run_id: str, names: Sequence[str], reason: str) -> str:
        return self._note("drop", run_id, *names, reason)

    def reconsider(self, run_id: str) -> str:
        return self._note("reconsider", run_id)

    def reject(self, run_id: str, reason: str, seen: str = "") -> str:
        return self._note("reject", run_id, reason)

    def undo_approval(self, run_id: str) -> str:
        return self._note("rollback", run_id)

    def rollback(self, run_id: str, seen: int | None = None) -> str:
        return self._note("rollback", run_id)

    def go_to_generation(self, target: str, number: int, reason: str = "", seen: int | None = None) -> str:
        return self._note("go_to_generation", target, str(number), reason)

    def import_pack(self, path: Path, sha256: str, *, unsigned: bool = False) -> str:
        return self._note("import_pack", path.name, sha256, *(["unsigned"] if unsigned else []))

    def propose_pack(self, run_id: str, name: str) -> str:
        return self._note("propose_pack", run_id, name)

    def save_edit(self, run_id: str, relpath: str, text: str, expect: str | None = None) -> str:
        return self._note("save_edit", run_id, relpath, text)

    def decide(self, run_id: str, action: Decision) -> str:
        return self._note("decide", run_id, action)

    def retry(self, run_id: str, *, checkpoint: bool = False) -> str:
        return self._note("retry", run_id, *(["checkpoint"] if checkpoint else []))

    def await_retry(self, run_id: str, unwanted: threading.Event) -> str:
        return "this changes nothing"

    def stop_retry(self, run_id: str) -> str:
        return self._note("stop_retry", run_id)

    def freeze(self) -> str:
        return self._note("freeze")

    def ask_model(
        self,
        run_id: str,
        cancel: threading.Event,
        tell: Callable[[str], None],
        watch: Callable[[Progress], None],
    ) -> str:
        return self._note("ask_model", run_id)

    def add_log(self, run_id: str, path: Path) -> str:
        return self._note("add_log", run_id, str(path))

    def note_point(self, run_id: str, tool: str, texts: dict[str, str]) -> str:
        return self._note("note_point", run_id, tool, *sorted(texts.values()))

    def begin_rollout(self, run_id: str, file: str) -> str:
        return self._note("begin_rollout", run_id, file)

    def promote_rollout(self, rollout: str, anyway: str = "") -> str:
        return self._note("promote_rollout", rollout, anyway)

    def stop_rollout(self, rollout: str, reason: str) -> str:
        return self._note("stop_rollout", rollout, reason)

    def renew_rules(self, target_id: str) -> str:
        return self._note("renew_rules", target_id)

    def export(
        self,
        run_ids: Sequence[str],
        wanted: Wanted,
        directory: Path | None,
        cancel: threading.Event,
        tell: Callable[[str], None],
    ) -> str:
        return self._note("export", *run_ids)

    def diagnose(self, run_id: str) -> str:
        return self._note("diagnose", run_id)

    def experiment(
        self, run_id: str, wanted: str, cancel: threading.Event, tell: Callable[[str], None]
    ) -> str:
        said = self._note("experiment", run_id, wanted)
        tell("run it again")
        if self.hold:
            cancel.wait(PATIENCE_S)
            raise TriageError("the experiment was stopped, and nothing of it is kept")
        return said

    def read_memory(self, run_id: str, address: int) -> str:
        return self._note("read_memory", run_id, f"{address:#x}")

    def decompile(self, run_id: str, frame: int, cancel: threading.Event) -> str:
        said = self._note("decompile", run_id, str(frame))
        if self.hold:
            cancel.wait(PATIENCE_S)
            raise TriageError("the decompiler was stopped")
        return said


@pytest.fixture(autouse=True)
def _no_user_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(autouse=True)
def contained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Errors that the app contained: a test that makes none on purpose has none; one that does clears it."""
    found: list[str] = []

    def write(what: str, error: Exception) -> str:
        found.append(f"{what}: {error!r}\n{''.join(traceback.format_tb(error.__traceback__))}")
        return "Please report it with /tmp/report.txt"

    monkeypatch.setattr(Reports, "_write", staticmethod(write))
    yield found
    assert not found, "the app contained errors:\n" + "\n".join(found)


@pytest.fixture(scope="session")
def six_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with six runs, to be copied; never write to it."""
    return fixtures.make_workspace(tmp_path_factory.mktemp("six") / "demo")


@pytest.fixture
def workspace(six_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with six runs; its path is relative, so that pictures do not depend on where tests run."""
    shutil.copytree(six_runs, tmp_path / "demo", copy_function=shutil.copy)
    monkeypatch.chdir(tmp_path)
    return Path("demo")


@pytest.fixture
def actions() -> RecordedActions:
    return RecordedActions()


@pytest.fixture
def app(workspace: Path, actions: RecordedActions) -> TriageApp:
    return TriageApp(workspace, actions=actions)


async def until(pilot: Pilot[None], condition: Callable[[], object], what: str = "") -> None:
    """Let the app work until `condition` holds; fail when it does not come."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        await pilot.pause(0.02)
        if condition():
            return
        assert time.monotonic() < deadline, f"this did not come: {what or condition}"


async def opened(pilot: Pilot[None], run_id: str = fixtures.EXIT_RUN) -> TriageApp:
    """Wait until the first run is shown."""
    app = pilot.app
    assert isinstance(app, TriageApp)
    await until(
        pilot,
        lambda: (
            app.main.tiles
            and app.main.view
            and app.main.pane("diagnosis").view
            and app.main.view.run_id == run_id
        ),
        f"run {run_id} on screen",
    )
    await pilot.pause()
    return app


def shown(app: TriageApp) -> str:
    """Return the whole screen as text, row by row."""
    width, height = app.size
    lines = []
    for strip in app.screen._compositor.render_strips()[:height]:
        lines.append("".join(segment.text for segment in strip)[:width])
    return "\n".join(lines)


def said(app: TriageApp) -> str:
    """Return the sentences that were shown as notifications."""
    return "\n".join(notification.message for notification in app._notifications)
