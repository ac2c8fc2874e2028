"""JSON Schemas of the files of a campaign, generated from the types that read and write them."""

from __future__ import annotations

from typing import Any

import msgspec

from triage_tui.campaign.model import Campaign, Progress, Target
from triage_tui.campaign.report import Report
from triage_tui.campaign.target_file import TargetFileForm
from triage_tui.runs.schema import publish, schema_of

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
    return schema_of(name, SCHEMAS[name])


if __name__ == "__main__":
    publish({name: schema(name) for name in SCHEMAS})
