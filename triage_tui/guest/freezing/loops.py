"""Tell that a guest goes round in circles: a sequence of syscalls that repeats without progress.

Each thread has its own sequence. Two calls are alike when they have the same name, object (path, peer,
request) and outcome, come from the same place in the program where that is known (it is for calls that the
supervisor answers: their registers are exact), and have arguments that look the same once those that change
from round to round are left out: addresses and other large numbers, times, offsets, process ids, and the
numbers of descriptors, which count as what made them. A connection that is accepted ends every sequence.
Bytes that are read are progress too, unless the sequence sleeps: who looks at the same thing again and again
waits for it. Printing is not progress: a program may print "waiting" for ever. A file that gets longer is, as
long as nothing in the sequence sleeps or fails: who fails and writes to a log about it tries again.

A daemon's rounds are seldom all alike: it looks at one thing each time and at another every tenth time. A
thread that sleeps now and then and has long made no call that is unlike all earlier ones goes round, too.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

from triage_tui.guest.freezing.followed_loop import MAX_ROUNDS, FollowedLoop
from triage_tui.guest.freezing.growth import OUTPUT, FileGrowth, is_duplicate
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.runs.model import UNLOGGED, Loop, Syscall


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_INPUT = _words(
    "read readv pread64 preadv preadv2 recv recvfrom recvmsg recvmmsg recvmmsg_time64 getdents getdents64 "
    "splice sendfile sendfile64 copy_file_range"
)
_ACCEPT = frozenset(("accept", "accept4"))
_SLEEPS = _words(
    "nanosleep clock_nanosleep clock_nanosleep_time64 clock_nanosleep_time32 pause sigtimedwait "
    "rt_sigtimedwait"
)
TIMED_WAITS = _words(
    "select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_wait epoll_pwait epoll_pwait2"
)
WAITS = frozenset(("wait4", "waitpid", "waitid"))
_FORKS = frozenset(("clone", "clone3", "fork", "vfork"))
"""Calls in which a process waits for a child."""
# Their arguments and results are ids and clock readings, different in each round.
_VOLATILE = _words(
    "clone clone3 fork vfork wait4 waitpid waitid kill tgkill tkill gettid getpid getppid set_robust_list "
    "clock_gettime clock_gettime64 gettimeofday time times sigreturn rt_sigreturn getrandom sysinfo "
    "getrusage getpgid setpgid getsid alarm setitimer"
)
_CHANGING = {
    **dict.fromkeys(("lseek", "ftruncate", "ftruncate64"), (1,)),
    **dict.fromkeys(("_llseek", "readahead", "fadvise64_64"), (1, 2, 3)),
    **dict.fromkeys(("pread64", "pwrite64", "preadv", "pwritev", "poll", "sendto", "send"), (2, 3, 4)),
    **dict.fromkeys(("ppoll", "ppoll_time64"), (2,)),
    **dict.fromkeys(("epoll_wait", "epoll_pwait", "epoll_pwait2"), (3,)),
    **dict.fromkeys(("select", "_newselect", "pselect6", "pselect6_time64"), (4,)),
    "nanosleep": (0, 1),
    **dict.fromkeys(_words("clock_nanosleep clock_nanosleep_time64 clock_nanosleep_time32"), (2, 3)),
    **dict.fromkeys(_words("timer_settime timerfd_settime timer_settime64 timerfd_settime64"), (2, 3)),
    **dict.fromkeys(("futex", "futex_time64"), (2, 3, 4, 5)),
}
"""Arguments (call -> indices) that are times, offsets or counters. A timeout of 0 or -1 is none of them."""
_FCNTL = frozenset(("fcntl", "fcntl64"))
_MAKERS = _FCNTL | _words(
    "open openat openat2 creat socket accept accept4 dup dup2 dup3 epoll_create epoll_create1 eventfd "
    "eventfd2 timerfd_create signalfd4 inotify_init inotify_init1 memfd_create"
)
"""Calls whose result may be a new descriptor."""
_ON_DESCRIPTOR = (
    _INPUT
    | OUTPUT
    | _ACCEPT
    | _MAKERS
    | _words(
        "close connect bind listen ioctl fstat fstat64 lseek _llseek setsockopt getsockopt getsockname "
        "getpeername shutdown sendto send sendmsg fsync fdatasync ftruncate ftruncate64 flock fchmod fchown "
        "fchown32 fchdir epoll_wait epoll_pwait epoll_ctl newfstatat fstatat64 fstatfs fstatfs64"
    )
)
"""Calls whose first argument is a descriptor, if it is a number."""
_OFFSET = re.compile(r"\d+")
_NOTHING: Mapping[str, int] = MappingProxyType({})
# They say nothing about what a program does.
_NOISE = _words("brk mmap mmap2 munmap madvise sigreturn rt_sigreturn rt_sigprocmask sigprocmask")
_KEPT = 4096
"""Calls that are remembered for describing a loop."""
_MAX_NOTED = 4096
"""Descriptors, and sleeping processes, that are remembered."""
_MAX_SIGNATURES = 65536
_LARGE = re.compile(r"0x[0-9a-f]+|\b\d{5,}\b|-\d{5,}\b")


def is_sleep(call: Syscall) -> bool:
    """Return whether `call` passed time: a sleep, or a wait for input that ended with nothing."""
    if call.name in _SLEEPS:
        return True
    return call.name in TIMED_WAITS and call.ret == 0


class Sleepers:
    """Which processes have slept, so that who waits for one of them is known to have slept as well.

    A shell's `sleep 1` is another program: the shell itself makes no call that passes time but the wait.
    """

    def __init__(self) -> None:
        self._pids: set[int] = set()
        self._parents: dict[int, int] = {}

    def note(self, call: Syscall) -> bool:
        """Take one finished call of any process; return whether it was a wait for one that has slept."""
        if is_sleep(call):
            if len(self._pids) < _MAX_NOTED:
                self._pids.add(call.pid)
            return False
        if call.name in _FORKS and call.ret:
            if len(self._parents) < _MAX_NOTED:
                self._parents[call.ret] = call.pid
            return False
        if call.name not in WAITS:
            return False
        found = call.ret
        if UNLOGGED in (call.note or ""):
            # It returned a child of its own, or 0 if it did not wait; one that has slept ended last.
            found = next((pid for pid in self._pids if self._parents.get(pid) == call.pid), None)
        if found is not None:
            # The number may be given to another process from now on.
            self._parents.pop(found, None)
        if found in self._pids:
            self._pids.discard(found)
            return True
        return False


def is_progress(call: Syscall) -> bool:
    """Return whether `call` brought the guest something new."""
    if call.ret is None:
        return False
    return (call.name in _INPUT and call.ret > 0) or (call.name in _ACCEPT and call.ret >= 0)


def _is_vain(call: Syscall) -> bool:
    """Return whether `call` failed or found nothing: what is written about that is a complaint."""
    # Who opens a file to write asks whether it is a terminal.
    return (call.errno is not None and call.errno != "ENOTTY") or (call.name in _INPUT and call.ret == 0)


def _arguments(call: Syscall, made: Mapping[str, int]) -> str:
    """Return the arguments without what changes from round to round."""
    arguments, descriptor = call.arguments, ""
    changing = _CHANGING.get(call.name)
    if changing is not None:
        arguments = [
            _OFFSET.sub("#", text) if index in changing and text not in ("0", "-1") else text
            for index, text in enumerate(arguments)
        ]
    if arguments and call.name in _ON_DESCRIPTOR:
        # Who counts through all descriptors makes another call each time, however large the number is.
        descriptor, arguments = arguments[0], arguments[1:]
        descriptor = f"fd of {made[descriptor]}" if descriptor in made else descriptor
    return f"{descriptor};{_LARGE.sub('*', ','.join(arguments))}"


def _descriptor(call: Syscall, made: Mapping[str, int]) -> object:
    number = call.arguments[0] if call.arguments else ""
    return made.get(number, number)


def signature(call: Syscall, made: Mapping[str, int] = _NOTHING) -> tuple[object, ...]:
    """Return what must be equal for two calls to be alike.

    `made` maps the numbers of open descriptors to a number that stands for the call that made them.
    """
    outcome = call.errno or ("0" if call.ret == 0 else "")
    if call.name in OUTPUT:
        # How much is written says little: numbers in a text get longer.
        return (call.name, _descriptor(call, made), call.errno or "")
    if call.name in _VOLATILE:
        return (call.name, call.errno or "")
    about = (call.path or "", call.peer or "", call.request or "")
    return (call.name, call.pc, call.return_address, *about, _arguments(call, made), outcome)


class LoopDetector:
    """Watches the finished calls of one thread. Cheap: a busy guest makes 100,000 calls a second."""

    def __init__(self, limits: TriggerLimits) -> None:
        self._limits = limits
        self._numbers: dict[tuple[object, ...], int] = {}
        """Signature -> a number of its own, so that comparing is cheap."""
        self._no_runs = [0] * (limits.max_period + 1)
        self._least_run = min(limits.sleep_repeats, limits.loop_repeats) - 1
        """No loop has fewer calls in a row that are like an earlier one."""
        self._growth = FileGrowth(limits.max_period)
        self.reset()

    def reset(self) -> None:
        """Forget everything: what comes next is a new sequence."""
        self._recent: list[int] = []
        self._calls: deque[Syscall] = deque(maxlen=_KEPT)
        self._runs = self._no_runs.copy()
        """For each period p: how many calls in a row were like the one p calls before."""
        self._since_input = self._since_sleep = 0
        """Calls since bytes were read, and since a sleep; at first, calls at all."""
        self._since_growth = self._since_vain = _KEPT
        """Calls since a file got longer, and since one that came to nothing."""
        self._slept = False
        self._times: list[int] = []
        """Time of each call in `_recent`."""
        self._now = 0
        self._made: dict[str, int] = {}
        """Descriptor -> number of the signature of the call that made it."""
        self._followed: FollowedLoop | None = None
        self._follows_routine = False
        self._skimmed = 0
        """Calls that were skimmed since a routine is followed."""
        self._new_at: int | None = None
        """Time of the last call that was unlike all earlier ones."""
        self._routine_seq = 0
        """The first call after that."""
        self._naps = 0
        """Sleeps since then."""
        self._nap_calls = 0
        """Calls of the round that the last sleep ended."""
        self._round_seqs: deque[int] = deque(maxlen=MAX_ROUNDS)
        """The first calls after the latest sleeps."""
        self.is_broken = False
        """The loop that is followed did not go on."""

    def note_gap(self, calls: int) -> None:
        """So many calls were skimmed: what comes next does not follow what came before."""
        if self._followed is not None:
            self._followed.note_gap(calls)
        elif self._follows_routine:
            self._skimmed += calls
        else:
            self.reset()

    def follow(self, loop: Loop) -> None:
        """From now on only look whether `loop`, just found, goes on: `is_broken` tells when it does not."""
        self._follows_routine = loop.varies
        self._followed = None
        if not loop.varies:
            self._followed = FollowedLoop(loop, self._recent[-loop.period :], self._now)
        self.is_broken = False

    def followed(self) -> Loop | None:
        """Return the loop that is followed as it is by now, None when it has ended."""
        if self.is_broken:
            return None
        if self._followed is not None:
            return self._followed.describe()
        return self._describe_routine() if self._follows_routine else None

    def add(self, call: Syscall, slept: bool = False) -> Loop | None:
        """Take one finished call; return the loop that it completes, if any, and none is followed yet.

        `slept`: time passed in it although it is no sleep by itself (see `Sleepers`).
        """
        if self._followed is not None:
            self._followed.note_read()
        if call.name in _NOISE:
            return None
        progress = is_progress(call)
        if progress and call.name in _ACCEPT:
            followed = self._followed is not None or self._follows_routine
            self.reset()
            self.is_broken = followed
            return None
        self._since_input = 0 if progress else self._since_input + 1
        self._since_growth = 0 if self._growth.note(call) else self._since_growth + 1
        self._since_vain = 0 if _is_vain(call) else self._since_vain + 1
        sleeping = slept or is_sleep(call)
        if self._slept and self._since_sleep == 0:
            self._round_seqs.append(call.seq)
        if sleeping:
            self._naps += 1
            self._nap_calls = self._since_sleep + 1
        self._since_sleep = 0 if sleeping else self._since_sleep + 1
        self._slept = self._slept or sleeping
        if len(self._numbers) > _MAX_SIGNATURES:
            self._numbers.clear()
            self.reset()
        self._now = call.ts_mono_ns
        known = len(self._numbers)
        number = self._numbers.setdefault(signature(call, self._made), known)
        is_new = number == known
        if is_new or self._new_at is None:
            self._new_at, self._routine_seq, self._naps = call.ts_mono_ns, call.seq + 1, 0
        self._note_descriptor(call, number)
        recent, runs = self._recent, self._runs
        if self._follows_routine:
            self.is_broken = self.is_broken or is_new
            self._remember(number, call)
            return None
        if self._followed is not None:
            self._followed.add(number, call)
            self.is_broken = self.is_broken or self._followed.is_broken
            return None
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
        self._remember(number, call)
        if found:
            return self._describe(found)
        return self._describe_routine() if sleeping and self._is_routine() else None

    def _remember(self, number: int, call: Syscall) -> None:
        self._recent.append(number)
        self._times.append(call.ts_mono_ns)
        if len(self._recent) > 2 * _KEPT:
            del self._recent[:-_KEPT], self._times[:-_KEPT]
        self._calls.append(call)

    def _note_descriptor(self, call: Syscall, number: int) -> None:
        """Remember which call made a descriptor."""
        if call.name in _MAKERS:
            if is_duplicate(call):
                # It stands for the same: who saves and restores a descriptor would make new ones for ever.
                number = self._made.get(call.arguments[0], number) if call.arguments else number
            elif call.name in _FCNTL:
                return
            if call.ret is not None and call.ret >= 0 and len(self._made) < _MAX_NOTED:
                self._made[str(call.ret)] = number
        elif call.name == "close" and call.arguments:
            self._made.pop(call.arguments[0], None)

    def _is_loop(self, period: int) -> bool:
        # A run counts from the second round on.
        rounds = self._runs[period] // period + 1
        limits = self._limits
        if self._sleeps(period):
            enough = rounds >= limits.sleep_repeats
            return enough and self._span_s(limits.sleep_repeats * period) <= limits.sleep_span_s
        if self._since_growth < period <= self._since_vain:
            return False
        rounds = min(rounds, self._since_input // period)
        if rounds < limits.loop_repeats or rounds * period < limits.loop_calls:
            return False
        needed = max(limits.loop_repeats, -(-limits.loop_calls // period))
        return self._span_s(needed * period) <= limits.loop_span_s

    def _is_routine(self) -> bool:
        if self._naps < self._limits.sleep_repeats or self._new_at is None:
            return False
        seconds = (self._now - self._new_at) / 1e9
        limits = self._limits
        often = seconds / self._naps * limits.sleep_repeats <= limits.sleep_span_s
        return often and seconds >= limits.routine_s

    def _span_s(self, calls: int) -> float:
        """Return the seconds from the end of the call before the last `calls` calls to now."""
        times = self._times
        # The call that is being added is not among them yet.
        return (self._now - times[-min(calls, len(times))]) / 1e9 if times else 0.0

    def _sleeps(self, period: int) -> bool:
        return self._slept and self._since_sleep < period

    def _describe(self, period: int) -> Loop:
        rounds = self._runs[period] // period + 1
        sleeps = self._sleeps(period)
        if not sleeps:
            rounds = min(rounds, self._since_input // period)
        covered = min(rounds * period, len(self._calls))
        first, last = self._calls[-covered], self._calls[-1]
        kept = min(covered // period, MAX_ROUNDS)
        return Loop(
            period=period,
            repeats=rounds,
            first_seq=first.seq,
            last_seq=last.seq,
            tid=last.tid,
            round_seqs=[self._calls[-at * period].seq for at in range(kept, 0, -1)],
            names=[self._calls[-at].name for at in range(period, 0, -1)],
            sleeps=sleeps,
            span_ms=(last.ts_mono_ns - first.ts_mono_ns) / 1e6,
        )

    def _describe_routine(self) -> Loop:
        period = max(1, min(self._nap_calls, len(self._calls)))
        return Loop(
            period=period,
            repeats=self._naps,
            first_seq=self._routine_seq,
            last_seq=self._calls[-1].seq,
            tid=self._calls[-1].tid,
            round_seqs=[seq for seq in self._round_seqs if seq >= self._routine_seq],
            names=[self._calls[-at].name for at in range(period, 0, -1)],
            sleeps=True,
            varies=True,
            skimmed=self._skimmed,
            span_ms=(self._now - (self._new_at or self._now)) / 1e6,
        )
