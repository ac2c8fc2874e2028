"""Attacks on the commands: what they print, to a terminal and into a pipe, is what we mean to send."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.hostile.corpus import ATTACKS, MARK, RAW
from tests.hostile.planting import SURROGATES_RUN, plant_workspace
from tests.hostile.stream import check_terminal, check_text
from tests.packaging.checkout import ROOT
from tests.ui import fixtures
from triage_tui.cli.show import SECTIONS

RUN = fixtures.EXIT_RUN

_NAMES = [attack.replace("\0", "") for attack in ATTACKS[:-1]] + [os.fsdecode(raw) for raw in RAW]

_PRINTING: list[list[str]] = [
    ["list"],
    *(["show", RUN, "--section", section] for section in SECTIONS),
    ["show", fixtures.RETRY_RUN],
    ["show", SURROGATES_RUN],
    ["show", RUN, "--lang", "zh"],
    ["memory", RUN],
    ["memory", RUN, ATTACKS[1]],
    ["trace", RUN],
    ["trace", fixtures.RETRY_RUN, "--markdown"],
    ["trace", ATTACKS[0]],
    ["report", RUN, "--lang", "zh"],
    ["report", RUN, "--format", "html", "--keep-secrets"],
    ["report", RUN, "--lang", ATTACKS[0]],
    ["code", RUN, "1"],
    ["export", RUN, "-o", "-"],
    ["export", RUN, "--format", "html", "-o", "-"],
    ["export", RUN, "--format", "json"],
    ["export", RUN, "--format", "json"],
    ["approve", RUN],
    ["reject", RUN, "--reason", ATTACKS[2]],
    ["approve", RUN, "--hunk", ATTACKS[0]],
    ["approve", RUN, "--hunk", "fix/syscall/ioctl.lua:1"],
    ["watch", "--count", "2"],
    ["watch", "--count", "1", "--json"],
    ["watch", "--past", "--timeout", "0.1"],
    ["watch", "--until", ATTACKS[0]],
    ["edit", RUN, ATTACKS[0]],
    ["edit", RUN, "--from", ATTACKS[1]],
    ["schema", ATTACKS[0]],
    ["resume", ATTACKS[0], "--json"],
    ["analyze", RUN, "--dry-run"],
    ["analyze", RUN, "--steps"],
    ["analyze", RUN, "--model", ATTACKS[0]],
    ["analyze", RUN, "--model", "m", "--url", ATTACKS[3]],
    ["prompt", "show", "hypothesize", "--run", RUN],
    ["prompt", "show", ATTACKS[0]],
    *(["rules", action, RUN] for action in ("lint", "explain", "diff", "test")),
    ["rules", "lint", "--tried", "--json", RUN],
    ["rules", "lint", ATTACKS[0]],
    ["list", "--unfold", "--sort", "score"],
    ["stable", "list"],
    ["stable", "show", ATTACKS[0]],
    ["stable", "export", RUN, "--unsigned"],
    ["golden", "check", ATTACKS[0]],
    ["golden", "add", RUN, "--name", "x", "--force"],
    ["golden", "list"],
    ["doctor"],
]
_JSON: list[list[str]] = [
    ["list", "--json"],
    ["trace", RUN, "--json"],
    ["show", RUN, "--json"],
    ["memory", RUN, "--json"],
]
_NAMED: list[list[str]] = [
    [*command, name]
    for name in _NAMES
    for command in (["show"], ["import"], ["approve", RUN], ["run"], ["export", fixtures.LOOP_RUN, "-o"], [])
]
"""What a person may paste: names of runs, of files, of proposals, of commands. What is written is
small: it is the name that is hostile here.
"""
_ONCE = (["doctor"], ["analyze", RUN, "--dry-run"], ["rules", "test", RUN], ["golden", "add", RUN])
"""How commands begin that take long and print through what the others print through."""

_PLAY = f"""
import itertools, json, sys, threading, time
from pathlib import Path
from triage_tui.cli.main import main
from triage_tui.runs.events import append_event

def change():
    for kind in itertools.cycle(["proposed", "rejected"]):
        append_event(Path("ai_runs/{RUN}"), kind)
        time.sleep(0.3)

threading.Thread(target=change, daemon=True).start()
for arguments in json.load(open(sys.argv[1])):
    try:
        main(arguments)
    except SystemExit:
        pass
print("the end")
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant_workspace(tmp_path_factory.mktemp("hostile"))


def _script(workspace: Path, commands: list[list[str]]) -> tuple[list[str], dict[str, Any]]:
    """Return the command line that plays commands in one process, and how to start it."""
    list_file = workspace / "commands.json"
    list_file.write_text(json.dumps(commands))
    environment = {
        **os.environ,
        "TRIAGE_TUI_WORKSPACE": str(workspace),
        "XDG_CONFIG_HOME": str(workspace / "config"),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
    }
    return ["-c", _PLAY, str(list_file)], {"cwd": str(workspace), "env": environment}


def test_what_goes_down_a_pipe_is_plain_text(workspace: Path) -> None:
    arguments, how = _script(workspace, [*_PRINTING, *_NAMED])
    done = subprocess.run([sys.executable, *arguments], capture_output=True, timeout=240, check=False, **how)
    out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    assert out.endswith("the end\n"), err[-2000:]
    check_text(out)
    check_text(err)
    assert "Traceback" not in err
    assert "internal error" not in err
    assert out.count(MARK) > 500
    assert err.count(MARK) > 50


def test_what_goes_to_a_terminal_holds_no_sequence_of_data(workspace: Path) -> None:
    printing = [words for words in _PRINTING if not any(words[: len(once)] == once for once in _ONCE)]
    arguments, how = _script(workspace, [*printing, *_NAMED[:60]])
    child = pexpect.spawn(
        sys.executable, arguments, timeout=240, dimensions=(40, 100), maxread=1 << 20, **how
    )
    raw: Any = child.read()
    child.close()
    assert raw.rstrip().endswith(b"the end")
    assert check_terminal(raw) == []


def test_json_is_ascii_and_holds_what_was_recorded(workspace: Path) -> None:
    arguments, how = _script(workspace, _JSON)
    done = subprocess.run([sys.executable, *arguments], capture_output=True, timeout=120, check=True, **how)
    assert all(byte == 10 or 0x20 <= byte < 0x7F for byte in done.stdout)
    *lines, _ = done.stdout.decode("ascii").splitlines()
    shown = json.loads(lines[-1])
    assert shown["run_id"] == RUN
    # Programs get the data as it is, escaped; only its printing is made safe.
    assert any(attack in json.dumps(shown, ensure_ascii=False) for attack in ("\\u001b", "\\u009b"))
