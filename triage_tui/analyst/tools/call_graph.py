"""Tools over the call graph: callers, callees, what is reached and on which way."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from triage_tui.analyst.tools.case import Case
from triage_tui.analyst.tools.modules import CodeModule, find, load
from triage_tui.analyst.tools.tool import Arguments, JsonObject, Tool
from triage_tui.binary import answers
from triage_tui.binary.patterns import compiled

MAX_ROWS = 500

FunctionName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=300,
        description="name, address as 0x10400 (of the file or of the run), or file!name",
    ),
]
Module = Annotated[
    str, Meta(max_length=1024, description="path or name of the program file; default: the program itself")
]
From = Annotated[str, Meta(max_length=300, description="default: where the loader enters the file")]
Limit = Annotated[int, Meta(ge=1, le=MAX_ROWS)]


class CallArguments(Arguments):
    """Whose calls."""

    function_name: FunctionName
    module: Module = ""
    limit: Limit = 60


class ReachArguments(Arguments):
    """From where to where."""

    function_name: FunctionName
    from_function: From = ""
    module: Module = ""


class ReachableArguments(Arguments):
    """From where, and which of what is reached."""

    from_function: From = ""
    module: Module = ""
    pattern: Annotated[str, Meta(max_length=200, description="RE2 expression: only names with it")] = ""
    certain: Annotated[bool, Meta(description="only by calls and jumps, not by addresses taken")] = False
    max_depth: Annotated[int, Meta(ge=0, le=10_000, description="steps at most")] = 10_000
    limit: Limit = 100


def told(module: CodeModule, place: int) -> JsonObject:
    """Return which function of which file an answer is about."""
    return {**answers.function_row(module.graph, place), "module": module.path}


def _callers(case: Case, asked: CallArguments) -> JsonObject:
    found = find(case, asked.function_name, asked.module)
    graph = found.module.graph
    return told(found.module, found.place) | answers.callers(graph, found.place, asked.limit)


def _callees(case: Case, asked: CallArguments) -> JsonObject:
    found = find(case, asked.function_name, asked.module)
    graph = found.module.graph
    return told(found.module, found.place) | answers.callees(graph, found.place, asked.limit)


def _begin(case: Case, name: str, module: CodeModule) -> list[int] | None:
    return [find(case, name, module.path).place] if name else answers.sources(module.graph, "")


def _is_reachable(case: Case, asked: ReachArguments) -> JsonObject:
    found = find(case, asked.function_name, asked.module)
    begin = _begin(case, asked.from_function, found.module)
    return told(found.module, found.place) | answers.way(found.module.graph, found.place, begin)


def _reachable(case: Case, asked: ReachableArguments) -> JsonObject:
    if asked.from_function:
        found = find(case, asked.from_function, asked.module)
        module, begin = found.module, [found.place]
    else:
        module = load(case, asked.module)
        begin = answers.sources(module.graph, "") or list(module.graph.index.entries)
    pattern = compiled(asked.pattern) if asked.pattern else None
    rows = answers.reached(
        module.graph, begin, pattern, asked.limit, certain=asked.certain, max_depth=asked.max_depth
    )
    return {"module": module.path, **rows}


TOOLS = (
    Tool(
        "get_callers",
        "Functions of the same file that call a function (imported ones included), jump to it, or take its"
        " address (pointer, table: it may be called from there): count functions, at so many places; times"
        " and sites of each.",
        CallArguments,
        _callers,
    ),
    Tool(
        "get_callees",
        "Functions that a function calls, jumps to, or whose address it takes; and how many of its calls go"
        " to targets that are not known.",
        CallArguments,
        _callees,
    ),
    Tool(
        "is_reachable",
        "Whether a function is reached from where the file is entered, or from another function, with a"
        " shortest path. certain: the path is of calls only; else it rests on addresses that are taken.",
        ReachArguments,
        _is_reachable,
    ),
    Tool(
        "get_reachable_functions",
        "Functions that are reached from where the file is entered, or from another function, the nearest"
        " first, with the number of steps.",
        ReachableArguments,
        _reachable,
    ),
)
