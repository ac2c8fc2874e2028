"""The interpreter's own pauses: short while the app runs, and as they were when it has ended."""

from __future__ import annotations

import gc
import sys
import weakref

from tests.ui.conftest import opened
from triage_tui.ui import pauses
from triage_tui.ui.app import TriageApp


async def test_the_app_collects_garbage_itself_and_leaves_no_trace_of_that(app: TriageApp) -> None:
    switch = sys.getswitchinterval()
    assert gc.isenabled()
    async with app.run_test() as pilot:
        await opened(pilot)
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 10_000
        assert sys.getswitchinterval() < switch
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert sys.getswitchinterval() == switch


class _Cycle:
    def __init__(self) -> None:
        self.me = self


def test_cycles_that_come_later_are_collected() -> None:
    usual = pauses.shorten()
    try:
        pauses.set_aside()
        late = _Cycle()
        gone = weakref.ref(late)
        del late
        assert gone() is not None
        pauses.collect()
        assert gone() is None
        records = [[number] for number in range(2 * pauses.MOST_OBJECTS)]
        before = gc.get_freeze_count()
        pauses.collect()
        assert gc.get_freeze_count() >= before + len(records)
    finally:
        pauses.restore(usual)
