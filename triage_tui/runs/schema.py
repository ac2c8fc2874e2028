"""JSON Schemas of the run record, generated from the types that read and write it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.runs.added_logs import AddedLogs
from triage_tui.runs.analysis_model import Outcome, Step
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.events import Event
from triage_tui.runs.files import write_atomic
from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.runs.suspicious_points import SuspiciousPoints
from triage_tui.runs.trials_model import Bisected, Counterfactual, Minimised
from triage_tui.runs.verdict_model import Verdict
from triage_tui.runs.writer import encode_json

SCHEMAS: dict[str, type[msgspec.Struct]] = {
    "snapshot": Snapshot,
    "diagnosis": Diagnosis,
    "event": Event,
    "verdict": Verdict,
    "trace-line": Syscall,
    "suspicious-points": SuspiciousPoints,
    "analysis": Outcome,
    "analysis-step": Step,
    "added-logs": AddedLogs,
    "counterfactual": Counterfactual,
    "minimise": Minimised,
    "bisect": Bisected,
}


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one file of a run record: a key of `SCHEMAS`."""
    return schema_of(name, SCHEMAS[name])


def schema_of(name: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a record under a name."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"triage-tui {name}",
        **msgspec.json.schema(kind),
    }


def publish(schemas: Mapping[str, dict[str, Any]]) -> None:
    """Write schemas into `docs/schemas` of the source tree as `<name>.schema.json`, and name the files."""
    directory = Path(__file__).resolve().parents[2] / "docs" / "schemas"
    for name, document in schemas.items():
        path = directory / f"{name}.schema.json"
        write_atomic(path, encode_json(document))
        print(path)


if __name__ == "__main__":
    publish({name: schema(name) for name in SCHEMAS})
