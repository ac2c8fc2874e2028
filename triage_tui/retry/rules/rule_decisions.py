"""What a person decides about rules: approve, edit, reject, take back, and go to another generation.

Each checks the run's state at the moment of writing, so that of two deciders one wins and the other is told;
each leaves its trace in the run's event log and in the audit log.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry import decision_events, pending
from triage_tui.retry.noting import note
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.pending_model import Kind
from triage_tui.retry.rules import proposed, rule_moves
from triage_tui.retry.settling import settle
from triage_tui.retry.trials import observed
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, layers, patches
from triage_tui.rulebook.choices import Approval, approval_of
from triage_tui.rulebook.targets import describe
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.events import Event, State, append_event, default_actor
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

UNLESS_RETRIED = frozenset(get_args(State)) - {"retrying"}
"""States in which the proposals of a run may be decided on: any but while a retry is under way."""


_MAX_DESPITE = 16
"""Sentences about other rules that the event of an approval keeps."""


class RuleDecisions:
    """The decisions on the rules of one workspace, made by `actor`.

    Every method returns one sentence that says what was done and raises `TriageError` (or its `Conflict`)
    with one sentence when it was not.
    """

    def __init__(self, workspace: Workspace, actor: str | None = None, step: Step = no_step) -> None:
        self._workspace = workspace
        self._actor = actor
        self.reason = ""
        """Why a person approves, in their own words."""
        self._step = step
        """Called after each durable step with its name; tests end the process there."""
        self._made: dict[str, list[int]] = {}
        """Run to the generations that its approvals made through this object, and that were not undone."""
        self._refused: dict[str, list[int]] = {}
        """Run to the events of its rejections and drops through this object that were not taken back."""

    def approve(self, run_id: str, files: list[str], seen: str = "", *, anyway: bool = False) -> str:
        """Make rule files of a run (named below `rules_patch/`) active as a new generation of its target.

        `seen` is the state in which the person saw the run: refused when somebody decided since. Refused
        (`InTheWay`) as well when a rule and the active ones get in each other's way, unless the person was
        told and wants it `anyway`.
        """
        return self._approve_files(run_id, files, seen, anyway)

    def approve_by_policy(self, run_id: str, files: list[str], line: str, *, anyway: bool) -> str:
        """Make rule files active as `approve` does, because a `line` of the written policy allows it."""
        return self._approve_files(run_id, files, "", anyway, allowed_by=line)

    def _approve_files(
        self, run_id: str, files: list[str], seen: str, anyway: bool, allowed_by: str = ""
    ) -> str:
        run = self._settled(run_id)
        if seen not in ("", run.state):
            raise self._decided_since(run, "approved")
        if not files:
            files = list(proposed.best_proposal(run).files)
        active = generations.current(self._rulebook_of(run))
        # Here the files are what they are now: nothing was shown before.
        shown = {name: proposed.difference(run.dir, name, active) for name in dict.fromkeys(files)}
        return self._approve(
            run,
            [approval_of(name, one, range(len(one.hunks))) for name, one in shown.items()],
            anyway,
            allowed_by,
        )

    def approve_shown(self, run_id: str, approvals: Sequence[Approval], *, anyway: bool = False) -> str:
        """Make rule texts active that a person saw; refused when a file changed since it was shown.

        As for `approve`, what gets in the way of active rules has to be wanted `anyway`.
        """
        if not approvals:
            raise TriageError("no hunk is chosen, so nothing was approved")
        return self._approve(self._settled(run_id), approvals, anyway)

    def approve_smaller(self, run_id: str, proposal_id: str) -> str:
        """Make the rules active that trials found to be enough: some are taken out, others are narrower.

        Refused when the active rules are others than those that were tried.
        """
        run = self._settled(run_id)
        found = proposed.smaller_set(run, proposal_id)
        active = generations.current(self._rulebook_of(run))
        shown = {name: proposed.difference(run.dir, name, active) for name in found.files}
        approvals = [approval_of(name, one, range(len(one.hunks))) for name, one in shown.items()]
        return self._approve(run, approvals, anyway=True, smaller=found)

    def _approve(
        self,
        run: Run,
        approvals: Sequence[Approval],
        anyway: bool,
        allowed_by: str = "",
        *,
        smaller: Proposal | None = None,
    ) -> str:
        files = [approval.file for approval in approvals]
        proposals = [
            p for p in (run.diagnosis.proposals if run.diagnosis else []) if set(p.files) & set(files)
        ]
        for proposal in proposals:
            if proposal.needs_input and not proposed.is_filled_in(run, proposal):
                if why := proposal.not_on_sfemu:
                    other = proposed.acts_there(run)
                    raise TriageError(f"proposal {proposal.id} cannot act on SFEmu: {safe_line(why)}{other}")
                raise TriageError(
                    f"proposal {proposal.id} needs what only a person has: {safe_line(proposal.needs_input)}"
                )
        if smaller is not None:
            proposals = [smaller]
        by_model = proposed.check_alone(run, approvals)
        target_dir = self._rulebook_of(run)
        active = generations.current(target_dir)
        for approval in approvals:
            proposed.check_as_shown(run.dir, approval, active)
            proposed.check_rule(run, approval.file, approval.text, active)
        additions = {patches.active_name(one.file, one.text): one.text for one in approvals}
        layers.refuse_hidden(self._workspace.rulebook, run.snapshot.target.target_id, additions)
        removes = smaller.removes if smaller is not None else proposed.replaced_plain(run, approvals, active)
        proposed.check_removable(active, removes)
        there = active.files if active else {}
        if active and not removes and all(there.get(n) == _sha256(text) for n, text in additions.items()):
            if damaged := generations.verify(active):
                raise Conflict(
                    f"the active rules are damaged ({damaged[0]}), so nothing was approved: make another"
                    f" generation active, `triage-tui rollback {target_dir.name} --to N`"
                )
            raise Conflict(f"these rules are active already (generation {active.number})")
        despite = [told for a in approvals for told in proposed.in_the_way(run, a.file, a.text, active)]
        if despite and not anyway:
            more = f" (and {len(despite) - 1} more)" if len(despite) > 1 else ""
            raise proposed.InTheWay(f"nothing was approved yet: {despite[0]}{more}")
        actor = self._actor or default_actor()
        payload: dict[str, object] = {
            "files": {approval.file: approval.proposed for approval in approvals},
            "proposals": [proposal.id for proposal in proposals],
        }
        if self.reason:
            payload["reason"] = self.reason
        if by_model:
            payload["by"] = "model"
        if removes:
            payload["removes"] = dict(removes)
        if seen := observed.cited(run, {one.file: _sha256(one.text) for one in approvals}, active):
            payload["observed"] = seen
        if allowed_by:
            payload["policy"] = allowed_by
        if hunks := {one.file: list(one.hunks) for one in approvals if one.hunks}:
            payload["hunks"] = hunks
        if despite:
            payload["despite"] = despite[:_MAX_DESPITE]
        with self._begun("approve", run) as held:
            approved = {**payload, "change": held.change}
            append_event(run.dir, "approved", approved, actor, expect_state=UNLESS_RETRIED)
            self._step("approved")
            self._note(run)
            describe(target_dir, run.snapshot.target)
            generation = generations.activate(
                target_dir,
                add=additions,
                remove=removes,
                actor=actor,
                reason=_reason(run) + (", proposed by a model" if by_model else ""),
                run=run.run_id,
                change=held.change,
                expect=active.number if active else 0,
                ready=held.ready,
                step=self._step,
            )
            told = decision_events.activated(generation.number, generation.parent, additions, held.change)
            held.tell("activated", told)
            self._step("activated")
        self._made.setdefault(run.run_id, []).append(generation.number)
        rules = f"{len(additions)} rule{'s' * (len(additions) != 1)}"
        if hunks:
            taken = sum(len(one.hunks) if one.hunks else one.total for one in approvals)
            rules += f" with {taken} of {sum(one.total for one in approvals)} hunks"
        rules += ", proposed by a model," if by_model else ""
        if removes:
            rules = f"{len(removes)} taken out, {rules if additions else 'the rest'}"
        although = f", although {despite[0]}" if despite else ""
        where = f"{rule_moves.target_name(run)} (generation {generation.number}){held.published}"
        return f"{rules} active for {where}{although}"

    def reject(self, run_id: str, reason: str, seen: str = "") -> str:
        """Reject what a run proposes; refused when somebody did already.

        `seen` is the state in which the person saw the run: refused when somebody decided since.
        """
        run = self._settled(run_id)
        if run.state == "rejected":
            first = next(event for event in reversed(run.events) if event.kind == "rejected")
            raise Conflict(
                f"{safe_line(first.actor, 60)} rejected run {run.run_id} already"
                f" ({safe_line(str(first.payload.get('reason', '')), 100)}), so it was not rejected again"
            )
        if seen not in ("", run.state):
            raise self._decided_since(run, "rejected")
        expected = UNLESS_RETRIED - {"rejected"}
        event = self._decided(run, "rejected", {"reason": reason}, expect_state=expected)
        self._refused.setdefault(run.run_id, []).append(event.event_id)
        return f"the proposals of run {run.run_id} are rejected"

    def drop(self, run_id: str, names: Sequence[str], reason: str) -> str:
        """Note that some files or hunks ("fix/syscall/read.lua:2") of a run are not wanted, and why."""
        run = self._settled(run_id)
        event = self._decided(run, "dropped", {"what": list(names), "reason": reason})
        self._refused.setdefault(run.run_id, []).append(event.event_id)
        return f"dropped {safe_line(', '.join(names), 200)}"

    def reconsider(self, run_id: str) -> str:
        """Take back what was rejected or dropped last through this object; that of somebody else stands."""
        refused = self._refused.get(run_id)
        if not refused:
            raise TriageError(
                f"nothing of run {safe_line(run_id, 60)} was rejected here, so nothing can be taken back"
            )
        run = self._settled(run_id)
        last = next((event for event in run.events if event.event_id == refused[-1]), None)
        if last is None:
            raise TriageError(
                f"the event log of run {run.run_id} is another one now, so nothing was taken back"
            )
        self._decided(run, "reconsidered", {"event": last.event_id}, expect_state=[run.state])
        refused.pop()
        state = self._workspace.load(run_id).state.replace("_", " ")
        what = "the rejection" if last.kind == "rejected" else "what was dropped"
        return f"{what} of run {run.run_id} is taken back: it is {state} again"

    def undo_approval(self, run_id: str) -> str:
        """Take back the last approval on a run that was made through this object, and no other."""
        made = self._made.get(run_id)
        if not made:
            raise TriageError(f"nothing was approved here on run {safe_line(run_id, 60)}")
        current = generations.current(self._rulebook_of(self._workspace.load(run_id)))
        if current is None or current.number != made[-1]:
            active = (
                f"generation {current.number} of {safe_line(current.actor, 60)} is"
                if current
                else "no rule is"
            )
            raise Conflict(
                f"generation {made[-1]}, which was approved here, is not active any more, {active}: "
                "so nothing was undone"
            )
        said = self.rollback(run_id, seen=made[-1])
        made.pop()
        return said

    def rollback(self, run_id: str, seen: int | None = None) -> str:
        """Make the generation active again that was active before the approval on this run.

        `seen` is the generation that the person saw active: refused when another one is by now.
        """
        run = self._settled(run_id)
        return rule_moves.roll_back(self._workspace, run, self._actor or "", self._step, seen)

    def save_edit(self, run_id: str, relpath: str, text: str, expect: str | None = None) -> str:
        """Replace the text of one proposed rule file. With errors it is kept too, but cannot be approved.

        `expect` is the SHA-256 of the text that was edited: an edit of something else is refused.
        """
        run = self._settled(run_id)
        data = text.encode("utf-8", "surrogateescape")
        before = _sha256(patches.read_rule(run.dir, relpath))
        if expect is not None and before != expect:
            raise Conflict(
                f"{safe_line(relpath)} changed since it was shown, so the edit was not saved over it"
            )
        new = _sha256(data)
        with self._begun("edit", run, file=relpath, sha256=new, before=before) as held:
            with patches.replaced(run.dir, relpath, data):
                self._step("written")
                append_event(run.dir, "edited", decision_events.edited(held.pending), self._actor)
            self._step("edited")
            held.note()
            self._step("noted")
        problem = self._why_not(run, relpath, data)
        if problem is None:
            return f"the edit of {safe_line(relpath)} is saved"
        return f"the edit is saved, but cannot be approved as it is: {problem}"

    def why_not(self, run_id: str, relpath: str) -> str | None:
        """Return the first error of a proposed rule file, for which it cannot be approved, or None."""
        run = self._workspace.load(run_id)
        return self._why_not(run, relpath, patches.read_rule(run.dir, relpath))

    def _why_not(self, run: Run, relpath: str, data: bytes) -> str | None:
        return proposed.first_error(run, relpath, data, generations.current(self._rulebook_of(run)))

    def _decided_since(self, run: Run, deed: str) -> Conflict:
        """Return what is said to who saw a run in another state."""
        by = run.events[-1].actor if run.events else ""
        return Conflict(
            f"run {run.run_id} is {run.state.replace('_', ' ')} by now"
            f" ({safe_line(by, 60)}), so nothing was {deed}"
        )

    def _settled(self, run_id: str) -> Run:
        """Read a run once what a killed program left of a decision is settled."""
        settle(self._workspace.root)
        return self._workspace.load(run_id)

    @contextlib.contextmanager
    def _begun(self, kind: Kind, run: Run, **more: str) -> Iterator[pending.Held]:
        """Write a decision down before it is carried out."""
        root = self._workspace.root
        decision = pending.pending_of(kind, run, self._actor or "", **more)
        with pending.begun(root, decision, self._step, seen=run) as held:
            yield held

    def _decided(self, run: Run, kind: str, payload: dict[str, Any], **expected: Any) -> Event:
        """Record a decision that is one event, and its line in the audit log."""
        root = self._workspace.root
        # A guest is told what to do whatever becomes of the rules; who comes second there is told by its log.
        seen = run if kind != "decision" else None
        return pending.decided(root, run, kind, payload, self._actor or "", self._step, seen, **expected)

    def _note(self, run: Run) -> None:
        """Bring the audit log up to the run's event log."""
        note(self._workspace.rulebook, run.dir, run.snapshot.target.target_id)

    def _rulebook_of(self, run: Run) -> Path:
        return self._workspace.rulebook_dir(run.snapshot.target.target_id)

    def propose_pack(self, run_id: str, name: str) -> str:
        """Propose the rules of an imported pack on a run; they become active like any others: by approval."""
        from triage_tui.retry.sharing.pack_proposals import propose_pack

        return propose_pack(self._workspace, name, run_id, self._actor or "")

    def go_to_generation(self, target: str, number: int, reason: str = "", seen: int | None = None) -> str:
        """Make generation `number` of a target (0: none) the active one again; older or newer.

        `target` is its id, or "shared"; `seen` is the generation that the person saw active: refused when
        another one is by now. Every run whose rules come or go by this is told in its event log.
        """
        settle(self._workspace.root)
        return rule_moves.go_to(
            self._workspace, target, number, self._actor or default_actor(), reason, self._step, seen
        )


def _reason(run: Run) -> str:
    """Return the reason of generations that were approved on `run`."""
    return f"approved from run {run.run_id}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
