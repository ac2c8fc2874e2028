"""`triage-tui analyze` and `triage-tui prompt` as a person uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.analyst.conftest import SECRET, make_run
from tests.analyst.model_server import KEY, model_server, says
from tests.runs import build
from triage_tui.cli.main import main
from triage_tui.runs.reader import Run, load_run

REPLY = {
    "hypotheses": [
        {
            "cause": "nvram_key",
            "confidence": 0.9,
            "title": "A key \x1b[31mis missing",
            "claims": [{"says": "it failed", "evidence": ["syscall/3"]}, {"says": "magic", "evidence": []}],
            "proposal": {"template": "make_directory", "about": "syscall/3"},
        },
        {"cause": "gremlins", "confidence": 0.9, "title": "x"},
    ]
}


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("MODEL", "MODEL_URL", "MODEL_KEY", "MODEL_BUDGET", "PROMPTS"):
        monkeypatch.delenv(f"TRIAGE_TUI_{name}", raising=False)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "ai_runs", build.failed_open(5, f"/tmp/{SECRET}"))


def command(run: Run, *words: str) -> int:
    return main([words[0], "-C", str(run.dir.parent.parent), *words[1:]])


def test_without_a_model_it_says_how_to_set_one_up(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(run, "analyze", "last") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "no model is set up, and none is needed" in said.err
    assert not (run.dir / "analyst").exists()


def test_an_analysis_in_words_and_as_json(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_TUI_MODEL_KEY", KEY)
    with model_server() as server:
        server.by_phase = {
            "classify": says({"causes": []}),
            "collect": says({"findings": []}),
            "hypothesize": says(REPLY),
        }
        asked = ("analyze", "last", "--model", "m1", "--url", server.url)
        assert command(run, *asked) == 0
        said = capsys.readouterr()
        assert "nvram_key  0.60" in said.out
        assert "A key \\x1b(31mis missing" in said.out
        assert "proposed: Make the directory /etc (fix/syscall/openat@" in said.out
        assert "'gremlins' is no known cause" in said.out
        assert "1 hypothesis and 1 proposal by m1 after 3 steps (3300 tokens" in said.out
        assert "1 claim without evidence" in said.out
        # A step that takes long is told more than once.
        assert list(dict.fromkeys(line.split(":")[0] for line in said.err.splitlines())) == [
            "asking m1 at http",
            "classify",
            "collect",
            "hypothesize",
        ]
        server.by_phase["hypothesize"] = says({"hypotheses": []})
        assert command(run, *asked) == 0
        told = capsys.readouterr().out
        assert "the model gave no hypothesis that could be used, so the diagnosis is as it was" in told
        assert "both opinions" not in told
        server.by_phase["hypothesize"] = says(REPLY)
        assert command(run, *asked, "--json") == 0
        told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["analysis"], told["complete"], told["steps"]) == (
        "m1",
        "analyst/003",
        True,
        3,
    )
    assert (told["unsupported"], told["tokens_in"], told["tokens_out"]) == (1, 3000, 300)
    assert told["hypotheses"][0]["source"] == "model"
    # One that was killed before its first request.
    (run.dir / "analyst" / "004").mkdir()
    assert command(run, "analyze", "last", "--steps") == 0
    said = capsys.readouterr()
    assert f"analyst/004 of run {run.run_id}: ended before the first request" in said.err
    rows = said.out.splitlines()
    assert [row.split()[:2] for row in rows[1:5]] == [
        ["1", "classify"],
        ["2", "collect"],
        ["3", "hypothesize"],
        ["4", "end"],
    ]
    assert "1000 + 100" in rows[1]
    assert rows[5] == f"in analyst/003 of run {run.run_id}"
    assert command(run, "show", "last") == 0
    shown = capsys.readouterr().out
    assert "Source: the model m1; its confidence is its own word, and capped." in shown
    assert "Source: a model. A person must name it to approve it." in shown
    assert command(run, "show", "last", "--section", "evidence") == 0
    capsys.readouterr()
    # Approving without a name takes the knowledge base's rule.
    assert command(run, "approve", "last") == 0
    approved = next(event for event in load_run(run.dir).events if event.kind == "approved")
    assert load_run(run.dir).diagnosis.proposals[0].id in approved.payload["proposals"]  # type: ignore[union-attr]
    assert KEY not in "".join(path.read_text() for path in (run.dir / "analyst").rglob("*.json*"))


def test_a_dry_run_sends_and_writes_nothing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(run, "analyze", "last", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "nothing was sent, and no model is set up" in said
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["classify", "collect", "hypothesize"]
    assert command(run, "analyze", "last", "--dry-run", "--json", "--model", "m") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["to"] == "m at its provider"
    assert len(told["requests"]) == 3
    assert SECRET not in str(told)
    assert not (run.dir / "analyst").exists()


def test_prompts_are_listed_and_shown(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(run, "prompt", "show", "classify", "--run", "last") == 0
    said = capsys.readouterr().out
    assert said.startswith("--- system\nYou help a firmware analyst.")
    assert "--- user\nThe case:" in said
    assert 'syscall/3  openat(AT_FDCWD, "/etc/x.conf"' in said
    assert SECRET not in said
    assert "********" in said
    assert command(run, "prompt", "show", "classify", "--run", "last", "--keep-secrets") == 0
    assert SECRET in capsys.readouterr().out
    assert command(run, "prompt", "show", "collect", "--run", "last", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    names = {tool["function"]["name"] for tool in told["tools"]}
    assert {"get_diff", "create_suspicious_point", "list_suspicious_points"} <= names
    mine = tmp_path / "mine"
    (mine / "base").mkdir(parents=True)
    (mine / "base" / "classify.md").write_text("My words.")
    monkeypatch.setenv("TRIAGE_TUI_PROMPTS", str(mine))
    assert command(run, "prompt", "list") == 0
    line = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("base/classify.md"))
    assert line.endswith(f"{mine}/base/classify.md, in place of the shipped one")
    assert command(run, "prompt", "show", "classify") == 0
    assert "My words." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["prompt", "show"], "say which phase"),
        (["prompt", "show", "guess\x1b[2J"], "there is no phase 'guess"),
        (["prompt", "show", "classify", "--run", "nope"], "there is no run 'nope'"),
        (["prompt", "list", "classify"], "takes no phase"),
        (["prompt", "show", "classify", "--keep-secrets"], "name one with --run"),
        (["analyze", "last", "--steps"], "no model was asked about run"),
        (["analyze", "nope", "--model", "m"], "there is no run 'nope'"),
        (["analyze", "last", "--model", "m", "--url", "nowhere"], "is none: it looks like"),
        (["analyze", "last", "--model", "m", "--budget", "lots"], "--budget: 'lots' is no limit"),
    ],
)
def test_rubbish(run: Run, capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    assert command(run, *words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.rstrip("\n").isprintable()
