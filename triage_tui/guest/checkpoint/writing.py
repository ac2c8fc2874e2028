"""Write a checkpoint as images in CRIU's format, and beside them what those have no place for.

The images describe the guest's own process, as if its architecture's kernel ran it: `crit` shows them. CRIU
itself cannot restore them on another machine than the guest's, and need not: `restoring` does.
"""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path

import msgspec

from triage_tui.guest.checkpoint import messages
from triage_tui.guest.checkpoint.core_images import core_entry, thread_entry
from triage_tui.guest.checkpoint.image_files import write_image, write_private
from triage_tui.guest.checkpoint.injecting import protection
from triage_tui.guest.checkpoint.locks import lock_entries
from triage_tui.guest.checkpoint.model import Checkpoint, Mark, OpenFile, Timer
from triage_tui.guest.checkpoint.wire import Message
from triage_tui.runs.checkpoint_place import FACTS_FILE
from triage_tui.runs.process_model import Mapping

STATE_FILE, PAGES_FILE, CHANGED_FILE = "emulator-state.bin", "pages-1.img", "files.bin"
FILES_ID = 1
_IMAGE_VERSION = 2
_OWNER: Message = {"uid": 0, "euid": 0, "signum": 0, "pid_type": 0, "pid": 0}
_NO_OPTIONS: Message = dict.fromkeys(
    ("so_sndbuf", "so_rcvbuf", "so_snd_tmo_sec", "so_snd_tmo_usec", "so_rcv_tmo_sec", "so_rcv_tmo_usec"), 0
)
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS = 1, 2, 0x20
_TCP_LISTEN, _TCP_CLOSE, _TCP_ESTABLISHED = 10, 7, 1
_ANONYMOUS = {
    messages.EVENTFD: "efd",
    messages.EVENTPOLL: "epfd",
    messages.INOTIFY: "ify",
    messages.SIGNALFD: "sgfd",
    messages.TIMERFD: "tfd",
}
"""Type of a file without a name -> the field that has it."""


def write_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Write the images of `checkpoint`; those of its pages and its changed files are there already.

    Raises:
        OSError: they cannot be written.
    """
    pid = checkpoint.pid
    mapped = sorted({area.path for area in checkpoint.areas if area.path})
    next_id = max([file.id for file in checkpoint.files], default=0) + 1
    ids = {path: next_id + index for index, path in enumerate(mapped)}
    root, cwd, program = (next_id + len(mapped) + index for index in range(3))
    files = [_file_entry(file) for file in checkpoint.files]
    files += [_named(number, path) for path, number in ids.items()]
    files += [_named(root, "/"), _named(cwd, checkpoint.cwd), _named(program, checkpoint.facts.program)]
    thread_ids = {"vm_id": 1, "files_id": FILES_ID, "fs_id": 1, "sighand_id": 1}
    inventory: Message = {"img_version": _IMAGE_VERSION, "fdinfo_per_id": True, "root_ids": thread_ids}
    write_image(directory, "inventory.img", [inventory | {"ns_per_id": True}])
    others = [thread.tid for thread in checkpoint.threads]
    tree: Message = {"pid": pid, "ppid": 0, "pgid": pid, "sid": pid, "threads": [pid, *others]}
    write_image(directory, "pstree.img", [tree])
    write_image(directory, f"core-{pid}.img", [core_entry(checkpoint)])
    for thread in checkpoint.threads:
        write_image(directory, f"core-{thread.tid}.img", [thread_entry(checkpoint, thread)])
    write_image(directory, f"ids-{pid}.img", [thread_ids])
    write_image(directory, f"mm-{pid}.img", [_memory(checkpoint, ids, program)])
    pages: list[Message] = [{"pages_id": 1}]
    pages += [
        {"vaddr": run.start, "nr_pages": run.count, "flags": messages.PAGE_PRESENT}
        for run in checkpoint.pages
    ]
    write_image(directory, f"pagemap-{pid}.img", pages)
    write_image(directory, "files.img", files)
    descriptors = [
        {
            "id": one.file,
            "flags": int(one.cloexec),
            "type": _file_type(next(file for file in checkpoint.files if file.id == one.file)),
            "fd": one.fd,
        }
        for one in checkpoint.descriptors
    ]
    write_image(directory, f"fdinfo-{FILES_ID}.img", descriptors)
    write_image(directory, "filelocks.img", lock_entries(pid, checkpoint.locks))
    write_image(directory, f"fs-{pid}.img", [{"cwd_id": cwd, "root_id": root, "umask": checkpoint.umask}])
    write_image(
        directory,
        "pipes-data.img",
        [
            {"pipe_id": number, "bytes": len(data), "size": checkpoint.pipe_sizes.get(number)}
            for number, data in checkpoint.pipes.items()
        ],
        checkpoint.pipes.values(),
    )
    queued = [(number, data) for number, parts in checkpoint.queues.items() for data in parts]
    write_image(
        directory,
        "sk-queues.img",
        [{"id_for": number, "length": len(data)} for number, data in queued],
        [data for _number, data in queued],
    )
    states = b"".join([checkpoint.state, *(thread.state for thread in checkpoint.threads)])
    write_private(directory / STATE_FILE, states)
    # Paths may hold any byte; the escapes of ASCII JSON keep those that are no UTF-8.
    facts = json.dumps(msgspec.to_builtins(checkpoint.facts, str_keys=True), indent=1)
    write_private(directory / FACTS_FILE, facts.encode() + b"\n")


def _file_type(file: OpenFile) -> int:
    match file.kind:
        case "pipe" | "stdout" | "stderr":
            return messages.PIPE
        case "stdin" if file.pipe:
            return messages.PIPE
        case "inet":
            return messages.INETSK
        case "unix" | "pair":
            return messages.UNIXSK
        case "eventfd":
            return messages.EVENTFD
        case "epoll":
            return messages.EVENTPOLL
        case "inotify":
            return messages.INOTIFY
        case "timerfd":
            return messages.TIMERFD
        case "signalfd":
            return messages.SIGNALFD
    return messages.REG


def _named(number: int, path: str) -> Message:
    entry: Message = {"id": number, "flags": os.O_RDONLY, "pos": 0, "fown": _OWNER, "name": path}
    return {"type": messages.REG, "id": number, "reg": entry}


def _file_entry(file: OpenFile) -> Message:
    kind = _file_type(file)
    entry: Message = {"id": file.id, "fown": _OWNER}
    if kind == messages.PIPE:
        return {
            "type": kind,
            "id": file.id,
            "pipe": entry | {"pipe_id": file.pipe, "flags": file.flags},
        }
    if kind == messages.INETSK:
        address = ipaddress.ip_address(file.address)
        packed = address.packed
        words = [int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4)]
        entry |= {"ino": file.id, "family": file.family, "type": file.socket_type, "proto": file.protocol}
        entry |= {
            "state": _TCP_LISTEN if file.listening else _TCP_CLOSE,
            "src_port": file.port,
            "dst_port": 0,
        }
        entry |= {
            "flags": file.flags,
            "backlog": file.backlog,
            "src_addr": words,
            "dst_addr": [0] * len(words),
        }
        entry["opts"] = _NO_OPTIONS | {"reuseaddr": file.reuse}
        entry["v6only"] = file.v6only
        return {"type": kind, "id": file.id, "isk": entry}
    if kind == messages.UNIXSK:
        name = file.path.encode("utf-8", "surrogateescape")
        entry |= {"ino": file.id, "type": file.socket_type, "flags": file.flags, "uflags": 0}
        state = _TCP_LISTEN if file.listening else _TCP_ESTABLISHED if file.peer else _TCP_CLOSE
        entry |= {"peer": file.peer, "state": state, "backlog": file.backlog}
        entry |= {"opts": _NO_OPTIONS, "name": name}
        if file.path.startswith("/"):
            entry["file_perms"] = {"mode": file.mode, "uid": file.user, "gid": file.group}
        return {"type": kind, "id": file.id, "usk": entry}
    if kind in _ANONYMOUS:
        return _anonymous(file, kind, entry | {"flags": file.flags})
    entry |= {"flags": file.flags, "pos": file.offset, "name": file.path or "/dev/null"}
    return {"type": kind, "id": file.id, "reg": entry}


def _anonymous(file: OpenFile, kind: int, entry: Message) -> Message:
    match kind:
        case messages.EVENTFD:
            entry |= {"counter": file.counter}
        case messages.EVENTPOLL:
            watched = [{"tfd": one.fd, "events": one.events, "data": one.data} for one in file.watches]
            entry |= {"tfd": [{"id": file.id} | one for one in watched]}
        case messages.INOTIFY:
            entry |= {"wd": [_mark(file.id, mark) for mark in file.marks]}
        case messages.SIGNALFD:
            entry |= {"sigmask": file.signals}
        case _:
            timer = file.timer or Timer(0, 0, 0, 0)
            (seconds, left), (every, interval) = (
                divmod(value, 1_000_000_000) for value in (timer.left_ns, timer.interval_ns)
            )
            entry |= {"clockid": timer.clock, "ticks": timer.ticks, "settime_flags": 0}
            entry |= {"vsec": seconds, "vnsec": left, "isec": every, "insec": interval}
    return {"type": kind, "id": file.id, _ANONYMOUS[kind]: entry}


def _mark(number: int, mark: Mark) -> Message:
    # The path stands for the file's handle, which only the kernel that gave it could use.
    handle: Message = {"bytes": 0, "type": 0, "path": mark.path}
    entry: Message = {"id": number, "wd": mark.number, "mask": mark.events, "ignored_mask": 0}
    return entry | {"i_ino": mark.inode, "s_dev": mark.device, "f_handle": handle}


def _memory(checkpoint: Checkpoint, ids: dict[str, int], program: int) -> Message:
    code = [area for area in checkpoint.areas if "x" in area.perms and area.path]
    data = [area for area in checkpoint.areas if "w" in area.perms and area.path]
    stack = next((area.end for area in checkpoint.areas if area.name == "[stack]"), 0)
    begin, end = checkpoint.heap
    return {
        "mm_start_code": code[0].start if code else 0,
        "mm_end_code": code[0].end if code else 0,
        "mm_start_data": data[0].start if data else 0,
        "mm_end_data": data[0].end if data else 0,
        "mm_start_stack": stack,
        "mm_start_brk": begin,
        "mm_brk": end,
        "mm_arg_start": 0,
        "mm_arg_end": 0,
        "mm_env_start": 0,
        "mm_env_end": 0,
        "exe_file_id": program,
        "mm_saved_auxv": checkpoint.auxv,
        "vmas": [_area(area, ids) for area in checkpoint.areas],
    }


def _area(area: Mapping, ids: dict[str, int]) -> Message:
    shared = area.perms.endswith("s")
    flags = _MAP_SHARED if shared else _MAP_PRIVATE
    status = messages.AREA_REGULAR
    if area.path:
        status |= messages.FILE_SHARED if shared else messages.FILE_PRIVATE
    else:
        flags |= _MAP_ANONYMOUS
        status |= messages.ANONYMOUS_SHARED if shared else messages.ANONYMOUS_PRIVATE
    if area.name == "[stack]":
        status |= messages.AREA_STACK
    elif area.name == "[heap]":
        status |= messages.AREA_HEAP
    elif area.name == "[vdso]":
        status |= messages.AREA_VDSO
    return {
        "start": area.start,
        "end": area.end,
        "pgoff": area.offset if area.path else 0,
        # Of a file it is the file's id.
        "shmid": ids.get(area.path, 0),
        "prot": protection(area.perms),
        "flags": flags,
        "status": status,
        "fd": -1,
    }
