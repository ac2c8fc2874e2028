"""Export one run in one of the formats, into a file or a stream."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import msgspec

from triage_tui.errors import Stopped
from triage_tui.export.placing import make_directory, place_file
from triage_tui.language.catalogue import ENGLISH
from triage_tui.language.choice import wanted_language
from triage_tui.runs.reader import load_run
from triage_tui.runs.redaction import Redaction

Format = Literal["markdown", "html", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
ENDINGS: dict[Format, str] = {"markdown": ".md", "html": ".html", "json": ".zip"}
EXPORTS_DIR = "exports"
"""Directory in the workspace to which is exported when nothing else is said."""

Progress = Callable[[int, int], None]
"""Is told how many of how many steps are done."""


class Wanted(msgspec.Struct, frozen=True):
    """What to export, and how."""

    format: Format = "markdown"
    memory: bool = False
    """JSON: take the recorded memory objects along."""
    keep_secrets: bool = False
    """Mask nothing."""
    language: str = ""
    """Of Markdown and HTML, its code; by default the one that is configured."""


def write_export(
    run_dir: Path,
    workspace: Path,
    wanted: Wanted,
    stream: BinaryIO,
    cancel: threading.Event | None = None,
    progress: Progress = lambda done, total: None,
) -> int:
    """Write a run to a stream that can be sought; return in how many places secrets were masked.

    Raises:
        Stopped: `cancel` was set.
        TriageError: the run cannot be read.
    """

    def step(done: int, total: int) -> None:
        if cancel is not None and cancel.is_set():
            raise Stopped(f"the export of run {run_dir.name} was stopped")
        progress(done, total)

    step(0, 1)
    run = load_run(run_dir)
    redaction = Redaction.of(run, off=wanted.keep_secrets)
    if wanted.format == "json":
        from triage_tui.export.bundle import write_bundle

        write_bundle(run, stream, memory=wanted.memory, redaction=redaction, step=step)
        return redaction.count
    from triage_tui.export.report import make_report
    from triage_tui.runs.masked_memory import learn_from_memory

    learn_from_memory(run, redaction)
    language = wanted_language(wanted.language)
    document = make_report(run, workspace, redaction, step)
    if language.code != ENGLISH:
        from triage_tui.export.translating import translated

        document = translated(document, language)
    if wanted.format == "html":
        from triage_tui.export.html import render_html as render
    else:
        from triage_tui.export.markdown import render_markdown as render
    stream.write(render(document, language).encode("utf-8", "backslashreplace"))
    return redaction.count


def export_to(
    path: Path,
    run_dir: Path,
    workspace: Path,
    wanted: Wanted,
    *,
    force: bool = False,
    cancel: threading.Event | None = None,
    progress: Progress = lambda done, total: None,
) -> int:
    """Write a run to the file `path`, whole or not at all; return how many places were masked.

    Raises:
        Stopped: `cancel` was set; nothing was written.
        TriageError: the run cannot be read, or the file not written.
    """

    masked = 0

    def write(stream: BinaryIO) -> None:
        nonlocal masked
        masked = write_export(run_dir, workspace, wanted, stream, cancel, progress)

    place_file(path, write, force=force, private=wanted.keep_secrets)
    return masked


def place_in(directory: Path, run_id: str, wanted: Wanted) -> Path:
    """Return the file in `directory` to which a run is exported."""
    return directory / f"{run_id}{ENDINGS[wanted.format]}"


def exports_directory(workspace: Path) -> Path:
    """Return the directory for exports in a workspace, made if it was not there.

    Raises:
        TriageError: it is a link, or cannot be made.
    """
    directory = workspace / EXPORTS_DIR
    make_directory(directory)
    return directory
