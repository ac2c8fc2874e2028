"""Have the inotify instances of a guest watch again what they watched."""

from __future__ import annotations

import os

from triage_tui.errors import TriageError
from triage_tui.guest.checkpoint.injecting import CallFailed, Injector
from triage_tui.guest.checkpoint.model import Checkpoint
from triage_tui.guest.checkpoint.settling import number_next
from triage_tui.guest.checkpoint.taking_marks import CALL
from triage_tui.text import safe_line


def watch_again(injector: Injector, pid: int, checkpoint: Checkpoint) -> None:
    """Make the watches of the checkpoint, with the numbers that they had.

    Whatever is done to the guest's files afterwards is told to it. Its root is still that of its name spaces.

    Raises:
        TriageError: one of them cannot be had again.
        OSError: the guest is gone.
    """
    numbers = {one.file: one.fd for one in checkpoint.descriptors}
    for file in checkpoint.files:
        if file.kind != "inotify" or file.id not in numbers:
            continue
        fd = numbers[file.id]
        for mark in file.marks:
            number_next(pid, fd, mark.number)
            shown = safe_line(mark.path, 100)
            try:
                place = injector.put(os.fsencode(mark.path) + b"\0")
                number = injector.call(CALL, fd, place, mark.events)
            except CallFailed as error:
                raise TriageError(f"{shown} cannot be watched by descriptor {fd} again: {error}") from None
            if number != mark.number:
                raise TriageError(f"{shown} cannot be watched with its number again: start over")
        if file.last_mark:
            number_next(pid, fd, file.last_mark + 1)
