"""Give a guest that has only just been started the threads of a checkpoint.

Each is made by clone(2) in the first thread's place and makes at once the call that the supervisor holds and
nobody else makes (`emulator.return_stub`). While it waits there its registers are exact, and become those of
the checkpoint. It goes on with the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.checkpoint.attributes import set_name
from triage_tui.guest.checkpoint.injecting import Injector
from triage_tui.guest.checkpoint.model import Checkpoint, Thread
from triage_tui.guest.checkpoint.task_state import set_blocked
from triage_tui.guest.emulator.return_stub import MARKER_CALL, MARKER_WHENCE, call_stub, stub_for
from triage_tui.guest.host import process
from triage_tui.guest.host.seccomp import Notification

MOST_THREADS = 256
"""Threads of a process that a checkpoint may have."""
_FLAGS = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000
"""CLONE_VM, FS, FILES, SIGHAND, THREAD and SYSVSEM: what QEMU takes for a thread (linux-user/syscall.c)."""
_CHILD_CLEARTID = 0x200000
_CODE_AT = 0x400
"""Offset in the injector's page of the code that a new thread executes."""


class Waiting(msgspec.Struct, frozen=True):
    """A thread that was made again and waits for the guest to go on."""

    notification: Notification
    thread: Thread


class ThreadRestorer:
    """Makes the threads of one guest again."""

    def __init__(
        self,
        injector: Injector,
        waiting: Mapping[int, Notification],
        serve_until: Callable[[Callable[[], bool]], None],
        reach_id: Callable[[int], int],
    ) -> None:
        """`waiting` are the new threads that have come to their call, by their host ids, `serve_until` lets
        them come; `reach_id` has the next thread of the guest's get a number, or gives a negative errno."""
        self._injector = injector
        self._waiting = waiting
        self._serve_until = serve_until
        self._reach_id = reach_id

    def restore(self, checkpoint: Checkpoint) -> list[Waiting]:
        """Make the threads; each waits.

        Raises:
            TriageError: one of them cannot be had again.
        """
        found: list[Waiting] = []
        for thread in sorted(checkpoint.threads, key=lambda one: one.tid):
            known = set(self._waiting)
            self._make(thread)
            self._serve_until(lambda before=known: len(self._waiting) > len(before))  # type: ignore[misc]
            (host,) = set(self._waiting) - known
            if process.inner_pid(host) != thread.tid:
                raise TriageError(f"thread {thread.tid} cannot have its number again: start over")
            found.append(Waiting(self._waiting[host], thread))
        return found

    def _make(self, thread: Thread) -> None:
        inject, arch = self._injector, self._injector.arch
        if self._reach_id(thread.tid) < 0:
            raise TriageError(f"thread {thread.tid} cannot have its number again: start over")
        # A new thread has these of the one that makes it.
        set_blocked(inject, thread.blocked)
        set_name(inject, thread.name)
        behind = stub_for(arch, inject.instruction)
        stub = call_stub(arch, behind) if behind is not None else None
        number = arch.syscall_nr(MARKER_CALL)
        if stub is None or number is None:
            raise TriageError(f"no threads can be made for {arch.name}")
        scratch = dict(zip(stub.scratch or (), (number, MARKER_WHENCE), strict=False))
        flags = _FLAGS | (_CHILD_CLEARTID if thread.clear_tid else 0)
        arguments = [flags, 0, 0, 0, thread.clear_tid]
        if arch.name == "x86_64":
            arguments[3:] = [thread.clear_tid, 0]
        elif arch.name == "s390x":
            arguments = [0, flags, 0, thread.clear_tid, 0]
        made = inject.call("clone", *arguments, code=(_CODE_AT, stub.code), also=scratch)
        if made != thread.tid:
            raise TriageError(f"thread {thread.tid} cannot have its number again: start over")
