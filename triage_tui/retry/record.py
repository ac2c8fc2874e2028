"""Turn a frozen guest into a run on disk: capture, diagnose, propose."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Sequence
from pathlib import Path

from triage_tui import __version__
from triage_tui.diagnosis.report import diagnose, write_report
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.emulator.qemu import find_qemu, qemu_version
from triage_tui.guest.freezing.stops import Stop
from triage_tui.guest.record.capture import Scope, capture
from triage_tui.proposals.build import propose
from triage_tui.retry.checkpoints import Taken, take
from triage_tui.retry.guests import RunningGuest
from triage_tui.retry.inspecting.left_out_calls import take_left_out
from triage_tui.retry.noting import note
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.start import Start, write_start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.adding_logs import add_log
from triage_tui.runs.events import append_event, this_process
from triage_tui.runs.files import write_atomic
from triage_tui.runs.limits import Allowance
from triage_tui.runs.model import Engine, Unavailable
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import RULES_LOG, SNAPSHOT_FILE, SUPERVISOR_LOG, RunWriter, encode_json
from triage_tui.text import safe_line

PROPOSE_STEPS = ("reported", "diagnosed", "written", "listed", "proposed")
"""Names of the durable steps of `explain`, in order."""

_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


class NoRoom(TriageError):
    """The disk is full."""


def record_stop(
    workspace: Workspace,
    running: RunningGuest,
    stop: Stop,
    start: Start,
    *,
    parent: Run | None,
    number: int,
    holds: bool,
    allowed: Allowance,
) -> Run:
    """Record why and where the guest stopped, say why it failed, and propose rules.

    `start` is kept for retries; `number` is the round; `holds` says that this process keeps the guest
    frozen for a decision; `allowed` is how much may be kept. Where the disk has no room for that, only
    what is needed most is kept.

    Raises:
        NoRoom: the disk has no room for anything; nothing is left of the run.
        TriageError: the run cannot be written, nothing is left of it; or the knowledge base has a mistake.
    """
    scope = Scope(
        all_memory=start.memory == "full" and not allowed.brief,
        max_bytes=allowed.max_bytes,
        brief=allowed.brief,
    )
    where = safe_line(str(workspace.runs_dir))
    try:
        try:
            run_dir, reason, taken = _write(workspace, running, stop, start, parent, number, holds, scope)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            brief = Scope(brief=f"the disk has no room for more ({error.strerror})")
            run_dir, reason, taken = _write(workspace, running, stop, start, parent, number, holds, brief)
    except OSError as error:
        kind = NoRoom if error.errno in _NO_ROOM else TriageError
        raise kind(f"the run could not be written in {where}: {error.strerror or error}") from error
    append_event(run_dir, "captured", {"reason": reason, "supervisor": this_process()})
    if taken is not None:
        taken.note(run_dir)
    _add_logs(run_dir, start.logs)
    try:
        run = explain(run_dir)
        with contextlib.suppress(TriageError):
            # What cannot be written now is written with the first decision on the run.
            note(workspace.rulebook, run_dir, run.snapshot.target.target_id)
        return run
    except OSError as error:
        name = run_dir.name
        raise TriageError(f"run {name} was captured, but not explained: {error.strerror or error}") from error


def _write(
    workspace: Workspace,
    running: RunningGuest,
    stop: Stop,
    start: Start,
    parent: Run | None,
    number: int,
    holds: bool,
    scope: Scope,
) -> tuple[Path, str, Taken | None]:
    """Write and publish the run; return its directory, the reason of the stop, and what came of a checkpoint.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    writer = RunWriter(workspace.runs_dir)
    try:
        snapshot = capture(
            running.guest,
            stop,
            writer,
            target=running.target,
            engine=engine_facts(running),
            parent_run=parent.run_id if parent is not None else None,
            round_number=number,
            previous_regs=parent.snapshot.regs if parent is not None else (),
            hold=holds,
            sfanalysis=Path(start.sfanalysis) if start.sfanalysis is not None else None,
            scope=scope,
        )
        snapshot.rule_hits = running.rule_hits()
        snapshot.start_settings = running.start_settings()
        snapshot.probes = list(running.guest.probes)
        problems, said = running.problems(), running.rule_log()
        if problems:
            writer.add_log(SUPERVISOR_LOG, _log_bytes(problems))
            why = safe_line(f"see logs/{SUPERVISOR_LOG}, {len(problems)} in all: {problems[0]}", 400)
            snapshot.unavailable.append(Unavailable(what="undisturbed supervision", why=why))
        if said:
            writer.add_log(RULES_LOG, _log_bytes(said))
        writer.write_snapshot(snapshot)
        write_start(writer.dir, start)
        taken = None
        if start.checkpoint:
            room = 0 if scope.brief else max(0, scope.max_bytes - writer.disk_bytes())
            taken = take(running.guest, writer.dir, room, ended=stop.ended)
        return writer.publish(), snapshot.reason, taken
    except BaseException:
        writer.discard()
        raise


def _add_logs(run_dir: Path, paths: Sequence[str]) -> None:
    """Put the logs beside the run that somebody wants there; what could not be had is told in the run."""
    if not paths:
        return
    run = load_run(run_dir)
    lacking = []
    for path in paths:
        try:
            add_log(run, Path(path))
        except TriageError as error:
            lacking.append(
                Unavailable(what=f"the log {safe_line(path, 200)}", why=safe_line(str(error), 300))
            )
    if lacking:
        run.snapshot.unavailable += lacking
        with contextlib.suppress(OSError):
            write_atomic(run_dir / SNAPSHOT_FILE, encode_json(run.snapshot))


def explain(run_dir: Path, step: Step = no_step) -> Run:
    """Diagnose a run and propose rules; return it as it is then.

    `step` is called with each name of `PROPOSE_STEPS` after that step is durable. Where the program is killed
    in between, `rediagnose` brings the run to the same end.
    """
    # Without its full trace, which is for people as well, a run is explained like any other.
    with contextlib.suppress(TriageError):
        take_left_out(run_dir)
    run = load_run(run_dir)
    diagnosis = diagnose(run)
    # Written before the rules are: somebody may wait in front of the screen for the reason.
    write_report(run, diagnosis)
    step("reported")
    append_event(
        run_dir, "diagnosed", {"cause": diagnosis.hypotheses[0].cause if diagnosis.hypotheses else ""}
    )
    step("diagnosed")
    diagnosis.proposals = propose(run, diagnosis)
    step("written")
    write_report(run, diagnosis)
    step("listed")
    if diagnosis.proposals:
        append_event(run_dir, "proposed", {"proposals": [proposal.id for proposal in diagnosis.proposals]})
        step("proposed")
    return load_run(run_dir)


def _log_bytes(lines: Iterable[str]) -> bytes:
    """Return texts as log lines; one that holds a line break must not look like two."""
    return "".join(f"{safe_line(line, 4000)}\n" for line in lines).encode()


def engine_facts(running: RunningGuest) -> Engine:
    """Return what ran the guest, so that the run can be reproduced."""
    emulator = find_qemu(by_name(running.target.arch), running.guest.spec.qemu_dir)
    generation = running.generation
    return Engine(
        version=__version__,
        emulator=emulator.name,
        emulator_version=qemu_version(emulator),
        carrier=running.guest.carrier,
        contained=running.guest.contained,
        exec_policy=running.guest.spec.exec_policy,
        rule_clock_offset_ns=running.rule_clock_offset_ns,
        rule_pack_sha256=generation.digest if generation is not None else "",
        generation=generation.number if generation is not None else 0,
    )
