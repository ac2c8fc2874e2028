"""What a person says about rules and containment holds for the run and its retries, and is on record."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import activate_unchecked, triage_here, triage_json
from tests.programs import root_with
from triage_tui.runs.reader import load_run

OPTIONS = ("--policy", "auto", "--rounds", "1")

RULE = """-- triage-rule: 1
-- id: fix-{syscall}-busy
-- hit-limit: 100
-- budget: {budget}
-- on-failure: {failure}

function do_syscall(num)
  for i = 1, 100000 do end
  return 0, 0
end
"""


@pytest.fixture(scope="module")
def first_runs(tmp_path_factory: pytest.TempPathFactory, qemu_dir: Path) -> Callable[[tuple[str, ...]], Path]:
    """Gives the workspace in which chain was run, which opens a missing file, with options; only read it."""
    place = tmp_path_factory.mktemp("chain")
    root = root_with(place / "root", "mips", "chain")

    @functools.cache
    def run_with(options: tuple[str, ...]) -> Path:
        workspace = tmp_path_factory.mktemp("first")
        triage_json(workspace, "run", *OPTIONS, *options, "--rootfs", str(root), "/bin/chain")
        return workspace

    return run_with


def retried_with(workspace: Path, budget: str, failure: str) -> dict[str, Any]:
    """Make a busy rule active for the missing file of the last run, and return the retry's record."""
    first = triage_json(workspace, "show", "last")["snapshot"]
    call = next(c for c in reversed(first["recent_syscalls"]) if c["path"] == "/etc/chain.conf")
    name = f"fix/syscall/{call['name']}.lua"
    rule = workspace / "ai_runs" / first["run_id"] / "rules_patch" / name
    rule.parent.mkdir(parents=True, exist_ok=True)
    rule.write_text(RULE.format(syscall=call["name"], budget=budget, failure=failure))
    # An approval tries the rule at the recorded calls, and would refuse one that breaks its own budget.
    activate_unchecked(workspace, first["run_id"], rule)
    triage_json(workspace, "retry", first["run_id"])
    shown: dict[str, Any] = triage_json(workspace, "show", "last")
    return shown


WIDE, NARROW = "calls-per-second=1000", "instructions=5000"
CASES = [
    ((), WIDE, "open", ("active", "ENOENT")),
    ((), NARROW, "open", ("disabled", "ENOENT")),
    ((), NARROW, "closed", ("disabled", "EPERM")),
    (("--rule-budget", "instructions=7000"), WIDE, "closed", ("disabled", "EPERM")),
    (
        ("--rule-budget", "instructions=7000", "--rule-failure", "open"),
        WIDE,
        "closed",
        ("disabled", "ENOENT"),
    ),
    (("--rule-failure", "closed"), NARROW, "open", ("disabled", "EPERM")),
]


@pytest.mark.parametrize(("options", "budget", "failure", "expected"), CASES)
def test_budget_and_failure_come_from_the_person_and_the_header(
    tmp_path: Path,
    first_runs: Callable[[tuple[str, ...]], Path],
    options: tuple[str, ...],
    budget: str,
    failure: str,
    expected: tuple[str, str],
) -> None:
    shutil.copytree(first_runs(options), tmp_path, dirs_exist_ok=True, symlinks=True)
    shown = retried_with(tmp_path, budget, failure)
    (hit,) = shown["snapshot"]["rule_hits"]
    opened = [c for c in shown["snapshot"]["recent_syscalls"] if c["path"] == "/etc/chain.conf"]
    assert (hit["state"], opened[-1]["errno"]) == expected
    assert hit["calls"] == 1
    text = " ".join(triage_here(tmp_path, "show", "last").stdout.split())
    assert "asked 1 time" in text
    if hit["state"] == "disabled":
        assert "instructions" in hit["disabled"]
        assert "switched off: it used more than" in text


@pytest.mark.parametrize(
    "options",
    [
        ("--rule-budget", "instructions"),
        ("--rule-budget", "instructions=-1"),
        ("--rule-budget", "instructions=0"),
        ("--rule-budget", "patience=3"),
        ("--allow", "everything"),
    ],
)
def test_what_is_no_limit_is_said_in_one_sentence(
    tmp_path: Path, qemu_dir: Path, options: tuple[str, str]
) -> None:
    root = root_with(tmp_path / "root", "mips", "chain")
    done = triage_here(tmp_path, "run", *OPTIONS, *options, "--rootfs", str(root), "/bin/chain")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("triage-tui: ")
    assert not list(tmp_path.glob("ai_runs/*"))


def test_what_is_allowed_is_on_record_and_holds_for_the_retry(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "mips", "forbidden")
    arguments = ("--allow", "personality", "--rootfs", str(root), "/bin/forbidden")
    first = triage_json(tmp_path, "run", *OPTIONS, *arguments)["rounds"][0]
    for retried in (False, True):
        if retried:
            triage_json(tmp_path, "retry", first["run_id"])
        snapshot = triage_json(tmp_path, "show", "last")["snapshot"]
        assert "allowed by the person who started it: personality" in snapshot["engine"]["contained"]
        trace = load_run(tmp_path / "ai_runs" / snapshot["run_id"]).trace()
        assert [call.ret for call in trace if call.name == "personality"] == [0]
