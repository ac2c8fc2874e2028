"""Supervise one guest: start it in its cell, watch it, freeze it, let it go on, end it.

A `Guest` belongs to one thread: everything happens inside `start`, `run_until_stop` and the calls between
them. While it runs, the supervisor answers seccomp notifications: each holds one guest thread inside one
host system call, with the guest's registers exact in QEMU's memory and the call's text at the end of its
log. While it is frozen every thread is held by ptrace, and the call at which it was frozen, if any,
stays unanswered.

Whatever goes wrong in here, a notification is answered: an exception is recorded in `problems`, and the call
is executed as it stands, unless containment has a say in it: then it fails
(`triage_tui.guest.calls.giving_up`).
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from triage_tui.errors import TriageError
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.calls.always_held import held_calls
from triage_tui.guest.calls.carrier import CarrierName
from triage_tui.guest.calls.held_call import Held
from triage_tui.guest.calls.hookable import check_chosen, never_hookable, not_hookable
from triage_tui.guest.calls.stand_ins import Peers
from triage_tui.guest.cell import policy
from triage_tui.guest.cell.identity import Identity
from triage_tui.guest.cell.limits import Limits
from triage_tui.guest.checkpoint import taking_marks
from triage_tui.guest.checkpoint.guest_side import CheckpointSide, GoesOn
from triage_tui.guest.emulator import emulator_image
from triage_tui.guest.freezing import killed
from triage_tui.guest.freezing.computing import ComputingThreads
from triage_tui.guest.freezing.freezer import Freezer, host_name
from triage_tui.guest.freezing.loops import Sleepers
from triage_tui.guest.freezing.stops import Stop, Watchdog
from triage_tui.guest.freezing.suspicion import Prober, Suspicion
from triage_tui.guest.freezing.triggers import resolve_calls
from triage_tui.guest.host import host_syscalls, process
from triage_tui.guest.host.descriptor_reserve import DescriptorReserve, is_exhausted
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.host.tree_memory import TreeMemory
from triage_tui.guest.launch import launch
from triage_tui.guest.log.full_trace import FullTrace
from triage_tui.guest.log.output import GuestOutput
from triage_tui.guest.log.printed import STREAMS
from triage_tui.guest.log.reading_share import ReadingShare
from triage_tui.guest.log.syslog_words import SyslogWords
from triage_tui.guest.log.trace import Trace
from triage_tui.guest.processes.process_limit import ProcessLimit
from triage_tui.guest.processes.process_table import ProcessTable, Program
from triage_tui.guest.processes.program_keeper import Emulators
from triage_tui.guest.spec import LaunchSpec, architecture_of, resolve_target
from triage_tui.rulehost.protocol import RuleCaller
from triage_tui.runs.model import Probe

_TICK_MS = 20

EventCallback = Callable[[str, str], None]
"""Called with (kind, text): "output" with text that the guest printed, "problem" with a sentence."""


class Guest(Freezer, CheckpointSide):
    """One guest and its process tree. Make it with `Guest.start`, and always call `end` (or use `with`)."""

    @classmethod
    def start(
        cls,
        spec: LaunchSpec,
        rules: RuleCaller | None = None,
        on_event: EventCallback | None = None,
        cancel: threading.Event | None = None,
        containment: policy.ContainmentPolicy | None = None,
        access: RuleAccess | None = None,
        prober: Prober | None = None,
        goes_on: GoesOn | None = None,
    ) -> Guest:
        """Start the guest and stop it before its first instruction; `run_until_stop` lets it run.

        `access` is what the rule host of `rules` was given as its `GuestAccess`. `prober` asks the guest's
        service, in a thread of its own, before a loop or an idle state is taken for a failure. With `goes_on`
        it stands where that checkpoint was taken, before or behind its call.

        Raises:
            TriageError: it cannot be run; nothing is left behind.
        """
        guest = cls(spec, rules, on_event, containment or policy.ContainmentPolicy(), access, prober)
        try:
            guest._launch(cancel, goes_on)
        except BaseException:
            guest.end()
            raise
        return guest

    def __init__(
        self,
        spec: LaunchSpec,
        rules: RuleCaller | None,
        on_event: EventCallback | None,
        containment: policy.ContainmentPolicy,
        access: RuleAccess | None,
        prober: Prober | None,
    ) -> None:
        self.spec = spec
        self.target, elf = resolve_target(spec)
        arch = architecture_of(elf, spec.program)
        self.first_program = Program(spec.program, list(self.target.argv), arch, elf)
        self.containment = containment
        numbers = host_syscalls.numbers()
        self._withheld = frozenset(numbers.get(name, -1) for name in containment.never_executed())
        self._reserve = DescriptorReserve()
        self._process_limit = ProcessLimit(spec.limits.processes)
        self.rules = rules
        self.access = access or RuleAccess(arch)
        self.rule_log = []
        self._held_returns = {}
        self._repeated = {}
        self._making = set()
        self._started_by_rule = None
        logs_calls = spec.observe == "full"
        held = held_calls(containment)
        self.trace = Trace(arch, spec.limits.history, spec.limits.trace, logs_calls, held)
        self.processes_known = ProcessTable()
        self.problems: list[str] = []
        """What went wrong in the supervision itself, one sentence each."""
        self.hookable: frozenset[str] = frozenset()
        self.pid = self.tid = 0
        self.peers = Peers(self.rule_log.append)
        self._on_event = on_event or (lambda _kind, _text: None)
        self._memory = TreeMemory(spec.limits.tree_memory_bytes)
        self._output = GuestOutput(
            STREAMS.values(), spec.limits.output_bytes, lambda text: self._on_event("output", text)
        )
        self.syslog_words = SyslogWords()
        self._launched = False
        self._alive = False
        self._frozen = True
        self._release: Callable[[], None] | None = None
        self._signalled = set()
        self._made_again = {}
        self._held: Held | None = None
        self._waiting: Notification | None = None
        self._deferred = deque()
        self._calls = select.poll()
        self._reading = ReadingShare(self.trace, self._is_called)
        self._emulators = Emulators(spec.qemu_dir)
        self._first_stop: Stop | None = None
        self._looping_tid = 0
        self._sleepers = Sleepers()
        self._computing = ComputingThreads()
        self._freeze_ms = 0.0
        self._started = time.monotonic()
        self._watchdog = Watchdog(spec.triggers)
        self._prober = prober
        self._suspicion: Suspicion | None = None
        self._suspicions = 0
        self._asked: list[Suspicion] = []
        self.probes: list[Probe] = []
        """What was asked of the guest's service since it runs, and the answers."""
        self._chosen = resolve_calls(spec.triggers.calls, self.arch)
        check_chosen(self._chosen, spec.observe)
        self._held_seq = 0
        self._first_own_fd = 0
        self._places = {}
        if spec.full_trace:
            self.trace.full = FullTrace(spec.limits.full_trace_bytes)
        self._passed_on = frozenset()
        self._forgers = set()
        self._log_is_unasked = False
        self._counted = ()
        self._counted_at = 0.0
        self._bytes_read = {}
        self.trace.tell_seen(self._on_seen)
        self.trace.on_gap = self._on_gap
        self.trace.on_finished = self._on_finished
        self.trace.on_forgery = self._on_forgery
        self.trace.on_signal = self._on_signal

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _launch(self, cancel: threading.Event | None, goes_on: GoesOn | None) -> None:
        def cancelled() -> bool:
            return cancel is not None and cancel.is_set()

        names = set(self.spec.also_notify)
        if self.rules is not None:
            names |= self.rules.hooks()
        names |= {trigger.name for trigger in self._chosen if not trigger.errno}
        self.hookable = frozenset(names)
        if self.rules is not None and (never := never_hookable(self.rules.hooks(), self.observes_all)):
            self.report(
                f"no rule is ever asked about {', '.join(sorted(never))}: no call of the host shows it"
            )
        if self.spec.checkpoint:
            # The emulator logs no path of it.
            names.add(taking_marks.CALL)
        program = self.first_program
        launched = launch(
            self.spec,
            program.arch,
            program.elf,
            names,
            self.containment,
            self.trace.add,
            cancelled,
            self._emulators.find,
        )
        self._cell = launched.cell
        self._carrier = launched.carrier
        self._output.pipes = launched.output
        self._emulator_start = launched.start
        self._first_own_fd = self.trace.own_fds_from = launched.start.first_fd
        self._places = launched.places
        program.location = launched.location
        marks = emulator_image.learn(launched.pid, launched.location)
        if marks is not None:
            self._emulators.landmarks[program.arch.name] = marks
        self._launched = self._alive = True
        self._release = launched.release
        self.pid = self.tid = launched.pid
        main = self._adopt(launched.pid, launched.location.env, program)
        main.identity = Identity.of_user(self.spec.user)
        main.limits = Limits.beginning(self.spec.limits.open_files)
        self.processes_known.main = main
        self._prepare(launched, goes_on)

    @property
    def carrier(self) -> CarrierName:
        """What holds its watched calls."""
        return self._carrier.name

    @property
    def is_alive(self) -> bool:
        """Whether the guest still exists."""
        return self._alive

    @property
    def is_frozen(self) -> bool:
        """Whether the guest is frozen: its state can be read and does not change."""
        return self._frozen and self._alive

    def run_until_stop(
        self, cancel: threading.Event | None = None, wanted: Callable[[], bool | str] = lambda: False
    ) -> Stop:
        """Let the guest run until something makes it worth looking at; freeze it and say why.

        With `cancel` set the guest is frozen where it is, and the stop is marked `cancelled`; as soon as
        `wanted` says yes it is frozen for a person, and where it says why, because its time is over. May be
        called again after a stop: then it lets the guest
        go on first, as `resume` without new rules does.
        """
        if not self._alive:
            return self._gone_stop()
        try:
            self._thaw()
            return self._run(cancel, wanted)
        except OSError as error:
            if not is_exhausted(error):
                raise
            self._reserve.give_back()
            return self._freeze(self._exhausted_stop())

    def _run(self, cancel: threading.Event | None, wanted: Callable[[], bool | str]) -> Stop:
        poll = select.poll()
        poll.register(self._carrier, select.POLLIN)
        poll.register(self._cell, select.POLLIN)
        for fd in self._output.pipes:
            poll.register(fd, select.POLLIN)
        carried = self._carrier.fileno()
        self._calls = select.poll()
        self._calls.register(carried, select.POLLIN)
        self._watchdog.start()
        tick = time.monotonic()
        pause = _TICK_MS
        while True:
            if stop := self._take_stop():
                return self._freeze(stop)
            if cancel is not None and cancel.is_set():
                return self._freeze(self._watchdog.cancelled(self))
            while self._deferred and not self._wants_stop():
                self._serve_one()
            if self._wants_stop():
                continue
            for fd, events in poll.poll(0 if self._reading.left_s > 0 else pause):
                if fd == carried:
                    if events & select.POLLHUP:
                        poll.unregister(fd)
                    else:
                        self._serve_one()
                    if self._wants_stop():
                        break
                elif fd in self._output.pipes:
                    if not self._output.read(fd):
                        poll.unregister(fd)
                else:
                    self._hear_init()
                    if self._cell.gone:
                        poll.unregister(fd)
            now = time.monotonic()
            if now - tick >= _TICK_MS / 1000:
                tick = now
                pause = 0 if self._on_tick() else _TICK_MS
                if why := wanted():
                    return self._freeze(self._watchdog.requested(self, why))
            elif self._reading.left_s > 0:
                self._reading.use()
            elif pause == 0:
                self._reading.renew()
                pause = _TICK_MS if self._reading.use() else 0
            if not self.is_alive:
                self._output.read_all()
                return self._gone_stop()

    def resume(self, rules: RuleCaller | None) -> None:
        """Have `rules` (None: no rules) decide from the held call on; `run_until_stop` then lets the guest
        go on.

        Raises:
            TriageError: the guest is gone, or a rule hooks a call that this run cannot see any more.
        """
        if not self._alive:
            raise TriageError("the guest is gone, so it cannot be resumed: retry from the start")
        hooks = rules.hooks() if rules is not None else set()
        running = [known.program.arch for known in self.processes_known.by_pid.values()]
        first = self.first_program.arch
        missing = not_hookable(hooks, self.hookable, first, running, self.trace.history)
        if missing:
            raise TriageError(
                f"the running guest was not started to be watched at {', '.join(sorted(missing))}: "
                "retry from the start"
            )
        self.rules = rules

    def processes(self) -> list[int]:
        """Return the host pids of the guest's living processes."""
        if not self._alive:
            return []
        init = self._cell.init_pid()
        return [] if init is None else process.descendants(init)

    def end(self) -> None:
        """Kill the whole guest and free everything. Idempotent; safe at any moment, also in an exception."""
        self._alive = False
        self._close_suspicion()
        self._hang_up()
        nothing_left = False
        if self._launched:
            self._emulator_start.close()
            nothing_left = self._cell.end()
            self._launched = False
        self._reserve.give_back()
        self.processes_known.close()
        self.peers.close()
        self.access.private_files.close()
        self._emulators.close(again=nothing_left)
        self._output.close()
        self.trace.close()

    # ------------------------------------------------------------ while it runs

    def _is_called(self) -> bool:
        """Return whether a held call waits for its answer."""
        return any(events & select.POLLIN for _fd, events in self._calls.poll(0))

    def _take_stop(self) -> Stop | None:
        stop, self._first_stop = self._first_stop, None
        return stop

    def _wants_stop(self) -> bool:
        return self._first_stop is not None

    def _serve_one(self) -> None:
        """Answer one notification, or hold it when it is where the guest is to be frozen."""
        if self._deferred:
            notification = self._deferred.popleft()
            if not self._carrier.is_waiting(notification):
                return
        else:
            try:
                received = self._carrier.receive()
            except OSError:
                return
            if received is None:
                return
            notification = received
        self._waiting = notification
        name = host_name(notification)
        try:
            self._handle(notification, name)
        except Exception as error:
            self._on_fault(notification, name, error)
        self._waiting = None

    def _hear_init(self) -> None:
        try:
            self._cell.receive()
        except TriageError as error:
            self.report(str(error))
        if self._cell.gone:
            self._alive = False
        elif self._first_stop is None and (stop := killed.main_killed(self)) is not None:
            self._close_suspicion()
            self._first_stop = stop

    def _on_tick(self) -> bool:
        """Look after everything; return whether there is time to read more of what was logged."""
        self._carrier.look_after()
        if self.rules is not None and self._first_stop is None:
            self.rules.look()
        grown = self.trace.look()
        self._look_at_log_opens()
        self._look_at_threads()
        self._computing.look(self)
        self._reading.renew()
        done = self._reading.use()
        if (over := self._memory.look(self.processes)) is not None:
            self.report(over)
        for pid in list(self.processes_known.by_pid):
            if not os.path.exists(f"/proc/{pid}/exe") and not process.threads(pid):
                self._forget(pid)
        if self._first_stop is None and self._alive:
            if self._suspicion is not None:
                self._weigh(self._suspicion)
            elif (stop := self._watchdog.look(self)) is not None:
                self._suspect(stop)
        if not self.processes_known.by_pid and not self.processes():
            self._alive = False
        return not done and not grown

    def _gone_stop(self) -> Stop:
        """The guest ended without being caught at its exit: it was killed, from inside or outside."""
        self._reserve.give_back()
        main = self.processes_known.main
        if self._launched and main is not None:
            with contextlib.suppress(TriageError):
                self._cell.await_end(main.pid, main.inner)
        return killed.gone(self)

    def wait_status(self, inner: int) -> int | None:
        """Return how the process with the guest's id `inner` ended (wait(2)), None where it is not known."""
        return self._cell.ended.get(inner) if self._launched else None
