"""Reading causality.yaml: what is known about failures in general."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from triage_tui.diagnosis.causality import Causality, Hint, Noise
from triage_tui.diagnosis.knowledge_base.documents import Document
from triage_tui.diagnosis.knowledge_base.mistakes import (
    MAX_MISTAKES,
    Mistake,
    TooManyMistakesError,
)
from triage_tui.diagnosis.matchers import Report, choose, compile_regex
from triage_tui.diagnosis.ties import NAMES

CAUSALITY_FILE = "causality.yaml"

_KEYS = ("schema", "noise", "hints", "ties")
_LISTS = ("operation", "name", "errno")
_EXPRESSIONS = ("path", "origin", "request")
_NOISE_KEYS = ("why", "weight", *_LISTS, *_EXPRESSIONS)


def parse_causality(document: Document, report: Callable[[Mistake], None]) -> Causality:
    """Build the general knowledge about failures; lines with mistakes are reported and left out."""

    told = 0

    def tell(key: str, what: str, do: str = "") -> None:
        nonlocal told
        told += 1
        report(Mistake(file=str(document.path), line=document.line(key), key=key, what=what, do=do))
        if told >= MAX_MISTAKES:
            raise TooManyMistakesError

    try:
        return _parse(document, tell)
    except TooManyMistakesError:
        return Causality()


def _parse(document: Document, tell: Report) -> Causality:
    for key in document.data:
        if key not in _KEYS:
            tell(str(key), "unknown key", choose(key, _KEYS))
    noise = [_noise(raw, f"noise[{index}]", tell) for index, raw in enumerate(_list(document, "noise", tell))]
    hints = [_hint(raw, f"hints[{index}]", tell) for index, raw in enumerate(_list(document, "hints", tell))]
    return Causality(
        noise=tuple(one for one in noise if one is not None),
        hints=tuple(one for one in hints if one is not None),
        ties=_ties(document.data.get("ties", {}), tell),
    )


def _ties(raw: Any, report: Report) -> dict[str, float]:
    if not isinstance(raw, Mapping):
        report("ties", "needs a mapping of a tie to its weight", "")
        return {}
    found: dict[str, float] = {}
    for key, weight in raw.items():
        if key not in NAMES:
            report(f"ties.{key}", "unknown tie", choose(key, NAMES))
        elif type(weight) not in (int, float) or not 0 <= weight <= 1:
            report(f"ties.{key}", "needs a number between 0 and 1", "")
        else:
            found[key] = float(weight)
    return found


def _list(document: Document, key: str, report: Report) -> list[Any]:
    value = document.data.get(key, [])
    if isinstance(value, list):
        return value
    report(key, "needs a list", "")
    return []


def _noise(raw: Any, where: str, report: Report) -> Noise | None:
    if not isinstance(raw, Mapping) or not {"why", "weight"} <= set(raw):
        report(where, "needs why and weight", "")
        return None
    for key in raw:
        if key not in _NOISE_KEYS:
            report(f"{where}.{key}", "unknown key", choose(key, _NOISE_KEYS))
    weight = raw["weight"]
    if type(weight) not in (int, float) or not 0 <= weight <= 1:
        report(f"{where}.weight", "needs a number between 0 and 1", "")
        return None
    sets: dict[str, frozenset[str]] = {}
    for key in _LISTS:
        words = raw.get(key, [])
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            report(f"{where}.{key}", "needs a list of words", "")
            return None
        sets[key] = frozenset(words)
    expressions = {
        key: compile_regex(raw[key], f"{where}.{key}", report) for key in _EXPRESSIONS if key in raw
    }
    if None in expressions.values():
        return None
    return Noise(
        why=str(raw["why"]),
        weight=float(weight),
        operations=sets["operation"],
        names=sets["name"],
        errnos=sets["errno"],
        **expressions,
    )


def _hint(raw: Any, where: str, report: Report) -> Hint | None:
    if not isinstance(raw, Mapping) or (
        "message" not in raw or len(raw) != 2 or not set(raw) <= {"message", "path", "request", "errno"}
    ):
        report(where, "needs message and one of path, request and errno", "")
        return None
    expressions = {str(key): compile_regex(raw[key], f"{where}.{key}", report) for key in raw}
    return None if None in expressions.values() else Hint(**expressions)
