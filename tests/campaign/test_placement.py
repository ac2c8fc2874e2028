"""Targets go where their root is, and one worker that lacks something costs none of them."""

import math
import shutil
import threading
from collections import Counter, deque
from pathlib import Path

import pytest

from tests.campaign.build import FakeCluster, begun, carried, played, target
from triage_tui.campaign import parcel, sending
from triage_tui.campaign.model import Target
from triage_tui.campaign.order import Answer, Order
from triage_tui.campaign.placement import Placement
from triage_tui.campaign.record import read_campaign
from triage_tui.campaign.roots import RootHash
from triage_tui.campaign.sending import FullThereError, Sender
from triage_tui.campaign.worker_roots import FULL
from triage_tui.errors import TriageError

SLOTS = {"tcp://a": 1, "tcp://b": 1, "tcp://c": 1}


def sent(order: Order, place: Path) -> Answer:
    """Answer as a worker elsewhere does."""
    answer = played(order, place)
    answer.parcel = parcel.pack(place)
    shutil.rmtree(place)
    return answer


def of_root(number: int, root_hash: str) -> Target:
    found = target(number)
    found.root_hash = root_hash
    return found


def test_a_worker_gets_the_targets_of_a_root_that_it_has() -> None:
    placement = Placement()
    waiting = deque([of_root(1, "x"), of_root(2, "x"), of_root(3, "y"), of_root(4, "x")])
    given: list[tuple[str, str]] = []
    load: Counter[str] = Counter()
    while found := placement.next(waiting, {"tcp://a": 1, "tcp://b": 1}, load):
        given.append((found[0].name, found[1]))
        load[found[1]] += 1
    assert [name for name, _ in given] == ["httpd1", "httpd3"], "a root goes to one worker, not to each"
    home = dict(given)["httpd1"]
    load[home] -= 1
    assert placement.next(waiting, {"tcp://a": 1, "tcp://b": 1}, load) is not None
    assert [one.name for one in waiting] == ["httpd4"]
    # Nobody waits for the worker that has the root: who is free takes what is left.
    load = Counter({home: 1})
    found = placement.next(waiting, {"tcp://a": 1, "tcp://b": 1}, load)
    assert found is not None
    assert found[1] != home


def test_what_one_worker_refuses_another_plays(tmp_path: Path) -> None:
    def worker(order: Order) -> Answer:
        if cluster.addresses[-1] == "tcp://b":
            kind = "refused" if order.target.name == "httpd1" else "failed"
            return Answer(target=order.target.target, kind=kind, error="qemu-mipsel was not found")  # type: ignore[arg-type]
        if order.target.name == "httpd3":
            return Answer(target=order.target.target, kind="refused", error="no such program")
        return sent(order, tmp_path / "place")

    directory = begun(tmp_path, 12)
    cluster = FakeCluster(worker, dict(SLOTS))
    told = carried(directory, cluster)
    assert read_campaign(directory).counts() == {"finished": 11, "refused": 1}
    assert told.events("refused")[0].error == "no such program (3 workers refused it)"
    (said,) = [one for one in told.said if "cannot play" in one]
    assert said.startswith("worker tcp://b cannot play such targets, which go to others: qemu-mipsel")
    assert cluster.addresses.count("tcp://b") <= 4, "it gets no more of them"
    # Where there is one worker alone, what it says is the answer.
    directory = begun(tmp_path, 2)
    cluster = FakeCluster(worker, {"tcp://b": 1})
    carried(directory, cluster)
    assert read_campaign(directory).counts() == {"refused": 1, "lost": 1}


def test_a_worker_without_room_costs_no_target_and_none_left_ends_it(tmp_path: Path) -> None:
    def worker(order: Order) -> Answer:
        if cluster.addresses[-1] in full:
            return Answer(target=order.target.target, kind="no room", error="No space left on device")
        return sent(order, tmp_path / "place")

    full = {"tcp://a", "tcp://b"}
    directory = begun(tmp_path, 8)
    cluster = FakeCluster(worker, dict(SLOTS))
    told = carried(directory, cluster)
    assert read_campaign(directory).counts() == {"finished": 8}
    assert sorted(cluster.avoided) == sorted(full)
    assert sum("its disk is full" in said for said in told.said) == 2

    full |= {"tcp://c"}
    directory = begun(tmp_path, 8)
    cluster = FakeCluster(worker, dict(SLOTS))
    told = carried(directory, cluster)
    assert told.ended is not None
    assert told.ended.how == "disk"
    assert told.ended.says.startswith("the disk of all 3 workers is full, 8 targets left: make room")
    assert read_campaign(directory).counts().keys() <= {"waiting", "started"}


def test_numbers_that_no_line_can_hold_do_not_undo_a_target(tmp_path: Path) -> None:
    def worker(order: Order) -> Answer:
        answer = sent(order, tmp_path / "place")
        assert answer.outcome is not None
        answer.seconds = math.nan
        answer.outcome.confidence = math.inf
        answer.emulators = {f"{order.target.name}-{n}": "q" * 120 for n in range(32)}
        return answer

    directory = begun(tmp_path, 6)
    carried(directory, FakeCluster(worker, dict(SLOTS)))
    state = read_campaign(directory)
    assert state.counts() == {"finished": 6}
    assert state.problems == []
    assert len(state.campaign.emulators) == 32


class Sends:
    """Stands for the workers that get a root."""

    def __init__(self, answer: int) -> None:
        self.answer, self.pieces = answer, 0
        self.may = threading.Event()

    def run_on(self, address: str, over: threading.Event, function: object, *given: object) -> int:
        self.may.wait(10)
        self.pieces += 1
        return self.answer


@pytest.mark.parametrize("answer", [1, FULL])
def test_a_root_goes_to_a_worker_once_however_many_targets_wait_for_it(
    tmp_path: Path, answer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack(root: Path, into: Path, *, cancel: object) -> RootHash:
        into.parent.mkdir(parents=True, exist_ok=True)
        into.write_bytes(b"x")
        return RootHash("x", 1, 1)

    monkeypatch.setattr(sending, "pack_root", pack)
    cluster = Sends(answer)
    targets = [of_root(number, "x") for number in range(4)]
    sender = Sender(tmp_path, cluster, targets)  # type: ignore[arg-type]
    for one in targets:
        sender.send(one, "tcp://a")
    cluster.may.set()
    found: list[tuple[str, str, BaseException | None]] = []
    while len(found) < 4:
        found += sender.sent()
    sender.close()
    assert cluster.pieces == 1
    assert sorted(name for name, _, _ in found) == sorted(one.target for one in targets)
    assert all(isinstance(error, FullThereError) == (answer == FULL) for _, _, error in found)
    assert isinstance(FullThereError(""), TriageError)
