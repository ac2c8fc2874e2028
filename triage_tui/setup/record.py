"""`python -m triage_tui.setup.record RUN...`: make real runs into those that ship with the product.

The demo shows the copies where no package registry can be reached. Each is marked as recorded, and without
what belongs to the machine and the person it was made by: the environment it was started with, host paths,
the holder's process, names of accounts.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.events import EVENTS_FILE, Event
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import ENVIRONMENT_FILE, encode_json
from triage_tui.setup.cache import staging

DESTINATION = Path(__file__).resolve().parents[1] / "_recorded"
"""Where recorded runs lie, inside the package."""

PROGRAMS_ROOT = "/rootfs"
"""What stands for the root file system's place on the recording machine."""

_LEFT_OUT = ("start.json", ENVIRONMENT_FILE, "checkpoint", ".*", "*.tmp")
_PERSON = "person"


def record(source: Path, destination: Path) -> Path:
    """Copy the run in `source` into the directory `destination`, marked as recorded; returns the copy.

    An older copy of the same run is replaced.

    Raises:
        TriageError: the source is no sound run, or the copy would still tell where it was made.
    """
    run = _sound(source)
    destination.mkdir(parents=True, exist_ok=True)
    with staging(destination) as work:
        copy = work / source.resolve().name
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        write_atomic(copy / "snapshot.json", encode_json(_marked(run)))
        write_atomic(copy / EVENTS_FILE, _without_persons(run.events))
        _refuse_private(copy, run)
        copied = _sound(copy)
        if copied.state != run.state:
            raise TriageError(f"The copy of run {run.run_id} is {copied.state} instead of {run.state}.")
        place = destination / copy.name
        shutil.rmtree(place, ignore_errors=True)
        copy.chmod(0o755)
        copy.rename(place)
    return place


def _sound(directory: Path) -> Run:
    run = load_run(directory)
    run.trace()
    for entry in run.snapshot.memory:
        if entry.blob is not None:
            run.memory_bytes(entry.id)
    if run.problems:
        raise TriageError(f"Run {run.run_id} is not fit to be shown: {run.problems[0]}.")
    return run


def _marked(run: Run) -> object:
    snapshot = run.snapshot
    engine = snapshot.engine
    return msgspec.structs.replace(
        snapshot,
        recorded=(
            f"recorded on {snapshot.created_at[:10]} with {engine.name} {engine.version}, "
            f"emulator {engine.emulator_version or engine.emulator}; shipped with the product"
        ),
        guest_pid=0,
        rules_dir="",
        target=msgspec.structs.replace(
            snapshot.target, rootfs=PROGRAMS_ROOT if snapshot.target.rootfs is not None else None
        ),
    )


def _without_persons(events: Iterable[Event]) -> bytes:
    """The event log with accounts and processes taken out, and its chain of hashes made anew."""
    lines: list[bytes] = []
    account = Path.home().name
    for event in events:
        payload = {
            name: value for name, value in event.payload.items() if name not in ("holder", "pid", "start")
        }
        anonymous = msgspec.structs.replace(
            event,
            actor=_PERSON if event.actor in (account, os.environ.get("USER"), "root") else event.actor,
            payload=payload,
            prev=hashlib.sha256(lines[-1]).hexdigest() if lines else "",
        )
        lines.append(msgspec.json.encode(anonymous))
    return b"".join(line + b"\n" for line in lines)


def _refuse_private(copy: Path, run: Run) -> None:
    """Raise when a file of the copy still names a place or machine of the recording."""
    private = {f"{Path.home()}/", socket.gethostname(), str(run.dir.resolve().parent)}
    private |= {run.snapshot.target.rootfs or "", run.snapshot.rules_dir}
    wanted = [text.encode() for text in private if len(text) > 3]
    for path in sorted(copy.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            for text in wanted:
                if text in data:
                    raise TriageError(
                        f"{path.relative_to(copy)} of run {run.run_id} names {text.decode()!r}: "
                        "record it where names and paths tell nothing."
                    )


def main() -> int:
    """Record the runs that the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m triage_tui.setup.record", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directory of a run")
    parser.add_argument("--into", type=Path, default=DESTINATION, metavar="DIR", help="default: %(default)s")
    options = parser.parse_args()
    try:
        for run in options.runs:
            place = record(run, options.into)
            size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
            print(f"recorded {place} ({size / 1e3:.0f} kB)")
    except TriageError as error:
        print(f"triage-tui: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
