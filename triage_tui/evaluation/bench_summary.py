"""What a benchmark found: figures, tables, and the comparison with an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.evaluation.bench import in_words
from triage_tui.evaluation.bench_case import Outcome
from triage_tui.evaluation.tables import Table
from triage_tui.runs.files import read_bounded
from triage_tui.text import safe_line

_MAX_REPORT = 32 << 20
_COMPARED = {"reached": True, "diagnosed_right": True, "proposed_right": True, "touched": False}
"""What is compared with an earlier result, and whether it is good."""
_FIGURES = (
    "diagnosed_right", "proposed_right", "progressed", "reached_fixable", "reached_stretch",
    "healthy_touched", "rules_median", "rounds_median", "seconds_median",
)  # fmt: skip
"""What of the whole is compared, where the cases are the same."""


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return counts, shares (0..1, None of nothing) and medians; what could not be played did not succeed."""
    played = [one for one in outcomes if not one.problem]
    fixable = [one for one in outcomes if one.fixable]
    stretch = [one for one in outcomes if one.stretch]
    helped = [one for one in played if one.approved]
    return {
        "cases": len(outcomes),
        "not_played": len(outcomes) - len(played),
        "diagnosed_right": sum(one.diagnosed_right for one in outcomes),
        "explained": sum(one.explained for one in outcomes),
        "proposed_right": sum(one.proposed_right for one in outcomes),
        "fixable": len(fixable),
        "reached_fixable": _share(sum(one.reached for one in fixable), len(fixable)),
        "stretch": len(stretch),
        "reached_stretch": sum(one.reached for one in stretch),
        "reached": sum(one.reached for one in outcomes if not one.healthy),
        "progressed": sum(one.progressed for one in outcomes),
        "healthy": sum(one.healthy for one in outcomes),
        "healthy_touched": sum(one.touched for one in outcomes),
        "rules_median": median(len(one.approved) for one in helped) if helped else None,
        "rounds_median": median(one.rounds for one in played) if played else None,
        "seconds_median": round(median(one.seconds for one in played), 2) if played else None,
    }


def by_cause(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes of each labelled cause, by name."""
    found: dict[str, list[Outcome]] = {}
    for one in outcomes:
        found.setdefault(one.cause, []).append(one)
    return dict(sorted(found.items()))


def report(outcomes: Sequence[Outcome], compared: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the whole benchmark as JSON data; `compared` are the `changes` since an earlier one, if any."""
    return {
        **figures(outcomes),
        **({"compared": list(compared)} if compared is not None else {}),
        "per_cause": {cause: figures(found) for cause, found in by_cause(outcomes).items()},
        "per_case": [msgspec.to_builtins(one) for one in outcomes],
    }


def cause_rows(outcomes: Sequence[Outcome]) -> Table:
    """One row per labelled cause, and one for all."""
    header = [
        "CAUSE", "CASES", "DIAGNOSED", "PROPOSED", "PROGRESSED", "REACHED", "TOUCHED", "RULES", "ROUNDS", "S",
    ]  # fmt: skip
    groups = [*by_cause(outcomes).items(), ("all", list(outcomes))]
    return header, [_row(cause, found) for cause, found in groups]


def case_rows(outcomes: Sequence[Outcome]) -> Table:
    """One row per case."""
    return ["CASE", "CAUSE", "REMEDY", "RESULT"], [
        [one.id, one.cause, one.remedy or "-", safe_line(in_words(one), 400)] for one in outcomes
    ]


def sentences(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the figures of the whole, in words."""
    told = figures(outcomes)
    lines = [
        f"{told['cases']} cases: {told['diagnosed_right']} diagnosed right, {told['explained']} explained, "
        f"{told['proposed_right']} proposed right, {told['progressed']} got further.",
    ]
    if told["fixable"]:
        share = told["reached_fixable"]
        lines.append(
            f"{told['fixable']} can be fixed by a rule: {share * 100:.0f} % reached their criterion."
        )
    if told["stretch"]:
        lines.append(
            f"{told['reached_stretch']} of {told['stretch']} that stock tools could not try did too."
        )
    lines.append(f"{told['healthy']} are healthy: {told['healthy_touched']} were changed.")
    if told["seconds_median"] is not None:
        lines.append(f"Median: {told['rounds_median']:g} rounds, {told['seconds_median']:.1f} s.")
    if told["not_played"]:
        lines.append(f"{told['not_played']} could not be played and count as not reached.")
    return lines


def markdown(outcomes: Sequence[Outcome], compared: Sequence[str] | None = None) -> str:
    """Return the benchmark as a Markdown document; `compared` as for `report`."""
    parts = ["# Benchmark\n\n"]
    parts += [f"- {line}\n" for line in sentences(outcomes)]
    if compared is not None:
        parts.append("\n## Since the earlier result\n\n")
        parts += [f"- {safe_line(line, 400)}\n" for line in compared]
    for title, (header, rows) in (("Causes", cause_rows(outcomes)), ("Cases", case_rows(outcomes))):
        parts.append(f"\n## {title}\n\n")
        parts += [_markdown_row(header), _markdown_row(["---"] * len(header))]
        parts += [_markdown_row(row) for row in rows]
    return "".join(parts)


def read_report(path: Path) -> dict[str, Any]:
    """Return what an earlier `bench --json` said, with `per_case` by case id.

    Raises:
        TriageError: the file is no such report.
    """
    where = safe_line(str(path), 200)
    try:
        told = msgspec.json.decode(read_bounded(path, _MAX_REPORT, whole=True))
        return {**told, "per_case": {str(one["id"]): dict(one) for one in told["per_case"]}}
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise TriageError(f"{where} is no result of `triage-tui bench --json`") from error


def changes(outcomes: Sequence[Outcome], earlier: Mapping[str, Any]) -> list[str]:
    """Return what is better or worse than in an earlier benchmark, a line each, the worse first.

    `earlier` is what `read_report` gave. The figures of the whole follow where both have the same cases.
    """
    better: list[str] = []
    worse: list[str] = []
    cases: Mapping[str, Mapping[str, Any]] = earlier["per_case"]
    for one in outcomes:
        before = cases.get(one.id, {})
        for name, good in _COMPARED.items():
            now, then = bool(getattr(one, name)), before.get(name)
            if isinstance(then, bool) and now != then:
                words = name.replace("_", " ")
                line = f"{one.id}: " + (f"{words}, which it was not" if now else f"no longer {words}")
                (better if now == good else worse).append(line)
    lines = [f"worse: {line}" for line in worse] + [f"better: {line}" for line in better]
    played = {one.id for one in outcomes}
    if missing := len(cases.keys() - played):
        lines.append(f"{missing} cases of the earlier result were not among these")
    if new := len(played - cases.keys()):
        lines.append(f"{new} cases are not in the earlier result")
    if cases.keys() == played:
        told = figures(outcomes)
        lines += [
            f"{name}: {_number(earlier.get(name))} -> {_number(told[name])}"
            for name in _FIGURES
            if _number(earlier.get(name)) != _number(told[name])
        ]
    return lines or ["nothing is better or worse than in the earlier result"]


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "-"


def _row(cause: str, outcomes: Sequence[Outcome]) -> list[str]:
    told = figures(outcomes)
    count = len(outcomes)
    return [
        cause,
        str(count),
        f"{told['diagnosed_right']}/{count}",
        f"{told['proposed_right']}/{count}",
        str(told["progressed"]),
        f"{told['reached']}/{count - told['healthy']}",
        f"{told['healthy_touched']}/{told['healthy']}",
        _or_dash(told["rules_median"]),
        _or_dash(told["rounds_median"]),
        _or_dash(told["seconds_median"]),
    ]


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |\n"
