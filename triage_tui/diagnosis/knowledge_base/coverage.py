"""What the knowledge base covers: causes, scenes and entries, with their templates, cases and runs."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.hypotheses import candidates, weigh_up
from triage_tui.diagnosis.knowledge import KnowledgeBase
from triage_tui.diagnosis.knowledge_base.cases import find_case, load_case, write_as_run
from triage_tui.diagnosis.knowledge_base.entries import CAUSES, Entry
from triage_tui.diagnosis.scenes import SCENES, scene_of
from triage_tui.errors import TriageError
from triage_tui.rule_places import origin
from triage_tui.runs.reader import Run


class CoveredCause(msgspec.Struct, kw_only=True):
    """One cause of the taxonomy."""

    cause: str
    entries: int = 0
    templates: int = 0
    """Templates that its entries propose, those that only watch included."""
    positive: int = 0
    negative: int = 0
    won: int = 0
    """Runs that were given in which it came first."""


class CoveredEntry(msgspec.Struct, kw_only=True):
    """One entry."""

    entry: str
    cause: str
    origin: str
    status: str
    templates: int
    positive: int
    negative: int
    contrary: int
    """Adjustments that speak against it."""
    wanted: int
    told: int = 0
    """Runs that were given in which it is a hypothesis."""
    won: int = 0


class CoveredScene(msgspec.Struct, kw_only=True):
    """One way in which a run stops."""

    scene: str
    cases: int = 0
    """Positive cases that stop so."""
    entries: int = 0
    """Entries that win in one of them."""
    runs: int = 0


class Coverage(msgspec.Struct, kw_only=True):
    """What is covered, and by what."""

    causes: list[CoveredCause]
    scenes: list[CoveredScene]
    entries: list[CoveredEntry]
    runs: int
    never: list[str]
    """Entries that were a hypothesis in none of the runs given; empty without runs."""
    problems: list[str]
    """One sentence for each case or run that could not be read."""


def cover(base: KnowledgeBase, runs: Iterable[Run]) -> Coverage:
    """Count what covers the causes, scenes and entries, and which entries fired in `runs`."""
    causes = {cause: CoveredCause(cause=cause) for cause in sorted(CAUSES)}
    scenes = {scene: CoveredScene(scene=scene) for scene in SCENES}
    problems: list[str] = []
    told: Counter[str] = Counter()
    won: Counter[str] = Counter()
    number = 0
    for run in runs:
        number += 1
        facts = gather(run, base.causality)
        chosen = weigh_up(candidates(facts, base), base)
        told.update({candidate.entry.id for candidate in chosen})
        won[chosen[0].entry.id] += 1
        causes[chosen[0].entry.cause].won += 1
        _scene(scenes, scene_of(facts)).runs += 1
    for entry in base.entries:
        counted = causes[entry.cause]
        counted.entries += 1
        counted.positive += len(entry.cases.positive)
        counted.negative += len(entry.cases.negative)
    for cause in causes.values():
        mine = [entry for entry in base.entries if entry.cause == cause.cause]
        cause.templates = len({name for entry in mine for name in entry.proposals})
    _cover_scenes(base, scenes, problems)
    entries = [_entry(entry, told, won) for entry in (*base.entries, *base.disabled)]
    return Coverage(
        causes=list(causes.values()),
        scenes=list(scenes.values()),
        entries=entries,
        runs=number,
        never=[one.entry for one in entries if number and not one.told and one.status != "disabled"],
        problems=problems,
    )


def _scene(scenes: dict[str, CoveredScene], scene: str) -> CoveredScene:
    return scenes.setdefault(scene, CoveredScene(scene=scene))


def _cover_scenes(base: KnowledgeBase, scenes: dict[str, CoveredScene], problems: list[str]) -> None:
    stops: dict[Path, str] = {}
    winners: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory(prefix="triage-tui-cases-") as scratch:
        for entry in base.entries:
            for name in entry.cases.positive:
                path = find_case(entry, name)
                if path is None:
                    problems.append(f"entry {entry.id}: there is no recorded case {name}")
                    continue
                if path not in stops:
                    try:
                        run = write_as_run(load_case(path), Path(scratch) / str(len(stops)))
                    except TriageError as error:
                        problems.append(str(error))
                        continue
                    stops[path] = scene_of(gather(run, base.causality))
                    _scene(scenes, stops[path]).cases += 1
                winners.setdefault(stops[path], set()).add(entry.id)
    for scene, ids in winners.items():
        scenes[scene].entries = len(ids)


def _entry(entry: Entry, told: Counter[str], won: Counter[str]) -> CoveredEntry:
    return CoveredEntry(
        entry=entry.id,
        cause=entry.cause,
        origin="" if entry.shipped else origin(entry.file),
        status=entry.status,
        templates=len(entry.proposals),
        positive=len(entry.cases.positive),
        negative=len(entry.cases.negative),
        contrary=sum(change.add < 0 for change in entry.adjust),
        wanted=len(entry.wanted),
        told=told[entry.id],
        won=won[entry.id],
    )
