"""Memory in the run record: single objects with what they are for, and whole mappings."""

from __future__ import annotations

from triage_tui.runs.record import Record


class Blob(Record):
    """Bytes read from the guest and kept in a file of their own."""

    addr: int
    addr_hex: str
    size: int
    file: str
    fnv1a32: str = ""
    sha256: str = ""
    """Of the bytes as they are here; "" where they are not, because an export left them out."""
    masked: list[tuple[int, int]] = []
    """Where an export put `*` in the place of secrets: (offset, bytes)."""


class MemoryField(Record):
    """One decoded piece of a memory object: `size` bytes at `offset`. `text` is raw text of the guest."""

    name: str
    offset: int
    size: int
    text: str


class MemoryObject(Record):
    """One memory object: what it is, where it was, how it was read, why it matters."""

    id: str
    tag: str
    source: str
    addr: int
    addr_hex: str
    purpose: str = ""
    how: str = ""
    string: str | None = None
    string_err: str | None = None
    blob: Blob | None = None
    blob_err: str | None = None
    kind: str = ""
    """What it was recognised as: "struct sockaddr_in", "http request", "settings"; "" for nothing."""
    fields: list[MemoryField] = []
    """What it holds, decoded when it was recorded."""
    seq: int | None = None
    """The syscall that it belongs to."""
    frame: int | None = None
    """The frame whose code names it."""


class MemoryExtent(Record):
    """Bytes [addr, addr + size) of guest memory; they begin at `offset` in the region's file."""

    addr: int
    size: int
    offset: int


class FileExtent(Record):
    """Bytes [addr, addr + size) that are those of a file of the guest, from `offset` on; not kept here."""

    addr: int
    size: int
    path: str
    """As the guest names it."""
    offset: int
    sha256: str
    """Of these bytes, as they were in memory."""


class MemoryRegion(Record):
    """One mapping of a process as it was kept, [start, end). What is in no extent was zero."""

    pid: int
    """Id as the guest sees it."""
    start: int
    end: int
    perms: str
    name: str
    file: str = ""
    """Path below the run directory, "" when no bytes had to be kept."""
    size: int = 0
    """Bytes of that file."""
    hashes: list[str] = []
    """SHA-256 of each MiB of that file; the last one is of the rest."""
    extents: list[MemoryExtent] = []
    """By address."""
    files: list[FileExtent] = []
    """By address."""
    how: str = ""
    missing: str | None = None
    """Why some of it could not be kept."""
