"""A process that waits, with everything loaded, to play targets: each in a child of its own, one at a time.

`python -m triage_tui.campaign.zygote` reads lines from its standard input and answers on its standard output:

    play DIRECTORY      ->  started PID, and when it is over: ended CODE (of exit(2)), or killed SIGNAL
    stop                    kills the child: what it played is thrown away

The end of its input ends it, and whatever it plays: who is killed leaves no guest behind. The child is killed
with it by the kernel, prctl(2) PR_SET_PDEATHSIG, and the cell of the guest with the child. A child costs a
fork, where a new interpreter costs most of a second of processor time.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
from pathlib import Path

from triage_tui.campaign import playing
from triage_tui.campaign.place import LOG_FILE
from triage_tui.guest.host.namespaces import die_with_parent
from triage_tui.retry.signal_event import SignalEvent
from triage_tui.text import safe_line

_LINE = 1 << 16


def main() -> int:
    """Play what is asked for until the input ends."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # A person's Ctrl-C is for the campaign, which then asks for what is to be done.
        signal.signal(number, signal.SIG_IGN)
    playing.load()
    # What is loaded stays as it is, and is shared with each child.
    gc.freeze()
    poll = select.poll()
    poll.register(0, select.POLLIN)
    child, handle, waiting = 0, -1, b""
    while True:
        for fd, _ in poll.poll():
            if fd == handle:
                poll.unregister(handle)
                os.close(handle)
                _say(_ended(child))
                child, handle = 0, -1
                continue
            data = os.read(0, _LINE)
            if not data:
                if child:
                    os.kill(child, signal.SIGKILL)
                return 0
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                if line == b"stop" and child:
                    os.kill(child, signal.SIGKILL)
                elif line.startswith(b"play ") and not child:
                    child = _begin(Path(os.fsdecode(line[5:])))
                    handle = os.pidfd_open(child)
                    poll.register(handle, select.POLLIN)
                    _say(f"started {child}")


def _ended(child: int) -> str:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return f"ended {code}" if code >= 0 else f"killed {-code}"


def _say(text: str) -> None:
    try:
        os.write(1, text.encode() + b"\n")
    except OSError:
        # Nobody is there any more: the end of the input follows.
        return


def _begin(place: Path) -> int:
    """Fork the child that plays; return its pid."""
    us = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os._exit(_play(place, us))
    finally:
        os._exit(1)


def _play(place: Path, parent: int) -> int:
    die_with_parent()
    if os.getppid() != parent:
        return 1
    os.setsid()
    cancel = SignalEvent()

    def on_signal(number: int, _frame: object) -> None:
        cancel.number = number
        cancel.set()

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, on_signal)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    log = os.open(place / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    os.dup2(nowhere, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(nowhere)
    os.close(log)
    try:
        playing.play(place, cancel)
    except Exception as error:
        print(f"{type(error).__name__}: {safe_line(str(error), 300)}", file=sys.stderr, flush=True)
        return playing.crashed(place, error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
