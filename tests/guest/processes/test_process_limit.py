"""Counting before a process or thread is made, with threads of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from triage_tui.guest.host import process
from triage_tui.guest.processes.process_limit import ProcessLimit


def own() -> list[int]:
    return [os.getpid()]


def test_no_more_are_admitted_than_there_may_be() -> None:
    limit = ProcessLimit(len(process.threads(os.getpid())) + 3)
    me, end = threading.get_native_id(), threading.Event()
    made: list[threading.Thread] = []
    while limit.admits(me, own):
        made.append(threading.Thread(target=end.wait))
        made[-1].start()
    assert len(made) == 3
    assert not limit.admits(me, own)
    end.set()
    for thread in made:
        thread.join()
    while any(process.thread_state(os.getpid(), thread.native_id or 0) for thread in made):
        os.sched_yield()
    assert limit.admits(me, own)


def test_one_that_is_still_being_made_counts() -> None:
    limit = ProcessLimit(len(process.threads(os.getpid())) + 1)
    words = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as spinning:
        assert spinning.stdout is not None
        spinning.stdout.readline()
        # What runs may be on its way into the call that it was let go in.
        assert limit.admits(spinning.pid, own)
        assert not limit.admits(os.getpid(), own)
        spinning.kill()
        spinning.wait()
    assert limit.admits(os.getpid(), own)
