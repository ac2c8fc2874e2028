"""Tell which process a descriptor of a guest's stands for (pidfd_open(2))."""

from __future__ import annotations

_FIRST = "1"


def is_of_first_process(tid: int, fd: int) -> bool:
    """Return whether the descriptor `fd` of the held thread `tid` stands for the cell's first process.

    proc(5) tells it of those of pidfd_open. Any other counts as one: a directory of /proc may be used too.

    Raises:
        OSError: it cannot be looked at.
    """
    try:
        with open(f"/proc/{tid}/fdinfo/{fd}", encoding="ascii", errors="replace") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
    except FileNotFoundError:
        # There is none, as the kernel will say too.
        return False
    words = lines.get("NSpid", "").split()
    # The id in each name space, that of the cell last.
    return not words or words[-1] == _FIRST
