"""Memory of a stop on demand: from the record, from kept memory, or from the guest while it waits frozen."""

from __future__ import annotations

import threading
from typing import NamedTuple

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch, by_name, layouts
from triage_tui.guest.arch.contents import (
    HTTP_ANSWER,
    HTTP_REQUEST,
    NETLINK,
    POINTERS,
    SETTINGS,
    interfaces,
    pointer_table,
    recognise,
)
from triage_tui.guest.arch.structures import FieldText, Structure, fields_of
from triage_tui.retry.inspecting.memory_windows import ASKED_TAG, MAX_BYTES, ask_holder
from triage_tui.runs.events import holder_reads
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.reader import Run, load_run
from triage_tui.text import safe_line

PIECE = 4096
"""Bytes that are read at once when nobody says how many."""
AUTO = "auto"
FORMS = (AUTO, "string", "http", "settings", "netlink", "pointers", "interfaces", "sockaddr", *layouts.NAMES)
"""What bytes may be decoded as."""
_KINDS = {"http": (HTTP_REQUEST, HTTP_ANSWER), "settings": (SETTINGS,), "netlink": (NETLINK,)}
_MAX_STRING = 256
_WITH_REQUEST = {"ifreq": "SIOCGIFADDR"}


class Meant(NamedTuple):
    """What bytes mean: a name for it, and its fields. Text is raw."""

    title: str
    fields: list[FieldText]


def read_more(run: Run, address: int, length: int, cancel: threading.Event) -> tuple[Run, bytes, str]:
    """Return the run, bytes of its memory, and how they were had.

    What no record has is asked of the process that holds the guest frozen, and is in the record then.

    Raises:
        TriageError: they cannot be had; the sentence says why.
    """
    if not 0 < length <= MAX_BYTES or not 0 <= address < 1 << 64:
        raise TriageError(f"a piece of memory has an address and 1 to {MAX_BYTES} bytes")
    known = _recorded(run, address, length)
    if known is not None:
        return run, known, "from the record"
    if not holder_reads(run.events):
        raise TriageError(
            f"memory at {address:#x} was not kept, and no frozen guest waits that could be asked: "
            "`triage-tui run --memory full` keeps all"
        )
    length = min(length, _mapped(run, address) - address)
    ask_holder(run, [(address, length)], cancel, tag=ASKED_TAG)
    run = load_run(run.dir)
    entry = run.memory_object(f"{ASKED_TAG}_0x{address:x}")
    if entry is None or entry.blob is None:
        raise TriageError(f"nothing can be read at {address:#x} in the frozen guest")
    return run, run.memory_bytes(entry.id)[:length], entry.how


def _mapped(run: Run, address: int) -> int:
    """Return the end of what the guest has mapped from `address` on: behind it lies memory of the emulator.

    Raises:
        TriageError: nothing of the guest's is mapped there.
    """
    end = address
    for mapping in sorted(run.snapshot.maps, key=lambda one: one.start):
        if mapping.start <= end < mapping.end:
            end = mapping.end
    if end == address:
        raise TriageError(f"nothing is mapped at {address:#x}")
    return end


def _recorded(run: Run, address: int, length: int) -> bytes | None:
    try:
        return run.read_memory(address, length)
    except TriageError:
        return None


def meant_by(run: Run, data: bytes, form: str = AUTO, entry: MemoryObject | None = None) -> Meant | None:
    """Return what bytes mean as `form`, or what they are recognised as; None for nothing that is certain.

    Raises:
        TriageError: the architecture of the run is not known.
    """
    arch = by_name(run.snapshot.target.arch)
    if form == AUTO:
        if entry is not None and entry.fields:
            fields = [FieldText(one.name, one.offset, one.size, one.text) for one in entry.fields]
            return Meant(entry.kind or "what was recognised", fields)
        found = recognise(arch, data, lambda at: _string_at(run, at))
        return Meant(found.kind, found.fields) if found is not None else None
    if form == "string":
        end = data.find(b"\0")
        raw = data if end < 0 else data[:end]
        return Meant("string", [FieldText("text", 0, len(raw), raw.decode("utf-8", "backslashreplace"))])
    if form in _KINDS:
        found = recognise(arch, data)
        return Meant(found.kind, found.fields) if found is not None and found.kind in _KINDS[form] else None
    return _structured(run, arch, data, form)


def _structured(run: Run, arch: Arch, data: bytes, form: str) -> Meant | None:
    if form == "pointers":
        fields = pointer_table(arch, data, lambda at: _string_at(run, at), 1)
        return Meant(POINTERS, fields) if fields else None
    if form == "interfaces":
        fields = interfaces(arch, data)
        return Meant("struct ifreq []", fields) if fields else None
    fields = fields_of(arch, Structure(form, 1, _WITH_REQUEST.get(form, "")), data)
    return Meant(f"struct {form}", fields) if fields else None


def _string_at(run: Run, address: int) -> bytes | None:
    """Return the C string at an address as far as the record has it, None where it does not."""
    data = _recorded(run, address, _MAX_STRING) or _tail(run, address)
    end = data.find(b"\0")
    return data[:end] if end >= 0 else None


def _tail(run: Run, address: int) -> bytes:
    """Return what the object that holds an address has from there on."""
    for entry in run.snapshot.memory:
        if entry.blob is not None and entry.addr <= address < entry.addr + entry.blob.size:
            try:
                return run.memory_bytes(entry.id)[address - entry.addr :][:_MAX_STRING]
            except TriageError:
                continue
    return b""


def address_of(text: str) -> int | None:
    """Return the address that a person typed, None when it is none (it may be the name of an object)."""
    try:
        value = int(text, 0)
    except ValueError:
        return None
    return value if 0 <= value < 1 << 64 else None


def object_named(run: Run, text: str) -> MemoryObject:
    """Return the object of that id.

    Raises:
        TriageError: there is none.
    """
    entry = run.memory_object(text)
    if entry is None:
        raise TriageError(
            f"run {run.run_id} has no memory object {safe_line(text, 60)}: "
            "`triage-tui memory RUN` lists them, and an address is written as 0x40a0"
        )
    return entry
