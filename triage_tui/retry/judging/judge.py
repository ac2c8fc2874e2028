"""Judge a retry: did the program get further than before, and what was faked on the way?

The judge compares signatures of syscalls: name, what the call is about (path, peer, ioctl request and
interface) and whether it failed and how. Addresses, descriptors and times are not part of a signature, so
two runs of the same program agree on what they have in common. Places in the code are compared where the
record has them.

A healthy look alone is not believed: what rests on nothing but the answers of rules is never called resolved.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from triage_tui.retry.judging import ends, faked
from triage_tui.retry.judging.accidents import killed_from_outside
from triage_tui.retry.judging.doubts import blamed, doubts_of
from triage_tui.retry.judging.earlier_rounds import Past
from triage_tui.retry.judging.faked import Faked, masked_calls, switched_off
from triage_tui.retry.judging.figures import figures_of
from triage_tui.retry.judging.novelty import Novelty, blocking_signatures, ground_lost, news_of
from triage_tui.retry.judging.printed import Printed, new_output, usage_now
from triage_tui.retry.judging.reasons import Reason, cited, cited_end
from triage_tui.retry.judging.service import Service, rung_of, service_of
from triage_tui.runs.call_signatures import signatures, subject
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import Verdict, VerdictWord, read_verdict
from triage_tui.text import number_of, safe_line

MAX_NOVEL = 40
_MUCH_LOST = 3
"""Signatures that are missing from which on a run without news is worse than the one before."""

How = Literal["resume", "retry", "checkpoint"]
"""Whether the frozen guest went on, a new one started, or a new one went on from a checkpoint."""

_Decided = tuple[VerdictWord, list[Reason]]


def judge(before: Run, after: Run, past: Past | None = None, how: How = "retry") -> Verdict:
    """Return the verdict on `after`, which retries (or continues) `before`.

    `past` is what the earlier rounds of the target reached, `earlier_rounds.past_of`: that is not new.
    Without it `before` is all that is known. With `how` "resume" or "checkpoint" the two are two stops of one
    course of the program, and only calls after the first stop count.
    """
    if past is None:
        past = Past()
        past.add(before)
    look = _Look.at(before, after, past, how)
    word, reasons = _decide(look)
    other = killed_from_outside(after) or (ends.another_program(before, after) if how == "retry" else "")
    if other:
        word, reasons = (
            "inconclusive",
            [Reason(other), Reason(f"it {ends.in_words(after)}", cited_end(after))],
        )
        look.news = Novelty({}, {}, {}, {}, {})
    elif early := ends.ended_early(after):
        # It was still running: that it did not end as before says nothing.
        word, reasons = "sideways", [Reason(early, cited_end(after))]
        look.news, look.same_end = Novelty({}, {}, {}, {}, {}), True
    if how == "checkpoint":
        reasons.append(Reason(f"it went on from the checkpoint of run {before.run_id}, not from its start"))
    reasons += _accounts(after)
    masked = masked_calls(after)
    rung = rung_of(
        after,
        is_new=bool(look.news.counted) and word != "sideways",
        is_passed=not other and not look.same_end,
        is_masked=bool(masked),
        is_believed=word != "regressed" and not look.doubts,
    )
    told = read_verdict(before.dir)
    first = rung_of(before, is_new=False, is_passed=False, is_masked=True, is_believed=True)
    return Verdict(
        word=word,
        rung=rung,
        reasons=[reason.says for reason in reasons],
        links=[reason.link for reason in reasons],
        before=figures_of(before, told.rung if told is not None else first),
        after=figures_of(after, rung),
        novel=list(look.news.novel)[:MAX_NOVEL],
        regained=list(look.news.regained)[:MAX_NOVEL],
        new_sites=list(look.news.sites)[:MAX_NOVEL],
        compared_with=past.rounds,
        masked=masked,
        doubted=bool(look.doubts),
        how=how,
    )


def _accounts(after: Run) -> list[Reason]:
    """Return what is to be known of the rules of a run, whatever came of it."""
    hits = {hit.rule: cited(after, "rule", hit.rule) for hit in after.snapshot.rule_hits}
    reasons = [Reason(text, hits[rule]) for rule, text in switched_off(after).items()]
    return reasons + [
        Reason(f"it was started with {one.says}, by rule {one.rule}", hits.get(one.rule, ""))
        for one in after.snapshot.start_settings
    ]


class _Look(msgspec.Struct):
    """Two runs beside each other."""

    before: Run
    after: Run
    past: Past
    faked: Faked
    news: Novelty
    lost: set[str]
    ground_lost: set[str]
    """Of these, those that lead on."""
    blocked: set[str]
    """The failures that the diagnosis of the run before rests on."""
    still_blocked: set[str]
    still_at: dict[str, int]
    """Signatures of the calls that count, and the first of each."""
    same_end: bool
    service: Service
    doubts: list[Reason]
    """What speaks against the healthy look of the run after."""

    @classmethod
    def at(cls, before: Run, after: Run, past: Past, how: How) -> _Look:
        start = before.snapshot.trigger.seq if how != "retry" else 0
        made_up = faked.look_at(after)
        news = news_of(before, after, past, made_up, start)
        lost, ground = ground_lost(before, after)
        blocked = blocking_signatures(before)
        continued = signatures(call for call in after.trace() if call.seq >= start)
        service = service_of(after)
        return cls(
            before=before,
            after=after,
            past=past,
            faked=made_up,
            news=news,
            lost=lost,
            ground_lost=ground,
            blocked=blocked,
            still_blocked=blocked & set(continued),
            still_at=continued,
            same_end=ends.same_end(before, after),
            service=service,
            doubts=doubts_of(before, after, made_up, news, service, blocked),
        )

    @property
    def end(self) -> Reason:
        now, then = ends.in_words(self.after), ends.in_words(self.before)
        return Reason(f"it {now}; before, it {then}", cited_end(self.after))

    @property
    def told_news(self) -> Reason:
        """Say what is new, the most telling first."""
        news = self.news
        told = news.novel or news.regained
        shown = next((text for text in (*news.ground, *news.counted, *told) if text in told), "")
        link = cited(self.after, "syscall", news.all[shown]) if shown else ""
        if news.novel:
            count = len(news.novel)
            what = "1 syscall signature is" if count == 1 else f"{count} syscall signatures are"
            return Reason(f"{what} new, such as {shown}", link)
        if news.regained:
            run = self.past.others[shown]
            what = number_of(len(news.regained), "syscall signature")
            return Reason(
                f"new against these rounds, and reached before in run {run}: {what}, such as {shown}", link
            )
        return Reason("no syscall signature is new")

    @property
    def passed(self) -> Reason | None:
        """Say that the failure of the run before is passed."""
        if not self.blocked or self.still_blocked:
            return None
        text = sorted(self.blocked)[0]
        what = text.rsplit(" ", 1)[0]
        seq = next((call.seq for call in self.after.trace() if subject(call) == what), None)
        return Reason(
            f"the failure is passed: {text}", cited(self.after, "syscall", seq) if seq is not None else ""
        )


def _said(run: Run, printed: Printed) -> str:
    return cited(run, "log", run.snapshot.guest_output.removeprefix("logs/"), line=printed.line)


def _decide(look: _Look) -> _Decided:
    for find in (_of_the_engine, _usage, _health, _same_failure, _worse, _service, _made_up, _new_ground):
        if (found := find(look)) is not None:
            return found
    return _nothing_new(look)


def _of_the_engine(look: _Look) -> _Decided | None:
    """A round that the engine could not carry through says nothing of the program."""
    was, now = look.before.snapshot.reason, look.after.snapshot.reason
    if now not in ("emulator", "unknown") or now == was:
        return None
    detail = safe_line(look.after.snapshot.trigger.detail, 200)
    return "inconclusive", [Reason(f"the round could not be carried through: {detail}"), look.end]


def _usage(look: _Look) -> _Decided | None:
    """A program that explains its arguments does not do its work, whatever its exit code is."""
    printed = usage_now(look.before, look.after)
    if printed is None or look.after.snapshot.reason != "exit":
        return None
    says = f"it explains its usage now, and does not do its work: {safe_line(printed.text, 120)}"
    word: VerdictWord = "regressed" if look.ground_lost else "sideways"
    return word, [Reason(says, _said(look.after, printed)), look.end, look.told_news]


def _health(look: _Look) -> _Decided | None:
    """Return the verdict where the program is well now or was well before."""
    now, then = ends.is_healthy(look.after), ends.is_healthy(look.before)
    if then and ends.ended_badly(look.after):
        says = f"the program was well before, and is not now: {look.end.says}"
        return "regressed", [Reason(says, look.end.link), look.told_news]
    if not now or then:
        return None
    diagnosis = look.after.diagnosis
    scene = diagnosis.scene.replace("_", " ") if diagnosis else ""
    if not look.doubts:
        link = cited(look.after, "probe", look.service.answers) if look.service.answers is not None else ""
        says = f"the program is well now ({scene}): {look.end.says}"
        return "resolved", [Reason(says, link or look.end.link), *_masked_on_the_way(look), look.told_news]
    reasons = [
        Reason(
            f"it looks well ({scene}), and that is not believed: {look.doubts[0].says}", look.doubts[0].link
        ),
        *look.doubts[1:],
        look.end,
        look.told_news,
    ]
    printed = new_output(look.before, look.after)
    if len(look.ground_lost) > len(look.news.ground) and printed is None:
        text = f"and does less than before: {sorted(look.ground_lost)[0]} is missing"
        return "regressed", [reasons[0], Reason(text), *reasons[1:]]
    answers = look.service.answers is not None or look.service.error_page is not None
    if answers or look.news.ground or printed is not None or _passed_the_exit(look):
        return "progressed", reasons
    return "sideways", reasons


def _passed_the_exit(look: _Look) -> bool:
    """Tell whether the program ended by itself with a failure before, and ends with code 0 now."""
    was, now = look.before.snapshot, look.after.snapshot
    failed = was.reason == "signal" or (was.reason == "exit" and was.trigger.exit_code != 0)
    return failed and now.reason == "exit" and faked.forged_end(look.after) is None


def _masked_on_the_way(look: _Look) -> list[Reason]:
    """Say that the failure of the run before is masked and not fixed, where a rule answers for it."""
    call = faked.first_passed(look.after, look.blocked)
    if call is None or not call.intercepted:
        return []
    says = f"the failure before is masked, not fixed: {subject(call)} is answered by rule {call.rule}"
    return [Reason(says, cited(look.after, "syscall", call.seq))]


def _same_failure(look: _Look) -> _Decided | None:
    """Return the verdict where the same call fails again, be it with another error."""
    if look.still_blocked and look.same_end:
        failed = sorted(look.still_blocked)[0]
        link = cited(look.after, "syscall", look.still_at[failed])
        if len(look.lost) > len(look.news.all):
            says = f"the same failure is there ({failed}) and {len(look.lost)} signatures are missing"
            return "regressed", [Reason(says, link), look.end]
        return "sideways", [
            Reason(f"the same failure is still there: {failed}", link),
            look.end,
            look.told_news,
        ]
    other = look.news.other_errno
    if other is None or look.news.ground or other[0] not in look.blocked:
        return None
    if not look.same_end and not ends.failing_ends(look.before, look.after):
        return None
    then, now, seq = other
    says = f"the same call fails with another error: {now}; before, {then.rsplit(' ', 1)[1]}"
    return "sideways", [Reason(says, cited(look.after, "syscall", seq)), look.end]


def _crashed(look: _Look) -> bool:
    return look.after.snapshot.reason == "signal" and look.before.snapshot.reason != "signal"


def _worse(look: _Look) -> _Decided | None:
    if not _crashed(look) or len(look.lost) < len(look.news.all):
        return None
    says = f"it dies of {look.after.snapshot.trigger.signal} now, and did not before"
    return "regressed", [Reason(says, cited_end(look.after)), look.end, look.told_news]


def _service(look: _Look) -> _Decided | None:
    """Return the verdict where the service answers that did not before."""
    index = look.service.answers if look.service.answers is not None else look.service.error_page
    before = service_of(look.before)
    if index is None or before.answers is not None or before.error_page is not None:
        return None
    detail = safe_line(look.after.snapshot.probes[index].detail, 160)
    says = f"its service answers now: {detail}"
    return "progressed", [Reason(says, cited(look.after, "probe", index)), look.end, look.told_news]


def _made_up(look: _Look) -> _Decided | None:
    """Return the verdict where all that is different is what a rule made up."""
    if look.news.ground:
        return None
    found = [
        (call, text)
        for call, text in (
            (faked.claimed_to_listen(look.after), "it believes that it listens, and nobody can reach it"),
            (faked.made_up_wait(look.after, look.faked), "it waits for what only a rule made up"),
        )
        if call is not None
    ]
    if not found:
        return None
    return "sideways", [*(blamed(look.after, text, call) for call, text in found), look.end, look.told_news]


def _new_ground(look: _Look) -> _Decided | None:
    """Return the verdict where something was reached that no round which led here had reached."""
    news, told = look.news, look.told_news
    same_place = ends.same_place(look.before, look.after)
    passed, end = look.passed, look.end
    gone = [Reason(text)] if (text := ends.loop_gone(look.before, look.after)) else []
    if same_place and not news.ground and (news.all or news.sites or passed):
        if news.varied:
            says = f"it goes round in the same calls, with other arguments: {news.varied}"
            link = cited(look.after, "syscall", news.all[news.varied])
            return "sideways", [Reason(says, link), end]
        printed = new_output(look.before, look.after)
        if printed is None:
            led = Reason("it led to no new object, failure, connection, process or line of output")
            return "sideways", [*([passed] if passed else []), led, end, told]
        says = f"it prints something new: {safe_line(printed.text, 120)}; {told.says}"
        told = Reason(says, _said(look.after, printed))
    elif not news.counted and not (news.sites and not same_place):
        printed = new_output(look.before, look.after) if passed and gone and not same_place else None
        if printed is None:
            return None
        # It left the loop and says something else: no call of that needs to be a new one.
        says = f"it prints something new: {safe_line(printed.text, 120)}; {told.says}"
        told = Reason(says, _said(look.after, printed))
    # What is passed says more than a call that names nothing.
    first = [told, passed] if news.ground or told.says != look.told_news.says else [passed, told]
    reasons = [*(reason for reason in first if reason is not None), *gone, end]
    if news.sites:
        place, seq = next(iter(news.sites.items()))
        what = number_of(len(news.sites), "place", "places")
        text = f"{what} of the code made a call for the first time, such as {place}"
        reasons.insert(1, Reason(text, cited(look.after, "syscall", seq)))
    if _crashed(look):
        text = f"but it dies of {look.after.snapshot.trigger.signal} now"
        reasons.append(Reason(text, cited_end(look.after)))
    return "progressed", reasons


def _nothing_new(look: _Look) -> _Decided:
    end, told = look.end, look.told_news
    text, seq = ends.waits_now(look.before, look.after)
    if text:
        return "progressed", [Reason(text, cited(look.after, "syscall", seq)), end, told]
    if len(look.lost) >= _MUCH_LOST:
        says = f"{len(look.lost)} signatures of the earlier run are missing and none is new"
        return "regressed", [Reason(says), end]
    passed = look.passed
    if passed is not None and ends.lives_on(look.before, look.after):
        # A service that has done all its work at the start makes no new call where it then waits.
        return "progressed", [passed, end, told]
    if look.after.snapshot.reason == "time_limit":
        return "inconclusive", [Reason("the time was over before anything new happened"), end]
    if ends.is_healthy(look.before) and ends.is_healthy(look.after):
        return "sideways", [Reason("it was well before, and is well now", end.link), *look.doubts, end, told]
    if look.same_end:
        return "sideways", [Reason("it ends in the same way", end.link), told]
    return "sideways", [end, told]


def is_well(run: Run, verdict: Verdict | None) -> bool:
    """Tell whether a program is well by its diagnosis, and in a retry the judge does not doubt it."""
    return ends.is_healthy(run) and (verdict is None or not verdict.doubted)
