"""`triage-tui memory`: what memory was kept of a stop and what it means; more of it while the guest waits."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.cli.rounds import cancelled_by_signals
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.more_memory import (
    FORMS,
    Meant,
    address_of,
    meant_by,
    object_named,
    read_more,
)
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction
from triage_tui.text import number_of, safe_line

DEFAULT_LENGTH = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument(
        "what",
        nargs="?",
        help="the id of an object, or an address such as 0x40a0; what was not kept is read from the guest"
        " while it waits frozen (default: list the objects)",
    )
    parser.add_argument(
        "--length",
        type=int,
        default=DEFAULT_LENGTH,
        metavar="N",
        help=f"bytes at an address (default {DEFAULT_LENGTH})",
    )
    parser.add_argument(
        "--as",
        dest="form",
        choices=FORMS,
        default=FORMS[0],
        metavar="FORM",
        help=f"decode as {', '.join(FORMS)}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """List the objects, or show one or a piece of memory."""
    workspace = Workspace.at(args.workspace)
    record = workspace.load(args.run)
    redaction = Redaction.of(record)
    if args.what is None:
        _list(record, redaction, args.json)
        return 0
    address = address_of(args.what)
    if address is None:
        entry = object_named(record, args.what)
        data = record.memory_bytes(entry.id) if entry.blob is not None else b""
        how, address = entry.how, entry.addr
    else:
        with cancelled_by_signals() as cancel:
            record, data, how = read_more(record, address, args.length, cancel)
        entry = None
    meant = meant_by(record, data, args.form, entry)
    secret = bool(data) and redaction.found_in_bytes(data)
    if args.json:
        print_json(
            {
                "run_id": record.run_id,
                "object": entry,
                "address": f"0x{address:x}",
                "how": how,
                "bytes": data.hex(),
                "kind": meant.title if meant else "",
                "fields": [_field(one) for one in meant.fields] if meant else [],
                "secret": secret,
            }
        )
        return 0
    if entry is not None:
        _head(entry)
    _bytes(data, address, entry.blob_err if entry is not None else None)
    if meant is not None:
        _meaning(meant)
    elif args.form != FORMS[0]:
        raise TriageError(f"these bytes are no {args.form}")
    if secret:
        say("it holds what looks like a secret: exports mask it")
    return 0


def _field(one: object) -> dict[str, object]:
    return {name: getattr(one, name) for name in ("name", "offset", "size", "text")}


def _list(record: Run, redaction: Redaction, as_json: bool) -> None:
    entries = record.snapshot.memory
    secrets = [_holds_secret(record, entry, redaction) for entry in entries]
    if as_json:
        print_json({"run_id": record.run_id, "objects": entries, "secret": secrets})
        return
    rows = [
        [
            entry.id,
            entry.addr_hex,
            str(entry.blob.size if entry.blob else 0),
            (entry.kind or entry.tag) + (" (secret)" if secret else ""),
            entry.purpose,
            entry.string or _first(entry.fields),
        ]
        for entry, secret in zip(entries, secrets, strict=True)
    ]
    if not rows:
        print("No memory was recorded.")
        return
    print_table(["OBJECT", "ADDRESS", "BYTES", "WHAT", "PURPOSE", "TEXT"], rows)


def _first(fields: Sequence[object]) -> str:
    return str(getattr(fields[0], "text", "")) if fields else ""


def _holds_secret(record: Run, entry: MemoryObject, redaction: Redaction) -> bool:
    if entry.blob is None:
        return False
    try:
        return redaction.found_in_bytes(record.memory_bytes(entry.id))
    except TriageError:
        return False


def _head(entry: MemoryObject) -> None:
    print(safe_line(f"{entry.id} at {entry.addr_hex}: {entry.purpose}", 300))
    size = number_of(entry.blob.size if entry.blob else 0, "byte")
    digest = f", SHA-256 {entry.blob.sha256}" if entry.blob else ""
    print(safe_line(f"  {size}, {entry.how}, found by {entry.source}{digest}", 400))
    if entry.string_err:
        print(safe_line(f"  {entry.string_err}", 200))


def _bytes(data: bytes, address: int, problem: str | None) -> None:
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        print(f"{address + start:08x}  {row.hex(' '):47}  {text}")
    if problem:
        print(safe_line(f"  {problem}", 200))


def _meaning(meant: Meant) -> None:
    print(safe_line(meant.title, 100))
    width = min(26, max((len(one.name) for one in meant.fields), default=0))
    for one in meant.fields:
        print(safe_line(f"  +0x{one.offset:03x} {one.name:<{width}} {one.text}", 400))
