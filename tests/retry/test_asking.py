"""Asking the model from the app's process: a child does it, its steps are told, and it can be stopped."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.analyst.conftest import make_run
from tests.analyst.model_server import ModelServer, calls, model_server, says
from triage_tui.errors import Stopped, TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.analysis_model import Progress
from triage_tui.runs.reader import load_run

REPLY = {"hypotheses": [{"cause": "nvram_key", "confidence": 0.5, "title": "a key", "claims": []}]}


def set_up(monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> None:
    monkeypatch.setenv("TRIAGE_TUI_MODEL", "test-model")
    monkeypatch.setenv("TRIAGE_TUI_MODEL_URL", server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_it_asks_tells_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.at(tmp_path)
    run = make_run(workspace.runs_dir)
    actions = LocalActions(workspace)
    cancel = threading.Event()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with pytest.raises(TriageError, match="no model is set up"):
        actions.ask_model(run.run_id, cancel, lambda line: None)
    with model_server() as server:
        set_up(monkeypatch, server)
        server.script = [
            says({"causes": []}),
            calls(("get_registers", {})),
            says({"findings": []}),
            says(REPLY),
        ]
        server.by_phase["propose"] = says({"proposal": None, "reason": "none"})
        lines: list[str] = []
        far: list[Progress] = []
        said = actions.ask_model(run.run_id, cancel, lines.append, far.append)
        assert said == "1 hypothesis and 0 proposals by test-model"
        assert lines.pop(0).startswith("asking test-model at http")
        phases = [line.split(":")[0] for line in lines]
        assert phases == ["classify", "collect", "collect", "collect", "hypothesize", "propose"]
        assert far[-1].phase == "propose"
        assert far[-1].steps + far[-1].steps_left == 40
        assert 0 < far[-1].tokens < far[-1].tokens + far[-1].tokens_left == 120_000
        assert load_run(run.dir).diagnosis.hypotheses[-1].model == "test-model"  # type: ignore[union-attr]

    cancel.set()
    with pytest.raises(Stopped, match="the analysis was stopped"):
        actions.ask_model(run.run_id, cancel, lines.append)
