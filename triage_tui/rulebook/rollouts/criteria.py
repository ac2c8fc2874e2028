"""The written criteria of rollouts: `rollout/criteria.yaml` of the shipped rules, or a person's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from triage_tui.errors import TriageError
from triage_tui.resources import shipped
from triage_tui.rule_places import user_directories
from triage_tui.runs.files import read_bounded
from triage_tui.text import safe_line

CRITERIA_FILE = "rollout/criteria.yaml"
_MAX_BYTES = 64 << 10

_Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class StageCriteria(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Those of one stage: least numbers before the next stage, and most numbers before it is stopped."""

    runs: _Count = 1
    """Least runs in which the rule acted."""
    targets: _Count = 1
    """Least targets of these, at most as many as the stage has."""
    matches: _Count = 1
    """Least calls at which it acted."""
    helped: _Count = 0
    """Least retries that got further by it, and were not ended by a signal that is new."""
    hurt: _Count = 0
    """Most retries that were judged worse by it, or ended by a signal that is new."""
    errors: _Count = 0
    """Most failures of it."""
    share: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Most of the calls of its syscall that it is for."""
    mean_us: _Count = 50_000
    """Most microseconds that a program waits for it at a call, on average."""


class Criteria(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Those of all stages."""

    schema: Literal[1] = 1
    observe: StageCriteria = StageCriteria()
    one: StageCriteria = StageCriteria(helped=1)
    group: StageCriteria = StageCriteria(runs=2, targets=2, matches=2, helped=1)
    all: StageCriteria = StageCriteria(runs=3, targets=2, matches=3, helped=1)


def criteria_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file, kept in docs/schemas."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "triage-tui criteria of rollouts",
        **msgspec.json.schema(Criteria),
    }


def criteria() -> Criteria:
    """Return the criteria in force: those of the last directory of a person that has some, else the shipped.

    Raises:
        TriageError: the file has a mistake; names it.
    """
    import yaml

    own = [Path(place) / CRITERIA_FILE for place in user_directories()]
    path = next((path for path in reversed(own) if path.is_file()), shipped("rules") / CRITERIA_FILE)
    where = safe_line(str(path), 300)
    try:
        return msgspec.convert(yaml.safe_load(read_bounded(path, _MAX_BYTES, whole=True)), Criteria)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise TriageError(f"{where} has a mistake: {safe_line(str(error), 300)}") from None
