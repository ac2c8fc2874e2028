"""Checkpoints of runs: taken with the record of a stop, and gone on from in a retry."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.checkpoint.guest_side import GoesOn
from triage_tui.guest.checkpoint.obstacles import START_OVER, Obstacle
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.checkpoint_place import CHECKPOINT_DIR, KIND, has_checkpoint
from triage_tui.runs.events import append_event
from triage_tui.runs.files import read_bounded
from triage_tui.runs.limits import tree_bytes
from triage_tui.runs.model import Target
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

_MAX_OUTPUT = 4 << 20
_FOR_THE_REST = 1 << 20
"""Bytes of the disk that a checkpoint leaves: diagnosis and proposals of the run are written after it."""


class Taken(msgspec.Struct, frozen=True):
    """What came of taking a checkpoint: the call at which it was taken, or why there is none."""

    call: str = ""
    bytes: int = 0
    why: str = ""

    def note(self, run_dir: Path) -> None:
        """Say it in the run's event log.

        Raises:
            TriageError: it cannot be written.
        """
        payload: dict[str, object] = (
            {"why": self.why} if self.why else {"call": self.call, "bytes": self.bytes}
        )
        append_event(run_dir, KIND, payload)


def take(guest: Guest, directory: Path, room: int, *, ended: bool) -> Taken:
    """Take a checkpoint of a guest that is being recorded in `directory`; a failure stops nothing.

    `room` is how many bytes it may have.
    """
    if ended:
        return Taken(why="the program had ended")
    # Only here: most runs have no checkpoint.
    from triage_tui.guest.checkpoint.taking import take_checkpoint

    place = directory / CHECKPOINT_DIR
    try:
        room = min(room, shutil.disk_usage(directory).free - _FOR_THE_REST)
        if room <= 0:
            return Taken(why="the disk, or what may be kept of a run, has no room for it")
        facts = take_checkpoint(guest, place, room)
    except Obstacle as error:
        return Taken(why=str(error))
    except (OSError, TriageError) as error:
        return Taken(why=f"it could not be taken ({getattr(error, 'strerror', None) or error})")
    return Taken(facts.call, tree_bytes(place))


def goes_on(run: Run, spec: LaunchSpec, target: Target) -> GoesOn:
    """Return what a guest that is started by `spec` goes on from: the checkpoint of a run, all of it checked.

    Raises:
        TriageError: there is none, it cannot be used, or it does not fit what would be started.
    """
    place = run.dir / CHECKPOINT_DIR
    if not has_checkpoint(run.dir):
        why = next((event.payload.get("why") for event in reversed(run.events) if event.kind == KIND), None)
        because = f", because {safe_line(why, 300)}" if isinstance(why, str) else ""
        how = f"{START_OVER}" if because else f"{START_OVER}, or run it with --checkpoint"
        raise TriageError(f"run {run.run_id} has no checkpoint{because}: {how}")
    from triage_tui.guest.checkpoint.fitting import check_fits
    from triage_tui.guest.checkpoint.reading import read_checkpoint

    checkpoint = read_checkpoint(place)
    check_fits(checkpoint, spec, target)
    return GoesOn(place, checkpoint, run.trace(), _streams(run), _log(run, run.snapshot.guest_output))


def _streams(run: Run) -> Mapping[str, bytes]:
    return {name: _log(run, f"logs/{name}.log") for name in ("stdout", "stderr")}


def _log(run: Run, name: str) -> bytes:
    try:
        return read_bounded(run.dir / name, _MAX_OUTPUT)
    except (TriageError, OSError):
        return b""
