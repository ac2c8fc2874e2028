"""Names of runs: `YYYYmmdd_HHMMSS_<sequence, 8 digits>`, local time, as SFEmu names them."""

from __future__ import annotations

import re
import time
from pathlib import Path

RUN_ID = re.compile(r"\d{8}_\d{6}_\d{8,}\Z")


def is_run_id(name: str) -> bool:
    """Tell whether `name` has the form of a run id."""
    return RUN_ID.match(name) is not None


def new_run_id(runs_dir: Path, now: float | None = None) -> str:
    """Return an id later than all in `runs_dir`, and claim its staging directory.

    The claim is the directory `.tmp-<id>`, made with mkdir(2), so that two processes starting in the same
    second get different ids.
    """
    runs_dir.mkdir(parents=True, exist_ok=True)
    sequence = 1
    for entry in runs_dir.iterdir():
        name = entry.name.removeprefix(".tmp-")
        if is_run_id(name):
            sequence = max(sequence, int(name.rsplit("_", 1)[1]) + 1)
    stamp = time.strftime("%Y%m%d_%H%M%S", time.localtime(now))
    while True:
        run_id = f"{stamp}_{sequence:08d}"
        try:
            if not (runs_dir / run_id).exists():
                (runs_dir / f".tmp-{run_id}").mkdir()
                return run_id
        except FileExistsError:
            pass
        sequence += 1
