"""Nothing is ever written outside of the rulebook and the run, whatever names and links there are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.retry.decisions import FILES, TARGET, actions, copied, memory_directory, text_of, workspace_at
from triage_tui.errors import TriageError
from triage_tui.retry.pending_model import PENDING_DIR
from triage_tui.retry.rules import proposed
from triage_tui.retry.settling import settle
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, patches
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.packs import imported as packs

HOSTILE = (
    "..",
    ".",
    "",
    "/",
    "/etc/x.lua",
    "../x.lua",
    "syscall/../../x.lua",
    "syscall/..\\x.lua",
    "fix/syscall/../../../x.lua",
    "fix/syscall/x.lua/../../../../x.lua",
    "fix//syscall/x.lua",
    "fix/syscall/openat.lua\0",
    "fix/syscall/openat.lua\n",
    "fix/syscall/.openat.lua",
    "fix/syscall/openat@../x.lua",
    "fix/syscall/openat@a/b.lua",
    "FIX/SYSCALL/OPENAT.LUA",
    "fix/syscall/" + "a" * 5000 + ".lua",
    "file:///etc/x.lua",
    "~/x.lua",
    "$HOME/x.lua",
    "rules_patch/fix/syscall/openat.lua",
    "\u202efix/syscall/x.lua",
    "fix/syscall/öpenat.lua",
)
PIECES = st.sampled_from(
    ["..", ".", "fix", "observe", "syscall", "openat.lua", "openat@a.lua", "x", "\0", "a b"]
)
NAMES = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=6).map("/".join), st.sampled_from(HOSTILE))


def everything(directory: Path) -> dict[str, str]:
    """Every name below a directory, with what it holds or leads to."""
    found = {}
    for parent, directories, files in os.walk(directory):
        for name in directories + files:
            path = Path(parent, name)
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            else:
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return found


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with memory_directory() as root:
        workspace_at(root / "workspace")
        yield root


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(name="../x.lua", target="..")
@given(name=NAMES, target=NAMES)
def test_no_name_leads_out(place: Path, name: str, target: str) -> None:
    workspace = Workspace(place / "workspace")
    (run_dir,) = workspace.runs_dir.iterdir()
    rulebook = workspace.rulebook
    before = everything(place)
    told = []
    for write in (
        lambda: patches.write_rule(run_dir, name, text_of("openat")),
        lambda: patches.remove_leftovers(run_dir, name),
        lambda: generations.activate(
            workspace.rulebook_dir(target), add={name: text_of("openat")}, actor="a", reason="r"
        ),
        lambda: generations.activate(
            workspace.rulebook_dir(target), add={"syscall/openat.lua": b"x"}, actor="a", reason="r"
        ),
        lambda: packs.kept(rulebook, name),
        lambda: settle(workspace.root),
    ):
        try:
            write()
        except (TriageError, OSError) as error:
            told.append(str(error))
    assert workspace.rulebook_dir(target).parent == rulebook
    after = everything(place)
    inside = (f"{rulebook}/", f"{run_dir}/rules_patch/")
    changed = {one for one in before.keys() | after.keys() if before.get(one) != after.get(one)}
    assert all(one.startswith(inside) or one == str(rulebook) for one in changed), changed


def link_target(root: Path, outside: Path) -> None:
    (root / "rulebook" / TARGET).symlink_to(outside)


def link_generations(root: Path, outside: Path) -> None:
    (root / "rulebook" / TARGET).mkdir()
    (root / "rulebook" / TARGET / "generations").symlink_to(outside)


def link_audit(root: Path, outside: Path) -> None:
    (root / "rulebook" / audit_log.AUDIT_DIR).symlink_to(outside)


def link_pending(root: Path, outside: Path) -> None:
    (root / "rulebook" / PENDING_DIR).symlink_to(outside)


def link_current(root: Path, outside: Path) -> None:
    (root / "rulebook" / TARGET).mkdir()
    (root / "rulebook" / TARGET / "current").symlink_to(outside)


def link_rules(root: Path, outside: Path) -> None:
    (run_dir,) = (root / "ai_runs").iterdir()
    os.rename(run_dir / "rules_patch", root / "aside")
    (run_dir / "rules_patch").symlink_to(outside)


def link_log(root: Path, outside: Path) -> None:
    (run_dir,) = (root / "ai_runs").iterdir()
    os.rename(run_dir / "events.jsonl", outside / "events.jsonl")
    (run_dir / "events.jsonl").symlink_to(outside / "events.jsonl")


@pytest.mark.parametrize(
    "plant",
    [link_target, link_generations, link_audit, link_pending, link_current, link_rules, link_log],
)
def test_no_link_leads_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[[Path, Path], None]
) -> None:
    monkeypatch.setattr(proposed, "check_rule", lambda *_: None)
    outside = tmp_path / "outside"
    (outside / "syscall").mkdir(parents=True)
    (outside / "old.tmp").write_text("mine")
    root = tmp_path / "workspace"
    run_id = workspace_at(root)
    (root / "rulebook").mkdir()
    plant(root, outside)
    before = everything(outside)
    with pytest.raises(TriageError):
        actions(root).approve(run_id, [FILES[0]])
    assert everything(outside) == before
    if plant not in (link_audit, link_pending, link_log):
        assert Workspace.at(root).load(run_id).state == "proposed"
    assert everything(outside) == before


def test_a_copy_is_decided_on_by_itself() -> None:
    """A workspace that is a copy of another leaves the other alone."""
    with memory_directory() as directory:
        run_id = workspace_at(directory / "one")
        actions(directory / "one").approve(run_id, [FILES[0]])
        copied(directory / "one", directory / "two")
        before = everything(directory / "one")
        actions(directory / "two").rollback(run_id)
        assert everything(directory / "one") == before
