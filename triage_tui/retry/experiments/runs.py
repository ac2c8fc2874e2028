"""Experiments that run the program again from its start: with a probe, a rule that watches, more time, ..."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import msgspec

from triage_tui.errors import TriageError
from triage_tui.proposals.watching import watching_rules
from triage_tui.retry.inspecting.left_out_calls import WHOLE_TRACE
from triage_tui.retry.judging.ends import same_end
from triage_tui.retry.one_run import Tell, how_it_stopped, last_printed, run_once
from triage_tui.retry.rules.expiry import EXPERIMENT
from triage_tui.retry.start import Start, read_start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, patches
from triage_tui.rulebook.check.lint import lint
from triage_tui.runs.diagnosis_model import Experiment
from triage_tui.runs.events import append_event, default_actor
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import RULES_LOG
from triage_tui.text import safe_line

INPUT_FILE = "logs/experiment-input.txt"
"""What was given to the program on standard input, below the directory of the run that was looked at."""

MAX_TIME_LIMIT_S = 3600.0


def run_experiment(
    workspace: Workspace,
    run: Run,
    experiment: Experiment,
    tell: Tell,
    cancel: threading.Event,
    actor: str | None,
) -> tuple[Run, str]:
    """Run the program of `run` again as an experiment wants it; return the new run and what it showed.

    Raises:
        TriageError: it cannot be started, or was cancelled; a rule that was made active is rolled back.
    """
    start = _changed(run, read_start(run.dir), experiment)
    if experiment.kind == "observe":
        names = experiment.parameters.get("syscalls", "").split(",")
        with _watched(workspace, run, names, actor):
            new = run_once(workspace, run, start, tell, cancel)
    else:
        new = run_once(workspace, run, start, tell, cancel)
    return new, _SAW[experiment.kind](run, new, experiment)


def run_with_memory(workspace: Workspace, run: Run, tell: Tell, cancel: threading.Event) -> Run:
    """Run the program of `run` again and keep all of its memory.

    Raises:
        TriageError: it cannot be started, or was cancelled.
    """
    start = msgspec.structs.replace(read_start(run.dir), memory="full")
    return run_once(workspace, run, start, tell, cancel)


def _changed(run: Run, start: Start, experiment: Experiment) -> Start:
    """Return how the program is started for the experiment."""
    given = experiment.parameters
    match experiment.kind:
        case "probe":
            return msgspec.structs.replace(start, probing=True, probes=[])
        case "input":
            path = run.dir / INPUT_FILE
            write_atomic(path, given.get("text", "\\n").replace("\\n", "\n"))
            return msgspec.structs.replace(start, stdin=str(path.absolute()))
        case "longer":
            factor = float(given.get("factor", "5"))
            limit = min(MAX_TIME_LIMIT_S, start.triggers.time_limit_s * factor)
            # What computes without a call is frozen when it has done so for this long.
            idle = min(limit, start.triggers.idle_s * factor)
            # A dataclass inside the struct.
            triggers = msgspec.structs.replace(start.triggers, time_limit_s=limit, idle_s=idle)
            return msgspec.structs.replace(start, triggers=triggers)
        case "verbose":
            place = int(given.get("place", "1"))
            argv = [*start.argv[:place], given.get("option", "-v"), *start.argv[place:]]
            return msgspec.structs.replace(start, argv=argv)
        case "full_trace":
            return msgspec.structs.replace(start, full_trace=True, observe="full")
        case "again":
            return msgspec.structs.replace(start, full_trace=True, observe="full", memory="full")
        case "observe":
            return start
    raise TriageError(f"this version knows no experiment of the kind {safe_line(experiment.kind, 40)!r}")


@contextlib.contextmanager
def _watched(workspace: Workspace, run: Run, syscalls: list[str], actor: str | None) -> Iterator[None]:
    """Make rules active that only watch these calls, and take them back whatever happens."""
    target_dir = workspace.rulebook_dir(run.snapshot.target.target_id)
    take_back_left_over(workspace, run, actor)
    active = generations.current(target_dir)
    rules = {
        patches.active_name(name, text.encode()): text.encode()
        for name, text in watching_rules(run, syscalls).items()
        if not any(finding.severity == "error" for finding in lint(text.encode(), name))
    }
    if not rules:
        raise TriageError(f"no rule can watch {safe_line(', '.join(syscalls), 100)}")
    number = active.number if active is not None else 0
    made = generations.activate(
        target_dir,
        add=rules,
        actor=actor or default_actor(),
        reason=_reason(run),
        run=run.run_id,
        expect=number,
    )
    append_event(
        run.dir,
        "experiment_rules",
        {"generation": made.number, "parent": made.parent, "files": sorted(rules)},
        actor,
    )
    try:
        yield
    finally:
        why = "the experiment is over"
        generations.rollback(
            target_dir, number, actor=actor or "", reason=why, run=run.run_id, expect=made.number
        )
        append_event(run.dir, "experiment_rules", {"generation": number, "rolled_back": made.number}, actor)


def take_back_left_over(workspace: Workspace, run: Run, actor: str | None = None) -> bool:
    """Roll back rules that an experiment on this target left active because its process was killed.

    Returns whether there were any.
    """
    target_dir = workspace.rulebook_dir(run.snapshot.target.target_id)
    active = generations.current(target_dir)
    if active is None or not active.reason.startswith(EXPERIMENT):
        return False
    generations.rollback(
        target_dir,
        active.parent or 0,
        actor=actor or "",
        reason="a killed experiment left it active",
        run=run.run_id,
        expect=active.number,
    )
    payload = {"generation": active.parent or 0, "rolled_back": active.number, "left_over": True}
    append_event(run.dir, "experiment_rules", payload, actor)
    return True


def _reason(run: Run) -> str:
    return f"{EXPERIMENT}{run.run_id}"


# --- what the new run showed ---------------------------------------------------------------------------


def _saw_probe(_before: Run, new: Run, _experiment: Experiment) -> str:
    probes = new.snapshot.probes
    if not probes:
        return f"the service could not be asked: this time the program {how_it_stopped(new)}"
    answered = next((probe for probe in probes if probe.outcome == "answered"), None)
    if answered is not None:
        return f"the probe was answered ({answered.detail})"
    return f"the probe was not answered ({probes[0].detail})"


def _saw_input(before: Run, new: Run, _experiment: Experiment) -> str:
    more = new.snapshot.statistics.output_bytes - before.snapshot.statistics.output_bytes
    said = f" and printed {more} bytes more" if more > 0 else ""
    return f"with a line of input it {how_it_stopped(new)}{said}"


def _saw_longer(_before: Run, new: Run, _experiment: Experiment) -> str:
    return f"after {new.snapshot.statistics.elapsed_ms / 1000:.0f} s it {how_it_stopped(new)}"


def _saw_verbose(before: Run, new: Run, experiment: Experiment) -> str:
    option = safe_line(experiment.parameters.get("option", ""), 30)
    more = new.snapshot.statistics.output_bytes - before.snapshot.statistics.output_bytes
    if more <= 0:
        return f"with {option} it printed nothing more and {how_it_stopped(new)}"
    last = safe_line("".join(last_printed(new, 1)).strip(), 100)
    return f'with {option} it printed {more} bytes more, the last "{last}", and {how_it_stopped(new)}'


def _saw_observe(_before: Run, new: Run, _experiment: Experiment) -> str:
    seen = sum(hit.hits or hit.calls for hit in new.snapshot.rule_hits if hit.rule.startswith("observe-"))
    text = ""
    with contextlib.suppress(TriageError):
        lines = [line for line in new.text_file(f"logs/{RULES_LOG}").split("\n") if "observed " in line]
        text = safe_line(lines[-1].partition("observed ")[2], 140) if lines else ""
    calls = f"{seen} call{'s' * (seen != 1)} were watched" if seen != 1 else "one call was watched"
    return f'{calls}, the last: "{text}"' if text else f"{calls}, and carried no text"


def _saw_full_trace(_before: Run, new: Run, _experiment: Experiment) -> str:
    count = new.snapshot.statistics.syscalls
    rest = next((one.why for one in new.snapshot.unavailable if one.what == WHOLE_TRACE), "")
    read = ", and what failed between the first and the last ones was read" if "full trace" in rest else ""
    return f"all {count} calls are kept (`show {new.run_id} --section full-trace`){read}"


def _saw_again(before: Run, new: Run, _experiment: Experiment) -> str:
    if same_end(before, new):
        return f"it {how_it_stopped(new)} in the same way again"
    return f"it does not end in the same way each time: now it {how_it_stopped(new)}"


_SAW = {
    "probe": _saw_probe,
    "input": _saw_input,
    "longer": _saw_longer,
    "verbose": _saw_verbose,
    "observe": _saw_observe,
    "full_trace": _saw_full_trace,
    "again": _saw_again,
}
