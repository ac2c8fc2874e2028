"""Tell calls of the log from text of the guest's own that looks like calls.

QEMU writes strings into its log as they are (print_string of linux-user/strace.c: whole, not escaped), so a
path may hold a newline and lines that look like calls. Two things a guest cannot make up: in a call that is
always held the thread waits exactly where the call's text ends, and behind the string of a call QEMU prints
as many arguments as that call has. So text in the string of a call that is held is told apart. What is left,
a well-formed line in the string of a call that is not held, has no mark of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

_REST = {
    name.encode(): frozenset(range(least, most + 1))
    for least, most, names in (
        # QEMU 7.2 has a comma behind the path of rmdir.
        (0, 1, "chdir chroot rmdir unlink umount link symlink symlinkat rename renameat"),
        (1, 1, "access stat lstat stat64 lstat64 statfs statfs64 truncate truncate64 mkdir mkdirat creat"),
        (1, 1, "unlinkat linkat chmod umount2"),
        (1, 2, "open openat faccessat fchmodat"),
        # A device's numbers are makedev(major,minor).
        (1, 3, "mknod mknodat"),
        (2, 2, "readlink readlinkat newfstatat fstatat64 chown chown32 lchown lchown32"),
        (3, 3, "statx"),
    )
    for name in names.split()
}
"""Call -> how many arguments come behind its last string (strace.list and strace.c of QEMU)."""
_ASKED = frozenset(
    name.encode()
    for name in str.split(
        "creat mkdir mkdirat mknod mknodat unlink unlinkat rename renameat rmdir symlink symlinkat link "
        "linkat chmod fchmodat chown chown32 lchown lchown32 chdir chroot umount umount2 truncate truncate64"
    )
)
"""Calls of which the emulator asks the host whenever it could read their strings."""
_TWO_STRINGS = (b"rename", b"symlink", b"link")
HELD = (
    "open openat creat connect bind listen mkdir mkdirat mknod mknodat unlink unlinkat rename renameat "
    "renameat2 rmdir symlink symlinkat link linkat chmod fchmodat chown chown32 lchown lchown32 execve chdir "
    "chroot mount umount umount2 pivot_root swapon swapoff sethostname setdomainname reboot setuid setgid "
    "setuid32 setgid32 truncate truncate64"
)
"""Calls that QEMU passes to the host, where they are held; not those that it answers itself at times."""
_OWN_ANSWER = re.compile(rb"-1 errno=(?:12|14|22|36|38|78|89|512) ")
"""ENOMEM, EFAULT, EINVAL, ENAMETOOLONG, ENOSYS: QEMU may have found these without asking the host. And its
own mark of a call that a signal kept from being made: it is made again."""
_OWN_FILE = re.compile(rb"O_DIRECTORY|O_TMPFILE|O_PATH|/proc|/dev/|/etc/hosts")
"""Files that the emulator opens in its own way, and directories: opening those is not held."""
MOST_ENDS = 256
"""Places at which a call may seem to end before only those are looked at where its thread was held."""
CHECKED = frozenset(_REST) | frozenset(name.encode() for name in HELD.split())
"""Calls of which the text is looked at more closely."""


def is_complete(name: bytes, arguments: bytes) -> bool:
    """Return whether a call's text can end behind `arguments`; False while its string must still go on."""
    rest = _REST.get(name)
    if rest is None:
        return True
    before, quote, behind = arguments.rpartition(b'"')
    if not quote:
        return True
    if not behind.strip(b"\n"):
        # Where several processes write to one log, another one's result may end before the bracket.
        return 0 in rest and b'"' in before
    # With the opening quote alone it is no string yet.
    return behind[:1] == b"," and behind.count(b",") in rest and b"\n" not in behind


def next_end(place: int, size: int, at: int, waits: Iterable[int]) -> int:
    """Return the first place behind `place` at which a thread was held, or `size`.

    `at` is the offset of the text in its log.
    """
    return min((end - at - 1 for end in waits if place < end - at - 1 < size), default=size)


def is_own_answer(name: bytes, arguments: bytes, result: bytes) -> bool:
    """Return whether a call that is held at other times may have been answered by the emulator alone."""
    if name in _ASKED and arguments.count(b'"') >= (4 if name.startswith(_TWO_STRINGS) else 2):
        return False
    return bool(_OWN_ANSWER.match(result) or (name.startswith(b"open") and _OWN_FILE.search(arguments)))


@lru_cache(maxsize=8)
def _held_lines(held: frozenset[bytes]) -> re.Pattern[bytes]:
    return re.compile(rb"\n\d{1,10} (%s)\(" % b"|".join(sorted(held)))


@lru_cache(maxsize=8)
def _usual_lines(held: frozenset[bytes]) -> re.Pattern[bytes]:
    return re.compile(rb"\n\d{1,10} (?:%s)\([^\n]*?\)(?= = )" % b"|".join(sorted(held)))


def all_end(text: bytes, at: int, names: list[bytes], held: frozenset[bytes], waits: dict[int, None]) -> bool:
    """Return whether each call of `held` among the lines of `text` ends in its line, where it was held.

    `at` is the offset of the text in its log, `names` are those of its lines.
    """
    if held.isdisjoint(names):
        return True
    # From the newline before the text on.
    ends = {at - 1 + found.end() for found in _usual_lines(held).finditer(b"\n" + text)}
    return len(ends) == sum(map(held.__contains__, names)) and waits.keys() >= ends


def unended(text: bytes, at: int, held: frozenset[bytes], waits: Collection[int]) -> int:
    """Return where in `text` the first call of `held` begins that does not end in it; its length if none.

    `text` is whole lines and the beginning of one, from the offset `at` of its log on. Behind that place may
    be the rest of the call's string, whatever it looks like.
    """
    past = 0
    for found in _held_lines(held).finditer(b"\n" + text):
        if (start := found.start()) < past:
            continue
        end, tries = start, 0
        while (end := text.find(b")", end + 1)) >= 0 and at + end + 1 not in waits:
            tries += 1
            if tries == MOST_ENDS:
                end = next_end(end, len(text), at, waits)
                break
            arguments = text[found.end() - 1 : end]
            result = text[end + 1 : end + 40]
            if result.startswith(b" = ") and (
                b'"' not in arguments or is_own_answer(found[1], arguments, result[3:])
            ):
                break
        if not 0 <= end < len(text):
            return start
        past = end
    return len(text)
