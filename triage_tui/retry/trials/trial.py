"""Trials: one program started again and again in the same way, each time with other rules, within bounds."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from triage_tui.errors import Stopped, TriageError
from triage_tui.guest.spec import resolve_target
from triage_tui.retry.guests import launch_spec
from triage_tui.retry.one_run import Tell, run_once
from triage_tui.retry.start import Start, read_start
from triage_tui.retry.trials.scratch import scratch
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.manifest import verify
from triage_tui.runs.reader import Run

MIN_EACH_S = 1.0


class BoundReached(TriageError):
    """The runs or the time for trials are over."""


class Bounds(msgspec.Struct, frozen=True):
    """What trials may take: how many runs, how long all of them, how long each. Seconds."""

    runs: int = 40
    seconds: float = 900.0
    each_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what is no bound.

        Raises:
            TriageError: names it.
        """
        if self.runs < 1:
            raise TriageError(f"at least one run must be allowed, not {self.runs}")
        for name, value in (("time for all runs", self.seconds), ("time for each run", self.each_s)):
            if not MIN_EACH_S <= value <= 86400:
                raise TriageError(f"the {name} must be {MIN_EACH_S:g} to 86400 seconds, not {value:g}")


class Either(threading.Event):
    """Is set when it was set itself, or the event of the person who waits was."""

    def __init__(self, other: threading.Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """Tell whether one of both is set."""
        return super().is_set() or self._other.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until one of both is set, `timeout` seconds at most, and tell whether one is."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (deadline is None or time.monotonic() < deadline):
            super().wait(0.05)
        return self.is_set()


class Trials:
    """Runs of the program of one run, in copies of the workspace that are gone when the block ends."""

    def __init__(
        self,
        workspace: Workspace,
        run: Run,
        bounds: Bounds,
        tell: Tell,
        cancel: threading.Event,
        *,
        checkpoint: bool = False,
    ) -> None:
        """Look whether the program can be started again as it was; with `checkpoint` it goes on from there.

        Raises:
            TriageError: the run does not say how it was started, or its program is another one by now.
        """
        self.workspace, self.run, self.bounds = workspace, run, bounds
        self.target_id = run.snapshot.target.target_id
        self._tell, self._cancel = tell, cancel
        self._before = run if checkpoint else None
        self._began = time.monotonic()
        if not self.target_id:
            raise TriageError(f"run {run.run_id} does not say of which target it is")
        self._start = _trial_start(run)
        self._place: Path | None = None
        self._recording = threading.Lock()
        self.count = 0
        """Runs so far."""
        now, _ = resolve_target(launch_spec(self._start))
        if now.target_id != self.target_id:
            raise TriageError(
                f"{now.program} is another file than in run {run.run_id}, so the run cannot be repeated:"
                " run it anew first"
            )

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._place = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="triage-tui-trial-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def seconds(self) -> float:
        """How long it all took so far."""
        return time.monotonic() - self._began

    def active(self) -> Generation | None:
        """Return the active generation of the target, proved.

        Raises:
            TriageError: it is damaged.
        """
        found = generations.current(self.workspace.rulebook_dir(self.target_id))
        if found is not None and (problems := verify(found)):
            raise TriageError(f"the active rules cannot be tried: {problems[0]}")
        return found

    def with_rules(self, rules: Mapping[str, bytes]) -> Run:
        """Run the program once with exactly these rules of the target; its record lasts as long as the block.

        Raises:
            BoundReached: that would be a run too many, or the time is over, also in the midst of it.
            Stopped: it was cancelled.
            TriageError: it cannot be started with these rules.
        """
        begun = self._begin()
        run = self._once(rules, begun, self._tell, self._cancel)
        if run.snapshot.reason == "time_limit" and begun[1].triggers.time_limit_s < self._longest:
            # It was not given the time that the others had, so it says nothing beside them.
            raise BoundReached(self._time_is_over)
        return run

    def side_by_side(self, first: Mapping[str, bytes], second: Mapping[str, bytes]) -> tuple[Run, Run]:
        """Run the program with one set of rules and with another, both at the same time.

        Raises: as `with_rules`; where one cannot be run, the other is ended too.
        """
        names = ("without", "with")
        starts = [self._begin(), self._begin()]
        cancel = Either(self._cancel)
        together = threading.Barrier(2)
        runs: list[Run | None] = [None, None]
        troubles: list[BaseException] = []

        def work(number: int, rules: Mapping[str, bytes]) -> None:
            try:
                with contextlib.suppress(threading.BrokenBarrierError):
                    together.wait(10)
                tell = _named(self._tell, names[number])
                runs[number] = self._once(rules, starts[number], tell, cancel)
            except BaseException as error:
                # The first trouble is the one that counts: the other future only ends because of it.
                troubles.append(error)
                cancel.set()

        threads = [
            threading.Thread(target=work, args=(number, rules), name=f"future {names[number]}")
            for number, rules in enumerate((first, second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if troubles:
            raise troubles[0]
        assert runs[0] is not None
        assert runs[1] is not None
        return runs[0], runs[1]

    @property
    def _longest(self) -> float:
        """How long one run may take where the time for all of them is not nearly over; seconds."""
        return min(self._start.triggers.time_limit_s, self.bounds.each_s)

    @property
    def _time_is_over(self) -> str:
        return f"the limit of {self.bounds.seconds:g} seconds is reached"

    def _begin(self) -> tuple[int, Start]:
        """Return the number of a new run, and how it is started, so that it ends within the bounds."""
        if self._cancel.is_set():
            raise Stopped("it was stopped")
        left = self.bounds.seconds - self.seconds
        if self.count >= self.bounds.runs:
            raise BoundReached(f"the limit of {self.bounds.runs} runs is reached")
        if left < MIN_EACH_S:
            raise BoundReached(self._time_is_over)
        self.count += 1
        limit = min(self._longest, left)
        triggers = msgspec.structs.replace(self._start.triggers, time_limit_s=limit)
        return self.count, msgspec.structs.replace(self._start, triggers=triggers)

    def _once(
        self, rules: Mapping[str, bytes], begun: tuple[int, Start], tell: Tell, cancel: threading.Event
    ) -> Run:
        number, start = begun
        assert self._place is not None
        copy = scratch(self.workspace, self.target_id, rules, self._place / f"{number:04}")
        return run_once(
            copy,
            self.run,
            start,
            _quiet(tell),
            cancel,
            what="the trial",
            recording=self._recording,
            before=self._before,
        )


def _trial_start(run: Run) -> Start:
    """Return the start of a run, all calls observed, without what only makes a record larger."""
    start = read_start(run.dir)
    # One that does not say where its clock and random numbers began gets a beginning that all share.
    seed = start.seed or time.time_ns()
    return msgspec.structs.replace(
        start, observe="full", memory="small", full_trace=False, checkpoint=False, logs=[], seed=seed
    )


def _quiet(tell: Tell) -> Tell:
    """Return a teller that leaves out what a guest prints."""
    return lambda text: None if text.startswith("guest: ") else tell(text)


def _named(tell: Tell, name: str) -> Tell:
    return lambda text: tell(f"{name} the rule: {text}")
