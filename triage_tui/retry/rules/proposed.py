"""What a run proposes: the best of it, its difference to what is active, and whether it holds and can run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.rules import rule_checks
from triage_tui.rulebook import layers, manifest, patches
from triage_tui.rulebook.check.conflicts import conflicts
from triage_tui.rulebook.check.findings import Finding
from triage_tui.rulebook.choices import Approval
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.hunks import Difference, compare, digest_of
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.placeholders import unfilled
from triage_tui.rulebook.rulefile import is_models
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line


def difference(run_dir: Path, name: str, active: Generation | None) -> Difference:
    """Return how a proposed rule file differs from the active rule whose place it would take.

    Raises:
        TriageError: no rule file name, or one of the two cannot be read.
    """
    source = patches.read_rule(run_dir, name)
    return compare(active_text(name, source, active), source)


def active_text(name: str, source: bytes, active: Generation | None) -> bytes | None:
    """Return the text of the active rule that the proposed file `name` would replace, None when it is new."""
    try:
        place = patches.active_name(name, source)
    except TriageError:
        return None  # With a broken header it has no place, and is not approved either.
    if active is None or place not in active.files:
        return None
    return manifest.read_file(active, place)


def check_as_shown(run_dir: Path, approval: Approval, active: Generation | None) -> None:
    """Refuse an approval of something else than what the person saw.

    Raises:
        Conflict: the proposed file or the active rule is another by now.
        TriageError: the file cannot be read, or what was chosen of it belongs to another rule.
    """
    source = patches.read_rule(run_dir, approval.file)
    name = safe_line(approval.file)
    if digest_of(source) != approval.proposed:
        raise Conflict(f"{name} changed since it was shown, so nothing was approved: look at it again")
    old = active_text(approval.file, source, active)
    if digest_of(old) != approval.active:
        raise Conflict(
            f"the active rule behind {name} changed since it was shown, so nothing was approved:"
            " look at it again"
        )
    if old is not None and patches.active_name(approval.file, approval.text) != patches.active_name(
        approval.file, source
    ):
        raise TriageError(f"what is chosen of {name} has another id than the active rule: choose that too")


def is_filled_in(run: Run, proposal: Proposal) -> bool:
    """Tell whether a person filled in what a proposal needs: whether its rules were edited.

    An edit that was taken back is none. Tables, of the start and of plugins, have a placeholder for all that
    they need.
    """
    if proposal.files and all(kind_of(name) != "syscall" for name in proposal.files):
        with contextlib.suppress(TriageError):
            return not any(unfilled(patches.read_rule(run.dir, name)) for name in proposal.files)
    for name in proposal.files:
        edits = [e.payload for e in run.events if e.kind == "edited" and e.payload.get("file") == name]
        if edits and edits[-1].get("sha256") != edits[0].get("before"):
            return True
    return False


def best_proposal(run: Run, skip: Iterable[str] = ()) -> Proposal:
    """Return the first proposal of a run that acts and needs nothing from a person.

    None of a model's or of a pack's: a person names those.

    Raises:
        TriageError: there is none.
    """
    for proposal in approvable(run, skip):
        if not proposal.needs_input:
            return proposal
    raise TriageError(f"run {run.run_id} proposes no rule that could be approved as it is")


def approvable(run: Run, skip: Iterable[str] = ()) -> Iterator[Proposal]:
    """Yield, best first, the proposals of a run that act and need nothing that a person has not filled in.

    None of a model's or of a pack's: a person names those.
    """
    skipped = set(skip)
    for proposal in run.diagnosis.proposals if run.diagnosis else []:
        if proposal.source != "kb" or proposal.observe_only or proposal.id in skipped:
            continue
        if proposal.not_on_sfemu:
            continue
        if not proposal.needs_input or is_filled_in(run, proposal):
            yield proposal


def smaller_set(run: Run, identity: str) -> Proposal:
    """Return the proposal of a run that trials made.

    Raises:
        TriageError: there is none of that id.
    """
    for proposal in run.diagnosis.proposals if run.diagnosis else []:
        if proposal.id == identity and proposal.source == "trial":
            return proposal
    raise TriageError(f"run {run.run_id} has no smaller set of rules {safe_line(identity, 80)!r}")


def replaced_plain(run: Run, approvals: Sequence[Approval], active: Generation | None) -> dict[str, str]:
    """Return the active rules that approvals take the place of though their names differ, with their SHA-256.

    A rule without a header is named after its text: one that was approved from the same file of this run,
    and edited since, has another name.
    """
    found: dict[str, str] = {}
    for approval in approvals:
        place = patches.active_name(approval.file, approval.text)
        earlier = [e.payload.get("files") for e in run.events if e.kind == "approved"]
        digests = [files.get(approval.file) for files in earlier if isinstance(files, dict)]
        for digest in (one for one in digests if isinstance(one, str)):
            name = f"{place.partition('@')[0]}@plain-{digest[:8]}.lua"
            if active is not None and name != place and active.files.get(name) == digest:
                found[name] = digest
    return found


def check_removable(active: Generation | None, removes: Mapping[str, str]) -> None:
    """Refuse to take out a rule that is not the active one; `removes` maps paths to digests.

    Raises:
        Conflict: names it.
    """
    for name, sha256 in removes.items():
        if active is None or active.files.get(name) != sha256:
            raise Conflict(
                f"{safe_line(name, 120)} is not active any more as it was tried, so nothing was changed:"
                " try it again"
            )


def by_model(proposals: Sequence[Proposal], name: str, source: bytes) -> bool:
    """Tell whether a rule file is a model's idea, and not the knowledge base's or a pack's as well.

    A file that no proposal names any more says it in its header.
    """
    sources = {one.source for one in proposals if name in one.files}
    return is_models(source) or (sources == {"model"})


def check_alone(run: Run, approvals: Sequence[Approval]) -> bool:
    """Tell whether a rule of a model's is approved; refuse it together with others.

    Raises:
        TriageError: what is approved holds a rule of a model's, and more than one proposal.
    """
    proposals = run.diagnosis.proposals if run.diagnosis else []
    files = {one.file for one in approvals}
    models = sorted(one.file for one in approvals if by_model(proposals, one.file, one.text))
    together = any(files <= set(one.files) for one in proposals) or len(files) == 1
    if models and not together:
        raise TriageError(
            f"{safe_line(models[0])} was proposed by a model: read it, and approve that proposal by itself"
        )
    return bool(models)


def first_error(run: Run, name: str, source: bytes, active: Generation | None) -> str | None:
    """Return why the text of a rule that a run proposes cannot be approved, with file and line, or None."""
    return _told(name, rule_checks.first_error(name, source, run, texts_beside(run, active), run_it=False))


def check_rule(run: Run, name: str, source: bytes, active: Generation | None) -> None:
    """Refuse a rule that cannot run or does harm; it is run over the recorded calls of the run.

    Raises:
        TriageError: the first error found, with its line.
    """
    found = rule_checks.first_error(name, source, run, texts_beside(run, active), run_it=True)
    if (problem := _told(name, found)) is not None:
        raise TriageError(problem + (acts_there(run) if found and found.code == "not-there" else ""))


def acts_there(run: Run) -> str:
    """Name the first proposal of a run of SFEmu that can act there, "" where there is none."""
    for proposal in run.diagnosis.proposals if run.diagnosis else []:
        if not (proposal.not_on_sfemu or proposal.observe_only):
            return f"; {safe_line(proposal.id, 80)} acts there ({safe_line(proposal.title, 200)})"
    return "; no proposal of this run acts there"


class InTheWay(Conflict):
    """A person has to want it all the same: a rule and active ones get in each other's way, or the like."""


def in_the_way(run: Run, name: str, source: bytes, active: Generation | None) -> list[str]:
    """Return what a person has to want of a rule that a run proposes, a sentence each.

    It and the active rules get in each other's way, or it does more where it is published.
    """
    found = list(conflicts(name, source, texts_beside(run, active)))
    home = run.dir.parent.parent
    if rule_checks.is_published(home, run.snapshot.target.target_id):
        from triage_tui.sfemu.checks import there

        found = [*there(name, source, run.snapshot.target.arch, [], home), *found]
    return [f"{safe_line(name)}: {safe_line(one.message)}" for one in found if one.is_conflict]


def texts_beside(run: Run, active: Generation | None) -> dict[str, bytes]:
    """Return the rules beside which a rule of `run` would act: of its target, of a person, of all targets."""
    texts: dict[str, bytes] = {}
    # What is damaged is refused where it is to be changed, with better words.
    with contextlib.suppress(TriageError):
        rulebook = run.dir.parent.parent / "rulebook"
        beside = layers.in_force(rulebook, run.snapshot.target.target_id)
        texts = {rule.name: rule.source for rule in beside if rule.layer != "target"}
    with contextlib.suppress(TriageError):
        texts |= rule_checks.texts_of(active)
    return texts


def _told(name: str, found: Finding | None) -> str | None:
    if found is None:
        return None
    return f"{safe_line(name)}, line {found.line}: {safe_line(found.message)}"
