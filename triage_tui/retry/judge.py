"""Judge a retry: did the program get further than before, and what was faked on the way?

The judge compares signatures of syscalls: name, what the call is about (path, peer, ioctl request and
interface) and whether it failed and how. Addresses, descriptors and times are not part of a signature, so
two runs of the same program agree on what they have in common.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from triage_tui.errors import TriageError
from triage_tui.guest.freezing.suspicion import is_well
from triage_tui.runs.call_signatures import signature, signatures
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.evidence import parse_link
from triage_tui.runs.model import AT_START, Syscall
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import Figures, Rung, Verdict, VerdictWord
from triage_tui.text import safe_line

MAX_NOVEL = 40

How = Literal["resume", "retry"]
"""Whether the frozen guest went on, or a new one started."""

# Calls that say how a program ends or waits for time, not how far it got.
_NO_PROGRESS = frozenset(
    [
        "exit", "exit_group", "brk", "mmap", "mmap2", "munmap", "mprotect", "madvise", "futex",
        "rt_sigreturn", "sigreturn", "nanosleep", "clock_nanosleep", "clock_nanosleep_time64", "gettimeofday",
        "time", "clock_gettime", "clock_gettime64", "getpid", "gettid",
    ]
)  # fmt: skip


# Calls that lead on although they name nothing: a program that makes its first one does something else.
_LEADS_ON = frozenset(
    [
        "socket",
        "socketpair",
        "bind",
        "listen",
        "accept",
        "accept4",
        "connect",
        "clone",
        "clone3",
        "fork",
        "vfork",
    ]
)
_IS_TERMINAL = "ioctl(TCGETS"
MAX_OUTPUT_BYTES = 1 << 20


def figures(run: Run) -> Figures:
    """Return the figures of one run."""
    snapshot = run.snapshot
    statistics = snapshot.statistics
    return Figures(
        run_id=run.run_id,
        reason=snapshot.reason,
        exit_code=snapshot.trigger.exit_code,
        signal=snapshot.trigger.signal,
        syscalls=statistics.syscalls,
        distinct_signatures=statistics.distinct_signatures or len(signatures(run.trace())),
        failed_syscalls=statistics.failed_syscalls,
        listening=statistics.listening,
        elapsed_ms=statistics.elapsed_ms,
    )


def blocking_signatures(run: Run) -> set[str]:
    """Return the signatures of the failed calls that the run's best hypothesis rests on."""
    diagnosis = run.diagnosis
    if diagnosis is None or not diagnosis.hypotheses or diagnosis.healthy:
        return set()
    found: set[str] = set()
    for evidence in diagnosis.hypotheses[0].evidence:
        try:
            link = parse_link(evidence.link)
        except TriageError:
            continue
        call = run.syscall(int(link.id)) if link.kind == "syscall" and link.id.isdecimal() else None
        if call is not None and call.errno:
            found.add(signature(call))
    return found


def switched_off(run: Run) -> list[str]:
    """Return, one line each, which rules did not act to the end of this run, and why."""
    return [
        f"rule {hit.rule} was switched off: {hit.disabled}" for hit in run.snapshot.rule_hits if hit.disabled
    ]


def masked_calls(run: Run) -> list[str]:
    """Return, one line each, what rules answered or supplied in this run."""
    counts = Counter(
        (f"{signature(call).rsplit(' ', 1)[0]} {'answered' if call.intercepted else 'helped'}", call.rule)
        for call in run.trace()
        if call.rule
    )
    lines = [
        f"{what} by rule {rule}" + (f", {count} times" if count > 1 else "")
        for (what, rule), count in counts.items()
    ]
    named = {rule for _, rule in counts}
    lines += [
        f"rule {hit.rule} acted on {hit.syscall} {hit.hits} times"
        for hit in run.snapshot.rule_hits
        if hit.hits and hit.syscall != AT_START and hit.rule not in named
    ]
    return [*_hidden_interfaces(run), *lines]


def _hidden_interfaces(run: Run) -> list[str]:
    """Return, one line each, the interfaces that were made for the run and that a rule answered for."""
    starts = run.snapshot.start_settings
    made = {name for one in starts if one.setting == "interfaces" for name in one.says.split()[2:]}
    told = {
        (call.interface, call.rule)
        for call in run.trace()
        if call.intercepted and call.rule and call.interface in made
    }
    return [
        f"network interface {name} was really there, and hidden: what the program was told of it is made up"
        f" by rule {rule}"
        for name, rule in sorted(told, key=str)
    ]


def judge(before: Run, after: Run, earlier: Sequence[Run] = (), how: How = "retry") -> Verdict:
    """Return the verdict on `after`, which retries (or continues) `before`.

    `earlier` are further earlier rounds of the same target: what they reached already is not new. With
    `how` "resume" the two runs are two stops of one process, and only calls after the first stop count.
    """
    known = set(signatures(before.trace()))
    for run in earlier:
        known |= set(signatures(run.trace()))
    start = before.snapshot.trigger.seq if how == "resume" else 0
    continued = [call for call in after.trace() if call.seq >= start]
    novel = [
        text
        for text, _ in signatures(call for call in continued if _counts(call)).items()
        if text not in known
    ]
    lost = _reached(before) - set(signatures(after.trace()))
    blocked = blocking_signatures(before)
    still_blocked = blocked & set(signatures(continued))
    same_end = _same_end(before, after)
    word, reasons = _decide(before, after, novel, lost, blocked, still_blocked, same_end)
    replaced = (_replaced(before, after) or _another_command(before, after)) if how == "retry" else ""
    if replaced:
        word, reasons = "inconclusive", [replaced, f"it {_end_in_words(after)}"]
        novel = []
    reasons += switched_off(after)
    reasons += [
        f"it was started with {one.says}, by rule {one.rule}" for one in after.snapshot.start_settings
    ]
    return Verdict(
        word=word,
        rung=_rung(after, bool(novel) and word != "sideways", same_end and not replaced),
        reasons=reasons,
        before=figures(before),
        after=figures(after),
        novel=novel[:MAX_NOVEL],
        masked=masked_calls(after),
        how=how,
    )


def _waits_now(before: Run, after: Run) -> str:
    """Say that a call which was repeated without a pause lets its thread wait now; "" where it does not."""
    loop = before.snapshot.loop
    if before.snapshot.reason != "loop" or loop is None or loop.sleeps or after.snapshot.reason != "idle":
        return ""
    if after.snapshot.trigger.spinning:
        return ""
    last = {call.tid: call for call in after.trace()}
    waits = next((one.name for one in last.values() if one.ret is None and one.name in loop.names), "")
    return f"the busy loop is gone: {waits}, which was repeated without a pause, waits now" if waits else ""


def _reached(run: Run) -> set[str]:
    """Return the signatures of what worked in a run: a failure that is not repeated later is no loss."""
    return set(signatures(call for call in run.trace() if not call.errno))


def _replaced(before: Run, after: Run) -> str:
    """Say that the runs are of different programs, which cannot be compared; "" when they are of the same."""
    first, second = before.snapshot.target, after.snapshot.target
    if "" in (first.program_sha256, second.program_sha256) or first.program_sha256 == second.program_sha256:
        return ""
    arches = "" if first.arch == second.arch else f" (it was for {first.arch} and is for {second.arch})"
    return f"{second.program} is another file than in the run before{arches}: the two runs do not compare"


def _another_command(before: Run, after: Run) -> str:
    """Say that a start rule made another command of it; "" where the same is done with other options.

    A program of many names (busybox, git) is told what to do by its first argument, which is no option.
    """
    first, second = before.snapshot.target.argv, after.snapshot.target.argv
    size = 2 if len(first) > 1 and not first[1].startswith("-") else 1
    if first[:size] == second[:size]:
        return ""
    was, now = (" ".join(argv[:2]) for argv in (first, second))
    return f"it was started as {now} and before as {was}: what is new is another command's, no progress"


def _counts(call: Syscall) -> bool:
    """Tell whether a call can count as new ground: no rule helped with it, unless to run a real program."""
    started = call.name in ("execve", "execveat") and not call.errno and not call.intercepted
    return call.name not in _NO_PROGRESS and (call.rule is None or started)


def _same_end(before: Run, after: Run) -> bool:
    """Tell whether both runs stopped for the same reason at the same kind of call with the same result."""
    first, second = before.snapshot, after.snapshot
    return (
        first.reason == second.reason
        and first.trigger.syscall_name == second.trigger.syscall_name
        and first.trigger.exit_code == second.trigger.exit_code
        and first.trigger.signal == second.trigger.signal
    )


def _same_place(before: Run, after: Run) -> bool:
    """Tell whether both ended in the same way, loops of other calls told apart."""
    first, second = before.snapshot.loop, after.snapshot.loop
    return _same_end(before, after) and (set(first.names) if first else None) == (
        set(second.names) if second else None
    )


def _leads_on(text: str) -> bool:
    """Tell whether a new signature shows new ground: an object by name, a failure, a socket or a process.

    Copying, reading and closing the descriptor of a file that a rule put there shows none, nor does asking
    whether it is a terminal, as the C library does before it buffers (isatty(3)).
    """
    name = text.split("(")[0].split(" ")[0]
    if text.startswith(_IS_TERMINAL):
        return False
    return "(" in text or not text.endswith(" ok") or name in _LEADS_ON


def _new_output(before: Run, after: Run) -> str | None:
    """Return the first line that only the later run printed, numbers aside."""
    known = {re.sub(r"\d+", "#", line) for line in _output(before)}
    return next((line for line in _output(after) if re.sub(r"\d+", "#", line) not in known), None)


def _output(run: Run) -> list[str]:
    try:
        text = run.text_file(run.snapshot.guest_output, MAX_OUTPUT_BYTES)
    except TriageError:
        return []
    return [line for line in text.split("\n") if line.strip()]


def _answer(run: Run) -> str:
    """Return what the first probe that was answered says, raw text."""
    return next((probe.detail for probe in run.snapshot.probes if probe.outcome == "answered"), "")


def _healthy(diagnosis: Diagnosis | None) -> bool:
    return diagnosis is not None and diagnosis.healthy


def _ended_badly(run: Run) -> bool:
    """Tell whether a program was stopped by what it did itself, and is not well by its diagnosis."""
    chosen = run.snapshot.reason in ("requested", "syscall", "time_limit")
    return not chosen and run.diagnosis is not None and not run.diagnosis.healthy


def _end_in_words(run: Run) -> str:
    snapshot = run.snapshot
    trigger = snapshot.trigger
    match snapshot.reason:
        case "exit":
            return f"exits with {trigger.exit_code}"
        case "signal":
            return f"dies of {trigger.signal}"
        case "loop":
            return "repeats a syscall sequence"
        case "sleep_loop":
            return "sleeps and repeats"
        case "idle":
            return f"waits in {trigger.syscall_name}"
        case "emulator":
            return "ends because the emulator failed"
        case "syscall":
            return f"was frozen at {trigger.syscall_name}, as was wanted"
        case "requested":
            return "was frozen on request"
        case _:
            return "was still running when its time was over"


def _decide(
    before: Run,
    after: Run,
    novel: list[str],
    lost: set[str],
    blocked: set[str],
    still_blocked: set[str],
    same_end: bool,
) -> tuple[VerdictWord, list[str]]:
    end = f"it {_end_in_words(after)}; before, it {_end_in_words(before)}"
    count = "1 syscall signature is" if len(novel) == 1 else f"{len(novel)} syscall signatures are"
    first = next((text for text in novel if _leads_on(text)), novel[0] if novel else "")
    news = f"{count} new, such as {first}" if novel else "no syscall signature is new"
    if _healthy(after.diagnosis) and not _healthy(before.diagnosis):
        scene = after.diagnosis.scene.replace("_", " ") if after.diagnosis else ""
        return "resolved", [f"the program is well now ({scene}): {end}", news]
    if _healthy(before.diagnosis) and _ended_badly(after):
        return "regressed", [f"the program was well before, and is not now: {end}", news]
    crashed = after.snapshot.reason == "signal" and before.snapshot.reason != "signal"
    if still_blocked and same_end:
        failed = sorted(still_blocked)[0]
        if len(lost) > len(novel):
            return "regressed", [
                f"the same failure is there ({failed}) and {len(lost)} signatures are missing",
                end,
            ]
        return "sideways", [f"the same failure is still there: {failed}", end, news]
    if crashed and len(lost) >= len(novel):
        return "regressed", [f"it dies of {after.snapshot.trigger.signal} now, and did not before", end, news]
    passed = f"the failure is passed: {sorted(blocked)[0]}" if blocked and not still_blocked else end
    if is_well(after.snapshot.probes) and not is_well(before.snapshot.probes):
        return "progressed", [f"its service answers now: {safe_line(_answer(after), 160)}", end, news]
    if novel and _same_place(before, after) and not any(map(_leads_on, novel)):
        printed = _new_output(before, after)
        if printed is None:
            led = "it led to no new object, failure, connection, process or line of output"
            return "sideways", [*([passed] if passed != end else []), led, end, news]
        news = f"it prints something new: {safe_line(printed, 120)}; {news}"
    if novel:
        reasons = [news, passed] if passed == end else [news, passed, end]
        if crashed:
            reasons.append(f"but it dies of {after.snapshot.trigger.signal} now")
        return "progressed", reasons
    if waits := _waits_now(before, after):
        return "progressed", [waits, end, news]
    if lost and len(lost) > 2:
        return "regressed", [f"{len(lost)} signatures of the earlier run are missing and none is new", end]
    if after.snapshot.reason == "time_limit":
        return "inconclusive", ["the time was over before anything new happened", end]
    if same_end:
        return "sideways", ["it ends in the same way", news]
    return "sideways", [end, news]


def _rung(run: Run, novel: bool, same_end: bool) -> Rung:
    if is_well(run.snapshot.probes):
        return "answers"
    if run.snapshot.statistics.listening:
        return "listens"
    if run.snapshot.reason == "exit" and _healthy(run.diagnosis):
        return "healthy_exit"
    if novel:
        return "new_branch"
    return "runs" if same_end else "passed"
