"""Descriptors that are kept for the moment at which a process has none left.

What a guest does costs its supervisor descriptors: a log for each thread, an end for each socket that a rule
gave it. Where they run out (EMFILE, or ENFILE for the machine), nothing can be found out about a guest any
more, so that it is frozen; what is kept here is enough to look at it then and to write that down.
"""

from __future__ import annotations

import errno
import os

ENOUGH = 64
"""One for the memory of each of some processes, and a few for files that are read and written."""


def is_exhausted(error: BaseException) -> bool:
    """Return whether an error says that no descriptor was left."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


class DescriptorReserve:
    """Some descriptors of nothing in particular."""

    def __init__(self) -> None:
        """Take none yet."""
        self._kept: list[int] = []

    def take(self) -> None:
        """Take them, unless they are taken.

        Raises:
            OSError: there are not enough, and none was taken.
        """
        if self._kept:
            return
        try:
            self._kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            # Duplicates are close-on-exec (os.dup) and cost the machine nothing.
            while len(self._kept) < ENOUGH:
                self._kept.append(os.dup(self._kept[0]))
        except OSError:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Let go of them. Idempotent."""
        while self._kept:
            os.close(self._kept.pop())
