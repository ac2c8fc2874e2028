"""`triage-tui code`: the code of one frame; decompiled on demand, or from SFAnalysis results."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from triage_tui.binary.code_source import FunctionCode
from triage_tui.binary.load_bias import with_places
from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.cli.output import say
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.frame_code import decompiled, frame_of, from_results, keep
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.reader import Run
from triage_tui.sfemu.analysis_results import results_of
from triage_tui.text import safe_block


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
    workspace = Workspace.at(args.workspace)
    record = workspace.load(args.run)
    frame = frame_of(record, args.frame)
    if args.decompile:
        keep(record, frame, decompiled(record, frame))
    elif args.sfanalysis is not None:
        keep(record, frame, _analysed(record, frame, SfAnalysis(Path(args.sfanalysis))))
    elif frame.pseudocode_file is None and (results := results_of(workspace.root)) is not None:
        with contextlib.suppress(TriageError):
            # What they do not have is told below.
            keep(record, frame, _analysed(record, frame, SfAnalysis(results)))
    refs = [ref for ref in record.snapshot.backtrace.pseudocode_index if ref.frame == frame.idx]
    if not refs:
        raise TriageError(f"frame {frame.idx} of run {record.run_id} has no code")
    say(f"; {refs[0].provenance or refs[0].kind}, {refs[0].file}")
    print(safe_block(record.text_file(refs[0].file)))
    return 0


def _analysed(record: Run, frame: Frame, results: SfAnalysis) -> FunctionCode:
    frames = with_places(record.snapshot.backtrace.frames, results)
    found = from_results(next(one for one in frames if one.idx == frame.idx), results)
    if found is None:
        raise TriageError(f"the SFAnalysis results hold no pseudocode of frame {frame.idx}")
    return found
