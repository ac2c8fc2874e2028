"""Why a guest cannot go on from a checkpoint: one clause each, which a sentence ends with."""

from __future__ import annotations

from triage_tui.errors import TriageError

START_OVER = "retry from the start instead"


class Obstacle(TriageError):
    """No checkpoint can be taken or restored; the text says why, and follows "because"."""
