"""A program that is run under a rule directory of SFEmu: what is approved is published, and acts there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sfemu.loader import LOADER
from tests.sfemu.records import rules_directory
from triage_tui.cli.main import main
from triage_tui.retry.sfemu_rules import published_start
from triage_tui.retry.start import SfemuRules, Start
from triage_tui.retry.workspace import Workspace
from triage_tui.sfemu import rules_dir
from triage_tui.sfemu.running import commands
from triage_tui.sfemu.target import known_id

ENTRY = f"""local function loads(...)
{LOADER}
end
loads(debug.getinfo(1, "S").source:match("@?(.*/)"), true, c_log)
local named = entry
function entry(name, ...)
  if name == nil then return false, 0 end
  return named(name, ...)
end
"""
"""Lookup and caches of the oldest version."""


def test_what_is_approved_is_published_and_acts_in_the_next_round(
    tmp_path: Path, rootfs: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rules = rules_directory(tmp_path / "rules")
    (rules / "entry.lua").write_text(ENTRY)
    program = ["--rootfs", str(rootfs("busybox-armhf")), "/bin/busybox", "cat", "/etc/no-such-file"]
    command = ["run", "--sfemu-rules", str(rules), "--trust", "--policy", "auto", *program]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "published as syscall_override_user/openat.lua" in said
    assert "verdict: resolved" in said
    found = rules_dir.find(rules)
    assert found is not None
    run = Workspace.at(rules).load("last")
    assert run.snapshot.target.target_id == known_id(found) != ""


def test_runs_belong_to_the_directory_in_its_own_workspace_only(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    start = Start(program="/bin/true", argv=["true"], sfemu=SfemuRules(directory=str(rules)))
    named, told = published_start(start, Workspace.at(rules))
    assert named.sfemu is not None
    assert (named.sfemu.target_id[:6], told) == ("rules-", "")
    (tmp_path / "other").mkdir()
    same, told = published_start(start, Workspace.at(tmp_path / "other"))
    assert (same, told) == (
        start,
        f"rules that are approved in this workspace do not act: {rules} has one of its own",
    )
    plain = Start(program="/bin/true", argv=["true"])
    assert published_start(plain, Workspace.at(rules)) == (plain, "")


def test_the_rules_of_a_run_are_listed_as_its_scripts_list_them(tmp_path: Path) -> None:
    (tmp_path / "below.lua").mkdir()
    for name in ("b.lua", "a.lua", "a.txt"):
        (tmp_path / name).touch()
    (tmp_path / "link.lua").symlink_to("a.lua")
    listing = f"find '{tmp_path}' -maxdepth 1 -type f -name \"*.lua\" 2>/dev/null"
    assert commands.run(listing) == (0, f"{tmp_path}/a.lua\n{tmp_path}/b.lua\n".encode())
    assert commands.run(f"find '{tmp_path}' -maxdepth 2 -type f") is None
    assert commands.run(f"find '{tmp_path}' -delete -maxdepth 1") is None
    assert commands.run("find '/nonexistent' -maxdepth 1") == (1, b"")
