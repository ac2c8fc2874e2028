"""Print why a run is diagnosed so and not otherwise, entry by entry, with the links to follow."""

from __future__ import annotations

import shutil
import textwrap

from triage_tui.diagnosis.knowledge_base.explained_lines import Line, lines_of
from triage_tui.diagnosis.knowledge_base.explaining import Explanation
from triage_tui.text import safe_line


def print_explanation(found: Explanation) -> None:
    """Print each entry that came near, best first, wrapped to the terminal."""
    width = max(40, min(shutil.get_terminal_size().columns, 160))
    for line in lines_of(found):
        print(_wrapped(line, width))


def _wrapped(line: Line, width: int) -> str:
    link = f"  [{line.link}]" if line.link else ""
    wrapped = textwrap.wrap(
        safe_line(f"{line.text}{link}", 2000),
        width,
        initial_indent=" " * line.indent,
        subsequent_indent=" " * (line.indent + line.hang),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(wrapped)
