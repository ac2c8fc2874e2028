"""`triage-tui add-log`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.cli.main import main


def test_logs_are_added_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "ai_runs")
    good, bad = tmp_path / "messages", tmp_path / "picture"
    good.write_text("no time\x1b[2J here\n")
    bad.write_bytes(bytes(range(256)))
    told = main(["add-log", "-C", str(tmp_path), "last", str(bad), str(good), "--json"])
    out, err = capsys.readouterr()
    assert told == 2
    assert [log["file"] for log in json.loads(out)["added"]] == ["logs/added-messages.log"]
    assert "picture is no text" in err
    assert main(["show", "-C", str(tmp_path), "last", "--section", "logs"]) == 0
    shown = capsys.readouterr().out
    assert "not lined up" in shown
    assert "no time\\x1b[2J here" in shown
    assert (run_dir / "logs" / "added-messages.log").is_file()


def test_a_zone_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "ai_runs")
    assert main(["add-log", "-C", str(tmp_path), "last", "/etc/hostname", "--zone", "Mars/Base"]) == 2
    assert "there is no time zone" in capsys.readouterr().err
