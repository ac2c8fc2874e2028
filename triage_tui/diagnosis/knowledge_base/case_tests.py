"""Try the entries of a knowledge base on their recorded cases."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.diagnosis.knowledge import KnowledgeBase
from triage_tui.diagnosis.knowledge_base.cases import Case, find_case, load_case, write_as_run
from triage_tui.diagnosis.knowledge_base.entries import Entry
from triage_tui.errors import TriageError
from triage_tui.rule_places import origin
from triage_tui.runs.diagnosis_model import Diagnosis


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One entry tried on one case."""

    entry: str
    origin: str
    """File of the entry, "" for a shipped one."""
    case: str
    kind: Literal["positive", "negative"]
    good: bool
    winner: str = ""
    """Id of the entry that came first."""
    confidence: float = 0.0
    """Of the winner."""
    rank: int = 0
    """Place of the entry among the hypotheses, from 1; 0: it is none of them."""
    why: str = ""
    """What is wrong, one sentence without a full stop; "" when nothing is."""


def try_cases(base: KnowledgeBase, only: Iterable[str] = ()) -> Iterator[Trial]:
    """Diagnose the cases that the entries name (those in `only`, or all), each case once.

    Raises:
        TriageError: `only` names an entry that there is not.
    """
    wanted = set(only)
    known = {entry.id for entry in base.entries}
    if missing := sorted(wanted - known):
        from triage_tui.diagnosis.matchers import choose

        raise TriageError(
            f"there is no entry {missing[0]!r} in the knowledge base; {choose(missing[0], known)}"
        )
    diagnosed: dict[Path, tuple[Case, Diagnosis]] = {}
    with tempfile.TemporaryDirectory(prefix="triage-tui-cases-") as scratch:
        for entry in base.entries:
            if wanted and entry.id not in wanted:
                continue
            for kind, names in (("positive", entry.cases.positive), ("negative", entry.cases.negative)):
                for name in names:
                    yield _try(base, entry, kind, name, diagnosed, Path(scratch))  # type: ignore[arg-type]


def _try(
    base: KnowledgeBase,
    entry: Entry,
    kind: Literal["positive", "negative"],
    name: str,
    diagnosed: dict[Path, tuple[Case, Diagnosis]],
    scratch: Path,
) -> Trial:
    from triage_tui.diagnosis.report import diagnose

    trial = Trial(entry=entry.id, origin=origin(entry.file), case=name, kind=kind, good=False)
    path = find_case(entry, name)
    if path is None:
        return msgspec.structs.replace(trial, why="there is no such recorded case")
    if path not in diagnosed:
        try:
            case = load_case(path)
        except TriageError as error:
            return msgspec.structs.replace(trial, why=str(error))
        run = write_as_run(case, scratch / f"{len(diagnosed)}-{name}")
        diagnosed[path] = case, diagnose(run, base)
    case, diagnosis = diagnosed[path]
    ids = [hypothesis.entry for hypothesis in diagnosis.hypotheses]
    best = diagnosis.hypotheses[0]
    rank = ids.index(entry.id) + 1 if entry.id in ids else 0
    why = ""
    if kind == "positive" and rank != 1:
        place = f"it is number {rank}" if rank else "it is no hypothesis at all"
        why = f"{best.entry} comes first with {best.confidence:.2f}, {place}"
    elif kind == "positive" and entry.cause not in case.accepted:
        why = f"the label says {case.cause}"
    elif kind == "negative" and rank == 1:
        why = f"it comes first with {best.confidence:.2f}, and the label says {case.cause}"
    return msgspec.structs.replace(
        trial, good=not why, winner=best.entry, confidence=best.confidence, rank=rank, why=why
    )
