"""More memory of a stop than was recorded at first: kept as objects of the run, read where it can be had.

A guest that is held frozen belongs to another process: it is asked through the run's event log
(`experiment_asked`), reads while the guest stays frozen, keeps the bytes in the record and says so
(`experiment_answered`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.runs.events import Event, append_event, holder_alive, read_events
from triage_tui.runs.files import inside, write_atomic
from triage_tui.runs.memory_model import Blob, MemoryObject
from triage_tui.runs.model import SCHEMA_VERSION
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import SNAPSHOT_FILE, encode_json, fnv1a32

Window = tuple[int, int]
"""Guest address and length."""

MAX_BYTES = 2 << 20
MAX_WINDOWS = 64
PATIENCE_S = 15.0
"""How long the process that holds a guest is waited for."""
_POLL_S = 0.1
TAG = "window"
ASKED_TAG = "asked"
"""Tag of what a person asked for."""
_PURPOSES = {TAG: "memory around the stack and what registers point to", ASKED_TAG: "asked for by a person"}


def parse_windows(text: str) -> list[Window]:
    """Read "0xADDRESS+LENGTH,...".

    Raises:
        TriageError: it is none of that, or more than may be read.
    """
    found: list[Window] = []
    for part in filter(None, text.split(",")):
        address, _, size = part.partition("+")
        try:
            found.append((int(address, 16), int(size)))
        except ValueError:
            raise TriageError(f"{part[:60]!r} is no piece of memory: say 0xADDRESS+LENGTH") from None
    _check(found)
    return found


def _check(windows: Sequence[Window]) -> None:
    total = sum(size for _, size in windows)
    bad = any(not 0 <= address < 1 << 64 or not 0 < size <= MAX_BYTES for address, size in windows)
    if not windows or bad or len(windows) > MAX_WINDOWS or total > MAX_BYTES:
        raise TriageError(f"at most {MAX_WINDOWS} pieces of {MAX_BYTES >> 20} MiB in all can be read")


def keep_windows(run_dir: Path, pieces: Iterable[tuple[int, bytes]], how: str, tag: str = TAG) -> int:
    """Add bytes to the record as memory objects; return how many bytes they are.

    Of an object that is there already, a longer reading takes its place.

    Raises:
        TriageError: the record is of another version, so that writing it would lose a part of it.
    """
    run = load_run(run_dir)
    snapshot = run.snapshot
    if snapshot.schema_version != SCHEMA_VERSION:
        raise TriageError(f"the record of run {run.run_id} is of another version, so nothing is added to it")
    known = {entry.id: entry.blob.size if entry.blob is not None else 0 for entry in snapshot.memory}
    total = 0
    for address, data in pieces:
        ident = f"{tag}_0x{address:x}"
        if len(data) <= known.get(ident, 0):
            continue
        snapshot.memory = [entry for entry in snapshot.memory if entry.id != ident]
        file = f"memory/{ident}.bin"
        write_atomic(inside(run_dir, file), data)
        blob = Blob(
            addr=address,
            addr_hex=f"0x{address:x}",
            size=len(data),
            file=file,
            fnv1a32=f"0x{fnv1a32(data):08x}",
            sha256=hashlib.sha256(data).hexdigest(),
        )
        snapshot.memory.append(
            MemoryObject(
                id=ident,
                tag=tag,
                source="experiment" if tag == TAG else "person",
                addr=address,
                addr_hex=blob.addr_hex,
                purpose=_PURPOSES.get(tag, ""),
                how=how,
                blob=blob,
            )
        )
        total += len(data)
    write_atomic(run_dir / SNAPSHOT_FILE, encode_json(snapshot))
    return total


def ask_holder(
    run: Run,
    windows: Sequence[Window],
    cancel: threading.Event,
    actor: str | None = None,
    tag: str = TAG,
) -> int:
    """Have the holder of the frozen guest read `windows` and keep them; return the number of bytes.

    Raises:
        TriageError: it does not answer, says why it could not, or `cancel` was set.
    """
    payload = {"windows": [list(one) for one in windows], "tag": tag}
    asked = append_event(run.dir, "experiment_asked", payload, actor)
    waited = 0.0
    while waited < PATIENCE_S and not cancel.wait(_POLL_S):
        waited += _POLL_S
        events = read_events(run.dir)[0]
        answer = next((one for one in events if _answers(one, asked.event_id)), None)
        if answer is not None:
            if why := answer.payload.get("why"):
                raise TriageError(f"the frozen guest could not be read: {str(why)[:200]}")
            size = answer.payload.get("bytes")
            return size if isinstance(size, int) else 0
        if not holder_alive(events):
            raise TriageError("the guest does not wait any more, so that its memory cannot be read")
    if cancel.is_set():
        raise TriageError("the experiment was stopped")
    raise TriageError("the process that holds the guest does not answer")


def _answers(event: Event, asked: int) -> bool:
    return event.kind == "experiment_answered" and event.payload.get("event") == asked


def answer_asked(run_dir: Path, events: Sequence[Event], read: Callable[[int, int], bytes]) -> bool:
    """In the process that holds the guest: read what was asked for; False when nothing is asked."""
    answered = {one.payload.get("event") for one in events if one.kind == "experiment_answered"}
    open_ones = [one for one in events if one.kind == "experiment_asked" and one.event_id not in answered]
    for event in open_ones:
        payload: dict[str, object] = {"event": event.event_id}
        try:
            windows = _windows_of(event)
            pieces = [(address, _read(read, address, size)) for address, size in windows]
            tag = ASKED_TAG if event.payload.get("tag") == ASKED_TAG else TAG
            payload["bytes"] = keep_windows(run_dir, pieces, "read from the frozen guest on demand", tag)
        except (TriageError, OSError) as error:
            payload["why"] = str(error)
        append_event(run_dir, "experiment_answered", payload)
    return bool(open_ones)


def _windows_of(event: Event) -> list[Window]:
    asked = event.payload.get("windows")
    found: list[Window] = []
    for one in asked if isinstance(asked, list) else []:
        match one:
            case [int(address), int(size)]:
                found.append((address, size))
            case _:
                raise TriageError("the log asks for memory in a form that is none")
    _check(found)
    return found


def _read(read: Callable[[int, int], bytes], address: int, size: int) -> bytes:
    """Return what is readable of a window, from its beginning on."""
    try:
        return read(address, size)
    except (TriageError, OSError, ValueError, OverflowError):
        return b""
