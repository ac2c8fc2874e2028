"""Read a checkpoint from its images, and check everything in it before anything is done with it.

A checkpoint may come from elsewhere. Whatever is wrong with it is one sentence, and no guest is started for
it.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch, by_name, known_names
from triage_tui.guest.checkpoint import messages
from triage_tui.guest.checkpoint.attributes import check_attributes, is_encodable
from triage_tui.guest.checkpoint.core_images import pc_of, read_actions
from triage_tui.guest.checkpoint.float_registers import MAX_STATE
from triage_tui.guest.checkpoint.image_files import one, open_private, read_bounded, read_image
from triage_tui.guest.checkpoint.locks import read_locks
from triage_tui.guest.checkpoint.model import (
    PAGE,
    Action,
    ChangedFile,
    Checkpoint,
    Descriptor,
    Facts,
    OpenFile,
    PageRun,
    Thread,
    ThreadFacts,
)
from triage_tui.guest.checkpoint.reading_descriptors import (
    add_facts,
    check_pairs,
    read_anonymous,
    read_pair,
    read_queues,
)
from triage_tui.guest.checkpoint.restoring_threads import MOST_THREADS, can_have_threads
from triage_tui.guest.checkpoint.wire import Damaged, Message
from triage_tui.guest.checkpoint.writing import CHANGED_FILE, FILES_ID, PAGES_FILE, STATE_FILE
from triage_tui.runs.checkpoint_place import FACTS_FILE
from triage_tui.runs.process_model import Mapping
from triage_tui.text import safe_line

MAX_AREAS, MAX_RUNS, MAX_FILES = 65_536, 1 << 18, 16_384
MAX_PAGES = 1 << 30
"""Bytes of a pages image, and of changed files."""
_MAX_PIPE = 1 << 20
_MAX_FACTS = 32 << 20
_LOWEST, _HIGHEST_64 = 0x1000, 1 << 47
_PIPES = ("pipe", "stdin", "stdout", "stderr")


class DamagedCheckpoint(TriageError):
    """The checkpoint cannot be used."""


def read_checkpoint(directory: Path) -> Checkpoint:
    """Return the checkpoint in `directory`, all of it checked.

    Raises:
        DamagedCheckpoint: there is none, or something about it cannot be; one sentence.
    """
    if not directory.is_dir():
        raise DamagedCheckpoint(f"there is no checkpoint in {safe_line(str(directory), 200)}")
    try:
        return _read(directory)
    except Damaged as error:
        why = safe_line(str(error), 300)
        raise DamagedCheckpoint(f"the checkpoint cannot be used: {why}; start over instead") from None


def _facts(directory: Path) -> Facts:
    try:
        facts = msgspec.convert(
            json.loads(read_bounded(directory / FACTS_FILE, _MAX_FACTS)), Facts, str_keys=True
        )
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{FACTS_FILE} is damaged ({safe_line(str(error), 200)})") from None
    if facts.schema_version != 1:
        raise Damaged(f"it is of version {facts.schema_version}, and version 1 is known here")
    if facts.arch not in known_names():
        raise Damaged(f"its architecture {safe_line(facts.arch, 40)!r} is not known")
    top = _top(by_name(facts.arch))
    if not 0 <= facts.next_mapping < top or facts.next_mapping % PAGE:
        raise Damaged(f"{FACTS_FILE} has mappings begin where none can")
    if len(facts.mapped) > MAX_AREAS:
        raise Damaged(f"it names more than {MAX_AREAS} mapped files")
    for path in facts.mapped:
        _path(path)
    if not all(0 <= number < 1 << 48 for number in (facts.seq, facts.last_id, *facts.output.values())):
        raise Damaged(f"{FACTS_FILE} holds numbers that cannot be")
    return facts


def _read(directory: Path) -> Checkpoint:
    facts = _facts(directory)
    arch = by_name(facts.arch)
    tree = one(read_image(directory, "pstree.img", 1), "pstree.img")
    pid = tree["pid"]
    tids = tree["threads"]
    if len(tids) > MOST_THREADS:
        raise Damaged(f"it has more than {MOST_THREADS} threads")
    if tids[:1] != [pid] or not all(0 < tid < 1 << 22 for tid in tids) or len(set(tids)) != len(tids):
        raise Damaged("pstree.img is not of one process with its threads")
    inventory = one(read_image(directory, "inventory.img", 1), "inventory.img")
    if inventory["img_version"] not in (1, 2):
        raise Damaged("its images are of a version that is not known here")
    core = one(read_image(directory, f"core-{pid}.img", 1), "the core image")
    memory = one(read_image(directory, f"mm-{pid}.img", 1), "the memory image")
    files, paths = _files(directory, facts)
    descriptors = _descriptors(directory, files)
    check_pairs(files, descriptors)
    pipes = read_image(directory, "pipes-data.img", MAX_FILES)
    areas = _areas(memory, paths, arch)
    states = read_bounded(directory / STATE_FILE, MAX_STATE * len(tids))
    size = facts.state_end
    if len(facts.threads) != len(tids) - 1 or len(states) != size * len(tids):
        raise Damaged(f"{STATE_FILE} is not of its {len(tids)} threads")
    state = states[:size]
    registers = _registers(arch, facts, state, core)
    place = one(read_image(directory, f"fs-{pid}.img", 1), "the directory image")
    cwd = paths.get(place["cwd_id"], "")
    if not cwd.startswith("/"):
        raise Damaged("its working directory is none")
    heap = memory["mm_start_brk"], memory["mm_brk"]
    if not 0 <= heap[0] <= heap[1] <= _top(arch):
        raise Damaged("its heap ends before it begins")
    task = core.get("tc")
    if task is None:
        raise Damaged("the core image lacks its task")
    _check_changed(directory, facts.changed)
    _path(facts.attributes.root)
    for wrong in check_attributes(facts.attributes):
        raise Damaged(wrong)
    return Checkpoint(
        facts=facts,
        pid=pid,
        name=task["comm"],
        registers=registers,
        floats=[],
        state=state,
        tls=0,
        areas=areas,
        pages=_pages(directory, pid, areas),
        files=files,
        descriptors=descriptors,
        locks=read_locks(
            (entry for entry, _ in read_image(directory, "filelocks.img", MAX_FILES)), descriptors
        ),
        cwd=cwd,
        umask=place.get("umask", 0o22) & 0o777,
        actions=[
            Action(number, entry["sigaction"], entry["flags"], entry["restorer"], entry["mask"])
            for number, entry in read_actions(arch, task["sigactions"])
            if entry["sigaction"]
        ],
        blocked=task["blk_sigset"],
        heap=heap,
        auxv=memory["mm_saved_auxv"],
        threads=[
            _thread(directory, facts, arch, tid, each, states[at : at + size])
            for tid, each, at in zip(tids[1:], facts.threads, range(size, len(states), size), strict=True)
        ],
        pipes={entry["pipe_id"]: raw for entry, raw in pipes if len(raw) <= _MAX_PIPE},
        pipe_sizes={entry["pipe_id"]: min(entry.get("size", 0), _MAX_PIPE) for entry, _ in pipes},
        queues=read_queues(read_image(directory, "sk-queues.img", MAX_FILES), files),
    )


def _top(arch: Arch) -> int:
    return 1 << 32 if arch.word == 4 else _HIGHEST_64


def _thread(directory: Path, facts: Facts, arch: Arch, tid: int, told: ThreadFacts, state: bytes) -> Thread:
    if not can_have_threads(arch):
        raise Damaged(f"threads cannot be made for {arch.name}")
    core = one(read_image(directory, f"core-{tid}.img", 1), f"core-{tid}.img")
    if "thread_core" not in core or not 0 <= told.clear_tid < _top(arch):
        raise Damaged(f"core-{tid}.img is not of a thread")
    return Thread(
        tid=tid,
        registers=_registers(arch, facts, state, core),
        floats=[],
        state=state,
        tls=0,
        blocked=core["thread_core"].get("blk_sigset", 0),
        clear_tid=told.clear_tid,
        name=core["thread_core"].get("comm", ""),
        call=told.call,
    )


def _registers(arch: Arch, facts: Facts, state: bytes, core: Message) -> dict[str, int]:
    if len(state) != facts.state_end or not arch.env_span <= len(state):
        raise Damaged(f"{STATE_FILE} has another size than it should")
    if facts.pc_offset not in arch.env_pc_offsets:
        raise Damaged(f"{STATE_FILE} is not of an emulator that is known here")
    registers = arch.registers_from_env(state, facts.pc_offset)
    told = pc_of(core)
    if told is not None and told != registers[arch.pc]:
        raise Damaged("the core image and the emulator's state do not agree")
    return registers


def _path(text: str) -> str:
    """Return a path of the guest's as it is to be opened.

    Raises:
        Damaged: it is none.
    """
    wrong = not text.startswith("/") or "\0" in text or len(text) > 4095 or ".." in text.split("/")
    if wrong or not is_encodable(text):
        raise Damaged(f"{safe_line(text, 60)!r} is no path in the guest's root")
    return text


def _files(directory: Path, facts: Facts) -> tuple[list[OpenFile], dict[int, str]]:
    """Return the open files, and the path of everything with a name by its id."""
    found: list[OpenFile] = []
    paths: dict[int, str] = {}
    ids: set[int] = set()
    for entry, _raw in read_image(directory, "files.img", MAX_FILES):
        number = entry["id"]
        if number in ids:
            raise Damaged("files.img names a file twice")
        ids.add(number)
        file = _file(entry, number)
        stream = facts.streams.get(number)
        if stream is not None:
            if stream not in _PIPES[1:]:
                raise Damaged("one of its streams is none")
            file.kind, file.path = stream, ""
        elif number in facts.devices:
            file.kind = "device"
            _check_device(file.path)
        elif number in facts.directories:
            file.kind = "directory"
        if file.kind in ("file", "device", "directory"):
            paths[number] = _path(file.path)
        found.append(file)
    add_facts(found, facts)
    return found, paths


def _check_device(path: str) -> None:
    if not _path(path).startswith("/dev/"):
        raise Damaged(f"{safe_line(path, 60)!r} is no device")


def _file(entry: Message, number: int) -> OpenFile:
    flags_mask = 0o17777777
    match entry["type"]:
        case messages.REG if "reg" in entry:
            reg = entry["reg"]
            if reg["pos"] >= 1 << 63:
                raise Damaged("a file stands before its begin")
            flags = reg["flags"] & flags_mask
            return OpenFile(id=number, kind="file", path=reg["name"], flags=flags, offset=reg["pos"])
        case messages.PIPE if "pipe" in entry:
            pipe = entry["pipe"]
            return OpenFile(id=number, kind="pipe", pipe=pipe["pipe_id"], flags=pipe["flags"] & flags_mask)
        case messages.INETSK if "isk" in entry:
            return _inet(entry["isk"], number, flags_mask)
        case messages.UNIXSK if "usk" in entry:
            local = entry["usk"]
            path = local["name"].decode("utf-8", "surrogateescape")
            if local["peer"]:
                flags, kind = local["flags"] & flags_mask, _socket_type(local["type"])
                return read_pair(local, number, flags, kind)
            if path.startswith("\0"):
                if len(local["name"]) > 108:
                    raise Damaged("a local socket has too long a name")
            elif path and (len(local["name"]) > 107 or not _path(path)):
                raise Damaged("a local socket has too long a name")
            permissions = local.get("file_perms", {})
            return OpenFile(
                id=number,
                kind="unix",
                path=path,
                flags=local["flags"] & flags_mask,
                family=socket.AF_UNIX,
                socket_type=_socket_type(local["type"]),
                listening=local["state"] == 10,
                backlog=min(local["backlog"], 4096),
                mode=permissions.get("mode", 0o755) & 0o777,
                user=permissions.get("uid", 0) & 0xFFFF,
                group=permissions.get("gid", 0) & 0xFFFF,
            )
    if (anonymous := read_anonymous(entry, number, flags_mask)) is not None:
        return anonymous
    raise Damaged("files.img holds a file of a kind that is not made again here")


def _socket_type(number: int) -> int:
    if number not in (1, 2, 3, 5):
        raise Damaged("a socket is of no type")
    return number


def _inet(entry: Message, number: int, flags_mask: int) -> OpenFile:
    packed = b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in entry["src_addr"])
    if entry["family"] not in (socket.AF_INET, socket.AF_INET6) or len(packed) not in (4, 16):
        raise Damaged("a socket has no address")
    if entry["src_port"] > 65535:
        raise Damaged("a socket has no port")
    return OpenFile(
        id=number,
        kind="inet",
        flags=entry["flags"] & flags_mask,
        family=entry["family"],
        socket_type=_socket_type(entry["type"]),
        protocol=entry["proto"] & 0xFF,
        address=str(ipaddress.ip_address(packed)),
        port=entry["src_port"],
        listening=entry["state"] == 10,
        backlog=min(entry["backlog"], 4096),
        reuse=bool(entry["opts"].get("reuseaddr")),
        v6only=bool(entry.get("v6only")),
    )


def _descriptors(directory: Path, files: list[OpenFile]) -> list[Descriptor]:
    known = {file.id for file in files}
    found: list[Descriptor] = []
    for entry, _raw in read_image(directory, f"fdinfo-{FILES_ID}.img", MAX_FILES):
        if entry["id"] not in known or entry["fd"] >= MAX_FILES:
            raise Damaged("a descriptor leads nowhere")
        found.append(Descriptor(entry["fd"], entry["id"], bool(entry["flags"] & 1)))
    if len({one.fd for one in found}) != len(found):
        raise Damaged("a descriptor is there twice")
    return sorted(found, key=lambda one: one.fd)


def _areas(memory: Message, paths: dict[int, str], arch: Arch) -> list[Mapping]:
    found: list[Mapping] = []
    end = _LOWEST
    if len(memory["vmas"]) > MAX_AREAS:
        raise Damaged(f"it has more than {MAX_AREAS} mappings")
    for entry in memory["vmas"]:
        start = entry["start"]
        if start % PAGE or entry["end"] % PAGE or entry["pgoff"] % PAGE or entry["pgoff"] >= 1 << 47:
            raise Damaged("a mapping is not of whole pages")
        if not start < entry["end"] <= _top(arch):
            raise Damaged(f"the mapping at 0x{start:x} does not fit into the address space")
        if start < end:
            raise Damaged(f"the mapping at 0x{start:x} overlaps the one before it")
        end = entry["end"]
        status = entry["status"]
        of_file = status & (messages.FILE_PRIVATE | messages.FILE_SHARED)
        path = paths.get(entry["shmid"], "") if of_file else ""
        if of_file and not path:
            raise Damaged(f"the mapping at 0x{start:x} is of no file")
        perms = "".join(
            letter if entry["prot"] & bit else "-" for letter, bit in zip("rwx", (1, 2, 4), strict=True)
        )
        shared = status & (messages.FILE_SHARED | messages.ANONYMOUS_SHARED)
        names = (
            (messages.AREA_STACK, "[stack]"),
            (messages.AREA_HEAP, "[heap]"),
            (messages.AREA_VDSO, "[vdso]"),
        )
        found.append(
            Mapping(
                start=start,
                end=end,
                perms=perms + ("s" if shared else "p"),
                offset=entry["pgoff"],
                path=path,
                name=next((name for bit, name in names if status & bit), ""),
            )
        )
    return found


def _pages(directory: Path, pid: int, areas: list[Mapping]) -> list[PageRun]:
    entries = read_image(directory, f"pagemap-{pid}.img", MAX_RUNS + 1)
    if not entries or entries[0][0].get("pages_id") != 1:
        raise Damaged(f"pagemap-{pid}.img does not say where its pages are")
    fd, size = open_private(directory / PAGES_FILE, MAX_PAGES)
    with open(fd, "rb"):
        pass
    found: list[PageRun] = []
    offset, end, index = 0, 0, 0
    for entry, _raw in entries[1:]:
        start, count = entry["vaddr"], entry["nr_pages"]
        if start % PAGE or count < 1 or start < end or count > size // PAGE:
            raise Damaged(f"pagemap-{pid}.img holds pages that cannot be")
        end = start + count * PAGE
        at = start
        while at < end:
            while index < len(areas) and areas[index].end <= at:
                index += 1
            if index == len(areas) or areas[index].start > at:
                raise Damaged(f"the page at 0x{at:x} lies in no mapping")
            at = areas[index].end
        found.append(PageRun(start, count, offset))
        offset += count * PAGE
    if offset != size:
        raise Damaged(f"{PAGES_FILE} has {size} bytes and should have {offset}")
    return found


def _check_changed(directory: Path, changed: list[ChangedFile]) -> None:
    if len(changed) > 20_000:
        raise Damaged("it names too many changed files")
    fd, size = open_private(directory / CHANGED_FILE, MAX_PAGES)
    with open(fd, "rb"):
        pass
    for entry in changed:
        _path(entry.path)
        target = entry.target
        if entry.path == "/" or "\0" in target or len(target) > 4095 or not is_encodable(target):
            raise Damaged("one of its changed files cannot be")
        if entry.kind == "name":
            _path(target)
        if not 0 <= entry.offset <= entry.offset + entry.size <= size or entry.size < 0:
            raise Damaged(f"{CHANGED_FILE} is cut off")
        if not (0 <= entry.user < 65536 and 0 <= entry.group < 65536 and 0 <= entry.mode <= 0o7777):
            raise Damaged("one of its changed files belongs to nobody")
        if not all(-(1 << 62) < time < 1 << 62 for time in (entry.atime_ns, entry.mtime_ns)):
            raise Damaged("one of its changed files is of no time")
