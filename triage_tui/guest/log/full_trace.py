"""The whole text of all logs on disk, compressed, and the calls read back from it.

The file is a gzip stream of frames in the order in which the logs were taken in: a header and that much text.
It may end anywhere: it is copied while the guest still has more to say.
"""

from __future__ import annotations

import gzip
import heapq
import json
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch, by_name
from triage_tui.guest.log.call_arguments import with_decoded_arguments
from triage_tui.guest.log.logged_items import LoggedCall
from triage_tui.guest.log.strace import StraceReader
from triage_tui.guest.log.syscall_record import new_record, set_result
from triage_tui.runs.model import Syscall

FILE = "trace-full.gz"
"""Name in the run directory."""
_MAGIC = b"triage-tui full trace 1\n"
_LEVEL = 1
"""Higher levels gain little on such text and cost the guest's processor."""
_LENGTH = struct.Struct("<II")
"""Lengths of a frame's header, which is JSON, and of its text."""
_MAX_HEADER, _MAX_TEXT = 4096, 1 << 24
_COPY_SIZE = 1 << 20
_CHECK_EVERY = 1 << 20
_ORDERED = 4096
"""Calls among which the order of `seq` is restored."""


class FullTrace:
    """A file without a name that takes in all text, until it has `limit` bytes."""

    def __init__(self, limit: int) -> None:
        """Make the file where temporary files belong.

        Raises:
            TriageError: none can be made there.
        """
        self._limit = limit
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - kept open
        except OSError as error:
            raise TriageError(f"no file for the full trace can be made: {error.strerror}") from error
        self._stream = gzip.GzipFile(fileobj=self._file, mode="wb", compresslevel=_LEVEL, mtime=0)
        self._stream.write(_MAGIC)
        self._since_check = 0
        self.left_out = 0
        """Bytes of text that came after the limit was reached."""

    def add(self, header: dict[str, Any], text: bytes) -> None:
        """Take in a frame."""
        if self.left_out:
            self.left_out += len(text)
            return
        encoded = json.dumps(header).encode()
        self._stream.write(_LENGTH.pack(len(encoded), len(text)) + encoded + text)
        self._since_check += len(text)
        if self._since_check >= _CHECK_EVERY:
            self._since_check = 0
            self._stream.flush()
            self._file.flush()
            if os.fstat(self._file.fileno()).st_size >= self._limit:
                self.left_out = 1

    def copy_to(self, path: Path) -> None:
        """Write what there is so far to `path`.

        Raises:
            OSError: it cannot be written.
        """
        self._stream.flush()
        self._file.flush()
        with path.open("wb") as out:
            at = 0
            while copied := os.sendfile(out.fileno(), self._file.fileno(), at, _COPY_SIZE):
                at += copied

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()
        self._file.close()


def _frames(path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    try:
        with gzip.open(path) as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                raise TriageError(f"{path.name} is no full trace of this version")
            while len(lengths := stream.read(_LENGTH.size)) == _LENGTH.size:
                header_size, text_size = _LENGTH.unpack(lengths)
                if header_size > _MAX_HEADER or text_size > _MAX_TEXT:
                    raise TriageError(f"{path.name} is damaged")
                header = json.loads(stream.read(header_size))
                yield header, stream.read(text_size)
    except EOFError:
        return
    except (OSError, ValueError, KeyError) as error:
        raise TriageError(f"{path.name} cannot be read: {error}") from error


def read_full_trace(path: Path) -> Iterator[Syscall]:
    """Return all calls in the order of their numbers.

    A call that ended more than 4096 calls after it began comes where it ended; one that did not end comes
    last, with the newest 4096.

    Raises:
        TriageError: there is no such file, or it is no such trace.
    """
    window: list[tuple[int, int, Syscall]] = []
    for place, record in enumerate(_in_order_of_ending(path)):
        # Damage may give two calls one number: then the place decides.
        heapq.heappush(window, (record.seq, place, record))
        if len(window) > _ORDERED:
            yield heapq.heappop(window)[2]
    while window:
        yield heapq.heappop(window)[2]


def _in_order_of_ending(path: Path) -> Iterator[Syscall]:
    readers: dict[int, StraceReader] = {}
    waiting: dict[int, tuple[LoggedCall, Syscall, Arch]] = {}
    for header, text in _frames(path):
        try:
            arch = by_name(header["arch"])
            reader = readers.setdefault(int(header["log"]), StraceReader())
            if header.get("passed_over"):
                for call in reader.pending:
                    yield waiting.pop(id(call))[1]
                reader.jump(0)
            seq = int(header["count"])
            for item in reader.feed(text, bool(header["whole"])):
                if isinstance(item, LoggedCall):
                    seq += 1
                    record = new_record(seq, item, arch, int(header["ts_mono_ns"]))
                    record.tid = int(header["tid"])
                    waiting[id(item)] = item, record, arch
        except (KeyError, TypeError, ValueError) as error:
            raise TriageError(f"{path.name} is damaged: {error}") from error
        for call in reader.finished:
            _item, record, _arch = waiting.pop(id(call))
            set_result(record, call, arch)
            yield from with_decoded_arguments([record], arch)
        reader.finished.clear()
    for _item, record, arch in waiting.values():
        yield from with_decoded_arguments([record], arch)
