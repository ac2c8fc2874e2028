"""Asks the tools about one run, as a person does in the app: one question at a time, program files kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from triage_tui.analyst.tools import by_name, call
from triage_tui.analyst.tools.case import Case
from triage_tui.analyst.tools.choices import Choice, choices
from triage_tui.analyst.tools.modules import CodeModule
from triage_tui.analyst.tools.texts import from_texts
from triage_tui.errors import Stopped, TriageError
from triage_tui.retry.inspecting.cases import case_of
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

MAX_RESULT = 1 << 20
"""Bytes of an answer: a person reads on where a model cannot."""


class Answer(msgspec.Struct, frozen=True):
    """What a tool answered: masked, displayable text in JSON values."""

    tool: str
    values: dict[str, Any]
    """Without `success`; `error` alone when there is no answer."""
    biases: dict[str, int] = msgspec.field(default_factory=dict)
    """Guest path of a program file to its run-time minus its file addresses, where the run had it mapped."""


class ToolDesk:
    """The tools on one run. Its methods may last: they are for worker threads."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self.run = run
        self._workspace = workspace
        self._known: Case | None = None
        self._lock = threading.Lock()

    def _case(self) -> Case:
        if self._known is None:
            self._known = case_of(self._workspace, self.run, actor="", max_result=MAX_RESULT)
        return self._known

    def ask(
        self, name: str, texts: dict[str, str], cancel: threading.Event, tell: Callable[[str], None]
    ) -> Answer:
        """Return the answer of a tool that reads; texts that are empty are not given.

        Raises:
            Stopped: `cancel` was set.
            TriageError: there is no such tool.
        """
        given = arguments_of(name, texts)
        with self._lock:
            case = self._case()
            case.progress, case.cancel = tell, cancel
            values = call(case, name, given, writes=False)
        if cancel.is_set():
            raise Stopped(f"{name} was stopped")
        del values["success"]
        modules = (one for one in case.kept.values() if isinstance(one, CodeModule))
        return Answer(name, values, {one.path: one.bias for one in modules if one.bias is not None})

    def choices(self, name: str, module: str) -> dict[str, list[Choice]]:
        """Return what the run has for each argument of a tool; `module` is what is typed as the file."""
        tool = by_name(name)
        found: dict[str, list[Choice]] = {}
        with self._lock:
            for argument, schema in tool.parameters.get("properties", {}).items():
                try:
                    found[argument] = choices(self._case(), argument, schema, module)
                except Exception:
                    # What cannot be offered, because the record defeats its reader, can still be typed.
                    found[argument] = []
        return found


def arguments_of(name: str, texts: dict[str, str]) -> dict[str, Any]:
    """Return the arguments that a person typed; parts of a list are separated by commas.

    Raises:
        TriageError: there is no such tool.
    """
    tool = by_name(name)
    known = tool.parameters.get("properties", {})
    pairs: list[tuple[str, str]] = []
    for argument, text in texts.items():
        if not text.strip():
            continue
        parts = text.split(",") if known.get(argument, {}).get("type") == "array" else [text]
        pairs += [(argument, part.strip()) for part in parts if part.strip()]
    return from_texts(tool, pairs)


def note_point(workspace: Workspace, run: Run, actor: str, name: str, texts: dict[str, str]) -> str:
    """Carry out a tool that notes or changes a suspicious point; return one sentence on what it did.

    Raises:
        TriageError: what was typed does not fit, or somebody else changed the point since.
    """
    if not by_name(name).writes:
        raise TriageError(f"{name} notes nothing")
    answer = call(case_of(workspace, run, actor=actor), name, arguments_of(name, texts))
    if not answer["success"]:
        raise TriageError(answer["error"])
    point = answer["suspicious_point"]
    words = {"open": "is open", "confirmed": "is confirmed", "refuted": "is dismissed"}
    said = f"suspicious point {point['id']} at {safe_line(point['function_name'], 60)}"
    said += " was noted" if point["revision"] == 1 else f" {words[point['state']]}"
    wrong = answer.get("unsupported", [])
    if not wrong or not texts.get("evidence"):
        return said
    return f"{said}; marked, because they lead nowhere: {', '.join(safe_line(one, 60) for one in wrong[:3])}"
