"""Watch for failures that a stable set once mended: when one is back, its story is reopened."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.places import STABLE_DIR
from triage_tui.runs.events import append_event
from triage_tui.runs.reader import Run
from triage_tui.runs.reopened import reopened_in_words

if TYPE_CHECKING:
    from triage_tui.retry.sharing.stable import KeptSet


def reopen(workspace: Workspace, run: Run) -> str:
    """Look whether a run shows what a stable set of its target once mended.

    If so, note it in the run and return it in one sentence, else "". The target is the same when the program
    is, or when another build of it lies in the same place.
    """
    diagnosis = run.diagnosis
    if diagnosis is None or diagnosis.healthy or not diagnosis.hypotheses:
        return ""
    if not (workspace.rulebook / STABLE_DIR).is_dir():
        return ""
    # Only here: what hands rules on and masks secrets is much to import.
    from triage_tui.retry.sharing.stable import kept_sets

    signature = diagnosis.hypotheses[0].signature
    found = next((one for one in kept_sets(workspace.rulebook) if _mended(one, run, signature)), None)
    if found is None or found.pack is None or found.stable is None:
        return ""
    known = {rule.sha256 for rule in found.pack.manifest.rules}
    active = sorted(hit.rule for hit in run.snapshot.rule_hits if hit.sha256 in known)
    # Where it cannot be noted, it is said all the same.
    with contextlib.suppress(TriageError):
        payload = {"set": found.name, "signature": signature, "active": active, "proof": found.stable.proof}
        append_event(run.dir, "reopened", payload, "triage-tui")
    return reopened_in_words(found.name, signature, bool(active), found.stable.proof)


def _mended(kept: KeptSet, run: Run, signature: str) -> bool:
    stable, target = kept.stable, run.snapshot.target
    if stable is None or kept.pack is None or signature not in stable.mends:
        return False
    if kept.pack.manifest.target == target.target_id:
        return True
    place = (stable.rootfs, stable.program, stable.argv)
    return place == (target.rootfs or "", target.program, target.argv)
