"""Both futures of a rule as rows: the verdict, the first difference, what each came to, and their calls."""

from __future__ import annotations

from triage_tui.retry.trials.beside import call_text, calls_beside, is_same, pairs
from triage_tui.runs.trials_model import CallLine, Counterfactual
from triage_tui.text import safe_line
from triage_tui.ui.rows import BLANK, Part, Row, field, fit, heading, short, wrapped

SIDE_BY_SIDE = 90
"""Columns from which the futures stand beside each other."""
_LABEL = 12
_ROLES = {"progressed": "good", "resolved": "good", "regressed": "bad"}


def futures_rows(found: Counterfactual, width: int) -> list[Row]:
    """Return the rows."""
    verdict = found.verdict
    rows = field(
        "verdict",
        safe_line(f"{verdict.word} ({verdict.rung}): {'; '.join(verdict.reasons)}", 1200),
        width,
        _ROLES.get(verdict.word, "warn"),
        _LABEL,
    )
    rows += field("differs", safe_line(found.difference, 800), width, "strong", _LABEL)
    for text in verdict.masked[:8]:
        rows += field("masked", f"not fixed: {safe_line(text, 300)}", width, "warn", _LABEL)
    for text in found.notes:
        rows += field("note", safe_line(text, 400), width, "warn", _LABEL)
    rows += [BLANK, *_pair_rows(found, width), BLANK]
    rows += [heading("Calls", width, f"{found.common} before are the same"), *_call_rows(found, width)]
    if found.lost:
        rows += [BLANK, heading("Not done with the rule", width)]
        for text in found.lost[:12]:
            rows += wrapped(safe_line(text, 300), width, "warn", 1)
    when = found.wall[:19].replace("T", " ")
    told = f"{when}, {found.seconds:.0f} s, {found.actor}; alike: {'; '.join(found.alike)}"
    rows += [BLANK, *wrapped(safe_line(told, 800), width, "muted", 1)]
    return rows


def _pair_rows(found: Counterfactual, width: int) -> list[Row]:
    rows: list[Row] = []
    if width >= SIDE_BY_SIDE:
        room = (width - _LABEL - 4) // 2
        head = f"{'':<{_LABEL}}  {fit('WITHOUT THE RULE', room)}  {fit('WITH THE RULE', room)}"
        rows.append(Row(((head, "muted"),), fill="section"))
        for pair in pairs(found):
            role = "strong" if pair.differs else "muted"
            parts: tuple[Part, ...] = (
                (fit(pair.label, _LABEL), "muted"),
                ("≠ " if pair.differs else "  ", "warn"),
                (fit(pair.without, room), role),
                ("  ", ""),
                (fit(pair.with_rules, room), role),
            )
            rows.append(Row(parts, whole=f"{pair.without} {pair.with_rules}"))
        return rows
    rows.append(heading("Without (-) and with (+) the rule", width))
    for pair in pairs(found):
        if not pair.differs:
            rows += field(f"  {pair.label}", pair.without, width, "muted", _LABEL + 2)
            continue
        rows += field(f"- {pair.label}", pair.without, width, "", _LABEL + 2)
        rows += field("+", pair.with_rules, width, "strong", _LABEL + 2)
    return rows


def _call_rows(found: Counterfactual, width: int) -> list[Row]:
    rows: list[Row] = []
    for left, right in calls_beside(found):
        same = is_same(left, right)
        if width >= SIDE_BY_SIDE:
            room = (width - 3) // 2
            parts: tuple[Part, ...] = (
                (fit(call_text(left), room), "muted" if same else _role(left)),
                ("   " if same else " ≠ ", "warn"),
                (fit(call_text(right), room), "muted" if same else _role(right)),
            )
            rows.append(Row(parts, whole=f"{call_text(left)} {call_text(right)}"))
            continue
        shown = [("  ", right)] if same else [("- ", left), ("+ ", right)]
        for sign, one in shown:
            if one is not None:
                text = short(call_text(one), width - 2)
                rows.append(
                    Row(((sign, "warn"), (text, "muted" if same else _role(one))), whole=call_text(one))
                )
    return rows


def _role(call: CallLine | None) -> str:
    return "info" if call is not None and call.rule else ""
