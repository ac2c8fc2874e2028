"""Code of a recorded frame from a source that was not asked when the run was recorded, and how it is kept.

Nothing of the guest runs any more: its program files are read again, from the root that the run was started
with.
"""

from __future__ import annotations

import threading
from pathlib import Path

from triage_tui.binary.code_source import CodePoint, FunctionCode
from triage_tui.binary.decompiler import Angr
from triage_tui.binary.modules import Location, Module
from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.binary.symbols import ElfImage, parse_image
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.recorded_code import program_file
from triage_tui.runs.files import write_atomic
from triage_tui.runs.frame_model import Frame, PseudocodeRef
from triage_tui.runs.model import SCHEMA_VERSION
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import SNAPSHOT_FILE, encode_json


def frame_of(run: Run, number: int) -> Frame:
    """Return a frame by its number.

    Raises:
        TriageError: the run has no such frame.
    """
    for frame in run.snapshot.backtrace.frames:
        if frame.idx == number:
            return frame
    raise TriageError(f"run {run.run_id} has no frame {number}")


def decompiled(run: Run, frame: Frame, cancel: threading.Event | None = None) -> FunctionCode:
    """Return the pseudocode of a frame's function as the decompiler gives it; `cancel` ends it.

    Raises:
        TriageError: there is no decompiler, the program file is gone or another one than the run's, or it
            could not be done.
    """
    data = _program(run, frame)
    found = Angr(data, cancel=cancel).function(_point(frame, parse_image(data)))
    if not found.text:
        raise TriageError(f"the decompiler has no pseudocode of frame {frame.idx}")
    return found


def from_results(frame: Frame, results: SfAnalysis) -> FunctionCode | None:
    """Return the pseudocode that SFAnalysis results hold of a frame's function, or None.

    A frame whose place in its file is not known, as in runs of SFEmu, is looked for by its name.

    Raises:
        TriageError: the results name a file of pseudocode that cannot be read.
    """
    if frame.module_real_path is None:
        return None
    if frame.module_offset is not None:
        found = results.function(_point(frame, ElfImage("")))
    else:
        found = results.function_named(frame.module_real_path, frame.func_name) if frame.func_name else None
    return found if found is not None and found.text else None


def keep(run: Run, frame: Frame, found: FunctionCode) -> None:
    """Put code into the record as the best of its frame, beside what is there.

    Raises:
        TriageError: the record is of another version, so that writing it would lose a part of it.
    """
    snapshot = run.snapshot
    if snapshot.schema_version != SCHEMA_VERSION:
        raise TriageError(f"the record of run {run.run_id} is of another version, so no code is added to it")
    maker = "angr" if "angr" in found.provenance else "sfanalysis"
    name = f"pseudocode/frame{frame.idx:02d}_0x{frame.addr:x}.{maker}.c"
    write_atomic(run.dir / name, found.text)
    index = [ref for ref in snapshot.backtrace.pseudocode_index if ref.file != name]
    snapshot.backtrace.pseudocode_index = [found.reference(frame, name), *index]
    frame.pseudocode_file = name
    write_atomic(run.dir / SNAPSHOT_FILE, encode_json(snapshot))


def _program(run: Run, frame: Frame) -> bytes:
    """Return the content of the file that holds the frame's function."""
    path = frame.module_real_path
    if path is None or frame.module_offset is None:
        raise TriageError(f"frame {frame.idx} lies in no program file")
    return program_file(run, path, frame.module_sha256 or "")


def _point(frame: Frame, image: ElfImage) -> CodePoint:
    """Return the frame's place in its program file; as nothing runs, file addresses serve for all."""
    path = frame.module_real_path or ""
    exact = frame.idx == 0 or frame.method == "signal_frame"
    vaddr = (frame.module_offset or 0) - (0 if exact else 1)
    symbol = image.symbol_at(vaddr, functions_only=True)
    start = symbol.start if symbol else frame.function_start
    module = Module(path, Path(path).name, 0, image)
    return CodePoint(vaddr, Location(module, vaddr, symbol), frame.thumb, not exact, start)


def keep_listing(run: Run, frame: Frame, text: str, provenance: str) -> None:
    """Put a disassembly into the record of a run that has no code of this frame.

    Raises:
        TriageError: the record is of another version, so that writing it would lose a part of it.
    """
    if run.snapshot.schema_version != SCHEMA_VERSION:
        raise TriageError(f"the record of run {run.run_id} is of another version, so no code is added to it")
    name = f"pseudocode/frame{frame.idx:02d}_0x{frame.addr:x}.txt"
    write_atomic(run.dir / name, text)
    ref = PseudocodeRef(frame=frame.idx, addr_hex=frame.addr_hex, file=name, provenance=provenance)
    run.snapshot.backtrace.pseudocode_index.append(ref)
    chosen = frame_of(run, frame.idx)
    chosen.pseudocode_file = name
    write_atomic(run.dir / SNAPSHOT_FILE, encode_json(run.snapshot))
