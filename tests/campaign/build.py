"""Campaigns without guests: workers of a test's own, and what real ones leave, in a moment."""

import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.runs.build import write_run
from triage_tui.campaign.beginning import begin
from triage_tui.campaign.cluster import Cluster, Done
from triage_tui.campaign.ending import Ended
from triage_tui.campaign.engine import carry_out
from triage_tui.campaign.model import Options, Outcome, Progress, Target
from triage_tui.campaign.order import Answer, Order, decode_order, encode
from triage_tui.campaign.place import ANSWER_FILE, prepare
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import append_event
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter


def target(number: int, root: str = "/r") -> Target:
    return Target(target=f"{number:016x}", name=f"httpd{number}", root=root, program="/sbin/x")


def begun(workspace: Path, count: int = 3, options: Options | None = None) -> Path:
    targets = [target(number) for number in range(count)]
    return begin(Workspace(workspace), targets, options or Options(workers=2), ["targets.yaml"])


def played(order: Order, place: Path) -> Answer:
    """Leave in `place` what a worker leaves of a target that was run once."""
    prepare(place, order)
    runs_dir = place / "ai_runs"
    run_dir = write_run(runs_dir, writer=RunWriter(runs_dir))
    append_event(run_dir, "captured", {"reason": "exit"})
    outcome = Outcome(runs=[load_run(run_dir).run_id], word="diagnosed", cause="missing_file", rounds=1)
    answer = Answer(target=order.target.target, kind="finished", outcome=outcome, seconds=0.1)
    (place / ANSWER_FILE).write_bytes(encode(answer))
    return answer


Worker = Callable[[Order], Answer | bytes | Done]


class FakeCluster(Cluster):
    """Workers that answer at once with what `worker` says; `orders` are those that were given out."""

    def __init__(self, worker: Worker, slots: int | dict[str, int] = 2) -> None:
        self._worker, self._slots = worker, slots
        self.addresses: list[str] = []
        """Of the workers that the orders were for, in their order."""
        self._answers: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self.started = queue.SimpleQueue()
        self.orders: list[Order] = []
        self.avoided: list[str] = []
        self.closed = False
        self.lost = 0

    @property
    def embedded(self) -> bool:
        return isinstance(self._slots, int)

    def is_alive(self) -> bool:
        self.lost -= 1
        return self.lost < 0

    def slots(self, tell: Callable[[str], None]) -> dict[str, int]:
        if isinstance(self._slots, int):
            return {"": self._slots}
        return {address: count for address, count in self._slots.items() if address not in self.avoided}

    def is_silent(self) -> bool:
        return False

    def submit(self, name: str, raw: bytes, worker_address: str = "") -> None:
        order = decode_order(raw)
        self.orders.append(order)
        self.started.put((name, "w1", worker_address or "inproc://1"))
        self.addresses.append(worker_address)
        told = self._worker(order)
        if isinstance(told, Done):
            self._answers.put(told)
        else:
            if isinstance(told, Answer) and not told.worker:
                told.worker = worker_address
            self._answers.put(Done(name, told if isinstance(told, bytes) else encode(told)))

    def wait(self, seconds: float) -> Done | None:
        try:
            return self._answers.get_nowait()
        except queue.Empty:
            return None

    def listen(self) -> None:
        """Whoever begins is told at once."""

    def cancel(self) -> None:
        """Nothing is under way."""

    def avoid(self, address: str, seconds: float = 0.0) -> None:
        self.avoided.append(address)

    def close(self) -> None:
        self.closed = True


class Carried:
    """What one start of a campaign told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.progress: list[Progress] = []
        self.ended: Ended | None = None

    def events(self, event: str) -> list[Progress]:
        return [one for one in self.progress if one.event == event]


def carried(
    directory: Path,
    cluster: FakeCluster,
    cancel: threading.Event | None = None,
    changed: Mapping[str, str] | None = None,
) -> Carried:
    """Carry out a campaign with workers of a test's own."""
    told = Carried()
    told.ended = carry_out(
        Workspace(directory.parent.parent),
        directory,
        lambda: cluster,
        cancel or threading.Event(),
        tell=told.said.append,
        on_progress=lambda progress, _: told.progress.append(progress),
        changed=changed or {},
    )
    assert cluster.closed or not cluster.orders
    return told
