"""The JSON Schema of knowledge base files, generated from the fact types and the loader's own tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from triage_tui.diagnosis.facts import FACT_KINDS, field_types
from triage_tui.diagnosis.knowledge import CAUSES, STATUSES
from triage_tui.runs.diagnosis_model import EXPERIMENT_KINDS
from triage_tui.runs.files import write_atomic
from triage_tui.runs.writer import encode_json

_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _matcher(kind: type) -> dict[str, Any]:
    """Return the schema of a matcher for a field of type `kind`."""
    plain = {"type": _JSON_TYPES[kind]}
    operators: dict[str, Any] = {
        "equals": plain,
        "one_of": {"type": "array", "items": plain, "minItems": 1},
        "not": {},
        "set": {"type": "boolean"},
        "same_as": {"type": "string", "pattern": r"^[a-z_]+\.[a-z_]+$"},
    }
    if kind is str:
        operators["regex"] = {"type": "string", "description": "RE2 syntax"}
    if kind in (int, float):
        operators |= {"at_least": {"type": "number"}, "at_most": {"type": "number"}}
    operator = {
        "type": "object",
        "properties": operators,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [plain, operator]}


def _leaf(kind: str) -> dict[str, Any]:
    fields = {name: {"$ref": f"#/$defs/{wanted.__name__}"} for name, wanted in field_types(kind).items()}
    return {
        "type": "object",
        "required": ["fact"],
        "additionalProperties": False,
        "properties": {
            "fact": {"const": kind},
            "where": {"type": "object", "properties": fields, "additionalProperties": False},
            "count": {"$ref": "#/$defs/count"},
            "within_last": {"type": "integer"},
            "in_loop": {"type": "boolean"},
            "after": {"type": "string"},
            "before": {"type": "string"},
            "as": {"type": "string"},
        },
    }


def _combined(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [key], "additionalProperties": False, "properties": {key: value}}


def knowledge_base_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one knowledge base file."""
    condition = {"$ref": "#/$defs/condition"}
    texts = {"type": "array", "items": {"type": "string"}}
    share = {"type": "number", "minimum": -1, "maximum": 1}
    several = {"type": "array", "items": condition, "minItems": 1}
    adjustment = {
        "type": "object",
        "required": ["when", "add", "says"],
        "additionalProperties": False,
        "properties": {"when": condition, "add": share, "says": {"type": "string"}},
    }
    cause = {"enum": sorted(CAUSES)}
    case_names = {"type": "array", "items": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,79}$"}}
    entry = {
        "type": "object",
        "required": ["id", "version", "cause", "title", "subject", "confidence", "explanation"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,79}$"},
            "version": {"type": "integer"},
            "status": {"enum": list(STATUSES)},
            "cause": cause,
            "proximate": cause,
            "healthy": {"type": "boolean"},
            "title": {"type": "string"},
            "subject": {"anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in FACT_KINDS]},
            "when": condition,
            "confidence": {
                "type": "object",
                "required": ["base"],
                "additionalProperties": False,
                "properties": {"base": share, "per_relevance": share, "ceiling": share},
            },
            "adjust": {"type": "array", "items": adjustment},
            "explanation": texts,
            "wanted": texts,
            "experiments": {"type": "array", "items": {"enum": list(EXPERIMENT_KINDS)}},
            "proposals": texts,
            "references": texts,
            "cases": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"positive": case_names, "negative": case_names},
            },
        },
    }
    leaves = {kind: _leaf(kind) for kind in FACT_KINDS}
    limits = {"at_least": {"type": "integer"}, "at_most": {"type": "integer"}}
    range_of = {"type": "object", "properties": limits, "additionalProperties": False, "minProperties": 1}
    shared = {kind.__name__: _matcher(kind) for kind in _JSON_TYPES}
    shared["count"] = {"anyOf": [{"type": "integer"}, range_of]}
    combinations = [
        _combined("all", several),
        _combined("any", several),
        _combined("not", condition),
        *({"$ref": f"#/$defs/{kind}"} for kind in FACT_KINDS),
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "triage-tui knowledge base file",
        "type": "object",
        "required": ["schema", "entries"],
        "additionalProperties": False,
        "properties": {"schema": {"const": 1}, "entries": {"type": "array", "minItems": 1, "items": entry}},
        "$defs": {"condition": {"anyOf": combinations}, **shared, **leaves},
    }


def write_schema(directory: Path) -> Path:
    """Write the schema into `directory` as `knowledge-base.schema.json`."""
    path = directory / "knowledge-base.schema.json"
    write_atomic(path, encode_json(knowledge_base_schema()))
    return path


if __name__ == "__main__":
    print(write_schema(Path(__file__).resolve().parents[2] / "docs" / "schemas"))
