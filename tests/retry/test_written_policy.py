"""The written policy: what a file allows, where it is looked for, and what is said of a bad one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.retry.test_policy import diagnosed
from triage_tui.errors import TriageError
from triage_tui.retry.rounds.policy import choose
from triage_tui.retry.rounds.written_policy import policy_path, read_policy, shipped_policy
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.reader import Run


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return path


def proposing(tmp_path: Path, confidence: float = 0.9, **fields: Any) -> tuple[Run, Proposal]:
    run = diagnosed(tmp_path, (confidence, None))
    assert run.diagnosis is not None
    shown = msgspec.structs.replace(run.diagnosis.proposals[0], **fields)
    run.diagnosis.proposals[0] = shown
    return run, shown


@pytest.mark.parametrize(
    ("line", "fields", "allowed"),
    [
        ("risks: [low]", {}, True),
        ("risks: [low]", {"risk": "medium"}, False),
        ("risks: [low, medium]", {"risk": "medium"}, True),
        ("risks: [low]\n    kinds: [start]", {"files": ["fix/start/processor@a.lua"]}, True),
        ("risks: [low]\n    kinds: [start]", {"files": ["fix/syscall/openat@a.lua"]}, False),
        ("risks: [low]\n    kinds: [start]", {}, False),
        ("risks: [low]\n    templates: [make_*]", {"template": "make_directory"}, True),
        ("risks: [low]\n    templates: [make_*]", {"template": "open_null"}, False),
        ("risks: [low]\n    causes: [missing_file]", {}, True),
        ("risks: [low]\n    causes: [missing_d*]", {}, False),
        ("risks: [low]\n    confidence: 0.9", {}, True),
        ("risks: [low]\n    confidence: 0.91", {}, False),
    ],
)
def test_a_line_allows_what_all_of_it_is_so_for(
    tmp_path: Path, line: str, fields: dict[str, Any], allowed: bool
) -> None:
    policy = read_policy(written(tmp_path, f"schema: 1\nassist:\n  - {line}\n"))
    run, proposal = proposing(tmp_path / "w", **fields)
    found = policy.allows("assist", run, proposal)
    assert (found is not None) == allowed
    if found is not None:
        assert str(found).startswith("line 3 of ")
        choice = choose(run, set(), policy, "assist")
        assert choice is not None
        assert choice.line == found


def test_what_is_never_to_be_is_not_whatever_allows_it(tmp_path: Path) -> None:
    text = "schema: 1\nauto:\n  - risks: [low, medium]\nnever:\n  - templates: ['t*']\n    name: mine\n"
    policy = read_policy(written(tmp_path, text))
    run, proposal = proposing(tmp_path / "w")
    assert policy.allows("auto", run, proposal) is None
    assert "line 5" in str(policy.forbids(run, proposal))
    assert "(mine)" in str(policy.forbids(run, proposal))
    assert choose(run, set(), policy, "auto") is None


@pytest.mark.parametrize("fields", [{"risk": "high"}, {"source": "model"}, {"source": "pack"}])
def test_some_things_no_policy_approves(tmp_path: Path, fields: dict[str, Any]) -> None:
    run, _ = proposing(tmp_path, 1.0, **fields)
    for policy in ("assist", "auto"):
        assert choose(run, set(), None, policy) is None


def test_what_needed_a_person_is_only_allowed_where_that_is_written(tmp_path: Path) -> None:
    plain = read_policy(written(tmp_path, "schema: 1\nassist: [{risks: [low]}]\n"))
    run, proposal = proposing(tmp_path / "w", needs_input="a line")
    assert plain.allows("assist", run, proposal) is None
    filled = read_policy(written(tmp_path, "schema: 1\nassist: [{risks: [low], filled_in: true}]\n"))
    assert filled.allows("assist", run, proposal) is not None
    # Nobody filled it in.
    assert choose(run, set(), filled, "assist") is None


def test_the_nearest_file_is_in_force_and_one_without_auto_leaves_that_as_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    workspace = Workspace(tmp_path)
    assert policy_path(workspace) == shipped_policy()
    users = tmp_path / "config" / "triage-tui" / "policy.yaml"
    users.parent.mkdir(parents=True)
    users.write_text("schema: 1\nassist: []\n")
    assert policy_path(workspace) == users
    assert read_policy(users).assist == ()
    assert [str(line) for line in read_policy(users).auto] == [
        str(line) for line in read_policy(shipped_policy()).auto
    ]
    own = workspace.rulebook / "policy.yaml"
    own.parent.mkdir()
    own.write_text("schema: 1\n")
    assert policy_path(workspace) == own
    assert policy_path(workspace, tmp_path / "named.yaml") == tmp_path / "named.yaml"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "schema"),
        ("schema: 2\n", "must be 1"),
        ("schema: 1\nassist:\n  - risks: [low]\n  - risks: [high]\n", ":4, assist.*only ever.*a person"),
        ("schema: 1\nassist:\n  - {risk: [low]}\n", ":3, assist.*unknown field"),
        ("schema: 1\nassist:\n  - {kinds: [start]}\n", "risks"),
        ("schema: 1\nassist:\n  - {risks: []}\n", "length"),
        ("schema: 1\nassist:\n  - {risks: [low], confidence: 2}\n", "<= 1"),
        ("schema: 1\nassist:\n  - {risks: [low], confidence: .nan}\n", "confidence"),
        ("a: &a [1]\nb: [" + ", ".join(["*a"] * 60_000) + "]\n", "holds|values"),
        ("[" * 200, "YAML|nested"),
    ],
)
def test_a_bad_file_is_refused_with_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TriageError, match=says) as caught:
        read_policy(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_name_that_nothing_has_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        "schema: 1\nassist:\n  - risks: [low]\n    templates: [make_directory, mak_dir]\n    causes: [x*]\n"
    )
    policy = read_policy(written(tmp_path, text))
    assert [("mak_dir" in one, "line 3" in one) for one in policy.problems] == [(True, True), (False, True)]
