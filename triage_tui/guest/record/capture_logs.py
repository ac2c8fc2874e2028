"""Keep what the guest wrote elsewhere than on its output: into files of its own, and to the system log."""

from __future__ import annotations

import re
from collections.abc import Mapping

from triage_tui.guest.log.syslog_words import STREAM as SYSLOG
from triage_tui.guest.log.written_files import WrittenFile
from triage_tui.guest.record.capture_parts import Parts
from triage_tui.guest.record.frozen import FrozenGuest
from triage_tui.runs.model import LogFile, Printed
from triage_tui.runs.writer import RunWriter
from triage_tui.text import number_of, safe_line

MAX_FILES = 16
MAX_FILE_BYTES = 1 << 18
"""Bytes kept of one file that the guest wrote: half from its beginning and half from its end."""
MAX_ALL_BYTES = 1 << 20
MAX_LOOKED_AT = 200
"""Files that are read to see whether they are text: the guest waits meanwhile."""
_NOT_FILES = ("/proc/", "/sys/", "/dev/null", "/dev/zero", "/dev/full", "/dev/shm/")
_CONSOLES = re.compile(r"/dev/(?:console|kmsg|tty\w*|ttyS\d+|pts/\d+)\Z")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LOOKS = re.compile(r"(?i)(?:\blog|log\b|logs\b|messages|\berr|debug|trace|journal|console|kmsg|\.out\b)")
_MAX_NAME = 60
_TEXT_SHARE = 0.9


def capture_logs(
    guest: FrozenGuest,
    writer: RunWriter,
    part: Parts,
    files: Mapping[str, WrittenFile],
) -> list[LogFile]:
    """Write what the guest logged below `logs/`, and line its writes up with it; return what was kept.

    The files are read through the guest's own root, as they are now.
    """
    found = _system_log(guest, writer, part)
    left = MAX_ALL_BYTES
    wanted = [
        file
        for file in files.values()
        if (file.writes or file.unclear) and not file.path.startswith(_NOT_FILES)
    ]
    # What looks like a log comes first: there may be more files than are kept.
    wanted.sort(key=lambda file: not _is_log(file))
    consoles = [file.path for file in wanted if _CONSOLES.match(file.path)]
    unread: list[str] = []
    for number, file in enumerate(wanted):
        if len(found) >= MAX_FILES or left <= 0 or number >= MAX_LOOKED_AT:
            part.note(
                "all files that it wrote",
                f"of {number_of(len(wanted), 'file')} the first {len(found)} that are text are kept",
            )
            break
        try:
            data, size = guest.read_file(file.path, min(MAX_FILE_BYTES, left))
        except OSError:
            unread.append(file.path)
            continue
        base = _lined_up(file, size)
        is_whole = size <= MAX_FILE_BYTES and size == len(data)
        if base > 0 and is_whole:
            # What was there before is none of its words.
            data = data[base:]
        if not _is_text(data):
            continue
        stream = _stream_of(file.path, {entry.stream for entry in found})
        writer.add_log(f"{stream}.log", data)
        left -= len(data)
        entry = LogFile(
            file=f"logs/{stream}.log", stream=stream, path=file.path, size=size, is_log=_is_log(file)
        )
        if base < 0:
            entry.unclear = file.unclear or f"{file.size} bytes were written to it, it holds {size}"
        else:
            _place(file, stream, 0 if is_whole else base)
        found.append(entry)
    if consoles:
        unread = [path for path in unread if path not in consoles]
    for path in consoles[:4]:
        if not any(entry.path == path for entry in found):
            part.note(f"what was written to {path}", "it is a device here: its bytes are not kept")
    if unread:
        shown = ", ".join(safe_line(path, 80) for path in unread[:4])
        part.note("files that the guest wrote", f"they are gone, or no files that can be read: {shown}")
    return found


def _system_log(guest: FrozenGuest, writer: RunWriter, part: Parts) -> list[LogFile]:
    content, total, unseen = b"", 0, 0
    with part("what the guest said to its system log"):
        content, total, unseen = guest.system_log()
    if unseen:
        times = number_of(unseen, "connection")
        part.note(
            "what the guest said to its system log",
            f"at {times} to it no line was ready in memory; what is sent later is seen only in the files of a"
            " system logger of the guest's",
        )
    if total > len(content):
        part.note("all of the system log", f"its first {len(content)} bytes are kept")
    if not content:
        return []
    writer.add_log(f"{SYSLOG}.log", content)
    return [LogFile(file=f"logs/{SYSLOG}.log", stream=SYSLOG, path="/dev/log", size=total, is_log=True)]


def _lined_up(file: WrittenFile, size: int) -> int:
    """Return where in the file the first byte of the known writes is, -1 when that is not certain."""
    base = size - file.size
    if file.unclear or base < 0 or (base and (file.emptied or not file.appended)):
        return -1
    return base


def _place(file: WrittenFile, stream: str, offset: int) -> None:
    for call in file.writes:
        size = call.ret or 0
        call.printed = Printed(stream=stream, offset=offset, size=size)
        offset += size


def _is_log(file: WrittenFile) -> bool:
    return file.appended or _LOOKS.search(file.path) is not None


def _is_text(data: bytes) -> bool:
    if not data or b"\0" in data:
        return False
    text = data.decode("utf-8", "replace")
    sound = sum(char.isprintable() or char in "\n\r\t\x1b" for char in text) - text.count("\ufffd")
    return sound >= _TEXT_SHARE * len(text)


def _stream_of(path: str, taken: set[str]) -> str:
    """Return the name of the stream for a file: "file-app" for /tmp/app.log."""
    name = path.rpartition("/")[2].removesuffix(".log")
    name = f"file-{_UNSAFE.sub('_', name)[:_MAX_NAME].strip('._') or 'unnamed'}"
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found
