"""Golden runs: what ships is as expected, what differs is shown, and a person can freeze their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.strict import validator
from tests.retry.decisions import workspace_at
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.evaluation.golden import check, golden_files, read_golden, replayed, save_golden
from triage_tui.resources import recorded_runs, shipped

NEWER = b'{"title":"","record":"","made_by":{"version":""},"sha256":"","expected":{},"schema":9}'
SHIPPED = shipped("rules") / "golden"


def test_what_ships_is_as_expected() -> None:
    paths = golden_files([SHIPPED])
    assert len(paths) >= 15
    for one in check(paths):
        # Where it was meant to change: look at the difference, then `triage-tui golden check --accept`.
        assert one.good, "\n".join((one.name, one.problem, *one.difference))
    shown = {golden.verdict for golden in map(read_golden, paths)}
    assert {"progressed", "resolved"} <= shown


def test_another_process_and_place_give_the_same_bytes(tmp_path: Path) -> None:
    say = "import sys; from pathlib import Path; from triage_tui.evaluation.golden import replayed;"
    say += "sys.stdout.buffer.write(replayed('case cat-nvram', '', Path(), 'cat-nvram'))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", say], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    assert done.stdout == replayed("case cat-nvram", "", Path(), "cat-nvram")


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """One golden run in a directory of its own."""
    return Path(shutil.copy(SHIPPED / "cat-nvram.json", tmp_path))


def test_what_differs_is_shown_line_by_line_and_can_be_accepted(
    golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = golden.read_bytes()
    (found,) = check([golden])
    golden.write_bytes(wanted.replace(b'"cause": "nvram_key"', b'"cause": "missing_file"'))
    (changed,) = check([golden])
    assert "changed by hand" in changed.problem
    one = read_golden(golden)
    text = found.found.replace(b'"cause": "nvram_key"', b'"cause": "missing_file"')
    save_golden(golden, one.title, one.record, one.before, text)
    say = ["golden", "check", "-C", str(golden.parent), "--in", str(golden.parent)]
    assert main(say) == 1
    told = capsys.readouterr()
    assert "DIFFERS  cat-nvram" in told.out
    assert '    -    "cause": "missing_file",\n    +    "cause": "nvram_key",\n' in told.out
    assert "1 golden run: 1 not as expected" in told.err
    assert main([*say, "--json"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert not json.loads(line)["good"]
    validator("golden-check").validate(json.loads(line))
    assert main([*say, "--accept"]) == 0
    assert read_golden(golden).sha256 == one.sha256
    assert [each.good for each in check([golden])] == [True]


def test_a_run_of_the_workspace_is_frozen_with_the_one_that_it_retries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in recorded_runs()[4:6]:
        shutil.copytree(place, tmp_path / "ai_runs" / place.name)
    say = ("golden", "-C", str(tmp_path))
    assert main([*say, "add", "last", "--name", "mine"]) == 0
    frozen = tmp_path / "golden" / "mine.json"
    assert str(frozen) in capsys.readouterr().out
    assert (read_golden(frozen).verdict, read_golden(frozen).before) == ("resolved", "bundle mine.before.zip")
    # Nothing but the files of the golden run is needed.
    shutil.rmtree(tmp_path / "ai_runs")
    assert main([*say, "check", "mine"]) == 0
    assert capsys.readouterr().out == "ok       mine\n"
    assert main([*say, "list", "--json"]) == 0
    listed = {one["name"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
    validator("golden-list").validate(listed["mine"])
    assert listed["mine"]["verdict"] == "resolved"
    assert listed["cat-nvram"]["cause"] == "nvram_key open(/dev/nvram) ENOENT"
    (tmp_path / "golden" / "mine.zip").write_bytes(b"PK")
    assert main([*say, "check", "mine"]) == 1
    assert "WRONG    mine\n    problem: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is no golden run"),
        (b"[" * 5000, "is no golden run"),
        (b'{"title": "x"}', "is no golden run"),
        (NEWER, "schema 9"),
    ],
)
def test_what_is_no_golden_run_is_told_and_keeps_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, why: str
) -> None:
    workspace_at(tmp_path)
    path = tmp_path / "golden" / "x.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(TriageError, match=why):
        read_golden(path)
    assert main(["golden", "-C", str(tmp_path), "check", "x", "cat-nvram"]) == 1
    told = capsys.readouterr().out
    assert why in told
    assert "ok       cat-nvram" in told
    assert main(["golden", "-C", str(tmp_path), "list"]) == 1
    told = capsys.readouterr().out
    assert "cat-nvram" in told
    assert why.split()[0] in told


@pytest.mark.parametrize(
    "record", ["", "case", "case ../x", "bundle /etc/passwd", "bundle x.zip", "shipped 1", "file x"]
)
def test_a_golden_run_names_no_other_place(tmp_path: Path, record: str) -> None:
    path = tmp_path / "x.json"
    save_golden(path, "x", record, "", b"{}\n")
    save_golden(path, "x", record, "", b"{}\n")
    (found,) = check([path])
    assert found.problem
    assert not found.good


def test_names_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace_at(tmp_path)
    say = ("golden", "-C", str(tmp_path))
    for words, why in (
        (("add", "last", "--name", "../x"), "is no name of a golden run"),
        (("add", "nothing"), "there is no run"),
        (("check", "nothing"), "there is no golden run"),
        (("check", "--in", str(tmp_path / "none")), "is no directory"),
        (("check", "--in", str(tmp_path)), "there is no golden run here"),
    ):
        assert main([*say, *words]) == 2
        assert why in capsys.readouterr().err
    assert main([*say, "add", "last", "--name", "x"]) == 0
    assert main([*say, "add", "last", "--name", "x"]) == 2
    assert "--force" in capsys.readouterr().err
    capsys.readouterr()
    assert main([*say, "add", "last", "--name", "x", "--force", "--json"]) == 0
    validator("golden-add").validate(json.loads(capsys.readouterr().out))
