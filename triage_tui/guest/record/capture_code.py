"""Write down the call stack of a frozen guest and the code of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from triage_tui.binary.code import CodeReader
from triage_tui.binary.code_source import CodePoint, CodeSource, Disassembly, FunctionCode
from triage_tui.binary.modules import ModuleMap
from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.guest.arch import Arch
from triage_tui.guest.record.capture_parts import Parts
from triage_tui.guest.record.named_objects import Named
from triage_tui.guest.state.memory import Memory
from triage_tui.guest.unwind import MAX_FRAMES, Cursor, frame_of, guess_function_start, walk
from triage_tui.runs.frame_model import Backtrace, Frame
from triage_tui.runs.model import Snapshot
from triage_tui.runs.writer import RunWriter

MAX_PROBLEMS = 8
"""How many unusable SFAnalysis files are named."""
CODE_FRAMES = 8
"""How many frames get their code disassembled."""


def find_frames(
    arch: Arch,
    registers: dict[str, int],
    memory: Memory,
    modules: ModuleMap,
    limit: int = MAX_FRAMES,
) -> tuple[list[Frame], list[Cursor]]:
    """Return the call stack of a thread, innermost frame first, and what each frame was made of."""

    def is_code(addr: int) -> bool:
        known = modules.is_code(addr)
        return memory.may_hold_code(addr) if known is None else known

    cursors = walk(
        arch,
        registers,
        memory,
        limit=limit,
        is_code=is_code,
        function_start=modules.function_start,
        is_outermost=modules.is_entry,
        unwind_row=modules.unwind_row,
        exception_code=modules.exception_code,
    )
    return [_describe(idx, cursor, modules) for idx, cursor in enumerate(cursors)], cursors


def capture_backtrace(
    arch: Arch,
    registers: dict[str, int],
    memory: Memory,
    modules: ModuleMap,
    snapshot: Snapshot,
) -> list[Cursor]:
    """Fill in the call stack and return what its frames were made of."""
    frames, cursors = find_frames(arch, registers, memory, modules)
    snapshot.backtrace = Backtrace(
        raw=[frame.addr_hex for frame in frames], frames=frames, truncated=len(frames) >= MAX_FRAMES
    )
    return cursors


def capture_code(
    arch: Arch,
    cursors: Sequence[Cursor],
    memory: Memory,
    modules: ModuleMap,
    snapshot: Snapshot,
    writer: RunWriter,
    part: Parts,
    sfanalysis: Path | None,
) -> list[Named]:
    """Write the code of the frames, from each source that has it; the best source names the function.

    Returns what data the code of the frames names.
    """
    named: list[Named] = []
    reader = CodeReader(
        arch.instruction_set, arch.word, arch.endian == "little", memory.read, modules, arch.syscall_name
    )
    sources: list[CodeSource] = [Disassembly(reader)]
    with part("pseudocode"):
        if sfanalysis is not None:
            results = SfAnalysis(sfanalysis)
            for problem in results.problems[:MAX_PROBLEMS]:
                part.note("pseudocode", problem)
            sources.insert(0, results)
    for frame, cursor in zip(snapshot.backtrace.frames, cursors, strict=True):
        # A call that never returns may be the last instruction of its function.
        ref = cursor.pc if cursor.exact or cursor.signal else cursor.pc - arch.code_align
        location, start = modules.locate(ref), modules.function_start(ref)
        if start is None and frame.idx < CODE_FRAMES:
            start = guess_function_start(arch, memory, ref, thumb=cursor.thumb)
        if location is not None and start is not None:
            frame.function_start = start - location.module.bias
        point = CodePoint(cursor.pc, location, cursor.thumb, not cursor.exact, start)
        for source in sources:
            if isinstance(source, Disassembly) and frame.idx >= CODE_FRAMES:
                continue
            with part(f"code of frame {frame.idx}"):
                found = source.function(point)
                if found is not None:
                    _keep_code(frame, found, snapshot.backtrace, writer)
                    named += [Named(frame.idx, addr, lines) for addr, lines in found.refers]
    return named


def _keep_code(frame: Frame, found: FunctionCode, backtrace: Backtrace, writer: RunWriter) -> None:
    """Write what a source has of a frame; only the first one that knows the function names it."""
    if frame.func_name is None and found.name:
        frame.func_name, frame.func_offset = found.name, found.offset
    frame.prototype = frame.prototype or found.prototype
    if not found.text:
        return
    ending = "c" if found.kind == "pseudocode" else "txt"
    name = f"pseudocode/frame{frame.idx:02d}_0x{frame.addr:x}.{ending}"
    writer.write_text(name, found.text)
    frame.pseudocode_file = frame.pseudocode_file or name
    backtrace.pseudocode_index.append(found.reference(frame, name))


def _describe(idx: int, cursor: Cursor, modules: ModuleMap) -> Frame:
    """Return the frame with module and function; a return address counts for the call in front of it."""
    frame = frame_of(idx, cursor)
    location = modules.locate(cursor.pc if cursor.exact or cursor.signal else cursor.pc - 1)
    if location is None:
        path = modules.path_at(cursor.pc)
        if path is not None:
            frame.module_name, frame.module_real_path = PurePosixPath(path).name, path
        return frame
    frame.module_name, frame.module_real_path = location.module.name, location.module.path
    frame.module_sha256 = location.module.image.sha256 or None
    frame.module_offset = cursor.pc - location.module.bias
    if location.symbol is not None and location.symbol.is_function:
        frame.func_name = location.name
        frame.func_offset = frame.module_offset - location.symbol.start
    return frame
