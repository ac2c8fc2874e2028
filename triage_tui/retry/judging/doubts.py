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


def doubts_of(before: Run, after: Run, faked: Faked, news: Novelty, service: Service) -> list[Reason]:
    """Return why a run that its diagnosis calls healthy is not taken for a success; nothing of other runs."""
    if not is_healthy(after):
        return []
    doubts = [*_of_service(after, service), *_of_rules(after, faked), *_of_daemon(after)]
    confidence = (
        after.diagnosis.hypotheses[0].confidence if after.diagnosis and after.diagnosis.hypotheses else 1.0
    )
    if confidence < HARDLY:
        doubts.append(Reason(f"its diagnosis is not sure itself ({confidence:.2f})"))
    if (
        not doubts
        and faked.calls
        and not is_healthy(before)
        and not _has_own_evidence(before, after, news, service)
    ):
        call = next(call for call in after.trace() if call.rule)
        text = "nothing is different but what rules told it"
        doubts.append(blamed(after, text, call))
    return doubts


def _has_own_evidence(before: Run, after: Run, news: Novelty, service: Service) -> bool:
    """Tell whether the program shows by something of its own that it got further."""
    reachable = set(after.snapshot.statistics.listening) - set(before.snapshot.statistics.listening)
    return (
        bool(news.ground)
        or service.answers is not None
        or bool(reachable)
        or new_output(before, after) is not None
    )


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
    ]
    return [blamed(after, text, call) for call, text in found if call is not None]


def blamed(after: Run, text: str, call: Syscall) -> Reason:
    """Return a sentence that names the rule and the call by which something came to be."""
    says = f"{text}: {subject(call)} is the answer of rule {call.rule}"
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
