"""Answer calls about resource limits that would hit the emulator, see `triage_tui.guest.cell.limits`."""

from __future__ import annotations

import errno

from triage_tui.guest.cell import limits
from triage_tui.guest.cell.cell import Cell
from triage_tui.guest.cell.limits import Limits
from triage_tui.guest.host import host_memory, process, process_state
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.processes.process_keeper import ProcessKeeper
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.runs.model import Syscall

_CAP_SYS_RESOURCE = 1 << 24


class LimitCalls(ProcessKeeper):
    """The part of a guest that answers for its limits."""

    _cell: Cell

    def _answer_limits(
        self, known: GuestProcess, notification: Notification, name: str, call: Syscall | None
    ) -> bool:
        """Answer a call about a limit that is kept here; False: it is the host's affair."""
        request = limits.Request.of(name, notification.args)
        if not request.is_kept_here:
            return False
        tid = notification.tid
        most = self._emulator_start.open_files
        try:
            pid = known.pid if request.pid in (0, known.inner) else self._pid_of_inner(request.pid)
            target = self._limits_of(pid, known)
            if pid != known.pid and not self._may_limit(known, pid):
                answer = limits.Answer(-errno.EPERM)
            else:
                answer = target.answer(
                    request,
                    limits.host_limit(pid, request.resource),
                    most,
                    self._has_right(known),
                    lambda address, size: host_memory.read_memory(tid, address, size),
                    lambda address, data: host_memory.write_memory(tid, address, data),
                )
            if answer.changed:
                self._emulator_start.lower_limit(pid, target.open_files(most))
        except (ProcessLookupError, FileNotFoundError):
            answer = limits.Answer(-errno.ESRCH)
        if call is not None and answer.note:
            call.note = answer.note
        self._answer(notification, answer.result)
        return True

    def _pid_of_inner(self, inner: int) -> int:
        """Return the host id of the guest's process that has the thread `inner`.

        Raises:
            ProcessLookupError: there is none.
        """
        init = self._cell.init_pid()
        for pid in process.descendants(init) if init is not None else ():
            if inner in map(process.inner_pid, (pid, *process.threads(pid))):
                return pid
        raise ProcessLookupError(errno.ESRCH, "no such process")

    def _limits_of(self, pid: int, caller: GuestProcess) -> Limits:
        """Return the limits of a process of the guest, which may be too young to be known."""
        known = self.processes_known.by_pid.get(pid)
        if known is not None:
            return known.limits
        return self.processes_known.early_limits.setdefault(pid, caller.limits.copy())

    def _has_right(self, known: GuestProcess) -> bool:
        """Return whether a process has CAP_SYS_RESOURCE, as it must believe."""
        if self._cell.single_id and known.identity.uids[1]:
            return False
        effective = process_state.status(f"/proc/{known.pid}").get("CapEff", "0")
        return bool(int(effective, 16) & _CAP_SYS_RESOURCE)

    def _may_limit(self, caller: GuestProcess, pid: int) -> bool:
        """Return whether a process may set the limits of another one: its own user's, or with the right."""
        if self._has_right(caller):
            return True
        other = self.processes_known.by_pid.get(pid)
        if self._cell.single_id:
            return other is None or set(other.identity.uids) == {caller.identity.uids[0]}
        own, others = (process_state.status(f"/proc/{each}") for each in (caller.pid, pid))
        return all(set(others[key].split()[:3]) == {own[key].split()[0]} for key in ("Uid", "Gid"))
