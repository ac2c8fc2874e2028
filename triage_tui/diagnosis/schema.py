"""The JSON Schema of knowledge base files, generated from the fact types and the loader's own tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from triage_tui.diagnosis.facts import FACT_KINDS, field_types
from triage_tui.diagnosis.knowledge import CAUSES, STATUSES
from triage_tui.diagnosis.knowledge_base.cases import Case
from triage_tui.diagnosis.ties import NAMES
from triage_tui.runs.diagnosis_model import EXPERIMENT_KINDS
from triage_tui.runs.schema import publish

_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


_MEANINGS = {
    "id": "name: lower-case words with hyphens; one that ships is replaced by yours of the same id",
    "version": "revision of the entry: a whole number",
    "status": "stable (default), experimental, or disabled",
    "cause": "the root cause, an identifier of the taxonomy",
    "proximate": "what the end itself shows; by default derived from how the run ended",
    "healthy": "true: the right answer is to change nothing",
    "title": "one line; may hold {subject.FIELD}",
    "subject": "a question about one kind of fact; each fact that fits gives one hypothesis",
    "when": "a condition that must hold as well: all, any, not, or a question about facts",
    "confidence": "base + per_relevance * relevance of the subject, at most ceiling",
    "adjust": "changes of confidence; a negative one is evidence against the hypothesis",
    "explanation": "sentences; each must cite: {subject.cite}",
    "wanted": "evidence that would settle the matter",
    "experiments": "kinds of experiments that would settle it, best first",
    "proposals": "identifiers of templates, best first",
    "references": "manual pages and documents",
    "cases": "recorded cases: positive, where the entry has to come first, and negative, where it must not",
}
"""What an editor shows beside a key."""


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
    questions = [{"$ref": f"#/$defs/{kind}"} for kind in FACT_KINDS]
    in_order = {"type": "array", "items": {"anyOf": questions}, "minItems": 2}
    several = {"type": "array", "items": condition, "minItems": 1}
    adjustment = {
        "type": "object",
        "required": ["when", "add", "says"],
        "additionalProperties": False,
        "properties": {"when": condition, "add": share, "says": {"type": "string"}},
    }
    cause = {"enum": sorted(CAUSES)}
    case_names = {"type": "array", "items": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,79}$"}}
    entry: dict[str, Any] = {
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
            "explanation": {**texts, "minItems": 1},
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
    for key, meaning in _MEANINGS.items():
        entry["properties"][key] = {"description": meaning, **entry["properties"][key]}
    leaves = {kind: _leaf(kind) for kind in FACT_KINDS}
    limits = {"at_least": {"type": "integer"}, "at_most": {"type": "integer"}}
    range_of = {"type": "object", "properties": limits, "additionalProperties": False, "minProperties": 1}
    shared = {kind.__name__: _matcher(kind) for kind in _JSON_TYPES}
    shared["count"] = {"anyOf": [{"type": "integer"}, range_of]}
    combinations = [
        _combined("all", several),
        _combined("any", several),
        _combined("not", condition),
        _combined("sequence", in_order),
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


def causality_schema() -> dict[str, Any]:
    """Return the JSON Schema of `causality.yaml`."""
    words = {"type": "array", "items": {"type": "string"}}
    expression = {"type": "string", "description": "RE2 syntax"}
    noise = {
        "type": "object",
        "required": ["why", "weight"],
        "additionalProperties": False,
        "properties": {
            "why": {"type": "string"},
            "weight": {"type": "number", "minimum": 0, "maximum": 1},
            **dict.fromkeys(("operation", "name", "errno"), words),
            **dict.fromkeys(("path", "origin", "request"), expression),
        },
    }
    hint = {
        "type": "object",
        "required": ["message"],
        "additionalProperties": False,
        "minProperties": 2,
        "maxProperties": 2,
        "properties": dict.fromkeys(("message", "path", "request", "errno"), expression),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "triage-tui general knowledge about failures",
        "type": "object",
        "required": ["schema"],
        "additionalProperties": False,
        "properties": {
            "schema": {"const": 1},
            "noise": {"type": "array", "items": noise},
            "hints": {"type": "array", "items": hint},
            "ties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    name: {"type": "number", "minimum": 0, "maximum": 1} for name in sorted(NAMES)
                },
            },
        },
    }


def case_schema() -> dict[str, Any]:
    """Return the JSON Schema of a recorded case."""
    case = msgspec.json.schema(Case)["$defs"]["Case"]
    for name, what in (("snapshot", "snapshot.json"), ("calls", "trace.jsonl")):
        whole = case["properties"][name]["type"] if name == "calls" else "object"
        case["properties"][name] = {"type": whole, "description": f"parts of {what}, in its own form"}
    return {
        **case,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "triage-tui recorded case",
        "description": case.get("description", ""),
    }


def _templates_schema() -> dict[str, Any]:
    # Rules are made of hypotheses, not the other way round.
    from triage_tui.proposals.templates import templates_schema

    return templates_schema()


def _criteria_schema() -> dict[str, Any]:
    from triage_tui.rulebook.rollouts.criteria import criteria_schema

    return criteria_schema()


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "knowledge-base": knowledge_base_schema,
    "knowledge-causality": causality_schema,
    "knowledge-case": case_schema,
    "rule-templates": _templates_schema,
    "rollout-criteria": _criteria_schema,
}
"""Name -> what makes the schema."""


if __name__ == "__main__":
    publish({name: made() for name, made in SCHEMAS.items()})
