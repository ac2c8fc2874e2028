"""Where a target is played: a workspace of its own, with an order, and at the end an answer."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from triage_tui.campaign.order import Order, encode
from triage_tui.runs.files import can_be_made_again, inside, write_atomic
from triage_tui.runs.ids import begin_at

ORDER_FILE, ANSWER_FILE, LOG_FILE = "order", "answer", "log"
"""What is to be played, what came of it (written last, so that it is whole with it), and what was told."""
GIVEN = "given"
"""Directory of the files that came with the order."""
MAX_ORDER_BYTES = 64 << 20
NO_ROOM_BYTES = 4 << 20
"""With less free than this, nothing that came of a target is believed: what it lacked may be room."""
POINTER = "current"
"""Name of the link to the active generation of a target; its bytes in an order are what it leads to."""


def prepare(place: Path, order: Order) -> None:
    """Make the workspace in which an order is played.

    Raises:
        TriageError: it names a file outside of it.
        OSError: it cannot be written.
    """
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, mode=0o700)
    rulebook = place / "rulebook"
    rulebook.mkdir()
    for name, data in order.rules.items():
        path = inside(rulebook, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == POINTER:
            os.symlink(data.decode("ascii", "replace"), path)
        else:
            path.write_bytes(data)
            path.chmod(0o444)
    for given, data in order.given.items():
        (place / GIVEN).mkdir(exist_ok=True)
        (place / GIVEN / given).write_bytes(data)
    begin_at(place / "ai_runs", order.first)
    with can_be_made_again():
        write_atomic(place / ORDER_FILE, encode(order))


def is_full(error: BaseException | None) -> bool:
    """Tell whether an error means that the disk, or what one may use of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def has_no_room(place: Path) -> bool:
    """Tell whether the disk of a place is so full that what fails there is put down to it."""
    try:
        return shutil.disk_usage(place).free < NO_ROOM_BYTES
    except OSError:
        return False
