"""The content of a bundle's `manifest.json`: what is in the bundle, and what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from triage_tui.runs.files import write_atomic
from triage_tui.runs.record import Record
from triage_tui.runs.writer import encode_json

BUNDLE_SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
BUNDLE_FORMAT: Literal["triage-tui run bundle"] = "triage-tui run bundle"


class BundleFile(Record):
    """One file of the bundle."""

    name: str
    """Path in the bundle."""
    size: int
    """Bytes."""
    sha256: str
    masked: int = 0
    """Places at which something that looks like a secret was masked; evidence that cites them is changed."""


class LeftOut(Record):
    """One file of the run that is not in the bundle."""

    name: str
    """Path in the run directory; what cannot be printed of it is escaped."""
    why: str


class Manifest(Record):
    """What a bundle holds. The same run gives the same bundle, byte for byte."""

    run_id: str
    written_by: str
    """"triage-tui 1.2.3"."""
    secrets: Literal["masked", "kept"]
    """`masked`: what looks like a secret is not in the bundle; `kept`: the person wanted it as it is."""
    memory: bool
    """Whether the recorded memory objects are in it."""
    files: list[BundleFile]
    """By name, without the manifest itself."""
    left_out: list[LeftOut] = []
    record_schema_version: int = 0
    """Of the run's `snapshot.json`."""
    format: Literal["triage-tui run bundle"] = BUNDLE_FORMAT
    schema_version: int = BUNDLE_SCHEMA_VERSION


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of `manifest.json`, kept in docs/schemas."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "triage-tui bundle-manifest",
        **msgspec.json.schema(Manifest),
    }


if __name__ == "__main__":
    path = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "bundle-manifest.schema.json"
    write_atomic(path, encode_json(manifest_schema()))
    print(path)
