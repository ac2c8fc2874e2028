"""Find the registers of each thread inside a QEMU process.

QEMU has one CPUState for each guest thread, all of one class and in one list (`node`, a QTAILQ entry), with
the registers at the same distance. Each points to the thread's TaskState (`opaque`), which begins with the
thread's id (linux-user/qemu.h, `ts_tid`). These distances differ between releases and architectures: they are
found by what they must lead to, and then kept.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from triage_tui.guest.emulator.emulator_image import Landmarks
from triage_tui.guest.host import host_memory, process

_BACKWARD = 0x6000
"""How far before the registers their CPUState may begin (QEMU 7.2 to 10.0: less than 0x5000)."""
_LOWEST_POINTER = 0x10000
_HIGHEST_POINTER = 1 << 47
_MAX_THREADS = 4096
_AT_ONCE = 8
"""Threads that may be being made at the same time; more only cost a longer search."""
_POINTER = struct.Struct("=Q")
_ID = struct.Struct("=i")


class _ListPlace(msgspec.Struct, frozen=True):
    """Bytes from the first general register of a CPUState back to its begin and to its link."""

    begin: int
    link: int


class ThreadFinder:
    """Finds threads in the processes of one emulator program; it learns its layout from the first ones."""

    def __init__(self) -> None:
        self._list: _ListPlace | None = None
        self._id_distances: Sequence[int] = range(8, _BACKWARD + 8, 8)
        """Where the pointer to the TaskState may lie, in bytes before the registers."""
        self._late: dict[int, int] = {}
        """Process -> the registers of one of the last in its list when that was walked."""

    def registers(self, pid: int, main_env: int) -> dict[int, int]:
        """Return id inside the guest -> host address of the registers, for all guest threads of a process.

        `pid` is the QEMU process, `main_env` where the registers of its first thread are. A thread that is
        just being made may be missing.
        """
        first = {process.inner_pid(pid): main_env}
        # One of the threads is the emulator's own: where there is no third, nothing has to be looked for.
        return first if len(process.threads(pid)) <= 2 else first | self._others(pid, main_env, main_env)

    def newest(self, pid: int, number: int) -> int | None:
        """Return where the registers of a thread lie whose id inside the guest is `number`.

        Only the end of the list is looked at, where QEMU puts new ones. None when it is not there, or when
        too little is known of the list yet; `registers` may have it all the same.
        """
        late = self._late.get(pid)
        if late is None or self._list is None or len(self._id_distances) != 1:
            return None
        # Its thread may have ended: then what was before it in the list leads elsewhere now.
        before = _pointer_at(pid, late - self._list.link + _POINTER.size)
        if _pointer_at(pid, before) != late - self._list.begin:
            return None
        envs = _follow(pid, late, self._list)
        # Threads that are made at once need not come in the order of the list.
        if len(envs) > 2 * _AT_ONCE:
            self._late[pid] = envs[-_AT_ONCE]
        newest_first = reversed(envs)
        return next((env for env in newest_first if number in _ids(pid, [env], self._id_distances[0])), None)

    def outliving(self, pid: int, first_env: int, marks: Landmarks) -> dict[int, int]:
        """Return the same for a process whose first thread has ended; the CPUState of that one is freed.

        `first_env` are the registers of the CPUState that is the first of the list now.
        """
        if self._list is None:
            self._list = _ListPlace(marks.env, marks.env - marks.node)
        return self._others(pid, first_env, None)

    def _others(self, pid: int, first_env: int, main_env: int | None) -> dict[int, int]:
        """Return id -> registers of the threads from `first_env` on in the list, `main_env` left out.

        That is None when the process's first thread has ended.
        """
        envs = self.envs(pid, first_env)
        if self._list is None:
            return {}
        self._late[pid] = envs[-_AT_ONCE:][0]
        if len(self._id_distances) != 1:
            self._narrow(pid, envs, self._list.begin, main_env)
        owners = [_ids(pid, envs, distance) for distance in self._id_distances]
        # Where several places may tell, they have to agree.
        return {
            number: env
            for number, env in owners[0].items()
            if number and env != main_env and all(other.get(number) == env for other in owners)
        }

    def _narrow(self, pid: int, envs: list[int], begin: int, main_env: int | None) -> None:
        """Keep those distances at which every CPUState points to the id of a living guest thread."""
        first = process.inner_pid(pid)
        # The second thread is always the emulator's own (util/rcu.c).
        guests = set(sorted({process.inner_pid(tid) for tid in process.threads(pid)} - {first})[1:])
        # One that is being made has no id yet.
        guests.add(0)
        fitting: dict[int, tuple[bool, int]] = {}
        for distance in self._id_distances:
            ids = _ids(pid, envs, distance) if distance < begin else {}
            others = {number for number, env in ids.items() if env != main_env}
            if len(ids) >= max(1, len(envs) - 1) and others <= guests:
                # After a fork the first thread may still go by the id of the thread that forked.
                fitting[distance] = (ids.get(first) == main_env, len(others - {0}))
        best = max(fitting.values(), default=None)
        if best is not None:
            self._id_distances = [distance for distance, fit in fitting.items() if fit == best]

    def envs(self, pid: int, main_env: int) -> list[int]:
        """Return the register addresses of all guest threads of a QEMU process, the first thread's first."""
        if self._list is None:
            self._list = _find_list(pid, main_env)
        if self._list is None:
            return [main_env]
        return _follow(pid, main_env, self._list) or [main_env]


def _ids(pid: int, envs: list[int], distance: int) -> dict[int, int]:
    """Return the number that each CPUState points to at `distance` -> its registers; empty unless all do.

    The newest one may be without: the thread that makes it has not come to that yet.
    """
    found: dict[int, int] = {}
    for env in envs:
        pointer = _pointer_at(pid, env - distance)
        try:
            if not _LOWEST_POINTER < pointer < _HIGHEST_POINTER or pointer % 8:
                raise OSError
            (number,) = _ID.unpack(host_memory.read_memory(pid, pointer, _ID.size))
        except (OSError, struct.error):
            return found if len(envs) > 1 and env == envs[-1] else {}
        found[number] = env
    return found


def _pointer_at(pid: int, address: int) -> int:
    """Return the word at a host address, 0 if there is none."""
    try:
        return int(_POINTER.unpack(host_memory.read_memory(pid, address, 8))[0])
    except (OSError, struct.error):
        return 0


def _find_list(pid: int, main_env: int) -> _ListPlace | None:
    """Return where CPUStates begin and are linked, None while there is one only.

    Every CPUState begins with a pointer to the same class object. So: a word before the first thread's
    registers that points to something with the same first word as the first CPUState's is the link. Which
    word begins the first CPUState is not known beforehand; the pair (begin, link) that agrees is the answer.
    """
    start = (main_env - _BACKWARD) & ~7
    try:
        data = host_memory.read_memory(pid, start, _BACKWARD)
    except OSError:
        return None
    words = struct.unpack(f"={len(data) // 8}Q", data[: len(data) // 8 * 8])
    heads: dict[int, list[int]] = {}
    for index, word in enumerate(words):
        if word > _LOWEST_POINTER:
            heads.setdefault(word, []).append(index)
    for link_index, link in enumerate(words):
        if link < _LOWEST_POINTER or link % 16 or start <= link < main_env:
            continue
        # Memory before the CPUState may still hold a former object of its class.
        for head_index in reversed(heads.get(_pointer_at(pid, link), ())):
            if head_index < link_index:
                place = _ListPlace(main_env - start - 8 * head_index, main_env - start - 8 * link_index)
                if len(_follow(pid, main_env, place)) > 1:
                    return place
    return None


def _follow(pid: int, main_env: int, place: _ListPlace) -> list[int]:
    """Walk the list of CPUStates; return their register addresses, empty if it is no such list."""
    envs: list[int] = []
    env, previous = main_env, 0
    head = _pointer_at(pid, main_env - place.begin)
    while len(envs) < _MAX_THREADS:
        try:
            link, back = struct.unpack("=QQ", host_memory.read_memory(pid, env - place.link, 16))
        except (OSError, struct.error):
            return []
        # tqe_prev points to the previous element's link field.
        if _pointer_at(pid, env - place.begin) != head or (envs and back != previous):
            return []
        envs.append(env)
        if not link:
            return envs
        previous, env = env - place.link, link + place.begin
    return envs
