"""`triage-tui diagnose`: what it says beside the causes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from triage_tui.cli.main import main
from triage_tui.resources import recorded_runs

_BAD = """schema: 1
entries:
  - id: mine
    version: 1
    cause: missing_file
    title: mine
    subject: {fact: message, where: {text: {regex: "(a"}}}
    confidence: {base: 0.3}
    explanation: ["{subject.cite}"]
"""


def test_a_mistake_in_a_person_s_knowledge_base_is_said_once_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = recorded_runs()[0]
    shutil.copytree(source, tmp_path / "ai_runs" / source.name)
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "mine.yaml").write_text(_BAD)
    monkeypatch.setenv("TRIAGE_TUI_RULES", str(rules))
    assert main(["diagnose", "-C", str(tmp_path), "last", source.name]) == 0
    printed = capsys.readouterr()
    assert printed.out.count(f"{source.name}: ") == 2
    assert printed.err.count("mine.yaml:7, entry mine, key subject.where.text: RE2 refuses") == 1
