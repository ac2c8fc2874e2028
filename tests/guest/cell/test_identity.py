"""Identity changes where only one user id exists."""

from __future__ import annotations

import errno
import struct

from triage_tui.guest.cell.identity import Identity


class Memory:
    """Host memory of a process, as far as these calls use it."""

    def __init__(self, **data: bytes) -> None:
        self.data = {int(key[1:]): value for key, value in data.items()}

    def read(self, address: int, size: int) -> bytes:
        return self.data[address][:size]

    def write(self, address: int, data: bytes) -> None:
        self.data[address] = data


def ask(who: Identity, name: str, *args: int, memory: Memory | None = None) -> int | None:
    memory = memory or Memory()
    return who.answer(name, (*args, 0, 0, 0, 0, 0, 0)[:6], memory.read, memory.write)


def test_root_is_asked_of_the_kernel() -> None:
    assert ask(Identity(), "getuid") is None


def test_daemon_drops_its_privileges_and_cannot_go_back() -> None:
    who = Identity()
    assert ask(who, "setgroups", 2, 7, memory=Memory(a7=struct.pack("=2I", 65534, 5))) == 0
    assert ask(who, "setgid", 65534) == 0
    assert ask(who, "setuid", 65534) == 0
    assert [ask(who, name) for name in ("getuid", "geteuid", "getgid", "getegid")] == [65534] * 4
    assert ask(who, "setuid", 0) == -errno.EPERM
    assert ask(who, "setgroups", 0, 0) == -errno.EPERM
    assert ask(who, "setuid", 65534) == 0
    memory = Memory()
    assert ask(who, "getgroups", 8, 3, memory=memory) == 2
    assert memory.data[3] == struct.pack("=2I", 65534, 5)
    assert ask(who, "getgroups", 1, 3) == -errno.EINVAL
    assert ask(who, "getresuid", 1, 2, 3, memory=memory) == 0
    assert memory.data[2] == struct.pack("=I", 65534)


def test_effective_id_may_be_taken_back_while_it_is_saved() -> None:
    who = Identity()
    assert ask(who, "setresuid", 0xFFFFFFFF, 33, 0xFFFFFFFF) == 0
    assert (ask(who, "getuid"), ask(who, "geteuid")) == (0, 33)
    assert ask(who, "setuid", 0) == 0
    assert ask(who, "geteuid") is None


def test_a_child_starts_with_its_parents_ids_and_changes_its_own() -> None:
    parent = Identity()
    ask(parent, "setgid", 5)
    child = parent.copy()
    ask(child, "setuid", 6)
    assert ask(child, "getgid") == 5
    assert ask(parent, "getuid") == 0


def test_only_owners_that_cannot_be_had_are_made_up() -> None:
    who = Identity()
    assert ask(who, "chown", 1, 0, 0) is None
    assert ask(who, "fchown", 3, 0xFFFFFFFF, 0) is None
    assert ask(who, "chown", 1, 65534, 65534) == 0
    assert ask(who, "fchownat", 1, 1, 65534, 0) == 0
