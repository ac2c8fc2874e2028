"""What a check says about a rule."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning"]
"""An "error" means that the rule cannot do its work or does harm, and cannot be approved; a "warning" is
something a reviewer should know."""


class Finding(msgspec.Struct, frozen=True):
    """One thing found. `line` counts from 1; `message` may quote the rule and is untrusted text."""

    line: int
    severity: Severity
    code: str
    message: str

    @property
    def is_conflict(self) -> bool:
        """Whether a person has to want it all the same, without its being an error.

        It and active rules get in each other's way, or it does more on the engine that it is published for.
        """
        return self.severity == "warning" and self.code in ("conflict", "same-id", "elsewhere")


def in_order(findings: list[Finding]) -> list[Finding]:
    """Return findings by line, errors first on each, every one once."""
    return sorted(dict.fromkeys(findings), key=lambda one: (one.line, one.severity, one.code))
