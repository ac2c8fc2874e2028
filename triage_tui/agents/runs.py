"""The runs of a workspace as an outside agent asks about them: each is read when it is first asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from triage_tui.analyst.tools import Arguments, Case, JsonObject, all_tools, call
from triage_tui.analyst.tools.bounds import bounded
from triage_tui.analyst.tools.case import MAX_RESULT
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.cases import case_of
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.listing import run_dirs, summarize
from triage_tui.runs.redaction import Redaction
from triage_tui.text import safe_line

LIST_RUNS = "list_runs"
RUN_SCHEMA: JsonObject = {
    "type": "string",
    "maxLength": 80,
    "default": "last",
    "description": "run id, a unique ending of it, or last",
}
_KEPT = 4
"""Runs that stay read."""
_WATCHED = ("snapshot.json", "diagnosis.json", "events.jsonl", "trace.jsonl")
"""What of a run changes after it was recorded."""


class ListArguments(Arguments):
    """Which runs."""

    limit: Annotated[int, Meta(ge=1, le=200, description="the latest so many")] = 30
    state: Annotated[str, Meta(max_length=40, description="only runs in this state, as needs_person")] = ""


class AgentRuns:
    """Answers calls of tools on the runs of one workspace; safe to use from several threads."""

    def __init__(self, workspace: Workspace, *, writes: bool, keep_secrets: bool = False) -> None:
        self._workspace = workspace
        self._writes = writes
        self._keep_secrets = keep_secrets
        self._cases: OrderedDict[Path, tuple[tuple[object, ...], Case]] = OrderedDict()
        self._lock = threading.Lock()

    def tools(self) -> list[tuple[str, str, JsonObject, bool]]:
        """Return (name, description, JSON Schema of the arguments, writes) of what is offered."""
        _, components = msgspec.json.schema_components([ListArguments])
        listing = {"required": [], **components["ListArguments"]}
        listing.pop("title", None)
        listing.pop("description", None)
        text = "The recorded runs of this workspace, newest first: how each ended, its state, its cause."
        found = [(LIST_RUNS, text, listing, False)]
        for tool in all_tools():
            if self._writes or not tool.writes:
                schema = dict(tool.parameters)
                schema["properties"] = {"run": RUN_SCHEMA, **schema.get("properties", {})}
                found.append((tool.name, tool.description, schema, tool.writes))
        return found

    def call(
        self,
        name: str,
        arguments: dict[str, Any],
        progress: Any = lambda text: None,
        cancel: threading.Event | None = None,
    ) -> JsonObject:
        """Answer a call: `{"success": true, ...}`, or `{"success": false, "error": one sentence}`."""
        try:
            given = dict(arguments)
            if name == LIST_RUNS:
                return self._list(given)
            run = given.pop("run", None)
            run = "last" if run is None else run
            if not isinstance(run, str) or len(run) > 200:
                raise TriageError("`run` must be the id of a run: list_runs names them")
            case = self._case(run)
        except TriageError as error:
            return {"success": False, "error": safe_line(str(error))}
        # One call at a time on one run: what it is told of, and what ends it, are this call's.
        with case.lock:
            if cancel is not None and cancel.is_set():
                return {"success": False, "error": "the call was cancelled while it waited for another one"}
            case.progress, case.cancel = progress, cancel or threading.Event()
            return call(case, name, given, writes=self._writes)

    def _case(self, name: str) -> Case:
        path = self._workspace.run_dir(name)
        state = tuple(_stamp(path / one) for one in _WATCHED)
        with self._lock:
            known = self._cases.get(path)
            if known is not None and known[0] == state:
                self._cases.move_to_end(path)
                return known[1]
        record = self._workspace.load(path.name)
        redaction = Redaction(off=True) if self._keep_secrets else None
        case = case_of(self._workspace, record, actor="agent", redaction=redaction)
        with self._lock:
            self._cases[path] = (state, case)
            while len(self._cases) > _KEPT:
                self._cases.popitem(last=False)
        return case

    def _list(self, arguments: dict[str, Any]) -> JsonObject:
        try:
            asked = msgspec.convert({k: v for k, v in arguments.items() if v is not None}, ListArguments)
        except (msgspec.ValidationError, TypeError, RecursionError) as error:
            raise TriageError(f"the arguments of {LIST_RUNS} do not fit: {error}") from error
        rows: list[JsonObject] = []
        directories = run_dirs(self._workspace.runs_dir)
        for directory in directories:
            one = summarize(directory)
            if asked.state and one.state != asked.state:
                continue
            rows.append(
                {
                    "run": one.run_id,
                    "state": one.state,
                    "program": one.program,
                    "reason": one.reason,
                    "headline": one.headline,
                    "cause": one.cause or None,
                }
            )
            if len(rows) >= asked.limit:
                break
        # Command lines and headlines of runs may hold secrets like anything else.
        redaction = Redaction(off=self._keep_secrets)
        return bounded({"success": True, "runs": rows, "of": len(directories)}, MAX_RESULT, redaction)


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
