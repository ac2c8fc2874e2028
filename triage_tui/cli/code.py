"""`triage-tui code`: the code of one frame; decompiled on demand, or from SFAnalysis results."""

from __future__ import annotations

import argparse
from pathlib import Path

from triage_tui.binary.code_source import CodePoint, CodeSource, FunctionCode
from triage_tui.binary.decompiler import Angr
from triage_tui.binary.modules import Location, Module, read_guest_file
from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.binary.symbols import parse_image
from triage_tui.cli.output import say
from triage_tui.errors import TriageError
from triage_tui.retry.start import read_start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.files import write_atomic
from triage_tui.runs.model import Frame
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import encode_json
from triage_tui.text import safe_block, safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    parser.add_argument("frame", nargs="?", type=int, default=0, help="number of the frame (default 0)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--decompile", action="store_true", help="decompile its function with angr and keep it"
    )
    source.add_argument(
        "--sfanalysis", metavar="DIR", help="take its pseudocode from SFAnalysis results, keep it"
    )


def run(args: argparse.Namespace) -> int:
    """Print the code of a frame, making it first if asked to."""
    record = Workspace.at(args.workspace).load(args.run)
    frame = next((one for one in record.snapshot.backtrace.frames if one.idx == args.frame), None)
    if frame is None:
        raise TriageError(f"run {record.run_id} has no frame {args.frame}")
    if args.decompile or args.sfanalysis is not None:
        path, data = _program(record, frame)
        source: CodeSource = Angr(data) if args.decompile else SfAnalysis(Path(args.sfanalysis))
        found = source.function(_point(frame, path, data))
        if found is None or not found.text:
            what = "decompiler has" if args.decompile else "SFAnalysis results hold"
            raise TriageError(f"the {what} no pseudocode of frame {frame.idx}")
        _keep(record, frame, found)
    refs = [ref for ref in record.snapshot.backtrace.pseudocode_index if ref.frame == frame.idx]
    if not refs:
        raise TriageError(f"frame {frame.idx} of run {record.run_id} has no code")
    say(f"; {refs[0].provenance or refs[0].kind}, {refs[0].file}")
    print(safe_block(record.text_file(refs[0].file)))
    return 0


def _program(record: Run, frame: Frame) -> tuple[str, bytes]:
    """Return (guest path, content) of the file that holds the frame's function."""
    path = frame.module_real_path
    if path is None or frame.module_offset is None:
        raise TriageError(f"frame {frame.idx} lies in no program file")
    start = read_start(record.dir)
    root = Path(start.rootfs) if start.rootfs is not None else None
    host = start.program if root is None and path == record.snapshot.target.program else path
    data = read_guest_file(root, host)
    if data is None:
        raise TriageError(f"the program file {safe_line(path, 200)} of the run cannot be read any more")
    return path, data


def _point(frame: Frame, path: str, data: bytes) -> CodePoint:
    """Return the frame's place in its program file; as nothing runs, file addresses serve for all."""
    image = parse_image(data)
    exact = frame.idx == 0 or frame.method == "signal_frame"
    vaddr = (frame.module_offset or 0) - (0 if exact else 1)
    symbol = image.symbol_at(vaddr, functions_only=True)
    start = symbol.start if symbol else frame.function_start
    module = Module(path, Path(path).name, 0, image)
    return CodePoint(vaddr, Location(module, vaddr, symbol), frame.thumb, not exact, start)


def _keep(record: Run, frame: Frame, found: FunctionCode) -> None:
    """Put the text into the record as the frame's best code, beside what is there."""
    snapshot = record.snapshot
    maker = "angr" if "angr" in found.provenance else "sfanalysis"
    name = f"pseudocode/frame{frame.idx:02d}_0x{frame.addr:x}.{maker}.c"
    write_atomic(record.dir / name, found.text)
    index = [ref for ref in snapshot.backtrace.pseudocode_index if ref.file != name]
    snapshot.backtrace.pseudocode_index = [found.reference(frame, name), *index]
    frame.pseudocode_file = name
    write_atomic(record.dir / "snapshot.json", encode_json(snapshot))
