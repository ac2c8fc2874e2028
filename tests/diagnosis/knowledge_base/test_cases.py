"""Recorded cases: the shipped entries keep to theirs, a run becomes one, rubbish is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.diagnosis.knowledge_base.writing import GOOD, write
from tests.runs.build import failed_open, write_run
from triage_tui.cli.main import main
from triage_tui.diagnosis.knowledge import load_knowledge
from triage_tui.diagnosis.knowledge_base.case_tests import try_cases
from triage_tui.diagnosis.knowledge_base.cases import case_path, load_case
from triage_tui.diagnosis.knowledge_base.lint import lint
from triage_tui.diagnosis.knowledge_base.making_cases import make_case
from triage_tui.errors import TriageError
from triage_tui.resources import shipped
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run


def test_every_shipped_entry_is_right_about_its_cases() -> None:
    base = load_knowledge()
    trials = list(try_cases(base))
    assert [f"{one.entry}, {one.case}: {one.why}" for one in trials if not one.good] == []
    for entry in base.entries:
        kinds = {one.kind for one in trials if one.entry == entry.id}
        assert kinds == {"positive", "negative"}, entry.id


def test_the_shipped_files_have_no_mistake_and_no_case_that_nobody_names() -> None:
    found = lint([shipped("rules")])
    assert [one.sentence() for one in found.mistakes if one.severity == "error"] == []
    named = {name for entry in found.entries for name in (*entry.cases.positive, *entry.cases.negative)}
    assert {path.stem for path in (shipped("rules") / "cases").iterdir()} == named


def test_an_entry_that_wins_where_it_must_not_is_told(tmp_path: Path) -> None:
    cases = {"positive": ["applet-echo"], "negative": ["applet-cat-missing"]}
    change: dict[str, Any] = {"confidence": {"base": 0.99, "ceiling": 1.0}, "cases": cases, "id": "greedy"}
    write(tmp_path / "rules", GOOD | change)
    base = load_knowledge([tmp_path / "rules"])
    first, second = try_cases(base, ["greedy"])
    assert not first.good
    assert "normal-end comes first with" in first.why
    assert not second.good
    assert second.why == "it comes first with 0.99, and the label says missing_file"
    assert first.origin == str(tmp_path / "rules" / "mine.yaml")
    with pytest.raises(TriageError, match="did you mean greedy"):
        list(try_cases(base, ["greeedy"]))


def test_a_case_of_a_run_is_diagnosed_alike_and_holds_no_more_than_it_needs(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "ai_runs", [failed_open(5, "/etc/app.conf")]))
    path, same, masked = make_case(run, tmp_path / "rules", "no-config", cause="missing_file", title="app")
    assert same
    assert masked == 0
    case = load_case(path)
    assert (case.cause, case.made, case.title) == ("missing_file", "recorded", "app")
    assert [call.seq for call in case.calls] == [5]
    assert "maps" not in path.read_text()
    with pytest.raises(TriageError, match="is there already"):
        make_case(run, tmp_path / "rules", "no-config", cause="missing_file")
    with pytest.raises(TriageError, match="is no name of a case"):
        make_case(run, tmp_path / "rules", "../no", cause="missing_file")
    with pytest.raises(TriageError, match="did you mean missing_file"):
        make_case(run, tmp_path / "rules", "other", cause="missing_fil")


def test_a_case_keeps_no_secret_and_its_lines_keep_their_length(tmp_path: Path) -> None:
    call = failed_open(5, "/etc/app.conf")
    login = Syscall(seq=4, name="write", pid=call.pid, arguments=["1", '"password=hunter2hunter2"'], ret=24)
    run_dir = write_run(tmp_path / "ai_runs", [login, call])
    (run_dir / "logs" / "guest.log").write_bytes(b"password=hunter2hunter2\ncannot open it\n")
    run = load_run(run_dir)
    path, _, masked = make_case(run, tmp_path / "rules", "login", cause="missing_file")
    assert masked == 2
    assert "hunter2" not in path.read_text()
    first, second, _ = load_case(path).output.split("\n")
    assert (len(first), second) == (len("password=hunter2hunter2"), "cannot open it")
    kept, _, none = make_case(run, tmp_path / "rules", "kept", cause="missing_file", keep_secrets=True)
    assert none == 0
    assert "hunter2" in kept.read_text()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is no recorded case"),
        ("[]", "is no recorded case"),
        ('{"title": "x"}', "is no recorded case"),
        ("[" * 100_000, "is no recorded case"),
        (" " * (2 << 20) + "{}", "more than the 2097152 read here"),
    ],
    ids=["empty", "list", "half", "deep", "giant"],
)
def test_a_file_that_is_no_case_is_one_sentence(text: str, what: str, tmp_path: Path) -> None:
    path = case_path(tmp_path, "mine")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(TriageError, match=what) as caught:
        load_case(path)
    assert "\n" not in str(caught.value)
    found = lint([write(tmp_path, GOOD | {"cases": {"positive": ["mine"]}})])
    assert [one.key for one in found.mistakes if one.severity == "error"] == ["cases.positive[0]"]


def test_the_commands_end_with_1_where_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "rules", GOOD | {"cases": {"positive": ["applet-echo"]}})
    monkeypatch.setenv("TRIAGE_TUI_RULES", str(tmp_path / "rules"))
    assert main(["kb", "test", "mine", "--json"]) == 1
    (trial,) = json.loads(capsys.readouterr().out)["trials"]
    assert (trial["entry"], trial["good"], trial["winner"]) == ("mine", False, "normal-end")
    (tmp_path / "rules" / "bad.yaml").write_text("schema: 1\nentries: [{id: a}]\n")
    assert main(["kb", "lint"]) == 1
    out, err = capsys.readouterr()
    assert f"error: {tmp_path}/rules/bad.yaml:2, entry a, key cause: missing" in out.splitlines()
    assert "7 errors" in err
