"""The call at which a guest is frozen."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.rulehost.protocol import RuleCaller
from triage_tui.runs.model import Syscall


class Held(msgspec.Struct):
    """The notification that is kept unanswered while the guest is frozen."""

    notification: Notification
    process: GuestProcess
    name: str
    call: Syscall | None
    is_logged: bool = False
    """The emulator writes the call's failure into its log: it has been executed."""
    rules: RuleCaller | None = None
    """The rules that were there when it was held."""
    go_on: Callable[[], bool] | None = None
    """What a rule that waits for a person does next; False when the notification is still to be answered."""
