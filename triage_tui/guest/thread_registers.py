"""Whose registers are whose: match the emulator's CPU states to the threads of a process.

Each CPUState points to the thread's TaskState, which begins with the thread's id (`opaque` and `ts_tid`,
linux-user/qemu.h of QEMU 7.2 to 10.0). Where in CPUState that pointer lies is not known beforehand: it is the
place at which every CPUState of the process has a pointer to another of its thread ids.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from triage_tui.guest import process
from triage_tui.guest.arch import Arch
from triage_tui.guest.processes import find_thread_envs

_ALWAYS = 2
"""Threads that every emulator has: the guest's first, and its own one (util/rcu.c)."""
_WINDOW = 0x6000
"""How far before the registers their CPUState may begin."""
_LOWEST, _HIGHEST = 1 << 16, 1 << 47
_POINTER = struct.Struct("=Q")
_THREAD_ID = struct.Struct("=i")


def match_threads(pid: int, inner: Mapping[int, int], main_env: int, arch: Arch) -> dict[int, int]:
    """Return host thread id -> host address of its registers, for the guest's threads of process `pid`.

    `inner` gives for each host thread id the id as the guest sees it, `main_env` the registers of the main
    thread. Threads that are missing in the result are the emulator's own, or could not be told apart.
    """
    found = {pid: main_env}
    if len(inner) <= _ALWAYS:
        return found
    others = [env for env in find_thread_envs(pid, main_env, arch) if env != main_env]
    if not others:
        return found
    # A forked process's own TaskState still holds the id of the thread that forked: only the others tell.
    host = {guest: tid for tid, guest in inner.items() if tid != pid}
    matches = {ids for place in _places(pid, others[0], host) if (ids := _ids(pid, others, place, host))}
    best = max((_known(ids) for ids in matches), default=0)
    matches = {ids for ids in matches if _known(ids) == best}
    # A thread that is being made has no id yet.
    if len(matches) == 1 and 2 * best > len(others):
        ids = matches.pop()
        found.update((host[guest], env) for guest, env in zip(ids, others, strict=True) if guest is not None)
    return found


def _known(ids: tuple[int | None, ...]) -> int:
    return sum(guest is not None for guest in ids)


def _places(pid: int, env: int, wanted: Iterable[int]) -> list[int]:
    """Return the offsets from `env` of pointers to one of the ids."""
    ids = set(wanted)
    try:
        window = process.read_memory(pid, env - _WINDOW, _WINDOW)
    except OSError:
        return []
    pointers = struct.unpack(f"={len(window) // 8}Q", window[: len(window) // 8 * 8])
    return [
        8 * index - _WINDOW
        for index, pointer in enumerate(pointers)
        if _LOWEST <= pointer < _HIGHEST and _thread_id(pid, pointer) in ids
    ]


def _ids(pid: int, envs: list[int], place: int, wanted: Iterable[int]) -> tuple[int | None, ...]:
    """Return the thread id of each CPUState by the pointer at `place`, None where that is no new id."""
    left = set(wanted)
    found: list[int | None] = []
    for env in envs:
        guest = -1
        try:
            (pointer,) = _POINTER.unpack(process.read_memory(pid, env + place, 8))
            guest = _thread_id(pid, pointer)
        except (OSError, struct.error):
            pass
        found.append(guest if guest in left else None)
        left.discard(guest)
    return tuple(found)


def _thread_id(pid: int, pointer: int) -> int:
    try:
        value: int = _THREAD_ID.unpack(process.read_memory(pid, pointer, 4))[0]
    except (OSError, struct.error):
        return -1
    return value
