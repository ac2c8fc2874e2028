"""What a person can decide about a run: the calls that the terminal app and the commands share.

Each checks the run's state at the moment of writing, so that of two deciders one wins and the other is told;
each leaves its trace in the run's event log.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.background import AskedRetry
from triage_tui.retry.freezing import ask_to_end, ask_to_freeze
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.rules.rule_decisions import UNLESS_RETRIED, RuleDecisions
from triage_tui.retry.start import read_start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.runs.checkpoint_place import has_checkpoint
from triage_tui.runs.events import State, append_event, default_actor, holder_alive, is_waiting
from triage_tui.sfemu import deciding
from triage_tui.text import number_of, safe_line

if TYPE_CHECKING:
    from triage_tui.export.exporting import Wanted
    from triage_tui.runs.analysis_model import Progress
    from triage_tui.runs.reader import Run

Decision = Literal["resume", "retry", "checkpoint", "end"]
DECISIONS: tuple[Decision, ...] = ("resume", "retry", "checkpoint", "end")


class LocalActions(RuleDecisions):
    """The decisions on the runs of one workspace, those on rules and those on guests.

    Every method returns one sentence that says what was done and raises `TriageError` (or its `Conflict`)
    with one sentence when it was not.
    """

    def __init__(self, workspace: Workspace, actor: str | None = None, step: Step = no_step) -> None:
        super().__init__(workspace, actor, step)
        self._asked: dict[str, AskedRetry] = {}
        """Run to its last retry that was asked for through this object."""

    def decide(self, run_id: str, action: Decision) -> str:
        """Tell the holder of a frozen guest what to do with it."""
        run = self._settled(run_id)
        if action == "checkpoint" and not has_checkpoint(run.dir):
            raise Conflict(f"run {run.run_id} has no checkpoint: retry from the start instead")
        if deciding.is_taken_over(run.dir):
            return self._decide_sfemu(run.run_id, action)
        if not is_waiting(run.events):
            raise Conflict(f"run {run.run_id} does not wait for a decision")
        if not holder_alive(run.events):
            append_event(run.dir, "holder_lost", {}, self._actor)
            raise Conflict(
                f"the process that held the guest of run {run.run_id} is gone: retry from the start instead"
            )
        self._decided(run, "decision", {"action": action}, expect_waiting=True)
        if action in ("retry", "checkpoint"):
            self._asked[run.run_id] = AskedRetry.by_holder(run.dir, run.events)
        rules = self._rules_of(run)
        return {
            "resume": f"the guest goes on {rules}",
            "retry": f"the guest starts again {rules}",
            "checkpoint": f"a new guest goes on from the checkpoint {rules}",
            "end": "the guest is ended",
        }[action]

    def _rules_of(self, run: Run) -> str:
        """Return with which rules the guest of a run goes on, in words."""
        with contextlib.suppress(TriageError):
            if (theirs := read_start(run.dir).sfemu) is not None:
                return f"with the rule directory {safe_line(theirs.directory, 200)}"
        if generations.current(self._rulebook_of(run)) is not None:
            return "with the active rules"
        return "without rules, because none is active"

    def _decide_sfemu(self, run_id: str, action: Decision) -> str:
        """Tell the processes of SFEmu that wait with a run what to do with it."""
        home = self._workspace.root
        deciding.take_note(home)
        found = deciding.of_run(home, run_id)
        deciding.check(home, found, action)
        payload = {"action": action, "nonce": [wait.nonce for wait in found]}
        run = self._workspace.load(run_id)
        # The event before SFEmu is told: of two who decide here one is told that the other was first. Nobody
        # looks between the two, to whom the wait would seem to go on.
        with deciding.alone(home):
            self._decided(run, "decision", payload, expect_waiting=True)
            return deciding.tell(home, found, action, self._actor or default_actor())

    def freeze(self) -> str:
        """Have the guest of this workspace that was started last frozen and recorded."""
        return ask_to_freeze(self._workspace.running_dir)

    def decompile(self, run_id: str, frame: int, cancel: threading.Event) -> str:
        """Decompile the function of a frame and keep the text in the record; `cancel` ends it."""
        # Only here: who reads code takes a third of all that a decision would import.
        from triage_tui.retry.inspecting import frame_code

        run = self._workspace.load(run_id)
        chosen = frame_code.frame_of(run, frame)
        found = frame_code.decompiled(run, chosen, cancel)
        # It may have taken a minute: what was added to the record meanwhile stays.
        run = self._workspace.load(run_id)
        frame_code.keep(run, frame_code.frame_of(run, frame), found)
        return f"frame {frame} is {found.provenance}, and the text is kept in the record"

    def diagnose(self, run_id: str) -> str:
        """Diagnose a recorded run again; what a person decided or edited stays."""
        from triage_tui.retry.inspecting.rediagnose import rediagnose

        after = rediagnose(self._workspace.run_dir(run_id), self._actor)
        self._note(after)
        best = next(iter(after.diagnosis.hypotheses if after.diagnosis else []), None)
        cause = f"{best.cause} {best.confidence:.2f}" if best is not None else "no hypothesis"
        return f"run {after.run_id} is diagnosed again: {cause}"

    def add_log(self, run_id: str, path: Path) -> str:
        """Put a log from elsewhere beside a run, lined up by its times."""
        from triage_tui.runs.added_logs import read_index
        from triage_tui.runs.adding_logs import add_log, told

        run = self._workspace.load(run_id)
        before = read_index(run)
        return told(run, before, add_log(run, path, actor=self._actor))

    def experiment(
        self, run_id: str, wanted: str, cancel: threading.Event, tell: Callable[[str], None]
    ) -> str:
        """Carry out an experiment on a run, and say what was learnt; see `experiments.carry_out`."""
        from triage_tui.retry.experiments.carrying_out import carry_out

        try:
            outcome = carry_out(self._workspace, run_id, wanted, tell, cancel, self._actor)
        finally:
            with contextlib.suppress(TriageError):
                self._note(self._workspace.load(run_id))
        where = f" (run {outcome.run_id})" if outcome.run_id != self._workspace.load(run_id).run_id else ""
        return f"{outcome.learnt}{where}"

    def counterfactual(
        self, run_id: str, files: Sequence[str], cancel: threading.Event, tell: Callable[[str], None]
    ) -> str:
        """Run the same start without and with rule files of a run, in a process of its own.

        What was seen is kept below the run, see `trials.counterfactual`.
        """
        from triage_tui.retry.trials.process import in_process

        found = in_process(self._workspace.root, ["counterfactual", run_id, *files], cancel, tell)
        return f"both futures were seen: {safe_line(str(found.get('record', '')), 100)} of run {run_id}"

    def read_memory(self, run_id: str, address: int) -> str:
        """Read memory of the frozen guest that was not kept, up to a page of it, and add it to the record."""
        from triage_tui.retry.inspecting.more_memory import PIECE, read_more

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
        from triage_tui.retry.inspecting.asking import ask_model

        return ask_model(self._workspace.root, self._workspace.load(run_id).run_id, cancel, tell, watch)

    def note_point(self, run_id: str, tool: str, texts: dict[str, str]) -> str:
        """Note or change a suspicious point of a run, with the tool of that name."""
        from triage_tui.retry.inspecting.tool_desk import note_point

        return note_point(
            self._workspace, self._workspace.load(run_id), self._actor or default_actor(), tool, texts
        )

    def begin_rollout(self, run_id: str, file: str) -> str:
        """Begin the rollout of a rule file that a run proposes: it is observed first."""
        from triage_tui.retry.sharing import rollout as rolling

        found = rolling.begin(self._workspace, f"{run_id}:{file}", actor=self._actor or "")
        return f"rollout {found.id} is begun: {rolling.in_words(found)}"

    def promote_rollout(self, rollout: str, anyway: str = "") -> str:
        """Bring a rollout to its next stage; `anyway` is why although its criteria are not met."""
        from triage_tui.retry.sharing import rollout as rolling

        found = rolling.promote(self._workspace, rollout, anyway=anyway, actor=self._actor or "")
        return f"rollout {found.id} goes on: {rolling.in_words(found)}"

    def stop_rollout(self, rollout: str, reason: str) -> str:
        """Stop a rollout: its rule leaves every place that it was put to."""
        from triage_tui.retry.sharing import rollout as rolling

        found = rolling.stop(self._workspace, rollout, reason, actor=self._actor or "")
        return f"rollout {found.id} is stopped"

    def import_pack(self, path: Path, sha256: str, *, unsigned: bool = False) -> str:
        """Keep the pack of a file that was shown, by its SHA-256; none of its rules becomes active."""
        from triage_tui.rulebook.packs.imported import import_pack

        kept = import_pack(
            self._workspace.rulebook, path, unsigned=unsigned, sha256=sha256, actor=self._actor or ""
        )
        instead = f" in place of {kept.replaced}" if kept.replaced else ""
        return (
            f"pack {kept.name} is kept{instead}, none of its rules is active: V, and p on it, proposes them"
        )

    def renew_rules(self, target_id: str) -> str:
        """Make the rules of a target active again that were set aside."""
        from triage_tui.retry.rules.renewal import renew

        return renew(self._workspace, target_id, actor=self._actor or "")

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

    def retry(self, run_id: str, *, checkpoint: bool = False) -> str:
        """Run the target again: by its holder when that lives, else by a new process in the background.

        With `checkpoint` it goes on from where the run was frozen.
        """
        run = self._workspace.load(run_id)
        asked = self._asked.get(run.run_id)
        if run.state == "retrying" or (asked is not None and asked.begins):
            raise Conflict(f"run {run.run_id} is being retried already")
        if holder_alive(run.events):
            return self.decide(run_id, "checkpoint" if checkpoint else "retry")
        read_start(run.dir)
        more = ("--from", "checkpoint") if checkpoint else ()
        try:
            self._asked[run.run_id] = AskedRetry.by_process(self._workspace.root, run.dir, run.events, more)
        except OSError as error:
            raise TriageError(
                f"run {run.run_id} cannot be started again from here: {error.strerror or error}"
            ) from error
        how = "goes on from its checkpoint" if checkpoint else "is started again"
        return f"run {run.run_id} {how} in the background"

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
