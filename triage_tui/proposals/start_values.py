"""Values for the settings of a program's start: Lua literals that templates of start rules hold.

What the record does not tell is a placeholder: then a person must fill it in.
"""

from __future__ import annotations

import re

from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.rulebook.placeholders import placeholder
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.reader import Run

START_LITERALS = frozenset(("processor",))
"""What may stand between @ and @ in the text of a start rule."""

_NEWEST = {
    **dict.fromkeys(("arm", "armeb", "aarch64", "i386", "x86_64", "s390x"), "max"),
    **dict.fromkeys(("mips", "mipsel"), "74Kf"),
    "mips64el": "Loongson-3A4000",
    "ppc": "7448",
    "ppc64le": "power10",
}
"""Architecture -> the processor model that knows most instructions and all of the older ones (`qemu-ARCH -cpu
help` of QEMU 7.2 and 10.0). MIPS release 6 is left out: it gave up instructions of earlier ones; and so
is P5600, which refuses programs with the older form of NaN (EF_MIPS_NAN2008)."""
_RISCV = (9, "max", "rv64")
"""From this release of QEMU on the first model, before it the second."""


def start_literals(run: Run, hypothesis: Hypothesis) -> dict[str, str]:
    """Return the Lua literals of start settings for one hypothesis, by name."""
    return {"processor": lua_string(_processor(run).encode())}


def _processor(run: Run) -> str:
    target, engine = run.snapshot.target, run.snapshot.engine
    model = _NEWEST.get(target.arch, "")
    if target.arch == "riscv64":
        since, new, old = _RISCV
        major = re.match(r"\d{1,4}", engine.emulator_version)
        model = new if major is not None and int(major[0]) >= since else old
    tried = {one.says for one in run.snapshot.start_settings}
    if model and f"processor model {model}" not in tried:
        return model
    return placeholder(
        f"a processor model that knows the instruction, of those of {engine.emulator} -cpu help"
    )
