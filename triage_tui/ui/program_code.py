"""Code of program files as the views show it."""

from __future__ import annotations

from triage_tui.retry.inspecting.recorded_code import ProgramCode
from triage_tui.text import safe_block
from triage_tui.ui.highlight import assembly_lines
from triage_tui.ui.run_view import CodeText


def code_text(found: ProgramCode) -> CodeText:
    """Return a function as lines in colours; for a worker thread."""
    lines = safe_block(found.text.removesuffix("\n")).split("\n")
    return CodeText(lines, assembly_lines(lines), provenance=found.provenance, raw=found.text)
