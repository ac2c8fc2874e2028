"""What a rule does, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from triage_tui.rulebook.check.explained import Explained
from triage_tui.rulebook.rulefile import PLUGIN
from triage_tui.text import number_of, safe_line


def _of(one: Explained) -> str:
    # A plugin is asked about several syscalls, which stand in the line before.
    return "" if one.syscall.startswith(PLUGIN) else f" of {one.syscall}"


def lines_of(one: Explained) -> Iterator[str]:
    """Yield the lines that explain a rule, safe to show."""
    yield safe_line(one.sentence, 600)
    limit = number_of(one.hit_limit, "hit") if one.hit_limit is not None else "none"
    asked = " and ".join(one.asked) or "never"
    for label, text in (
        ("calls", one.calls or f"every {one.syscall}"),
        ("asked", f"{asked}{_of(one)}" if one.asked else ""),
        ("intent", one.intent),
        ("effect", one.effect),
        ("limit", f"{limit}{f'; {one.budget}' if one.budget else ''}; on failure {one.on_failure}"),
        ("risk", one.risk or "not named"),
        ("inverse", one.inverse or "not named: rolling back the generation switches the rule off"),
        ("from", one.born),
    ):
        if text:
            yield safe_line(f"{label + ':':<9}{text}", 600)
    if one.unknown:
        yield safe_line(f"body:    {one.unknown}", 400)
        return
    if not one.deeds:
        log = ", but writes to the log" if "c_log" in one.helpers else ""
        yield f"body:    neither answers nor changes anything{log}"
    for deed in one.deeds:
        yield safe_line(f"line {deed.line}:".ljust(9) + deed.told, 600)
    if one.arguments:
        yield f"reads:   {', '.join(f'argument {number}' for number in one.arguments)}"
    if one.helpers:
        yield safe_line(f"helpers: {', '.join(one.helpers)}", 400)
    if one.keeps:
        yield safe_line(f"keeps:   {', '.join(one.keeps)} from call to call", 400)
    for text in one.disagree:
        yield safe_line(f"DISAGREE: {text}", 600)
