"""What the views may ask to be done, and the guard that makes read-only mode hold below them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from triage_tui.errors import TriageError

if TYPE_CHECKING:
    from triage_tui.rulebook.choices import Approval

Decision = Literal["resume", "retry", "end"]


class Actions(Protocol):
    """The changes a person can make. Every method may block and is called from a worker thread.

    Each returns one sentence that says what was done, and raises `TriageError` with one sentence otherwise.
    """

    def approve(self, run_id: str, files: list[str]) -> str:
        """Activate the rule files (relative to `rules_patch/`) of a run as a new generation."""

    def approve_shown(self, run_id: str, approvals: Sequence[Approval]) -> str:
        """Activate rule texts that a person saw; refused when a file is another by now."""

    def reject(self, run_id: str, reason: str) -> str:
        """Reject the proposals of a run for `reason`."""

    def drop(self, run_id: str, names: Sequence[str], reason: str) -> str:
        """Note that some files or hunks of a run are not wanted, and why."""

    def reconsider(self, run_id: str) -> str:
        """Take back what was rejected or dropped last in a run."""

    def undo_approval(self, run_id: str) -> str:
        """Take back the last approval on a run that was made through these actions, if it is still active."""

    def rollback(self, run_id: str) -> str:
        """Move the target of a run back to the generation before the active one."""

    def save_edit(self, run_id: str, relpath: str, text: str, expect: str | None = None) -> str:
        """Replace the text of one proposed rule file; `expect` is the SHA-256 of the text that was edited."""

    def decide(self, run_id: str, action: Decision) -> str:
        """Tell the holder of the frozen guest what to do with it."""

    def retry(self, run_id: str) -> str:
        """Run the target again in the background, when no holder of the run is alive to do it."""

    def freeze(self) -> str:
        """Have the guest that was started last frozen and recorded."""

    def decompile(self, run_id: str, frame: int, cancel: threading.Event) -> str:
        """Decompile the function of a frame and keep the text in the record; `cancel` ends it."""


class Deferred:
    """Actions that are made when the first is asked for: what they import does not delay the first frame."""

    def __init__(self, make: Callable[[], Actions]) -> None:
        self._make = make
        self._made: Actions | None = None

    def _actions(self) -> Actions:
        if self._made is None:
            self._made = self._make()
        return self._made

    def approve(self, run_id: str, files: list[str]) -> str:
        """Pass on."""
        return self._actions().approve(run_id, files)

    def approve_shown(self, run_id: str, approvals: Sequence[Approval]) -> str:
        """Pass on."""
        return self._actions().approve_shown(run_id, approvals)

    def drop(self, run_id: str, names: Sequence[str], reason: str) -> str:
        """Pass on."""
        return self._actions().drop(run_id, names, reason)

    def reconsider(self, run_id: str) -> str:
        """Pass on."""
        return self._actions().reconsider(run_id)

    def reject(self, run_id: str, reason: str) -> str:
        """Pass on."""
        return self._actions().reject(run_id, reason)

    def undo_approval(self, run_id: str) -> str:
        """Pass on."""
        return self._actions().undo_approval(run_id)

    def rollback(self, run_id: str) -> str:
        """Pass on."""
        return self._actions().rollback(run_id)

    def save_edit(self, run_id: str, relpath: str, text: str, expect: str | None = None) -> str:
        """Pass on."""
        return self._actions().save_edit(run_id, relpath, text, expect)

    def decide(self, run_id: str, action: Decision) -> str:
        """Pass on."""
        return self._actions().decide(run_id, action)

    def retry(self, run_id: str) -> str:
        """Pass on."""
        return self._actions().retry(run_id)

    def freeze(self) -> str:
        """Pass on."""
        return self._actions().freeze()

    def decompile(self, run_id: str, frame: int, cancel: threading.Event) -> str:
        """Pass on."""
        return self._actions().decompile(run_id, frame, cancel)


class ReadOnly:
    """Actions that change nothing: each says why in one sentence."""

    def __init__(
        self, why: str = "This view is read-only: start triage-tui without --read-only to decide."
    ) -> None:
        self._why = why

    def approve(self, run_id: str, files: list[str]) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def approve_shown(self, run_id: str, approvals: Sequence[Approval]) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def drop(self, run_id: str, names: Sequence[str], reason: str) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def reconsider(self, run_id: str) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def reject(self, run_id: str, reason: str) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def undo_approval(self, run_id: str) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def rollback(self, run_id: str) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def save_edit(self, run_id: str, relpath: str, text: str, expect: str | None = None) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def decide(self, run_id: str, action: Decision) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def retry(self, run_id: str) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def freeze(self) -> str:
        """Refuse."""
        raise TriageError(self._why)

    def decompile(self, run_id: str, frame: int, cancel: threading.Event) -> str:
        """Refuse."""
        raise TriageError(self._why)
