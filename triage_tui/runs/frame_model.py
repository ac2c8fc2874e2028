"""Frames in the run record: the call stacks, and the code of their functions."""

from __future__ import annotations

from typing import Literal

from triage_tui.runs.record import Record

FrameMethod = Literal[
    "pc",
    "cfi",
    "exception_index",
    "signal_frame",
    "prologue",
    "epilogue",
    "link_register",
    "frame_pointer",
    "back_chain",
    "shadow_stack",
    "stack_scan",
]
"""How a frame was found. `pc`: the program counter; `cfi`: call frame information (.eh_frame, .debug_frame);
`exception_index`: .ARM.exidx; `signal_frame`: the registers that the kernel saved for a signal handler;
`prologue`, `epilogue`: the instructions at the start of the function, or on the way to its end;
`link_register`: the return address was still in its register; `frame_pointer`, `back_chain`: the chain that
frames form on the stack; `shadow_stack`: the emulator noted the return address at the call; `stack_scan`: a
word on the stack that points behind a call."""

Confidence = Literal["high", "medium", "low"]
"""How sure a frame is. `high`: a table says it, or the caller's direct call leads into the function;
`medium`: plausible and nothing speaks against it; `low`: only a candidate. Without such a call no frame is
surer than the one from which it was found."""


class Frame(Record):
    """One frame of the backtrace, innermost first.

    Frame 0 and those found by `signal_frame` give the instruction where they stand; the others are return
    addresses.
    """

    idx: int
    addr: int
    addr_hex: str
    rc: int = 0
    module_name: str | None = None
    module_real_path: str | None = None
    module_sha256: str | None = None
    """Of the module's file; None where it could not be read, and in older records."""
    func_name: str | None = None
    func_offset: int | None = None
    function_start: int | None = None
    """Where the function starts in the module's own terms, by a symbol, a table or its prologue."""
    thumb: bool = False
    """True for ARM code in the Thumb instruction set."""
    prototype: str | None = None
    """The function's declaration, where an analysis of the program gives it."""
    module_offset: int | None = None
    """Address in the module's own terms (as in its ELF file)."""
    sp: int | None = None
    method: FrameMethod = "pc"
    """How it was found; `stack_scan` frames are only candidates."""
    confidence: Confidence | None = None
    """None in records of versions that did not judge it."""
    signal: bool = False
    """True for the code that a signal handler returns to; the next frame is what the signal interrupted."""
    pseudocode_file: str | None = None
    """Path below the run directory."""


class PseudocodeRef(Record):
    """Which file holds the code of which frame; the first entry of a frame is the best."""

    frame: int
    addr_hex: str
    file: str
    truncated: bool = False
    kind: Literal["pseudocode", "disassembly"] = "disassembly"
    provenance: str = ""
    """Where it comes from: "pseudocode from SFAnalysis", "decompiled by angr 9.2", "disassembly"."""


class Backtrace(Record):
    """The call stack: raw addresses and what they mean."""

    raw: list[str] = []
    frames: list[Frame] = []
    pseudocode_index: list[PseudocodeRef] = []
    truncated: bool = False
    """True if there are more frames than were looked for."""
