"""Workers of Dask `distributed`: the one module that imports it, while a campaign runs and never before.

Without a scheduler of the lab's own, scheduler and workers are threads of this process that talk through
memory (`inproc://`): nothing listens on any port or socket, so that nobody else reaches them. What they play
runs in processes of its own (`player`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import math
import queue
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import dask
import distributed
from distributed.deploy.spec import SpecCluster
from tornado.httpserver import HTTPServer
from tornado.web import Application

from triage_tui.campaign import worker
from triage_tui.campaign.fleet import Fleet, within
from triage_tui.campaign.order import VERSION
from triage_tui.errors import Stopped, TriageError
from triage_tui.text import safe_line

CONNECT_S = 15.0
"""How long a scheduler has to answer."""
LOST_S = 60.0
"""How long one that was there is waited for to come back, or to answer again."""
_LEAVE_S = 10.0
"""How long leaving workers may take: a scheduler that hangs holds up nobody who wants to go."""
_TICK_S = 0.1
_CONFIG = {
    # A worker plays guests in other processes: their memory is none of its own.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # What it remembers of each task of long ago would take more memory than all the rest.
    "distributed.diagnostics.computations.max-history": 1,
    "distributed.admin.log-length": 100,
    "distributed.admin.low-level-log-length": 100,
}


class Tls(NamedTuple):
    """Files by which a scheduler and its clients know each other; "" for what the settings of Dask say."""

    ca_file: str = ""
    cert: str = ""
    key: str = ""


class Done(NamedTuple):
    """An order that a worker is through with: its answer as it came, or why there is none."""

    name: str
    raw: object = None
    error: str = ""
    lost: bool = False
    """The scheduler is gone: whatever was under way is to be given out again."""
    killed: bool = False
    """Worker after worker died while it had this."""


def _without_server(node: Any) -> None:
    """Give a scheduler or worker a web server that listens nowhere."""
    node.http_server = HTTPServer(Application())


class _Scheduler(distributed.Scheduler):
    def start_http_server(self, *_: Any, **__: Any) -> None:
        _without_server(self)


class _Worker(distributed.Worker):
    def start_http_server(self, *_: Any, **__: Any) -> None:
        _without_server(self)


class _Client(distributed.Client):
    def __del__(self) -> None:
        # One that never came to be would wait half a minute for itself; all others are closed.
        return


def play_task(raw: bytes, topic: str, name: str) -> bytes:
    """Play an order on the worker that this is called on; the campaign is told that it began."""
    here = distributed.get_worker()
    key = here.get_current_task()
    here.log_event(topic, {"name": name, "by": str(here.name), "address": here.address})

    def cancelled() -> bool:
        # Nobody waits for it any more: the campaign was ended, or its process is gone.
        state = here.state.tasks.get(key)
        return state is None or state.state in ("cancelled", "released", "forgotten")

    return worker.play(raw, cancelled, here.address)


def version_task() -> str:
    """Return the version of what a worker would play with."""
    return VERSION


class Cluster:
    """The workers of a campaign. All methods are for one thread, but for `run_on`."""

    def __init__(
        self, client: distributed.Client, cluster: SpecCluster | None, campaign: str, threads: int = 0
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._topic = f"triage-tui-{campaign}"
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._futures: dict[str, distributed.Future[Any]] = {}
        self._given: dict[str, str] = {}
        self._threads = threads
        self._fleet = Fleet(client, version_task, VERSION) if cluster is None else None
        self.started: queue.SimpleQueue[tuple[str, str, str]] = queue.SimpleQueue()
        """Name of an order, name and address of the worker that began with it."""
        self.listen()

    def listen(self) -> None:
        """Be told by the scheduler when workers begin with an order; a new scheduler has to be asked anew."""
        self._client.subscribe_topic(self._topic, self._on_event)
        if self._fleet is not None:
            self._fleet.anew()

    def _on_event(self, event: tuple[float, Any]) -> None:
        told = event[1]
        if isinstance(told, dict):
            name, here, address = (str(told.get(key, ""))[:200] for key in ("name", "by", "address"))
            self.started.put((name, here, address))

    @property
    def embedded(self) -> bool:
        """Whether the workers are of this process, with the same files."""
        return self._cluster is not None

    def is_alive(self) -> bool:
        """Whether the scheduler is there."""
        return bool(self._client.status == "running")

    def await_scheduler(self, cancel: threading.Event, tell: Callable[[str], None]) -> bool:
        """Wait for a scheduler that is gone; False where it does not come back."""
        if self.is_alive():
            return True
        tell(f"the scheduler is gone; waiting {LOST_S:.0f} s for it to come back")
        deadline = time.monotonic() + LOST_S
        while not self.is_alive():
            if cancel.wait(_TICK_S):
                return True
            if time.monotonic() > deadline:
                return False
        self.listen()
        tell("the scheduler is back")
        return True

    def is_silent(self) -> bool:
        """Whether the scheduler is there and has not answered for longer than one is waited for."""
        return self._fleet is not None and self._fleet.silent_s() > LOST_S

    def slots(self, tell: Callable[[str], None]) -> dict[str, int]:
        """Return how many targets each worker can play at a time, by address, "" for those of this process.

        Workers of another version are not among them, which is told.

        Raises:
            TriageError: there are workers, and none of them ever had this version.
        """
        if self._fleet is None:
            return {"": self._threads}
        found = self._fleet.usable(tell)
        for name in [name for name, address in self._given.items() if self._fleet.is_gone(address)]:
            # Dask has an order for a worker that is gone wait for ever, where no other was there then.
            if (future := self._futures.pop(name, None)) is not None:
                within(_LEAVE_S, partial(self._client.cancel, [future], force=True))
                self._done.put(Done(name, error="its worker is gone"))
            del self._given[name]
        return found

    def submit(self, name: str, raw: bytes, worker_address: str = "") -> None:
        """Give an order to the worker at `worker_address`, to another one where that is gone by then."""
        future = self._client.submit(
            play_task,
            raw,
            self._topic,
            name,
            # One prefix for all: of each, Dask keeps figures for ever.
            key=("target", f"{name}-{time.monotonic_ns()}"),
            pure=False,
            # One that dies with it is a matter of ours: see `campaign.engine`.
            retries=0,
            workers=[worker_address] if worker_address else None,
            # An order that waits for one worker alone waits for ever once that is gone.
            allow_other_workers=bool(worker_address),
        )
        self._futures[name], self._given[name] = future, worker_address
        future.add_done_callback(lambda one: self._on_done(name, one))

    def _on_done(self, name: str, future: distributed.Future[Any]) -> None:
        if self._futures.get(name) is not future:
            return
        if future.status not in ("finished", "error"):
            self._done.put(Done(name, error="the scheduler is gone", lost=True))
            return
        try:
            self._done.put(Done(name, future.result(timeout=CONNECT_S)))
        except Exception as error:
            killed = isinstance(error, distributed.scheduler.KilledWorker)
            self._done.put(Done(name, error=_said(error), killed=killed))

    def wait(self, seconds: float) -> Done | None:
        """Return what a worker is through with, None where nothing is for so long."""
        try:
            done = self._done.get(timeout=seconds)
        except queue.Empty:
            return None
        future = self._futures.pop(done.name, None)
        self._given.pop(done.name, None)
        if future is not None:
            future.release()
        return done

    def cancel(self) -> None:
        """Have the workers stop what they play for this campaign."""
        futures = list(self._futures.values())
        within(_LEAVE_S, lambda: self._client.cancel(futures, force=True))

    def avoid(self, address: str, seconds: float = math.inf) -> None:
        """Give no further order to the worker at `address` for so long."""
        if self._fleet is not None:
            self._fleet.avoid(address, seconds)

    def run_on(self, address: str, over: threading.Event, function: Callable[..., Any], *given: Any) -> Any:
        """Call a short function on a worker, beside what it plays; `over` ends the waiting for it.

        Raises:
            Stopped: `over` was set.
            TriageError: it is gone, it hangs, or it failed there.
        """

        async def call() -> Any:
            return (await self._client.run(function, *given, workers=[address]))[address]

        deadline = time.monotonic() + LOST_S
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future = asyncio.run_coroutine_threadsafe(call(), self._client.loop.asyncio_loop)  # type: ignore[union-attr]
            while not over.is_set():
                done, _ = concurrent.futures.wait([future], timeout=_TICK_S)
                if done:
                    return future.result()
                if time.monotonic() > deadline:
                    raise TimeoutError("it does not answer")
            raise Stopped("the campaign was stopped")
        except Stopped:
            raise
        except Exception as error:
            future.cancel()
            raise TriageError(f"worker {safe_line(address, 80)}: {_said(error)}") from None

    def close(self) -> None:
        """Leave the workers; those of this process end, and what they play with them."""
        if self._fleet is not None:
            self._fleet.close()
        within(_LEAVE_S, lambda: self._client.close(timeout=5))
        if self._cluster is not None:
            worker.close_players()
            with contextlib.suppress(Exception):
                self._cluster.close(timeout=10)


def embedded(workers: int, campaign: str) -> Cluster:
    """Start a scheduler and `workers` workers in this process."""
    _quiet()
    dask.config.set(_CONFIG)
    options = {"protocol": "inproc://", "dashboard": False}
    spec = {
        f"w{n}": {"cls": _Worker, "options": {**options, "nthreads": 1, "name": f"w{n}"}}
        for n in range(1, workers + 1)
    }
    scheduler = {"cls": _Scheduler, "options": options}
    cluster = SpecCluster(workers=spec, scheduler=scheduler, silence_logs=logging.CRITICAL)
    client = distributed.Client(cluster, set_as_default=False)
    return Cluster(client, cluster, campaign, workers)


def connected(address: str, tls: Tls, campaign: str, cancel: threading.Event) -> Cluster:
    """Connect to a scheduler of the lab's own.

    Raises:
        Stopped: `cancel` was set.
        TriageError: it cannot be reached, or has no worker that can be used.
    """
    _quiet()
    dask.config.set({"distributed.client.scheduler-info-interval": "10s"})
    security = _security(address, tls)
    found: queue.SimpleQueue[distributed.Client | Exception] = queue.SimpleQueue()
    left = threading.Event()

    def connect() -> None:
        try:
            client: distributed.Client = _Client(  # type: ignore[no-untyped-call]
                address, timeout=CONNECT_S, set_as_default=False, security=security
            )
        except Exception as error:
            found.put(error)
            return
        client._timeout = LOST_S
        found.put(client)
        if left.is_set():
            client.close(timeout=5)

    # Who accepts a connection and says nothing does not keep a person from leaving.
    threading.Thread(target=connect, daemon=True).start()
    deadline = time.monotonic() + 2 * CONNECT_S
    one: distributed.Client | Exception = TimeoutError("it does not answer")
    while not cancel.is_set() and time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            one = found.get(timeout=_TICK_S)
            break
    if cancel.is_set() or isinstance(one, Exception):
        left.set()
        if isinstance(one, distributed.Client):
            one.close(timeout=5)
        if cancel.is_set():
            raise Stopped("the campaign was stopped")
        known = isinstance(one, OSError)
        why = _said(one) if known else "what answers there is no scheduler of Dask"
        raise TriageError(
            f"the scheduler {safe_line(address, 120)} cannot be reached ({why}): is it running"
            " (`dask scheduler`), and is that its address?"
        )
    return Cluster(one, None, campaign)


def _security(address: str, tls: Tls) -> distributed.Security:
    """Return by what a scheduler and we know each other.

    Raises:
        TriageError: a file is missing or none, or a tls:// scheduler is named without any.
    """
    for file in tls:
        if file and not Path(file).is_file():
            raise TriageError(f"the TLS file {safe_line(file, 200)} does not exist")
    given = {
        "tls_ca_file": tls.ca_file or None,
        "tls_client_cert": tls.cert or None,
        "tls_client_key": tls.key or None,
        "require_encryption": True,
    }
    security = distributed.Security(**given) if any(tls) else distributed.Security()
    try:
        context = security.get_connection_args("client").get("ssl_context")
    except (OSError, ValueError) as error:
        # ssl.SSLError is an OSError.
        raise TriageError(f"the TLS files cannot be used: {_said(error)}") from None
    if address.startswith("tls://") and context is None:
        raise TriageError(
            "a tls:// scheduler asks for certificates: give --tls-ca-file, --tls-cert and --tls-key"
        )
    return security


def _quiet() -> None:
    """Keep what Dask tells its own users from the terminal of ours."""
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="distributed")


def _said(error: object) -> str:
    """Return in a few words what an error of Dask, or of a worker, says."""
    if isinstance(error, distributed.scheduler.KilledWorker):
        return "worker after worker died while it had this"
    text = str(error).strip().splitlines()
    first = text[0] if text else ""
    name = type(error).__name__
    return safe_line(f"{name}: {first}" if first else name, 200)
