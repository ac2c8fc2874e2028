"""Read what descriptors without a file hold, and pairs of sockets; everything is checked."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from triage_tui.guest.checkpoint import messages
from triage_tui.guest.checkpoint.model import Descriptor, Facts, Mark, OpenFile, Timer, Watch
from triage_tui.guest.checkpoint.socket_options import MOST_BYTES, is_known
from triage_tui.guest.checkpoint.taking_pairs import MOST_UNREAD
from triage_tui.guest.checkpoint.wire import Damaged, Message

_SECOND = 1_000_000_000
_LONGEST_S = 1 << 32
_MOST_WATCHES = 4096
_MOST_NUMBER = (1 << 31) - 2


def read_anonymous(entry: Message, number: int, flags_mask: int) -> OpenFile | None:
    """Return what an entry of files.img has that has no file of its own, None for other entries.

    Raises:
        Damaged: it cannot be.
    """
    match entry["type"]:
        case messages.EVENTFD if "efd" in entry:
            one = entry["efd"]
            return OpenFile(
                id=number, kind="eventfd", flags=one["flags"] & flags_mask, counter=one["counter"]
            )
        case messages.EVENTPOLL if "epfd" in entry:
            one = entry["epfd"]
            if len(one["tfd"]) > _MOST_WATCHES:
                raise Damaged("an epoll instance watches too much")
            watches = [Watch(each["tfd"], each["events"] & 0xFFFFFFFF, each["data"]) for each in one["tfd"]]
            return OpenFile(id=number, kind="epoll", flags=one["flags"] & flags_mask, watches=watches)
        case messages.INOTIFY if "ify" in entry:
            one = entry["ify"]
            marks = [
                Mark(
                    each["wd"],
                    each["f_handle"].get("path", ""),
                    each["mask"] & 0xFFFFFFFF,
                    each["i_ino"],
                    each["s_dev"],
                )
                for each in one["wd"]
            ]
            given = {mark.number for mark in marks}
            wrong = len(given) != len(marks) or not all(0 < each <= _MOST_NUMBER for each in given)
            if len(marks) > _MOST_WATCHES or wrong:
                raise Damaged("an inotify instance watches what it cannot")
            flags = one["flags"] & flags_mask
            return OpenFile(
                id=number, kind="inotify", flags=flags, marks=marks, last_mark=max(given, default=0)
            )
        case messages.TIMERFD if "tfd" in entry:
            one = entry["tfd"]
            parts = [(one["vsec"], one["vnsec"]), (one["isec"], one["insec"])]
            if one["clockid"] > 15 or any(sec > _LONGEST_S or nsec >= _SECOND for sec, nsec in parts):
                raise Damaged("a timer runs for a time that cannot be")
            left, interval = (sec * _SECOND + nsec for sec, nsec in parts)
            timer = Timer(one["clockid"], one["ticks"], left, interval)
            return OpenFile(id=number, kind="timerfd", flags=one["flags"] & flags_mask, timer=timer)
        case messages.SIGNALFD if "sgfd" in entry:
            one = entry["sgfd"]
            return OpenFile(
                id=number, kind="signalfd", flags=one["flags"] & flags_mask, signals=one["sigmask"]
            )
    return None


def add_facts(files: Sequence[OpenFile], facts: Facts) -> None:
    """Add what the images have no place for.

    Raises:
        Damaged: it is of no such file.
    """
    by_id = {file.id: file for file in files}
    for number in facts.semaphores:
        if number not in by_id or by_id[number].kind != "eventfd":
            raise Damaged("a semaphore is no eventfd")
        by_id[number].semaphore = True
    for number, last in facts.last_marks.items():
        if number not in by_id or by_id[number].kind != "inotify":
            raise Damaged("a number of watches is of no inotify instance")
        if not by_id[number].last_mark <= last <= _MOST_NUMBER:
            raise Damaged("an inotify instance watches what it cannot")
        by_id[number].last_mark = last
    for number, options in facts.options.items():
        file = by_id.get(number)
        if file is None or file.kind not in ("inet", "unix", "pair"):
            raise Damaged("options are of no socket")
        for option in options:
            try:
                known = is_known(option) and len(bytes.fromhex(option.value)) <= MOST_BYTES
            except ValueError:
                known = False
            if not known:
                raise Damaged("a socket has an option that cannot be set")
        file.options = options


def check_pairs(files: Sequence[OpenFile], descriptors: Sequence[Descriptor]) -> None:
    """Check that the ends of pairs belong together, and that what is watched is there.

    Raises:
        Damaged: they do not, or it is not.
    """
    by_id = {file.id: file for file in files}
    numbers, used = {one.fd for one in descriptors}, {one.file for one in descriptors}
    for file in files:
        if file.kind == "pair":
            other = by_id.get(file.peer)
            if (
                other is None
                or other is file
                or (other.kind, other.peer, other.socket_type) != ("pair", file.id, file.socket_type)
                or not {file.id, other.id} <= used
            ):
                raise Damaged("a socket has no other end")
        watched = [watch.fd for watch in file.watches]
        if not set(watched) <= numbers or len(set(watched)) != len(watched):
            raise Damaged("an epoll instance watches a descriptor that is not there")


def read_queues(
    entries: Sequence[tuple[Message, bytes]], files: Sequence[OpenFile]
) -> dict[int, list[bytes]]:
    """Return the messages that each end of a pair has not read.

    Raises:
        Damaged: they are of no such socket, or too large.
    """
    found: dict[int, list[bytes]] = {file.id: [] for file in files if file.kind == "pair"}
    for entry, raw in entries:
        if entry["id_for"] not in found:
            raise Damaged("sk-queues.img holds messages for nobody")
        found[entry["id_for"]].append(raw)
    if any(sum(map(len, messages_)) > MOST_UNREAD for messages_ in found.values()):
        raise Damaged("a socket has more to read than it can hold")
    return found


def read_pair(local: Message, number: int, flags: int, kind: int) -> OpenFile:
    """Return the end of a pair that a local socket with a peer is."""
    return OpenFile(
        id=number,
        kind="pair",
        flags=flags,
        family=socket.AF_UNIX,
        socket_type=kind,
        peer=local["peer"],
    )
