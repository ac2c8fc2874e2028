"""Which program file and which function of it a question is about."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import msgspec

from triage_tui.analyst.tools.case import Case
from triage_tui.binary.call_graph import CallGraph
from triage_tui.binary.index_model import Function
from triage_tui.binary.index_store import index_of
from triage_tui.binary.modules import ModuleMap
from triage_tui.binary.symbols import ElfImage, parse_image
from triage_tui.errors import Stopped, TriageError
from triage_tui.text import safe_line

MAX_SEARCHED = 8
"""Files in which a function is looked for that the program itself has not."""
_MAX_MODULES = 200
_HEX = re.compile(r"(?:0x|sub_)([0-9a-fA-F]{1,16})\Z")


class CodeModule(msgspec.Struct, frozen=True):
    """One program file of the run with its index."""

    path: str
    data: bytes
    graph: CallGraph
    bias: int | None
    """Run-time minus file addresses; None where the run did not have it mapped."""

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.path).name

    @property
    def image(self) -> ElfImage:
        """What the file says of itself."""
        return parse_image(self.data)

    def runtime(self, address: int) -> str | None:
        """Return a file address as it was in the run."""
        return None if self.bias is None else hex(address + self.bias)


class Found(msgspec.Struct, frozen=True):
    """A function of a file."""

    module: CodeModule
    place: int

    @property
    def function(self) -> Function:
        """The function."""
        return self.module.graph.function(self.place)


def program_path(case: Case) -> str:
    """Return the guest path of the program that is looked at."""
    looked_at = next((one for one in case.run.snapshot.processes if one.looked_at), None)
    return (looked_at.program if looked_at is not None else "") or case.run.snapshot.target.program


def module_paths(case: Case) -> list[str]:
    """Return the program files of the run: the program, those of the call stack, the others."""
    frames = [one.module_real_path for one in case.run.snapshot.backtrace.frames]
    mapped = [one.path for one in case.run.snapshot.maps if one.path.startswith("/")]
    found = dict.fromkeys(path for path in [program_path(case), *frames, *mapped] if path)
    return list(found)[:_MAX_MODULES]


def path_of(case: Case, module: str) -> str:
    """Return the guest path of a file given by its path or its name; the program without either.

    Raises:
        TriageError: the run has no such file.
    """
    paths = module_paths(case)
    if not module:
        return paths[0]
    if module in paths:
        return module
    same = [path for path in paths if PurePosixPath(path).name == module]
    if same:
        return same[0]
    names = ", ".join(PurePosixPath(path).name for path in paths[:20])
    raise TriageError(
        f"the run has no program file {safe_line(module, 80)!r}: it has {safe_line(names, 300)}"
    )


def load(case: Case, module: str = "") -> CodeModule:
    """Return a program file of the run with its index, which is made now if it is not kept.

    Raises:
        TriageError: there is no such file, it cannot be read any more, or it cannot be indexed.
    """
    path = path_of(case, module)
    key = f"module:{path}"
    if key not in case.kept:
        data = case.program_file(path)
        shown = safe_line(PurePosixPath(path).name, 60)

        def tell(what: str, share: float) -> None:
            case.progress(f"indexing {shown}: {what}, {share:.0%}")

        try:
            graph = CallGraph(index_of(data, progress=tell, cancel=case.cancel))
        except Stopped:
            raise
        except TriageError as error:
            raise TriageError(f"{shown} has no index: {error}") from error
        known = module_map(case).module_of(path)
        case.kept[key] = CodeModule(path, data, graph, known.bias if known is not None else None)
    found: CodeModule = case.kept[key]
    return found


def module_map(case: Case) -> ModuleMap:
    """Return the mappings of the run with the files behind them."""
    if "map" not in case.kept:

        def read(path: str) -> bytes | None:
            try:
                return case.program_file(path)
            except TriageError:
                return None

        case.kept["map"] = ModuleMap(case.run.snapshot.maps, None, read)
    found: ModuleMap = case.kept["map"]
    return found


def find(case: Case, function: str, module: str = "") -> Found:
    """Return the function that is meant: by name, by address (of the run or of the file), as `file!name`.

    Without `module` the program comes first, then the files of the call stack.

    Raises:
        TriageError: there is none.
    """
    if not module and "!" in function:
        module, _, function = function.partition("!")
    number = _HEX.match(function.strip())
    if number is not None:
        return _at(case, int(number[1], 16), module)
    first = load(case, module)
    try:
        return Found(first, first.graph.find(function))
    except TriageError as error:
        if module:
            raise
        missing = error
    for path in module_paths(case)[1:MAX_SEARCHED]:
        try:
            if not _has(case, path, function):
                continue
            other = load(case, path)
            return Found(other, other.graph.find(function))
        except Stopped:
            raise
        except TriageError:
            continue
    raise missing


def _has(case: Case, path: str, function: str) -> bool:
    known = module_map(case).module_of(path)
    return known is not None and any(one.name == function for one in known.image.symbols)


def _at(case: Case, address: int, module: str) -> Found:
    location = module_map(case).locate(address)
    if location is not None and (not module or location.module.path == path_of(case, module)):
        found = load(case, location.module.path)
        place = found.graph.at(location.vaddr)
        if place is not None:
            return Found(found, place)
    found = load(case, module)
    place = found.graph.at(address)
    if place is None:
        raise TriageError(f"no function of {safe_line(found.name, 60)} is known at {address:#x}")
    return Found(found, place)


def defining(case: Case, found: Found) -> Found:
    """Return the function itself where `found` is only its import: in the library that has it.

    Raises:
        TriageError: no file of the run has it.
    """
    function = found.function
    if function.origin != "import":
        return found
    for path in module_paths(case):
        if path != found.module.path and _has(case, path, function.name):
            other = load(case, path)
            return Found(other, other.graph.find(function.name))
    raise TriageError(
        f"{safe_line(function.name, 80)} is imported, and no file of the run that can be read has it"
    )
