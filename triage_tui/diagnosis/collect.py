"""From a run record to its facts."""

from __future__ import annotations

import errno
import re
from itertools import accumulate

import msgspec

from triage_tui.diagnosis import calls as c
from triage_tui.diagnosis.accounts import account_in
from triage_tui.diagnosis.causality import Causality, own_names, weigh
from triage_tui.diagnosis.computing import computing_threads
from triage_tui.diagnosis.decision import decision_of
from triage_tui.diagnosis.ending import end_of, without_fault
from triage_tui.diagnosis.facts import (
    NEVER,
    Child,
    Facts,
    Identity,
    Listening,
    Message,
    Opened,
    ProcessEnd,
    RuledCall,
    Source,
    syscall_source,
)
from triage_tui.diagnosis.failures import failed_calls
from triage_tui.diagnosis.fault import fault_of
from triage_tui.diagnosis.found_text import found_messages
from triage_tui.diagnosis.logged_lines import in_order, logged_messages
from triage_tui.diagnosis.logs_of_others import log_lines
from triage_tui.diagnosis.loops import loop_facts, loop_range
from triage_tui.diagnosis.memory_facts import memory_facts
from triage_tui.diagnosis.output import is_complaint, lines_of, writes_to_output
from triage_tui.diagnosis.polled import polled_word
from triage_tui.diagnosis.probes import probe_facts, without_answers
from triage_tui.diagnosis.ties import ties_of
from triage_tui.diagnosis.trace import Step, Walk, walk
from triage_tui.diagnosis.waits import add_waits
from triage_tui.errors import TriageError
from triage_tui.runs.model import Syscall
from triage_tui.runs.process_model import Descriptor
from triage_tui.runs.reader import Run

MAX_CALLS = 60_000
"""Calls looked at, counted from the end."""

MAX_OPENED = 200


def history(run: Run) -> list[Syscall]:
    """Return the calls up to the moment of the freeze, oldest first, each once."""
    calls = {call.seq: call for call in run.trace()[-MAX_CALLS:]}
    for call in run.snapshot.recent_syscalls:
        calls.setdefault(call.seq, call)
    last = run.snapshot.trigger.seq
    ordered = [calls[seq] for seq in sorted(calls)]
    if run.snapshot.reason in ("exit", "signal"):
        ordered = [call for call in ordered if call.seq <= last] or ordered
    return _with_refusals(ordered)


def _with_refusals(calls: list[Syscall]) -> list[Syscall]:
    """Return `calls` with the result of those that were refused and that the emulator does not log.

    A refused call was answered with EPERM when its thread went on.
    """
    gone_on: set[int] = set()
    told = []
    for call in reversed(calls):
        refused = c.is_under_way(call) and (call.note or "").startswith(c.REFUSED)
        if refused and call.tid in gone_on:
            call = msgspec.structs.replace(call, ret=-errno.EPERM, errno="EPERM")
        gone_on.add(call.tid)
        told.append(call)
    return told[::-1]


def distances(steps: list[Step], quiet: set[int]) -> dict[int, int]:
    """Return for each call how many calls of its process that mean something come after it.

    `quiet` holds sequence numbers that do not count, besides the housekeeping calls.
    """
    after: dict[int, int] = {}
    result: dict[int, int] = {}
    for step in reversed(steps):
        pid = step.call.pid
        result[step.call.seq] = after.get(pid, 0)
        if step.call.name not in c.HOUSEKEEPING and step.call.seq not in quiet:
            after[pid] = after.get(pid, 0) + 1
    return result


def calls_behind(steps: list[Step]) -> dict[int, int]:
    """Return for each call how many calls of its process lie between it and that process's last one."""
    after: dict[int, int] = {}
    result: dict[int, int] = {}
    for step in reversed(steps):
        pid = step.call.pid
        result[step.call.seq] = max(0, after.get(pid, 0) - 1)
        after[pid] = after.get(pid, 0) + 1
    return result


def gather(run: Run, knowledge: Causality) -> Facts:
    """Derive all facts of `run`."""
    calls = history(run)
    walked = walk(calls, run.snapshot.target.cwd)
    main = run.snapshot.trigger.pid or (calls[-1].pid if calls else 0)
    rounds = loop_range(run.snapshot, walked.steps)
    facts = Facts()
    end = end_of(run, walked, main)
    facts.add("end", end)
    steps_after = distances(walked.steps, set())
    failed = failed_calls(walked, main, steps_after, rounds)
    quiet = {fact.seq for fact in failed if (noise := knowledge.noise_of(fact)) and noise.weight <= 0.1}
    steps_after = distances(walked.steps, quiet)
    behind = calls_behind(walked.steps)
    failed = [
        msgspec.structs.replace(
            fact, steps=steps_after.get(fact.seq, fact.steps), behind=behind.get(fact.seq, -1)
        )
        for fact in failed
    ]
    printed = _messages(run, calls, steps_after)
    messages = [message for message in printed if message.stream != "emulator"]
    messages = in_order(messages, logged_messages(run, calls, steps_after))
    known = {message.text for message in messages}
    messages += [message for message in found_messages(run) if message.text not in known]
    for elsewhere in log_lines(run, steps_after):
        facts.add("log_line", elsewhere)
    probes = probe_facts(run.snapshot)
    for probe in probes:
        facts.add("probe", probe)
    names = own_names(run.snapshot.target.program, run.snapshot.target.argv)
    decision = decision_of(run)
    ties = ties_of(run, failed, walked.steps, decision)
    for fact in without_answers(weigh(failed, messages, end, knowledge, names, ties), probes):
        facts.add("failed_call", fact)
    for message in messages:
        facts.add("message", message)
    for kind, found in loop_facts(run.snapshot, walked.steps, rounds):
        facts.add(kind, found)
    if not calls and end.reason == "signal" and not run.snapshot.backtrace.frames:
        # It died before its first call: the emulator's own message is the only witness. It names no address.
        line = next((message for message in printed if "uncaught target signal" in message.text), None)
        if line is not None:
            end = msgspec.structs.replace(end, says=without_fault(end.says), cite=without_fault(end.cite))
            facts.by_kind["end"] = [msgspec.structs.replace(end, source=line.source)]
    if end.reason == "emulator":
        own = next((message for message in reversed(printed) if message.stream == "emulator"), None)
        facts.by_kind["end"] = [msgspec.structs.replace(end, source=own.source if own else end.source)]
    for descriptor in run.snapshot.fds:
        if descriptor.state and descriptor.state.startswith("listening"):
            facts.add("listening", _listening_descriptor(descriptor))
    add_waits(facts, walked, main, steps_after, run.snapshot)
    _add_identity(facts, walked, steps_after)
    _add_children(facts, walked)
    _add_ended(facts, walked, main)
    _add_opened(facts, walked, messages, steps_after)
    _add_ruled(facts, walked, steps_after)
    for spinner in computing_threads(run.snapshot, calls):
        facts.add("computing", spinner)
    for memory in memory_facts(run):
        facts.add("memory", memory)
    if (polled := polled_word(run)) is not None:
        facts.add("polled", polled)
    if decision is not None:
        facts.add("decision", decision)
    if end.reason == "signal" and (fault := fault_of(run)) is not None:
        facts.add("fault", fault)
    return facts


def _listening_descriptor(descriptor: Descriptor) -> Listening:
    return Listening(
        source=Source(kind="fd", id=str(descriptor.fd)),
        says=f"descriptor {descriptor.fd} is {descriptor.state}",
        cite=f"descriptor {descriptor.fd} {descriptor.state}",
        address=(descriptor.state or "").removeprefix("listening").strip(),
    )


def _messages(run: Run, calls: list[Syscall], steps_after: dict[int, int]) -> list[Message]:
    """Return the lines of the program's output, and its attempts to use the system log."""
    try:
        data = run.text_file(run.snapshot.guest_output).encode("utf-8", "surrogateescape")
    except TriageError:
        data = b""
    lines = lines_of(data, writes_to_output(calls))
    name = run.snapshot.guest_output.removeprefix("logs/")
    said = list(accumulate(not line.emulator for line in lines))
    return [
        Message(
            source=Source(kind="log", id=name, line=line.number),
            says=f'the program said "{line.text[:200]}"',
            cite=f'"{line.text[:120]}"',
            seq=line.seq,
            pid=line.pid,
            steps=steps_after.get(line.seq, NEVER if line.seq >= 0 else 0),
            text=line.text,
            stream="emulator" if line.emulator else "output",
            error=is_complaint(line.text) and not line.emulator,
            from_last=said[-1] - said[index],
            account=account_in(line.text),
        )
        for index, line in enumerate(lines)
    ]


def _add_identity(facts: Facts, walked: Walk, steps_after: dict[int, int]) -> None:
    asked = [step.call for step in walked.steps if step.operation == "getid" and (step.call.ret or 0) > 0]
    if asked:
        last = asked[-1]
        facts.add(
            "identity",
            Identity(
                source=syscall_source(last.seq),
                says=f"the program asked for its user and got {last.ret}, which is not root",
                cite=f"{last.name}() = {last.ret}",
                seq=last.seq,
                pid=last.pid,
                steps=steps_after.get(last.seq, NEVER),
                name=last.name,
                names=",".join(sorted({call.name for call in asked})),
                value=last.ret or 0,
            ),
        )


_FAULT = re.compile(r"then (SIG(?:SEGV|BUS|ILL|FPE|ABRT|SYS|TRAP)) was delivered")


def _crash_of(walked: Walk, pid: int) -> tuple[str, Syscall | None]:
    """Return the signal of a fault that the ended process `pid` died of, "" for none, and its last call."""
    last = next((step.call for step in reversed(walked.steps) if step.call.pid == pid), None)
    if last is None or last.name in ("exit", "exit_group"):
        return "", None
    found = _FAULT.findall(last.note or "")
    return (found[-1], last) if found else ("", None)


def _add_children(facts: Facts, walked: Walk) -> None:
    for step in walked.steps:
        if (
            step.operation != "fork"
            or (step.call.ret or 0) <= 0
            or "CLONE_THREAD" in ",".join(step.call.arguments)
        ):
            continue
        child = walked.processes.get(step.call.ret or 0)
        alive = child is None or not child.ended
        executed = [
            one
            for one in walked.steps
            if one.operation == "exec" and one.call.pid == step.call.ret and c.succeeded(one.call)
        ]
        crashed, last = ("", None) if alive else _crash_of(walked, step.call.ret or 0)
        went = (
            " which is still running"
            if alive
            else f" which died of {crashed}"
            if crashed
            else " which has ended"
        )
        facts.add(
            "child",
            Child(
                # That it crashed is noted at the last call that it made.
                source=syscall_source(last.seq if last is not None else step.call.seq),
                says=f"process {step.call.pid} started process {step.call.ret},{went}",
                cite=c.describe(last) if last is not None else f"{step.call.name}() = {step.call.ret}",
                seq=step.call.seq,
                pid=step.call.pid,
                alive=alive,
                crashed=crashed,
                daemon=bool(child and child.session_leader),
                runs=executed[-1].path if executed else "",
                process=step.call.ret or 0,
            ),
        )


def _add_ended(facts: Facts, walked: Walk, main: int) -> None:
    first = walked.steps[0].call.pid if walked.steps else main
    for step in walked.steps:
        call = step.call
        if call.name == "exit_group" and call.pid != main and (code := c.number(call, 0)) is not None:
            facts.add(
                "process_end",
                ProcessEnd(
                    source=syscall_source(call.seq),
                    says=f"process {call.pid} ended with exit code {code & 0xFF}",
                    cite=f"exit_group({code & 0xFF})",
                    seq=call.seq,
                    pid=call.pid,
                    process=call.pid,
                    code=code & 0xFF,
                    first=call.pid == first,
                ),
            )


def _add_opened(facts: Facts, walked: Walk, messages: list[Message], steps_after: dict[int, int]) -> None:
    seen: dict[str, Opened] = {}
    directories: set[str] = set()
    # Calls that made a descriptor from which something was read later.
    fed: set[int] = set()
    complaints = "\n".join(message.text for message in messages if message.error)
    for step in walked.steps:
        if step.operation == "open" and c.succeeded(step.call) and step.path:
            path = step.absolute
            base = path.rpartition("/")[2]
            if any("O_DIRECTORY" in text for text in step.call.arguments):
                directories.add(path)
            seen[path] = Opened(
                source=syscall_source(step.call.seq),
                says=f'it could open "{path}"'
                + (f", which rule {step.call.rule} supplied" if step.call.rule else ""),
                cite=c.describe(step.call),
                seq=step.call.seq,
                pid=step.call.pid,
                steps=steps_after.get(step.call.seq, NEVER),
                path=path,
                base=base,
                resource=c.resource(path),
                mentioned=path in complaints or (len(base) > 4 and base in complaints),
                supplied=step.call.rule or "",
            )
        elif step.origin is not None and step.call.name in ("getdents", "getdents64"):
            directories.add(step.origin.path)
        elif step.operation == "read" and step.origin is not None and c.succeeded(step.call):
            fact = seen.get(step.origin.path)
            if step.call.ret:
                fed.add(step.origin.seq)
            elif fact is not None and fact.seq == step.origin.seq and fact.seq not in fed and not fact.empty:
                seen[fact.path] = msgspec.structs.replace(fact, empty=True)
    # What a question finds last is what it cites: a file rather than a directory, best one that is spoken of.
    telling = sorted(seen.values(), key=lambda fact: (fact.path not in directories, fact.mentioned))
    for fact in telling[-MAX_OPENED:]:
        facts.add("opened", fact)


def _add_ruled(facts: Facts, walked: Walk, steps_after: dict[int, int]) -> None:
    groups: dict[tuple[str, str], list[Step]] = {}
    for step in walked.steps:
        if step.call.rule and step.call.ret is not None:
            groups.setdefault((step.call.rule, step.call.name), []).append(step)
    for steps in sorted(groups.values(), key=lambda group: group[-1].call.seq)[-MAX_OPENED:]:
        last = steps[-1]
        call = last.call
        facts.add(
            "ruled_call",
            RuledCall(
                source=syscall_source(call.seq),
                says=f"rule {call.rule} answered {c.describe(call)}",
                cite=c.describe(call),
                seq=call.seq,
                pid=call.pid,
                steps=steps_after.get(call.seq, NEVER),
                rule=call.rule or "",
                operation=last.operation,
                name=call.name,
                ret=call.ret if call.ret is not None else -1,
                path=last.absolute,
                request=c.request(call),
                origin=last.origin.label if last.origin else "",
                count=len(steps),
            ),
        )
