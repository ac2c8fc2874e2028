"""What to try when the cause is not sure: experiments ranked by how much of the doubt each would end.

The doubt is the confidence of the hypotheses and what is left unexplained. An experiment has two outcomes; it
is worth the entropy of that question in bits, times how often such an experiment gives a clear answer. An
entry of the knowledge base can name kinds of experiments that would settle its hypothesis; those come first
among equals. Nothing is run here: `retry/experiments` does that.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from triage_tui.diagnosis import experiment_places as places
from triage_tui.diagnosis.cite import inert
from triage_tui.diagnosis.facts import Facts, ProbeFact
from triage_tui.runs.diagnosis_model import Experiment, Hypothesis
from triage_tui.runs.events import experiments_done
from triage_tui.runs.reader import Run

SURE = 0.8
"""From this confidence of the best hypothesis on nothing has to be tried."""

MAX_EXPERIMENTS = 6
_LEAST_GAIN = 0.02
_NAMED = 0.3
"""What the reliability of an experiment grows by when the entry of a hypothesis names it first."""

_SELDOM = 0.05
"""The reliability of an experiment that reads what the diagnosis has no use for, see `_can_tell`.

Of 47 readings of memory, 30 of code and 8 watches of that kind, on runs of labelled failures, none changed an
answer.
"""

_WAITS = frozenset(("network_wait", "normal_exit"))
_OWN = frozenset(("config_error", "arguments", "cwd_webroot"))


class _Kind(msgspec.Struct, frozen=True):
    """What one kind of experiment is good for."""

    causes: frozenset[str]
    """Causes that one of its outcomes speaks for; empty stands for the best hypothesis alone."""
    unexplained: float
    """Share of what no hypothesis explains that the same outcome would account for."""
    reliability: float
    """How often it gives a clear answer."""
    cost: str


_READ = "reads the record and the program file, about a second; nothing is run"
_RUN = "a new run of the program from its start, as long as the one before"

_KINDS: Mapping[str, _Kind] = {
    # A guest that is held frozen cannot be asked: the kernel takes a connection for it, and nobody answers.
    "probe": _Kind(_WAITS, 0.5, 0.9, f"{_RUN}: one that is held frozen cannot answer"),
    "input": _Kind(_WAITS, 0.5, 0.8, _RUN),
    "longer": _Kind(_WAITS | {"sleep_loop", "spin_or_lock"}, 0.5, 0.7, "a new run, five times as long"),
    "verbose": _Kind(_OWN, 0.5, 0.6, _RUN),
    "observe": _Kind(frozenset(), 0.3, 0.4, f"{_RUN}; its rule is rolled back afterwards"),
    "memory": _Kind(frozenset(("spin_or_lock", "crash_signal", "config_error")), 0.4, 0.45, ""),
    "code": _Kind(_OWN | {"spin_or_lock", "crash_signal"}, 0.4, 0.5, _READ),
    "full_trace": _Kind(frozenset(), 0.3, 0.4, f"{_RUN}, and some space on the disk"),
    "again": _Kind(frozenset(), 0.3, 0.1, f"{_RUN}, and some space on the disk"),
}

_AGAIN = "run it again with all of its memory and every call kept, and see whether it ends in the same way"


def suggest(
    run: Run,
    facts: Facts,
    hypotheses: Sequence[Hypothesis],
    named: Sequence[Sequence[str]],
    *,
    anyway: bool = False,
) -> list[Experiment]:
    """Return what can be tried with this run, best first; nothing when the best hypothesis is sure.

    `named` has, for each hypothesis, the kinds that its entry of the knowledge base names. With `anyway` what
    can be tried is returned however sure the cause is, and however little it would tell.
    """
    sure = bool(hypotheses) and hypotheses[0].confidence >= SURE and hypotheses[0].cause != "unknown"
    if not hypotheses or (sure and not anyway):
        return []
    found = [
        _rated(kind, says, parameters, run, facts, hypotheses, named)
        for kind, says, parameters in _possible(run, facts)
        if places.can_be_tried(run, kind)
    ]
    done = experiments_done(run.events)
    found = [one for one in found if (anyway or one.gain >= _LEAST_GAIN) and one.id not in done]
    # Among equals what runs nothing comes first.
    found = sorted(found, key=lambda experiment: (-experiment.gain, experiment.cost != _READ))[
        : MAX_EXPERIMENTS - 1
    ]
    if (not found or anyway or hypotheses[0].cause == "unknown") and places.can_be_tried(run, "again"):
        # Whoever does not know must be able to do something about it, also when all others came to nothing.
        again = _rated("again", _AGAIN, {}, run, facts, hypotheses, named)
        found += [again] if again.id not in done else []
    return found


def identity(kind: str, parameters: Mapping[str, str]) -> str:
    """Return the id of an experiment: the same for the same experiment on the same run."""
    text = json.dumps([kind, sorted(parameters.items())])
    return f"{kind.replace('_', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _possible(run: Run, facts: Facts) -> Iterable[tuple[str, str, dict[str, str]]]:
    """Yield (kind, what is done, parameters) of each experiment that this run allows."""
    end = facts.end
    probes = [fact for fact in facts.of("probe") if isinstance(fact, ProbeFact)]
    if not probes and end.reason not in ("exit", "signal", "emulator"):
        ports = places.tcp_ports(run)
        if ports:
            yield (
                "probe",
                f"run it again and ask its service: port {', '.join(ports)}",
                {"ports": ",".join(ports)},
            )
    if places.wants_input(facts, run):
        yield "input", "run it again and give it one empty line of input", {"text": "\\n"}
    if end.reason == "time_limit" or end.spinning or end.blocked_in == "sleep":
        yield "longer", "run it again and let it run five times as long", {"factor": "5"}
    option = places.verbose_option(facts, run.snapshot.target.argv)
    if option:
        words = f'with "{inert(option, 30)}", which its own usage text names'
        yield (
            "verbose",
            f"run it again {words}, so that it says more",
            {
                "option": option,
                "place": str(places.option_place(facts, run.snapshot.target.argv)),
            },
        )
    calls = places.calls_to_watch(run, facts)
    if calls:
        shown = ", ".join(calls)
        yield "observe", f"run it again with a rule that only watches {shown}", {"syscalls": ",".join(calls)}
    windows = places.memory_windows(run, spinning=end.spinning)
    if windows:
        total = sum(size for _, size in windows) + 1023 >> 10
        yield (
            "memory",
            f"read {total} KiB of memory around {'its data and' if end.spinning else ''} its stack".replace(
                "  ", " "
            ),
            {"windows": ",".join(f"0x{start:x}+{size}" for start, size in windows)},
        )
    frame = places.deciding_frame(run)
    if frame is not None:
        name = inert(frame.func_name or f"0x{frame.addr:x}", 60)
        yield (
            "code",
            f"read the code of {name}, the innermost function of the program's own (frame {frame.idx})",
            {"frame": str(frame.idx)},
        )
    if places.trace_is_cut(run):
        yield "full_trace", "run it again and keep every call", {"trace": "full"}


def _rated(
    kind: str,
    says: str,
    parameters: dict[str, str],
    run: Run,
    facts: Facts,
    hypotheses: Sequence[Hypothesis],
    named: Sequence[Sequence[str]],
) -> Experiment:
    about = _KINDS[kind]
    causes = about.causes or frozenset((hypotheses[0].cause,))
    can_tell = _can_tell(kind, parameters, run, facts)
    settles = [index for index, kinds in enumerate(named) if kind in kinds and can_tell]
    reliability = about.reliability if can_tell else _SELDOM
    if settles:
        reliability += _NAMED / (1 + min(list(named[index]).index(kind) for index in settles))
        causes |= {hypotheses[index].cause for index in settles}
    if kind == "memory" and _may_hold_log_line(run, facts):
        reliability += _NAMED
    gain = min(1.0, reliability) * _entropy(_share(hypotheses, causes, about.unexplained))
    return Experiment(
        id=identity(kind, parameters),
        kind=kind,
        says=says,
        why=_why(hypotheses, settles),
        what_it_would_tell=_tells(kind, hypotheses, causes),
        parameters=parameters,
        cost=about.cost or _memory_cost(run),
        gain=round(gain, 3),
        hypotheses=settles,
    )


def _may_hold_log_line(run: Run, facts: Facts) -> bool:
    """Tell whether the program failed to send a log line which the record does not hold elsewhere."""
    return places.log_line_unsent(run) and all(message.stream != "syslog" for message in facts.messages)


def _can_tell(kind: str, parameters: Mapping[str, str], run: Run, facts: Facts) -> bool:
    """Tell whether what an experiment reads can hold what the diagnosis draws conclusions from.

    Of memory that is a log line that was not sent, and the word that a spinning thread waits for; of calls
    that are watched, what they send; of code, the branch that led to the end where the record has it not.
    """
    if kind == "memory":
        return facts.end.spinning or _may_hold_log_line(run, facts)
    if kind == "observe":
        return not places.CARRIERS.isdisjoint(parameters["syscalls"].split(","))
    # What the disassembly shows is known already: only a decompiler would add to it, for a person.
    return kind != "code" or not places.has_listing(run, parameters["frame"])


def _share(hypotheses: Sequence[Hypothesis], causes: frozenset[str], unexplained: float) -> float:
    """Return the probability of the outcome that speaks for `causes`."""
    known = [entry for entry in hypotheses if entry.cause != "unknown"]
    top = max((entry.confidence for entry in known), default=0.0)
    total = sum(entry.confidence for entry in known)
    own = sum(entry.confidence for entry in known if entry.cause in causes)
    explained = top * own / total if total else 0.0
    return explained + (1.0 - top) * unexplained


def _entropy(share: float) -> float:
    """Return the bits that the answer to a question with this probability of yes tells."""
    if not 0.0 < share < 1.0:
        return 0.0
    return -share * math.log2(share) - (1.0 - share) * math.log2(1.0 - share)


def _why(hypotheses: Sequence[Hypothesis], settles: Sequence[int]) -> str:
    if settles:
        first = hypotheses[settles[0]]
        return f"it would settle {first.cause} ({first.confidence:.2f}): {inert(first.title, 160)}"
    if hypotheses[0].cause == "unknown":
        return "no known cause fits what was recorded"
    return f"{hypotheses[0].cause} is not sure ({hypotheses[0].confidence:.2f})"


_OUTCOMES: Mapping[str, tuple[str, str]] = {
    "probe": ("it answers", "it does not"),
    "input": ("it goes on", "it does nothing with it"),
    "longer": ("it goes on as before", "it ends or gets further"),
    "verbose": ("it says what it misses", "it says nothing more"),
}
_FINDS: Mapping[str, str] = {
    "observe": "the data of calls of which the record has none: a log line may name the cause",
    "memory": "texts and values that it had at hand: a log line that was not sent, the flag it waits for",
    "code": "which comparison leads there, and of what",
    "full_trace": "whether a call that the record leaves out explains it",
    "again": "whether it depends on chance, on time or on what an earlier run left behind",
}


def _tells(kind: str, hypotheses: Sequence[Hypothesis], causes: frozenset[str]) -> str:
    """Return which hypotheses the experiment tells apart, or what it would find."""
    if kind in _FINDS:
        return _FINDS[kind]
    yes, no = _OUTCOMES[kind]
    known = dict.fromkeys(entry.cause for entry in hypotheses if entry.cause != "unknown")
    for_it = [cause for cause in known if cause in causes] or sorted(causes - {"unknown"})[:2]
    against = [cause for cause in known if cause not in causes][:3]
    return f"{' or '.join(for_it[:3])} if {yes}, {' or '.join(against) or 'something else'} if {no}"


def _memory_cost(run: Run) -> str:
    if run.snapshot.memory_regions:
        return _READ
    # Whether the guest still waits when it is tried is not known here.
    return "reads the guest while it waits frozen; afterwards, a new run with all of its memory kept"
