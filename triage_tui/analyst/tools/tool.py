"""What a tool is: a name, what it takes, and a call that answers with JSON, whatever it is asked.

Arguments come from a model or from another program: they are checked strictly against the tool's type, and
what is wrong with them is one sentence of the answer. Answers are masked, made displayable and bounded here,
in one place, so that no tool can forget it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from triage_tui.analyst.tools.bounds import bounded
from triage_tui.analyst.tools.case import Case
from triage_tui.errors import TriageError
from triage_tui.text import recordable, safe_line

MAX_ARGUMENT_BYTES = 64 << 10
"""Longest text of arguments that is read."""
_MAX_DEPTH = 8

JsonObject = dict[str, Any]


class Arguments(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of the arguments of all tools: what a tool does not know is an error, not ignored."""


@dataclass(frozen=True)
class Tool:
    """One thing that can be asked about a run, or noted in it."""

    name: str
    description: str
    """For the model: what it answers, one to three sentences."""
    arguments: type[Arguments]
    function: Callable[[Case, Any], JsonObject]
    """Gets the case and the checked arguments; a TriageError that it raises becomes the answer."""
    writes: bool = False
    """Whether it changes the run directory."""

    @cached_property
    def parameters(self) -> JsonObject:
        """JSON Schema of the arguments."""
        _, components = msgspec.json.schema_components([self.arguments])
        schema = dict(components[self.arguments.__name__])
        schema.pop("title", None)
        schema.pop("description", None)
        schema.setdefault("required", [])
        return schema

    @property
    def spec(self) -> JsonObject:
        """The tool as an entry of `tools` of the OpenAI chat interface."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}

    def call(self, case: Case, arguments: object) -> JsonObject:
        """Answer a call: `{"success": true, ...}`, or `{"success": false, "error": one sentence}`.

        `arguments` is a JSON object or its text. A null stands for an argument that is not given. Never
        raises for what is asked; only an interrupt ends it.
        """
        try:
            checked = self._checked(arguments)
            with case.lock:
                found = self.function(case, checked)
                answer = bounded({"success": True, **found}, case.max_result, case.redaction)
        except TriageError as error:
            return self._refused(case, str(error))
        except OSError as error:
            return self._refused(case, f"{self.name} could not read the run: {error.strerror or error}")
        except Exception as error:
            # Records and program files are hostile: what a parser of ours has not foreseen is no answer, and
            # must not end whoever asked.
            return self._refused(case, f"{self.name} has no answer to this ({type(error).__name__})")
        return answer

    def _checked(self, arguments: object) -> Arguments:
        if isinstance(arguments, str | bytes):
            if len(arguments) > MAX_ARGUMENT_BYTES:
                raise TriageError(f"the arguments of {self.name} are longer than {MAX_ARGUMENT_BYTES} bytes")
            try:
                arguments = msgspec.json.decode(arguments or "{}")
            except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
                raise TriageError(
                    f"the arguments of {self.name} are no JSON ({safe_line(str(error), 120)})"
                ) from error
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            raise TriageError(f"the arguments of {self.name} must be a JSON object")
        given = {name: _plain(value) for name, value in arguments.items() if value is not None}
        try:
            return msgspec.convert(given, self.arguments)
        except (msgspec.ValidationError, RecursionError, TypeError) as error:
            known = ", ".join(field.name for field in msgspec.structs.fields(self.arguments)) or "none"
            raise TriageError(
                f"the arguments of {self.name} do not fit: {safe_line(str(error), 200)} (it takes: {known})"
            ) from error

    def _refused(self, case: Case, why: str) -> JsonObject:
        return bounded({"success": False, "error": why}, case.max_result, case.redaction)


def _plain(value: Any, depth: int = 0) -> Any:
    """Return an argument without the halves of characters that no UTF-8 can hold."""
    if isinstance(value, str):
        return recordable(value)
    if isinstance(value, list) and depth < _MAX_DEPTH:
        return [_plain(one, depth + 1) for one in value]
    return value
