"""The branch that led to the end: read from the recorded disassembly of the frame that decided.

The deciding frame is the innermost one of the program's own. In its listing stands, marked, the call that
never came back; the conditional branch that leads to it, and the call whose result is compared there, say
more than the end itself. The listing is text that this program wrote, but names in it are the guest's.
"""

from __future__ import annotations

from collections.abc import Mapping

from triage_tui.diagnosis.cite import inert
from triage_tui.diagnosis.experiment_places import own_frame
from triage_tui.diagnosis.facts import Decision, Source
from triage_tui.diagnosis.listing import (
    CALL,
    COMPARE,
    CONDITIONAL,
    DELAYED_CALLS,
    JUMP,
    REGISTER,
    SETS_FLAGS,
    STORE,
    Line,
    parse_listing,
)
from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run

MAX_BLOCK = 24
"""Instructions in front of the call that are looked through for what leads to it."""
MAX_TO_CALL = 8
"""Instructions between a branch and the call whose result it looks at."""

MAX_BRANCHES = 3
"""Branches to one call that are named."""


def decision_of(run: Run) -> Decision | None:
    """Return the branch that led to the end of `run`, None where the record does not show it."""
    frame = own_frame(run)
    if frame is None or frame.idx == 0 or run.snapshot.reason not in ("exit", "signal"):
        return None
    refs = run.snapshot.backtrace.pseudocode_index
    ref = next((one for one in refs if one.frame == frame.idx and one.kind == "disassembly"), None)
    if ref is None:
        return None
    try:
        lines, mark = parse_listing(run.text_file(ref.file))
    except TriageError:
        return None
    if mark is None:
        return None
    call = _call_before(lines, mark)
    branches = _leading_to(lines, call) if call is not None else []
    if call is None or not branches:
        return None
    branch = branches[0]
    results = _results_of(run.snapshot.target.arch)
    compared = ",".join(dict.fromkeys(name for one in branches if (name := _compared(lines, one, results))))
    last = lines[call].callee or "a function that does not come back"
    function = frame.func_name or f"0x{frame.addr:x}"
    says = f"{inert(function, 60)} calls {inert(last, 60)} because of a comparison"
    if compared:
        says += f" of what {inert(compared.replace(',', ' or '), 100)} returned"
    first = next((one for one in refs if one.frame == frame.idx), ref)
    # A link names the best code of a frame; a line of another text cannot be linked.
    line = lines[branch].number if first is ref else None
    return Decision(
        source=Source(kind="code", id=str(frame.idx), line=line),
        says=says,
        cite=f"{lines[branch].name} {lines[branch].rest.split(';')[0].strip()}",
        pid=run.snapshot.trigger.pid,
        steps=0,
        function=function,
        frame=frame.idx,
        calls=lines[call].callee,
        compared=compared,
    )


def _call_before(lines: list[Line], mark: int) -> int | None:
    """Return the index of the call from which the marked line would be returned to."""
    for back in (1, 2):
        if mark >= back and CALL.match(lines[mark - back].name):
            return mark - back if back == 1 or lines[mark - back].name in DELAYED_CALLS else None
    return None


def _leading_to(lines: list[Line], call: int) -> list[int]:
    """Return the indices of the conditional branches that lead to the call, the nearest one first."""
    first = max(0, call - MAX_BLOCK)
    start, above = first, None
    for index in range(call - 1, first - 1, -1):
        name = lines[index].name
        if CONDITIONAL.match(name):
            above, start = index, index + 1
            break
        if JUMP.match(name):
            start = index + 1
            break
    else:
        return []
    low, high = lines[start].addr, lines[call].addr
    into = [
        index
        for index, line in enumerate(lines)
        if CONDITIONAL.match(line.name) and low <= line.target <= high and index != above
    ]
    into.sort(key=lambda index: abs(call - index))
    return ([above] if above is not None else []) + into[:MAX_BRANCHES]


def _compared(lines: list[Line], branch: int, results: frozenset[str]) -> str:
    """Return the function whose result the branch looks at, "" where it looks at something else.

    `results` are the registers in which a function returns.
    """
    for index in range(branch - 1, max(-1, branch - 1 - MAX_TO_CALL), -1):
        if CALL.match(lines[index].name):
            behind = index + 1
            return lines[index].callee if _looks_at(lines[behind : branch + 1], results) else ""
        if JUMP.match(lines[index].name):
            return ""
    return ""


def _looks_at(lines: list[Line], results: frozenset[str]) -> bool:
    """Tell whether the last line, a branch, depends on a register of `results` as it is before the first.

    Copies are followed; a register that gets another value is none any more.
    """
    held = set(results)
    answer = False
    for line in lines:
        names = REGISTER.findall(line.rest.split(";")[0])
        if not names or STORE.match(line.name):
            continue
        if CONDITIONAL.match(line.name) or COMPARE.match(line.name):
            answer = bool(held & set(names))
            continue
        if held & set(names[1:]):
            held.add(names[0])
        else:
            held.discard(names[0])
        if SETS_FLAGS.match(line.name):
            answer = names[0] in held
    return answer


_RESULTS: Mapping[str, tuple[str, ...]] = {
    "arm": ("r0",), "aarch64": ("w0", "x0"), "mips": ("$v0",), "i386": ("eax", "ax", "al"),
    "x86_64": ("rax", "eax", "ax", "al"), "ppc": ("r3", "3"), "s390x": ("%r2",), "riscv": ("a0",),
}  # fmt: skip
"""Beginning of the architecture's name -> registers in which functions return."""


def _results_of(arch: str) -> frozenset[str]:
    return frozenset(next((names for key, names in _RESULTS.items() if arch.startswith(key)), ()))
