"""Files of CRIU's images: magic numbers, then entries, each with its length (https://criu.org/Images)."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from triage_tui.guest.checkpoint import wire
from triage_tui.guest.checkpoint.messages import SHAPES
from triage_tui.guest.checkpoint.wire import Damaged, Message

_COMMON = 0x54564319
_MAGIC = {
    "inventory": (0x58313116, "inventory_entry"),
    "pstree": (0x50273030, "pstree_entry"),
    "core": (0x55053847, "core_entry"),
    "ids": (0x54432030, "task_kobj_ids_entry"),
    "mm": (0x57492820, "mm_entry"),
    "pagemap": (0x56084025, "pagemap_entry"),
    "fs": (0x51403912, "fs_entry"),
    "filelocks": (0x54323616, "file_lock_entry"),
    "fdinfo": (0x56213732, "fdinfo_entry"),
    "files": (0x56303138, "file_entry"),
    "pipes-data": (0x56453709, "pipe_data_entry"),
    "sk-queues": (0x56264026, "sk_packet_entry"),
}
"""Kind of image -> its magic number, and the shape of its entries."""
_FOLLOWED = {"pipes-data": "bytes", "sk-queues": "length"}
"""Kind of image -> the field that says how many raw bytes follow an entry."""
MAX_PAGES = 1 << 30
"""Bytes of a pages image, and of changed files."""
_MAX_IMAGE = 8 << 20
"""Bytes of an image without raw bytes: enough for many mappings and files, and read in seconds."""
MAX_FOLLOWED = 64 << 20
"""Bytes of one with raw bytes, the pages left out."""
_LENGTH = struct.Struct("<I")


def _kind(name: str) -> str:
    """Return the kind of an image by its file name: "core" of "core-1.img"."""
    stem = name.removesuffix(".img")
    return stem if stem in _MAGIC else stem.rpartition("-")[0]


def write_image(
    directory: Path, name: str, entries: Iterable[Message], extra: Iterable[bytes] | None = None
) -> None:
    """Write the image `name` ("core-1.img"); `extra` are raw bytes that follow each entry.

    Raises:
        OSError: it cannot be written.
    """
    kind = _kind(name)
    magic, shape = _MAGIC[kind]
    out = bytearray()
    # The inventory is the one that is read before the version of the others is known.
    if kind != "inventory":
        out += _LENGTH.pack(_COMMON)
    out += _LENGTH.pack(magic)
    behind = iter(extra or ())
    for index, entry in enumerate(entries):
        data = wire.encode(SHAPES, "pagemap_head" if kind == "pagemap" and index == 0 else shape, entry)
        out += _LENGTH.pack(len(data)) + data + next(behind, b"")
    write_private(directory / name, out)


def write_private(path: Path, data: bytes | bytearray) -> None:
    """Write a file that only its owner may read: memory of the guest can hold secrets.

    Raises:
        OSError: it cannot be written.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        file.write(data)


def open_private(path: Path, most: int) -> tuple[int, int]:
    """Return a descriptor of a regular file that is no link, and its size.

    Raises:
        Damaged: there is none, it is something else, or larger than `most` bytes.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read ({error.strerror})") from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        os.close(fd)
        raise Damaged(f"{path.name} is no regular file of at most {most} bytes")
    return fd, status.st_size


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a file of a checkpoint.

    Raises:
        Damaged: see `open_private`.
    """
    fd, size = open_private(path, most)
    with open(fd, "rb") as file:
        data = file.read(size)
    if len(data) < size:
        raise Damaged(f"{path.name} is cut off")
    return data


def read_image(directory: Path, name: str, most: int) -> list[tuple[Message, bytes]]:
    """Return the entries of an image, each with the raw bytes behind it; at most `most` of them.

    Raises:
        Damaged: it is not there, or no such image.
    """
    try:
        size = MAX_FOLLOWED if _kind(name) in _FOLLOWED else _MAX_IMAGE
        return list(_entries(name, read_bounded(directory / name, size), most))
    except Damaged as error:
        raise Damaged(str(error) if name in str(error) else f"{name}: {error}") from None


def _entries(name: str, data: bytes, most: int) -> Iterator[tuple[Message, bytes]]:
    kind = _kind(name)
    magic, shape = _MAGIC[kind]
    head = _LENGTH.pack(magic) if kind == "inventory" else _LENGTH.pack(_COMMON) + _LENGTH.pack(magic)
    if not data.startswith(head):
        raise Damaged(f"{name} is no such image of CRIU")
    at, count = len(head), 0
    while at < len(data):
        count += 1
        if count > most:
            raise Damaged(f"{name} has more than {most} entries")
        if at + _LENGTH.size > len(data):
            raise Damaged(f"{name} is cut off")
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if size > len(data) - at:
            raise Damaged(f"{name} is cut off")
        first = kind == "pagemap" and count == 1
        entry = wire.decode(SHAPES, "pagemap_head" if first else shape, memoryview(data)[at : at + size])
        at += size
        raw = b""
        if kind in _FOLLOWED:
            size = entry[_FOLLOWED[kind]]
            raw = data[at : at + size]
            if len(raw) < size:
                raise Damaged(f"{name} is cut off")
            at += len(raw)
        yield entry, raw


def one(entries: list[tuple[Message, bytes]], name: str) -> Message:
    """Return the only entry of an image.

    Raises:
        Damaged: it has none, or several.
    """
    if len(entries) != 1:
        raise Damaged(f"{name} has {len(entries)} entries and should have one")
    return entries[0][0]


def sha256_of(file: Path | int) -> str:
    """Return the SHA-256 of a file, by its path or by a descriptor, which is closed.

    Raises:
        OSError: it cannot be read.
    """
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
