"""The tools with which a run is looked into: by the model, by outside agents, by a person.

One list, so that all three have the same. `call` answers with JSON and never raises for what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from triage_tui.analyst.tools.case import MAX_RESULT, Case
from triage_tui.analyst.tools.tool import Arguments, JsonObject, Tool
from triage_tui.errors import TriageError
from triage_tui.text import safe_line

__all__ = [
    "MAX_RESULT",
    "Arguments",
    "Case",
    "JsonObject",
    "Tool",
    "all_tools",
    "by_name",
    "call",
    "tool_specs",
]


@cache
def all_tools() -> tuple[Tool, ...]:
    """Return every tool, in the order in which they are offered."""
    from triage_tui.analyst.tools import call_graph, code, diff, files, points, record_reads

    return (*record_reads.TOOLS, *files.TOOLS, *diff.TOOLS, *code.TOOLS, *call_graph.TOOLS, *points.TOOLS)


def by_name(name: str) -> Tool:
    """Return a tool.

    Raises:
        TriageError: there is none of that name.
    """
    for tool in all_tools():
        if tool.name == name:
            return tool
    known = ", ".join(tool.name for tool in all_tools())
    raise TriageError(f"there is no tool {safe_line(name, 60)!r}: known are {known}")


def tool_specs(*, writes: bool = True, names: Iterable[str] | None = None) -> list[JsonObject]:
    """Return the tools as `tools` of the OpenAI chat interface; those that write only with `writes`.

    `names` leaves all others out.
    """
    wanted = None if names is None else set(names)
    return [
        tool.spec
        for tool in all_tools()
        if (writes or not tool.writes) and (wanted is None or tool.name in wanted)
    ]


def call(case: Case, name: str, arguments: object, *, writes: bool = True) -> JsonObject:
    """Answer a call of the tool `name`; see `Tool.call`. Without `writes` a tool that writes is refused."""
    try:
        tool = by_name(name)
        if tool.writes and not writes:
            raise TriageError(f"{tool.name} writes into the run, and only reading is allowed here")
    except TriageError as error:
        return {"success": False, "error": str(error)}
    return tool.call(case, arguments)
