"""How a rule differs from another, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from triage_tui.rulebook.check.rule_changes import RuleChange
from triage_tui.text import safe_line


def lines_of(one: RuleChange, *, text: bool) -> Iterator[str]:
    """Yield the lines that tell of a change, safe to show."""
    kinds = {"reworded": "reworded (what it does is the same)"}
    yield safe_line(f"{one.id}: {kinds.get(one.kind, one.kind)}", 200)
    for field in one.fields:
        note = f" ({field.note})" if field.note else ""
        yield safe_line(f"  {field.name}: {field.old or '-'} -> {field.new or '-'}{note}", 600)
    yield from (safe_line(f"  no more: {deed}", 600) for deed in one.no_more)
    yield from (safe_line(f"  now:     {deed}", 600) for deed in one.now)
    yield from (safe_line(f"  {told}", 400) for told in one.also)
    if text:
        yield from (f"    {line}" for line in one.text)
