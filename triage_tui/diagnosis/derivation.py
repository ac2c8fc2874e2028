"""One analyzer per scene: from what the end shows back to the root cause, each step with what shows it.

The knowledge base says which cause is likely; an analyzer says how one gets there in the record. The kinds of
scenes lead back in different ways: a crash to the failed call whose result it used, a wait loop to the
condition that it tests, a service that waits to the answer that it gave. Nothing is concluded here that is
not a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from triage_tui.diagnosis.cite import Citer
from triage_tui.diagnosis.facts import Child, Fact, Facts, FailedCall, Message, Opened, Wait
from triage_tui.runs.diagnosis_model import DerivationStep

if TYPE_CHECKING:
    from triage_tui.diagnosis.hypotheses import Candidate

Steps = list[tuple[str, Fact]]
"""What a step is in the derivation, and the fact that shows it; from the end backwards."""

MAX_STEPS = 6
_RELEVANT = 0.3
"""A failed call of less relevance than this is no step."""

END = "what the end shows"
SAID = "what the program said before it"
FAILED = "the failed call behind it"
EARLIER = "a failed call before that, which is not taken for the cause"
LAST_SAID = "the last thing it said, which nothing ties to the cause"
LOOP = "what is repeated"
TESTED = "what each round tests"
CRASHED = "the process of its own that crashed, at its last call"
AWAITED = "what it waits for"
ASKED = "whom it asked"
REACHED = "how it can be reached"
ANSWERED = "what it answered"
IDENTITY = "who it found itself to be"
COMPUTES = "where it computes"
GOES_ON = "what goes on after it"
HAD = "what it had read before"


def derive(facts: Facts, best: Candidate, citer: Citer) -> tuple[str, list[DerivationStep]]:
    """Return the kind of scene and how the best hypothesis follows from the end, each step cited."""
    kind, analyze = next((name, how) for name, applies, how in ANALYZERS if applies(facts, best))
    found: list[DerivationStep] = []
    seen: set[int] = set()
    steps = analyze(facts, best)
    # What the program said itself is never left out, whatever it has to do with the cause.
    said = _left_unsaid(facts, best, steps)
    for role, fact in [*steps[: MAX_STEPS - len(said)], *said]:
        if id(fact) in seen or len(found) == MAX_STEPS:
            continue
        seen.add(id(fact))
        evidence = citer.evidence(fact)
        if evidence.supported:
            found.append(DerivationStep(role=role, says=evidence.says, link=evidence.link))
    return kind, found


def _last(found: Iterable[Fact]) -> list[Fact]:
    every = list(found)
    return every[-1:]


def _left_unsaid(facts: Facts, best: Candidate, steps: Steps) -> Steps:
    """Return the last complaint, else the last words, of the program where no step has any."""
    if best.entry.healthy or any(isinstance(fact, Message) for _, fact in steps):
        return []
    said = _last(m for m in facts.messages if m.error) or _last(facts.messages)
    return [(SAID if best.entry.cause == "unknown" else LAST_SAID, message) for message in said]


def _complaint(facts: Facts, after: int = -1) -> Steps:
    """Return the last complaint of the program, if it came after the call `after`."""
    said = [m for m in facts.messages if m.error and (m.seq < 0 or m.seq > after)]
    return [(SAID, message) for message in _last(said)]


def _behind(facts: Facts, best: Candidate) -> Steps:
    """Return the failed call that the hypothesis is about, and one of weight that came before it."""
    subject = best.subject
    if not isinstance(subject, FailedCall):
        return []
    steps: Steps = [(SAID, subject.named_by)] if subject.named_by is not None else []
    steps.append((FAILED, subject))
    earlier = [
        fact
        for fact in facts.failed
        if fact.seq < subject.first_seq and fact.relevance >= _RELEVANT and not _same_library(fact, subject)
    ]
    return steps + [(EARLIER, fact) for fact in earlier[:1]]


def _same_library(one: FailedCall, other: FailedCall) -> bool:
    """Tell whether both look for one library, in whatever directories."""
    return (one.resource, one.base) == ("library", other.base)


def _awaited(facts: Facts, *kinds: str) -> Steps:
    """Return what the program waits for; one that has ended waits for nothing."""
    if facts.end.reason in ("exit", "signal", "emulator"):
        return []
    return [(AWAITED, fact) for kind in kinds for fact in _last(facts.of(kind))]


def _crash(facts: Facts, best: Candidate) -> Steps:
    """The end is a signal: what the program said, and the failed call whose result it may have used."""
    if isinstance(best.subject, FailedCall):
        return [(END, facts.end), *_behind(facts, best)]
    return _unexplained(facts, best)


def _child_crash(facts: Facts, best: Candidate) -> Steps:
    """The end, the last complaint, the process that crashed, and what failed in that process before."""
    steps: Steps = [(END, facts.end), *_complaint(facts), (CRASHED, best.subject)]
    dead = best.subject.process if isinstance(best.subject, Child) else 0
    inside = [fact for fact in facts.failed if fact.pid == dead and fact.relevance >= _RELEVANT / 2]
    return steps + [(EARLIER, fact) for fact in inside[:1]]


def _wait_loop(facts: Facts, best: Candidate) -> Steps:
    """The loop, the sleep or wait in it, and the call whose failure makes it go round again."""
    steps: Steps = [(LOOP, fact) for fact in facts.of("loop")] or [(END, facts.end)]
    tested = [fact for fact in facts.failed if fact.in_loop and fact.relevance >= _RELEVANT]
    if isinstance(best.subject, FailedCall):
        tested = [best.subject]
    steps += [(TESTED, fact) for fact in tested[:1]]
    steps += _awaited(facts, "sleep", "wait")
    return steps + _complaint(facts)


def _peer(facts: Facts, best: Candidate) -> Steps:
    """What it said, whom it asked, and what it waited for."""
    steps: Steps = [(END, facts.end)]
    subject = best.subject
    if isinstance(subject, FailedCall):
        steps += [(SAID, subject.named_by)] if subject.named_by is not None else _complaint(facts)
        steps.append((ASKED, subject))
    else:
        steps += _complaint(facts)
    return steps + _awaited(facts, "wait")


def _spin(facts: Facts, best: Candidate) -> Steps:
    """The thread that computes or the calls that are repeated, and what the repeated ones are about."""
    steps: Steps = [(COMPUTES, fact) for fact in facts.of("computing")[:1]]
    steps += [(LOOP, fact) for fact in facts.of("loop")]
    steps = steps or [(END, facts.end)]
    if best.subject is not facts.end:
        role = SAID if isinstance(best.subject, Message) else TESTED if best.subject.in_loop else FAILED
        steps.append((role, best.subject))
    return steps + _complaint(facts)


def _permission(facts: Facts, best: Candidate) -> Steps:
    """What was refused, or who the program found itself to be where nothing was."""
    steps: Steps = [(END, facts.end), *_behind(facts, best)]
    steps = steps if len(steps) > 1 else [*steps, *_complaint(facts)]
    return steps + [(IDENTITY, fact) for fact in _last(facts.of("identity"))]


def _missing(facts: Facts, best: Candidate) -> Steps:
    """The end, the message that names the object, the call that did not find it."""
    return [(END, facts.end), *_behind(facts, best)]


def _own_words(facts: Facts, best: Candidate) -> Steps:
    """No call failed: the program's message, and the file that it had read before."""
    steps: Steps = [(END, facts.end), (SAID, best.subject)]
    return steps + [(HAD, best.bindings[name]) for name in ("config",) if name in best.bindings]


def _list_read(facts: Facts, best: Candidate) -> Steps:
    """What the program said, best the line that names what is not in the list, and the list."""
    named = [best.bindings[name] for name in ("named",) if name in best.bindings]
    steps: Steps = [(END, facts.end), *((SAID, message) for message in named)]
    steps = steps if named else [*steps, *_complaint(facts)]
    return [*steps, (HAD, best.subject)]


def _healthy_idle(facts: Facts, best: Candidate) -> Steps:
    """How it can be reached, what it answered, and where it waits now."""
    steps: Steps = [(ANSWERED, fact) for fact in _last(facts.of("probe"))]
    steps += [(REACHED, fact) for fact in _last(facts.of("listening"))]
    waits = [fact for fact in facts.of("wait") if isinstance(fact, Wait)]
    return [*steps, *((AWAITED, fact) for fact in _last(waits)), (END, facts.end)]


def _healthy_exit(facts: Facts, best: Candidate) -> Steps:
    """The end with code 0, the last thing it said, and a process that goes on."""
    steps: Steps = [(END, facts.end), *((SAID, message) for message in _last(facts.messages))]
    alive = [fact for fact in facts.of("child") if isinstance(fact, Child) and fact.alive]
    return steps + [(GOES_ON, fact) for fact in _last(alive)]


def _unexplained(facts: Facts, best: Candidate) -> Steps:
    """The end, the last complaint, and the failed call of the most weight, whatever that is."""
    steps: Steps = [(END, facts.end), *_complaint(facts)]
    return steps + [(FAILED, fact) for fact in facts.failed[:1] if fact.relevance >= _RELEVANT]


def _cause(*names: str) -> Callable[[Facts, Candidate], bool]:
    return lambda facts, best: best.entry.cause in names


_LOOPING = ("loop", "sleep_loop", "time_limit")

ANALYZERS: tuple[tuple[str, Callable[[Facts, Candidate], bool], Callable[[Facts, Candidate], Steps]], ...] = (
    ("healthy exit", lambda facts, best: best.entry.healthy and facts.end.reason == "exit", _healthy_exit),
    ("healthy idle", lambda facts, best: best.entry.healthy, _healthy_idle),
    ("crash after failure", lambda facts, best: facts.end.reason == "signal", _crash),
    ("crash of a child", lambda facts, best: isinstance(best.subject, Child), _child_crash),
    ("peer protocol", _cause("missing_peer"), _peer),
    ("spin", _cause("spin_or_lock"), _spin),
    ("wait loop", lambda facts, best: facts.end.reason in _LOOPING, _wait_loop),
    ("permission", _cause("permission"), _permission),
    ("unsupported call", _cause("unsupported_syscall", "device_ioctl", "netlink"), _missing),
    ("missing resource", lambda facts, best: isinstance(best.subject, FailedCall), _missing),
    ("its own words", lambda facts, best: isinstance(best.subject, Message), _own_words),
    ("what it had read", lambda facts, best: isinstance(best.subject, Opened), _list_read),
    ("wait loop", lambda facts, best: bool(facts.end.blocked_in), _wait_loop),
    ("unexplained", lambda facts, best: True, _unexplained),
)
"""Kind of scene, when it is that, and its analyzer; the first that applies is taken."""
