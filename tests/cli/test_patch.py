"""Hunks on the command line: listed with numbers and keys, approved by either."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.retry.test_actions import FILE, TEXT
from tests.runs.build import write_run
from triage_tui.cli.main import main
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.events import append_event

NEW = TEXT.replace(b"hit-limit: 3", b"hit-limit: 9").replace(b"return 0, 0", b"\treturn 1, -13 -- \x1b[31m")


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    """A run whose rule is active and was edited in two places; the arguments that name it."""
    workspace = Workspace(tmp_path)
    run_dir = write_run(workspace.runs_dir)
    rule = run_dir / "rules_patch" / FILE
    rule.parent.mkdir(parents=True)
    rule.write_bytes(TEXT)
    append_event(run_dir, "captured", {})
    actions = LocalActions(workspace)
    actions.approve(run_dir.name, [FILE])
    actions.save_edit(run_dir.name, FILE, NEW.decode())
    return ["-C", str(tmp_path), run_dir.name]


def active(place: list[str]) -> bytes:
    return next(Path(place[1]).glob("rulebook/*/current/syscall/*.lua")).read_bytes()


def listed(place: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    assert main(["show", *place, "--section", "patch", "--json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["file"] == FILE
    hunks: list[dict[str, object]] = file["hunks"]
    return hunks


def test_hunks_are_listed_in_words_and_as_json(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", *place, "--section", "patch"]) == 0
    text = capsys.readouterr().out
    assert "@@ hunk 2 of 2: +1 -1" in text
    assert "- -- hit-limit: 3\n+ -- hit-limit: 9\n" in text
    assert "\x1b" not in text
    assert "note: line 14: characters that cannot be shown stand as escapes" in text
    assert "At openat of /etc/x.conf: an empty file, at most 9 times, in this target only." in text
    assert "recorded openat call" in text
    first, second = listed(place, capsys)
    assert (first["number"], first["added"]) == (1, ["-- hit-limit: 9"])
    assert second["added"] == ["      return 1, -13 -- \\x1b[31m"]


def test_one_hunk_is_approved_by_its_number(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["approve", *place, "--hunk", f"{FILE}:1"]) == 0
    assert "1 rule with 1 of 2 hunks active" in capsys.readouterr().out
    assert active(place) == TEXT.replace(b"hit-limit: 3", b"hit-limit: 9")


def test_hunks_are_approved_by_their_keys(place: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    keys = [str(hunk["key"])[:12] for hunk in listed(place, capsys)]
    assert main(["approve", *place, "--hunk", f"{FILE}:{keys[0]}", "--hunk", f"{FILE}:2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [FILE]
    assert active(place) == NEW


@pytest.mark.parametrize("wanted", ["x.lua:1", f"{FILE}:3", f"{FILE}:0", f"{FILE}:", FILE, f"{FILE}:\u0661"])
def test_a_hunk_that_is_not_there_is_told(
    place: list[str], capsys: pytest.CaptureFixture[str], wanted: str
) -> None:
    assert main(["approve", *place, "--hunk", wanted]) != 0
    assert "hunk" in capsys.readouterr().err
    assert active(place) == TEXT
