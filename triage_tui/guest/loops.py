"""Tell that a guest goes round in circles: a sequence of syscalls that repeats without progress.

Each process has its own sequence. Two calls are alike when they have the same name, object (path, peer,
request) and outcome, and arguments that look the same once addresses and other large numbers are left out. A
connection that is accepted ends every sequence. Bytes that are read are progress too, unless the sequence
sleeps: who looks at the same thing again and again waits for it. Writing is not progress: a program may print
"waiting" for ever.
"""

from __future__ import annotations

import re
from collections import deque

from triage_tui.guest.spec import TriggerLimits
from triage_tui.runs.model import Loop, Syscall


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INPUT = _words(
    "read readv pread64 preadv preadv2 recv recvfrom recvmsg recvmmsg recvmmsg_time64 getdents getdents64 "
    "splice sendfile sendfile64 copy_file_range"
)
_OUTPUT = frozenset(("write", "writev", "pwrite64"))
"""How much is written says little: numbers in a text get longer."""
_ACCEPT = frozenset(("accept", "accept4"))
_SLEEPS = _words(
    "nanosleep clock_nanosleep clock_nanosleep_time64 clock_nanosleep_time32 pause sigtimedwait "
    "rt_sigtimedwait"
)
_TIMED_WAITS = _words(
    "select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_wait epoll_pwait epoll_pwait2"
)
WAITS = frozenset(("wait4", "waitpid", "waitid"))
"""Calls in which a process waits for a child."""
# Their arguments and results are ids and clock readings, different in each round.
_VOLATILE = _words(
    "clone clone3 fork vfork wait4 waitpid waitid kill tgkill tkill gettid getpid getppid set_robust_list "
    "clock_gettime clock_gettime64 gettimeofday time times sigreturn rt_sigreturn getrandom sysinfo"
)
# They say nothing about what a program does.
_NOISE = _words("brk mmap mmap2 munmap madvise sigreturn rt_sigreturn rt_sigprocmask sigprocmask")
_KEPT = 4096
"""Calls that are remembered for describing a loop."""
_MAX_SIGNATURES = 65536
_LARGE = re.compile(r"0x[0-9a-f]+|\b\d{5,}\b|-\d{5,}\b")


def is_sleep(call: Syscall) -> bool:
    """Return whether `call` passed time: a sleep, or a wait for input that ended with nothing."""
    if call.name in _SLEEPS:
        return True
    return call.name in _TIMED_WAITS and call.ret == 0


def is_progress(call: Syscall) -> bool:
    """Return whether `call` brought the guest something new."""
    if call.ret is None:
        return False
    return (call.name in _INPUT and call.ret > 0) or (call.name in _ACCEPT and call.ret >= 0)


def signature(call: Syscall) -> tuple[str, ...]:
    """Return what must be equal for two calls to be alike."""
    outcome = call.errno or ("0" if call.ret == 0 else "")
    if call.name in _OUTPUT:
        return (call.name, call.arguments[0] if call.arguments else "", call.errno or "")
    if call.name in _VOLATILE:
        return (call.name, call.errno or "")
    arguments = _LARGE.sub("*", ",".join(call.arguments))
    return (call.name, call.path or "", call.peer or "", call.request or "", arguments, outcome)


class LoopDetector:
    """Watches the finished calls of one thread. Cheap: a busy guest makes 100,000 calls a second."""

    def __init__(self, limits: TriggerLimits) -> None:
        self._limits = limits
        self._numbers: dict[tuple[str, ...], int] = {}
        """Signature -> a number of its own, so that comparing is cheap."""
        self._no_runs = [0] * (limits.max_period + 1)
        self._least_run = min(limits.sleep_repeats, limits.loop_repeats) - 1
        """No loop has fewer calls in a row that are like an earlier one."""
        self.reset()

    def reset(self) -> None:
        """Forget everything: what comes next is a new sequence."""
        self._recent: list[int] = []
        self._calls: deque[Syscall] = deque(maxlen=_KEPT)
        self._runs = self._no_runs.copy()
        """For each period p: how many calls in a row were like the one p calls before."""
        self._since_input = self._since_sleep = 0
        """Calls since bytes were read, and since a sleep; at first, calls at all."""
        self._slept = False

    def add(self, call: Syscall) -> Loop | None:
        """Take one finished call; return the loop that it completes, if any."""
        if call.name in _NOISE:
            return None
        progress = is_progress(call)
        if progress and call.name in _ACCEPT:
            self.reset()
            return None
        self._since_input = 0 if progress else self._since_input + 1
        sleeping = is_sleep(call)
        self._since_sleep = 0 if sleeping else self._since_sleep + 1
        self._slept = self._slept or sleeping
        if len(self._numbers) > _MAX_SIGNATURES:
            self._numbers.clear()
            self.reset()
        number = self._numbers.setdefault(signature(call), len(self._numbers))
        recent, runs = self._recent, self._runs
        found = 0
        window = recent[: -len(runs) : -1]
        if number in window:
            for period, other in enumerate(window, 1):
                if other == number:
                    runs[period] += 1
                    if not found and runs[period] >= self._least_run and self._is_loop(period):
                        found = period
                else:
                    runs[period] = 0
        else:
            runs[:] = self._no_runs
        recent.append(number)
        if len(recent) > _KEPT:
            del recent[: -self._limits.max_period]
        self._calls.append(call)
        return self._describe(found) if found else None

    def _is_loop(self, period: int) -> bool:
        # A run counts from the second round on.
        rounds = self._runs[period] // period + 1
        if self._sleeps(period):
            return rounds >= self._limits.sleep_repeats
        rounds = min(rounds, self._since_input // period)
        return rounds >= self._limits.loop_repeats and rounds * period >= self._limits.loop_calls

    def _sleeps(self, period: int) -> bool:
        return self._slept and self._since_sleep < period

    def _describe(self, period: int) -> Loop:
        rounds = self._runs[period] // period + 1
        sleeps = self._sleeps(period)
        if not sleeps:
            rounds = min(rounds, self._since_input // period)
        covered = min(rounds * period, len(self._calls))
        first, last = self._calls[-covered], self._calls[-1]
        return Loop(
            period=period,
            repeats=rounds,
            first_seq=first.seq,
            last_seq=last.seq,
            names=[self._calls[-at].name for at in range(period, 0, -1)],
            sleeps=sleeps,
            span_ms=(last.ts_mono_ns - first.ts_mono_ns) / 1e6,
        )
