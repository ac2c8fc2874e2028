"""JSON Schemas of the files of a campaign, generated from the types that read and write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from triage_tui.campaign.model import Campaign, Progress, Target
from triage_tui.campaign.report import Report
from triage_tui.campaign.target_file import TargetFileForm
from triage_tui.runs.files import write_atomic
from triage_tui.runs.writer import encode_json

SCHEMAS: dict[str, type[msgspec.Struct]] = {
    "campaign": Campaign,
    "campaign-target": Target,
    "campaign-progress": Progress,
    "campaign-report": Report,
    "campaign-targets": TargetFileForm,
}
"""`campaign.json`, a line of `targets.jsonl` and of `progress.jsonl`, `campaign report --format json`, and a
target file."""


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one file of a campaign: a key of `SCHEMAS`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"triage-tui {name}",
        **msgspec.json.schema(SCHEMAS[name]),
    }


def write_schemas(directory: Path) -> list[Path]:
    """Write all schemas into `directory` as `<name>.schema.json`."""
    paths = []
    for name in SCHEMAS:
        path = directory / f"{name}.schema.json"
        write_atomic(path, encode_json(schema(name)))
        paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write_schemas(Path(__file__).resolve().parents[2] / "docs" / "schemas"):
        print(written)
