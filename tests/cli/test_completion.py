"""What a shell offers behind TAB: asked by the shell's own code, in a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.campaign.states import on_disk, small
from tests.packaging.checkout import ROOT
from tests.retry.decisions import workspace_at
from tests.runs.build import a_proposal
from triage_tui.cli.main import main
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.runs.diagnosis_model import Diagnosis

HOSTILE = "a b$(touch pwned)`touch pwned`;'\"*&|"
CONTROL = "red\x1b[2J\x0bname"

_ASK = """
eval "$(triage-tui completion bash)"
while IFS= read -r line; do
  COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9 COMPREPLY=()
  _python_argcomplete triage-tui
  printf '%s\\n' "${COMPREPLY[@]}" ==
done
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A workspace whose run proposes what no shell may take for more than a name."""
    run_id = workspace_at(tmp_path / "w s")
    file = tmp_path / "w s" / "ai_runs" / run_id / "diagnosis.json"
    diagnosis = msgspec.json.decode(file.read_bytes(), type=Diagnosis)
    for name in (HOSTILE, CONTROL):
        diagnosis.proposals.append(a_proposal(name))
    file.write_bytes(msgspec.json.encode(diagnosis))
    command = tmp_path / "bin" / "triage-tui"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m triage_tui "$@"\n')
    command.chmod(0o755)
    return tmp_path


def offered(place: Path, *lines: str) -> list[list[str]]:
    """Return what bash would offer behind each line."""
    environment = {
        **os.environ,
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TRIAGE_TUI_WORKSPACE": str(place / "w s"),
    }
    done = subprocess.run(
        ["bash", "-c", _ASK], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True,
        cwd=place, env=environment, timeout=240,
    )  # fmt: skip
    assert done.stderr == ""
    return [part.split("\n")[:-1] for part in done.stdout.replace("\n==\n", "\n\0").split("\0")[:-1]]


def test_names_of_the_workspace_are_offered_and_quoted(place: Path) -> None:
    (run_id,) = (path.name for path in (place / "w s" / "ai_runs").iterdir())
    kept = sorted(path for path in place.rglob("*"))
    commands, runs, ending, proposals, hostile, words, section, files = offered(
        place,
        "triage-tui re",
        "triage-tui show ",
        f"triage-tui show {run_id[-4:]}",
        "triage-tui approve last ",
        "triage-tui approve last a",
        "triage-tui watch --until waiting,pro",
        "triage-tui show last --section me",
        "triage-tui edit last --from bi",
    )
    assert {"reject", "report", "retry"} <= set(commands)
    assert runs == ["last", run_id]
    assert ending == [f"{run_id} "]
    assert {"openat", "fix/syscall/openat@openat-1.lua"} <= set(proposals)
    assert not any("red" in name for name in proposals)
    # A shell that reads the offered word gets the name, and does nothing else.
    (quoted,) = hostile
    read = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, text=True, cwd=place)
    assert (read.stdout, read.stderr) == (HOSTILE, "")
    assert words == ["waiting,progressed", "waiting,proposed"]
    assert section == ["memory "]
    assert files == ["bin/"]
    assert sorted(path for path in place.rglob("*")) == kept, "TAB writes nothing"


def test_campaigns_are_offered_and_the_words_behind_the_command(place: Path) -> None:
    older, newer = (on_disk(place / "w s", small()).dir.name for _ in range(2))
    (place / "targets.yaml").write_text("")
    words, either, ids, ending, compared, option, standing, rolled = offered(
        place,
        "triage-tui campaign re",
        "triage-tui campaign ",
        "triage-tui campaign report ",
        f"triage-tui campaign -C '{place / 'w s'}' show {older[-4:]}",
        "triage-tui campaign report last --compare ",
        "triage-tui campaign report last --form",
        "triage-tui campaign show last --targets stu",
        "triage-tui rollout start last --campaign ",
    )
    assert words == ["report "]
    assert {"list", "show", "report", "targets.yaml"} <= set(either)
    assert ids == compared == rolled == ["last", newer, older]
    assert (ending, option, standing) == ([f"{older} "], ["--format "], ["stuck "])


def test_guests_that_can_be_frozen_are_offered_by_their_supervisors(place: Path) -> None:
    with FreezeSwitch().armed(place / "w s" / "running", ["httpd"]):
        assert offered(place, "triage-tui freeze --pid ") == [[f"{os.getpid()} "]]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_code(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    code = capsys.readouterr().out
    assert "triage-tui" in code
    assert {"bash": "complete ", "zsh": "compdef ", "fish": "complete --command"}[shell] in code


def test_a_command_that_does_not_complete_imports_nothing_for_it() -> None:
    script = (
        "import sys; from triage_tui.cli.main import main; main(['list', '-C', '/'])\n"
        "print('argcomplete' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
