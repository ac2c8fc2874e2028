"""What knowledge base files hold, kept in the user's cache: parsing YAML is most of the work of reading them.

A file is known by the hash of its bytes, so nothing here is ever out of date: an edited file is another one.
What is kept is plain data (MessagePack) with a hash of its own; what is damaged, of another version or not
exactly what the parser gave is not used, and the file is parsed as if nothing were kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.resources import cache_dir
from triage_tui.runs.files import read_bounded, write_atomic

VERSION = b"triage-tui knowledge 2"
"""Changes with the parser, and with what is kept."""
MAX_KEPT_BYTES = 8 << 20
MAX_KEPT = 200
"""Files in the cache; the oldest go first."""

_HASH = hashlib.sha256().digest_size


class Parsed(msgspec.Struct, array_like=True):
    """The content of one file, and the lines at which its entries begin."""

    data: dict[str, Any]
    lines: dict[str, int] = {}
    """Key path to line, from 1."""


_decoder = msgspec.msgpack.Decoder(Parsed)


def kept(raw: bytes, *, bounded: bool) -> Parsed | None:
    """Return what a file with these bytes holds, None where it is not kept.

    A file that was read without bounds is not the same as one that was read within them.
    """
    try:
        stored = read_bounded(_path(raw, bounded), MAX_KEPT_BYTES, whole=True)
        if hashlib.sha256(stored[_HASH:]).digest() != stored[:_HASH]:
            return None
        return _decoder.decode(stored[_HASH:])
    except (TriageError, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def keep(raw: bytes, parsed: Parsed, *, bounded: bool) -> None:
    """Keep what was parsed; where that cannot be, the next one parses again."""
    try:
        encoded = msgspec.msgpack.encode(parsed)
        # A date, for one, would come back as a text.
        if len(encoded) > MAX_KEPT_BYTES - _HASH or repr(_decoder.decode(encoded)) != repr(parsed):
            return
        path = _path(raw, bounded)
        write_atomic(path, hashlib.sha256(encoded).digest() + encoded)
        _forget_oldest(path.parent)
    except (TriageError, OSError, msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        return


def directory() -> Path:
    """Return where it is kept.

    Raises:
        TriageError: nobody says where caches belong.
    """
    return cache_dir() / "knowledge"


def _path(raw: bytes, bounded: bool) -> Path:
    digest = hashlib.sha256(VERSION + (b"\0bounded\0" if bounded else b"\0shipped\0") + raw)
    return directory() / f"{digest.hexdigest()}.msgpack"


def _forget_oldest(where: Path) -> None:
    names = [name for name in os.listdir(where) if name.endswith(".msgpack")]
    if len(names) <= MAX_KEPT:
        return
    ages: list[tuple[int, str]] = []
    for name in names:
        with contextlib.suppress(OSError):
            ages.append((os.stat(where / name).st_mtime_ns, name))
    for _, name in sorted(ages)[:-MAX_KEPT]:
        with contextlib.suppress(OSError):
            os.unlink(where / name)
