"""What speaks against the healthy look of a program that was retried: how a fix can lie."""

from __future__ import annotations

from triage_tui.diagnosis.report import HARDLY
from triage_tui.retry.judging import faked as rules
from triage_tui.retry.judging.ends import is_healthy
from triage_tui.retry.judging.faked import Faked
from triage_tui.retry.judging.novelty import Novelty
from triage_tui.retry.judging.printed import new_output
from triage_tui.retry.judging.reasons import Reason, cited, cited_end
from triage_tui.retry.judging.service import Service
from triage_tui.runs.call_signatures import subject
from triage_tui.runs.model import LEFT_BEHIND, Syscall
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line


def doubts_of(
    before: Run, after: Run, faked: Faked, news: Novelty, service: Service, blocked: set[str]
) -> list[Reason]:
    """Return why a run that its diagnosis calls healthy is not taken for a success; nothing of other runs.

    `blocked` are the failures that the diagnosis of the run before rests on.
    """
    if not is_healthy(after):
        return []
    doubts = [*_of_service(after, service), *_of_rules(after, faked), *_of_daemon(after)]
    confidence = (
        after.diagnosis.hypotheses[0].confidence if after.diagnosis and after.diagnosis.hypotheses else 1.0
    )
    if confidence < HARDLY:
        doubts.append(Reason(f"its diagnosis is not sure itself ({confidence:.2f})"))
    if not doubts and faked.calls and not is_healthy(before):
        doubts += _unconfirmed(before, after, news, service, blocked)
    return doubts


def _unconfirmed(before: Run, after: Run, news: Novelty, service: Service, blocked: set[str]) -> list[Reason]:
    """What a program does with made-up answers shows nothing; only who asks it from outside can tell."""
    if service.answers is not None or _is_reached(before, after):
        return []
    answered = [call for call in after.trace() if call.rule and call.intercepted]
    passed = rules.first_passed(after, blocked)
    if answered:
        call = passed if passed is not None and passed.intercepted else answered[0]
        return [blamed(after, "nothing from outside confirms it, and rules answered on the way", call)]
    if news.ground or new_output(before, after) is not None:
        return []
    call = next(call for call in after.trace() if call.rule)
    return [blamed(after, "nothing is different but what rules supplied", call, "the work")]


def _is_reached(before: Run, after: Run) -> bool:
    """Tell whether clients can connect to it now where they could not before."""
    now, then = (set(run.snapshot.statistics.listening) for run in (after, before))
    # "udp 0.0.0.0:68" and "unix:/run/x" say that it has a socket, and not that anybody serves there.
    return any(" " not in address and not address.startswith("unix:") for address in now - then)


def _of_service(after: Run, service: Service) -> list[Reason]:
    probes = after.snapshot.probes
    found = []
    if service.error_page is not None:
        detail = safe_line(probes[service.error_page].detail, 160)
        text = f"its service answers with an error page: {detail}"
        found.append(Reason(text, cited(after, "probe", service.error_page)))
    if service.not_again is not None:
        probe = probes[service.not_again]
        when = "at once again" if probe.again != "answered" else f"{probe.later_ms / 1000:.1f} s later"
        outcome = probe.again if probe.again != "answered" else probe.later
        text = f"its service answered once, and not when it was asked {when}: {outcome}"
        found.append(Reason(text, cited(after, "probe", service.not_again)))
    return found


def _of_rules(after: Run, faked: Faked) -> list[Reason]:
    found = [
        (rules.made_up_wait(after, faked), "it waits for what only a rule made up"),
        (rules.claimed_to_listen(after), "it believes that it listens, and nobody can reach it"),
        (rules.forged_end(after), "its exit code is not its own"),
        (rules.bound_elsewhere(after), "it is not reached where it wants to be"),
    ]
    return [blamed(after, text, call) for call, text in found if call is not None]


def blamed(after: Run, text: str, call: Syscall, part: str = "the answer") -> Reason:
    """Return a sentence that names the rule and the call by which something came to be."""
    says = f"{text}: {subject(call)} is {part} of rule {call.rule}"
    return Reason(says, cited(after, "syscall", call.seq))


def _of_daemon(after: Run) -> list[Reason]:
    """A daemon whose process in the background ends as well has not stayed."""
    end = after.snapshot.trigger
    if after.snapshot.reason != "exit":
        return []
    left = next(
        (call for call in after.trace() if LEFT_BEHIND in (call.note or "") and call.seq < end.seq), None
    )
    if left is None:
        return []
    return [Reason("it went into the background, and what it left there ended, too", cited_end(after))]
