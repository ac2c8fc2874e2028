"""The end of a process: whether it is the end of the guest, which is then frozen in front of it.

A process ends by exit_group, or by a signal that it does not survive: the emulator then sends it to itself.
An emulator that fails ends by itself: no call of the guest is behind that, and it says so in its own words.
"""

from __future__ import annotations

from triage_tui.guest.calls.held_call import Held
from triage_tui.guest.calls.watched_calls import WatchedCalls
from triage_tui.guest.freezing.stops import Stop, make_trigger
from triage_tui.guest.host import process
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.host.signals import signal_name
from triage_tui.guest.log.output import GuestOutput
from triage_tui.guest.log.syscall_record import to_text
from triage_tui.guest.processes.process_table import GuestProcess
from triage_tui.runs.emulator_text import failure_words
from triage_tui.runs.model import LEFT_BEHIND, Syscall
from triage_tui.text import safe_line

_MAX_WORDS = 300
"""Letters of the emulator's own words that are told."""


class ProcessEnds(WatchedCalls):
    """The part of a guest that sees processes end."""

    _held: Held | None
    _output: GuestOutput

    def emulators_words(self) -> str:
        """Return what the emulator said of its own failure, "" where the last word is not its."""
        self._output.read_all()
        stderr = self._output.streams.get("stderr")
        return safe_line(failure_words(stderr.content()), _MAX_WORDS) if stderr is not None else ""

    def _hold(self, held: Held) -> None:
        """Keep a call unanswered; the guest will be frozen at it."""
        self._held = held
        held.rules = self.rules
        self.pid, self.tid = held.process.pid, held.notification.tid
        stop = self._first_stop
        if stop is not None and held.call is not None and not stop.trigger.syscall_name:
            code, which = stop.trigger.exit_code, stop.trigger.signal
            stop.trigger = make_trigger(held.call, stop.trigger.detail)
            stop.trigger.exit_code, stop.trigger.signal = code, which

    def freeze_for(self, why: str, held: Held | None = None) -> None:
        """Have the guest frozen because a rule asks for a person, at a held call if there is one."""
        if self._first_stop is None:
            call = held.call if held is not None else None
            trigger = make_trigger(call, f"the rule directory asks: {why}", self.trace.count)
            self._first_stop = Stop("requested", trigger)
        if held is not None:
            self._hold(held)

    def _outliving(self, known: GuestProcess) -> list[int]:
        """Note that a process is about to end; return the pids of those that go on."""
        known.exiting = True
        exiting = {pid for pid, other in self.processes_known.by_pid.items() if other.exiting}
        return [pid for pid in self.processes() if pid not in exiting and not process.is_ending(pid)]

    def _is_main_killed(self) -> bool:
        """Return whether the main process was killed where it was: that is the end of the guest then."""
        main = self.processes_known.main
        if main is None or main.exiting or "signal" in self.spec.triggers.off:
            return False
        return process.is_ending(main.pid)

    def _on_exit(
        self, known: GuestProcess, notification: Notification, name: str, call: Syscall | None
    ) -> bool:
        """Handle the end of a process; True when it is held (the end of the guest)."""
        if name == "exit":
            # A thread's end; the end of a process is always exit_group.
            return False
        code = notification.args[0] & 0xFF
        failure = self.emulators_words() if call is None else ""
        others = self._outliving(known)
        table = self.processes_known
        if known is not table.main and (others or self._is_main_killed()):
            if call is not None:
                call.note = f"a child process ends with code {code}"
            elif failure:
                self.report(f"process {known.inner} ends because its emulator failed: {failure}")
            return False
        if failure:
            trigger = make_trigger(None, f"the emulator failed: {failure}", self.trace.count, known.inner)
            self._first_stop = Stop("emulator", trigger)
            self._hold(Held(notification, known, name, None))
            return True
        if not others and "exit" in self.spec.triggers.off:
            return False
        if others and code == 0:
            if call is not None:
                call.note = f"the first process ends with code 0, {len(others)} {LEFT_BEHIND}"
            # Its own child, if it has one: others may be helpers of that.
            children = [pid for pid in others if process.parent_of(pid) == known.pid]
            table.move_main((children or others)[-1])
            return False
        trigger = make_trigger(call, f"about to exit with code {code}", self.trace.count, known.inner)
        trigger.exit_code = code
        self._first_stop = Stop("exit", trigger, exit_code=code)
        self._hold(Held(notification, known, name, call))
        return True

    def _on_fatal_signal(self, known: GuestProcess, notification: Notification, name: str) -> bool:
        """Handle the emulator killing itself with the signal that the guest does not survive."""
        log = self.trace.logs.get(notification.tid)
        if log is None or (self.observes_all and log.last_signal is None):
            return False
        if name != "tkill" and notification.args[0] & 0xFFFFFFFF != known.inner:
            # A signal to another process: the log was disturbed.
            return False
        number = notification.args[1 if notification.args[1] else 2] & 0x7F
        which = signal_name(number)
        others = self._outliving(known)
        if (others and known is not self.processes_known.main) or "signal" in self.spec.triggers.off:
            return False
        details = to_text(log.last_signal.details[:200]) if log.last_signal is not None else "not logged"
        last = next((call for call in reversed(self.trace.history) if call.pid == known.inner), None)
        trigger = make_trigger(
            None, f"about to be killed by {which} ({details})", self.trace.count, known.inner
        )
        trigger.signal = which
        if last is not None and last.ret is None:
            trigger.syscall_name = last.name
        self._first_stop = Stop("signal", trigger, signal=which)
        self._hold(Held(notification, known, "kill", None))
        return True
