"""When an alarm is due is told from the calls that set it, and attributes from elsewhere are looked at."""

from __future__ import annotations

import msgspec
import pytest

from triage_tui.guest.checkpoint.attributes import check_attributes, real_timer
from triage_tui.guest.checkpoint.model import Attributes
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.runs.model import Syscall

SECOND = 1_000_000_000
NEVER = (0, 0, 0)


def alarm(seconds: str, at_s: int, **more: object) -> Syscall:
    one = Syscall(seq=1, name="alarm", arguments=[seconds], ret=0, pid=2, ts_mono_ns=at_s * SECOND)
    return msgspec.structs.replace(one, **more)


def timer(which: str, text: str, at_s: int) -> Syscall:
    call = alarm("", at_s)
    return msgspec.structs.replace(call, name="setitimer", arguments=[which, text, "NULL"])


def value(due: str, again: str = "tv_sec = 0,tv_usec = 0") -> str:
    return f"{{it_interval={{{again}}},it_value={{{due}}},}}"


@pytest.mark.parametrize(
    ("calls", "pending", "due"),
    [
        ([], False, (0, 0)),
        ([alarm("20", 95)], False, (15_000_000, 0)),
        ([alarm("20", 95), alarm("0", 96)], False, (0, 0)),
        ([alarm("2", 95)], False, (0, 0)),
        ([alarm("2", 95)], True, (1, 0)),
        ([alarm("20", 95), alarm("9", 96, pid=3), alarm("9", 97, intercepted=True)], False, (15_000_000, 0)),
        (
            [timer("ITIMER_REAL", value("tv_sec = 1,tv_usec = 0", "tv_sec = 0,tv_usec = 300000"), 99)],
            False,
            (300_000, 300_000),
        ),
        ([timer("ITIMER_REAL", "NULL", 99)], False, (0, 0)),
        ([timer("ITIMER_PROF", value("tv_sec = 0,tv_usec = 0"), 99)], False, (0, 0)),
    ],
)
def test_when_an_alarm_is_due(calls: list[Syscall], pending: bool, due: tuple[int, int]) -> None:
    assert real_timer(calls, 2, 100 * SECOND, pending, NEVER) == due


def test_a_restored_alarm_counts_from_its_restoring() -> None:
    assert real_timer([], 2, 100 * SECOND, False, (90 * SECOND, 12_000_000, 5)) == (2_000_000, 5)


@pytest.mark.parametrize(
    "call",
    [
        timer("ITIMER_VIRTUAL", value("tv_sec = 1,tv_usec = 0"), 99),
        timer("ITIMER_REAL", "0x40800010", 99),
    ],
)
def test_a_timer_that_is_not_known_is_an_obstacle(call: Syscall) -> None:
    with pytest.raises(Obstacle, match="it has set a timer"):
        real_timer([call], 2, 100 * SECOND, False, NEVER)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x" * 17},
        {"name": "\ud800"},
        {"nice": 20},
        {"limits": {16: (0, 0)}},
        {"wishes": {7: (-1, 0)}},
        {"handler_stack": (1 << 63, 4)},
        {"timer": (-1, 0)},
        {"prctl": {4: 0}},
    ],
)
def test_attributes_that_cannot_be(wrong: dict[str, object]) -> None:
    assert len(check_attributes(msgspec.structs.replace(Attributes(), **wrong))) == 1
