"""Printing for commands: data on standard output, narration on standard error, both safe to show."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.cli.streams import narrate
from triage_tui.cli.wrapping import cells as cells_of
from triage_tui.cli.wrapping import padded, wrap
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.listing import RunSummary
from triage_tui.text import number_of, safe_line


def print_json(value: Any) -> None:
    """Print `value` as one line of JSON, with everything beyond ASCII escaped (safe for a terminal)."""
    text = encode_line(value, enc_hook=str).decode()
    print("".join(c if " " <= c < "\x7f" else _json_escape(c) for c in text), flush=True)


def summary_fields(summary: RunSummary, runs_dir: Path) -> dict[str, Any]:
    """Return what a list knows of one run as fields of a JSON object, with the directory of the run."""
    fields = msgspec.structs.asdict(summary)
    return {"run_id": fields.pop("run_id"), "dir": runs_dir / summary.run_id, **fields}


def _json_escape(char: str) -> str:
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def best_cause(diagnosis: Diagnosis | None) -> str:
    """Return the most likely cause with its confidence, "-" when there is none."""
    if diagnosis is None or not diagnosis.hypotheses:
        return cause_in_words("", 0.0)
    return cause_in_words(diagnosis.hypotheses[0].cause, diagnosis.hypotheses[0].confidence)


def cause_in_words(cause: str, confidence: float) -> str:
    """Return a cause with its confidence, "-" for none."""
    return f"{cause} {confidence:.2f}" if cause else "-"


def say(text: str) -> None:
    """Print one line of narration, if anybody reads it."""
    narrate(safe_line(text))


def add_language(parser: argparse.ArgumentParser) -> None:
    """Declare the option that says in which language something is written."""
    parser.add_argument(
        "--lang",
        metavar="CODE",
        help="language of our own sentences: en, zh, or another that has a file in lang/ of the rules"
        " (default: $TRIAGE_TUI_LANG, else `language` in settings.yaml, else en)",
    )


def say_masked(count: int) -> None:
    """Tell how many secrets were masked in what was written."""
    if count:
        say(f"{number_of(count, 'secret was', 'secrets were')} masked.")


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print rows in aligned columns; every cell is made safe."""
    cells = [[safe_line(cell, 200) for cell in row] for row in [header, *rows]]
    widths = [max(cells_of(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        print("  ".join(padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_line(text: str = "") -> None:
    """Print one line of raw text, safe to show."""
    print(safe_line(text, 600))


def print_wrapped(text: str, first: str = "", rest: str | None = None) -> None:
    """Print `text` behind `first`, further lines behind `rest` (by default as many spaces)."""
    width = max(40, shutil.get_terminal_size((80, 24)).columns)
    rest = " " * len(first) if rest is None else rest
    lines = wrap(safe_line(text, 4000), max(20, width - len(rest)))
    for number, line in enumerate(lines or [""]):
        print(f"{rest if number else first}{line}".rstrip())
