"""Runs and places that the tests of exports share."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.ui import fixtures
from triage_tui.export.document import Document
from triage_tui.export.exporting import Format, Wanted, export_to, place_in
from triage_tui.export.report import make_report
from triage_tui.runs.reader import load_run

RUN = fixtures.EXIT_RUN


def exported(
    workspace: Path, format: Format = "markdown", run_id: str = RUN, language: str = "", **options: bool
) -> Path:
    """Export a run and return the file; an older one of the same name is replaced."""
    wanted = Wanted(format, language=language, **options)
    directory = workspace / "out"
    directory.mkdir(exist_ok=True)
    path = place_in(directory, run_id, wanted)
    export_to(path, workspace / "ai_runs" / run_id, workspace, wanted, force=True)
    return path


def report(workspace: Path, run_id: str = RUN) -> Document:
    return make_report(load_run(workspace / "ai_runs" / run_id), workspace)


def stopped() -> threading.Event:
    event = threading.Event()
    event.set()
    return event
