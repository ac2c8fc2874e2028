"""Decide whether a guest that goes round or does nothing has failed: ask its service, and wait a little."""

from __future__ import annotations

from triage_tui.guest.calls.call_handler import CallHandler
from triage_tui.guest.freezing.loops import LoopDetector
from triage_tui.guest.freezing.stops import Stop, Watchdog, make_trigger
from triage_tui.guest.freezing.suspicion import Line, Prober, Suspicion
from triage_tui.guest.spec import LaunchSpec
from triage_tui.runs.model import Probe

_MOST_SUSPICIONS = 4
"""How often the service is asked in one run: who then seems to hang again is believed."""


class Suspecting(CallHandler):
    """The part of a guest that suspects before it believes."""

    spec: LaunchSpec
    probes: list[Probe]
    """What was asked of the guest's service since it runs, and the answers."""
    _prober: Prober | None
    _asked: list[Suspicion]
    """Suspicions that are over; they may have connections to the guest."""
    _suspicions: int
    _watchdog: Watchdog

    def _suspect(self, stop: Stop, tid: int = 0, loop: LoopDetector | None = None) -> None:
        """Ask and wait before a loop or an idle state is believed."""
        limits = self.spec.triggers
        if self._suspicion is not None:
            return
        if stop.reason in limits.off:
            if loop is not None:
                loop.reset()
            return
        living = self.processes()
        prober = self._prober if self._suspicions < _MOST_SUSPICIONS and living else None
        at_once = stop.reason == "time_limit" or limits.grace_s == 0
        if at_once and prober is None:
            self._looping_tid, self._first_stop = tid, stop
            if loop is not None and stop.loop is not None:
                loop.follow(stop.loop)
            return
        self._suspicions += 1
        line = None
        if prober is not None:
            # All of the guest's sockets: which process would answer is not known beforehand.
            stable_s = 0.0 if stop.reason == "time_limit" else limits.stable_s
            line = Line(self.listening(), living[0], stable_s)
        self._suspicion = Suspicion(
            stop, self.trace, limits.grace_s, tid=tid, loop=loop, prober=prober, line=line
        )

    def _weigh(self, suspicion: Suspicion) -> None:
        """Decide about a suspected state, when it can be decided."""
        suspicion.serve(self._cell.open_socket)
        if suspicion.stop.reason == "time_limit":
            # Nothing is to last any more; but who answers is no failure.
            if not suspicion.is_asking:
                self._believe(suspicion)
            return
        overdue = self._watchdog.overdue(self.trace.count)
        if suspicion.is_asking and overdue is None:
            return
        found = suspicion.look()
        # Who has answered is not asked whether it goes on to do so beyond the time limit.
        well = not suspicion.is_awaited and suspicion.is_well()
        if well and overdue is None and not suspicion.is_over:
            return
        if found is None and not well and overdue is None:
            return
        if found and not well and overdue is None and not suspicion.is_ripe():
            return
        if found is not False and not well:
            self._believe(suspicion)
            return
        self._close_suspicion()
        if well:
            told = suspicion.probes()
            best = next((probe for probe in told if probe.outcome == "answered"), told[0])
            detail = f"its service is well: {best.detail}"
            self._first_stop = Stop("idle", make_trigger(None, detail, self.trace.count))
        elif overdue is not None:
            self._first_stop = overdue
        else:
            # It was not what it seemed: begin anew.
            self._hang_up()
            for known in self.processes_known.by_pid.values():
                known.loops.clear()
            self._watchdog.rest()

    def _believe(self, suspicion: Suspicion) -> None:
        stop = suspicion.believed()
        if stop.reason == "idle" and suspicion.has_moved:
            stop = self._as_it_is_now(suspicion)
        self._close_suspicion()
        self._looping_tid, self._first_stop = suspicion.tid, stop

    def _as_it_is_now(self, suspicion: Suspicion) -> Stop:
        """Return the stop of an idle guest that the questions brought to another place."""
        if suspicion.is_over:
            return self._watchdog.idle(self, suspicion.quiet_s, suspicion.at_rest)
        return self._watchdog.overdue(self.trace.count) or suspicion.stop

    def _close_suspicion(self) -> None:
        suspicion, self._suspicion = self._suspicion, None
        if suspicion is not None:
            suspicion.close()
            self.probes += suspicion.probes()
            self._asked.append(suspicion)

    def _hang_up(self) -> None:
        """Close the connections of all questions: the guest is frozen, gone, or goes on for other reasons."""
        while self._asked:
            self._asked.pop().hang_up()
