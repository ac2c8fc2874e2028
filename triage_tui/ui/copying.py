"""Copying what a list shows: a row, what is highlighted, an evidence link, or all; a file when it is long.

Rows are made a slice at a time between other work, because a timeline has a hundred thousand of them and a
view of memory millions.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from triage_tui.runs.files import write_atomic
from triage_tui.text import safe_line, safe_name, shown_line
from triage_tui.ui.copied_secrets import told
from triage_tui.ui.rows import Rows
from triage_tui.ui.terminal_codes import MAX_CLIPBOARD_BASE64, fits_clipboard, understands

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp
    from triage_tui.ui.widgets.line_view import LineView

MAX_FILE_BYTES = 32 << 20
"""Bytes of a copy in a file; what is beyond is left out, and the sentence says so."""
_SLICE_S = 0.008
_PROGRESS_AFTER_S = 0.3


def row_text(rows: Rows, index: int) -> str:
    """Return a row as it is shown, safe, without blanks at its end."""
    return shown_line(rows.row(index).text).rstrip()


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def copies_directory() -> Path:
    """Return where copies that are too long for a clipboard are written."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "triage-tui" / "copies"


def ask_what_to_copy(view: LineView) -> None:
    """Ask what of a list to copy, and copy it."""
    from triage_tui.ui.screens.question import Question

    count = len(view.rows)
    rows = _rows(count)
    answers = [("all", f"All of it: {rows}")]
    if view.marked:
        answers.append(("marked", f"The highlighted part: {_rows(len(view.marked))}"))
    link = view.chosen_link
    if link is not None:
        answers.append(("link", f"The evidence link {safe_line(link, 80)}"))
    answers.append(("file", f"All of it into a file: {rows}"))
    answers.append(("raw", f"All of it as it is, with secrets: {rows}"))

    def answered(answer: str | None) -> None:
        app = cast("TriageApp", view.app)
        match answer:
            case "link" if link is not None:
                app.copy(link, "Link copied.", as_it_is=True)
            case "marked":
                text = "\n".join(row_text(view.rows, index) for index in view.marked)
                app.copy(text, f"{_rows(len(view.marked))} copied.")
            case "all" | "file" | "raw":
                app.run_worker(_copy_all(app, view, answer), group="copy", exclusive=True)

    if count:
        view.app.push_screen(Question("Copy what?", answers), answered)


async def _texts(rows: Rows) -> AsyncIterator[tuple[int, str]]:
    """Yield all rows as text; the app goes on between the slices."""
    end = time.monotonic() + _SLICE_S
    for index in range(len(rows)):
        yield index, row_text(rows, index)
        if time.monotonic() > end:
            await asyncio.sleep(0)
            end = time.monotonic() + _SLICE_S


async def _copy_all(app: TriageApp, view: LineView, how: str) -> None:
    from triage_tui.ui.screens.progress import Progress

    to_file = how == "file"

    rows, name = view.rows, view.id or "rows"
    count, began = len(rows), time.monotonic()
    lines: list[str] = []
    size = 0
    progress = Progress("Copying")
    try:
        async for index, text in _texts(rows):
            lines.append(text)
            size += len(text.encode("utf-8", "replace")) + 1
            if size > (MAX_FILE_BYTES if to_file else MAX_CLIPBOARD_BASE64):
                break
            if index % 1000 == 999 and time.monotonic() - began > _PROGRESS_AFTER_S:
                progress.tell(app, f"{index + 1} of {count} rows")
                if progress.cancel.is_set():
                    app.notify("Nothing was copied.", timeout=3)
                    return
    except Exception as error:
        # Rows that cannot be made (a hostile record) cost the copy, not the review.
        app.notify(f"These rows cannot be copied ({type(error).__name__}).", severity="warning", timeout=5)
        return
    finally:
        progress.close()
    if to_file:
        text, hidden = app.secrets_masked("\n".join(lines))
        app.notify(told(_written(name, text, len(lines), count), hidden), markup=False, timeout=8)
    else:
        app.copy("\n".join(lines), f"{_rows(len(lines))} copied.", as_it_is=how == "raw")


def _written(name: str, text: str, lines: int, count: int) -> str:
    stamp = time.strftime("%Y%m%d_%H%M%S")
    path = copies_directory() / f"{stamp}_{safe_name(name.removeprefix('pane-'))}.txt"
    try:
        write_atomic(path, text + "\n", mode=0o600)
    except OSError as error:
        return f"The copy cannot be written: {error.strerror or error}."
    rows = _rows(count) if lines == count else f"The first {lines} of {count} rows"
    return f"{rows} are in {safe_line(str(path), 300)}."


def refusal(text: str) -> str | None:
    """Return why a terminal would not take `text` into its clipboard, None when it does."""
    if not understands():
        return "This terminal has no clipboard: Y copies into a file."
    if not fits_clipboard(text):
        return "This is more than most terminals take into their clipboard: Y copies it into a file."
    return None
