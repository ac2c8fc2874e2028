"""Knowledge base files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

GOOD: dict[str, Any] = {
    "id": "mine",
    "version": 1,
    "cause": "missing_file",
    "title": "The file {subject.path} is missing",
    "subject": {"fact": "failed_call", "where": {"errno": "ENOENT"}},
    "confidence": {"base": 0.5},
    "explanation": ["The call {subject.cite} failed."],
}
"""An entry without a mistake."""


def write(directory: Path, *entries: dict[str, Any], name: str = "mine.yaml") -> Path:
    """Write a file of entries and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(yaml.safe_dump({"schema": 1, "entries": list(entries)}, sort_keys=False))
    return path
