"""The plugin clock: another time of day, and a hardware clock."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import OPENS, STATS, Claim, Configuration, Place
from triage_tui.text import number_of

_READS = frozenset(("clock_gettime", "clock_gettime64", "gettimeofday", "time"))
_SETS = frozenset(("clock_settime", "clock_settime64", "settimeofday", "stime"))
_LOOKS = OPENS | STATS | {"access", "faccessat", "faccessat2"}
_DEVICES = ("/dev/rtc", "/dev/rtc0", "/dev/misc/rtc")
_OF_CLOCK = frozenset(("clock_gettime", "clock_gettime64", "clock_settime", "clock_settime64"))
_DAY = frozenset(
    ("CLOCK_REALTIME", "CLOCK_REALTIME_COARSE", "CLOCK_REALTIME_ALARM", "CLOCK_TAI", "0", "5", "8", "11")
)
"""The clocks that tell the time of day, as QEMU's log names them."""
_CENTURY_S = 100 * 366 * 86400


class Clock(Configuration, frozen=True, kw_only=True):
    """The time: `at` when the program first asks, or `offset` seconds from the machine's; that of UTC.

    `stands`: it stays at `at` until the program sets it. `settable`: the program may set it. `rtc`: /dev/rtc
    is there, and tells it.
    """

    at: (
        Annotated[
            str,
            Meta(
                pattern=r"\A[12][0-9]{3}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z?\Z",
                description='a time of UTC such as "2020-01-31T12:00:00Z"',
            ),
        ]
        | None
    ) = None
    offset: Annotated[int, Meta(ge=-_CENTURY_S, le=_CENTURY_S)] | None = None
    stands: bool = False
    settable: bool = True
    rtc: bool = False

    def hooks(self) -> frozenset[str]:
        """What reads the clock, and what sets it."""
        setting = _SETS if self.settable else frozenset[str]()
        return _READS | setting | (_LOOKS | {"ioctl"} if self.rtc else frozenset())

    def after(self) -> frozenset[str]:
        """Readings are changed when they have been made."""
        return _READS

    def sentence(self) -> str:
        """Say which time it is."""
        offset = self.offset or 0
        if self.at is None and not offset:
            time = "the machine's time"
        elif self.at is None:
            time = f"a time {number_of(abs(offset), 'second')} {'behind' if offset < 0 else 'ahead'}"
        else:
            time = f"the time {self.at}" + (", which stands still" if self.stands else " and what follows")
        return f"Shows the program {time}"

    def deeds(self) -> Iterator[tuple[Place, str]]:
        """The time, setting it, the device."""
        yield ("at" if self.at else "offset",), self.sentence()[0].lower() + self.sentence()[1:]
        if self.settable:
            yield ("settable",), "lets the program set the time: it is kept for this run, the machine's stays"
        if self.rtc:
            yield ("rtc",), "lets the program find a hardware clock (/dev/rtc, /dev/rtc0, /dev/misc/rtc)"

    def claims(self) -> list[Claim]:
        """Every reading and setting of the time of day, and the device."""
        calls = self.hooks() & (_READS | _SETS)
        claims = [Claim(calls - _OF_CLOCK), Claim(calls & _OF_CLOCK, first=_DAY)]
        if self.rtc:
            claims += [Claim(_LOOKS, {"path": path}) for path in _DEVICES]
            claims.append(Claim(frozenset(("ioctl",)), {"request": "RTC_RD_TIME or RTC_SET_TIME"}))
        return claims

    def problems(self) -> Iterator[tuple[Place, str]]:
        """No time or two, and no such date."""
        if (self.at is None) == (self.offset is None):
            yield (), "either `at` or `offset` is wanted"
        if self.at is not None:
            try:
                datetime.datetime.fromisoformat(self.at.rstrip("Z"))
            except ValueError:
                yield ("at",), "there is no such date"
        elif self.stands:
            yield ("stands",), "only a time that is given by `at` can stand still"
