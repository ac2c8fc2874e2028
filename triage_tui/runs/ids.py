"""Names of runs: `YYYYmmdd_HHMMSS_<sequence, 8 digits or more>`, local time, as SFEmu names them."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

RUN_ID = re.compile(r"[0-9]{8}_[0-9]{6}_[0-9]{8,15}\Z")
_BELIEVED = 10**10
"""Larger sequence numbers were planted: counting on from them would end the room for names."""

_SET_BACK_S = 26 * 3600
"""How far a clock is believed to have been set back: further, the newest id has an odd date."""


_FIRST = ".first"
"""Holds the least number of a directory's runs, where they are to lie beside those of others later."""


def is_run_id(name: str) -> bool:
    """Tell whether `name` has the form of a run id."""
    return RUN_ID.match(name) is not None


def new_run_id(runs_dir: Path, now: float | None = None) -> str:
    """Return an id later than all in `runs_dir`, and claim its staging directory.

    Where the clock was set back, or summer time ended, the new run keeps the time of the newest one, so that
    the order of the names stays that of the runs. An id that is more than a day ahead is no reason to.

    The claim is the directory `.tmp-<id>`, made with mkdir(2), so that two processes starting in the same
    second get different ids.
    """
    runs_dir.mkdir(parents=True, exist_ok=True)
    stamp, ahead = _stamp(now), _stamp((time.time() if now is None else now) + _SET_BACK_S)
    sequence = _begins_at(runs_dir)
    for entry in runs_dir.iterdir():
        name = entry.name.removeprefix(".tmp-")
        if is_run_id(name) and (number := int(name.rsplit("_", 1)[1])) < _BELIEVED:
            sequence = max(sequence, number + 1)
            if name[:15] <= ahead:
                stamp = max(stamp, name[:15])
    while True:
        run_id = f"{stamp}_{sequence:08d}"
        try:
            if not (runs_dir / run_id).exists():
                (runs_dir / f".tmp-{run_id}").mkdir()
                return run_id
        except FileExistsError:
            pass
        sequence += 1


def begin_at(runs_dir: Path, number: int) -> None:
    """Have the ids of the runs that will be in `runs_dir` end in `number` or more."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    (runs_dir / _FIRST).write_text(str(number), encoding="ascii")


def last_number(runs_dir: Path) -> int:
    """Return the highest number that the id of a run in `runs_dir` ends in, 0 where there is none."""
    try:
        names = [entry.name.removeprefix(".tmp-") for entry in os.scandir(runs_dir)]
    except OSError:
        return 0
    numbers = [int(name.rsplit("_", 1)[1]) for name in names if is_run_id(name)]
    return max((number for number in numbers if number < _BELIEVED), default=0)


def _begins_at(runs_dir: Path) -> int:
    try:
        with open(runs_dir / _FIRST, "rb") as stream:
            number = int(stream.read(20))
    except (OSError, ValueError):
        return 1
    return number if 0 < number < _BELIEVED else 1


def _stamp(at: float | None) -> str:
    return time.strftime("%Y%m%d_%H%M%S", time.localtime(at))
