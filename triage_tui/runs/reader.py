"""Read a run record that may be hostile, broken, half-written, from SFEmu or from another version."""

from __future__ import annotations

import hashlib
import io
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.completeness import (
    disagreements,
    history_gap,
    missing_beginning,
    missing_history,
    missing_output,
)
from triage_tui.runs.contradictions import contradictions
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.events import Event, State, derive_state, read_events
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.form import MAX_SNAPSHOT_BYTES as MAX_SNAPSHOT_BYTES
from triage_tui.runs.form import SFEMU_REASONS
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.left_out import read_left_out
from triage_tui.runs.memory_files import RegionReader
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.model import SCHEMA_VERSION, Snapshot, Syscall, Target, Trigger
from triage_tui.runs.writer import ENVIRONMENT_FILE, SNAPSHOT_FILE, TRACE_FILE
from triage_tui.text import number_of, safe_line

MAX_TRACE_BYTES = 64 << 20
MAX_TEXT_BYTES = 4 << 20
MAX_BLOB_BYTES = 64 << 20
MAX_PATCH_FILES = 256


class Run:
    """One run as read from disk. What could not be read is told in `problems`, one sentence each."""

    def __init__(self, run_dir: Path, snapshot: Snapshot, problems: list[str]) -> None:
        self.dir = run_dir
        self.snapshot = snapshot
        self.problems = problems
        self.events: list[Event]
        self.events, found = read_events(run_dir)
        self.problems += found
        self.diagnosis_problem = ""
        """Why `diagnosis.json` could not be used, one of `problems`; "" when it could, or there is none."""
        self.diagnosis = self._read_diagnosis()
        self.history_lacks = ""
        """What of the calls is missing before the last ones, as `trace` found it; "" for nothing."""
        self._trace: list[Syscall] | None = None
        self._readers: list[RegionReader] | None = None
        self._by_seq: dict[int, Syscall] | None = None

    @property
    def run_id(self) -> str:
        """The run's name (of its directory, which is what links and commands use)."""
        return self.dir.name

    @property
    def state(self) -> State:
        """The state that the events lead to."""
        return derive_state(self.events)

    def _read_diagnosis(self) -> Diagnosis | None:
        path = self.dir / "diagnosis.json"
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(read_bounded(path, MAX_SNAPSHOT_BYTES, whole=True), type=Diagnosis)
        except (TriageError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            self.diagnosis_problem = f"diagnosis.json cannot be used: {safe_line(str(error), 200)}"
            self.problems.append(self.diagnosis_problem)
            return None

    def trace(self) -> list[Syscall]:
        """Return the long syscall history, or the snapshot's recent calls when there is no other."""
        if self._trace is None:
            self._trace = self._read_trace()
        return self._trace

    def _read_trace(self) -> list[Syscall]:
        path = self.dir / TRACE_FILE
        recent = list(self.snapshot.recent_syscalls)
        if not os.path.lexists(path):
            self._lacking(missing_history(self.snapshot))
            self._lacking_beginning(recent)
            return recent
        decoder = msgspec.json.Decoder(Syscall)
        calls: list[Syscall] = []
        damaged = 0
        try:
            # The end of a longer trace is what explains the end of the program.
            raw = read_bounded(path, MAX_TRACE_BYTES + 1, tail=True)
        except TriageError as error:
            self._lacking([str(error)])
            return recent
        if len(raw) > MAX_TRACE_BYTES:
            raw = raw[raw.find(b"\n") + 1 :]
            mib = MAX_TRACE_BYTES >> 20
            self._lacking([f"{TRACE_FILE} is longer than {mib} MiB: its beginning is left out"])
        # Line by line: a split of so much would let no other thread work meanwhile.
        for line in io.BytesIO(raw):
            if line != b"\n":
                try:
                    calls.append(decoder.decode(line))
                except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                    damaged += 1
        if damaged:
            passed_over = [f"{number_of(damaged, 'damaged line')} of {TRACE_FILE} passed over"]
            # One line may be torn; many are a part of the history.
            if damaged * 100 > len(calls):
                self._lacking(passed_over)
            else:
                self.problems += passed_over
        self._lacking(history_gap(self.snapshot, calls))
        self._lacking_beginning(calls)
        self.problems += disagreements(self.snapshot, calls)
        return calls

    def _lacking_beginning(self, calls: list[Syscall]) -> None:
        """Take note that calls are missing before those that SFEmu kept, which is how it records."""
        self.history_lacks = self.history_lacks or missing_beginning(self.snapshot, calls)

    def _lacking(self, found: list[str]) -> None:
        """Take note of what is missing of the history."""
        self.problems += found
        self.history_lacks = self.history_lacks or next(iter(found), "")

    def syscall(self, seq: int) -> Syscall | None:
        """Return the syscall with sequence number `seq`."""
        if self._by_seq is None:
            # The first of several wins, and the snapshot's own wins over the trace.
            known = (*reversed(self.trace()), *reversed(self.snapshot.recent_syscalls))
            self._by_seq = {call.seq: call for call in known}
        return self._by_seq.get(seq)

    def memory_object(self, object_id: str) -> MemoryObject | None:
        """Return the index entry of a memory object."""
        return next((entry for entry in self.snapshot.memory if entry.id == object_id), None)

    def memory_bytes(self, object_id: str) -> bytes:
        """Return the bytes of a memory object.

        Raises:
            TriageError: there is no such object, it has no bytes, or its file is missing or was changed.
        """
        entry = self.memory_object(object_id)
        if entry is None or entry.blob is None:
            raise TriageError(f"run {self.run_id} has no bytes for memory object {safe_line(object_id, 60)}")
        path = inside(self.dir, entry.blob.file)
        if not os.path.lexists(path):
            # A bundle leaves memory out unless it is asked for.
            raise TriageError("its file is missing" if path.parent.is_dir() else "not in this bundle")
        data = read_bounded(path, MAX_BLOB_BYTES)
        if entry.blob.sha256 and hashlib.sha256(data).hexdigest() != entry.blob.sha256:
            raise TriageError(
                f"{safe_line(entry.blob.file)} of run {self.run_id} was changed after it was recorded"
            )
        return data

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Files that an export left out on purpose, and why; see `left_out`."""
        return read_left_out(self.dir)

    def environments(self) -> dict[int, list[str]]:
        """Return process id -> "NAME=value" entries. They may be secrets: show them through `secrets.masked`.

        Raises:
            TriageError: they were not recorded, or may not be read.
        """
        path = self.dir / ENVIRONMENT_FILE
        if not path.exists():
            raise TriageError(f"run {self.run_id} has no {ENVIRONMENT_FILE}")
        try:
            raw = read_bounded(path, MAX_SNAPSHOT_BYTES, whole=True)
            return msgspec.json.decode(raw, type=dict[int, list[str]])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise TriageError(
                f"{ENVIRONMENT_FILE} of run {self.run_id} is damaged: {safe_line(str(error), 200)}"
            ) from error

    def region_readers(self) -> list[RegionReader]:
        """Return what reads each region of kept memory, in the snapshot's order."""
        if self._readers is None:
            # A program without a root file system was named by its host path.
            root = Path(self.snapshot.target.rootfs or "/")
            self._readers = [RegionReader(self.dir, region, root) for region in self.snapshot.memory_regions]
        return self._readers

    def read_memory(self, address: int, size: int, pid: int | None = None) -> bytes:
        """Return `size` bytes of guest memory of a process (default: the one that is looked at).

        Raises:
            TriageError: they were not kept, or what was kept is missing or was changed.
        """
        if pid is None:
            pid = next((entry.pid for entry in self.snapshot.processes if entry.looked_at), 0)
        found = b""
        readers = [reader for reader in self.region_readers() if reader.region.pid == pid]
        while len(found) < size:
            at = address + len(found)
            reader = next((one for one in readers if one.region.start <= at < one.region.end), None)
            data = reader.read(at, size - len(found)) if reader is not None else b""
            if not data:
                break
            found += data
        if len(found) < size:
            if (known := self._object_bytes(address, size, pid)) is not None:
                return known
            raise TriageError(f"run {self.run_id} has not kept the memory at {address + len(found):#x}")
        return found

    def _object_bytes(self, address: int, size: int, pid: int) -> bytes | None:
        """Return bytes at an address from a memory object, of the process that is looked at."""
        if not any(entry.looked_at and entry.pid == pid for entry in self.snapshot.processes) and pid:
            return None
        for entry in self.snapshot.memory:
            if entry.blob is not None and entry.addr <= address < entry.addr + entry.blob.size:
                data = self.memory_bytes(entry.id)[address - entry.addr :][:size]
                if len(data) == size:
                    return data
        return None

    def text_file(self, name: str, limit: int = MAX_TEXT_BYTES, *, tail: bool = False) -> str:
        """Return a text file of the run, raw (not yet safe to show), at most `limit` bytes of it.

        Raises:
            TriageError: no such file, or its name leaves the run directory.
        """
        return self.text_bytes(name, limit, tail=tail).decode("utf-8", "backslashreplace")

    def text_bytes(self, name: str, limit: int = MAX_TEXT_BYTES, *, tail: bool = False) -> bytes:
        """Return the same as bytes, for what counts in bytes.

        Raises:
            TriageError: no such file, or its name leaves the run directory.
        """
        return read_bounded(inside(self.dir, name), limit, tail=tail)

    def patch_files(self) -> list[str]:
        """Return the names of the rule files below `rules_patch/`, sorted, links left out."""
        root = self.dir / "rules_patch"
        names: list[str] = []
        if not root.is_dir() or root.is_symlink():
            return names
        for path in sorted(root.rglob("*.lua")):
            if path.is_file() and not path.is_symlink():
                names.append(path.relative_to(root).as_posix())
            if len(names) >= MAX_PATCH_FILES:
                self.problems.append(f"only the first {MAX_PATCH_FILES} rule files are shown")
                break
        return names


def load_run(run_dir: Path) -> Run:
    """Read the run in `run_dir`.

    Raises:
        TriageError: there is no readable `snapshot.json`, so this is no run (or not yet one).
    """
    path = run_dir / SNAPSHOT_FILE
    if not path.exists():
        if not os.path.lexists(run_dir):
            raise TriageError(f"run {safe_line(run_dir.name)} is not there any more: it was deleted")
        raise TriageError(
            f"{safe_line(str(run_dir))} has no {SNAPSHOT_FILE}: it is no run, or still being written"
        )
    raw = read_bounded(path, MAX_SNAPSHOT_BYTES, whole=True)
    problems: list[str] = []
    try:
        snapshot = msgspec.json.decode(raw, type=Snapshot)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        snapshot = _salvage(run_dir, raw, error, problems)
    if snapshot.schema_version > SCHEMA_VERSION:
        problems.append(
            f"the run was written by a newer version (schema {snapshot.schema_version}, this program reads"
            f" {SCHEMA_VERSION}): parts may be missing here"
        )
    problems += [*contradictions(snapshot), *missing_output(run_dir, snapshot)]
    if snapshot.run_id != run_dir.name and is_run_id(run_dir.name) and snapshot.schema_version:
        name = safe_line(snapshot.run_id, 60)
        problems.append(f"the record calls itself {name}: the name of its directory is taken")
    return Run(run_dir, snapshot, problems)


def _translate(data: dict[str, Any]) -> None:
    """Put what SFEmu writes otherwise into this program's form: reasons, empty objects, unnamed memory."""
    reason = data.get("reason")
    if isinstance(reason, str) and reason in SFEMU_REASONS:
        data["reason"] = SFEMU_REASONS[reason]
    for name in ("outputs", "backtrace", "target"):
        # Its encoder writes an empty table as a list.
        if data.get(name) == []:
            del data[name]
    memory = data.get("memory")
    for number, entry in enumerate(memory if isinstance(memory, list) else []):
        if isinstance(entry, dict):
            entry.setdefault("id", f"m{number}")


def _salvage(run_dir: Path, raw: bytes, error: Exception, problems: list[str]) -> Snapshot:
    """Keep what can be kept of a snapshot whose shape is not ours.

    Top-level fields are taken one by one; those that do not fit are left out and named.
    """
    try:
        data: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise TriageError(
            f"{SNAPSHOT_FILE} of {safe_line(run_dir.name)} is not valid JSON ({safe_line(str(error), 120)})"
        ) from None
    if not isinstance(data, dict):
        raise TriageError(f"{SNAPSHOT_FILE} of {safe_line(run_dir.name)} holds no object, so it is no run")
    snapshot = Snapshot(
        run_id=run_dir.name,
        reason="unknown",
        created_at="",
        trigger=Trigger(seq=0, syscall_name="?"),
        target=Target(program="?", argv=[], arch="?"),
        schema_version=0,
    )
    _translate(data)
    dropped: list[str] = []
    for field in msgspec.structs.fields(Snapshot):
        if field.name in data:
            try:
                setattr(snapshot, field.name, msgspec.convert(data[field.name], field.type))
            except msgspec.ValidationError:
                dropped.append(field.name)
        elif field.name in ("reason", "trigger", "target"):
            dropped.append(field.name)
    problems.append(
        f"{SNAPSHOT_FILE} does not follow this program's format; left out: {', '.join(dropped) or 'nothing'}"
    )
    return snapshot
