"""What a person may mean by an argument of a tool: frames, functions, files and ids of the run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from triage_tui.analyst.tools.case import Case
from triage_tui.analyst.tools.modules import module_map, module_paths, path_of
from triage_tui.diagnosis.knowledge import CAUSES
from triage_tui.errors import TriageError
from triage_tui.runs.evidence import make_link
from triage_tui.runs.suspicious_points import read_points

MAX_CHOICES = 20_000
_MAX_FILES = 2000


class Choice(NamedTuple):
    """One value that an argument may have, and what it is. Both are raw text."""

    value: str
    about: str = ""


def choices(case: Case, argument: str, schema: dict[str, Any], module: str = "") -> list[Choice]:
    """Return what the run has for an argument, what is nearest to the failure first; nothing for free text.

    `module` is the program file whose functions are meant. Nothing is indexed for this.
    """
    found = dict.fromkeys(islice(_all(case, argument, schema, module), MAX_CHOICES))
    return list(found)


def _all(case: Case, argument: str, schema: dict[str, Any], module: str) -> Iterator[Choice]:
    run = case.run
    values = schema.get("enum") or next((one["enum"] for one in schema.get("anyOf", ()) if "enum" in one), ())
    if values:
        yield from (Choice(str(value)) for value in values)
    elif schema.get("type") == "boolean":
        yield from (Choice("true"), Choice("false"))
    elif argument in ("function_name", "from_function", "important_controlflow"):
        yield from _functions(case, module)
    elif argument == "module":
        yield from (Choice(path) for path in module_paths(case))
    elif argument == "file_path":
        yield from _files(case)
    elif argument == "name" and "logs/" in str(schema.get("description", "")):
        directory = run.dir / "logs"
        if directory.is_dir():
            yield from (Choice(one.name) for one in sorted(directory.iterdir()) if one.is_file())
    elif argument == "name":
        yield from (Choice(name) for name in dict.fromkeys(call.name for call in run.trace()))
    elif argument == "object":
        yield from (Choice(one.id, one.purpose or one.tag or "") for one in run.snapshot.memory)
    elif argument == "cause":
        yield from (Choice(cause) for cause in CAUSES)
    elif argument == "suspicious_point_id":
        yield from (
            Choice(one.id, f"{one.state}  {one.function_name}  {one.description}")
            for one in read_points(run).points
        )
    elif argument == "evidence":
        yield from _evidence(case)


def _functions(case: Case, module: str) -> Iterator[Choice]:
    wanted = ""
    if module:
        try:
            wanted = path_of(case, module)
        except TriageError:
            return
    for frame in case.run.snapshot.backtrace.frames:
        if not wanted or frame.module_real_path == wanted:
            name = frame.func_name or hex(frame.addr)
            yield Choice(name, f"frame {frame.idx}  {frame.module_real_path}")
    known = module_map(case).module_of(wanted or module_paths(case)[0])
    if known is not None:
        for one in known.image.symbols:
            if one.is_function and one.name:
                yield Choice(one.name, hex(one.start))


def _files(case: Case) -> Iterator[Choice]:
    run = case.run
    below = (path for path in run.dir.rglob("*") if path.is_file() and not path.is_symlink())
    names = sorted(str(path.relative_to(run.dir)) for path in islice(below, _MAX_FILES))
    yield from (Choice(name, "of the run") for name in names if not name.startswith("memory/"))
    guest = [one.target for one in run.snapshot.fds if one.kind == "file"]
    guest += [call.path for call in run.trace() if call.path]
    yield from (Choice(path, "of the guest") for path in dict.fromkeys(guest) if path.startswith("/"))


def _evidence(case: Case) -> Iterator[Choice]:
    run = case.run
    for hypothesis in run.diagnosis.hypotheses if run.diagnosis is not None else ():
        yield from (Choice(one.link, one.says) for one in hypothesis.evidence if one.supported)
    for frame in run.snapshot.backtrace.frames[:40]:
        yield Choice(make_link(run, "frame", frame.idx), frame.func_name or hex(frame.addr))
