"""The header in words: what happened, what led to it, most likely why, what is proposed. Safe to show.

It is put together from clauses, and what matters less is left out where there is little room.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from triage_tui.text import number_of, safe_line
from triage_tui.ui.rows import clip, short

if TYPE_CHECKING:
    from triage_tui.runs.model import Loop, Snapshot, Syscall
    from triage_tui.ui.run_view import RunView

SURE, DOUBT = 0.8, 0.4
"""From the first on a cause is "most likely", and below the second a healthy look is no more than a guess."""
_LEAST_PRINTED = 24
"""Cells below which what was printed says nothing."""

_DULL = ("clock_gettime", "gettimeofday", "rt_sigprocmask", "fcntl", "getpid")
"""What calls begin with that tell nothing of a loop which has others."""

_CITED = re.compile(
    r": (?P<cite>.{1,400}? = [A-Z][A-Z0-9]+) (?P<ago>just before|in each round|long ago|\d+ calls? ago)"
)
_PRINTED = re.compile(r', (?:then|after) it printed "(?P<text>.*)"(?=\. |, )')
_FAULT = re.compile(r"\bsi_addr=(0x[0-9a-f]{1,16})\b")
_BLOCKED = re.compile(r"blocked in (?P<calls>[\w, ]{1,100}?) for (?P<time>[\d.]{1,10} s)")


class Headline(NamedTuple):
    """The clauses of a header line."""

    who: str
    """"snmpd (MIPS, pid 811)"."""
    what: str
    """"is about to exit(1)"."""
    because: str = ""
    """What led to it: "open("/etc/snmp/snmpd.conf") = ENOENT"."""
    ago: str = ""
    """How long before: "3 calls ago"."""
    printed: str = ""
    """What the program said about it."""
    verdict: str = ""
    """"Most likely: missing_file (0.93)."."""
    proposed: str = ""
    """"2 rules proposed."."""


def headline(view: RunView) -> Headline:
    """Return the clauses for a run."""
    snapshot, diagnosis = view.snapshot, view.diagnosis
    told = diagnosis.headline[:2000] if diagnosis is not None else ""
    healthy = diagnosis is not None and diagnosis.healthy
    cited, printed = _CITED.search(told), _PRINTED.search(told)
    because = ago = ""
    if not healthy:
        because, ago = (cited["cite"], cited["ago"]) if cited else (_failed_call(view), "")
    what = what_happened(snapshot)
    if healthy and snapshot.reason in ("loop", "sleep_loop", "time_limit"):
        what += _listens(snapshot)
    return Headline(
        who=who(snapshot),
        what=what,
        because=safe_line(because, 200),
        ago=ago,
        printed=safe_line(printed["text"], 300) if printed and not healthy else "",
        verdict=_verdict(view),
        proposed=_proposed(view),
    )


def fitted(line: Headline, room: int) -> str:
    """Return as much of it as fits into `room` cells, the most important first.

    What was printed is cut first, then goes the number of rules, then the verdict, which stand below it too.
    """
    text = _joined(line)
    over = cell_len(text) - room
    if over <= 0:
        return text
    if line.printed:
        left = cell_len(line.printed) - over
        if left >= _LEAST_PRINTED:
            return _joined(line._replace(printed=clip(line.printed, left)))
        line = line._replace(printed="")
    for name in ("proposed", "verdict", "ago"):
        if cell_len(text := _joined(line)) <= room:
            return text
        line = line._replace(**{name: ""})
    text = _joined(line)
    if cell_len(text) > room and line.because:
        left = cell_len(line.because) - (cell_len(text) - room)
        text = _joined(line._replace(because=_shortened(line.because, left) if left > 12 else ""))
    return clip(text, room)


def _shortened(call: str, room: int) -> str:
    """Return a failed call in at most `room` cells; its error stays."""
    head, sign, error = call.rpartition(" = ")
    end = f"{sign}{error}"
    return clip(head, room - cell_len(end)) + end if room - cell_len(end) > 8 else clip(call, room)


def _joined(line: Headline) -> str:
    text = f"{line.who} {line.what}"
    if line.because:
        text += f": {line.because}"
        text += f" {line.ago}" if line.ago else ""
    if line.printed:
        text += f', {"then" if line.because else "after"} it printed "{line.printed}"'
    text += "" if text.endswith(("…", "?", "!", ".")) else "."
    return " ".join(part for part in (text, line.verdict, line.proposed) if part)


def who(snapshot: Snapshot) -> str:
    """Return the name of the program as it was started, its architecture and its pid."""
    target = snapshot.target
    file = target.program.rsplit("/", 1)[-1] or "?"
    name = target.argv[0].rsplit("/", 1)[-1].lstrip("-") if target.argv else ""
    if name == file == "busybox" and len(target.argv) > 1 and target.argv[1].isalnum():
        name = target.argv[1]
    facts = [short(target.arch.upper(), 12)]
    if name and name != file:
        # One file with many names: which of them it was says more than the file does.
        facts.insert(0, short(file, 30))
    if snapshot.trigger.pid:
        facts.append(f"pid {snapshot.trigger.pid}")
    return f"{short(name or file, 40)} ({', '.join(facts)})"


def what_happened(snapshot: Snapshot) -> str:
    """Return what stopped the guest, for every kind of trigger: "is about to exit(1)"."""
    trigger = snapshot.trigger
    match snapshot.reason:
        case "exit":
            code = "" if trigger.exit_code is None else str(trigger.exit_code)
            return f"ended with exit({code})" if trigger.ended else f"is about to exit({code})"
        case "signal":
            return _killed(snapshot)
        case "emulator":
            return f"ends because {short(trigger.detail, 120) or 'the emulator failed'}"
        case "loop" | "sleep_loop":
            return _goes_round(snapshot.loop, snapshot.reason == "sleep_loop")
        case "idle":
            return _idles(snapshot)
        case "syscall":
            return f"was frozen at {_trigger_call(snapshot)}, as was wanted"
        case "requested":
            return f"was frozen by a person{_doing(snapshot)}"
        case "time_limit":
            return f"was still running{_doing(snapshot)} when its time was over"
        case _:
            return f"was stopped: {short(trigger.detail, 120)}" if trigger.detail else "was stopped"


def _sender(snapshot: Snapshot) -> str:
    trigger = snapshot.trigger
    if not trigger.sender:
        return ""
    return ", which " + (
        "it sent itself" if trigger.sender == trigger.pid else f"process {trigger.sender} sent"
    )


def _killed(snapshot: Snapshot) -> str:
    trigger = snapshot.trigger
    fault = _FAULT.search(trigger.detail)
    where = f" at address {int(fault[1], 16):#x}" if fault and not trigger.sender else ""
    how = "was killed by" if trigger.ended or trigger.sender else "is about to be killed by"
    return f"{how} {short(trigger.signal or 'a signal', 20)}{where}{_sender(snapshot)}"


def _goes_round(loop: Loop | None, sleeps: bool) -> str:
    if loop is None:
        return "sleeps in a loop" if sleeps else "repeats itself"
    # In a round a call may come several times; what matters is which there are.
    every = list(dict.fromkeys(loop.names))
    names = [name for name in every if not name.startswith(_DULL)] or every
    shown = ", ".join(short(name, 30) for name in names[:4]) + (", …" if len(names) > 4 else "")
    about = "about " if loop.skimmed else ""
    count = f"{about}{number_of(loop.repeats, 'round')}"
    if not shown:
        shown = number_of(loop.period, "call")
    if sleeps or loop.sleeps:
        return f"sleeps in a loop: {count} of {shown}"
    took = f" in {loop.span_ms / 1000:.1f} s" if loop.span_ms >= 50 else ""
    return f"repeats {shown} again and again: {count}{took}"


def _idles(snapshot: Snapshot) -> str:
    trigger = snapshot.trigger
    if trigger.stopped:
        return f"is stopped by {short(trigger.stopped, 20)}{_sender(snapshot)}"
    if trigger.spinning:
        thread = f" in thread {trigger.tid}" if trigger.tid and trigger.tid != trigger.pid else ""
        return f"computes{thread} and makes no calls"
    blocked = _BLOCKED.search(trigger.detail)
    if blocked:
        text = f"has waited in {blocked['calls']} for {blocked['time']}"
    elif snapshot.loop is not None:
        text = "waits and goes round"
    elif trigger.syscall_name:
        text = f"waits in {short(trigger.syscall_name, 40)}"
    else:
        text = "makes no calls any more"
    answered = next((probe for probe in reversed(snapshot.probes) if probe.outcome == "answered"), None)
    if answered is not None:
        return f"{text}, and its service answers ({short(answered.target, 60)})"
    return text + _listens(snapshot)


def _listens(snapshot: Snapshot) -> str:
    listening = [short(one, 40) for one in snapshot.statistics.listening[:2]]
    more = len(snapshot.statistics.listening) - 2
    if not listening:
        return ""
    return f", listening on {' and '.join(listening)}{f' and {more} more' if more > 0 else ''}"


def _doing(snapshot: Snapshot) -> str:
    trigger = snapshot.trigger
    if trigger.spinning:
        return " while it computed"
    if snapshot.loop is not None and snapshot.loop.repeats > 1:
        return f": it {_goes_round(snapshot.loop, snapshot.loop.sleeps)}"
    return f" in {_trigger_call(snapshot)}" if trigger.syscall_name else ""


def _trigger_call(snapshot: Snapshot) -> str:
    """Return the call that the guest is in, with what it is about."""
    trigger = snapshot.trigger
    call = next((one for one in reversed(snapshot.recent_syscalls) if one.seq == trigger.seq), None)
    if call is not None and call.name == trigger.syscall_name:
        return _call(call)
    return short(trigger.syscall_name, 40) or "a call"


def _call(call: Syscall) -> str:
    """Return a call with the argument that tells most."""
    about = f'"{call.path}"' if call.path is not None else call.peer or ""
    if call.request:
        about = f"{call.request}, {call.interface}" if call.interface else call.request
    return f"{short(call.name, 40)}({safe_line(about, 120)})" if about else short(call.name, 40)


def _failed_call(view: RunView) -> str:
    """Return the failed call that the best hypothesis cites, "" when it cites none."""
    hypotheses = view.diagnosis.hypotheses if view.diagnosis else []
    for evidence in hypotheses[0].evidence[:8] if hypotheses else []:
        match = re.match(r"ev:syscall/(\d{1,12})\b", evidence.link)
        call = view.run.syscall(int(match[1])) if match else None
        if call is not None and call.errno:
            return f"{_call(call)} = {short(call.errno, 20)}"
    return ""


def _verdict(view: RunView) -> str:
    diagnosis = view.diagnosis
    if diagnosis is None:
        return "No diagnosis yet."
    best = diagnosis.hypotheses[0] if diagnosis.hypotheses else None
    if best is None or best.cause == "unknown":
        return "No known cause fits."
    confidence = min(1.0, max(0.0, best.confidence))
    about = f"{short(best.cause, 40)} ({confidence:.2f})."
    if diagnosis.healthy and confidence >= DOUBT:
        doubted = ", and the judge doubts it" if view.verdict.get("doubted") is True else ""
        return f"This looks healthy{doubted}: {about}"
    return f"{'Most likely' if confidence >= SURE else 'Perhaps'}: {about}"


def _proposed(view: RunView) -> str:
    count = len(view.proposals)
    if not count:
        return ""
    observe = sum(proposal.observe_only for proposal in view.proposals)
    if observe == count:
        return f"{count} rule{'s' * (count != 1)} proposed that only observe{'s' * (count == 1)}."
    repair = count - observe
    more = f", {observe} observe{'s' * (observe == 1)}" if observe else ""
    return f"{repair} rule{'s' * (repair != 1)} proposed{more}."
