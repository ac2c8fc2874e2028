"""The tools by name, for the palette. Importing them takes a moment: not for the thread that takes keys."""

from __future__ import annotations


def tool_names(*, writes: bool) -> list[tuple[str, str]]:
    """Return name and description of each tool; those that write only with `writes`."""
    from triage_tui.analyst.tools import all_tools

    return [(tool.name, tool.description) for tool in all_tools() if writes or not tool.writes]
