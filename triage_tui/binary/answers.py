"""What is told of an index, as JSON values: the same for commands, for tools of a model, and for the app.

Texts are raw: they come from the file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from triage_tui.binary import code_search
from triage_tui.binary.call_graph import CallGraph
from triage_tui.binary.index_model import CERTAIN, Edge, Function
from triage_tui.errors import TriageError
from triage_tui.text import safe_line

JsonObject = dict[str, Any]
_MAX_USERS = 10
_MAX_TEXT = 300
MAX_SITES = 100
"""Instructions that are named of one function that leads to another."""


def function_row(graph: CallGraph, place: int) -> JsonObject:
    """Return what is said of a function in a list."""
    function = graph.function(place)
    row: JsonObject = {"function_name": function.label}
    if function.origin == "import":
        row["imported"] = True
    else:
        row["address"] = hex(function.start)
    return row


def summary(graph: CallGraph) -> JsonObject:
    """Return figures of the whole file."""
    index = graph.index
    origins: dict[str, int] = {}
    for one in index.functions:
        origins[one.origin] = origins.get(one.origin, 0) + 1
    pairs = {(edge.caller, edge.callee) for edge in index.edges if edge.kind in CERTAIN}
    return {
        "sha256": index.sha256,
        "architecture": index.arch,
        "bytes": index.size,
        "code_bytes": index.code_bytes,
        "instructions": index.instructions,
        "stripped": index.stripped,
        "functions": len(index.functions),
        "found_by": origins,
        "calls": places_of(edge for edge in index.edges if edge.kind in CERTAIN),
        "pairs_of_caller_and_callee": len(pairs),
        "indirect_calls": sum(one.indirect for one in index.functions),
        "strings": len(index.texts),
        "string_uses": len(index.uses),
        "entered_at": [graph.function(place).label for place in index.entries[:20]],
        "indexed_in_seconds": index.seconds,
        "problems": index.problems,
    }


def functions(graph: CallGraph, pattern: Any, limit: int) -> JsonObject:
    """Return the functions whose name `pattern` is in (all without one), with what is known of each."""
    places = range(len(graph.index.functions)) if pattern is None else code_search.functions(graph, pattern)
    rows = []
    for place in places[:limit]:
        one = graph.function(place)
        row = function_row(graph, place)
        if one.origin != "import":
            row |= {
                "size": one.end - one.start,
                "cyclomatic_complexity": one.complexity,
                "found_by": one.origin,
                "thumb": one.thumb,
            }
        row |= {
            "callers": len({edge.caller for edge in graph.callers(place)}),
            "called_at": places_of(graph.callers(place)),
            "callees": len({edge.callee for edge in graph.callees(place)}),
        }
        rows.append(row)
    return {"functions_found": len(places), "functions": rows}


def callers(graph: CallGraph, place: int, limit: int) -> JsonObject:
    """Return what leads to a function: `count` functions, at so many `places`."""
    edges = graph.callers(place)
    return {
        "count": len({edge.caller for edge in edges}),
        "places": places_of(edges),
        "callers": _rows(graph, edges[:limit], callers=True),
    }


def callees(graph: CallGraph, place: int, limit: int) -> JsonObject:
    """Return where a function leads to: `count` functions, from so many `places` in it.

    Raises:
        TriageError: it is imported, so that its code is not in this file.
    """
    function = graph.function(place)
    if function.origin == "import":
        raise TriageError(f"{safe_line(function.name, 80)} is imported: its code is in another file")
    edges = graph.callees(place)
    return {
        "count": len({edge.callee for edge in edges}),
        "places": places_of(edges),
        "callees": _rows(graph, edges[:limit], callers=False),
        "indirect_calls": function.indirect,
    }


def places_of(edges: Iterable[Edge]) -> int:
    """Return at how many instructions these edges begin."""
    return sum(len(edge.sites) for edge in edges)


def _rows(graph: CallGraph, edges: Iterable[Edge], *, callers: bool) -> list[JsonObject]:
    return [
        function_row(graph, edge.caller if callers else edge.callee)
        | {"how": edge.kind, "times": len(edge.sites), "site": hex(edge.site)}
        | ({"more_sites": [hex(site) for site in edge.sites[1:MAX_SITES]]} if len(edge.sites) > 1 else {})
        for edge in edges
    ]


def _steps(graph: CallGraph, edges: Iterable[Edge]) -> list[JsonObject]:
    return [function_row(graph, edge.callee) | {"how": edge.kind, "site": hex(edge.site)} for edge in edges]


def sources(graph: CallGraph, name: str) -> list[int] | None:
    """Return where a way begins: at the function `name`, or (None) where the file is entered.

    Raises:
        TriageError: there is no such function, or nothing is known to enter the file.
    """
    if name:
        return [graph.find(name)]
    if not graph.index.entries:
        raise TriageError("nothing is known to enter this file: say from which function")
    return None


def _labels(graph: CallGraph, begin: Sequence[int] | None) -> list[str]:
    return [graph.function(place).label for place in (graph.index.entries if begin is None else begin)[:20]]


def way(graph: CallGraph, place: int, begin: Sequence[int] | None) -> JsonObject:
    """Return whether and how a function is reached; each step of `path` says how it is come to."""
    reach = graph.reach(place, begin)
    answer: JsonObject = {"from": _labels(graph, begin), "reachable": reach is not None}
    if reach is None:
        unknown = sum(graph.function(one).indirect for one in graph.reachable(begin))
        note = f"no way was found; {unknown} calls on the ways from there go to targets that are not known"
        return answer | {"path": [], "note": note if unknown else "no way was found"}
    path = [function_row(graph, reach.path[0].caller if reach.path else place)]
    path += _steps(graph, reach.path)
    return answer | {"certain": reach.certain, "path": path}


def reached(
    graph: CallGraph,
    begin: Sequence[int] | None,
    pattern: Any,
    limit: int,
    *,
    certain: bool = False,
    max_depth: int = 10_000,
) -> JsonObject:
    """Return the functions that are reached, the nearest first, with the number of steps."""

    def fits(function: Function) -> bool:
        return pattern is None or pattern.search(function.label[:1000]) is not None

    rows = [
        (place, steps)
        for place, steps in graph.reachable(begin, certain=certain).items()
        if steps <= max_depth and fits(graph.function(place))
    ]
    return {
        "from": _labels(graph, begin),
        "count": len(rows),
        "of": len(graph.index.functions),
        "functions": [function_row(graph, place) | {"steps": steps} for place, steps in rows[:limit]],
    }


def strings(graph: CallGraph, pattern: Any, limit: int) -> JsonObject:
    """Return the strings that `pattern` is in (all without one), those that are used first, and who does."""
    if pattern is None:
        places = sorted(range(len(graph.index.texts)), key=lambda place: not graph.users(place))
    else:
        places = code_search.texts(graph, pattern)
    rows = []
    for place in places[:limit]:
        text = graph.index.texts[place]
        users = [
            {"function_name": graph.function(function).label, "site": hex(site)}
            for function, site in graph.users(place)[:_MAX_USERS]
        ]
        rows.append({"text": text.text[:_MAX_TEXT], "address": hex(text.address), "used_by": users})
    return {"strings_found": len(places), "strings": rows}


def code(
    data: bytes, graph: CallGraph, pattern: Any, limit: int, cancel: threading.Event | None = None
) -> JsonObject:
    """Return the instructions whose text `pattern` is in.

    Raises:
        Stopped: `cancel` was set.
    """
    found = code_search.lines(data, graph, pattern, limit, cancel)
    rows = [{"function_name": one.function, "address": hex(one.address), "text": one.text} for one in found]
    return {"code": rows}
