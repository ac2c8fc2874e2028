"""The time stamps of log lines: ISO 8601, syslog (RFC 3164 and 5424), ctime(3), web servers, dmesg, and more.

`logread` and `dmesg -T` write the form of ctime(3). All functions are pure: text in, nanoseconds out. Lines
are hostile: of each only the beginning is looked at, by expressions of bounded length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import msgspec

SECOND = 1_000_000_000
_LOOKED_AT = 400
"""Lines from which the form is told."""
_LEAST_SHARE = 0.2
_HEAD = 160
"""Characters of a line in which its stamp is looked for."""
_MONTHS = {
    name: number
    for number, name in enumerate(str.split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"), 1)
}
_YEARS = (1971, 2200)


class Stamp(msgspec.Struct, frozen=True):
    """When a line was written."""

    ns: int
    """Since 1970 (UTC), or since the boot of the machine where the form counts so."""
    span: int
    """How long the stamp stays the same: 1 s where it tells seconds."""


class Times(msgspec.Struct):
    """What the lines of a log tell of their times."""

    form: str = ""
    """Name of one of `FORMS`, "" when there is none."""
    since_boot: bool = False
    stamps: list[Stamp | None] = msgspec.field(default_factory=list)
    """Of each line; one without a stamp of its own has that of the line above it."""
    stamped: int = 0
    """Lines with a stamp of their own."""
    disordered: int = 0
    """Lines that are earlier than the one above them."""
    why: str = ""
    """Why no time can be told, in one sentence without a full stop; "" when it can."""


class _Context(msgspec.Struct, frozen=True):
    zone: tzinfo
    near: datetime
    """The moment of the run: a stamp without a year is of the year that brings it nearest."""


_ISO = re.compile(
    r"^(?:<\d{1,3}>(?:\d )?)?\[?(\d{4})([-/])(\d\d)\2(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d{0,9})?"
    r" ?(Z|[+-]\d\d:?\d\d\b)?"
)
_SYSLOG = re.compile(
    r"^(?:<\d{1,3}>)?(?:\*|\.)?([A-Z][a-z]{2}) {1,2}(\d{1,2})(?: (\d{4}))? (\d\d):(\d\d):(\d\d)"
    r"(?:\.(\d{1,9}))?(?: (\d{4})\b)?"
)
_CTIME = re.compile(
    r"^(?:<\d{1,3}>)?\[?[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)"
    r"(?:\.(\d{1,9}))? (\d{4})\b"
)
_LOGCAT = re.compile(r"^(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{3}) ")
_WEB = re.compile(r"\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d)(?: ([+-]\d{4}))?\]")
_DMESG = re.compile(r"^(?:<\d{1,3}>)?\[ {0,12}(\d{1,9})\.(\d{3,9})\]")
_EPOCH = re.compile(r"^\[?(\d{10})(?:(\d{3})(?!\d)|(?!\d))(?:\.(\d{1,9}))?\b")


def _fraction(text: str | None) -> tuple[int, int]:
    """Return nanoseconds of decimals, and how long such a stamp stays the same."""
    if not text:
        return 0, SECOND
    return int(text.ljust(9, "0")), 10 ** (9 - len(text))


def _zone(text: str | None, otherwise: tzinfo) -> tzinfo:
    if not text:
        return otherwise
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _at(parts: Sequence[int], zone: tzinfo, decimals: str | None) -> Stamp | None:
    year, month, day, hour, minute, second = parts
    if not _YEARS[0] <= year <= _YEARS[1]:
        return None
    try:
        # 60 is a leap second.
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
        whole = int(moment.timestamp())
    except (ValueError, OverflowError, OSError):
        return None
    more, span = _fraction(decimals)
    return Stamp(whole * SECOND + more, span)


def _iso(line: str, context: _Context) -> Stamp | None:
    match = _ISO.match(line)
    if match is None:
        return None
    parts = [int(match[index]) for index in (1, 3, 4, 5, 6, 7)]
    try:
        zone = _zone(match[9], context.zone)
    except ValueError:
        return None
    return _at(parts, zone, match[8])


def _syslog(line: str, context: _Context) -> Stamp | None:
    match = _SYSLOG.match(line)
    month = _MONTHS.get(match[1]) if match is not None else None
    if match is None or month is None:
        return None
    rest = (month, int(match[2]), int(match[4]), int(match[5]), int(match[6]))
    if year := match[3] or match[8]:
        return _at((int(year), *rest), context.zone, match[7])
    return _nearest(rest, context, match[7])


def _nearest(rest: Sequence[int], context: _Context, decimals: str | None) -> Stamp | None:
    """Return the stamp of month, day, hour, minute and second, in the year nearest to the run."""
    here = context.near.astimezone(context.zone).year
    found = [_at((year, *rest), context.zone, decimals) for year in (here - 1, here, here + 1)]
    near = int(context.near.timestamp()) * SECOND
    return min((stamp for stamp in found if stamp), key=lambda stamp: abs(stamp.ns - near), default=None)


def _ctime(line: str, context: _Context) -> Stamp | None:
    match = _CTIME.match(line)
    month = _MONTHS.get(match[1]) if match is not None else None
    if match is None or month is None:
        return None
    parts = (int(match[7]), month, *(int(match[n]) for n in (2, 3, 4, 5)))
    return _at(parts, context.zone, match[6])


def _logcat(line: str, context: _Context) -> Stamp | None:
    match = _LOGCAT.match(line)
    return None if match is None else _nearest([int(match[n]) for n in range(1, 6)], context, match[6])


def _web(line: str, context: _Context) -> Stamp | None:
    match = _WEB.search(line)
    month = _MONTHS.get(match[2]) if match is not None else None
    if match is None or month is None:
        return None
    try:
        zone = _zone(match[7], context.zone)
    except ValueError:
        return None
    return _at((int(match[3]), month, int(match[1]), *(int(match[n]) for n in (4, 5, 6))), zone, None)


def _dmesg(line: str, _context: _Context) -> Stamp | None:
    match = _DMESG.match(line)
    if match is None:
        return None
    more, span = _fraction(match[2])
    return Stamp(int(match[1]) * SECOND + more, span)


def _epoch(line: str, _context: _Context) -> Stamp | None:
    match = _EPOCH.match(line)
    if match is None:
        return None
    more, span = _fraction(match[2] or match[3])
    return Stamp(int(match[1]) * SECOND + more, span)


FORMS: dict[str, Callable[[str, _Context], Stamp | None]] = {
    "ISO 8601": _iso,
    "syslog": _syslog,
    "ctime": _ctime,
    "logcat": _logcat,
    "web server": _web,
    "dmesg": _dmesg,
    "seconds since 1970": _epoch,
}
"""Name -> reader of a line's stamp."""
SINCE_BOOT = "dmesg"


def read_times(lines: Sequence[str], near: datetime, zone: tzinfo | None = None) -> Times:
    """Tell when each of `lines` was written.

    `near` is the moment of the run, with its zone; stamps without a zone are of `zone` (default: this
    machine's).
    """
    context = _Context(zone or near.astimezone().tzinfo or UTC, near)
    sample = [line for line in lines if line.strip()][:_LOOKED_AT]
    if not sample:
        return Times(stamps=[None] * len(lines), why="it has no lines")
    counts = {
        name: sum(read(line[:_HEAD], context) is not None for line in sample) for name, read in FORMS.items()
    }
    form = max(counts, key=lambda name: counts[name])
    if counts[form] < _LEAST_SHARE * len(sample):
        known = ", ".join(FORMS)
        why = f"its lines do not begin with a time of a known form ({known})"
        return Times(stamps=[None] * len(lines), why=why)
    times = Times(form=form, since_boot=form == SINCE_BOOT)
    read, last = FORMS[form], None
    for line in lines:
        stamp = read(line[:_HEAD], context)
        if stamp is not None:
            times.stamped += 1
            times.disordered += last is not None and stamp.ns < last.ns
            last = stamp
        times.stamps.append(last)
    return times


def zone_of(text: str) -> tzinfo:
    """Return the zone of "+02:00", "UTC", or a name such as "Europe/Berlin".

    Raises:
        ValueError: there is no such zone.
    """
    if text.upper() in ("UTC", "Z"):
        return UTC
    if re.fullmatch(r"[+-]([01]\d|2[0-3]):?[0-5]\d", text, re.ASCII):
        return _zone(text, UTC)
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(text)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"there is no time zone {text!r}: say +02:00, UTC or a name") from error
