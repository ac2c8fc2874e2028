"""Write down everything that a frozen guest shows: one run record.

A part that cannot be had never stops the others: it is named in `unavailable`, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import msgspec
from msgspec.structs import replace

from triage_tui.binary.modules import ModuleMap
from triage_tui.guest.arch import Arch, by_name
from triage_tui.guest.log.call_arguments import with_decoded_arguments
from triage_tui.guest.log.printed import line_up
from triage_tui.guest.log.whole_addresses import WholeAddresses
from triage_tui.guest.log.written_files import Written, written_by
from triage_tui.guest.record.call_objects import CallObjects
from triage_tui.guest.record.capture_code import capture_backtrace, capture_code
from triage_tui.guest.record.capture_logs import capture_logs
from triage_tui.guest.record.capture_parts import Parts
from triage_tui.guest.record.capture_processes import capture_processes
from triage_tui.guest.record.capture_threads import RecordedMemory, capture_thread_frames
from triage_tui.guest.record.earlier_calls import calls_of_memory, last_failed, last_received, overwritten
from triage_tui.guest.record.frozen import FrozenGuest, StopReport
from triage_tui.guest.record.memory_dump import dump_memory
from triage_tui.guest.record.memory_order import points_of
from triage_tui.guest.record.named_objects import Named, add_named
from triage_tui.guest.record.objects import ObjectCollector
from triage_tui.guest.state.memory import Memory
from triage_tui.runs.clock import local_time
from triage_tui.runs.emulator_text import emulator_tail
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.limits import BRIEF_LACKS
from triage_tui.runs.model import (
    Engine,
    Register,
    Snapshot,
    Syscall,
    Target,
    Trigger,
)
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.writer import RunWriter
from triage_tui.text import safe_line

RECENT_SYSCALLS = 64
"""How many syscalls the snapshot itself holds; the trace file has more."""
_BRIEF_OUTPUT = 1 << 15
"""Bytes of the guest's output, from its end, that a brief run keeps."""


class Scope(msgspec.Struct, frozen=True):
    """How much is captured."""

    all_memory: bool = False
    """All memory, not only the pieces that explain the stop."""
    max_bytes: int = 1 << 62
    """Bytes that the run may hold: what is over is left out, and said."""
    brief: str = ""
    """Why only the most necessary is captured, if that is so."""


def capture(
    guest: FrozenGuest,
    stop: StopReport,
    writer: RunWriter,
    *,
    target: Target,
    engine: Engine,
    rules_dir: str = "",
    parent_run: str | None = None,
    round_number: int = 0,
    previous_regs: Sequence[Register] = (),
    hold: bool = True,
    sfanalysis: Path | None = None,
    scope: Scope | None = None,
) -> Snapshot:
    """Write the run record of a frozen (or ended) guest through `writer` and return its snapshot.

    All files are written, `snapshot.json` last; `writer.publish` is left to the caller. `hold` says that the
    guest stays frozen after this, so that its pid is worth recording; `sfanalysis` is a directory of results.

    Raises:
        OSError: the run directory cannot be written.
    """
    snapshot = Snapshot(
        run_id=writer.run_id,
        reason=stop.reason,
        created_at=local_time(),
        trigger=stop.trigger,
        target=target if stop.ended else _target_of(guest, target),
        engine=engine,
        rules_dir=rules_dir,
        loop=stop.loop,
        previous_regs=list(previous_regs),
        parent_run=parent_run,
        round=round_number,
        guest_pid=guest.pid if hold and not stop.ended else 0,
    )
    part = Parts(snapshot.unavailable)
    scope = scope or Scope()
    if scope.brief:
        part.note(BRIEF_LACKS, scope.brief)
    calls = _capture_history(guest, snapshot, writer, part, scope, stop.ended)
    if stop.ended:
        part.note(
            "registers, backtrace, memory, mappings, descriptors", "the guest's process was already gone"
        )
        with part("processes"):
            snapshot.processes = guest.census().processes
    else:
        _capture_state(guest, snapshot, writer, part, sfanalysis, scope, calls)
    writer.write_text(snapshot.outputs.regs_txt, "".join(map(_register_line, snapshot.regs)))
    writer.write_text(snapshot.outputs.backtrace_txt, "".join(map(_frame_line, snapshot.backtrace.frames)))
    writer.write_snapshot(snapshot)
    return snapshot


def _target_of(guest: FrozenGuest, target: Target) -> Target:
    """Return `target` with the architecture of the process whose state is recorded."""
    return target if guest.arch.name == target.arch else replace(target, arch=guest.arch.name)


def _capture_history(
    guest: FrozenGuest, snapshot: Snapshot, writer: RunWriter, part: Parts, scope: Scope, ended: bool
) -> list[Syscall]:
    """Fill in what the supervisor itself knows: it outlives the guest. Return the trace."""
    output = b""
    with part("the guest's output"):
        output = guest.output()
    shortened = scope.brief and len(output) > _BRIEF_OUTPUT
    if shortened:
        part.note("the guest's whole output", f"the last {_BRIEF_OUTPUT} of {len(output)} bytes are kept")
        output = output[-_BRIEF_OUTPUT:]
    writer.add_log(PurePosixPath(snapshot.guest_output).name, output)
    with part("statistics"):
        snapshot.statistics = guest.statistics()
    with part("what was not observed"):
        for what, why in guest.not_observed():
            part.note(what, why)
    with part("the full trace"):
        lacks = guest.copy_full_trace(writer.dir) if not scope.brief else None
        if lacks is not None:
            part.note("all of the full trace", lacks)
    history: list[Syscall] = []
    with part("recent syscalls"):
        history = guest.history()
    trace: list[Syscall] = []
    with part("trace"):
        trace = guest.full_trace() or history
    written = Written({}, {})
    with part("which files the guest wrote"):
        written = written_by(trace, snapshot.target.cwd, guest.calls_left_out())
    with part("which call printed what"):
        streams = guest.streams() if not shortened else {}
        for name, (content, _total) in streams.items():
            writer.add_log(f"{name}.log", content)
        unclear = line_up(
            trace,
            {name: total for name, (_, total) in streams.items()},
            guest.calls_left_out(),
            emulator_tail(streams["stderr"][0]) if "stderr" in streams else 0,
            written.printed,
        )
        if shortened or unclear is not None:
            part.note("which call printed what", unclear or scope.brief)
    if not scope.brief:
        with part("what the guest logged"):
            snapshot.logs = capture_logs(guest, writer, part, written.files)
    maps: dict[int, list[Mapping]] = {}
    wide = any(by_name(name).word == 8 for name in {call.arch for call in trace} if name)
    if wide and not scope.brief and not ended:
        with part("mappings for the addresses in the trace"):
            maps = {space.pid: space.maps for space in guest.address_spaces()}
    addresses = WholeAddresses(maps, trace)
    recent = _recent(history, snapshot.trigger)
    snapshot.recent_syscalls = with_decoded_arguments(recent, guest.arch, addresses)
    if scope.brief:
        return trace
    fitting = writer.write_trace(with_decoded_arguments(trace, guest.arch, addresses), scope.max_bytes // 2)
    if fitting < len(trace):
        part.note("the whole trace", f"{fitting} of {len(trace)} syscalls fit into the limit of one capture")
    elif trace and snapshot.statistics.syscalls > len(trace):
        kept = f"{len(trace)} of {snapshot.statistics.syscalls} syscalls were kept: the first and the last"
        part.note("the whole trace", kept)
    return trace


def _recent(history: list[Syscall], trigger: Trigger) -> list[Syscall]:
    """Return the newest calls; the trigger is the last one where it is a call."""
    if trigger.syscall_name:
        for index in range(len(history) - 1, -1, -1):
            if history[index].seq == trigger.seq:
                history = history[: index + 1]
                break
    return history[-RECENT_SYSCALLS:]


def _capture_state(
    guest: FrozenGuest,
    snapshot: Snapshot,
    writer: RunWriter,
    part: Parts,
    sfanalysis: Path | None,
    scope: Scope,
    calls: Sequence[Syscall],
) -> None:
    """Fill in what can be read from the frozen process; `calls` is the trace."""
    arch = guest.arch
    registers: dict[str, int] = {}
    with part("registers"):
        registers = guest.registers()
        snapshot.regs = _registers(arch, registers)
        missing = [spec.name for spec in arch.registers if spec.name not in registers]
        if missing:
            part.note(f"registers {', '.join(missing)}", "the emulator does not keep them in one piece")
        if not snapshot.trigger.syscall_name:
            # Between the exits of translated code QEMU brings neither pc nor registers up to date.
            part.note("exact pc and registers", "the guest was computing: they are those of a moment before")
    with part("mappings"):
        snapshot.maps = guest.maps()
    modules = ModuleMap(snapshot.maps, Path(guest.root_path))
    with part("execute permissions of mappings"):
        for mapping in snapshot.maps:
            mapping.perms = modules.permissions(mapping)
    with part("descriptors"):
        snapshot.fds = guest.fds()
    if not scope.brief:
        with part("processes"):
            capture_processes(guest, snapshot, writer, calls)
    memory = Memory(RecordedMemory(guest.read_memory, snapshot.maps), arch)
    named: list[Named] = []
    if arch.pc in registers:
        with part("backtrace"):
            cursors = capture_backtrace(arch, registers, memory, modules, snapshot)
            if not scope.brief:
                named = capture_code(arch, cursors, memory, modules, snapshot, writer, part, sfanalysis)
    else:
        part.note("backtrace", "the registers are not known")
    if scope.brief:
        return
    with part("backtraces of the other threads"):
        capture_thread_frames(guest, snapshot, memory, modules, part)
    collector = ObjectCollector(memory, writer)
    objects = CallObjects(memory, collector)
    with part("memory of the trigger"):
        call = _trigger_call(arch, snapshot, registers, memory)
        if call is not None:
            objects.add(arch, call, "trigger")
    earlier = calls_of_memory(snapshot)
    with part("memory of the last failed call"):
        failed = last_failed(earlier, snapshot.trigger.seq)
        if failed is not None:
            _add_earlier(objects, arch, memory, failed, "last_err", part)
        latest = last_failed(snapshot.recent_syscalls, snapshot.trigger.seq)
        if latest is not None and latest is not failed:
            why = "it is in another process, or in a program that was executed before, not in what was frozen"
            part.note(f"memory of {latest.name} (syscall {latest.seq}), the last failed call", why)
    with part("memory of what was received last"):
        sockets = {0, *(entry.fd for entry in snapshot.fds if entry.kind == "socket")}
        received = last_received(earlier, snapshot.trigger.seq, sockets)
        if received is not None:
            objects.add(arch, received, "last_in")
    with part("memory at the registers"):
        collector.add_stack(arch, registers)
        collector.add_registers(arch, registers, skip=(arch.syscall_number,))
        objects.explain_registers(arch)
    with part("memory that the code names"):
        add_named(arch, memory, collector, named, snapshot.backtrace.frames, snapshot.target.program)
    snapshot.memory = collector.objects
    if scope.all_memory:
        with part("all memory"):
            room = max(0, scope.max_bytes - writer.disk_bytes())
            points = points_of(snapshot)
            snapshot.memory_regions = dump_memory(guest.address_spaces(), writer, room, points)
            for region in snapshot.memory_regions:
                if region.missing and "r" in region.perms:
                    part.note(f"all of {region.name or 'the mapping'} at 0x{region.start:x}", region.missing)


def _add_earlier(
    objects: CallObjects, arch: Arch, memory: Memory, call: Syscall, source: str, part: Parts
) -> None:
    """Keep what an earlier call points to, but for what others have written over since."""
    gone = overwritten(arch, memory, call)
    for index, given in gone.items():
        why = f"other bytes are there by now; the call was given {safe_line(given, 200)}"
        part.note(f"argument {index} of {call.name} (syscall {call.seq})", why)
    objects.add(arch, call, source, without=gone)


def _registers(arch: Arch, values: dict[str, int]) -> list[Register]:
    """Return the registers in the order of the gdb stub; what it has no number for comes last, as -1."""
    found = [
        Register(num=spec.num, name=spec.name, value=values[spec.name], size=spec.size)
        for spec in arch.registers
        if spec.name in values
    ]
    known = {spec.name for spec in arch.registers}
    found += [
        Register(num=-1, name=field.name, value=values[field.name], size=field.size, feature="emulator")
        for field in arch.env_extra
        if field.name in values and field.name not in known
    ]
    return found


def _trigger_call(
    arch: Arch, snapshot: Snapshot, registers: dict[str, int], memory: Memory
) -> Syscall | None:
    """Return the call of the trigger with its raw arguments, from the registers if nothing else has them."""
    trigger = snapshot.trigger
    if not trigger.syscall_name:
        return None
    args = list(trigger.args)
    if not args and all(name in registers for name in arch.syscall_args):
        args = [registers[name] for name in arch.syscall_args]
        if arch.stack_args is not None:
            first, offset = arch.stack_args
            stack = registers.get(arch.sp, 0) + offset
            args += [memory.word(stack + arch.word * i) or 0 for i in range(8 - first)]
        trigger.args = args
    known = next((call for call in snapshot.recent_syscalls if call.seq == trigger.seq), None)
    if known is not None and known.name == trigger.syscall_name:
        return replace(known, args=args)
    return Syscall(seq=trigger.seq, name=trigger.syscall_name, num=trigger.syscall_num, args=args)


def _register_line(register: Register) -> str:
    value = register.value
    return f"{register.name}({register.num}) size={register.size} rc={register.rc} value={value}\n"


def _frame_line(frame: Frame) -> str:
    line = f"#{frame.idx:02d} {frame.addr_hex}"
    if frame.module_name or frame.func_name:
        names = (frame.module_name or "(unknown)", frame.func_name or "(unknown)")
        line += f"  {safe_line(names[0], 200)} :: {safe_line(names[1], 200)}"
    return line + "\n"
