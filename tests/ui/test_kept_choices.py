"""What is decided about hunks is kept for each run, and nothing depends on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from triage_tui.rulebook.choices import Kept
from triage_tui.ui import kept_choices
from triage_tui.ui.kept_choices import keep_choices, recall_choices


def state_file() -> Path:
    return Path(os.environ["XDG_STATE_HOME"]) / "triage-tui" / "choices.json"


def test_choices_are_kept_by_workspace_and_run(tmp_path: Path) -> None:
    one, other = Kept({"a.lua:1": "chosen"}, {"a.lua": [(1, 2)]}), Kept({"a.lua:1": "dropped"})
    keep_choices(tmp_path / "w", {"run1": one, "run2": Kept()})
    keep_choices(tmp_path / "w2", {"run1": other})
    assert recall_choices(tmp_path / "w") == {"run1": one}
    assert recall_choices(tmp_path / "w2") == {"run1": other}
    assert state_file().stat().st_mode & 0o777 == 0o600
    keep_choices(tmp_path / "w", {"run1": Kept()})
    assert recall_choices(tmp_path / "w") == {}


def test_only_the_runs_used_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_choices, "MAX_RUNS", 2)
    for number in range(3):
        keep_choices(tmp_path, {f"run{number}": Kept({"a:1": "chosen"})})
    assert set(recall_choices(tmp_path)) == {"run1", "run2"}


@pytest.mark.parametrize(
    "text", [b"{", b'{"runs": 7}', b'{"runs": {"x": {"states": {"a": "yes"}}}}', b"\xff"]
)
def test_what_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path, text: bytes) -> None:
    state_file().parent.mkdir(parents=True)
    state_file().write_bytes(text)
    assert recall_choices(tmp_path) == {}
