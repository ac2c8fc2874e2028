"""What is known of the calls of a run: the newest ones, up to a cap all of them, counts, and effects."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from triage_tui.guest.log.call_effects import CallEffects
from triage_tui.guest.log.kept_calls import KeptCalls, OnSeen, bound_times
from triage_tui.runs.model import Syscall

_MAX_SIGNATURES = 65536


class CallHistory:
    """The calls that were taken in, in the order of their `seq`."""

    def __init__(self, history: int, cap: int) -> None:
        """Keep the newest `history` calls in memory, and `cap` calls for the trace file."""
        self._history: deque[Syscall] = deque(maxlen=history)
        self._history_size = history
        self._cap = cap
        self._kept = KeptCalls(cap)
        self.count = 0
        self.skimmed = 0
        """Calls that were counted and not read when they were made."""
        self.failed = 0
        self.signatures: set[tuple[object, ...]] = set()
        self._effects: dict[int, CallEffects] = {}
        """Host pid -> what its calls did to it."""

    def tell_seen(self, on_seen: OnSeen) -> None:
        """Have `on_seen` complete each record of which something was seen while its call was held."""
        self._kept.on_seen = on_seen

    @property
    def history(self) -> deque[Syscall]:
        """The newest calls that were read; between two of them others may have been skimmed."""
        return self._history

    def newest(self) -> list[Syscall]:
        """Return the newest calls, oldest first, none left out between them."""
        history = bound_times(list(self._history))
        if not history:
            return history
        wanted = min(self._history_size, history[-1].seq)
        if len(history) == wanted and history[-1].seq - history[0].seq < wanted:
            return history
        newest = self._kept.newest(wanted, self._note_signature)
        kept = {record.seq: record for record in (*newest, *history)}
        return bound_times([kept[seq] for seq in sorted(kept)[-self._history_size :]])

    def kept(self) -> list[Syscall]:
        """Return the calls for the trace file: from the first one on, and up to the last one."""
        return bound_times(self._kept.records(self._note_signature))

    @property
    def left_out(self) -> int:
        """How many calls in the middle are not in the trace file."""
        return self._kept.left_out

    def _note_signature(self, record: Syscall) -> None:
        if len(self.signatures) < _MAX_SIGNATURES:
            self.signatures.add((record.name, record.path, record.request, record.errno))

    def continue_after(self, calls: Iterable[Syscall], count: int) -> None:
        """Have the history be that of an earlier run up to its call `count`: what follows goes on from there.

        `calls` are those of it that are known, oldest first. What the calls so far did stays known, and the
        calls themselves do not.
        """
        self._history.clear()
        self._kept = KeptCalls(self._cap, self._kept.on_seen)
        self.count = self.failed = self.skimmed = 0
        self.signatures.clear()
        for call in calls:
            if call.seq <= count:
                self._history.append(call)
                self._kept.add(call)
                self._kept.left_out += max(0, call.seq - self.count - 1)
                self.count = call.seq
                self.failed += call.errno is not None
                self._note_signature(call)
        self.count = max(self.count, count)

    def effects(self, pid: int) -> CallEffects:
        """Return what the calls of a process did to it."""
        return self._effects.setdefault(pid, CallEffects())

    def inherit_effects(self, parent: int, child: int) -> None:
        """A process has forked: its child begins with what its calls did so far."""
        self._effects[child] = self.effects(parent).copy()
