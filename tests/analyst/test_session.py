"""Budgets, waiting, and repairs: how an analysis ends with what is there."""

from __future__ import annotations

import threading

import msgspec
import pytest
from msgspec.structs import replace

from tests.analyst.model_server import Answer, ModelServer, Out, Request, calls, fails
from tests.analyst.model_server import says as answers
from tests.analyst.test_analysis import CLASSIFIED, hypothesis, script
from tests.waiting import PATIENCE_S
from triage_tui.analyst import session
from triage_tui.analyst.analysis import analyze
from triage_tui.analyst.budget import Budget, Price, Spending, parse_budget
from triage_tui.analyst.journal import BEGUN, steps_of
from triage_tui.analyst.settings import ModelSettings
from triage_tui.analyst.toolbox import CaseTools
from triage_tui.errors import Stopped, TriageError
from triage_tui.retry.inspecting.cases import case_of
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.analysis_model import Outcome, Step
from triage_tui.runs.reader import Run, load_run


def steps(run: Run, number: int = 1) -> list[Step]:
    return steps_of(run, f"analyst/{number:03d}")


def limited(settings: ModelSettings, text: str) -> ModelSettings:
    return replace(settings, budget=parse_budget(text, settings.budget, "here"))


def tooled(run: Run, settings: ModelSettings) -> Outcome:
    workspace = Workspace.at(run.dir.parent.parent)
    return analyze(run, settings, toolbox=CaseTools(case_of(workspace, run, actor="model")))


def test_collecting_leaves_something_of_the_budget(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    script(server, hypothesis("missing_file"))
    server.by_phase["collect"] = calls(("get_registers", {}), ("get_backtrace", {}))
    outcome = tooled(run, limited(settings, "steps=10"))
    assert server.phases == ["classify", "collect", "collect", "hypothesize", "propose"]
    assert outcome.complete
    assert [step.tool for step in steps(run) if step.kind == "tool"] == [
        "get_registers",
        "get_backtrace",
        "get_registers",
    ]
    # What was looked up until then is told.
    assert "answer of a tool" in str(server.requests[-2].messages)


@pytest.mark.parametrize(
    ("budget", "phases", "says"),
    [
        ("tokens=300", [], "of the budget of 300 tokens 0 are used, and the next request needs about"),
        ("tokens=8000", ["classify"], "of the budget of 8000 tokens 6100 are used"),
        ("steps=1", ["classify"], "the budget of 1 step is used up"),
        ("money=0.005", ["classify"], r"the budget of 0.005 \(money\) is used up"),
        ("money=0.001", [], r"of the budget of 0.001 \(money\) 0 is used, and the next request costs about"),
        ("seconds=0.000001", [], "the budget of 1e-06 seconds is used up"),
    ],
)
def test_each_limit_ends_the_work(
    server: ModelServer, settings: ModelSettings, run: Run, budget: str, phases: list[str], says: str
) -> None:
    before = run.diagnosis
    script(server, hypothesis())
    server.by_phase["classify"] = answers(CLASSIFIED, (6000, 100))
    with pytest.raises(TriageError, match=says):
        analyze(run, limited(replace(settings, price=Price(1.0, 2.0)), budget))
    assert server.phases == phases
    assert load_run(run.dir).diagnosis == before
    assert steps(run)[-1].kind == "end"


def test_what_was_found_before_a_limit_stays(server: ModelServer, settings: ModelSettings, run: Run) -> None:
    script(server, hypothesis())
    outcome = analyze(run, limited(settings, "steps=2"))
    assert server.phases == ["classify", "hypothesize"]
    assert not outcome.complete
    assert outcome.ended == "the budget of 2 steps is used up"
    assert [one.cause for one in outcome.hypotheses] == ["nvram_key"]
    assert any(one.source == "model" for one in load_run(run.dir).diagnosis.hypotheses)  # type: ignore[union-attr]


def test_money_needs_a_price(server: ModelServer, settings: ModelSettings, run: Run) -> None:
    with pytest.raises(TriageError, match="price of test-model is not known"):
        analyze(run, limited(settings, "money=1"))
    assert server.requests == []
    assert not (run.dir / "analyst").exists()


def test_that_an_answer_is_under_way_is_told(
    server: ModelServer, settings: ModelSettings, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TOLD_AGAIN_S", 0.0)
    script(server, hypothesis())
    waits, comes = threading.Event(), threading.Event()

    def slow(out: Out, request: Request) -> None:
        assert waits.wait(PATIENCE_S)
        out.begin()
        out.chunk({"role": "assistant", "content": '{"causes": '})
        assert comes.wait(PATIENCE_S)
        out.chunk({"content": "[]}"})
        out.chunk({}, "stop")
        out.end()

    def tell(line: str) -> None:
        if line.startswith("classify: nothing of the answer so far, 0 s, 0 of 120000 tokens used"):
            waits.set()
        if line.startswith("classify: 11 characters of the answer so far, "):
            comes.set()

    server.script = [slow]
    assert analyze(run, settings, tell=tell).complete
    assert waits.is_set()
    assert comes.is_set()


def test_a_busy_server_is_asked_again(server: ModelServer, settings: ModelSettings, run: Run) -> None:
    script(server, hypothesis())
    server.script = [fails(429, "slow", {"retry-after": "0"}), fails(503, "loading", {"retry-after": "0"})]
    lines: list[str] = []
    assert analyze(run, settings, tell=lines.append).complete
    assert server.phases == ["classify"] * 3 + ["hypothesize", "propose"]
    assert [line for line in lines if "asking again in 0 s" in line] == lines[:2]
    assert [one.outcome[:30] for one in steps(run)[:3]] == [
        f"{server.url} allow"[:30],
        f"{server.url} faile"[:30],
        "ok",
    ]


@pytest.mark.parametrize(
    ("answer", "requests", "says"),
    [
        (fails(429, "slow", {"retry-after": "0"}), 3, "allows no more requests now"),
        (fails(429, "slow", {"retry-after": "86400"}), 1, "asks to wait 86400 seconds, which is too long"),
        (fails(401, "no"), 1, "key was not accepted"),
    ],
)
def test_it_gives_up(
    server: ModelServer, settings: ModelSettings, run: Run, answer: Answer, requests: int, says: str
) -> None:
    server.by_phase["classify"] = answer
    with pytest.raises(TriageError, match=f"{says}.*the diagnosis is as it was"):
        analyze(run, settings)
    assert len(server.requests) == requests
    assert load_run(run.dir).diagnosis == run.diagnosis


def test_a_person_stops_it_while_it_waits(server: ModelServer, settings: ModelSettings, run: Run) -> None:
    cancel = threading.Event()

    def later(out: Out, request: Request) -> None:
        fails(429, "slow", {"retry-after": "50"})(out, request)
        cancel.set()

    server.by_phase["classify"] = later
    with pytest.raises(Stopped, match="was stopped"):
        analyze(run, settings, cancel=cancel)


def test_bad_json_is_mended_once(server: ModelServer, settings: ModelSettings, run: Run) -> None:
    script(server, hypothesis())
    server.script = [
        answers(CLASSIFIED),
        answers('{"hypotheses": [{"cause": '),
        answers({"hypotheses": [hypothesis()]}),
    ]
    assert analyze(run, settings).complete
    assert server.phases == ["classify", "hypothesize", "hypothesize", "propose"]
    roles = [message["role"] for message in server.requests[2].messages]
    assert roles == ["system", "user", "assistant", "user"]
    assert "no whole JSON object" in server.requests[2].messages[-1]["content"]


def test_an_answer_that_was_cut_is_asked_for_shorter(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    script(server, hypothesis())
    server.script = [answers('{"causes": [', finish="length"), answers(CLASSIFIED)]
    assert analyze(run, settings).complete
    assert "cut at its longest: be shorter" in server.requests[1].messages[-1]["content"]


def test_prose_is_no_answer(server: ModelServer, settings: ModelSettings, run: Run) -> None:
    prose = answers("The file is missing, I am sure of it.")
    script(server, hypothesis())
    server.by_phase["classify"] = prose
    # A phase that only prepares the answer may fail.
    assert analyze(run, settings).complete
    server.by_phase["hypothesize"] = prose
    with pytest.raises(TriageError, match="the reply is prose"):
        analyze(run, settings)
    assert server.phases[-2:] == ["hypothesize"] * 2


def test_a_server_without_tools_is_asked_without(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    script(server, hypothesis())
    server.by_phase["collect"] = fails(400, "tools are not supported")
    assert tooled(run, settings).complete
    assert server.phases == ["classify", "collect", "hypothesize", "propose"]


def test_every_step_is_recorded_with_its_prompt(
    server: ModelServer, settings: ModelSettings, run: Run
) -> None:
    script(server, hypothesis())
    during: list[tuple[str, str]] = []

    def classified(out: Out, request: Request) -> None:
        # What is on record while the answer is not there.
        during.extend((one.phase, one.outcome) for one in steps(run))
        answers(CLASSIFIED)(out, request)

    server.script = [
        classified,
        calls(("get_log", {"name": "guest.log"})),
        answers({"findings": []}),
    ]
    outcome = tooled(run, replace(settings, price=Price(1.0, 2.0)))
    found = steps(run)
    assert during == [("classify", BEGUN)]
    assert [(one.kind, one.phase) for one in found] == [
        ("request", "classify"),
        ("request", "collect"),
        ("tool", "collect"),
        ("request", "collect"),
        ("request", "hypothesize"),
        ("request", "propose"),
        ("end", ""),
    ]
    assert [one.step for one in found] == list(range(1, 8))
    requests = [one for one in found if one.kind == "request"]
    assert all(one.money == pytest.approx(0.0012) for one in requests)
    assert outcome.money == pytest.approx(0.006)
    for one, sent in zip(requests, server.requests, strict=True):
        kept = run.text_file(f"analyst/001/prompts/{one.prompt_sha256[:12]}.json")
        assert msgspec.json.decode(kept) == sent.messages


@pytest.mark.parametrize(
    "text", ["tokens", "tokens=-1", "tokens=inf", "time=3", "steps=2,steps=3", "money=nan"]
)
def test_a_budget_that_is_none(text: str) -> None:
    with pytest.raises(TriageError, match="is no limit"):
        parse_budget(text, Budget(), "--budget")


def test_a_budget_takes_the_rest_from_before() -> None:
    budget = parse_budget("tokens=5000, money=0.5", Budget(), "--budget")
    assert budget == Budget(tokens=5000, money=0.5)
    spent = Spending(budget)
    spent.add(4000, 500, None)
    assert spent.over() is None
    assert not spent.priced
    assert spent.over(500) is not None
    assert spent.over(share=0.5) is not None
