"""About which calls SFEmu asks rules, and by which names: a rule for any other is never asked.

The emulator has names for 28 calls (get_syscall_name of its linux-user/syscall.c). For some others its
`entry.lua` has names by their numbers on ARM, and gives them to calls of those numbers on all machines; the
oldest version has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

NAMED = frozenset(
    str.split(
        "read write open openat close stat fstat lstat poll lseek mmap mprotect munmap brk ioctl access "
        "execve execveat exit exit_group fork clone getpid socket connect accept bind listen"
    )
)
"""Calls whose name the emulator gives its hooks; of all others they get nil."""
BY_ARM_NUMBER: Mapping[int, str] = {
    11: "execve", 142: "select", 192: "mmap2", 289: "send", 290: "sendto", 291: "recv", 292: "recvfrom",
    296: "sendmsg", 297: "recvmsg", 335: "pselect6", 387: "execveat", 436: "close_range",
}  # fmt: skip
"""The names of the newest version's `entry.lua`."""
_SCRIPT = b"do_syscall"
_PAIR = re.compile(rb"^\s*\[\s*(\d{1,5})\s*\]\s*=\s*[\"']([a-z_][a-z0-9_]{0,47})[\"']", re.MULTILINE)


def names_in(script: bytes) -> dict[int, str] | None:
    """Return number to name of the calls that an `entry.lua` names itself, None for one unlike SFEmu's."""
    if _SCRIPT not in script:
        return None
    return {int(number): name.decode("ascii") for number, name in _PAIR.findall(script)}


def asked_as(call: str, arch: str, by_number: Mapping[int, str]) -> str:
    """Return the name by which SFEmu asks a rule about a call, "" where it asks none.

    `arch` is QEMU's name of the machine, "" where it is not known; `by_number` is what `entry.lua` adds.
    """
    if call in NAMED:
        return call
    # A list of runs needs no architecture.
    from triage_tui.guest.arch import by_name, known_names

    if arch not in known_names():
        return call if call in by_number.values() else ""
    number = by_name(arch).syscall_nr(call)
    return by_number.get(number, "") if number is not None else ""
