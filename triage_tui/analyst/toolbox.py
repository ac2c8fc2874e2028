"""The tools that look into a run, as the phase `collect` offers them."""

from __future__ import annotations

from typing import Any

from triage_tui.analyst.tools import Case, call, tool_specs


class CaseTools:
    """All tools, working on one case. What they note, they note in the run directory only."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def specs(self) -> list[dict[str, Any]]:
        """Return the tools as `tools` of the OpenAI chat interface."""
        return tool_specs()

    def call(self, name: str, arguments: str) -> dict[str, Any]:
        """Answer a call; names that do not exist and arguments that do not fit are answers too."""
        return call(self._case, name, arguments)
