"""Who calls a function of a recorded run, whom it calls, how it is reached: as lines with links."""

from __future__ import annotations

import threading
from typing import Any

from triage_tui.analyst.tools.case import Case
from triage_tui.analyst.tools.modules import CodeModule, find
from triage_tui.binary import answers
from triage_tui.diagnosis.knowledge_base.explained_lines import Line
from triage_tui.retry.inspecting.cases import case_of
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.reader import Run
from triage_tui.text import number_of

MAX_ROWS = 200
_HOW = {"call": "calls", "jump": "jumps to", "pointer": "has the address of", "table": "has a table with"}


def call_lines(
    workspace: Workspace, run: Run, address: int, actor: str, cancel: threading.Event
) -> tuple[str, list[Line]]:
    """Return the name of the function at an address of the run, and the lines; `cancel` ends the reading.

    A line's link leads to the code there, where the run had the file mapped.

    Raises:
        TriageError: no program file of the run that can be read has code there.
    """
    case: Case = case_of(workspace, run, actor=actor, cancel=cancel)
    found = find(case, hex(address))
    module, graph = found.module, found.module.graph
    function = found.function
    known = [
        f"{function.end - function.start} bytes at {hex(function.start)} of {module.name}",
        f"found by {function.origin}",
        f"cyclomatic complexity {function.complexity}",
    ]
    lines = [Line(f"{function.label}: {', '.join(known)}", role="entry")]
    lines += _way(module, answers.way(graph, found.place, None) if graph.index.entries else None)
    callers = answers.callers(graph, found.place, MAX_ROWS)
    by, at = number_of(callers["count"], "function"), number_of(callers["places"], "place")
    said = f"called by {by}, at {at}" if callers["places"] else "no function of the file leads to it"
    lines += [Line(""), Line(said, role="held")]
    lines += _callers(module, callers)
    callees = answers.callees(graph, found.place, MAX_ROWS)
    unknown = f", and {callees['indirect_calls']} calls to unknown targets" * bool(callees["indirect_calls"])
    leads = number_of(callees["count"], "function")
    lines += [Line(""), Line(f"leads to {leads}{unknown}", role="held")]
    lines += [_line(module, row, "", at_site=False) for row in callees["callees"]]
    texts = graph.texts_used(found.place)[:MAX_ROWS]
    if texts:
        lines += [Line(""), Line(f"uses {len(texts)} strings", role="held")]
        lines += [Line(f'"{text.text}"', 2, 2, _link(module, site)) for text, site in texts]
    return function.label, lines


def _callers(module: CodeModule, callers: dict[str, Any]) -> list[Line]:
    """Return a line for each place that leads to the function, as many as there is room for."""
    lines = []
    for row in callers["callers"]:
        for site in (row["site"], *row.get("more_sites", ())):
            lines.append(_line(module, row | {"site": site}, f"{_HOW[row['how']]} it", at_site=True))
    left = callers["places"] - len(lines[:MAX_ROWS])
    more = [Line(f"and at {number_of(left, 'more place', 'more places')}", 2, 2)] if left > 0 else []
    return lines[:MAX_ROWS] + more


def _way(module: CodeModule, way: dict[str, Any] | None) -> list[Line]:
    if way is None:
        return []
    if not way["reachable"]:
        return [Line(""), Line(way["note"], role="failed")]
    sure = "by calls only" if way["certain"] else "by addresses that are taken, too"
    lines = [Line(""), Line(f"reached from where the file is entered, {sure}", role="held")]
    for step in way["path"]:
        how = f"{_HOW[step['how']]} " if "how" in step else ""
        lines.append(_line(module, step, "", at_site=False, before=how))
    return lines


def _line(module: CodeModule, row: dict[str, Any], after: str, *, at_site: bool, before: str = "") -> Line:
    where = row["site"] if at_site else row.get("address")
    imported = "  (imported)" if row.get("imported") else ""
    text = f"{before}{row['function_name']}{imported}{' ' * bool(after)}{after}"
    return Line(f"{where or '':>10}  {text}", 2, 12, _link(module, int(where, 16)) if where else "")


def _link(module: CodeModule, address: int) -> str:
    return "" if module.bias is None else f"ev:code/{address + module.bias:#x}"
