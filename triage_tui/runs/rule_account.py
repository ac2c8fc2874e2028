"""What a rule did and cost in a run, in words."""

from __future__ import annotations

from triage_tui.runs.model import AT_START, RuleHit
from triage_tui.text import safe_line


def rule_account(hit: RuleHit) -> str:
    """Return how often a rule was asked, how it failed and what it cost; "" when the run does not say.

    Hits, limit and the reason for which it was switched off are told apart from this.
    """
    if hit.syscall == AT_START:
        return ""
    if not hit.calls and not hit.skipped and not hit.errors and hit.asked_restart is None:
        return ""
    parts = [f"asked {hit.calls} time{'' if hit.calls == 1 else 's'}"]
    if hit.calls:
        parts.append(f"{hit.time_total_us // hit.calls} us each, {hit.time_max_us} us at most")
    if hit.errors:
        parts.append(f"{hit.errors} error{'' if hit.errors == 1 else 's'}")
    if hit.skipped:
        parts.append(f"skipped at {hit.skipped} calls, because it was asked too often")
    if hit.on_failure == "closed":
        parts.append("a failure answers the call with EPERM")
    if hit.asked_restart is not None:
        why = f" ({safe_line(hit.asked_restart, 80)})" if hit.asked_restart else ""
        parts.append(f"it asks to start the program again{why}")
    return ", ".join(parts)
