"""Stable sets: the rules that a target needs to be well, with the failures that they mended as their tests.

    rulebook/.stable/NAME.rulepack      the set as it was exported: by it the failures are watched for

A set is a rule pack (`rulebook.packs.format`) that also says what it mends, by which run that is proved, and
what its rules did at the recorded calls of these failures. It is minimal as far as a record can tell: what
was active and did nothing in the run that proves it is left out, and named.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.diagnosis.knowledge_base.cases import Case, parse_case
from triage_tui.diagnosis.knowledge_base.making_cases import case_of_run, case_text, without_secrets
from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import TriageError
from triage_tui.retry.judging.judge import is_well
from triage_tui.retry.sharing.pack_files import place_pack
from triage_tui.retry.sharing.stable_tests import diagnosed, does
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, rulefile
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.manifest import read_file
from triage_tui.rulebook.packs.format import (
    MAX_PACK_BYTES,
    PACK_NAME,
    SUFFIX,
    Frozen,
    FrozenCase,
    Pack,
    StableSet,
    read_pack,
)
from triage_tui.rulebook.packs.making import pack_of
from triage_tui.rulebook.places import STABLE_DIR
from triage_tui.runs.files import read_bounded, refuse_link, write_atomic
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.listing import list_runs
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.verdict_model import Verdict, read_verdict
from triage_tui.text import safe_line

MAX_SETS = 256
MAX_FAILURES = 16
"""Failures that become cases of a set."""
MAX_LOOKED_AT = 200
"""Runs of a target among which the one is looked for that proves a set."""


class KeptSet(msgspec.Struct, frozen=True):
    """A set that is watched for; `problem` is what is wrong with its file."""

    name: str
    pack: Pack | None
    problem: str = ""

    @property
    def stable(self) -> StableSet | None:
        """What makes it a stable set."""
        return self.pack.manifest.stable if self.pack is not None else None


def export_stable(
    workspace: Workspace,
    run: Run,
    *,
    name: str,
    description: str = "",
    output: Path | None = None,
    signed: bool = True,
    password: str = "",
    force: bool = False,
) -> dict[str, Any]:
    """Write the rules that the target of `run` needs as a stable set, and watch for what they mended.

    Raises:
        TriageError: no run is well with the active rules, none of them did anything there, nothing is
            recorded of what they mended, or the set cannot be written.
    """
    target = run.snapshot.target.target_id
    active = generations.current(workspace.rulebook_dir(target))
    if active is None or not active.files:
        raise TriageError(f"no rule is active for the target of run {run.run_id}, so nothing is stable")
    kept_at = _path(workspace.rulebook, name)
    if kept_at.exists() and not force:
        raise TriageError(f"there is a stable set {name} already: choose another --name, or say --force")
    proof, proved = _proof(workspace, run, active)
    needed, left_out = _needed(active, proof)
    rules = {file: read_file(active, file) for file in needed}
    failures = _failures(workspace, proof, rules)
    if not failures:
        raise TriageError(
            f"no run is left that shows what the rules of generation {active.number} mended: a set without"
            " a case could not be tested, nor its failure be watched for"
        )
    stable, cases = _described(proof, proved, rules, left_out, failures)
    raw = pack_of(
        active, target, workspace.runs_dir, name, description, stable=stable, cases=cases, only=needed
    )
    written = place_pack(
        workspace,
        run,
        raw,
        output=output,
        signed=signed,
        password=password,
        force=force,
        what="stable set",
    )
    try:
        refuse_link(workspace.rulebook, kept_at)
        kept_at.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept_at, raw, mode=0o444)
    except OSError as error:
        raise TriageError(
            f"the set was written, but is not watched for: {safe_line(str(kept_at))}: {error.strerror}"
        ) from error
    return {
        **written,
        "name": name,
        "mends": stable.mends,
        "proof": proof.run_id,
        "proved": proved,
        "cases": len(stable.cases),
        "tests": len(stable.tests),
        "left_out": stable.left_out,
    }


def kept_sets(rulebook: Path) -> Iterator[KeptSet]:
    """Yield the sets that are watched for, by name, each checked anew."""
    try:
        found = sorted((rulebook / STABLE_DIR).glob(f"*{SUFFIX}"))
    except OSError:
        return
    for path in found[:MAX_SETS]:
        if PACK_NAME.fullmatch(path.stem):
            yield _kept(path)


def kept_set(rulebook: Path, name: str) -> KeptSet:
    """Return the set of a name.

    Raises:
        TriageError: there is none.
    """
    path = _path(rulebook, name)
    if not path.exists():
        raise TriageError(f"there is no stable set {name}: `triage-tui stable list` names them")
    return _kept(path)


def drop_set(rulebook: Path, name: str) -> None:
    """Watch no more for what a set mended; what was exported stays.

    Raises:
        TriageError: there is none, or it cannot be removed.
    """
    path = _path(rulebook, name)
    kept_set(rulebook, name)
    try:
        path.unlink()
    except OSError as error:
        raise TriageError(f"{safe_line(str(path))} cannot be removed: {error.strerror}") from error


def _kept(path: Path) -> KeptSet:
    shown = f"stable set {path.stem}"
    try:
        pack = read_pack(read_bounded(path, MAX_PACK_BYTES, whole=True), shown)
    except TriageError as error:
        return KeptSet(path.stem, None, str(error))
    if pack.manifest.name != path.stem or pack.manifest.stable is None:
        return KeptSet(path.stem, None, f"{shown} is another pack")
    return KeptSet(path.stem, pack)


def _path(rulebook: Path, name: str) -> Path:
    if not PACK_NAME.fullmatch(name):
        raise TriageError(
            f"{safe_line(name, 80)!r} is no name for a set: small letters, digits, - and _, 63 at most"
        )
    return rulebook / STABLE_DIR / f"{name}{SUFFIX}"


def _proof(workspace: Workspace, run: Run, active: Generation) -> tuple[Run, str]:
    """Return the run that proves that the target is well with exactly the active rules, and how.

    That is the newest with these rules that was judged, or the newest where none was. Either must be well: a
    run that was not judged does not outweigh the doubt of a judge.

    Raises:
        TriageError: there is none, or one of them is not well.
    """
    target = run.snapshot.target.target_id
    newest: Run | None = None
    names = [one.run_id for one in list_runs(workspace.runs_dir) if one.target_id == target]
    for name in names[:MAX_LOOKED_AT]:
        try:
            found = load_run(workspace.runs_dir / name)
        except TriageError:
            continue
        if found.snapshot.engine.rule_pack_sha256 != active.digest:
            continue
        judged = read_verdict(found.dir) is not None
        if newest is None or judged:
            _refuse_ill(found, "judged " if judged else "")
        newest = newest or found
        if judged:
            return found, well(found)
    if newest is None:
        raise TriageError(
            f"no run was made with generation {active.number} yet, so nothing proves that it is well:"
            f" `triage-tui retry {run.run_id}` makes one"
        )
    return newest, well(newest)


def _refuse_ill(run: Run, judged: str) -> None:
    if well(run):
        return
    verdict = read_verdict(run.dir)
    diagnosis = run.diagnosis
    why = diagnosis.hypotheses[0].cause if diagnosis is not None and diagnosis.hypotheses else "not explained"
    if verdict is not None:
        why = f"{verdict.word}: {verdict.reasons[0]}" if verdict.reasons else verdict.word
    raise TriageError(
        f"run {run.run_id}, the newest {judged}with the active rules, is not well ({safe_line(why, 200)}):"
        " only what is well can be stable"
    )


def well(run: Run) -> str:
    """Return in words how a run is well, "" where it is not, or the judge doubts it."""
    verdict = read_verdict(run.dir)
    if not is_well(run, verdict) or run.diagnosis is None:
        return ""
    if verdict is None:
        return safe_line(run.diagnosis.scene, 100)
    rung = verdict.rung.replace("_", " ")
    if verdict.word == "sideways" and _was_well(run, verdict):
        return f"well as before ({rung})"
    if verdict.word not in ("resolved", "progressed"):
        return ""
    return f"{verdict.word} ({rung})"


def _was_well(run: Run, verdict: Verdict) -> bool:
    """Tell whether the run that a run was held against was well: then there was no way to get further."""
    before = verdict.before.run_id
    with contextlib.suppress(TriageError):
        return is_run_id(before) and is_well(load_run(run.dir.parent / before), None)
    return False


def _needed(active: Generation, proof: Run) -> tuple[list[str], list[str]]:
    """Return the files of the rules that acted in a run, and what is to be said of others.

    Raises:
        TriageError: none of them did anything.
    """
    acted = {hit.sha256: hit for hit in proof.snapshot.rule_hits if hit.hits and hit.sha256}
    digests = active.files
    needed = [file for file in sorted(digests) if digests[file] in acted]
    if not needed:
        raise TriageError(
            f"run {proof.run_id} is well, and none of the {len(digests)} active rules did anything in it:"
            " roll them back, they are not needed"
        )
    told = [
        f"{file}: did nothing in the run that proves this set"
        for file in sorted(digests)
        if file not in needed
    ]
    others = [hit for digest, hit in acted.items() if digest not in digests.values()]
    told += [f"{hit.rule}: acted, but is of the layer {hit.layer or 'not known'}" for hit in others]
    return needed, [safe_line(text, 200) for text in told]


def _failures(workspace: Workspace, proof: Run, rules: Mapping[str, bytes]) -> list[Run]:
    """Return the runs that the rules were made for, and those before the one that is well, oldest first."""
    names = {rulefile.parse(text).header.run for text in rules.values()}
    before = proof.snapshot.parent_run
    for _ in range(MAX_FAILURES):
        if not before or before in names:
            break
        names.add(before)
        with contextlib.suppress(TriageError):
            before = load_run(workspace.runs_dir / before).snapshot.parent_run if is_run_id(before) else None
            continue
        break
    found = []
    for name in sorted(name for name in names if is_run_id(name)):
        with contextlib.suppress(TriageError):
            run = load_run(workspace.runs_dir / name)
            if run.diagnosis is None or not run.diagnosis.healthy:
                found.append(run)
    return found[:MAX_FAILURES]


def _described(
    proof: Run, proved: str, rules: Mapping[str, bytes], left_out: list[str], failures: list[Run]
) -> tuple[StableSet, dict[str, bytes]]:
    """Return what the set says of itself, and its cases by name."""
    cases: dict[str, bytes] = {}
    told: list[FrozenCase] = []
    tests: list[Frozen] = []
    for run in (*failures, proof):
        file = f"cases/{run.run_id}.json"
        text = case_text(_case(run)).encode()
        # What is kept is what is tested: read back from its text.
        case = parse_case(text, file)
        diagnosis = diagnosed(case)
        told.append(
            FrozenCase(
                file=file,
                size=len(text),
                sha256=hashlib.sha256(text).hexdigest(),
                run=run.run_id,
                signature=diagnosis.hypotheses[0].signature,
                healthy=diagnosis.healthy,
            )
        )
        cases[file] = text
        for rule in rules if run is not proof else ():
            if kind_of(rule) != "start":
                acts, answers = does(rule, rules[rule], case)
                if acts:
                    tests.append(Frozen(rule=rule, case=file, acts=acts, answers=answers))
    target = proof.snapshot.target
    mends = [one.signature for one in told[:-1] if not one.healthy]
    stable = StableSet(
        program=target.program,
        argv=list(target.argv),
        arch=target.arch,
        rootfs=target.rootfs or "",
        mends=sorted({*mends, *(_signature(run) for run in failures)}),
        proof=proof.run_id,
        proved=proved,
        since=proof.snapshot.created_at,
        cases=told,
        tests=tests,
        left_out=left_out,
    )
    return stable, cases


def _signature(run: Run) -> str:
    """Return the signature of the cause of a run, by its own diagnosis where that has one."""
    diagnosis = run.diagnosis
    if diagnosis is None or not diagnosis.hypotheses or not diagnosis.hypotheses[0].signature:
        diagnosis = diagnose(run)
    return diagnosis.hypotheses[0].signature


def _case(run: Run) -> Case:
    diagnosis = run.diagnosis or diagnose(run)
    best = diagnosis.hypotheses[0] if diagnosis.hypotheses else None
    case = case_of_run(
        run,
        title=safe_line(" ".join(run.snapshot.target.argv), 200),
        cause=best.cause if best is not None else "unknown",
        healthy=diagnosis.healthy,
        how=f"run {run.run_id} under {run.snapshot.engine.emulator or 'the emulator'}",
    )
    return without_secrets(case, Redaction.of(run))
