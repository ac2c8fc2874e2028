"""What the views may ask to be done, and the guard that makes read-only mode hold below them."""

from __future__ import annotations

from typing import Literal, Protocol

from triage_tui.errors import TriageError

Decision = Literal["resume", "retry", "end"]


class Actions(Protocol):
    """The changes a person can make. Every method may block and is called from a worker thread.

    Each returns one sentence that says what was done, and raises `TriageError` with one sentence otherwise.
    """

    def approve(self, run_id: str, files: list[str]) -> str:
        """Activate the rule files (relative to `rules_patch/`) of a run as a new generation."""

    def reject(self, run_id: str, reason: str) -> str:
        """Reject the proposals of a run for `reason`."""

    def rollback(self, run_id: str) -> str:
        """Move the target of a run back to the generation before the active one."""

    def save_edit(self, run_id: str, relpath: str, text: str) -> str:
        """Replace the text of one proposed rule file."""

    def decide(self, run_id: str, action: Decision) -> str:
        """Tell the holder of the frozen guest what to do with it."""

    def retry(self, run_id: str) -> str:
        """Run the target again in the background, when no holder of the run is alive to do it."""


class ReadOnly:
    """Actions that change nothing: each says why in one sentence."""

    def __init__(
        self, why: str = "This view is read-only: start triage-tui without --read-only to decide."
    ) -> None:
        self._why = why

    def approve(self, run_id: str, files: list[str]) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def reject(self, run_id: str, reason: str) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def rollback(self, run_id: str) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def save_edit(self, run_id: str, relpath: str, text: str) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def decide(self, run_id: str, action: Decision) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def retry(self, run_id: str) -> str:
        """Refuse."""
        raise TriageError(self._why)
