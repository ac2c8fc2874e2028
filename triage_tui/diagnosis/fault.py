"""The instruction at which a program faulted, and the register that led it to the address.

The frozen guest is at the instruction; the signal tells the address. A register is named only where it and
what the instruction adds to it give that very address. The listing is text that this program wrote.
"""

from __future__ import annotations

import itertools
import re

from triage_tui.diagnosis.cite import inert
from triage_tui.diagnosis.facts import Fault, Source
from triage_tui.diagnosis.listing import Line, parse_listing
from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run

_ADDRESS = re.compile(r"\bsi_addr=(?:0x([0-9a-f]{1,16})|NULL)(?![\w])")
_SENT = re.compile(r"\bsi_code=SI_\w+")
"""A signal that a process sent has no address."""
_WORD = re.compile(r"[a-z][a-z0-9]{1,5}\b")
_NUMBER = re.compile(r"(?:- ?)?\b(?:0x[0-9a-f]+|\d+)\b")
_NAMES = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12"}
"""Other names of registers in listings of 32-bit ARM: AAPCS32."""
_SIGNALS = frozenset(("SIGSEGV", "SIGBUS", "SIGILL"))


def fault_address(detail: str) -> int | None:
    """Return the address of a fault as the emulator logged it, None for none."""
    found = _ADDRESS.search(detail)
    if found is None or _SENT.search(detail):
        return None
    return int(found[1] or "0", 16)


def fault_of(run: Run) -> Fault | None:
    """Return what the instruction did at which `run` ended, None where the record does not show it."""
    snapshot = run.snapshot
    trigger, frames = snapshot.trigger, snapshot.backtrace.frames
    address = fault_address(trigger.detail)
    ref = next((one for one in snapshot.backtrace.pseudocode_index if one.frame == 0), None)
    if address is None or trigger.signal not in _SIGNALS or not frames or ref is None:
        return None
    line = _marked(run, ref.file) if ref.kind == "disassembly" else None
    if line is None or line.addr != frames[0].addr:
        return None
    text = inert(f"{line.name} {line.rest.split(';')[0].strip()}".strip(), 80)
    base = ""
    if trigger.signal == "SIGILL":
        if address != line.addr:
            return None
        says = f"the processor does not know {text}"
    else:
        word = 1 << (8 * max((one.size for one in snapshot.regs), default=8))
        values = {one.name: one.value for one in snapshot.regs if one.rc == 0 and isinstance(one.value, int)}
        base = _base(line, values, address, word)
        if not base:
            return None
        says = f"{text} reached for address 0x{address:x}, which came of {base}"
    return Fault(
        source=Source(kind="code", id="0", line=line.number),
        says=says,
        cite=f"0x{line.addr:x}",
        pid=trigger.pid,
        steps=0,
        address=address,
        base=base,
        near_null=bool(base) and address < 4096,
    )


def _marked(run: Run, file: str) -> Line | None:
    try:
        lines, mark = parse_listing(run.text_file(file))
    except TriageError:
        return None
    return lines[mark] if mark is not None else None


def _base(line: Line, values: dict[str, int], address: int, word: int) -> str:
    """Return the register, or the two, that make up `address` with a number of the instruction, else ""."""
    text = line.rest.split(";")[0].lower()
    names = [_NAMES.get(name, name) if name not in values else name for name in _WORD.findall(text)]
    known = [name for name in dict.fromkeys(names) if name in values]
    numbers = {0, *(int(number.replace(" ", ""), 0) for number in _NUMBER.findall(text))}
    for name in reversed(known):
        if any((values[name] + number) % word == address for number in numbers):
            return f"{name} = 0x{values[name]:x}"
    for one, other in itertools.permutations(known, 2):
        for shift, number in itertools.product(range(4), numbers):
            if (values[one] + (values[other] << shift) + number) % word == address:
                return f"{one} = 0x{values[one]:x} and {other} = 0x{values[other]:x}"
    return ""
