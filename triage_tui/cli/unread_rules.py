"""Say which of the rules that were named cannot be read, after the others were looked at."""

from __future__ import annotations

from collections.abc import Sequence

from triage_tui.cli.output import say
from triage_tui.errors import TriageError
from triage_tui.retry.rules.named_rules import Unread


def say_unread(unread: Sequence[Unread]) -> int:
    """Print one sentence for each; returns the exit code for them, 0 for none."""
    for one in unread:
        say(one.sentence)
    return TriageError.exit_code if unread else 0


def as_data(unread: Sequence[Unread]) -> list[dict[str, str]]:
    """Return them for JSON."""
    return [{"rule": one.name, "why": one.why} for one in unread]
