"""The steps of one run: from its evidence to the verdict on its retry, in the order of its events."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry.tracing.building import Building, id_in, id_of, names_of, time_of
from triage_tui.retry.tracing.event_words import (
    DECISIONS,
    ENDS,
    SMALLER,
    TRIALS,
    figures_of,
    says_of,
    word_of,
)
from triage_tui.retry.tracing.model import Changed, Reference, TracedRule
from triage_tui.rulebook import patches
from triage_tui.runs.diagnosis_model import Evidence, Hypothesis, Proposal
from triage_tui.runs.events import Event
from triage_tui.runs.evidence import make_link
from triage_tui.runs.limits import show_size
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_figures import figure_rows, rung_in_words
from triage_tui.runs.verdict_model import read_verdict
from triage_tui.text import number_of, safe_line

_MAX_EVIDENCE = 12
"""Claims of one hypothesis."""
_MAX_HYPOTHESES = 6
_MAX_PROPOSALS = 12
"""Those that somebody decided on are always told."""
_MAX_FILES = 32
_HOW = {
    "retry": "ran again from the start, with the rules that were active",
    "resume": "the frozen guest went on, with the rules that were active",
    "checkpoint": "a new guest went on from the checkpoint, with the rules that were active",
}


def trace_of_run(
    building: Building, run: Run, *, only: Collection[str] = (), because: Sequence[int] = ()
) -> int:
    """Append the steps of a run; return the number of its verdict, 0 where it was not retried.

    With `only`, names of rule files, just what led to them and came of them is told. `because` are the steps
    that led to this run.
    """
    return _OneRun(building, run, only).trace(because)


class _OneRun:
    def __init__(self, building: Building, run: Run, only: Collection[str]) -> None:
        self._building = building
        self._run = run
        self._only = set(only)
        self._audit = building.audit_lines(run)
        self._cited: dict[str, int] = {}
        self._hypotheses: dict[int, int] = {}
        self._proposals: dict[str, int] = {}
        self._held: list[Proposal] = []
        """Those that a trial led to: they are told behind it."""
        self._last_decision = 0
        self._last_rule = 0
        self._last_retry = 0
        self._verdict = 0

    def trace(self, because: Sequence[int]) -> int:
        """Append all steps."""
        stop = self._stop(because)
        self._diagnosis(stop)
        for event in self._run.events:
            self._event(event)
        self._let_go(list(self._held), 0)
        return self._verdict

    def _add(self, kind: Any, says: str, event: Event | None = None, **fields: Any) -> int:
        if event is not None:
            fields.setdefault("at", event.wall)
            fields.setdefault("actor", event.actor)
            fields.setdefault("audit", self._audit.get(event.event_id, 0))
            fields["evidence"] = [*fields.get("evidence", ()), *self._building.of_event(self._run, event)]
        return self._building.add(kind, self._run.run_id, says, **fields)

    def _stop(self, because: Sequence[int]) -> int:
        run, trigger = self._run, self._run.snapshot.trigger
        captured = next((event for event in run.events if event.kind == "captured"), None)
        evidence = []
        with contextlib.suppress(TriageError):
            evidence = [self._building.cited(run, make_link(run, "syscall", trigger.seq))]
        headline = run.diagnosis.headline if run.diagnosis is not None else ""
        says = headline or f"stopped: {run.snapshot.reason.replace('_', ' ')}"
        if captured is None:
            self._building.lack(f"run {run.run_id} has no event that says when it was recorded")
        why = trigger.detail
        campaign = next((event for event in run.events if event.kind == "campaign"), None)
        if campaign is not None:
            why = "; ".join(filter(None, [why, f"of campaign {word_of(campaign, 'campaign', 'id')}"]))
        return self._add(
            "stop",
            says,
            captured,
            why=why,
            evidence=evidence,
            because=because,
            at=run.snapshot.created_at,
            actor="",
        )

    def _diagnosis(self, stop: int) -> None:
        diagnosis = self._run.diagnosis
        if diagnosis is None:
            self._building.lack(f"run {self._run.run_id} has no diagnosis")
            return
        decided = self._decided_on()
        proposals = [p for p in diagnosis.proposals if not self._only or self._only & set(p.files)]
        told = [
            p
            for n, p in enumerate(proposals)
            if n < _MAX_PROPOSALS or p.id in decided or decided & set(p.files)
        ]
        wanted = {p.hypothesis for p in told if p.source in ("kb", "model")}
        for number, hypothesis in enumerate(diagnosis.hypotheses):
            if number in wanted or (number < _MAX_HYPOTHESES and not self._only):
                self._hypotheses[number] = self._hypothesis(hypothesis, stop)
        for proposal in told:
            if proposal.source == "trial":
                self._held.append(proposal)
            else:
                # What others wrote rests on no hypothesis of this run.
                own = proposal.source in ("kb", "model")
                self._proposal(proposal, self._hypotheses.get(proposal.hypothesis, 0) if own else stop)
        if len(told) < len(proposals):
            more = number_of(len(proposals) - len(told), "further proposal", "further proposals")
            self._building.lack(f"run {self._run.run_id}: {more} that nobody decided on left out")

    def _decided_on(self) -> set[str]:
        found: set[str] = set()
        for event in self._run.events:
            if event.kind in ("approved", "edited", "dropped"):
                for key in ("proposals", "files", "file", "what"):
                    found.update(name.partition(":")[0] for name in names_of(event.payload.get(key)))
        return found

    def _hypothesis(self, hypothesis: Hypothesis, stop: int) -> int:
        because = [stop]
        claims = [(claim, False) for claim in hypothesis.evidence] + [
            (claim, True) for claim in hypothesis.contrary
        ]
        for claim, against in claims[:_MAX_EVIDENCE]:
            because.append(self._evidence(claim, stop, against))
        by_model = hypothesis.source == "model"
        if by_model:
            why = f"a model says so: {hypothesis.model}"
        else:
            origin = f" of {hypothesis.origin}" if hypothesis.origin else ""
            why = f"entry {hypothesis.entry}{origin} of the knowledge base" if hypothesis.entry else ""
        kind = "analyzed" if by_model else "diagnosed"
        event = next((one for one in reversed(self._run.events) if one.kind == kind), None)
        says = f"{hypothesis.cause} ({hypothesis.confidence:.2f}): {hypothesis.title}"
        return self._add("hypothesis", says, event, why=why, because=because, actor="")

    def _evidence(self, claim: Evidence, stop: int, against: bool) -> int:
        # Two hypotheses may say different things of one place.
        key = f"{claim.link} {against} {claim.says}"
        if key not in self._cited:
            reference = self._building.cited(self._run, claim.link, claim.says)
            if not claim.supported:
                reference = msgspec.structs.replace(reference, holds=False)
            says = f"speaks against it: {claim.says}" if against else claim.says
            self._cited[key] = self._add(
                "evidence", says, evidence=[reference], at=time_of(self._run, claim.link), because=[stop]
            )
        return self._cited[key]

    def _proposed_by(self, proposal: Proposal) -> Event | None:
        events = [one for one in self._run.events if one.kind == "proposed"]
        named = (one for one in events if proposal.id in names_of(one.payload.get("proposals")))
        return next(named, events[-1] if events else None)

    def _led_to(self, event: Event) -> list[Proposal]:
        """Return what the trial led to that an event tells of: such proposals are made right before it."""
        made = ((one, self._proposed_by(one)) for one in self._held if event.kind in SMALLER)
        return [one for one, before in made if before is not None and before.event_id < event.event_id]

    def _let_go(self, proposals: list[Proposal], trial: int) -> None:
        for proposal in proposals:
            self._held.remove(proposal)
            self._proposal(proposal, trial)

    def _proposal(self, proposal: Proposal, because: int) -> None:
        event = self._proposed_by(proposal)
        says = f"{proposal.title} ({proposal.risk} risk)"
        if proposal.needs_input:
            says += f"; a person must supply: {proposal.needs_input}"
        step = self._add(
            "proposal",
            says,
            event,
            actor=""
            if proposal.source == "kb"
            else f"{proposal.source} (taken in by {event.actor if event else '?'})",
            why=proposal.intent,
            because=[because],
            rules=[self._proposed_rule(name) for name in proposal.files[:_MAX_FILES]],
        )
        for name in (proposal.id, *proposal.files):
            self._proposals.setdefault(name, step)

    def _proposed_rule(self, name: str) -> TracedRule:
        try:
            text = patches.read_rule(self._run.dir, name)
        except TriageError as error:
            self._building.lack(f"run {self._run.run_id}: {error}")
            return TracedRule(file=name)
        return TracedRule(file=name, sha256=hashlib.sha256(text).hexdigest(), id=id_of(text))

    def _event(self, event: Event) -> None:
        match event.kind:
            case "approved":
                self._approved(event)
            case "edited" if self._concerns(event, "file"):
                rule = TracedRule(file=word_of(event, "file"), sha256=word_of(event, "sha256"))
                self._decide(event, f"edited {rule.file}", rules=[rule])
            case "rejected" | "dropped" | "reconsidered" | "decision" if not self._only or self._concerns(
                event, "what"
            ):
                said = ": ".join(
                    filter(None, [DECISIONS[event.kind], ", ".join(names_of(event.payload.get("what")))])
                )
                said += f": {word_of(event, 'action')}" if event.kind == "decision" else ""
                self._decide(event, said)
            case "activated" if self._concerns(event, "files"):
                self._activated(event)
            case "rolled_back":
                self._rolled_back(event)
            case "retry_started":
                self._last_retry = self._add(
                    "retry",
                    _HOW.get(word_of(event, "from"), _HOW["retry"]),
                    event,
                    because=[self._last_rule or self._last_decision],
                )
            case "retry_finished":
                self._finished(event)
            case "experiment_finished" if not self._only:
                self._tried(event)
            case kind if kind in TRIALS and self._is_tried(event):
                self._tried(event)
            case "checkpoint" if not self._only:
                size = _number(event.payload.get("bytes"))
                says = f"a checkpoint of {show_size(size)} was taken" if size is not None else ""
                says = says or "no checkpoint was taken"
                self._add("checkpoint", says, event, why=word_of(event, "why", "call"))
            case "reopened":
                says = f"a failure that the stable set {word_of(event, 'set')} had mended is back"
                self._add("recurrence", says, event)
            case "ended" | "needs_person" | "holder_lost" if not self._only:
                self._add("end", ENDS[event.kind], event, why=word_of(event, "why"))
            case _:
                pass

    def _concerns(self, event: Event, key: str) -> bool:
        """Tell whether an event is about a file that is wanted, by the end of its name."""
        if not self._only:
            return True
        named = {name.partition(":")[0].rpartition("/")[2] for name in names_of(event.payload.get(key))}
        return bool(named & {name.rpartition("/")[2] for name in self._only})

    def _decide(self, event: Event, says: str, **fields: Any) -> int:
        because = [
            self._proposals.get(name, 0)
            for key in ("file", "what")
            for name in names_of(event.payload.get(key))
        ]
        why = fields.pop("why", "") or word_of(event, "reason", "why")
        self._last_decision = self._add("decision", says, event, why=why, because=because, **fields)
        return self._last_decision

    def _approved(self, event: Event) -> None:
        payload = event.payload
        if not self._concerns(event, "files"):
            return
        files = payload.get("files")
        digests = files if isinstance(files, dict) else dict.fromkeys(names_of(files), "")
        rules = [TracedRule(file=name, sha256=str(sha)) for name, sha in list(digests.items())[:_MAX_FILES]]
        ids = names_of(payload.get("proposals"))
        because = [self._proposals.get(name, 0) for name in (*ids, *digests)]
        titles = {p.id: p.title for p in (self._run.diagnosis.proposals if self._run.diagnosis else [])}
        says = f"approved: {'; '.join(titles.get(one, one) for one in ids) or ', '.join(digests) or 'rules'}"
        if (hunks := payload.get("hunks")) and isinstance(hunks, dict):
            says += f", of {', '.join(hunks)} only chosen hunks"
        seen = payload.get("observed")
        why = word_of(event, "reason")
        if isinstance(seen, dict):
            why = "; ".join(filter(None, [why, f"seen before in a trial: {seen.get('says', '')}"]))
        if despite := names_of(payload.get("despite")):
            why = "; ".join(filter(None, [why, f"although {despite[0]}"]))
        self._last_decision = self._add(
            "decision", says, event, why=why, policy=word_of(event, "policy"), because=because, rules=rules
        )

    def _activated(self, event: Event) -> None:
        number, parent = event.payload.get("generation"), event.payload.get("parent")
        after = _number(number) or 0
        made = self._building.generation(self._run.snapshot.target.target_id, after)
        names = names_of(event.payload.get("files"), _MAX_FILES)
        digests = made.files if made is not None else {}
        rules = [
            TracedRule(file=name, sha256=digests.get(name, ""), id=id_in(made, name), generation=after)
            for name in names
        ]
        self._last_rule = self._add(
            "rule",
            f"generation {after} became active",
            event,
            because=[self._last_decision],
            rules=rules,
            before=_number(parent) or 0,
            after=after,
            digest=made.digest if made is not None else "",
        )

    def _rolled_back(self, event: Event) -> None:
        before, after = event.payload.get("from"), event.payload.get("to")
        if self._only and not self._last_rule:
            return
        to = f"generation {after}" if after else "no rule"
        self._last_rule = self._add(
            "rule",
            f"rolled back: {to} active again",
            event,
            because=[self._verdict or self._last_rule],
            why=word_of(event, "reason"),
            before=_number(before),
            after=_number(after),
        )

    def _finished(self, event: Event) -> None:
        payload = event.payload
        name = word_of(event, "run")
        after = self._building.run(name)
        verdict = read_verdict(after.dir) if after is not None else None
        word, rung = word_of(event, "verdict"), word_of(event, "rung")
        reasons = names_of(payload.get("reasons"))
        links = names_of(payload.get("links"))
        evidence: list[Reference] = []
        figures: list[Changed] = []
        if verdict is None:
            self._building.lack(
                f"the verdict of run {safe_line(name, 60)} cannot be read: figures are missing"
            )
        elif after is not None:
            figures = [Changed(name=r.name, before=r.before, after=r.after) for r in figure_rows(verdict)]
            cited = zip(reasons, links, strict=False)
            evidence = [self._building.cited(after, link, says) for says, link in cited if link]
        if verdict is not None and self._last_retry:
            self._building.steps[self._last_retry - 1].says = _HOW[verdict.how]
        masked = names_of(payload.get("masked"))
        says = f"{word} ({rung_in_words(rung)}), run {name}" if rung else f"{word}, run {name}"
        if masked:
            says += f"; masked, not fixed: {masked[0]}" + (
                f" and {len(masked) - 1} more" if len(masked) > 1 else ""
            )
        self._verdict = self._add(
            "verdict",
            says,
            event,
            why="; ".join(reasons),
            because=[self._last_retry or self._last_rule or self._last_decision],
            evidence=evidence,
            figures=figures,
        )
        self._last_retry = 0

    def _tried(self, event: Event) -> None:
        if event.kind == "experiment_finished":
            because, kind = list(self._hypotheses.values()), "experiment"
        else:
            because = [self._proposals.get(name, 0) for name in names_of(event.payload.get("proposals"))]
            kind = "trial"
        step = self._add(kind, says_of(event), event, because=because, figures=figures_of(event))
        self._let_go(self._led_to(event), step)

    def _is_tried(self, event: Event) -> bool:
        """Tell whether what was tried is wanted: of one rule, only what was tried with it."""
        named = names_of(event.payload.get("proposals"))
        return not self._only or bool(self._led_to(event)) or any(one in self._proposals for one in named)


def _number(value: object) -> int | None:
    """Return a whole number of an event; for Python, true is one, too."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
