"""What a guest wrote can neither leave its place in a prompt, nor make a model that obeys it dangerous."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.analyst.conftest import make_run
from tests.analyst.injections import INJECTIONS
from tests.analyst.model_server import ModelServer, calls, says
from tests.hostile.planting import plant_run
from tests.runs import build
from triage_tui.analyst.analysis import analyze
from triage_tui.analyst.budget import Budget
from triage_tui.analyst.preview import preview
from triage_tui.analyst.prompts import PHASES
from triage_tui.analyst.settings import ModelSettings
from triage_tui.analyst.toolbox import CaseTools
from triage_tui.analyst.tools import all_tools
from triage_tui.retry.inspecting.cases import case_of
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.redaction import Redaction

_MARKER = re.compile(r"marker ([0-9a-f]{32})\.")


def injected_run(runs_dir: Path) -> Run:
    run = make_run(
        runs_dir, *(build.failed_open(20 + number, text) for number, text in enumerate(INJECTIONS))
    )
    (run.dir / "logs" / "guest.log").write_text("\n".join(INJECTIONS))
    return load_run(run.dir)


@pytest.fixture(params=["orders", "terminal"])
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    if request.param == "orders":
        return injected_run(tmp_path / "ai_runs")
    return load_run(plant_run(tmp_path / "ai_runs"))


@pytest.mark.parametrize("phase", PHASES)
def test_the_structure_of_a_prompt_is_ours(hostile: Run, phase: str) -> None:
    found = preview(hostile, phase, (), Redaction.of(hostile))
    assert [message["role"] for message in found.messages] == ["system", "user"]
    system, user = (message["content"] for message in found.messages)
    [marker] = _MARKER.findall(system)
    # What is outside of the fences are words of ours, and there is nothing else.
    outside = re.sub(rf"<<< {marker} ([^\n]*)\n.*?\n{marker} >>>", r"<\1>", user, flags=re.DOTALL)
    assert marker not in outside
    for line in outside.splitlines():
        assert re.fullmatch(r"|The case:|<[a-z0-9 ,']+>", line), line
    assert user.count(marker) == 2 * len(re.findall(r"^<", outside, re.MULTILINE))
    assert all(line.isprintable() for line in (system + user).splitlines())
    # The system part holds nothing of the run: it is put together from files of ours, and a list of causes.
    for text in (*INJECTIONS, "7777"):
        assert max(text.splitlines(), key=len) not in system.replace(marker, "")


def test_the_marker_is_another_one_each_time(hostile: Run) -> None:
    first, second = (preview(hostile, "classify", (), Redaction.of(hostile)) for _ in range(2))
    assert first.digest == second.digest
    assert _MARKER.findall(first.messages[0]["content"]) != _MARKER.findall(second.messages[0]["content"])


def tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


EVIL_LUA = (
    "function do_syscall() os.execute('rm -rf /') return 1, 0 end",
    "function do_syscall() io.open('/etc/passwd', 'w') return 1, 0 end",
    "function do_syscall() require('os').remove('/') return 1, 0 end",
    "\x1bLua bytecode",
)
EVIL_RULES = (
    *({"syscall": "openat", "lua": text} for text in EVIL_LUA),
    {"syscall": "../../../rulebook/x", "lua": "function do_syscall() return 1, 0 end"},
    {"template": "../../provide_file", "about": "syscall/3"},
    {"template": "provide_file", "about": "log/../../x", "parameters": {"path": '"]] os.execute("x") --[["'}},
)


def test_a_model_that_obeys_the_guest_makes_nothing_happen(
    server: ModelServer, settings: ModelSettings, tmp_path: Path
) -> None:
    workspace = Workspace.at(tmp_path)
    run = injected_run(workspace.runs_dir)
    other = make_run(workspace.runs_dir)
    secret = tmp_path / "secret.txt"
    secret.write_text("the analyst's own file")
    wanted = [
        (tool.name, {"path": str(secret), "name": "../../../secret.txt", "object": "../secret.txt"})
        for tool in all_tools()
    ]
    places = (str(secret), "../../secret.txt", "/etc/passwd", "/proc/self/environ", f"run:{secret}")
    wanted += [("get_file_content", {"file_path": place}) for place in places]
    wanted += [("get_log", {"name": "../snapshot.json"}), ("get_log", {"name": str(secret)})]
    wanted += [("approve", {"run": run.run_id}), ("bash", {"command": "rm -rf /"}), ("../x", {})]
    wanted += [("create_suspicious_point", {"function_name": "../../x\x1b[2J", "description": INJECTIONS[0]})]
    claims = [{"says": f"{text} [x](ev:syscall/3)", "evidence": ["syscall/999", text]} for text in INJECTIONS]
    evil = [
        {"cause": "missing_file", "confidence": 1, "title": text, "claims": claims[:10], "proposal": rule}
        for text, rule in zip(INJECTIONS, EVIL_RULES, strict=False)
    ]
    server.script = [
        says({"causes": []}),
        calls(*wanted[:16]),
        calls(*wanted[16:]),
        says({"findings": claims}),
    ]
    server.by_phase = {
        "hypothesize": says({"hypotheses": evil}),
        "repair": says({"proposal": EVIL_RULES[0]}),
    }
    before, others = tree(tmp_path), tree(other.dir)
    case = case_of(workspace, run, actor="model")
    generous = replace(settings, budget=Budget(tokens=10_000_000, steps=1000))
    outcome = analyze(run, generous, toolbox=CaseTools(case))
    after = load_run(run.dir)

    changed = {name for name, digest in tree(tmp_path).items() if before.get(name) != digest}
    assert set(before) <= set(tree(tmp_path))
    inside = f"ai_runs/{run.run_id}"
    allowed = re.compile(
        rf"{inside}/(analyst/001/.*|diagnosis\.(json|md)|events\.jsonl|suspicious_points\.[a-z.]+)"
    )
    assert [name for name in changed if not allowed.fullmatch(name)] == []
    assert tree(other.dir) == others
    assert not (tmp_path / "rulebook").exists()
    assert not {event.kind for event in after.events} & {"approved", "activated", "decision", "edited"}
    assert after.state == run.state

    markers = set()
    for request in server.requests:
        [marker] = _MARKER.findall(request.system)
        markers.add(marker)
        for message in request.messages:
            if message["role"] == "tool":
                assert message["content"].startswith(f"<<< {marker} answer of the tool\n")
                assert message["content"].endswith(f"\n{marker} >>>")
                assert message["content"].count(marker) == 2
    assert len(markers) == len(server.requests)
    assert sum(message["role"] == "tool" for message in server.requests[3].messages) == len(wanted)

    assert outcome.proposals == []
    assert all("os does not exist" in text for text in outcome.dropped if "repair" in text)
    [first] = [one for one in after.diagnosis.hypotheses if one.opinion]  # type: ignore[union-attr]
    assert first.opinion is not None
    assert not any(evidence.link for evidence in first.opinion.evidence)
    assert "](ev:" not in first.opinion.explanation
    sent = json.dumps([request.body for request in server.requests])
    assert "the analyst's own file" not in sent
    assert "root:x:" not in sent


def test_secrets_are_masked_in_what_is_sent_and_what_is_kept(
    server: ModelServer, settings: ModelSettings, tmp_path: Path
) -> None:
    from tests.analyst.conftest import SECRET

    workspace = Workspace.at(tmp_path)
    run = make_run(workspace.runs_dir, build.failed_open(5, f"/tmp/{SECRET}"))
    (run.dir / "logs" / "guest.log").write_text(f"login: password={SECRET}\nkey {SECRET}\n")
    (run.dir / "diagnosis.json").unlink()
    run = load_run(run.dir)
    server.script = [says({"causes": []}), calls(("get_log", {"pattern": SECRET})), says({"findings": []})]
    server.by_phase = {"hypothesize": says({"hypotheses": []})}
    told: list[str] = []
    outcome = analyze(
        run, settings, toolbox=CaseTools(case_of(workspace, run, actor="model")), tell=told.append
    )
    data = [
        part for request in server.requests for part in request.messages if part["role"] in ("user", "tool")
    ]
    assert data
    assert SECRET not in str(data)
    assert "********" in str(data)
    kept = [path for path in (run.dir / outcome.analysis).rglob("*") if path.is_file()]
    assert len(kept) > 3
    own = [path.name for path in kept if SECRET in path.read_text()]
    # The model's own words are recorded masked as well.
    assert own == []
    assert not any(SECRET in line for line in told)
    server.script = [says({"causes": []}), says({"hypotheses": []})]
    analyze(run, settings, redaction=Redaction(off=True))
    assert SECRET in str(server.requests[-1].messages)
