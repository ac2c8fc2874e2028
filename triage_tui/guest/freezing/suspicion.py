"""A loop or an idle state is not believed at once: the service is asked, and the state has to last.

While a state is suspected the guest runs. Questions are put by a thread of its own, so that the supervisor
goes on answering the guest's calls; it asks through a `Line`, whose sockets the cell's init makes in the
guest's network name space: 127.0.0.1 is the guest's.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from triage_tui.guest.freezing.activity import Measurement, measure
from triage_tui.guest.freezing.loops import TIMED_WAITS, LoopDetector
from triage_tui.guest.freezing.stops import Stop, loop_stop
from triage_tui.guest.freezing.triggers import MAX_PERIOD
from triage_tui.guest.host import process
from triage_tui.guest.log.trace import Trace
from triage_tui.runs.model import Probe, Syscall

_SOCKET_PATIENCE_S = 5.0
_SETTLED_S = 0.2
_NEXT_CALL_S = 0.1
_MOST_SETTLING_S = 2.0
_WORK_S = 0.001
"""Processor time for each call from which on a thread computes rather than repeats its calls."""
_ACCEPTS = frozenset(("accept", "accept4", "socketcall"))
_FOR_CLIENTS = _ACCEPTS | TIMED_WAITS
"""Calls in which a server waits for clients, and for what they send."""
_NO_FAILURES = frozenset(("EAGAIN", "EINTR"))


class Line:
    """What a prober may use, from its own thread. `listening` says where the guest can be reached."""

    def __init__(self, listening: list[str], pid: int, stable_s: float = 0.0) -> None:
        self.listening = listening
        self.pid = pid
        """Host pid of a process of the guest, which shows its name spaces."""
        self.stable_s = stable_s
        """How long who has answered must go on before it is asked for the last time."""
        self.is_closed = threading.Event()
        self.is_answered = threading.Event()
        """Set by the prober when each question was put once: what follows only confirms the answers."""
        self._kept: list[socket.socket] = []
        self._wanted: queue.SimpleQueue[tuple[int, int, queue.SimpleQueue[int]]] = queue.SimpleQueue()

    def open_socket(self, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        """Return a new socket of the guest's network.

        Raises:
            OSError: there is none.
        """
        if self.is_closed.is_set():
            raise OSError("the guest is frozen or gone")
        reply: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._wanted.put((int(family), int(kind), reply))
        try:
            result = reply.get(timeout=_SOCKET_PATIENCE_S)
        except queue.Empty:
            raise OSError("the guest's network cannot be reached") from None
        if result < 0:
            raise OSError(-result, "no socket in the guest's network")
        return socket.socket(fileno=result)

    def keep(self, connection: socket.socket) -> None:
        """Leave a connection open until the guest is frozen: its end would be news for a program that serves
        one client, and what it would do then is not what is looked at."""
        self._kept.append(connection)

    def hang_up(self) -> None:
        """Close what was left open."""
        while self._kept:
            self._kept.pop().close()

    def serve(self, make: Callable[[int, int], int]) -> None:
        """In the supervisor's thread: make the wanted sockets; `make` gives a descriptor or -errno."""
        while not self._wanted.empty():
            family, kind, reply = self._wanted.get()
            reply.put(make(family, kind))


Prober = Callable[[Line], Iterable[Probe]]
"""Asks the service and gives what came of it, one question after the other, in a time of its own bounds. What
it gave it may complete afterwards."""


class _Asking(msgspec.Struct):
    line: Line
    results: list[Probe] = msgspec.field(default_factory=list)
    is_done: threading.Event = msgspec.field(default_factory=threading.Event)


def _ask(prober: Prober, line: Line) -> _Asking:
    asking = _Asking(line)

    def work() -> None:
        try:
            for probe in prober(line):
                asking.results.append(probe)
        except Exception as error:
            asking.results.append(Probe(target="the service", outcome="failed", detail=repr(error)[:300]))
        finally:
            asking.is_done.set()

    threading.Thread(target=work, daemon=True).start()
    return asking


def is_well(probes: list[Probe], *, waits_again: bool = False) -> bool:
    """Tell whether probes show a service that works: it answers, and nothing that a person asked fails.

    `waits_again`: it took connections and waits for clients again. Who speaks another protocol than HTTP
    answers nothing, so that is as much as can be known.
    """
    named = [probe for probe in probes if probe.asked]
    if named:
        return all(probe.outcome in ("answered", "accepted") for probe in named)
    if any(probe.outcome == "answered" for probe in probes):
        return True
    return waits_again and bool(probes) and all(probe.outcome == "accepted" for probe in probes)


def _takes_client(call: Syscall) -> bool:
    return call.name in _ACCEPTS and call.ret is not None and call.ret >= 0


class Suspicion:
    """One state that is suspected to be a failure."""

    def __init__(
        self,
        stop: Stop,
        trace: Trace,
        grace_s: float,
        *,
        tid: int = 0,
        loop: LoopDetector | None = None,
        prober: Prober | None = None,
        line: Line | None = None,
    ) -> None:
        """`tid` and `loop` are those of the thread that goes round; without them the guest is idle."""
        self.stop = stop
        self.tid = tid
        self._loop = loop
        self._trace = trace
        self._grace_s = grace_s
        self._first_seq = trace.count
        self._accepted_before = {call.seq for call in trace.history if _takes_client(call)}
        self._quiet_since = time.monotonic()
        self._quiet_count = trace.count
        self._cpu_at_rest = process.cpu_seconds(tid) if tid else 0.0
        """Processor time of the thread that goes round, at `_quiet_since`."""
        self.ripe_since = 0.0
        """When the state was believed, 0 before that."""
        self._settled_since = self._asked_until = 0.0
        self._settled_count = -1
        self._asking = _ask(prober, line) if prober is not None and line is not None else None
        self.is_over = self._asking is None
        """Whether what the questions set off is over."""
        self.at_rest: Measurement | None = None
        """The processor time of all threads when that was."""
        if loop is not None and stop.loop is not None:
            loop.follow(stop.loop)

    def serve(self, make: Callable[[int, int], int]) -> None:
        """Give the prober what it needs."""
        if self._asking is not None:
            self._asking.line.serve(make)

    @property
    def is_asking(self) -> bool:
        """Whether the service is still asked, be it only whether it goes on answering."""
        return self._asking is not None and not self._asking.is_done.is_set()

    @property
    def is_awaited(self) -> bool:
        """Whether a first answer is still awaited."""
        return self.is_asking and self._asking is not None and not self._asking.line.is_answered.is_set()

    def probes(self) -> list[Probe]:
        """Return what was asked and answered so far."""
        if self._asking is None:
            return []
        found = list(self._asking.results)
        if self.is_awaited and self._asking.line.is_closed.is_set():
            detail = "the guest was frozen or ended before it had answered"
            found.append(Probe(target="its service", outcome="failed", detail=detail))
        is_accepted = bool(self._accepted())
        for probe in found:
            probe.seq = self._first_seq
            if probe.outcome == "silent" and is_accepted:
                probe.outcome = "accepted"
                probe.detail = probe.detail.replace("does not take it", "took it")
        return found

    def _accepted(self) -> list[Syscall]:
        """Return the calls that took a client since it was asked; the first of them may have begun before."""
        calls = [call for call in self._trace.history if _takes_client(call)]
        return [call for call in calls if call.seq not in self._accepted_before]

    def is_well(self) -> bool:
        """Tell whether the answers so far show a service that works."""
        return is_well(self.probes(), waits_again=self.is_over and self._waits_again())

    def _waits_again(self) -> bool:
        """Tell whether the thread that took a client last waits for clients again, and no loop fails."""
        accepted = self._accepted()
        if not accepted:
            return False
        last, tid = accepted[-1].seq, accepted[-1].tid
        later = [call for call in self._trace.history if call.seq > last and call.tid == tid]
        if self.stop.reason == "idle":
            return bool(later) and later[-1].name in _FOR_CLIENTS and later[-1].ret is None
        return not self._fails() and any(call.name in _FOR_CLIENTS for call in later[-MAX_PERIOD:])

    def _fails(self) -> bool:
        """Tell whether calls failed in the rounds of the loop that was noticed."""
        loop = self.stop.loop
        return loop is not None and any(
            call.errno and call.errno not in _NO_FAILURES
            for call in self._trace.history
            if loop.first_seq <= call.seq <= loop.last_seq and call.tid == loop.tid
        )

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.line.is_closed.set()

    def hang_up(self) -> None:
        """Close the connections that were left open."""
        if self._asking is not None:
            self._asking.line.hang_up()

    def look(self) -> bool | None:
        """Return True when the state is what it seemed, False when it is over, None when that is still open.

        Whether the service is well is for `probes` to say, once nothing more is asked.
        """
        if not self.is_over:
            # What the questions set off says nothing of the state.
            self.is_over = not self.is_asking and self._is_settled()
            if self.is_over and self._loop is None:
                # The call that an idle guest waits in may not have been taken for whole yet.
                self._trace.drain_all(complete=True)
            self._rest()
            if self.is_over:
                self.at_rest = measure({log.pid for log in self._trace.logs.values()})
            return None
        if self._loop is not None and self._loop.is_broken:
            return False
        if self._is_over_grace() and self._computes():
            return False
        if self._loop is None and self._trace.count != self._quiet_count:
            return False
        return True if self._is_over_grace() else None

    def _is_over_grace(self) -> bool:
        return time.monotonic() - self._quiet_since >= self._grace_s

    def _computes(self) -> bool:
        """Tell whether a thread that repeats a call without a sleep works hard between the calls."""
        if self._loop is None or self.stop.reason != "loop":
            return False
        used = process.cpu_seconds(self.tid) - self._cpu_at_rest
        return used > _WORK_S * max(1, self._trace.count - self._quiet_count)

    def _is_settled(self) -> bool:
        """Tell whether the guest is done with the questions, as far as can be seen from outside."""
        now = time.monotonic()
        if self._trace.count != self._settled_count:
            self._settled_count = self._trace.count
            self._settled_since = now
        if self._asked_until == 0.0:
            self._asked_until = now
        return now - self._settled_since >= _SETTLED_S or now - self._asked_until >= _MOST_SETTLING_S

    def _rest(self) -> None:
        self._quiet_since = time.monotonic()
        self._quiet_count = self._trace.count
        self._cpu_at_rest = process.cpu_seconds(self.tid) if self.tid else 0.0

    def is_ripe(self) -> bool:
        """Note that the state is believed; True when the guest may be frozen wherever it is.

        One that goes round is better frozen at its next call, which does not take long.
        """
        now = time.monotonic()
        self.ripe_since = self.ripe_since or now
        return self._loop is None or now - self.ripe_since > _NEXT_CALL_S

    def is_due_in(self, tid: int) -> bool:
        """Tell whether the guest may be frozen at the call that thread `tid` makes now."""
        goes_on = self._loop is not None and not self._loop.is_broken
        return self.ripe_since > 0 and tid == self.tid and goes_on

    @property
    def has_moved(self) -> bool:
        """Whether calls were made, or ended, since the state was noticed."""
        return self._trace.count != self._first_seq or bool(self._accepted())

    @property
    def quiet_s(self) -> float:
        """For how long nothing has happened since what the questions set off was over."""
        return time.monotonic() - self._quiet_since

    def believed(self) -> Stop:
        """Return the stop, its loop as it is by now."""
        loop = self._loop.followed() if self._loop is not None else None
        return self.stop if loop is None else loop_stop(loop, self.stop.trigger.pid)
