"""Why this and not that: what of each entry held in a run, how sure, and why not first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.diagnosis.knowledge_base.writing import GOOD, write
from tests.diagnosis.recorded import load_case, run_of
from triage_tui.cli.main import main
from triage_tui.diagnosis import hypotheses
from triage_tui.diagnosis.knowledge import load_knowledge
from triage_tui.diagnosis.knowledge_base.coverage import cover
from triage_tui.diagnosis.knowledge_base.explaining import Explained, explain
from triage_tui.diagnosis.knowledge_base.profiling import profile
from triage_tui.diagnosis.knowledge_base.questions import Part
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import TriageError
from triage_tui.runs.evidence import resolve
from triage_tui.runs.reader import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A daemon that misses a directory below /var/run, where entries of several causes fit."""
    return run_of(load_case("xl2tpd-control-arm64"), tmp_path / "ai_runs")


def of(run: Run, entry: str) -> Explained:
    (found,) = explain(run, load_knowledge(), entry).entries
    return found


def parts_of(part: Part | None) -> list[Part]:
    return [] if part is None else [part, *(deep for one in part.parts for deep in parts_of(one))]


def test_the_steps_add_up_to_the_confidence_that_the_diagnosis_gives(run: Run) -> None:
    hypotheses = {one.entry: one for one in reversed(diagnose(run).hypotheses)}
    found = explain(run, load_knowledge()).entries
    assert [one.entry for one in found if one.rank == 1] == [diagnose(run).hypotheses[0].entry]
    for one in found:
        if one.steps:
            total = sum(step.add for step in one.steps if step.held)
            assert one.confidence == pytest.approx(total, abs=0.006), one.entry
            assert one.steps[-1].value == pytest.approx(one.confidence, abs=0.006) or not one.steps[-1].held
        if one.standing == "hypothesis":
            assert one.confidence == hypotheses[one.entry].confidence


def test_every_part_says_by_which_fact_it_held_or_what_came_nearest(run: Run) -> None:
    for one in explain(run, load_knowledge()).entries:
        for part in (*parts_of(one.subject), *parts_of(one.when)):
            assert part.evidence or part.why_not or part.parts or part.words.startswith(("not", "0 to"))
            for evidence in part.evidence:
                assert not evidence.link or resolve(run, evidence.link).hash_ok
    device = of(run, "missing-device")
    assert device.standing == "subject"
    assert not device.subject.held
    assert device.subject.why_not.startswith("but resource is")
    idle = of(run, "clients-awaited")
    assert idle.standing in ("condition", "far")


def test_a_condition_is_told_part_by_part(tmp_path: Path) -> None:
    run = run_of(load_case("xl2tpd-control-arm64"), tmp_path)
    change: dict[str, Any] = {
        "when": {
            "all": [
                {"fact": "end", "where": {"reason": "exit"}, "as": "over"},
                {"any": [{"fact": "probe"}, {"fact": "failed_call", "count": {"at_least": 99}}]},
                {"not": {"fact": "failed_call", "before": "over", "where": {"errno": "ENOENT"}}},
            ]
        }
    }
    write(tmp_path / "rules", GOOD | change)
    (found,) = explain(run, load_knowledge([tmp_path / "rules"]), "mine").entries
    assert (found.standing, found.origin) == ("condition", str(tmp_path / "rules" / "mine.yaml"))
    assert found.when is not None
    first, second, third = found.when.parts
    assert (first.held, second.held, third.held) == (True, False, False)
    assert first.words == "an end whose reason is exit (as over)"
    assert second.parts[0].why_not == "the run has no probe"
    assert second.parts[1].words == "at least 99 failed_call"
    assert second.parts[1].why_not.startswith("there are ")
    assert third.parts[0].held
    with pytest.raises(TriageError, match="did you mean mine"):
        explain(run, load_knowledge([tmp_path / "rules"]), "mein")


def test_each_hypothesis_below_the_first_says_why_with_evidence(run: Run, tmp_path: Path) -> None:
    first, *others = diagnose(run).hypotheses
    assert first.below == []
    assert others
    for other in others:
        assert other.below
        assert all(resolve(run, one.link).hash_ok for one in other.below)
    file = next(one for one in others if one.entry == "missing-file")
    assert [one.says for one in file.below] == [
        "against it: what lies below /run is made by another program at run time (-0.12)"
    ]
    text = render_markdown(run, diagnose(run))
    assert "Why it is not the first:" in text
    assert file.below[0].link in text


def test_a_hypothesis_of_a_users_entry_says_where_it_comes_from(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "rules", GOOD | {"confidence": {"base": 0.99, "ceiling": 1.0}})
    diagnosis = diagnose(run, load_knowledge([tmp_path / "rules"]))
    first, *others = diagnosis.hypotheses
    assert (first.entry, first.origin) == ("mine", str(tmp_path / "rules" / "mine.yaml"))
    assert {one.origin for one in others if one.entry != "mine"} == {""}
    assert f"By the entry `mine` of `{first.origin}`" in render_markdown(run, diagnosis)


def test_coverage_counts_causes_scenes_and_what_never_fired(run: Run) -> None:
    found = cover(load_knowledge(), [run])
    assert found.problems == []
    bare = {one.cause for one in found.causes if not (one.entries and one.positive and one.negative)}
    assert bare == set()
    assert sum(one.won for one in found.causes) == found.runs == 1
    best = diagnose(run).hypotheses[0].entry
    assert next(one for one in found.entries if one.won).entry == best
    assert best not in found.never
    assert "emulator-failure" in found.never
    assert sum(one.runs for one in found.scenes) == 1


def test_a_profile_names_every_entry_and_phase(run: Run) -> None:
    base = load_knowledge()
    found = profile([run.dir, run.dir], base, [])
    assert (found.runs, found.calls) == (2, 2 * len(run.trace()))
    assert {one.entry for one in found.entries} == {entry.id for entry in base.entries}
    assert sum(one.share for one in found.phases) == pytest.approx(1, abs=0.01)
    assert {one.entry: one.fits for one in found.entries}["missing-file"] == 2


def test_the_commands_print_a_table_or_json(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = run.dir.parents[1]
    run.dir.rename(workspace / "ai_runs" / "20260101_000000_00000001")

    def printed(*arguments: str) -> str:
        assert main(["kb", *arguments, "-C", str(workspace)]) == 0
        return capsys.readouterr().out

    told = printed("explain", "last")
    assert told.startswith("missing-parent (missing_dir)")
    assert "why it is not the first" in told
    data = json.loads(printed("explain", "last", "--entry", "nvram", "--json"))
    assert [one["standing"] for one in data["entries"]] == ["far"]
    assert json.loads(printed("coverage", "last", "--json"))["runs"] == 1
    assert printed("profile", "last").startswith("PHASE")


def test_entries_that_take_too_long_are_left_out_with_a_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "rules", GOOD, GOOD | {"id": "other"})
    monkeypatch.setattr(hypotheses, "MAX_OWN_S", -1.0)
    diagnosis = diagnose(run, load_knowledge([tmp_path / "rules"]))
    assert {one.origin for one in diagnosis.hypotheses} == {""}
    (told,) = diagnosis.kb_problems
    assert told.startswith("2 of 2 entries of your own, from mine on, were not asked")
