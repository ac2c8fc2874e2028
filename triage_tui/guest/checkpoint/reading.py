"""Read a checkpoint from its images, and check everything in it before anything is done with it.

A checkpoint may come from elsewhere. Whatever is wrong with it is one sentence, and no guest is started for
it.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch, by_name, known_names
from triage_tui.guest.checkpoint.attributes import check_attributes
from triage_tui.guest.checkpoint.core_images import pc_of, read_actions
from triage_tui.guest.checkpoint.float_registers import MAX_STATE
from triage_tui.guest.checkpoint.image_files import one, read_bounded, read_image
from triage_tui.guest.checkpoint.locks import read_locks
from triage_tui.guest.checkpoint.model import (
    PAGE,
    Action,
    Checkpoint,
    Facts,
    Thread,
    ThreadFacts,
)
from triage_tui.guest.checkpoint.reading_descriptors import (
    check_pairs,
    read_queues,
)
from triage_tui.guest.checkpoint.reading_files import (
    MAX_FILES,
    check_changed,
    guest_path,
    read_descriptors,
    read_files,
)
from triage_tui.guest.checkpoint.reading_memory import MAX_AREAS, read_areas, read_pages, top_of
from triage_tui.guest.checkpoint.restoring_threads import MOST_THREADS
from triage_tui.guest.checkpoint.wire import Damaged, Message
from triage_tui.guest.checkpoint.writing import STATE_FILE
from triage_tui.runs.checkpoint_place import FACTS_FILE
from triage_tui.text import safe_line

_MAX_PIPE = 1 << 20
_MAX_FACTS = 32 << 20


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
    top = top_of(by_name(facts.arch))
    if not 0 <= facts.next_mapping < top or facts.next_mapping % PAGE:
        raise Damaged(f"{FACTS_FILE} has mappings begin where none can")
    if len(facts.mapped) > MAX_AREAS:
        raise Damaged(f"it names more than {MAX_AREAS} mapped files")
    for path in facts.mapped:
        guest_path(path)
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
    files, paths = read_files(directory, facts)
    descriptors = read_descriptors(directory, files)
    check_pairs(files, descriptors)
    pipes = read_image(directory, "pipes-data.img", MAX_FILES)
    areas = read_areas(memory, paths, arch)
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
    if not 0 <= heap[0] <= heap[1] <= top_of(arch):
        raise Damaged("its heap ends before it begins")
    task = core.get("tc")
    if task is None:
        raise Damaged("the core image lacks its task")
    check_changed(directory, facts.changed)
    guest_path(facts.attributes.root)
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
        pages=read_pages(directory, pid, areas),
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


def _thread(directory: Path, facts: Facts, arch: Arch, tid: int, told: ThreadFacts, state: bytes) -> Thread:
    core = one(read_image(directory, f"core-{tid}.img", 1), f"core-{tid}.img")
    if "thread_core" not in core or not 0 <= told.clear_tid < top_of(arch):
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
