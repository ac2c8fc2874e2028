"""Which registers are whose, in a process with several threads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import ARCHES, root_with
from triage_tui.guest.emulator.thread_registers import ThreadFinder
from triage_tui.guest.host import process
from triage_tui.guest.supervisor import Guest


@pytest.mark.parametrize("arch", ARCHES)
def test_each_thread_has_its_own_registers(arch: str, qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path, arch, "threads")
    with Guest.start(spec(root, qemu_dir, "/bin/threads", "end")) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code, guest.output()) == ("exit", 5, b"waiting\n")
        # Each made its call with the address of a name of its own, 16 bytes apart.
        opened = {call.path: call.args for call in guest.history() if call.path and "thread" in call.path}
        at = (
            1
            if guest.arch.syscall_nr("open") != next(c.num for c in guest.history() if c.path in opened)
            else 0
        )
        names = [opened[f"/etc/thread{number}"][at] for number in range(3)]
        assert names == [names[0], names[0] + 16, names[0] + 32]
        living = process.threads(guest.pid)
        inner = {tid: process.inner_pid(tid) for tid in living}
        # QEMU has one thread of its own, for its own memory.
        assert len(living) == 5
        found = ThreadFinder().registers(guest.pid, guest.location.env)
        assert len(set(found.values())) == 4
        assert set(found) < set(inner.values())
        places = guest.thread_places(guest.pid, inner)
        assert places == {tid: found[number] for tid, number in inner.items() if number in found}
        stacks = {guest.registers_at(tid, env)[guest.arch.sp] >> 12 for tid, env in places.items()}
        assert len(stacks) == 4
        assert guest.problems == []
