"""Write a stop that SFEmu recorded as a record of ours, with what it lacks said in `unavailable`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from triage_tui.binary.load_bias import with_places
from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.errors import TriageError
from triage_tui.runs.call_signatures import signatures
from triage_tui.runs.completeness import SFEMU
from triage_tui.runs.errnos import names as errno_names
from triage_tui.runs.evidence import describe_frame, describe_register
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.form import SFEMU_REASONS
from triage_tui.runs.frame_model import Backtrace, Frame, PseudocodeRef
from triage_tui.runs.model import (
    Engine,
    Reason,
    Register,
    Snapshot,
    Statistics,
    Syscall,
    Target,
    Trigger,
    Unavailable,
)
from triage_tui.runs.writer import RunWriter
from triage_tui.sfemu import calls as their_calls
from triage_tui.sfemu.contexts import Context, LoopReport
from triage_tui.sfemu.loop import loop_of
from triage_tui.sfemu.machine import NO_REGISTERS, WITH_STACK, machine_of
from triage_tui.sfemu.memory import bytes_of_pieces, objects_of
from triage_tui.sfemu.program import program_of
from triage_tui.sfemu.snapshot import Call, Return, SfemuSnapshot
from triage_tui.text import safe_line

MAX_CODE_BYTES = 1 << 20
"""SFEmu's own limit of pseudocode."""
RECENT = 64
_REASONS: tuple[Reason, ...] = ("exit", "signal", "loop", "sleep_loop", "idle", "syscall")
_EXITS = ("exit", "exit_group")
_NEVER = (
    ("environment", "SFEmu does not record it"),
    ("mappings", "SFEmu does not record them: memory is known where a call pointed to it"),
    ("descriptors", "SFEmu does not record them: what the kept calls opened is all that is known"),
    ("other threads and processes", "SFEmu records the thread that made the call"),
    ("output", "SFEmu leaves what the program prints to its terminal"),
    ("arguments of the program", "SFEmu does not record them"),
)


@dataclass
class Material:
    """What there is of a stop."""

    run_dir: Path
    """SFEmu's own directory of it."""
    found: SfemuSnapshot
    contexts: Mapping[int, Context] = field(default_factory=dict)
    report: LoopReport | None = None
    target_id: str = ""
    rules_dir: str = ""
    """Where the rule directory lies here."""
    results: SfAnalysis | None = None
    """Of the firmware: names for what SFEmu had none."""
    versions: str = ""
    """Which versions of SFEmu may have recorded it."""


def write_record(material: Material, writer: RunWriter) -> Snapshot:
    """Write history, code and memory of a stop into the run that `writer` makes; return its snapshot.

    The snapshot is left for the caller to write, who has more to put into it.

    Raises:
        TriageError: it cannot be written.
    """
    return _Translation(material, writer).write()


class _Translation:
    def __init__(self, material: Material, writer: RunWriter) -> None:
        self._material = material
        self._found = material.found
        self._writer = writer
        self._missing: list[Unavailable] = []
        problems: list[str] = []
        self._bytes = bytes_of_pieces(material.run_dir, self._found.memory, problems)
        for problem in problems[:16]:
            self._lacks("memory", problem)
        self._machine = machine_of(self._found, self._bytes)

    def _lacks(self, what: str, why: str) -> None:
        self._missing.append(Unavailable(what=what, why=why))

    def write(self) -> Snapshot:
        found, machine = self._found, self._machine
        program = program_of(found)
        self._lacks("architecture", machine.why)
        self._lacks("program", program.why)
        history = self._history()
        trigger = self._trigger(history)
        snapshot = Snapshot(
            run_id=self._writer.run_id,
            reason=self._reason(),
            created_at=self._created(),
            trigger=trigger,
            target=Target(
                program=program.path, argv=[], arch=machine.name, target_id=self._material.target_id
            ),
            engine=Engine(
                name=SFEMU,
                version=self._material.versions,
                emulator=f"qemu-{machine.name}" if machine.name else "qemu",
            ),
            rules_dir=self._material.rules_dir,
            regs=self._registers(),
            backtrace=self._backtrace(),
            recent_syscalls=history[-RECENT:],
            guest_output="",
        )
        if snapshot.reason in ("loop", "sleep_loop"):
            sleeping = snapshot.reason == "sleep_loop"
            snapshot.loop = loop_of(history, self._material.report, sleeping=sleeping)
        failed = their_calls.last_failed(self._all_calls(), found.memory, machine.mask)
        by_seq = {call.seq: call for call in history}
        about = {
            "trigger": by_seq.get(found.trigger.seq),
            "last_err": by_seq.get(failed.seq) if failed else None,
        }
        snapshot.memory = objects_of(
            found.memory,
            self._bytes,
            machine.arch,
            {name: call for name, call in about.items() if call is not None},
            self._writer.add_blob,
        )
        snapshot.statistics = Statistics(
            syscalls=max(self._made(), len(history)),
            distinct_signatures=len(signatures(history)),
            failed_syscalls=sum(call.errno is not None for call in history),
        )
        self._say_what_is_missing(history)
        snapshot.unavailable = self._missing
        self._write_texts(snapshot)
        if len(history) > len(snapshot.recent_syscalls):
            self._writer.write_trace(history)
        return snapshot

    def _reason(self) -> Reason:
        reason = SFEMU_REASONS.get(self._found.reason, self._found.reason)
        return next((one for one in _REASONS if one == reason), "unknown")

    def _created(self) -> str:
        """Return the local time with its zone, which follows from the clock of the trigger."""
        try:
            local = datetime.strptime(self._found.created_at, "%Y-%m-%d %H:%M:%S")
        except ValueError:
            return safe_line(self._found.created_at, 40)
        if self._found.ts_ns:
            moment = datetime.fromtimestamp(self._found.ts_ns / 1e9, UTC).replace(tzinfo=None)
            quarters = round((local - moment) / timedelta(minutes=15))
            if abs(quarters) <= 14 * 4:
                return local.replace(tzinfo=timezone(timedelta(minutes=15 * quarters))).isoformat()
        return local.isoformat()

    def _all_calls(self) -> list[Call]:
        """Return every call that is known, oldest first, each once: contexts, then the snapshot's own."""
        known = {seq: context.call for seq, context in self._material.contexts.items()}
        for call in self._found.calls:
            told = known.get(call.seq)
            if call.ret is None and told is not None and call.seq != self._found.trigger.seq:
                # It returned after the snapshot was made. What came of the trigger did so after the stop.
                call = replace(call, ret=told.ret)
            known[call.seq] = call
        trigger = self._found.trigger
        if trigger.num >= 0 and trigger.seq not in known and trigger.args:
            known[trigger.seq] = trigger
        return [known[seq] for seq in sorted(known)]

    def _history(self) -> list[Syscall]:
        calls = self._all_calls()
        failed = their_calls.last_failed(calls, self._found.memory, self._machine.mask)
        with_memory = [call for call in calls if call.seq == self._found.trigger.seq or call is failed]
        contents = their_calls.Contents(self._bytes)
        contexts = self._material.contexts
        history = their_calls.translate(calls, self._machine, contents, with_memory, contexts)
        for call in history:
            if call.seq == self._found.trigger.seq:
                call.ts_mono_ns = self._found.ts_ns
        return history

    def _made(self) -> int:
        """Return how many calls SFEmu counted: of an idle program it multiplied their number."""
        seq = self._found.trigger.seq
        return seq // 100_000 if self._found.trigger.num < 0 else seq

    def _trigger(self, history: Sequence[Syscall]) -> Trigger:
        theirs = self._found.trigger
        seconds, nanoseconds = divmod(self._found.ts_ns, 1_000_000_000)
        trigger = Trigger(
            seq=theirs.seq,
            syscall_name=their_calls.name_of(theirs, self._machine) if theirs.num >= 0 else theirs.name,
            syscall_num=theirs.num,
            args=[value & self._machine.mask for value in theirs.args],
            ts_sec=seconds,
            ts_nsec=nanoseconds,
            ts_mono_ns=self._found.ts_ns,
        )
        if theirs.num >= 0:
            if self._reason() == "exit" and trigger.syscall_name in _EXITS and trigger.args:
                trigger.exit_code = trigger.args[0] & 0xFF
            if theirs.ret is not None and theirs.ret < 0:
                kind = self._machine.arch.errno_kind if self._machine.arch else "generic"
                trigger.detail = f"it failed with {errno_names(kind).get(-theirs.ret, str(theirs.ret))}"
            return trigger
        # It was no call: the silence of a program is counted apart.
        trigger.seq = history[-1].seq if history else self._made()
        trigger.syscall_num, trigger.args = -1, []
        trigger.syscall_name = ""
        if len(theirs.args) >= 4:
            pc, milliseconds, length, rounds = (value & self._machine.mask for value in theirs.args[:4])
            trigger.detail = (
                f"no call for {milliseconds} ms; of the program counters that SFEmu sampled, the last"
                f" 0x{pc:x}, a sequence of {length} came {rounds} times"
            )
        trigger.spinning = bool(history) and history[-1].ret is not None
        if history and history[-1].ret is None:
            trigger.syscall_name, trigger.syscall_num = history[-1].name, history[-1].num
        return trigger

    def _registers(self) -> list[Register]:
        unread = [reg.name for reg in self._found.regs if reg.value is None]
        if unread:
            self._lacks("registers", f"SFEmu could not read {safe_line(', '.join(unread), 200)}")
        if not self._found.regs:
            lists_none = self._machine.name.startswith(NO_REGISTERS)
            why = "QEMU lists none of this architecture" if lists_none else "why, it does not say"
            self._lacks("registers", f"SFEmu recorded none: {why}")
        return [
            Register(
                num=reg.num,
                name=reg.name,
                value=reg.value if isinstance(reg.value, str) else _unsigned(reg.value, reg.size),
                size=reg.size or 8,
                feature=reg.feature or "core",
                rc=reg.rc,
            )
            for reg in self._found.regs
            if reg.value is not None
        ]

    def _backtrace(self) -> Backtrace:
        machine, mask = self._machine, self._machine.mask
        frames: list[Frame] = []
        references: list[PseudocodeRef] = []
        counter = machine.program_counter
        pc = next((reg.value for reg in self._found.regs if counter and reg.name.lower() == counter), None)
        if isinstance(pc, int):
            frames.append(Frame(idx=0, addr=pc & mask, addr_hex=f"0x{pc & mask:x}", method="pc"))
        thumb = machine.is_thumb_possible
        for one in self._found.frames:
            address = machine.code_address(one.addr)
            frame = Frame(
                idx=one.idx,
                addr=address,
                addr_hex=f"0x{address:x}",
                module_name=one.module_name,
                module_real_path=one.module_real_path,
                func_name=one.func_name,
                prototype=one.prototype,
                thumb=thumb and bool(one.addr & 1),
                method="shadow_stack",
                confidence="high",
            )
            if (reference := self._pseudocode(frame, one)) is not None:
                frame.pseudocode_file = reference.file
                references.append(reference)
            frames.append(frame)
        for index, told in enumerate(self._found.raw[len(self._found.frames) :], len(self._found.frames) + 1):
            address = machine.code_address(told)
            frames.append(
                Frame(
                    idx=index,
                    addr=address,
                    addr_hex=f"0x{address:x}",
                    thumb=thumb and bool(told & 1),
                    method="shadow_stack",
                )
            )
        if self._material.results is not None:
            frames = with_places(frames, self._material.results)
        if all(frame.module_name is None for frame in frames[1:]):
            self._lacks("modules", "SFEmu names them from SFAnalysis results only: it needs -sfanalysis")
        elif any(frame.module_name and frame.module_offset is None for frame in frames):
            self._lacks("load addresses of modules", "SFEmu does not record them, and no names tell them")
        if not self._found.raw and not self._found.frames:
            known = not machine.name or machine.name.startswith(WITH_STACK)
            why = "it needs -shadowstack on" if known else f"it keeps none of {machine.name}"
            self._lacks("call stack", f"SFEmu recorded none: {why}")
        return Backtrace(
            raw=[f"0x{address & mask:x}" for address in self._found.raw],
            frames=frames,
            pseudocode_index=references,
        )

    def _pseudocode(self, frame: Frame, one: Return) -> PseudocodeRef | None:
        name, told = one.file, one.addr
        # Of Thumb code the file has the odd address.
        usual = (f"frame{frame.idx:02d}_0x{address:x}.txt" for address in (told, told & self._machine.mask))
        for file in dict.fromkeys((name, *usual)):
            try:
                path = inside(self._material.run_dir, f"pseudocode/{file}") if file else None
                text = read_bounded(path, MAX_CODE_BYTES) if path and path.exists() else b""
            except (TriageError, OSError) as error:
                self._lacks(f"pseudocode of frame {frame.idx}", safe_line(str(error), 300))
                continue
            if text:
                kept = f"pseudocode/frame{frame.idx:02d}_0x{frame.addr:x}.c"
                self._writer.write_text(kept, text.decode("utf-8", "backslashreplace"))
                return PseudocodeRef(
                    frame=frame.idx,
                    addr_hex=frame.addr_hex,
                    file=kept,
                    truncated=one.truncated,
                    kind="pseudocode",
                    provenance="pseudocode from SFAnalysis, kept by SFEmu",
                )
        return None

    def _say_what_is_missing(self, history: Sequence[Syscall]) -> None:
        for what, why in _NEVER:
            self._lacks(what, why)
        if self._found.left_out:
            named = safe_line(", ".join(self._found.left_out), 400)
            self._lacks("parts of the snapshot", f"absent, or of another type than SFEmu writes: {named}")
        if history and history[0].seq > 1:
            kept = f"kept the last {len(history)}, from number {history[0].seq} on"
            self._lacks("calls", f"SFEmu counted {self._made()} and {kept}")
        high = [call.seq for call in self._found.calls if any(value < -(1 << 16) for value in call.args)]
        if high and self._machine.mask < 1 << 32:
            self._lacks(
                "memory", "SFEmu reads none from 0x80000000 on: to its scripts such addresses are negative"
            )
        if not self._material.contexts:
            self._lacks(
                "times of the calls",
                "no syscall_ctx_* beside the run is of this run: the next start writes the same names again",
            )

    def _write_texts(self, snapshot: Snapshot) -> None:
        lines = (describe_register(register) for register in snapshot.regs)
        self._writer.write_text(snapshot.outputs.regs_txt, "".join(f"{safe_line(one)}\n" for one in lines))
        frames = (describe_frame(frame) for frame in snapshot.backtrace.frames)
        self._writer.write_text(
            snapshot.outputs.backtrace_txt, "".join(f"{safe_line(one)}\n" for one in frames)
        )


def _unsigned(value: int, size: int) -> int:
    """Return a register's bits as a number: Lua has those of 8 bytes signed."""
    return value & ((1 << 8 * min(size or 8, 8)) - 1)
