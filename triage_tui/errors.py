"""The one exception whose text is meant for the user, and the one for who is asked to end."""

from triage_tui.exit_codes import CONFLICT, REFUSED


class TriageError(Exception):
    """A failure the user can act on. The message is one sentence: what, where, what to do.

    `exit_code` is what a command ends with when this reaches it.
    """

    exit_code = REFUSED


class Conflict(TriageError):
    """Somebody else decided first; nothing was changed."""

    exit_code = CONFLICT


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; `number` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Stopped(TriageError):
    """A person stopped what was being done; nothing of it is left behind."""
