"""Several proposed rules tried from one checkpoint: each from the very same moment, and judged alone."""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from triage_tui.errors import Stopped, TriageError
from triage_tui.retry import pending
from triage_tui.retry.judging.judge import judge
from triage_tui.retry.one_run import Tell, how_it_stopped
from triage_tui.retry.rules import proposed
from triage_tui.retry.rules.rule_checks import texts_of
from triage_tui.retry.settling import settle
from triage_tui.retry.trials.trial import BoundReached, Bounds, Trials
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches
from triage_tui.runs.verdict_figures import rung_in_words
from triage_tui.text import safe_line

MAX_PROPOSALS = 32
EVENT = "each_rule"
_ORDER = ("resolved", "progressed", "sideways", "inconclusive", "regressed", "")


class TriedRule(msgspec.Struct, kw_only=True):
    """What came of going on with one proposal, or with the active rules alone; texts are safe to show."""

    proposal: str
    """Its id, "" for none."""
    title: str
    files: list[str] = []
    verdict: str = ""
    """The judge's word, "" where it was not tried."""
    rung: str = ""
    ends: str = ""
    """How the program stopped, in words that follow "it"."""
    why: str = ""
    """The decisive reason, or why it was not tried."""
    syscalls: int = 0


class EachRule(msgspec.Struct, kw_only=True):
    """What came of all of them, the best first; the active rules alone come last."""

    run: str
    generation: int
    seconds: float
    tried: list[TriedRule]
    complete: bool
    """Whether all were tried."""


def try_each(
    workspace: Workspace,
    run_id: str,
    *,
    tell: Tell = lambda text: None,
    cancel: threading.Event | None = None,
    bounds: Bounds | None = None,
) -> EachRule:
    """Go on from the checkpoint of a run once for each rule that it proposes, and once without any of them.

    Nothing becomes active, and no run is kept; an event of the run says what came of each.

    Raises:
        TriageError: there is no such run, nothing is proposed, or its checkpoint cannot be gone on from.
        Stopped: it was cancelled before anything was tried.
    """
    settle(workspace.root)
    run = workspace.load(run_id)
    proposals = (run.diagnosis.proposals if run.diagnosis else [])[:MAX_PROPOSALS]
    if not proposals:
        raise TriageError(f"run {run.run_id} proposes no rule, so there is nothing to try from there")
    limits = bounds or Bounds(runs=len(proposals) + 1)
    trials = Trials(workspace, run, limits, tell, cancel or threading.Event(), checkpoint=True)
    active = trials.active()
    base = texts_of(active)
    tried: list[TriedRule] = []
    stopped = ""

    def attempt(one: TriedRule, rules: dict[str, bytes]) -> None:
        tell(f"going on with {one.title}")
        after = trials.with_rules(rules)
        verdict = judge(run, after, how="checkpoint")
        one.verdict, one.rung, one.ends = verdict.word, rung_in_words(verdict.rung), how_it_stopped(after)
        one.why = safe_line(verdict.reasons[0], 300) if verdict.reasons else ""
        one.syscalls = after.snapshot.statistics.syscalls

    with trials:
        # First: where the checkpoint cannot be gone on from, that is said once.
        reference = TriedRule(proposal="", title="the active rules alone" if active else "no rule")
        attempt(reference, base)
        for proposal in proposals:
            one = TriedRule(proposal=proposal.id, title=safe_line(proposal.title, 200), files=proposal.files)
            tried.append(one)
            if stopped:
                one.why = stopped
                continue
            try:
                texts = {name: patches.read_rule(run.dir, name) for name in proposal.files}
                for name, text in texts.items():
                    proposed.check_rule(run, name, text, active)
                attempt(one, base | {patches.active_name(name, text): text for name, text in texts.items()})
            except (BoundReached, Stopped) as error:
                one.why = stopped = safe_line(str(error), 300)
            except TriageError as error:
                one.why = safe_line(str(error), 300)
    tried.sort(key=lambda one: _ORDER.index(one.verdict))
    generation = active.number if active is not None else 0
    found = EachRule(
        run=run.run_id,
        generation=generation,
        seconds=round(trials.seconds, 1),
        tried=[*tried, reference],
        complete=not stopped,
    )
    pending.decided(workspace.root, run, EVENT, _payload(found))
    return found


def _payload(found: EachRule) -> dict[str, Any]:
    """Return what the event says: what was tried, and what came of it."""
    told = [f"{one.title}: {one.verdict}" for one in found.tried if one.verdict]
    return {
        "from": "checkpoint",
        "generation": found.generation,
        "complete": found.complete,
        "proposals": [one.proposal for one in found.tried if one.proposal],
        "tried": [
            {
                "proposal": one.proposal,
                "verdict": one.verdict,
                "rung": one.rung,
                "calls": one.syscalls,
                "why": one.why,
            }
            for one in found.tried
        ],
        "says": safe_line("; ".join(told), 1000),
    }
