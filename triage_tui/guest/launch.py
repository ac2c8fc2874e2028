"""Start an emulator in a cell and find its registers: from a spec to a guest at its first instruction.

What happens in the cell is told in `triage_tui.guest.cell.launcher`, what happens to the emulator's
descriptors in `triage_tui.guest.emulator.startup`.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from triage_tui.errors import Stopped, TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.calls.carrier import Carrier
from triage_tui.guest.calls.served_calls import log_lengths
from triage_tui.guest.cell import policy
from triage_tui.guest.cell.cell import Cell
from triage_tui.guest.cell.guest_input import open_input
from triage_tui.guest.emulator import call_site, env_locator, environment
from triage_tui.guest.emulator.elf import ElfInfo
from triage_tui.guest.emulator.gdbstub import GdbStub
from triage_tui.guest.emulator.qemu import qemu_version
from triage_tui.guest.emulator.startup import LEAST_HEADROOM, OTHER_FILES, EmulatorStart
from triage_tui.guest.freezing import triggers
from triage_tui.guest.host import host_syscalls, namespaces, seccomp
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.thread_log import ThreadLog
from triage_tui.guest.processes.process_name import name_of
from triage_tui.guest.spec import CARRIERS, LaunchSpec, ResourceLimits
from triage_tui.text import safe_line

MAX_INTERFACES = 16
"""Network interfaces of one guest besides `lo`."""
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
_PROCESSOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_START_TIMEOUT = 30.0


class Launched(msgspec.Struct):
    """A guest that waits at its first instruction. `release` lets it go."""

    cell: Cell
    carrier: Carrier
    pid: int
    location: env_locator.Location
    output: dict[int, str]
    """Read ends of its output pipes -> "stdout" or "stderr"."""
    start: EmulatorStart
    stub: GdbStub
    places: dict[str, int]
    """See `call_site.places`."""
    open_files: int | None = None
    """Its own limit of open files, where it has set one."""

    def release(self) -> None:
        """Lower the limits and switch the stub off: the guest runs."""
        self.start.lower_limit(self.pid, self.open_files)
        self.stub.hang_up()
        self.start.stub = None


def _open_stdin(spec: LaunchSpec) -> tuple[int | None, int | None]:
    """Return (descriptor for the guest, descriptor to keep open here), each None where there is none.

    Its null device the guest gets in the cell: by the host's own it could set the times of the host's node.
    """
    if spec.stdin == "null":
        return None, None
    if spec.stdin == "open":
        return os.pipe2(os.O_CLOEXEC)
    return open_input(spec.stdin), None


def check_host(spec: LaunchSpec) -> None:
    """Refuse what cannot work on this host.

    Raises:
        TriageError: not Linux on a machine whose system calls are known; a time or user id that cannot be;
            names NUL bytes in arguments.
    """
    machine = host_syscalls.host_machine()
    if os.uname().sysname != "Linux" or not host_syscalls.numbers(machine):
        raise TriageError(f"guests can be supervised on Linux on x86_64 or aarch64 only, this is {machine}")
    spec.triggers.check()
    if spec.carrier not in CARRIERS:
        raise TriageError(f"the carrier must be one of {', '.join(CARRIERS)}, not {spec.carrier!r}")
    if not 0 <= spec.user < namespaces.ID_COUNT:
        raise TriageError(
            f"the guest's user id must be one of 0 to {namespaces.ID_COUNT - 1}, not {spec.user}"
        )
    for name in spec.interfaces:
        if not _INTERFACE.fullmatch(name) or name == "lo":
            raise TriageError(
                f"{safe_line(name, 40)!r} is no name for another network interface: give up to 15 letters, "
                "digits and ._-, and not lo"
            )
    if len(set(spec.interfaces)) != len(spec.interfaces) or len(spec.interfaces) > MAX_INTERFACES:
        raise TriageError(
            f"a guest can have at most {MAX_INTERFACES} interfaces, each with a name of its own"
        )
    texts = [spec.program, spec.cwd, spec.processor, *spec.argv, *spec.env, *spec.env.values()]
    if any("\0" in text for text in texts):
        raise TriageError("program, arguments and environment must not hold NUL bytes")
    if spec.processor and not _PROCESSOR.fullmatch(spec.processor):
        raise TriageError(f"{safe_line(spec.processor, 60)!r} is no name of a processor model")
    bad = [name for name in spec.env if name.startswith("QEMU_") or "=" in name or not name]
    if bad:
        raise TriageError(f"the environment variable {bad[0]!r} would change the emulator: leave it out")


def _config(
    spec: LaunchSpec, start: EmulatorStart, emulator: str, filters: dict[str, str]
) -> dict[str, object]:
    argv = list(spec.argv) or [spec.program]
    program = spec.program if spec.rootfs else os.path.abspath(spec.program)
    # QEMU before 10 gives it to the guest in the opposite order.
    turned = environment.turns_round(qemu_version(Path(emulator)))
    variables, moved = environment.split(dict(reversed(spec.env.items())) if turned else spec.env)
    options = [*start.arguments(), *spec.emulator_options, *moved]
    return {
        "argv": [emulator, *options, "-0", argv[0], program, *argv[1:]],
        "env": variables,
        "cwd": spec.cwd,
        "user": spec.user,
        "interfaces": spec.interfaces,
        "program": program,
        **filters,
        "carrier": spec.carrier,
        "first_skipped_fd": start.first_fd,
        "allow_root": spec.allow_root,
        "processes": spec.limits.processes,
        "memory_bytes": spec.limits.memory_bytes,
        "disk_bytes": spec.limits.disk_bytes,
        "open_files": spec.limits.open_files + start.headroom,
    }


def _make_room_for_logs(limits: ResourceLimits) -> None:
    """Raise this process's own limit of open files, as far as it may: each thread's log takes two.

    Raises:
        TriageError: it cannot be high enough for any guest.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = limits.open_files + LEAST_HEADROOM
    if hard not in (resource.RLIM_INFINITY, max(hard, least)):
        raise TriageError(
            f"this process may have {hard} open files at most, and a guest needs {least}: "
            f"raise the hard limit (`ulimit -Hn {least}`, or nofile in limits.conf)"
        )
    wanted = 2 * limits.processes + OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def launch(
    spec: LaunchSpec,
    arch: Arch,
    elf: ElfInfo,
    guest_names: Collection[str],
    containment: policy.ContainmentPolicy,
    make_log: Callable[[int, int, int], ThreadLog],
    cancelled: Callable[[], bool],
    find_emulator: Callable[[Arch], tuple[Path, int]],
) -> Launched:
    """Start the guest and stop it at its first instruction; `make_log` gives a log (pid, tid, number).

    `find_emulator` gives path and sealed copy of the emulator for an architecture.

    Raises:
        TriageError: it could not be started; nothing is left behind.
    """
    check_host(spec)
    emulator, copy = find_emulator(arch)
    logs_calls = spec.observe == "full"
    _make_room_for_logs(spec.limits)
    start = EmulatorStart(spec.limits.open_files, name_of(spec.program), logs_calls, spec.limits.processes)
    watches = [*start.watches(), *policy.watches(containment, guest_names, start.first_fd)]
    lengths = log_lengths(arch, guest_names, logs_calls)
    lengths |= triggers.failure_lengths(spec.triggers.calls, arch)
    refused = policy.NEVER_NEEDED.split()
    places = call_site.places(emulator, spec.qemu_dir)
    filters = {
        name: seccomp.program(
            watches,
            start.first_fd,
            log_lengths=lengths,
            refused=refused,
            held=held,
            guest_places=places.values(),
        ).hex()
        for name, held in (("filter", seccomp.NOTIFY), ("trace_filter", seccomp.TRACE))
    }
    with contextlib.ExitStack() as stack:
        handed = {"emulator": copy}

        def hand(name: str, fd: int) -> None:
            handed[name] = fd
            stack.callback(os.close, fd)

        if spec.rootfs is not None:
            hand("root", os.open(spec.rootfs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        else:
            hand("program", os.open(spec.program, os.O_RDONLY | os.O_CLOEXEC))
        stdin, keep = _open_stdin(spec)
        if stdin is not None:
            hand("stdin", stdin)
        undo = stack.enter_context(contextlib.ExitStack())
        if keep is not None:
            undo.callback(os.close, keep)
        output: dict[int, str] = {}
        for name in ("stdout", "stderr"):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            output[reader] = name
            undo.callback(os.close, reader)
            hand(name, writer)
            os.set_blocking(reader, False)
        cell = Cell(_config(spec, start, str(emulator), filters), handed)
        undo.callback(cell.end)
        undo.callback(start.close)
        carrier = cell.await_carrier(cancelled)
        try:
            pid, stub, location = _bring_up(cell, carrier, start, arch, elf, make_log, cancelled)
        except TriageError as error:
            said = _last_words(output)
            if not said:
                raise
            raise TriageError(f"{error}; it said: {said}") from error
        undo.pop_all()
        if keep is not None:
            cell.keep_open(keep)
        return Launched(cell, carrier, pid, location, output, start, stub, places)


def _last_words(output: Iterable[int]) -> str:
    """Return the last line that the emulator printed, made printable."""
    data = b""
    for fd in output:
        with contextlib.suppress(BlockingIOError):
            data += os.read(fd, 4096)
    lines = [line for line in data.splitlines() if line.strip()]
    return safe_line(lines[-1], 300) if lines else ""


def _bring_up(
    cell: Cell,
    carrier: Carrier,
    start: EmulatorStart,
    arch: Arch,
    elf: ElfInfo,
    make_log: Callable[[int, int, int], ThreadLog],
    cancelled: Callable[[], bool],
) -> tuple[int, GdbStub, env_locator.Location]:
    """Answer the emulator's start-up calls until its registers are found."""
    names = host_syscalls.names()
    pid = 0
    numbers: list[int] = []
    stub: GdbStub | None = None
    result: list[env_locator.Location | BaseException] = []
    done_read, done_write = os.pipe2(os.O_CLOEXEC)
    worker: threading.Thread | None = None
    waiting: deque[Notification] = deque()

    def locate(stub: GdbStub, pid: int) -> None:
        # In a thread of its own: while it talks to the stub, the emulator may still need answers here.
        try:
            result.append(env_locator.locate(pid, arch, elf, stub))
        except BaseException as error:
            result.append(error)
        os.write(done_write, b"x")

    poll = select.poll()
    for fd in (carrier.fileno(), cell.fileno(), done_read):
        poll.register(fd, select.POLLIN)
    deadline = time.monotonic() + _START_TIMEOUT
    try:
        while not result:
            if cancelled():
                raise Stopped("the start was cancelled")
            if time.monotonic() > deadline:
                raise TriageError("the emulator did not reach the program's first instruction in time")
            for fd, events in poll.poll(100):
                if fd == cell.fileno():
                    cell.receive()
                    if cell.gone or cell.ended:
                        raise TriageError("the emulator ended before the program's first instruction")
                elif fd == carrier.fileno() and events & select.POLLIN:
                    received = carrier.receive()
                    waiting += [received] if received is not None else []
                    while waiting:
                        notification = waiting.popleft()
                        name = names.get(notification.nr, "")
                        pid = pid or notification.tid
                        if start.is_log_open(notification.tid, name, notification):
                            number = start.log_number(numbers)
                            if number is None:
                                raise TriageError("the emulator opens more logs than it has threads")
                            numbers.append(number)
                            log = make_log(pid, notification.tid, number)
                            carrier.add_fd(notification, log.writer, number, cloexec=True)
                            carrier.answer(notification, number)
                        elif not start.answer(carrier, name, notification, cell.open_pair, waiting.append):
                            carrier.proceed(notification)
                    if start.stub is not None and worker is None:
                        stub = GdbStub(start.stub)
                        worker = threading.Thread(target=locate, args=(stub, pid), daemon=True)
                        worker.start()
        if isinstance(result[0], BaseException):
            raise result[0]
        assert stub is not None
        return pid, stub, result[0]
    finally:
        if worker is not None:
            if not result and stub is not None:
                stub.hang_up()
            worker.join(15)
        os.close(done_read)
        os.close(done_write)
