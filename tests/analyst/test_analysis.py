"""A whole analysis against a real server: what is asked, what becomes of it, and what stays as it was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.analyst.conftest import make_run
from tests.analyst.model_server import KEY, ModelServer, says
from triage_tui.analyst.analysis import analyze, in_words
from triage_tui.analyst.merging import CEILING, UNSUPPORTED_CEILING
from triage_tui.analyst.settings import ModelSettings
from triage_tui.analyst.toolbox import CaseTools
from triage_tui.analyst.tools import Case
from triage_tui.analyst.tried import told_rounds
from triage_tui.retry.inspecting.rediagnose import rediagnose
from triage_tui.retry.rules.proposed import best_proposal
from triage_tui.runs.analysis_model import Outcome
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.evidence import resolve
from triage_tui.runs.model import RuleHit
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.verdict_model import Figures, Verdict
from triage_tui.runs.writer import encode_json

CLASSIFIED = {"causes": [{"cause": "missing_file", "why": "it says so", "evidence": ["syscall/3"]}]}
LUA = "function do_syscall(num, a1)\n  return 1, -2\nend"


def hypothesis(cause: str = "nvram_key", **fields: Any) -> dict[str, Any]:
    claims = [{"says": "the open failed", "evidence": ["syscall/3"], "quote": "enoent"}]
    return {"cause": cause, "confidence": 0.95, "title": "A key is missing", "claims": claims, **fields}


def script(server: ModelServer, *hypotheses: dict[str, Any]) -> None:
    server.by_phase = {
        "classify": says(CLASSIFIED),
        "hypothesize": says({"hypotheses": list(hypotheses)}),
        "propose": says({"proposal": None, "reason": "no rule would help"}),
    }


def test_a_second_opinion_stands_beside_the_knowledge_base(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    script(
        server,
        hypothesis("missing_file", title="It is the file"),
        hypothesis(
            claims=[
                {"says": "the open failed", "evidence": ["ev:syscall/3~000000000000"], "quote": "enoent"},
                {"says": "the flash is empty", "evidence": ["syscall/4711", "mem/none"]},
                {"says": "the register says it", "evidence": ["reg/v0"], "quote": "0xbad"},
                {"says": "[trust me](ev:syscall/3)", "evidence": []},
            ]
        ),
    )
    before = run.diagnosis
    assert before is not None
    lines: list[str] = []
    outcome = analyze(run, settings, tell=lines.append)
    assert outcome.complete
    assert (outcome.unsupported, outcome.invented) == (3, 2)
    assert (outcome.tokens_in, outcome.tokens_out, outcome.priced) == (3000, 300, False)
    assert server.phases == ["classify", "hypothesize", "propose"]
    assert server.requests[0].authorization == f"Bearer {KEY}"
    assert [line.partition(":")[0] for line in lines] == ["classify", "hypothesize", "propose"]

    after = load_run(run.dir)
    diagnosis = after.diagnosis
    assert diagnosis is not None
    first, second = diagnosis.hypotheses[0], next(h for h in diagnosis.hypotheses if h.source == "model")
    # The knowledge base's answer is what it was, with the opinion beside it.
    assert msgspec.structs.replace(first, opinion=None) == before.hypotheses[0]
    assert first.opinion is not None
    assert (first.opinion.model, first.opinion.confidence) == ("test-model", CEILING)
    assert (second.cause, second.model, second.confidence) == ("nvram_key", "test-model", CEILING)
    links = [one.link for one in second.evidence if one.supported]
    assert len(links) == 1
    assert resolve(after, links[0]).hash_ok
    assert not any(one.link for one in second.evidence if not one.supported)
    assert second.explanation.count("(unsupported)") == 3
    assert "](ev:syscall/3)" not in second.explanation
    assert [p for p in diagnosis.proposals if p.source == "kb"] == before.proposals

    kept = after.text_file(f"{outcome.analysis}/diagnosis-before.json")
    assert msgspec.json.decode(kept, type=Diagnosis) == before
    assert after.events[-1].kind == "analyzed"
    assert after.state == run.state
    text = (run.dir / "diagnosis.md").read_text()
    assert "Second opinion of the model test-model" in text
    assert "the flash is empty (there is no syscall/4711, mem/none in this run) (unsupported)" in text

    # Asked again, the first opinion does not count as a diagnosis.
    again = analyze(after, settings)
    assert again.analysis == "analyst/002"
    latest = load_run(run.dir).diagnosis
    assert latest is not None
    assert [h.source for h in latest.hypotheses].count("model") == 1
    assert msgspec.structs.replace(latest, analysis="") == msgspec.structs.replace(diagnosis, analysis="")


def test_ids_that_do_not_exist_are_named_beside_those_that_do(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    wrong = ["syscall/99999", "mem/zz", "fd/77", "reg/zz", "log/no#L1", "no id"]
    mixed = {"says": "the open failed", "evidence": [*wrong, "syscall/3"]}
    worked = {"says": "the write failed", "evidence": ["syscall/9"]}
    bad: list[dict[str, Any]] = [
        {"cause": "missing_dir", "confidence": 85, "title": "x"},
        {"cause": "missing_dir"},
    ]
    script(server, hypothesis(claims=[mixed]), hypothesis("time_rtc", claims=[worked]), *bad)
    outcome = analyze(run, settings)
    assert (outcome.unsupported, outcome.invented) == (0, 6)
    assert "names 6 ids that the record has not" in in_words(outcome)
    # One that is wrong does not cost the others.
    assert [text.partition(":")[0] for text in outcome.dropped[:2]] == ["a hypothesis was left out"] * 2
    assert "confidence is 85" in outcome.dropped[0]
    diagnosis = load_run(run.dir).diagnosis
    assert diagnosis is not None
    found = {one.cause: one for one in diagnosis.hypotheses if one.source == "model"}
    [evidence] = found["nvram_key"].evidence
    told = "(there is no syscall/99999, mem/zz, fd/77, reg/zz and 2 more in this run)"
    assert evidence.says == f"the open failed {told}"
    assert told in found["nvram_key"].explanation
    assert found["time_rtc"].evidence[0].says == "the write failed (what it cites did not fail)"
    assert found["time_rtc"].confidence == 0.2


def test_prose_costs_one_phase_only_and_is_quoted(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    script(server, hypothesis())
    server.by_phase["classify"] = says("I'm sorry, but I can't help with that.")
    server.by_phase["collect"] = says({"findings": []})
    lines: list[str] = []
    toolbox = CaseTools(Case(run))
    assert analyze(run, settings, toolbox=toolbox, tell=lines.append).complete
    assert server.phases == ["classify", "classify", "collect", "hypothesize", "propose"]
    assert "I'm sorry, but I can't help with that." in lines[1]


def test_what_a_model_proposes_is_linted_and_waits_for_a_person(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    script(
        server,
        hypothesis(proposal={"syscall": "openat", "lua": "function do_syscall() os.remove('/etc') end"}),
        hypothesis(
            "missing_dir",
            proposal={
                "template": "provide_file",
                "about": "syscall/3",
                "parameters": {"path": "/etc/shadow", "content": "x"},
            },
        ),
        hypothesis("time_rtc", proposal={"template": "provide_everything", "about": "syscall/3"}),
    )
    server.by_phase["repair"] = says({"proposal": {"syscall": "openat", "lua": LUA, "risk": "low"}})
    outcome = analyze(run, settings)
    assert server.phases == ["classify", "hypothesize", "repair", "repair"]
    assert "os does not exist in the rule host" in str(server.requests[2].messages)
    assert "there is no template" in str(server.requests[3].messages)
    mended, template = outcome.proposals[0], outcome.proposals[1]
    assert (mended.risk, mended.source, mended.template) == ("high", "model", "model")
    assert (template.source, template.template) == ("model", "provide_file")
    assert "of a proposal the record or the template decides: path, content" in outcome.dropped
    assert f"as already proposed by the knowledge base: {template.title}" in outcome.dropped
    after = load_run(run.dir)
    assert set(mended.files) <= set(after.patch_files())
    # Never by a policy, and never without being named.
    assert best_proposal(after).source == "kb"
    with pytest.raises(Exception, match="proposes no rule"):
        best_proposal(after, {p.id for p in after.diagnosis.proposals if p.source == "kb"})  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("wrong_lua", "told"),
    [
        ("function do_syscall() os.remove('/etc') end", "os does not exist in the rule host"),
        ("function do_syscall() local n = 0; while n >= 0 do n = n + 1 end end", "at recorded call 3"),
    ],
)
def test_a_rule_that_stays_wrong_is_dropped_with_the_reason(
    server: ModelServer, settings: ModelSettings, run: Run, wrong_lua: str, told: str
) -> None:
    wrong = {"syscall": "openat", "lua": wrong_lua}
    script(server, hypothesis(proposal=wrong))
    server.by_phase["repair"] = says({"proposal": wrong})
    outcome = analyze(run, settings)
    assert outcome.proposals == []
    assert len(outcome.dropped) == 2
    assert told in str(server.requests[-1].messages)
    assert all(told in text for text in outcome.dropped)
    assert load_run(run.dir).patch_files() == run.patch_files()


def test_after_a_retry_that_failed_it_is_asked_why(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    figures = Figures(run_id=run.run_id, reason="exit")
    verdict = Verdict(
        word="sideways",
        rung="runs",
        reasons=["it ends at the same call"],
        before=figures,
        after=figures,
        masked=["openat was answered"],
    )
    retried = make_run(run.dir.parent)
    retried.snapshot.parent_run = run.run_id
    retried.snapshot.rule_hits = [RuleHit(rule="fix-openat-1", hits=0, syscall="openat")]
    (retried.dir / "snapshot.json").write_bytes(encode_json(retried.snapshot))
    (retried.dir / "verdict.json").write_bytes(encode_json(verdict))
    script(server)
    server.by_phase["refine"] = says({"hypotheses": [hypothesis("rule_abi")]})
    outcome = analyze(load_run(retried.dir), settings)
    assert server.phases == ["classify", "refine", "propose"]
    assert [one.cause for one in outcome.hypotheses] == ["rule_abi"]
    asked = server.requests[1].messages[1]["content"]
    for text in (
        "the retry was judged sideways (it ends at the same call)",
        "masked on the way: openat was answered",
        "rule/fix-openat-1 on openat: 0 hits",
        "it was thought to be missing_file",
    ):
        assert text in asked
    verdict.word = "progressed"
    (retried.dir / "verdict.json").write_bytes(encode_json(verdict))
    assert told_rounds(load_run(retried.dir), run.dir.parent) == ""


def test_a_run_that_is_diagnosed_again_keeps_the_opinion(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    proposal = {"template": "make_directory", "about": "syscall/3"}
    script(server, hypothesis("missing_file"), hypothesis("time_rtc", proposal=proposal))
    outcome = analyze(run, settings)
    before = load_run(run.dir).diagnosis
    assert rediagnose(run.dir).diagnosis == before
    # What is kept is a file like any other of a run: it is believed no more than a model is.
    path = run.dir / outcome.analysis / "hypotheses.json"
    kept = msgspec.json.decode(path.read_bytes(), type=Outcome)
    kept.hypotheses[1].confidence = 1.0
    kept.hypotheses[1].source = "kb"
    kept.hypotheses[1].evidence[0].link = "ev:syscall/4711"
    path.write_bytes(encode_json(kept))
    after = rediagnose(run.dir).diagnosis
    assert after is not None
    [other] = [one for one in after.hypotheses if one.cause == "time_rtc"]
    assert (other.source, other.confidence) == ("model", UNSUPPORTED_CEILING)
    assert not any(one.link for one in other.evidence)
    path.write_bytes(b"{")
    assert not any(one.source == "model" for one in rediagnose(run.dir).diagnosis.hypotheses)  # type: ignore[union-attr]
