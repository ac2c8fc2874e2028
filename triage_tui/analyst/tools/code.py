"""Tools over program code: the source of a function, what is known of it, types, and search."""

from __future__ import annotations

import contextlib
from typing import Annotated, Literal

from msgspec import Meta

from triage_tui.analyst.tools.call_graph import FunctionName, Limit, Module, told
from triage_tui.analyst.tools.case import Case
from triage_tui.analyst.tools.modules import CodeModule, Found, defining, find, load
from triage_tui.analyst.tools.tool import Arguments, JsonObject, Tool
from triage_tui.binary import answers, code_search
from triage_tui.binary.code import CodeReader
from triage_tui.binary.code_source import CodePoint, FunctionCode
from triage_tui.binary.decompiler import Angr
from triage_tui.binary.disassembly import word_size
from triage_tui.binary.modules import Location, ModuleMap
from triage_tui.binary.modules import Module as MappedModule
from triage_tui.binary.patterns import compiled
from triage_tui.binary.prototypes import prototype_of
from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.errors import TriageError
from triage_tui.runs.evidence import make_link
from triage_tui.runs.process_model import Mapping
from triage_tui.text import safe_line

MAX_TEXTS = 40


class SourceArguments(Arguments):
    """Whose code."""

    function_name: FunctionName
    module: Module = ""
    decompile: Annotated[
        bool, Meta(description="pseudocode by the decompiler, where it is installed; takes up to a minute")
    ] = False


class MetadataArguments(Arguments):
    """What of whom."""

    function_name: FunctionName
    module: Module = ""


class TypeArguments(Arguments):
    """Which variable."""

    variable_name: Annotated[str, Meta(min_length=1, max_length=300)]
    function_name: Annotated[
        str, Meta(max_length=300, description="function that has it; default: a global variable")
    ] = ""
    module: Module = ""
    decompile: Annotated[
        bool,
        Meta(description="without debug information: types as the decompiler recovers them, if installed"),
    ] = False


class SearchArguments(Arguments):
    """What is looked for, and where."""

    pattern: Annotated[str, Meta(min_length=1, max_length=300, description="RE2 expression")]
    what: Annotated[
        Literal["all", "strings", "functions", "code"],
        Meta(description="code: the text of instructions, as `bl #0x10400`"),
    ] = "all"
    module: Module = ""
    limit: Limit = 60


# --- source ---------------------------------------------------------------------------------------------


def _source(case: Case, asked: SourceArguments) -> JsonObject:
    found = defining(case, find(case, asked.function_name, asked.module))
    code = _best(case, found, decompile=asked.decompile)
    answer: JsonObject = {
        **told(found.module, found.place),
        "kind": code.kind,
        "provenance": code.provenance,
        "source": code.text,
        "truncated": code.truncated,
    }
    if code.prototype:
        answer["prototype"] = code.prototype
    links = _frame_links(case, found)
    return answer | {"evidence": links} if links else answer


def _best(case: Case, found: Found, *, decompile: bool) -> FunctionCode:
    point = _point(found)
    if case.sfanalysis is not None:
        try:
            known = SfAnalysis(case.sfanalysis).function(point)
        except TriageError as error:
            case.progress(str(error))
            known = None
        if known is not None and known.text:
            return known
    source = Angr(found.module.data, cancel=case.cancel)
    # What was decompiled once costs nothing.
    known = source.function(point) if decompile else source.kept(point)
    return known or _disassembly(found)


def _point(found: Found) -> CodePoint:
    """Return the beginning of a function; as nothing runs, file addresses serve for all."""
    module, function = found.module, found.function
    symbol = module.image.symbol_at(function.start, functions_only=True)
    mapped = MappedModule(module.path, module.name, 0, module.image)
    location = Location(mapped, function.start, symbol)
    return CodePoint(function.start, location, function.thumb, False, function.start)


def _disassembly(found: Found) -> FunctionCode:
    module, function = found.module, found.function
    arch = module.graph.index.arch
    reader = CodeReader(
        arch,
        word_size(arch),
        module.image.little_endian,
        code_search.reader_of(module.data, module.image),
        _file_map(module),
    )
    listing = reader.listing(function.start, thumb=function.thumb, start=function.start, end=function.end)
    return FunctionCode(listing.text, "disassembly", "disassembly", truncated=listing.truncated)


def _file_map(module: CodeModule) -> ModuleMap:
    """Return the file mapped at its own addresses."""
    maps = [
        Mapping(
            start=one.vaddr & ~0xFFF,
            end=one.vaddr + max(one.file_size, 1),
            perms="r-x" if one.executable else "rw-",
            offset=one.offset - (one.vaddr & 0xFFF),
            path=module.path,
        )
        for one in module.image.segments
    ]
    return ModuleMap(maps, None, lambda _path: module.data)


def _frame_links(case: Case, found: Found) -> list[str]:
    """Return links to the frames of the call stack that are in a function."""
    links = []
    for frame in case.run.snapshot.backtrace.frames:
        inside = frame.module_real_path == found.module.path and frame.module_offset is not None
        if inside and found.function.start <= (frame.module_offset or 0) <= found.function.end:
            links.append(make_link(case.run, "frame", frame.idx))
    return links[:20]


# --- what is known --------------------------------------------------------------------------------------


def _metadata(case: Case, asked: MetadataArguments) -> JsonObject:
    found = find(case, asked.function_name, asked.module)
    module, function = found.module, found.function
    graph = module.graph
    reach = graph.reach(found.place) if graph.index.entries else None
    prototype, source = _prototype(case, found)
    answer: JsonObject = {
        **told(module, found.place),
        "architecture": graph.index.arch,
        "prototype": prototype,
        "prototype_source": source,
        "callers": len({edge.caller for edge in graph.callers(found.place)}),
        "called_at": answers.places_of(graph.callers(found.place)),
        "reachable": reach is not None,
    }
    if function.origin == "import":
        return answer
    texts = [
        {"text": text.text[:200], "address": hex(text.address), "site": hex(site)}
        for text, site in graph.texts_used(found.place)[:MAX_TEXTS]
    ]
    return answer | {
        "end": hex(function.end),
        "size": function.end - function.start,
        "address_in_run": module.runtime(function.start),
        "found_by": function.origin,
        "thumb": function.thumb,
        "exported": function.exported,
        "cyclomatic_complexity": function.complexity,
        "callees": len({edge.callee for edge in graph.callees(found.place)}),
        "indirect_calls": function.indirect,
        "strings": texts,
        "frames": _frame_links(case, found),
        "problems": graph.index.problems,
    }


def _prototype(case: Case, found: Found) -> tuple[str | None, str | None]:
    """Return a function's prototype and where that is from, (None, None) where nobody knows it."""
    if _is_libc_name(found) and (known := prototype_of(found.function.name)):
        return known, "the C library's headers"
    if found.function.origin == "import":
        return None, None
    from triage_tui.binary import dwarf_types

    with contextlib.suppress(TriageError):
        told_there = dwarf_types.prototype(found.module.data, found.function.start)
        if told_there:
            return told_there, "DWARF"
    point = _point(found)
    if case.sfanalysis is not None:
        try:
            analysed = SfAnalysis(case.sfanalysis).function(point)
        except TriageError:
            analysed = None
        if analysed is not None and analysed.prototype:
            return analysed.prototype, "SFAnalysis"
    guessed = Angr(found.module.data).kept(point)
    if guessed is not None and guessed.prototype:
        return guessed.prototype, f"{guessed.provenance}: recovered from the code, not certain"
    return None, None


def _is_libc_name(found: Found) -> bool:
    """Say whether the name means the C library's function: imported, or exported by a library."""
    return found.function.origin == "import" or found.function.exported


def _type(case: Case, asked: TypeArguments) -> JsonObject:
    from triage_tui.binary.dwarf_types import VariableType, variable_types

    found = find(case, asked.function_name, asked.module) if asked.function_name else None
    if found is not None and found.function.origin == "import":
        return _imported_type(found, asked.variable_name)
    module = found.module if found is not None else load(case, asked.module)
    known: list[VariableType] = []
    unknown = None
    try:
        start = found.function.start if found is not None else None
        known = variable_types(module.data, asked.variable_name, start)
    except TriageError as error:
        if found is None:
            raise
        # A decompiler may know more.
        unknown = error
    answer: JsonObject = {"variable_name": asked.variable_name, "module": module.path}
    if known:
        first, *others = [{"type": one.type, "kind": one.kind, "declared": one.declared} for one in known]
        more = {"others_of_the_name": others} if others else {}
        return answer | first | {"source": "DWARF"} | more
    if found is not None:
        source = Angr(module.data, cancel=case.cancel)
        point = _point(found)
        code = source.function(point) if asked.decompile else source.kept(point)
        for name, kind_of, kind in code.variables if code is not None else ():
            if code is not None and name == asked.variable_name:
                return answer | {
                    "type": kind_of,
                    "kind": kind,
                    "source": f"{code.provenance}: recovered from the code, not certain",
                }
        if unknown is not None:
            raise unknown
        where = (
            f"the debug information has no variable {safe_line(asked.variable_name, 60)!r} in that function"
        )
        raise TriageError(where)
    symbol = next(
        (s for s in module.image.symbols if s.name == asked.variable_name and not s.is_function), None
    )
    if symbol is None:
        raise TriageError(
            f"{safe_line(module.name, 60)} has no global variable {safe_line(asked.variable_name, 60)!r}"
        )
    return answer | {
        "type": None,
        "size": symbol.end - symbol.start,
        "address": hex(symbol.start),
        "source": "symbol table: its size is known, its type is not",
    }


def _imported_type(found: Found, variable: str) -> JsonObject:
    prototype = prototype_of(found.function.name)
    if prototype is None:
        raise TriageError(f"no prototype of {safe_line(found.function.name, 60)} is known")
    return {
        "variable_name": variable,
        "function_name": found.function.name,
        "type": None,
        "prototype": prototype,
        "source": "prototype of the C library: its parameters have no names",
    }


# --- search ---------------------------------------------------------------------------------------------


def _search(case: Case, asked: SearchArguments) -> JsonObject:
    module = load(case, asked.module)
    pattern = compiled(asked.pattern)
    graph = module.graph
    answer: JsonObject = {"module": module.path, "pattern": asked.pattern}
    if asked.what in ("all", "functions"):
        answer |= answers.functions(graph, pattern, asked.limit)
    if asked.what in ("all", "strings"):
        answer |= answers.strings(graph, pattern, asked.limit)
    if asked.what in ("all", "code"):
        answer |= answers.code(module.data, graph, pattern, asked.limit, case.cancel)
    return answer


TOOLS = (
    Tool(
        "get_function_source",
        "The code of a function: pseudocode where there is a source of it, else annotated disassembly. An"
        " imported function is looked up in the library that has it.",
        SourceArguments,
        _source,
    ),
    Tool(
        "search_code",
        "Searches a program file: names of functions, strings with the functions that use them, and the text"
        " of instructions.",
        SearchArguments,
        _search,
    ),
    Tool(
        "get_function_metadata",
        "What is known of a function: addresses, size, cyclomatic complexity, callers, callees, the strings"
        " it uses, its prototype, whether it is reached, and in which frames of the call stack it stands.",
        MetadataArguments,
        _metadata,
    ),
    Tool(
        "get_variable_type",
        "The type of a local variable, parameter or global variable by the debug information of the file;"
        " of a global variable without it, its size.",
        TypeArguments,
        _type,
    ),
)
