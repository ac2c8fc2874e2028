"""Time stamps of log lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from triage_tui.runs.log_times import SECOND, read_times, zone_of

NEAR = datetime(2026, 11, 21, 20, 57, 3, tzinfo=UTC)
AT = int(NEAR.timestamp()) * SECOND
BERLIN_IN_WINTER = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("line", "form", "ns", "span"),
    [
        ("2026-11-21T20:57:03Z started", "ISO 8601", AT, SECOND),
        ("2026-11-21T20:57:03.250+00:00 host app: x", "ISO 8601", AT + SECOND // 4, SECOND // 1000),
        ("2026-11-21 21:57:03,5 +0100 x", "ISO 8601", AT + SECOND // 2, SECOND // 10),
        ("[2026-11-21 20:57:03] x", "ISO 8601", AT, SECOND),
        ("2026/11/21 20:57:03 [error] 7#7: open() failed", "ISO 8601", AT, SECOND),
        ("<165>1 2026-11-21T20:57:03.000003Z host app 8710 - - x", "ISO 8601", AT + 3000, 1000),
        ("<27>Nov 21 20:57:03 app[2]: x", "syslog", AT, SECOND),
        ("Nov 21 20:57:03.123 host kernel: x", "syslog", AT + 123_000_000, SECOND // 1000),
        ("Nov 21 2026 20:57:03 x", "syslog", AT, SECOND),
        ('10.0.0.1 - - [21/Nov/2026:21:57:03 +0100] "GET / HTTP/1.1" 500', "web server", AT, SECOND),
        ("Sat Nov 21 20:57:03 2026 daemon.err uhttpd[5]: x", "ctime", AT, SECOND),
        ("[Sat Nov 21 20:57:03 2026] usb 1-1: reset", "ctime", AT, SECOND),
        ("11-21 20:57:03.250  1234  1234 E tag: x", "logcat", AT + SECOND // 4, SECOND // 1000),
        ("[    3.250000] usb 1-1: reset", "dmesg", 3 * SECOND + SECOND // 4, 1000),
        ("<6>[12345.678901] x", "dmesg", 12345 * SECOND + 678_901_000, 1000),
        ("1795294623.5 x", "seconds since 1970", AT + SECOND // 2, SECOND // 10),
        ("1795294623500 x", "seconds since 1970", AT + SECOND // 2, SECOND // 1000),
    ],
)
def test_forms(line: str, form: str, ns: int, span: int) -> None:
    assert int(NEAR.timestamp()) == 1795294623
    times = read_times([line], NEAR, UTC)
    assert times.why == ""
    assert times.form == form
    stamp = times.stamps[0]
    assert stamp is not None
    assert (stamp.ns, stamp.span) == (ns, span)


def test_a_stamp_without_a_zone_is_of_the_zone_that_is_said() -> None:
    stamp = read_times(["2026-11-21 21:57:03 x"], NEAR, BERLIN_IN_WINTER).stamps[0]
    assert stamp is not None
    assert stamp.ns == AT


@pytest.mark.parametrize(
    ("near", "line", "year"),
    [
        (datetime(2027, 1, 1, 0, 0, 5, tzinfo=UTC), "Dec 31 23:59:58 x", 2026),
        (datetime(2026, 12, 31, 23, 59, 5, tzinfo=UTC), "Jan  1 00:00:01 x", 2027),
        (datetime(2028, 3, 1, tzinfo=UTC), "Feb 29 12:00:00 x", 2028),
    ],
)
def test_a_year_that_is_missing_is_the_nearest(near: datetime, line: str, year: int) -> None:
    stamp = read_times([line], near, UTC).stamps[0]
    assert stamp is not None
    assert datetime.fromtimestamp(stamp.ns / SECOND, UTC).year == year


def test_lines_without_a_stamp_belong_to_the_one_above() -> None:
    lines = ["header", "Nov 21 20:57:03 a", "  at frame 1", "Nov 21 20:57:01 b"]
    times = read_times(lines, NEAR, UTC)
    assert times.stamps[0] is None
    assert times.stamps[1] == times.stamps[2]
    assert (times.stamped, times.disordered) == (2, 1)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["", " "],
        ["no time here", "none there"],
        ["Foo 21 20:57:03 x"],
        ["2026-13-45 99:99:99 x"],
        ["Feb 30 12:00:00 x"],
        ["9999-01-01T00:00:00Z x"],
        ["0000-00-00T00:00:00+99:99 x"],
        ["[" * 5000 + "1" * 5000],
        ["\x1b[31mred\x1b[0m " * 1000],
    ],
)
def test_what_has_no_time_is_said_to_have_none(lines: list[str]) -> None:
    times = read_times(lines, NEAR, UTC)
    assert times.why
    assert not any(times.stamps)
    assert len(times.stamps) == len(lines)


@pytest.mark.parametrize(
    ("name", "hours"), [("UTC", 0), ("+01:00", 1), ("-0530", -5.5), ("Europe/Berlin", 1)]
)
def test_zones(name: str, hours: float) -> None:
    assert zone_of(name).utcoffset(datetime(2026, 11, 21)) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "name", ["", "Nowhere/None", "../../etc/passwd", "+99", "+99:00", "+24:00", "-00:60", "\0"]
)
def test_rubbish_is_no_zone(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        zone_of(name)
