"""Let calls go on at once that nobody decides about, and remember what only the held thread shows.

Rules may want such a call after the next freeze, so it is notified; until then its guest waits for one look
at its registers and nothing else. The look becomes part of the call's record when its text is read.
"""

from __future__ import annotations

import contextlib
import os

from triage_tui.guest.arch import Arch
from triage_tui.guest.calls.rule_calls import RuleAsker
from triage_tui.guest.calls.served_calls import may_be_told
from triage_tui.guest.cell import identity, own_descriptors, policy
from triage_tui.guest.emulator import call_site
from triage_tui.guest.freezing.stops import Stop
from triage_tui.guest.freezing.suspicion import Suspicion
from triage_tui.guest.freezing.triggers import CallTrigger
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.syscall_record import to_text
from triage_tui.guest.log.thread_log import Seen, ThreadLog
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.runs.model import Syscall

_PASSED_ON = frozenset(
    str.split(
        "open openat openat2 creat mkdir mkdirat mknod mknodat unlink unlinkat rename renameat renameat2 "
        "rmdir symlink symlinkat link linkat chmod fchmodat chown lchown fchown fchownat chdir socket listen "
        "setsockopt getsockopt sysinfo uname getuid geteuid getgid getegid getgroups getresuid getresgid "
        "ioctl sendmsg"
    )
)
"""Host calls that are executed as they are when no rule hooks them; connect and its like have addresses that
are read while they last."""
_MAX_SEEN = 50_000
_NEW_FILE = os.O_CREAT | os.O_WRONLY


def _all_at(index: int, names: str) -> dict[str, int]:
    return dict.fromkeys(names.split(), index)


PATH_ARGUMENT = {
    **_all_at(
        0,
        "open creat stat lstat access readlink mkdir mknod unlink rename rmdir symlink link chmod chown "
        "lchown execve chdir chroot",
    ),
    **_all_at(
        1,
        "openat newfstatat statx faccessat faccessat2 readlinkat mkdirat mknodat unlinkat renameat renameat2 "
        "linkat fchmodat fchownat execveat inotify_add_watch",
    ),
}
"""Host call -> index of the argument that points to its path."""


class UndecidedCalls(RuleAsker):
    """The part of a guest that lets calls go on."""

    _first_stop: Stop | None
    _suspicion: Suspicion | None
    _chosen: tuple[CallTrigger, ...]
    """Calls at which a person wants the guest frozen."""
    _forgers: set[int]
    """Processes, as the guest numbers them, that wrote to a descriptor of their emulator's."""
    _places: dict[str, int]
    """Architecture -> where in its emulator's pages the guest's own calls are made, see `call_site`."""
    _passed_on: frozenset[str]
    """Host calls that no rule hooks now."""
    _log_is_unasked: bool
    """Whether no rule and no person waits for what the log says of calls that the emulator answers."""
    hookable: frozenset[str]

    def _choose_passed_on(self) -> None:
        """Find out which calls nobody decides about with the rules as they are."""
        names = set(_PASSED_ON)
        if self._cell.single_id:
            names -= identity.CALLS
        for hooked in self.rules.hooks() if self.rules is not None else ():
            names -= policy.host_names(hooked)
        hooks = self.rules.hooks() if self.rules is not None else set()
        self._log_is_unasked = not self._chosen and not any(map(may_be_told, hooks))
        self._passed_on = frozenset() if self._chosen else frozenset(names)

    def _writes_log(self, notification: Notification, name: str) -> bool:
        """Return whether the emulator writes to a descriptor of its own."""
        if name != "write" or notification.args[0] & 0xFFFFFFFF < self._first_own_fd:
            return False
        if notification.pointer & call_site.PAGE_MASK not in self._places.values():
            return True
        return not call_site.is_for_guest(notification.tid, notification.pointer)

    def _may_stop(self) -> bool:
        """Tell whether what the log says of the next call may freeze the guest."""
        return bool(self._first_stop or self._suspicion or self._chosen)

    def _is_mere_log(self, notification: Notification, name: str) -> bool:
        """Return whether this is a piece of the log that nobody waits for."""
        return self._log_is_unasked and self._writes_log(notification, name)

    def _undecided(self, notification: Notification, name: str) -> tuple[GuestProcess, ThreadLog, int] | None:
        """Return process, log and registers' address of the thread whose call just goes on; None if it may
        not.
        """
        tid, args = notification.tid, notification.args
        log = self.trace.logs.get(tid)
        known = self.processes_known.of_thread(tid)
        if log is None or known is None or log.is_altered or self._first_stop is not None:
            return None
        if name in policy.OPENS and args[policy.OPENS[name]] & _NEW_FILE == _NEW_FILE:
            # It may be the emulator's log.
            return None
        env = known.envs.get(tid)
        if env is None or self.containment.judge(name, notification) is not None:
            return None
        if own_descriptors.refusal(name, notification, self._first_own_fd):
            return None
        if self.peers.may_answer(name, notification):
            return None
        return known, log, env

    def _pass_on(self, notification: Notification, name: str) -> bool:
        """Let the call go on when that is all there is to do; return whether it was."""
        undecided = self._undecided(notification, name)
        if undecided is None:
            return False
        known, log, env = undecided
        tid, args = notification.tid, notification.args
        log.mark(whole=True)
        if log.marked not in log.seen and len(log.seen) < _MAX_SEEN:
            path = None
            with contextlib.suppress(OSError):
                # The emulator has its own idea of some /proc paths; the log has the guest's words.
                if name in PATH_ARGUMENT:
                    path = known.memory.read_string(tid, args[PATH_ARGUMENT[name]])
                registers = known.memory.read(tid, env, log.registers_size)
                log.seen[log.marked] = Seen(name, registers, self.location_of(tid).pc_offset, path)
        self._proceed(notification)
        return True

    def _on_seen(self, arch: Arch, call: Syscall, seen: Seen) -> None:
        """Add to a record what was seen while the call was held, unless the emulator made it for itself."""
        if seen.host not in policy.host_names(call.name):
            return
        call.host = seen.host
        registers = arch.registers_from_env(seen.registers, seen.pc_offset)
        # Those of socketcall(2) are in memory.
        is_plain = call.num != arch.syscall_nr("socketcall")
        if not call.args and is_plain and call.num == arch.syscall_in(registers):
            call.args = [registers[name] for name in arch.syscall_args][:6]
            call.pc = registers.get(arch.pc)
            call.return_address = registers.get(arch.lr) if arch.lr else None
        if seen.path is not None and not (call.path or "").startswith("/proc/"):
            call.path = to_text(seen.path)
