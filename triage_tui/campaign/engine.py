"""Give the targets of a campaign to workers, take in what comes of them, and write down what happened.

The directory of the campaign is the truth: `finished` is written once the runs of a target are in the
workspace, and whatever has no such line is played by the next start. So it does not matter what is killed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Unpack

from triage_tui.campaign import taking_in
from triage_tui.campaign.base_rules import rulebook_target
from triage_tui.campaign.ending import (
    Ended,
    cancelled,
    disk_is_full,
    limit_reached,
    scheduler_gone,
    scheduler_silent,
    workers_full,
)
from triage_tui.campaign.flights import Flight, order_for
from triage_tui.campaign.journal import Journal, Told
from triage_tui.campaign.left_over import WORK, left_over
from triage_tui.campaign.model import CampaignState, EventName, Outcome, Progress, Target
from triage_tui.campaign.order import Answer, decode_answer, encode
from triage_tui.campaign.placement import Placement
from triage_tui.campaign.queues import emptied
from triage_tui.campaign.record import held, read_campaign, write_campaign
from triage_tui.campaign.sending import FullThereError, Sender
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.rollouts.vouching import vouched
from triage_tui.runs.clock import local_time
from triage_tui.runs.ids import last_number
from triage_tui.text import safe_line

Tell = Callable[[str], None]
OnProgress = Callable[[Progress, Target], None]

if TYPE_CHECKING:
    from triage_tui.campaign.cluster import Cluster, Done

MAX_ATTEMPTS = 3
"""Times that a target is given to a worker before it is lost."""
_TICK_S = 0.1
_SLOTS_S = 2.0
_FULL_S = 60.0
"""How long a worker whose disk is full gets no targets."""
_MAX_EMULATORS = 32
_NUMBERS = 8
"""Run ids that are kept free for a target, beside two for each of its rounds."""


def carry_out(
    workspace: Workspace,
    directory: Path,
    opened: Callable[[], Cluster],
    cancel: threading.Event,
    *,
    tell: Tell,
    on_progress: OnProgress = lambda progress, target: None,
    changed: Mapping[str, str] = MappingProxyType({}),
) -> Ended:
    """Play the targets of the campaign in `directory` that are not finished, until none is left.

    `opened` connects to the workers. `tell` gets a sentence now and then, `on_progress` whatever is written
    down, as soon as it is. Targets of the roots in `changed` are refused, for the reason that stands there.

    Raises:
        Conflict: another process is at work on it.
        TriageError: the campaign cannot be read, or there are no workers.
    """
    with held(directory):
        state = read_campaign(directory)
        for problem in state.problems:
            tell(problem)
        engine = _Engine(workspace, state, cancel, tell, on_progress)
        try:
            ended = engine.run(opened, changed)
        finally:
            engine.close()
        campaign = state.campaign
        campaign.finished, campaign.ended = local_time(), ended.says
        try:
            write_campaign(directory, campaign)
        except OSError as error:
            tell(f"how the campaign ended cannot be written: {error.strerror}")
        return ended


class _Engine:
    """One start of a campaign."""

    def __init__(
        self,
        workspace: Workspace,
        state: CampaignState,
        cancel: threading.Event,
        tell: Tell,
        on_progress: OnProgress,
    ) -> None:
        self._workspace, self._state, self._cancel, self._tell = workspace, state, cancel, tell
        self._directory = state.dir
        self._options = state.campaign.options
        self._journal = Journal(state, on_progress)
        self._cluster: Cluster | None = None
        self._sender: Sender | None = None
        self._flights: dict[str, Flight] = {}
        self._attempts: Counter[str] = Counter()
        self._vouched = sorted({sha256 for sha256, _ in vouched(workspace.rulebook)})
        self._waiting: deque[Target] = deque()
        self._first, self._bytes = last_number(workspace.runs_dir) + 1, 0
        # Workers that may get targets, and how many each plays at a time; until when that holds.
        self._slots, self._slots_until = dict[str, int](), 0.0
        self._placement = Placement()
        self._ended: Ended | None = None

    def close(self) -> None:
        """Let the workers go, and close what is open."""
        if self._sender is not None:
            self._sender.close()
        if self._cluster is not None:
            self._cluster.cancel()
            self._cluster.close()
        self._journal.close()

    def run(self, opened: Callable[[], Cluster], changed: Mapping[str, str]) -> Ended:
        """Play what is not finished; see `carry_out`."""
        self._workspace.check_writable()
        self._take_in_left_over()
        if self._ended is not None:
            return self._ended
        for target in self._state.unfinished():
            if target.root in changed:
                self._note("refused", target, error=changed[target.root])
            else:
                self._waiting.append(target)
        if not self._waiting:
            return Ended(
                "done", f"every target {'that can be played ' if changed else ''}is finished already"
            )
        if self._options.disk_bytes:
            outcomes = filter(None, map(self._state.outcome, (one.target for one in self._state.targets)))
            self._bytes = sum(taking_in.size_of(self._workspace, one.runs) for one in outcomes)
        campaign = self._state.campaign
        campaign.finished = campaign.ended = ""
        write_campaign(self._directory, campaign)
        self._cluster = cluster = opened()
        began = time.monotonic()
        while self._waiting or self._flights:
            if self._ended is None:
                self._ended = self._limit(time.monotonic() - began)
            if self._ended is not None:
                break
            self._give_out(cluster)
            self._note_started(cluster)
            self._take_sent(cluster)
            done = cluster.wait(_TICK_S)
            if done is not None:
                self._take(cluster, done)
        if self._ended is None:
            return Ended("done", "every target was played")
        self._give_up()
        return self._ended

    # What is left of an earlier start

    def _take_in_left_over(self) -> None:
        """Take in what was played and not taken in when the process was killed; remove what was not."""
        for place, target, answer in left_over(self._directory / WORK, self._state, self._tell):
            if target is not None and answer is not None and answer.outcome is not None:
                try:
                    self._finish(target, place, answer, answer.outcome, "")
                except TriageError as error:
                    self._tell(f"what is left of {safe_line(target.name, 60)} is played again: {error}")
                except OSError as error:
                    self._ended = disk_is_full(self._workspace.root, error)
            if self._ended is not None:
                return
            taking_in.drop(place)

    # Out

    def _limit(self, seconds: float) -> Ended | None:
        left = len(self._waiting) + len(self._flights)
        if self._cancel.is_set():
            return cancelled(getattr(self._cancel, "why", ""), left)
        return limit_reached(self._options, seconds, self._bytes, left)

    def _give_out(self, cluster: Cluster) -> None:
        # No more than can be played at a time: what waits at a worker does not go to one that is free.
        self._look_at_workers(cluster)
        load = Counter(flight.address for flight in self._flights.values())
        while self._ended is None and (found := self._placement.next(self._waiting, self._slots, load)):
            target, address = found
            load[address] += self._submit(cluster, target, address)

    def _look_at_workers(self, cluster: Cluster) -> None:
        """Ask every few seconds which workers there are."""
        now = time.monotonic()
        if now >= self._slots_until:
            self._slots, self._slots_until = cluster.slots(self._tell), now + _SLOTS_S
            if cluster.is_silent():
                self._ended = scheduler_silent(len(self._waiting) + len(self._flights))

    def _submit(self, cluster: Cluster, target: Target, address: str) -> int:
        """Give a target to a worker; return how many were given."""
        name = target.target
        self._attempts[name] += 1
        try:
            order = order_for(
                self._directory,
                target,
                self._options,
                embedded=cluster.embedded,
                attempt=self._attempts[name],
                first=self._first,
                vouched=self._vouched,
            )
        except (TriageError, OSError) as error:
            self._note("refused", target, error=safe_line(str(error), 600))
            return 0
        self._first += 2 * self._options.rounds + _NUMBERS
        self._flights[name] = Flight(target, order, time.monotonic(), address=address)
        cluster.submit(name, encode(order), address)
        return 1

    def _note_started(self, cluster: Cluster) -> None:
        for name, worker, address in emptied(cluster.started):
            flight = self._flights.get(name)
            if flight is not None and not cluster.embedded:
                flight.address = address
            if flight is not None and flight.worker != worker:
                flight.worker, flight.began = safe_line(worker, 80), time.monotonic()
                self._note("started", flight.target, worker=flight.worker, attempt=flight.order.attempt)

    # Back

    def _take(self, cluster: Cluster, done: Done) -> None:
        self._note_started(cluster)
        flight = self._flights.pop(done.name, None)
        if flight is None:
            return
        if done.lost:
            self._attempts[done.name] -= 1
            self._waiting.appendleft(flight.target)
            self._slots, self._slots_until = {}, 0.0
            if self._ended is None and not cluster.await_scheduler(self._cancel, self._tell):
                self._ended = scheduler_gone(len(self._waiting) + len(self._flights))
            return
        if done.error:
            self._again(flight, done.error, for_good=done.killed)
            return
        try:
            answer = decode_answer(done.raw)
            if answer.target != done.name:
                raise TriageError("a worker answered for another target")
        except TriageError as error:
            self._again(flight, str(error))
            return
        self._take_answer(cluster, flight, answer)

    def _take_answer(self, cluster: Cluster, flight: Flight, answer: Answer) -> None:
        flight.worker = flight.worker or safe_line(answer.worker, 80)
        target, why = flight.target, safe_line(answer.error, 600)
        match answer.kind:
            case "finished" if answer.outcome is not None:
                place = self._directory / WORK / target.target
                try:
                    if not cluster.embedded:
                        from triage_tui.campaign import parcel

                        parcel.unpack(answer, place, target, self._options)
                    self._finish(target, place, answer, answer.outcome, flight.worker)
                    self._placement.full.discard(answer.worker)
                    for said in self._placement.finished(target, answer.worker):
                        self._tell(said)
                except TriageError as error:
                    self._again(flight, str(error))
                except OSError as error:
                    self._ended = disk_is_full(self._workspace.root, error)
            case "refused" | "failed" if why:
                self._refused(cluster, flight, answer, why)
            case "root":
                self._send_root(cluster, flight, answer.worker)
                return
            case "version":
                cluster.avoid(answer.worker)
                self._tell(f"{safe_line(answer.worker, 80)} gets no more targets: {why}")
                self._attempts[target.target] -= 1
                self._waiting.appendleft(target)
            case "no room":
                self._no_room(cluster, flight, answer.worker, why)
            case _:
                self._again(flight, why or f"its worker answered {answer.kind!r}")
        if self._ended is None:
            taking_in.drop(self._directory / WORK / target.target)

    def _refused(self, cluster: Cluster, flight: Flight, answer: Answer, why: str) -> None:
        """Have a target that a worker does not play tried by another one, unless that was done."""
        target = flight.target
        if not cluster.embedded:
            found = self._placement.refused(target, answer.worker, why, self._slots)
            if not found:
                self._attempts[target.target] -= 1
                self._waiting.appendleft(target)
                return
            why = found
        if answer.kind == "refused":
            self._note("refused", target, **flight.told(why, answer.seconds))
        else:
            self._again(flight, why)

    def _no_room(self, cluster: Cluster, flight: Flight, address: str, why: str) -> None:
        """Give the targets of a worker whose disk is full to others; end where no other is left."""
        if cluster.embedded:
            self._ended = disk_is_full(self._workspace.root)
            return
        target = flight.target
        self._attempts[target.target] -= 1
        self._waiting.append(target)
        if address not in self._placement.full:
            what = f"worker {safe_line(address, 80)} gets no targets for {_FULL_S:.0f} s"
            self._tell(f"{what}: its disk is full ({why})")
        self._placement.full.add(address)
        cluster.avoid(address, _FULL_S)
        at_work = {one.address for one in self._flights.values()}
        if not ({*self._slots} | at_work) - self._placement.full:
            self._ended = workers_full(len(self._placement.full), len(self._waiting))
        self._slots_until = 0.0

    def _send_root(self, cluster: Cluster, flight: Flight, address: str) -> None:
        """Send the root of a target to the worker that lacks it; the target counts as under way meanwhile."""
        self._sender = self._sender or Sender(self._directory, cluster, self._state.unfinished())
        flight.address = address
        self._flights[flight.target.target] = flight
        self._attempts[flight.target.target] -= 1
        self._sender.send(flight.target, address)

    def _take_sent(self, cluster: Cluster) -> None:
        for name, address, error in self._sender.sent() if self._sender is not None else ():
            flight = self._flights.pop(name)
            if error is None:
                self._submit(cluster, flight.target, address)
                continue
            self._attempts[name] += 1
            why = safe_line(str(error) or type(error).__name__, 600)
            if isinstance(error, FullThereError):
                self._no_room(cluster, flight, address, why)
            else:
                self._again(flight, why)

    def _finish(self, target: Target, place: Path, answer: Answer, outcome: Outcome, worker: str) -> None:
        program, policy = rulebook_target(target) if self._options.scheduler else "", self._options.policy
        where = self._workspace, self._directory, place, target
        taken = taking_in.take_in(*where, outcome, self._tell, program=program, policy=policy)
        known = self._state.campaign.emulators
        for arch, emulator in list(answer.emulators.items())[:_MAX_EMULATORS]:
            if len(known) < _MAX_EMULATORS:
                known[safe_line(arch, 40)] = safe_line(emulator, 120)
        attempt = max(1, self._attempts[target.target])
        told = Told(worker=worker, seconds=answer.seconds, attempt=attempt, outcome=taken)
        self._note("finished", target, **told)
        if self._options.disk_bytes:
            self._bytes += taking_in.size_of(self._workspace, taken.runs)

    def _again(self, flight: Flight, why: str, *, for_good: bool = False) -> None:
        """Have a target played once more, unless that was tried often enough."""
        target, attempt = flight.target, flight.order.attempt
        why = safe_line(why, 600)
        if attempt >= MAX_ATTEMPTS or for_good:
            said = why if for_good else f"{why}; it was tried {attempt} times"
            self._note("lost", target, **flight.told(said))
            return
        self._tell(f"{safe_line(target.name, 60)} is played again: {why}")
        self._waiting.append(target)

    # What is written down

    def _give_up(self) -> None:
        """Say of what a worker has that it was stopped."""
        assert self._ended is not None
        for flight in self._flights.values():
            if flight.worker:
                self._note("cancelled", flight.target, **flight.told(self._ended.says))
        self._flights.clear()

    def _note(self, event: EventName, target: Target, **told: Unpack[Told]) -> None:
        if not self._journal.note(event, target, **told):
            # Where its runs are taken in already, the next start writes that down.
            self._ended = disk_is_full(self._workspace.root)
        elif self._sender is not None and event in ("finished", "refused", "lost"):
            self._sender.done(target)
