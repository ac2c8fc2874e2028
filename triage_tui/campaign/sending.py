"""Send root file systems to workers that lack them, beside all else that the campaign does."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from triage_tui.campaign.model import Target
from triage_tui.campaign.queues import emptied
from triage_tui.campaign.roots import pack_root
from triage_tui.errors import Stopped, TriageError
from triage_tui.text import safe_line

if TYPE_CHECKING:
    from triage_tui.campaign.cluster import Cluster

PIECE = 4 << 20
"""Bytes that go to a worker at a time."""
_AT_ONCE = 2
PACKS = "packs"
"""Directory of the campaign that holds packed roots while targets of them are left."""


class FullThereError(TriageError):
    """The disk of a worker is full."""


class Sender:
    """Packs roots and sends them, in threads of its own; to each worker that lacks one it goes once."""

    def __init__(self, directory: Path, cluster: Cluster, targets: Iterable[Target]) -> None:
        self._packs = directory / PACKS
        self._cluster, self._campaign = cluster, directory.name
        self._left = Counter(target.root_hash for target in targets)
        self._locks: dict[str, threading.Lock] = {}
        self._over = threading.Event()
        self._waiting: dict[tuple[str, str], list[str]] = {}
        """Hash of a root and address of the worker that gets it -> the targets that wait for that."""
        self._sent: queue.SimpleQueue[tuple[str, str, BaseException | None]] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="roots")

    def send(self, target: Target, address: str) -> None:
        """Send the root of a target to a worker; `sent` says when it is there."""
        waiting = self._waiting.setdefault((target.root_hash, address), [])
        waiting.append(target.target)
        if len(waiting) > 1:
            # It is under way for another target.
            return
        lock = self._locks.setdefault(target.root_hash, threading.Lock())
        future = self._pool.submit(self._send, target, address, lock)

        def told(done: Future[None]) -> None:
            self._sent.put((target.root_hash, address, None if done.cancelled() else done.exception()))

        future.add_done_callback(told)

    def sent(self) -> Iterator[tuple[str, str, BaseException | None]]:
        """Yield the ids of targets whose roots were sent since, to whom, and why not, if not."""
        for sha256, address, error in emptied(self._sent):
            for name in self._waiting.pop((sha256, address), ()):
                yield name, address, error

    def _send(self, target: Target, address: str, lock: threading.Lock) -> None:
        from triage_tui.campaign.worker_roots import FULL, receive

        path = self._packs / target.root_hash
        with lock:
            if not path.is_file():
                found = pack_root(Path(target.root), path, cancel=self._over)
                if found.sha256 != target.root_hash:
                    path.unlink(missing_ok=True)
                    raise TriageError(
                        f"the root file system {safe_line(target.root, 200)} was changed since the campaign"
                        " began: begin another one"
                    )
        size = path.stat().st_size
        with path.open("rb") as stream:
            at = 0
            while at < size:
                if self._over.is_set():
                    raise Stopped("the campaign was stopped")
                data = stream.read(PIECE)
                last = at + len(data) >= size
                piece = (target.root_hash, self._campaign, at, data, last)
                if self._cluster.run_on(address, self._over, receive, *piece) == FULL:
                    raise FullThereError("it has no room for the root file system")
                at += len(data)

    def done(self, target: Target) -> None:
        """Forget the packed root of a target that is through, where it was the last of that root."""
        self._left[target.root_hash] -= 1
        if self._left[target.root_hash] <= 0:
            (self._packs / target.root_hash).unlink(missing_ok=True)

    def close(self) -> None:
        """Stop sending, and remove what was packed."""
        self._over.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._packs.is_dir():
            for path in self._packs.iterdir():
                path.unlink(missing_ok=True)
            self._packs.rmdir()
