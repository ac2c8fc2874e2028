"""The workers of a scheduler elsewhere: which there are, and which of them may get targets.

They are asked for every few seconds in a thread of its own: a scheduler that hangs, or a worker that does,
holds up neither the campaign nor whoever wants to leave it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.text import number_of, safe_line

ANSWER_S = 15.0
"""How long a scheduler or a worker has to say what it is; whoever does not is asked again later."""
_EVERY_S = 2.0


class Fleet:
    """What is known of the workers of a scheduler."""

    def __init__(self, client: Any, version_task: Callable[[], str], version: str) -> None:
        # `cluster` alone imports Dask.
        self._client, self._task, self._version = client, version_task, version
        self._lock = threading.Lock()
        self._threads: dict[str, int] = {}
        self._versions: dict[str, object] = {}
        """Address of a worker -> what it answered when it was asked for its version."""
        self._until: dict[str, float] = {}
        """Address of a worker that gets no orders -> until when, by the monotonic clock."""
        self._answered = time.monotonic()
        self._asked = False
        self._told: set[str] = set()
        self._any_good = self._told_none = False
        self._over = threading.Event()
        self._now = threading.Event()
        threading.Thread(target=self._ask, name="fleet", daemon=True).start()

    def close(self) -> None:
        """Ask no more."""
        self._over.set()
        self._now.set()

    def anew(self) -> None:
        """Forget how long the scheduler has not answered: it is another one."""
        with self._lock:
            self._threads, self._asked = {}, False
        self._answered = time.monotonic()
        self._now.set()

    def silent_s(self) -> float:
        """Return for how many seconds the scheduler has not answered."""
        return time.monotonic() - self._answered

    def avoid(self, address: str, seconds: float = math.inf) -> None:
        """Leave a worker out of `usable` for so long."""
        self._until[address] = time.monotonic() + seconds

    def is_gone(self, address: str) -> bool:
        """Tell whether a scheduler that answers knows no worker of that address."""
        with self._lock:
            return bool(address) and self._asked and address not in self._threads

    def usable(self, tell: Callable[[str], None]) -> dict[str, int]:
        """Return the workers that may get orders, by address, with how many each plays at a time.

        Those of another version are left out, and told of once.

        Raises:
            TriageError: there are workers, and none of them ever had this version.
        """
        with self._lock:
            threads, versions, asked = dict(self._threads), dict(self._versions), self._asked
        good = {a: count for a, count in threads.items() if versions.get(a) == self._version}
        bad = {a: versions[a] for a in threads if a in versions and a not in good}
        self._any_good = self._any_good or bool(good)
        if asked and not threads and not self._told_none:
            tell("the scheduler has no workers yet; waiting for some")
            self._told_none = True
        if new := [address for address in bad if address not in self._told]:
            said = self._of_another_version(new[0], bad[new[0]])
            if not self._any_good and len(bad) == len(threads):
                need = self._version.partition("/")[0]
                raise TriageError(f"{said}: install triage-tui {need} on the workers")
            self._told |= set(new)
            more = f" (and {number_of(len(new) - 1, 'more worker')})" if len(new) > 1 else ""
            tell(f"{said}{more}: no targets for it")
        now = time.monotonic()
        return {address: count for address, count in good.items() if self._until.get(address, 0.0) <= now}

    def _of_another_version(self, address: str, one: object) -> str:
        has = f"triage-tui {one}" if isinstance(one, str) else f"no triage-tui to use ({_said(one)})"
        return f"worker {safe_line(address, 80)} has {safe_line(has, 160)}, and this is {self._version}"

    # In the thread

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                threads = dict(self._client.sync(self._threads_now, callback_timeout=ANSWER_S))
                self._answered = time.monotonic()
                new = [address for address in threads if address not in self._versions]
                found = self._client.sync(self._look_at, new, callback_timeout=2 * ANSWER_S) if new else {}
                with self._lock:
                    known = {a: one for a, one in self._versions.items() if a in threads}
                    self._threads, self._versions, self._asked = threads, known | found, True
            except Exception:
                # It is going away, or hangs: `silent_s` and what was under way say so.
                with self._lock:
                    self._threads, self._asked = {}, False
            self._now.wait(_EVERY_S)
            self._now.clear()

    async def _threads_now(self) -> dict[str, int]:
        found: dict[str, int] = await self._client.nthreads()
        return found

    async def _look_at(self, addresses: list[str]) -> dict[str, Any]:
        """Return what workers say when they are asked for their version; of those that hang nothing."""

        async def one(address: str) -> Any:
            told = self._client.run(self._task, workers=[address], on_error="return")
            return (await asyncio.wait_for(told, ANSWER_S))[address]

        found = await asyncio.gather(*map(one, addresses), return_exceptions=True)
        return {
            address: told
            for address, told in zip(addresses, found, strict=True)
            if not isinstance(told, TimeoutError | OSError | KeyError | asyncio.CancelledError)
        }


def _said(error: object) -> str:
    text = str(error).strip().splitlines()
    return safe_line(f"{type(error).__name__}: {text[0] if text else ''}", 200)


def within(seconds: float, call: Callable[[], Any]) -> None:
    """Make a call to a scheduler that may hang, and wait for it so long at most."""

    def called() -> None:
        with contextlib.suppress(Exception):
            call()

    thread = threading.Thread(target=called, daemon=True)
    thread.start()
    thread.join(seconds)
