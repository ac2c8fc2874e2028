"""The run directories that other tests read are what SFEmu writes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.sfemu.broken import BREAKS
from tests.sfemu.records import VERSIONS, lua_json, records_name, rules_directory, write_run, write_stable
from tests.sfemu.scenes import SCENES, exit_scene
from triage_tui.sfemu.rules_dir import find


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_a_rule_directory_with_runs(tmp_path: Path, version: int) -> None:
    rules = rules_directory(tmp_path / "rules", version)
    runs = [write_run(rules, make(), version, number=number) for number, make in enumerate(SCENES.values())]
    write_stable(rules, runs[0], exit_scene(), version)
    found = find(rules)
    assert found is not None
    assert found.runs_dirs == [rules / records_name(version) / "ai_runs"]
    for run in runs:
        data = json.loads((run / "snapshot.json").read_bytes())
        assert data["run_id"] == run.name
        # The paths are of another machine; what they name lies below the run.
        for one in data["memory"]:
            if "blob" in one:
                assert (run / "memory" / one["blob"]["file"].rpartition("/")[2]).stat().st_size == 256
        for one in data["backtrace"]["pseudocode_index"]:
            assert (run / "pseudocode" / one["file"].rpartition("/")[2]).is_file()


def test_the_encoder_is_the_one_of_its_scripts() -> None:
    value: dict[str, Any] = {"a": b'\xff\x7f"\n', "none": None, "empty": {}, "list": []}
    assert json.loads(lua_json(value, random.Random(1))) == {"a": '\xff\x7f"\n', "empty": [], "list": []}
    assert '"\\u00ff\\u007f\\"\\n"' in lua_json(value, random.Random(1))
    orders = {lua_json({str(n): n for n in range(9)}, random.Random(seed)) for seed in range(4)}
    assert len(orders) == 4


@pytest.mark.parametrize("how", BREAKS)
def test_every_break_changes_the_run(tmp_path: Path, how: str) -> None:
    run = write_run(rules_directory(tmp_path / "rules"), exit_scene())
    before = _state(run)
    BREAKS[how](run)
    assert _state(run) != before


def _state(run: Path) -> set[tuple[str, int, int]]:
    found = set()
    for path in run.rglob("*"):
        status = path.lstat()
        found.add((path.name, status.st_mode, status.st_size))
    return found
