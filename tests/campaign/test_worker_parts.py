"""What a worker keeps, and how long it lets a target go on."""

import errno
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.waiting import wait_until
from triage_tui.campaign import worker, worker_roots
from triage_tui.campaign.model import Options, Target
from triage_tui.campaign.order import Answer, Order, decode_answer, encode
from triage_tui.campaign.place import prepare
from triage_tui.campaign.player import Died, Player
from triage_tui.campaign.roots import hash_root, pack_root, unpack_root
from triage_tui.campaign.starting import given_files
from triage_tui.errors import TriageError
from triage_tui.runs.events import process_start


def sent(place: Path, name: str) -> str:
    """Send a root of 100 kB in two pieces; return its hash."""
    root = place / name
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "x").write_bytes(name.encode() * (100_000 // len(name)))
    packed = place / f"{name}.pack"
    sha256 = pack_root(root, packed).sha256
    data = packed.read_bytes()
    at = worker_roots.receive(sha256, "c", 0, data[:50], False)
    assert worker_roots.root_of(sha256) is None
    worker_roots.receive(sha256, "c", at, data[50:], True)
    return sha256


def test_roots_are_kept_by_hash_and_the_longest_unused_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_TUI_ROOTS", str(tmp_path / "store"))
    monkeypatch.setenv("TRIAGE_TUI_ROOTS_SIZE", "250k")
    one, other, third = (sent(tmp_path, name) for name in ("one", "other", "third"))
    root = worker_roots.root_of(one)
    assert root is not None
    assert hash_root(root).sha256 == one
    assert worker_roots.root_of(other)
    assert worker_roots.root_of(one), "it is used once more"
    assert worker_roots.root_of(third)
    assert worker_roots.root_of(other) is None
    assert worker_roots.root_of(one)
    with worker_roots.in_use(one), worker_roots.in_use(third):
        fourth = sent(tmp_path, "fourth")
        assert worker_roots.root_of(fourth)
        assert worker_roots.root_of(one), "what is in use stays"
    assert {path.name for path in (tmp_path / "store").iterdir()} == {one, third, fourth}


def test_what_came_as_another_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_TUI_ROOTS", str(tmp_path / "store"))
    sha256 = sent(tmp_path, "one")
    wrong = "0" * 64
    (tmp_path / "store" / f"{sha256}.pack").rename(tmp_path / "store" / f"{wrong}.pack")
    with pytest.raises(TriageError, match="is not the root file system that was asked for"):
        worker_roots.root_of(wrong)
    assert worker_roots.root_of(wrong) is None, "it can be sent again"
    for name in ("../../etc", "", "A" * 64):
        with pytest.raises(TriageError, match="by its hash"):
            worker_roots.receive(name, "c", 0, b"x", True)


def test_what_a_killed_worker_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, used = tmp_path / "triage-tui-target-a", tmp_path / "triage-tui-target-b"
    for path in (left, used):
        (path / "workspace").mkdir(parents=True)
        os.utime(path, (0, 0))
    handle = os.open(used, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    order = Order(
        campaign="c", target=Target(target="1", name="x", root="/r", program="/x"), options=Options()
    )
    order.target.root_hash = "no hash"
    answer = decode_answer(worker.play(encode(order)))
    assert (answer.kind, "by its hash" in answer.error) == ("failed", True)
    monkeypatch.setattr(worker_roots, "root_of", lambda sha256: tmp_path)
    monkeypatch.setattr(worker_roots, "in_use", lambda sha256: nullcontext(True))
    monkeypatch.setattr(worker, "_played", lambda *_: Answer(target="1", kind="refused", error="none"))
    assert decode_answer(worker.play(encode(order))).kind == "refused"
    os.close(handle)
    assert [path.name for path in tmp_path.iterdir()] == [used.name]


def test_files_of_this_machine_travel_or_refuse_their_target(tmp_path: Path) -> None:
    given = Target(target="1", name="x", root="/r", program="/x", stdin=str(tmp_path / "input"))
    with pytest.raises(TriageError, match="cannot read"):
        given_files(given, Options())
    (tmp_path / "input").write_bytes(b"yes\n")
    order = Order(campaign="c", target=given, options=Options(), given=given_files(given, Options()))
    prepare(tmp_path / "place", order)
    assert (tmp_path / "place" / "given" / "stdin").read_bytes() == b"yes\n"


def test_a_target_that_takes_too_long_is_stopped_and_one_without_an_order_is_an_answer(
    rootfs: Callable[[str], Path], tmp_path: Path
) -> None:
    root, words = str(rootfs("busybox-armel")), ["/bin/busybox", "sleep", "1000"]
    target = Target(target="1", name="sleep", root=root, program=words[0], argv=words)
    prepare(tmp_path / "place", Order(campaign="c", target=target, options=Options()))
    player = Player()
    try:
        assert not player.play(tmp_path / "place", lambda: False, 0.5)
        (tmp_path / "empty").mkdir()
        with pytest.raises(Died, match="left no answer"):
            player.play(tmp_path / "empty", lambda: False)
        zygote, start = player.pid, process_start(player.pid)
    finally:
        player.close()
    wait_until(lambda: process_start(zygote) != start)


def test_a_root_that_came_is_unpacked_once_for_all_who_wait_and_what_was_left_by_half_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    monkeypatch.setenv("TRIAGE_TUI_ROOTS", str(store))
    for name in (".tmp-killed", ".gone-killed"):
        (store / name / "root").mkdir(parents=True)
        (store / name / "root").chmod(0)
        os.utime(store / name, (0, 0))
    sha256 = sent(tmp_path, "one")
    calls, real = [], unpack_root

    def unpack(*given: Path, **more: int) -> Path:
        calls.append(given)
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(worker_roots, "unpack_root", unpack)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: worker_roots.root_of(sha256), range(8)))
    assert found == [store / sha256 / "root"] * 8
    assert len(calls) == 1
    assert [path.name for path in store.iterdir()] == [sha256]


def test_a_worker_without_room_for_a_root_says_so_and_keeps_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_TUI_ROOTS", str(tmp_path / "store"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.fdopen", full)
        assert worker_roots.receive("a" * 64, "c", 0, b"x", False) == worker_roots.FULL
    assert list((tmp_path / "store").iterdir()) == []
    target = Target(target="1", name="x", root="/r", program="/x", root_hash="a" * 64)
    order = encode(Order(campaign="c", target=target, options=Options()))

    def no_room(_: str) -> None:
        raise TriageError("it cannot be unpacked") from OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(worker_roots, "root_of", no_room)
    assert decode_answer(worker.play(order)).kind == "no room"
    monkeypatch.setattr(worker_roots, "root_of", lambda _: None)

    def dies(*_: object) -> None:
        raise Died("ended")

    monkeypatch.setattr(worker, "_answer", dies)
    assert decode_answer(worker.play(order)).kind == "died"
    monkeypatch.setattr("triage_tui.campaign.place.NO_ROOM_BYTES", 1 << 60)
    assert decode_answer(worker.play(order)).kind == "no room", "a full disk loses nothing"
