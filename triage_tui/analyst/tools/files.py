"""The tool that reads files: of the run directory, and of the guest's root file system; of nothing else."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from triage_tui.analyst.tools.case import Case
from triage_tui.analyst.tools.tool import Arguments, JsonObject, Tool
from triage_tui.binary.modules import read_guest_file
from triage_tui.errors import TriageError
from triage_tui.runs.files import inside, read_bounded
from triage_tui.text import safe_line

MAX_FILE = 8 << 20
"""Largest file that is read, in bytes."""
MAX_LINES = 800
_PRIVATE = frozenset(("start.json", "environment.json"))
"""They hold environments, whose values are secrets more often than not."""
_HEX_SHOWN = 128


class FileArguments(Arguments):
    """Which lines of which file."""

    file_path: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1024,
            description="/etc/x.conf: a file as the guest sees it; verdict.json: a file of the run directory",
        ),
    ]
    start_line: Annotated[int, Meta(ge=1)] = 1
    end_line: Annotated[int, Meta(ge=1)] | None = None


def _content(case: Case, asked: FileArguments) -> JsonObject:
    path = asked.file_path
    if "\0" in path:
        raise TriageError("a file name holds no NUL")
    guest = path.startswith("/")
    data = _guest_file(case, path) if guest else _run_file(case, path)
    origin = "guest" if guest else "run"
    if b"\0" in data[:8192]:
        return _binary(case, path, origin, data)
    # Masked before it is cut into lines: a secret may go over several.
    lines = case.redaction.text(data.decode("utf-8", "backslashreplace")).split("\n")
    if lines and not lines[-1]:
        lines.pop()
    first = asked.start_line
    last = min(asked.end_line or len(lines), len(lines), first + MAX_LINES - 1)
    if lines and first > len(lines):
        raise TriageError(f"{safe_line(path, 120)} has {len(lines)} lines")
    return {
        "file_path": path,
        "origin": origin,
        "total_lines": len(lines),
        "start_line": first,
        "end_line": last,
        "content": "\n".join(lines[first - 1 : last]),
    }


def _guest_file(case: Case, path: str) -> bytes:
    if case.root is None:
        raise TriageError(f"{safe_line(path, 120)} cannot be read: {case.no_root}")
    data = read_guest_file(case.root, path, MAX_FILE)
    if data is None:
        raise TriageError(
            f"the guest's root file system has no regular file {safe_line(path, 120)} of at most"
            f" {MAX_FILE >> 20} MiB"
        )
    return data


def _run_file(case: Case, path: str) -> bytes:
    place = inside(case.run.dir, path)
    if place.name in _PRIVATE:
        raise TriageError(
            f"{safe_line(path, 120)} holds the environment of processes, so it is not given out"
        )
    data = read_bounded(place, MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise TriageError(f"{safe_line(path, 120)} is larger than {MAX_FILE >> 20} MiB")
    return data


def _binary(case: Case, path: str, origin: str, data: bytes) -> JsonObject:
    head = data[:_HEX_SHOWN]
    kind = "ELF program or library" if data[:4] == b"\x7fELF" else "binary data"
    shown = None if case.redaction.found_in_bytes(head) else head.hex(" ")
    hint = "ask search_code, get_function_source and their like about its code"
    return {
        "file_path": path,
        "origin": origin,
        "binary": True,
        "kind": kind,
        "size": len(data),
        "first_bytes": shown,
        "hint": hint if data[:4] == b"\x7fELF" else "it holds no text",
    }


TOOLS = (
    Tool(
        "get_file_content",
        "A text file: with a leading / one of the guest's root file system as the guest sees it, else one of"
        " the run directory (diagnosis.json, logs/guest.log, rules_patch/...). Secrets are masked.",
        FileArguments,
        _content,
    ),
)
