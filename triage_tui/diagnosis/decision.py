"""The branch that led to the end: read from the recorded disassembly of the frame that decided.

The deciding frame is the innermost one of the program's own. In its listing stands, marked, the call that
never came back; the conditional branch that leads to it, and the call whose result is compared there, say
more than the end itself. The listing is text that this program wrote, but names in it are the guest's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from triage_tui.diagnosis.cite import inert
from triage_tui.diagnosis.experiment_places import own_frame
from triage_tui.diagnosis.facts import Decision, Source
from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run

MAX_BLOCK = 24
"""Instructions in front of the call that are looked through for what leads to it."""
MAX_TO_CALL = 8
"""Instructions between a branch and the call whose result it looks at."""

MAX_BRANCHES = 3
"""Branches to one call that are named."""

_LINE = re.compile(
    r"^(?P<mark>=>|<-|  )\s?0x(?P<addr>[0-9a-f]+)\s+[0-9a-f]+\s+(?P<name>[a-z][a-z0-9._,]*)\s*(?P<rest>.*)$"
)
_NAME = re.compile(r"<([^<>+]{1,120})(?:\+0x[0-9a-f]+)?>")
_TARGET = re.compile(r"(?:^|[ ,])#?0x([0-9a-f]+)\s*(?:;|$)")
_CALL = re.compile(r"^(?:blx?(?:\.w)?|jalr?c?|balc?|bal|call|bctrl|blrl|brasl?|basr|jirl|blr)$")
_JUMP = re.compile(r"^(?:b(?:\.w)?|bx|j|jr|jmp|jg?nop|jc|br|ret|retq|eret|bctr|blr|pop(?:\.w)?|ldm\S*)$")
_CONDITIONAL = re.compile(
    r"^(?:b(?:eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)(?:\.w|[+-])?|b\.[a-z]{2}|cbn?z|tbn?z|"
    r"b(?:eq|ne)zc?|b(?:gez|gtz|lez|ltz)(?:al)?c?|bc1[tf]|j(?!mp|al|r$|r\.|$)[a-z]{1,4}|"
    r"c(?:g|lg|l)?[ir]j\w*|br[co]\w*)$"
)
_COMPARE = re.compile(
    r"^(?:cmp|cmn|tst|teq|test|fcmp|cgr|cr|clr?|clgr?|c[lg]?f?i|chi|cghi|lt[gr]*|tm)[a-z.]*$"
)
_SETS_FLAGS = re.compile(
    r"^(?:(?:add|sub|and|or|eor|mov|rsb|lsl|lsr|asr|bic)s(?:\.w)?|add|sub|and|or|xor|lt\w*)$"
)
_STORE = re.compile(r"^(?:st(?!ck)\w*|s[bhwd]|push|fs[wd])(?:\.w)?$")
_REGISTER = re.compile(r"\$?%?\b[a-z][a-z0-9]{1,3}\b|\$[a-z][a-z0-9]")
_DELAY = frozenset(("jal", "jalr", "bal"))
"""Calls behind which one more instruction is executed before they are made (MIPS)."""


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    addr: int
    name: str
    rest: str

    @property
    def target(self) -> int:
        """Where a branch goes, -1 where the text does not say."""
        found = _TARGET.search(self.rest)
        return int(found[1], 16) if found else -1

    @property
    def callee(self) -> str:
        """Name of the function that a call goes to, "" when there is none."""
        found = _NAME.search(self.rest)
        return found[1] if found else ""


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
        lines, mark = _parse(run.text_file(ref.file))
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


def _parse(text: str) -> tuple[list[_Line], int | None]:
    lines: list[_Line] = []
    mark: int | None = None
    for number, raw in enumerate(text.split("\n"), 1):
        found = _LINE.match(raw)
        if found is None:
            continue
        if found["mark"].strip():
            mark = len(lines)
        lines.append(_Line(number, int(found["addr"], 16), found["name"], found["rest"]))
    return lines, mark


def _call_before(lines: list[_Line], mark: int) -> int | None:
    """Return the index of the call from which the marked line would be returned to."""
    for back in (1, 2):
        if mark >= back and _CALL.match(lines[mark - back].name):
            return mark - back if back == 1 or lines[mark - back].name in _DELAY else None
    return None


def _leading_to(lines: list[_Line], call: int) -> list[int]:
    """Return the indices of the conditional branches that lead to the call, the nearest one first."""
    first = max(0, call - MAX_BLOCK)
    start, above = first, None
    for index in range(call - 1, first - 1, -1):
        name = lines[index].name
        if _CONDITIONAL.match(name):
            above, start = index, index + 1
            break
        if _JUMP.match(name):
            start = index + 1
            break
    else:
        return []
    low, high = lines[start].addr, lines[call].addr
    into = [
        index
        for index, line in enumerate(lines)
        if _CONDITIONAL.match(line.name) and low <= line.target <= high and index != above
    ]
    into.sort(key=lambda index: abs(call - index))
    return ([above] if above is not None else []) + into[:MAX_BRANCHES]


def _compared(lines: list[_Line], branch: int, results: frozenset[str]) -> str:
    """Return the function whose result the branch looks at, "" where it looks at something else.

    `results` are the registers in which a function returns.
    """
    for index in range(branch - 1, max(-1, branch - 1 - MAX_TO_CALL), -1):
        if _CALL.match(lines[index].name):
            behind = index + 1
            return lines[index].callee if _looks_at(lines[behind : branch + 1], results) else ""
        if _JUMP.match(lines[index].name):
            return ""
    return ""


def _looks_at(lines: list[_Line], results: frozenset[str]) -> bool:
    """Tell whether the last line, a branch, depends on a register of `results` as it is before the first.

    Copies are followed; a register that gets another value is none any more.
    """
    held = set(results)
    answer = False
    for line in lines:
        names = _REGISTER.findall(line.rest.split(";")[0])
        if not names or _STORE.match(line.name):
            continue
        if _CONDITIONAL.match(line.name) or _COMPARE.match(line.name):
            answer = bool(held & set(names))
            continue
        if held & set(names[1:]):
            held.add(names[0])
        else:
            held.discard(names[0])
        if _SETS_FLAGS.match(line.name):
            answer = names[0] in held
    return answer


_RESULTS: Mapping[str, tuple[str, ...]] = {
    "arm": ("r0",), "aarch64": ("w0", "x0"), "mips": ("$v0",), "i386": ("eax", "ax", "al"),
    "x86_64": ("rax", "eax", "ax", "al"), "ppc": ("r3", "3"), "s390x": ("%r2",), "riscv": ("a0",),
}  # fmt: skip
"""Beginning of the architecture's name -> registers in which functions return."""


def _results_of(arch: str) -> frozenset[str]:
    return frozenset(next((names for key, names in _RESULTS.items() if arch.startswith(key)), ()))
