"""The same start without and with proposed rules, side by side, before anybody approves them.

Both run at the same time, from the same root file system (each writes into a copy of its own that is thrown
away), with the same input, arguments and environment. Nothing becomes active. What was seen is kept below the
run, and an approval of the very same texts on the very same rules cites it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from triage_tui.errors import TriageError
from triage_tui.retry import pending
from triage_tui.retry.judging.ends import is_healthy
from triage_tui.retry.judging.faked import masked_calls
from triage_tui.retry.judging.judge import judge
from triage_tui.retry.one_run import Tell, how_it_stopped, last_printed
from triage_tui.retry.rules import proposed
from triage_tui.retry.rules.rule_checks import texts_of
from triage_tui.retry.settling import settle
from triage_tui.retry.trials.attempts import digests
from triage_tui.retry.trials.criterion import of_trials
from triage_tui.retry.trials.difference import in_words, lost, parting
from triage_tui.retry.trials.observed import EVENT
from triage_tui.retry.trials.trial import Bounds, Trials
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import layers, patches
from triage_tui.rulebook.generations import Generation
from triage_tui.runs.clock import local_time
from triage_tui.runs.events import default_actor
from triage_tui.runs.model import RuleHit
from triage_tui.runs.reader import Run
from triage_tui.runs.trials_model import CallLine, Counterfactual, Future, keep
from triage_tui.runs.verdict_model import Figures
from triage_tui.text import number_of, safe_line

_OUTPUT_LINES = 6
_MAX_LOST = 40


class Wanted(msgspec.Struct, frozen=True):
    """The rules that are tried: names below `rules_patch/` to texts, and the proposal that they are of."""

    texts: Mapping[str, bytes]
    proposal: str = ""

    @property
    def digests(self) -> dict[str, str]:
        """Name and SHA-256 of each, sorted."""
        return digests(self.texts)


def wanted(run: Run, names: Sequence[str] = ()) -> Wanted:
    """Return what `names` mean: a proposal's id or number (from 1), or rule files; the best one for none.

    Raises:
        TriageError: a name is none of these, or nothing is proposed.
    """
    proposals = run.diagnosis.proposals if run.diagnosis else []
    if not names:
        best = proposed.best_proposal(run)
        return Wanted({name: patches.read_rule(run.dir, name) for name in best.files}, best.id)
    files: list[str] = []
    chosen: list[str] = []
    for name in names:
        found = [one for one in proposals if one.id == name]
        if not found and name.isascii() and name.isdecimal() and 0 < int(name[:6]) <= len(proposals):
            found = [proposals[int(name) - 1]]
        if found:
            files += found[0].files
            chosen.append(found[0].id)
        elif name in run.patch_files():
            files.append(name)
        else:
            raise TriageError(
                f"run {run.run_id} has no proposal and no rule file {safe_line(name, 80)!r}"
                f" ({number_of(len(proposals), 'proposal')}: `triage-tui show {run.run_id}` lists them)"
            )
    texts = {name: patches.read_rule(run.dir, name) for name in dict.fromkeys(files)}
    if not chosen:
        chosen = [one.id for one in proposals if set(one.files) == texts.keys()]
    return Wanted(texts, chosen[0] if len(chosen) == 1 else "")


def observe(
    workspace: Workspace,
    run_id: str,
    names: Sequence[str] = (),
    *,
    tell: Tell = lambda text: None,
    cancel: threading.Event | None = None,
    bounds: Bounds | None = None,
    actor: str = "",
) -> tuple[str, Counterfactual]:
    """Run the program of a run without and with rules that it proposes; return the record and its name.

    Raises:
        Conflict: a person's own file hides one of the rules.
        TriageError: there is no such run or rule, an approval of it would be refused, the program cannot be
            started again, or it was cancelled; nothing is kept then.
    """
    settle(workspace.root)
    run = workspace.load(run_id)
    tried = wanted(run, names)
    if not tried.texts:
        raise TriageError(f"no rule file of run {run.run_id} is named, so there is nothing to compare")
    trials = Trials(workspace, run, bounds or Bounds(runs=2), tell, cancel or threading.Event())
    active = trials.active()
    for name, text in tried.texts.items():
        proposed.check_rule(run, name, text, active)
    additions = {patches.active_name(name, text): text for name, text in tried.texts.items()}
    layers.refuse_hidden(workspace.rulebook, trials.target_id, additions)
    base = texts_of(active)
    if all(base.get(name) == text for name, text in additions.items()):
        raise TriageError("these rules are active already: roll them back first, or name others")
    with trials:
        first, second = trials.side_by_side(base, {**base, **additions})
        found = _compared(run, tried, active, first, second, trials)
    found.actor = actor or default_actor()
    return _keep(workspace, run, found), found


def _compared(
    run: Run, tried: Wanted, active: Generation | None, first: Run, second: Run, trials: Trials
) -> Counterfactual:
    parts = parting(first.trace(), second.trace())
    verdict = of_trials(judge(first, second))
    notes = []
    for which, one in (("without", first), ("with", second)):
        known, made = len(one.trace()), one.snapshot.statistics.syscalls
        if known < made:
            notes.append(f"of {made} calls {which} the rule {known} are kept, and compared")
        if one.snapshot.reason == "time_limit":
            notes.append(f"{which} the rule its time was over: it may go further")
    if parts.is_one and not any(call.rule for call in (parts.first, parts.second) if call is not None):
        acted = [hit for hit in second.snapshot.rule_hits if hit.hits and _is_new(hit, first)]
        late = "before the rule acted" if acted else "although the rule never acted"
        notes.append(f"they part {late}: the program does not do the same each time")
    repeats = how_it_stopped(run) == how_it_stopped(first)
    if not repeats:
        notes.append(
            f"without the rule it {how_it_stopped(first)} this time, and in run {run.run_id} it"
            f" {how_it_stopped(run)}"
        )
    return Counterfactual(
        run=run.run_id,
        proposal=tried.proposal,
        files=tried.digests,
        generation=active.number if active is not None else 0,
        without=_future(first, verdict.before, parts.left),
        with_rules=_future(second, verdict.after, parts.right),
        verdict=verdict,
        difference=in_words(parts),
        common=parts.common,
        lost=[safe_line(text, 200) for text in lost(first.trace(), second.trace())[:_MAX_LOST]],
        repeats=repeats,
        alike=[
            "program, arguments, environment, working directory, user and root file system",
            "input (each read its own copy from the beginning)",
            "the clock: both ran at the same time, with one seed for the rules' clock and random numbers",
            f"the rules of generation {active.number}"
            if active is not None
            else "no other rule of the target",
        ],
        notes=notes,
        wall=local_time(),
        seconds=round(trials.seconds, 1),
    )


def _is_new(hit: RuleHit, first: Run) -> bool:
    return hit.sha256 not in {one.sha256 for one in first.snapshot.rule_hits}


def _future(run: Run, figures: Figures, calls: Iterable[CallLine]) -> Future:
    diagnosis = run.diagnosis
    best = next(iter(diagnosis.hypotheses), None) if diagnosis is not None else None
    return Future(
        figures=figures,
        ends=how_it_stopped(run),
        cause=best.cause if best is not None else "",
        confidence=best.confidence if best is not None else 0.0,
        healthy=is_healthy(run),
        headline=safe_line(diagnosis.headline, 400) if diagnosis is not None else "",
        probes=[safe_line(f"{one.outcome}: {one.detail}", 200) for one in run.snapshot.probes[:8]],
        faked=masked_calls(run)[:_MAX_LOST],
        rules={hit.rule: hit.sha256 for hit in run.snapshot.rule_hits},
        started_with=[one.says for one in run.snapshot.start_settings],
        calls=list(calls),
        output=[safe_line(line, 200) for line in last_printed(run, _OUTPUT_LINES)],
    )


def _keep(workspace: Workspace, run: Run, found: Counterfactual) -> str:
    """Write the record, and the event that tells of it; return the name of the record."""
    name = keep(run.dir, found)
    payload = {
        "record": name,
        "sha256": digest_of(run, name),
        "files": found.files,
        "proposals": [found.proposal] if found.proposal else [],
        "generation": found.generation,
        "verdict": found.verdict.word,
        "rung": found.verdict.rung,
        "says": found.difference,
    }
    pending.decided(workspace.root, run, EVENT, payload, found.actor)
    return name


def digest_of(run: Run, name: str) -> str:
    """Return the SHA-256 of a record of a run."""
    return hashlib.sha256((run.dir / name).read_bytes()).hexdigest()
