"""A model server, and a run that it is asked about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.analyst.model_server import KEY, ModelServer, model_server
from tests.runs import build
from triage_tui.analyst.settings import Key, ModelSettings
from triage_tui.diagnosis.report import diagnose, write_report
from triage_tui.proposals.build import propose
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run, load_run

SECRET = "correct-horse-battery"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in (
        "TRIAGE_TUI_MODEL",
        "TRIAGE_TUI_MODEL_URL",
        "TRIAGE_TUI_MODEL_KEY",
        "TRIAGE_TUI_MODEL_BUDGET",
    ):
        monkeypatch.delenv(name, raising=False)
    with model_server() as running:
        yield running


@pytest.fixture
def settings(server: ModelServer) -> ModelSettings:
    return ModelSettings("test-model", url=server.url, key=Key(KEY))


def make_run(runs_dir: Path, *further: Syscall) -> Run:
    """A run that failed on a missing file, diagnosed and with rules proposed."""
    calls = [
        build.failed_open(3, "/etc/x.conf"),
        *further,
        Syscall(seq=9, name="write", arguments=["2", "0x1000", "17"], ret=17),
        Syscall(seq=10, name="exit_group", arguments=["1"]),
    ]
    run = load_run(build.write_run(runs_dir, calls))
    diagnosis = diagnose(run)
    diagnosis.proposals = propose(run, diagnosis)
    write_report(run, diagnosis)
    (run.dir / "environment.json").write_text(f'{{"2": ["WIFI_PASSWORD={SECRET}"]}}')
    return load_run(run.dir)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "ai_runs")
