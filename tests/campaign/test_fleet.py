"""What becomes of an order whose worker is gone: Dask itself would have it wait for ever."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.build import FakeCluster, begun, carried
from tests.campaign.test_placement import sent
from tests.waiting import wait_until
from triage_tui.campaign import fleet
from triage_tui.campaign.cluster import Cluster, Done
from triage_tui.campaign.order import Answer, Order
from triage_tui.campaign.record import read_campaign


class Future:
    """An order that no worker begins with."""

    status = "pending"

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        self.call = call

    def release(self) -> None:
        self.status = "released"


class Scheduler:
    """Stands for the client of a scheduler whose workers come and go."""

    status = "running"

    def __init__(self, *workers: str) -> None:
        self.workers: tuple[str, ...] | None = workers
        self.asked = 0
        self.cancelled: list[Future] = []

    def subscribe_topic(self, topic: str, handler: object) -> None:
        pass

    def sync(
        self, call: Callable[..., Coroutine[Any, Any, Any]], *given: Any, callback_timeout: float
    ) -> Any:
        return asyncio.run(call(*given))

    async def nthreads(self) -> dict[str, int]:
        self.asked += 1
        if self.workers is None:
            raise OSError("it is gone")
        return dict.fromkeys(self.workers, 1)

    async def run(self, task: Callable[[], str], workers: list[str], on_error: str) -> dict[str, str]:
        return {workers[0]: task()}

    def submit(self, *_: object, **__: object) -> Future:
        return Future()

    def cancel(self, futures: list[Future], force: bool) -> None:
        for future in futures:
            self.cancelled.append(future)
            future.status = "cancelled"
            future.call(future)

    def close(self, timeout: float) -> None:
        pass


def test_an_order_whose_worker_is_gone_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "_EVERY_S", 0.01)
    scheduler = Scheduler("tcp://a", "tcp://b")
    cluster = Cluster(scheduler, None, "c")  # type: ignore[arg-type]
    try:
        wait_until(lambda: len(cluster.slots(print)) == 2)
        for name, address in (("one", "tcp://a"), ("two", "tcp://b")):
            cluster.submit(name, b"", address)
        # A scheduler that does not answer, or another one that was not asked yet, knows of nobody's end.
        scheduler.workers = None
        asked = scheduler.asked
        wait_until(lambda: scheduler.asked > asked + 1)
        assert cluster.slots(print) == {}
        cluster.listen()
        assert cluster.wait(0) is None
        scheduler.workers = ("tcp://b",)
        wait_until(lambda: cluster.slots(print) == {"tcp://b": 1})
        # That Dask tells of what was cancelled is no lost scheduler.
        assert cluster.wait(0) == Done("one", error="its worker is gone")
        assert len(scheduler.cancelled) == 1
        cluster.slots(print)
        assert cluster.wait(0) is None
    finally:
        cluster.close()


def test_once_a_scheduler_is_back_its_workers_are_asked_for_anew(tmp_path: Path) -> None:
    slots = {"tcp://a": 1}

    def worker(order: Order) -> Answer | Done:
        if cluster.addresses[-1] == "tcp://a":
            slots.clear()
            slots["tcp://b"] = 1
            return Done(order.target.target, error="gone", lost=True)
        return sent(order, tmp_path / "place")

    directory = begun(tmp_path, 2)
    cluster = FakeCluster(worker, slots)
    carried(directory, cluster)
    assert cluster.addresses == ["tcp://a", "tcp://b", "tcp://b"]
    assert read_campaign(directory).counts() == {"finished": 2}
