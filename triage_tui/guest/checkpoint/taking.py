"""Take a checkpoint of a frozen guest: everything that a new process needs to go on from here.

Nothing of the guest changes. It must stand where its registers are exact, which they are in a system call,
and have nothing that only the kernel knows: each such thing is an `Obstacle`, named in one sentence.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from triage_tui.guest.checkpoint.attributes import take_attributes
from triage_tui.guest.checkpoint.changed_files import changed_files
from triage_tui.guest.checkpoint.image_files import sha256_of
from triage_tui.guest.checkpoint.model import ChangedFile, Checkpoint, Facts, FileKind, ThreadFacts
from triage_tui.guest.checkpoint.moment import Moment
from triage_tui.guest.checkpoint.obstacles import Obstacle
from triage_tui.guest.checkpoint.settling import drop_unread
from triage_tui.guest.checkpoint.taking_checks import check_areas, check_calls, check_status, ids
from triage_tui.guest.checkpoint.taking_files import Opened
from triage_tui.guest.checkpoint.taking_marks import name_marks
from triage_tui.guest.checkpoint.taking_memory import emulator_pages, keep_pages, without_name
from triage_tui.guest.checkpoint.taking_threads import take_threads
from triage_tui.guest.checkpoint.writing import CHANGED_FILE, PAGES_FILE, write_checkpoint
from triage_tui.guest.emulator.qemu import find_qemu, qemu_version
from triage_tui.guest.host import process, process_state
from triage_tui.guest.spec import open_in_root
from triage_tui.runs.process_model import Mapping
from triage_tui.text import safe_line

if TYPE_CHECKING:
    from triage_tui.guest.supervisor import Guest

MAX_BYTES = 1 << 30
"""Pages and changed files of one checkpoint, where nothing else bounds them."""
_PIECE = 1 << 20


def take_checkpoint(guest: Guest, directory: Path, room: int = MAX_BYTES) -> Facts:
    """Write a checkpoint of a frozen guest into `directory`, which is made; return what it is of.

    `room` is how many bytes its pages and files may have. Where it comes to nothing, nothing is left of it.

    Raises:
        Obstacle: this guest cannot go on from a checkpoint; the text says why.
        OSError: it cannot be read or written.
    """
    os.mkdir(directory, 0o700)
    try:
        return _take(guest, directory, min(room, MAX_BYTES))
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _take(guest: Guest, directory: Path, room: int) -> Facts:
    pid = guest.pid
    calls = guest.full_trace()
    _check_processes(guest)
    check_calls(guest, calls)
    arch, location = guest.arch, guest.location
    fields = process_state.status(f"/proc/{pid}")
    timer = check_status(guest, fields, calls)
    floats, table, signals = guest.float_registers, guest.action_table, guest.task_state
    if table is None or signals is None:
        raise Obstacle("what it does at its signals was not found in this emulator")
    if floats is None:
        raise Obstacle("the floating-point registers were not found in this emulator")
    end = floats.end(location.pc_offset)
    cwd = os.fsdecode(os.fsencode(os.readlink(f"/proc/{pid}/cwd")))
    if cwd.endswith(" (deleted)"):
        raise Obstacle("its working directory was deleted")
    threads = take_threads(guest, calls, floats, signals)
    moment = threads[guest.tid].moment
    first, *others = [stands.thread for stands in threads.values()]
    areas = [without_name(area) for area in guest.maps()]
    check_areas(areas)
    emulators = guest.emulator_pages & emulator_pages(areas)
    opened = _open_files(guest)
    own_calls = [call for call in calls if call.pid == process.inner_pid(pid)]
    name_marks(pid, cwd, os.readlink(f"/proc/{pid}/root"), opened.files, opened.descriptors, own_calls)
    upper = guest.changes
    if upper < 0:
        raise Obstacle("what it changed below its root cannot be seen")
    with open(directory / PAGES_FILE, "xb") as pages, open(directory / CHANGED_FILE, "xb") as copies:
        os.fchmod(pages.fileno(), 0o600)
        os.fchmod(copies.fileno(), 0o600)
        runs, size = keep_pages(pid, location.guest_base, _kept(areas, emulators), pages, room)
        changed = changed_files(
            upper,
            copies,
            room - size,
            ids(pid, "uid"),
            ids(pid, "gid"),
            _own_program(guest) | opened.sockets,
        )
    for file in opened.files:
        if file.kind == "inotify":
            # A program without a root file system has heard of what was read of its files.
            drop_unread(pid, next(one.fd for one in opened.descriptors if one.file == file.id))
    heap = guest.trace.effects(pid).heap or (0, 0)
    emulator = find_qemu(arch, guest.spec.qemu_dir)
    facts = Facts(
        arch=arch.name,
        emulator=emulator.name,
        emulator_version=qemu_version(emulator),
        emulator_sha256=sha256_of(emulator),
        emulator_options=list(guest.spec.emulator_options),
        program=guest.target.program,
        program_sha256=guest.target.program_sha256,
        call=moment.call.name,
        seq=moment.call.seq,
        threads=[ThreadFacts(one.clear_tid, one.call) for one in others],
        clear_tid=first.clear_tid,
        first_call=first.call,
        last_seq=_last_seq(guest, moment) if others else 0,
        state_end=end,
        pc_offset=location.pc_offset,
        streams={file.id: file.kind for file in opened.files if file.kind in ("stdin", "stdout", "stderr")},
        devices=[file.id for file in opened.files if file.kind == "device"],
        directories=[file.id for file in opened.files if file.kind == "directory"],
        last_marks={file.id: file.last_mark for file in opened.files if file.last_mark},
        semaphores=[file.id for file in opened.files if file.semaphore],
        options={file.id: file.options for file in opened.files if file.options},
        mapped=_mapped(guest, areas, changed),
        emulator_pages=sorted(emulators),
        changed=changed,
        pages_bytes=size,
        next_mapping=guest.next_mapping,
        last_id=guest.last_id,
        attributes=take_attributes(guest, threads[pid].moment.env, timer, calls),
        output={name: total for name, (_, total) in guest.streams().items()},
    )
    checkpoint = Checkpoint(
        facts=facts,
        pid=process.inner_pid(pid),
        name=first.name,
        registers=first.registers,
        floats=first.floats,
        state=first.state,
        tls=first.tls,
        areas=areas,
        pages=runs,
        files=opened.files,
        descriptors=opened.descriptors,
        locks=opened.locks,
        cwd=cwd,
        umask=process_state.umask(fields) or 0,
        actions=table.actions(pid, arch),
        blocked=first.blocked,
        heap=heap,
        threads=others,
        auxv=[number for pair in location.auxv.items() for number in pair],
        pipes=opened.pipes,
        pipe_sizes=opened.pipe_sizes,
        queues=opened.queues,
    )
    write_checkpoint(directory, checkpoint)
    return facts


def _check_processes(guest: Guest) -> None:
    living = guest.processes()
    if len(living) != 1 or guest.pid not in living:
        raise Obstacle(
            f"it has {len(living)} processes, and each would have to be made again with its relations"
        )
    known = guest.processes_known.by_pid.get(guest.pid)
    if known is None or known.program is not guest.first_program:
        raise Obstacle("it executes another program than the one it was started with")
    children = []
    for tid in process.threads(guest.pid):
        with suppress(OSError), open(f"/proc/{guest.pid}/task/{tid}/children") as file:
            children += file.read().split()
    if children:
        raise Obstacle("a child of it has ended, and it has not asked how yet")


def _kept(areas: list[Mapping], emulators: frozenset[int]) -> list[Mapping]:
    """Return the areas whose pages are kept."""
    return [area for area in areas if area.start not in emulators]


def _own_program(guest: Guest) -> frozenset[str]:
    """Return what a root holds from the beginning that was made for a program without one: its path alone."""
    if guest.spec.rootfs is not None:
        return frozenset()
    program = Path(os.path.abspath(guest.spec.program))
    return frozenset(map(str, (program, *program.parents)))


def _open_files(guest: Guest) -> Opened:
    streams: dict[tuple[int, int], FileKind] = {}
    for fd, name in guest.output_pipes.items():
        status = os.fstat(fd)
        streams[status.st_dev, status.st_ino] = "stdout" if name == "stdout" else "stderr"
    for fd in guest.input_pipes:
        status = os.fstat(fd)
        streams[status.st_dev, status.st_ino] = "stdin"
    given = guest.spec.stdin.name if isinstance(guest.spec.stdin, Path) else ""
    opened = Opened(guest.pid, guest.arch, streams, given, guest.open_diagnosis)
    for one in guest.fds():
        opened.add(one)
    opened.check()
    users, groups = (ids(guest.pid, kind) for kind in ("uid", "gid"))
    for file in opened.files:
        file.user, file.group = users.inside(file.user), groups.inside(file.group)
    return opened


def _mapped(guest: Guest, areas: Iterable[Mapping], changed: Iterable[ChangedFile]) -> dict[str, str]:
    """Return the SHA-256 of each mapped file that a new root would have by itself."""
    own = {entry.path for entry in changed}
    found: dict[str, str] = {}
    for path in {area.path for area in areas if area.path} - own:
        try:
            if guest.spec.rootfs is None:
                found[path] = guest.target.program_sha256
            else:
                found[path] = sha256_of(open_in_root(guest.spec.rootfs, path))
        except OSError as error:
            shown = safe_line(path, 200)
            raise Obstacle(f"the mapped file {shown} cannot be read ({error.strerror})") from None
    return found


def _last_seq(guest: Guest, moment: Moment) -> int:
    """Return the number of the newest call of all threads, that at which the guest was frozen left out."""
    return guest.trace.count - (moment.call.seq == guest.trace.count)
