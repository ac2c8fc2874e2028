"""Runs with code from several sources, and SFAnalysis results that fit them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.ui import fixtures
from tests.ui.texts import PSEUDOCODE
from triage_tui.runs.evidence import make_link
from triage_tui.runs.frame_model import PseudocodeRef
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json


def add_source(workspace: Path) -> str:
    """Add pseudocode of frame 1 in front of its disassembly; return a link to a line of that."""
    run_dir = workspace / "ai_runs" / fixtures.EXIT_RUN
    run = load_run(run_dir)
    link = make_link(run, "code", 1, line=9)
    (run_dir / "pseudocode/frame01.angr.c").write_text(PSEUDOCODE)
    index = run.snapshot.backtrace.pseudocode_index
    index.insert(
        0,
        PseudocodeRef(
            frame=1,
            addr_hex="0x431e4c",
            file="pseudocode/frame01.angr.c",
            kind="pseudocode",
            provenance="decompiled by angr 9.2",
        ),
    )
    (run_dir / "snapshot.json").write_bytes(encode_json(run.snapshot))
    return link


def results(directory: Path, path: str = "/bin/busybox") -> Path:
    """Write SFAnalysis results with one function, and let frame 1 of the run lie in it."""
    directory.mkdir()
    (directory / "f.c").write_text("int analysed_function(void)\n{\n  return 7;\n}\n")
    function = {"name": "analysed", "entry": {"offset": 0x31DB0}, "size": 0x200, "pseudocode_file": "f.c"}
    file = {"name": "busybox", "real_path": path, "fs_root": ""}
    (directory / "busybox.json").write_text(json.dumps({"file": file, "functions": [function]}))
    return directory


def place_frame(workspace: Path) -> None:
    """Let frame 1 of the run lie in a program file, at an offset that the results know."""
    run_dir = workspace / "ai_runs" / fixtures.EXIT_RUN
    snapshot = load_run(run_dir).snapshot
    frame = snapshot.backtrace.frames[1]
    frame.module_real_path, frame.module_offset = "/bin/busybox", 0x31E4C
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))
