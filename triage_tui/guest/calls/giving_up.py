"""Answer a held call that could not be decided about: what containment has a say in is not executed.

A fault of the supervisor must neither hang a guest nor let anything out. So calls that no decision is about
are executed as they stand, and all others fail as they may on a real device; where even that cannot be found
out the call is refused. Where the supervisor has no descriptor left it would decide blindly from then on, so
that the guest is frozen.
"""

from __future__ import annotations

import contextlib
import errno

from triage_tui.guest.cell import limits, own_descriptors, policy
from triage_tui.guest.freezing.stops import Stop, make_trigger
from triage_tui.guest.host.descriptor_reserve import is_exhausted
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.processes.process_keeper import ProcessKeeper

EXHAUSTED = "the supervisor has no descriptors left: the guest was frozen"


class GivingUp(ProcessKeeper):
    """The part of a guest that answers where its supervision fails."""

    containment: policy.ContainmentPolicy
    _first_stop: Stop | None

    def _on_fault(self, notification: Notification, name: str, error: Exception) -> None:
        """Answer a call at whose handling `error` was raised."""
        # A thread that was killed meanwhile is no fault.
        if self._carrier.is_waiting(notification):
            self.report(f"handling the host call {name} failed, so no rule was asked: {error!r}")
        self._give_up(notification, name)
        if is_exhausted(error):
            self._exhausted_stop()

    def _exhausted_stop(self) -> Stop:
        """Return why a guest is frozen whose supervisor has no descriptors left."""
        if self._first_stop is None:
            if EXHAUSTED not in self.problems:
                self.report(EXHAUSTED)
            self._first_stop = Stop("unknown", make_trigger(None, EXHAUSTED, self.trace.count))
        return self._first_stop

    def _give_up(self, notification: Notification, name: str) -> None:
        """Answer a call whose handling failed or was broken off; nothing is raised."""
        try:
            result = self._undecided_result(notification, name)
        except Exception:
            result = -errno.EPERM
        with contextlib.suppress(OSError):
            if result is None:
                self._proceed(notification)
            else:
                self._answer(notification, result)

    def _undecided_result(self, notification: Notification, name: str) -> int | None:
        """Return how a call is answered that nobody has decided about, None to have it executed.

        Raises:
            OSError: it is not known what it would do.
        """
        first = self._first_own_fd
        if name in policy.EXECUTIONS:
            # Executed natively, a program would leave the emulation.
            return -errno.EACCES
        if name in policy.FORKS:
            return -errno.EAGAIN
        if name in limits.CALLS:
            return -errno.EPERM
        if (refusal := self.containment.judge(name, notification)) is not None:
            return refusal.result
        if own_descriptors.closes(name, notification, first):
            return -errno.EBADF
        if number := own_descriptors.refusal(name, notification, first):
            return -number
        if self._emulator_start.is_log_open(notification.tid, name, notification):
            # Executed, it would leave a file in the guest's root.
            return -errno.EMFILE
        return None
