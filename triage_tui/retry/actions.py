"""What a person can decide about a run: the calls that the terminal app and the commands share.

Each checks the run's state at the moment of writing, so that of two deciders one wins and the other is told;
each leaves its trace in the run's event log.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry import frame_code, pending, proposed
from triage_tui.retry.background import AskedRetry
from triage_tui.retry.freezing import ask_to_end, ask_to_freeze
from triage_tui.retry.noting import note
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.start import read_start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, patches
from triage_tui.rulebook.choices import Approval, approval_of
from triage_tui.rulebook.targets import describe
from triage_tui.runs.events import Event, State, append_event, default_actor, holder_alive, is_waiting
from triage_tui.runs.reader import Run
from triage_tui.text import number_of, safe_line

if TYPE_CHECKING:
    from triage_tui.export.exporting import Wanted
    from triage_tui.runs.analysis_model import Progress

Decision = Literal["resume", "retry", "end"]
DECISIONS: tuple[Decision, ...] = ("resume", "retry", "end")

UNLESS_RETRIED = frozenset(get_args(State)) - {"retrying"}
"""States in which the proposals of a run may be decided on: any but while a retry is under way."""


class LocalActions:
    """The decisions on the runs of one workspace, made by `actor`.

    Every method returns one sentence that says what was done and raises `TriageError` (or its `Conflict`)
    with one sentence when it was not.
    """

    def __init__(self, workspace: Workspace, actor: str | None = None, step: Step = no_step) -> None:
        self._workspace = workspace
        self._actor = actor
        self._step = step
        """Called after each durable step with its name; tests end the process there."""
        self._made: dict[str, list[int]] = {}
        """Run to the generations that its approvals made through this object, and that were not undone."""
        self._refused: dict[str, list[int]] = {}
        """Run to the events of its rejections and drops through this object that were not taken back."""
        self._asked: dict[str, AskedRetry] = {}
        """Run to its last retry that was asked for through this object."""

    def approve(self, run_id: str, files: list[str], seen: str = "") -> str:
        """Make rule files of a run (named below `rules_patch/`) active as a new generation of its target.

        `seen` is the state in which the person saw the run: refused when somebody decided since.
        """
        run = self._settled(run_id)
        if seen not in ("", run.state):
            by = run.events[-1].actor if run.events else ""
            raise Conflict(
                f"run {run.run_id} is {run.state.replace('_', ' ')} by now"
                f" ({safe_line(by, 60)}), so nothing was approved"
            )
        if not files:
            files = list(proposed.best_proposal(run).files)
        active = generations.current(self._rulebook_of(run))
        # Here the files are what they are now: nothing was shown before.
        shown = {name: proposed.difference(run.dir, name, active) for name in dict.fromkeys(files)}
        return self._approve(
            run, [approval_of(name, one, range(len(one.hunks))) for name, one in shown.items()]
        )

    def approve_shown(self, run_id: str, approvals: Sequence[Approval]) -> str:
        """Make rule texts active that a person saw; refused when a file changed since it was shown."""
        if not approvals:
            raise TriageError("no hunk is chosen, so nothing was approved")
        return self._approve(self._settled(run_id), approvals)

    def _approve(self, run: Run, approvals: Sequence[Approval]) -> str:
        files = [approval.file for approval in approvals]
        proposals = [
            p for p in (run.diagnosis.proposals if run.diagnosis else []) if set(p.files) & set(files)
        ]
        for proposal in proposals:
            if proposal.needs_input and not proposed.is_filled_in(run, proposal):
                raise TriageError(
                    f"proposal {proposal.id} needs what only a person has: {safe_line(proposal.needs_input)}"
                )
        by_model = proposed.check_alone(run, approvals)
        target_dir = self._rulebook_of(run)
        active = generations.current(target_dir)
        for approval in approvals:
            proposed.check_as_shown(run.dir, approval, active)
            proposed.check_rule(run, approval.file, approval.text, active)
        additions = {patches.active_name(one.file, one.text): one.text for one in approvals}
        if active and all(active.files.get(name) == _sha256(source) for name, source in additions.items()):
            raise Conflict(f"these rules are active already (generation {active.number})")
        actor = self._actor or default_actor()
        payload: dict[str, object] = {
            "files": {approval.file: approval.proposed for approval in approvals},
            "proposals": [proposal.id for proposal in proposals],
        }
        if by_model:
            payload["by"] = "model"
        if hunks := {one.file: list(one.hunks) for one in approvals if one.hunks}:
            payload["hunks"] = hunks
        with self._begun("approve", run) as held:
            approved = {**payload, "change": held.change}
            append_event(run.dir, "approved", approved, actor, expect_state=UNLESS_RETRIED)
            self._step("approved")
            self._note(run)
            describe(target_dir, run.snapshot.target)
            generation = generations.activate(
                target_dir,
                add=additions,
                actor=actor,
                reason=_reason(run) + (", proposed by a model" if by_model else ""),
                run=run.run_id,
                change=held.change,
                expect=active.number if active else 0,
                step=self._step,
            )
            told = pending.activated(generation.number, generation.parent, additions, held.change)
            held.tell("activated", told)
            self._step("activated")
        self._made.setdefault(run.run_id, []).append(generation.number)
        rules = f"{len(additions)} rule{'s' * (len(additions) != 1)}"
        if hunks:
            taken = sum(len(one.hunks) if one.hunks else one.total for one in approvals)
            rules += f" with {taken} of {sum(one.total for one in approvals)} hunks"
        rules += ", proposed by a model," if by_model else ""
        return f"{rules} active for {_target_name(run)} (generation {generation.number})"

    def _settled(self, run_id: str) -> Run:
        """Read a run once what a killed program left of a decision is settled."""
        pending.settle(self._workspace.root)
        return self._workspace.load(run_id)

    @contextlib.contextmanager
    def _begun(self, kind: pending.Kind, run: Run, **more: str) -> Iterator[pending.Held]:
        """Write a decision down before it is carried out."""
        root = self._workspace.root
        decision = pending.pending_of(kind, run, self._actor or "", **more)
        with pending.begun(root, decision, self._step) as held:
            yield held

    def _decided(self, run: Run, kind: str, payload: dict[str, Any], **expected: Any) -> Event:
        """Record a decision that is one event, and its line in the audit log."""
        root = self._workspace.root
        return pending.decided(root, run, kind, payload, self._actor or "", self._step, **expected)

    def _note(self, run: Run) -> None:
        """Bring the audit log up to the run's event log."""
        note(self._workspace.rulebook, run.dir, run.snapshot.target.target_id)

    def _rulebook_of(self, run: Run) -> Path:
        return self._workspace.rulebook_dir(run.snapshot.target.target_id)

    def reject(self, run_id: str, reason: str) -> str:
        """Reject what a run proposes; refused when somebody did already."""
        run = self._settled(run_id)
        if run.state == "rejected":
            first = next(event for event in reversed(run.events) if event.kind == "rejected")
            raise Conflict(
                f"{safe_line(first.actor, 60)} rejected run {run.run_id} already"
                f" ({safe_line(str(first.payload.get('reason', '')), 100)}), so it was not rejected again"
            )
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
        target_dir = self._rulebook_of(run)
        current = generations.current(target_dir)
        if seen is not None and (current.number if current else 0) != seen:
            other = f"{current.number} of {safe_line(current.actor, 60)}" if current else "none"
            raise Conflict(
                f"generation {seen} is not active any more, {other} is, so nothing was rolled back"
            )
        payloads = [e.payload for e in reversed(run.events) if e.kind == "activated"]
        # What was approved after it may have been rolled back already: the approval of what is active counts.
        activated = next(
            (p for p in payloads if current is not None and p.get("generation") == current.number),
            payloads[0] if payloads else None,
        )
        if activated is None:
            raise TriageError(
                f"no rule of run {run.run_id} was made active, so there is nothing to roll back"
            )
        number, parent = activated.get("generation"), activated.get("parent")
        if current is None or current.number != number:
            active = f"generation {current.number} is: roll that back first" if current else "no rule is"
            raise Conflict(f"generation {number} of run {run.run_id} is not active, {active}")
        with self._begun("roll_back", run) as held:
            back = generations.rollback(
                target_dir,
                parent if isinstance(parent, int) else 0,
                actor=self._actor or default_actor(),
                reason=f"taken back from run {run.run_id}",
                run=run.run_id,
                change=held.change,
                expect=current.number,
                step=self._step,
            )
            now = back.number if back else 0
            held.tell("rolled_back", pending.rolled_back(number, now, held.change))
            self._step("rolled_back")
        return (
            f"rolled back to generation {now} of {_target_name(run)}, byte for byte"
            if now
            else (f"rolled back: no rule is active for {_target_name(run)}")
        )

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
        problem = proposed.first_error(run, relpath, data, generations.current(self._rulebook_of(run)))
        new = _sha256(data)
        with self._begun("edit", run, file=relpath, sha256=new, before=before) as held:
            with patches.replaced(run.dir, relpath, data):
                self._step("written")
                append_event(run.dir, "edited", pending.edited(held.pending), self._actor)
            self._step("edited")
            held.note()
            self._step("noted")
        if problem is None:
            return f"the edit of {safe_line(relpath)} is saved"
        return f"the edit is saved, but cannot be approved as it is: {problem}"

    def decide(self, run_id: str, action: Decision) -> str:
        """Tell the holder of a frozen guest what to do with it."""
        run = self._settled(run_id)
        if not is_waiting(run.events):
            raise Conflict(f"run {run.run_id} does not wait for a decision")
        if not holder_alive(run.events):
            append_event(run.dir, "holder_lost", {}, self._actor)
            raise Conflict(
                f"the process that held the guest of run {run.run_id} is gone: retry from the start instead"
            )
        self._decided(run, "decision", {"action": action}, expect_waiting=True)
        if action == "retry":
            self._asked[run.run_id] = AskedRetry.by_holder(run.dir, run.events)
        active = generations.current(self._rulebook_of(run))
        rules = "with the active rules" if active is not None else "without rules, because none is active"
        return {
            "resume": f"the guest goes on {rules}",
            "retry": f"the guest starts again {rules}",
            "end": "the guest is ended",
        }[action]

    def freeze(self) -> str:
        """Have the guest of this workspace that was started last frozen and recorded."""
        return ask_to_freeze(self._workspace.running_dir)

    def decompile(self, run_id: str, frame: int, cancel: threading.Event) -> str:
        """Decompile the function of a frame and keep the text in the record; `cancel` ends it."""
        run = self._workspace.load(run_id)
        chosen = frame_code.frame_of(run, frame)
        found = frame_code.decompiled(run, chosen, cancel)
        # It may have taken a minute: what was added to the record meanwhile stays.
        run = self._workspace.load(run_id)
        frame_code.keep(run, frame_code.frame_of(run, frame), found)
        return f"frame {frame} is {found.provenance}, and the text is kept in the record"

    def diagnose(self, run_id: str) -> str:
        """Diagnose a recorded run again; what a person decided or edited stays."""
        from triage_tui.retry.rediagnose import rediagnose

        after = rediagnose(self._workspace.run_dir(run_id), self._actor)
        self._note(after)
        best = next(iter(after.diagnosis.hypotheses if after.diagnosis else []), None)
        cause = f"{best.cause} {best.confidence:.2f}" if best is not None else "no hypothesis"
        return f"run {after.run_id} is diagnosed again: {cause}"

    def add_log(self, run_id: str, path: Path) -> str:
        """Put a log from elsewhere beside a run, lined up by its times."""
        from triage_tui.runs.added_logs import add_log, in_words

        run = self._workspace.load(run_id)
        return f"added {in_words(run, add_log(run, path, actor=self._actor))}"

    def experiment(
        self, run_id: str, wanted: str, cancel: threading.Event, tell: Callable[[str], None]
    ) -> str:
        """Carry out an experiment on a run, and say what was learnt; see `experiments.carry_out`."""
        from triage_tui.retry.experiments import carry_out

        try:
            outcome = carry_out(self._workspace, run_id, wanted, tell, cancel, self._actor)
        finally:
            with contextlib.suppress(TriageError):
                self._note(self._workspace.load(run_id))
        where = f" (run {outcome.run_id})" if outcome.run_id != self._workspace.load(run_id).run_id else ""
        return f"{outcome.learnt}{where}"

    def read_memory(self, run_id: str, address: int) -> str:
        """Read memory of the frozen guest that was not kept, up to a page of it, and add it to the record."""
        from triage_tui.retry.more_memory import PIECE, read_more

        run = self._workspace.load(run_id)
        _, data, how = read_more(run, address, PIECE, threading.Event())
        return f"{number_of(len(data), 'byte')} at {address:#x}, {how}"

    def ask_model(
        self,
        run_id: str,
        cancel: threading.Event,
        tell: Callable[[str], None],
        watch: Callable[[Progress], None] = lambda progress: None,
    ) -> str:
        """Ask the model that is set up about a run, and add what it says to the run's diagnosis."""
        from triage_tui.retry.asking import ask_model

        return ask_model(self._workspace.root, self._workspace.load(run_id).run_id, cancel, tell, watch)

    def note_point(self, run_id: str, tool: str, texts: dict[str, str]) -> str:
        """Note or change a suspicious point of a run, with the tool of that name."""
        from triage_tui.retry.tool_desk import note_point

        return note_point(
            self._workspace, self._workspace.load(run_id), self._actor or default_actor(), tool, texts
        )

    def export(
        self,
        run_ids: Sequence[str],
        wanted: Wanted,
        directory: Path | None,
        cancel: threading.Event,
        tell: Callable[[str], None],
    ) -> str:
        """Write runs into `directory` (None: `exports/` of the workspace); `tell` is told how far it is."""
        from triage_tui.export.into_directory import export_runs

        run_dirs = [self._workspace.runs_dir / run_id for run_id in run_ids]
        return export_runs(self._workspace.root, run_dirs, wanted, directory, cancel, tell)

    def retry(self, run_id: str) -> str:
        """Run the target again: by its holder when that lives, else by a new process in the background."""
        run = self._workspace.load(run_id)
        asked = self._asked.get(run.run_id)
        if run.state == "retrying" or (asked is not None and asked.begins):
            raise Conflict(f"run {run.run_id} is being retried already")
        if holder_alive(run.events):
            return self.decide(run_id, "retry")
        read_start(run.dir)
        try:
            self._asked[run.run_id] = AskedRetry.by_process(self._workspace.root, run.dir, run.events)
        except OSError as error:
            raise TriageError(
                f"run {run.run_id} cannot be started again from here: {error.strerror or error}"
            ) from error
        return f"run {run.run_id} is started again in the background"

    def await_retry(self, run_id: str, unwanted: threading.Event) -> str:
        """Wait until the retry of a run came to something, or waiting for it is `unwanted`."""
        run = self._workspace.load(run_id)
        asked = self._asked.get(run.run_id)
        if run.state == "retrying" and (asked is None or not asked.alive):
            asked = AskedRetry.by_others(run.dir, run.events)
        if asked is not None and not asked.wait(unwanted):
            log = " (its log is logs/retry-process.log of the run)" if asked.process is not None else ""
            raise TriageError(f"the retry of run {run.run_id} ended before it began{log}")
        return f"the retry of run {run.run_id} is {self._workspace.load(run_id).state.replace('_', ' ')}"

    def stop_retry(self, run_id: str) -> str:
        """Have a retry end that is under way: its guest is recorded as it is, and nothing of it is left."""
        run = self._workspace.load(run_id)
        asked = self._asked.get(run.run_id)
        if run.state == "retrying":
            try:
                said = ask_to_end(self._workspace.running_dir, run.run_id)
            except TriageError:
                # No program runs: it is being started, or what came of it is being recorded.
                if asked is None or not asked.stop_beginning():
                    raise
                said = "the retry is being stopped"
            states: Iterable[State] = ["retrying"]
        elif asked is not None and asked.begins and asked.stop_beginning():
            said, states = "the retry is stopped before it began", UNLESS_RETRIED
        else:
            raise Conflict(f"run {run.run_id} is not being retried")
        with contextlib.suppress(Conflict):
            # It may have ended by itself in this moment.
            self._decided(run, "decision", {"action": "stop"}, expect_state=states)
        return said

    def retries_under_way(self) -> set[str]:
        """Return the runs whose retry was asked for through this object and is not over."""
        return {run_id for run_id, asked in self._asked.items() if asked.under_way}

    def end_retries(self) -> None:
        """End the processes that were started for retries through this object, and the guests they hold."""
        for asked in self._asked.values():
            asked.end()


def _reason(run: Run) -> str:
    """Return the reason of generations that were approved on `run`."""
    return f"approved from run {run.run_id}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _target_name(run: Run) -> str:
    return safe_line(" ".join(run.snapshot.target.argv) or run.snapshot.target.program, 60)
