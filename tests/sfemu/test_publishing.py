"""What is approved is published for SFEmu, and taken back byte for byte."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.killing import Kill, carried_out
from tests.retry import sequences
from tests.retry.decisions import (
    FILES,
    TARGET,
    actions,
    check_nothing_left,
    copied,
    memory_directory,
    text_of,
    workspace_at,
)
from tests.retry.sequences import Counted, Decision, play
from tests.sfemu.loader import Loader
from tests.sfemu.records import rules_directory, write_run
from tests.sfemu.scenes import mips_scene
from triage_tui.cli.main import main
from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.rules import proposed
from triage_tui.retry.rules.named_rules import Unread, named
from triage_tui.retry.rules.rule_checks import check_named
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, patches
from triage_tui.sfemu import published_files, publishing, rules_dir
from triage_tui.sfemu.asked import asked_as
from triage_tui.sfemu.rule_text import MARK
from triage_tui.ui.generation_rows import rulebook_rows
from triage_tui.ui.rulebook_state import read_rulebook

USER = "syscall_override_user"
BASELINE = b"function do_syscall(num, a1)\n  return a1 == 7, 77\nend\n"


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the check of a rule, which starts a process for each approval."""
    for check in ("first_error", "check_rule"):
        monkeypatch.setattr(proposed, check, lambda *_: None)


def made(root: Path, version: int = 6, config: str = "") -> tuple[Path, str]:
    """Make a rule directory with rules of theirs and a run of ours beside it; return both."""
    rules = rules_directory(root / "rules", version, config)
    (rules / "syscall" / "openat.lua").write_bytes(BASELINE)
    found = rules_dir.find(rules)
    assert found is not None
    home = rules_dir.made_home(found)
    (home / "target_id").write_text(f"{TARGET}\n")
    return rules, workspace_at(home)


def theirs(rules: Path) -> dict[str, bytes | None]:
    """Return everything in a rule directory but our workspace: directories are None."""
    found: dict[str, bytes | None] = {}
    for parent, directories, files in os.walk(rules):
        if parent.endswith("triage_tui"):
            directories.clear()
            continue
        for name in directories:
            found[os.path.relpath(os.path.join(parent, name), rules)] = None
        for name in files:
            path = Path(parent, name)
            found[os.path.relpath(path, rules)] = b"" if path.is_symlink() else path.read_bytes()
    return {name: data for name, data in found.items() if not name.endswith("triage_tui")}


def ann(rules: Path) -> LocalActions:
    return actions(rules)


def answering(call: str, ret: int, more: str = "") -> bytes:
    return text_of(call).replace(b"return 0, 0", f"{more}\n  return a1 == 1, {ret}".encode())


def propose(rules: Path, run_id: str, name: str, text: bytes) -> None:
    patches.write_rule(Workspace.at(rules).run_dir(run_id), name, text)


THEIRS = b"""local file = io.open('/etc/none', 'rb')
function do_syscall(num, a1)
  return a1 == 1, 44
end
"""


def test_a_rule_of_their_model_is_approved_when_it_is_wanted_with_its_powers(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path)
    name = "fix/syscall/openat.lua"
    (Workspace.at(rules).run_dir(run_id) / "rules_patch" / name).write_bytes(THEIRS)
    with pytest.raises(Conflict, match="it uses io: it acts with all rights of SFEmu"):
        ann(rules).approve(run_id, [name])
    ann(rules).approve(run_id, [name], anyway=True)
    assert Loader(rules).call("openat", 5, 1) == (True, 44)
    # What was edited takes the place of what was approved from the same file.
    said = ann(rules).save_edit(run_id, name, THEIRS.replace(b"44", b"45").decode())
    assert said == f"the edit of {name} is saved"
    ann(rules).approve(run_id, [name], anyway=True)
    active = generations.current(Workspace.at(rules).rulebook_dir(TARGET))
    assert active is not None
    assert len(active.files) == 1
    assert Loader(rules).call("openat", 5, 1) == (True, 45)
    ann(rules).rollback(run_id)
    assert Loader(rules).call("openat", 5, 1) == (True, 44)


ENTRY = """local names = {
    [291] = "recv",
    [142] = 'select',
}
function entry(name, num) return names[num], do_syscall end
"""


def test_a_rule_is_published_by_the_name_by_which_it_is_asked_and_one_that_never_is_has_to_be_wanted(
    tmp_path: Path, unchecked: None
) -> None:
    rules, run_id = made(tmp_path)
    (rules / "entry.lua").write_text(ENTRY)
    propose(rules, run_id, "fix/syscall/mkdirat@x.lua", answering("mkdirat", 3))
    with pytest.raises(Conflict, match="it is for mkdirat, and SFEmu has no name for that call"):
        ann(rules).approve(run_id, ["fix/syscall/mkdirat@x.lua"])
    found = rules_dir.find(rules)
    assert found is not None
    names = found.named_by_number
    assert names == {291: "recv", 142: "select"}
    told = [
        (call, arch, asked_as(call, arch, names))
        for call, arch in (
            ("epoll_create1", "x86_64"),
            ("recv", "arm"),
            ("recv", "mips"),
            ("_newselect", "arm"),
            ("openat", "mips"),
            ("recv", ""),
            ("mkdirat", ""),
        )
    ]
    assert [name for *_, name in told] == ["recv", "recv", "", "select", "openat", "recv", ""]
    # Of another script than SFEmu's nothing is claimed.
    (rules / "entry.lua").write_text("function entry() return false, 0 end\n")
    assert rules_dir.RulesDirectory(rules, {}).named_by_number is None
    ann(rules).approve(run_id, ["fix/syscall/mkdirat@x.lua"])
    assert (rules / USER / "mkdirat.lua").is_file()


@pytest.mark.parametrize("way", ['_G["o" .. "s"]', '_ENV["o" .. "s"]'])
def test_powers_that_are_had_without_their_names_have_to_be_wanted_too(tmp_path: Path, way: str) -> None:
    rules, run_id = made(tmp_path)
    name = "fix/syscall/openat.lua"
    text = f"local library = {way}\nfunction do_syscall() library.execute('true') return 0, 0 end\n"
    (Workspace.at(rules).run_dir(run_id) / "rules_patch" / name).write_text(text)
    with pytest.raises(Conflict, match="acts with all rights of SFEmu"):
        ann(rules).approve(run_id, [name])


def test_what_our_rule_host_has_not_is_no_error_there_and_what_sfemu_has_not_is(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path)
    workspace = Workspace.at(rules)
    propose(rules, run_id, FILES[0], answering("openat", 11, "io.open('/x')"))
    (workspace.run_dir(run_id) / "rules_patch/fix/syscall/openat.lua").write_bytes(THEIRS)
    propose(rules, run_id, FILES[1], answering("ioctl", 11, "c_connect_peer(a1)"))
    unread: list[Unread] = []
    found = check_named(workspace, named(workspace, [run_id], unread), run_them=True)
    errors = {
        name.split(":")[1]: [one.code for one in findings if one.severity == "error"]
        for name, findings in found.items()
    }
    assert errors == {
        FILES[0]: ["forbidden"],
        FILES[1]: ["not-there"],
        FILES[2]: [],
        "fix/syscall/openat.lua": [],
    }


@pytest.mark.usefixtures("unchecked")
def test_an_approved_rule_acts_and_what_it_hides_is_asked(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path)
    before = theirs(rules)
    propose(rules, run_id, FILES[0], answering("openat", 11))
    sfemu = Loader(rules)
    assert sfemu.call("openat", 5, 1) == (False, 0)
    said = ann(rules).approve(run_id, [FILES[0]])
    assert f"published as {USER}/openat.lua" in said
    started = Loader(rules)
    assert [started.call("openat", 5, value) for value in (1, 7, 0)] == [(True, 11), (True, 77), (False, 0)]
    changed = theirs(rules)
    assert changed.keys() - before.keys() == {USER, f"{USER}/openat.lua"}
    assert {name: changed[name] for name in before} == before
    said = ann(rules).rollback(run_id)
    assert f"{USER}/openat.lua taken away" in said
    assert theirs(rules) == before
    assert not (rules / "cache/triage_tui/published.json").exists()


@pytest.mark.usefixtures("unchecked")
def test_rules_for_one_syscall_become_one_file(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path)
    second = answering("openat", 22).replace(b"id: openat-1", b"id: openat-2").replace(b"a1 == 1", b"a1 <= 2")
    propose(rules, run_id, FILES[0], answering("openat", 11))
    propose(rules, run_id, "fix/syscall/openat@openat-2.lua", second)
    ann(rules).approve(run_id, [FILES[0]])
    ann(rules).approve(run_id, ["fix/syscall/openat@openat-2.lua"], anyway=True)
    assert [path.name for path in (rules / USER).iterdir()] == ["openat.lua"]
    assert [Loader(rules).call("openat", 5, value) for value in (1, 2)] == [(True, 11), (True, 22)]
    ann(rules).rollback(run_id)
    assert [Loader(rules).call("openat", 5, value) for value in (1, 2)] == [(True, 11), (False, 0)]


def refused(rules: Path, run_id: str, match: str, kind: type[TriageError] = Conflict) -> None:
    """Approve, and check that it is refused with nothing changed but the workspace's own books."""
    before, active = theirs(rules), generations.current(Workspace.at(rules).rulebook_dir(TARGET))
    with pytest.raises(kind, match=match) as told:
        ann(rules).approve(run_id, [FILES[0]])
    assert "\n" not in str(told.value)
    assert theirs(rules) == before
    now = generations.current(Workspace.at(rules).rulebook_dir(TARGET))
    assert (now and now.number) == (active and active.number)
    check_nothing_left(Workspace.at(rules).root)


@pytest.mark.usefixtures("unchecked")
def test_a_persons_file_is_never_overwritten(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path)
    (rules / USER).mkdir()
    own = rules / USER / "openat.lua"
    own.write_text("function do_syscall(num, a1) return a1 == 3, 33 end\n")
    refused(rules, run_id, "move it to syscall_override/openat.lua, where the published rule asks it")
    model = rules / "syscall_override" / "openat.lua"
    model.write_bytes(BASELINE)
    refused(rules, run_id, "so nothing was changed: rename it first, or put the rule into it by hand")
    model.unlink()
    own.rename(model)
    propose(rules, run_id, FILES[0], answering("openat", 11))
    ann(rules).approve(run_id, [FILES[0]])
    assert [Loader(rules).call("openat", 5, value) for value in (1, 3)] == [(True, 11), (True, 33)]
    ann(rules).rollback(run_id)
    assert (rules / USER).is_dir(), "it was there before"


@pytest.mark.usefixtures("unchecked")
def test_a_published_file_that_was_changed_by_hand_stays(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path)
    ann(rules).approve(run_id, [FILES[0]])
    path = rules / USER / "openat.lua"
    path.write_bytes(path.read_bytes() + b"-- mine\n")
    propose(rules, run_id, FILES[0], answering("openat", 12))
    refused(rules, run_id, "was changed by hand since it was published")
    with pytest.raises(Conflict, match="changed by hand"):
        ann(rules).rollback(run_id)
    path.unlink()
    ann(rules).approve(run_id, [FILES[0]])
    assert Loader(rules).call("openat", 5, 1) == (True, 12)


@pytest.mark.usefixtures("unchecked")
def test_a_file_that_sfemu_would_find_first_refuses(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "openat.lua").write_bytes(BASELINE)
    rules, run_id = made(tmp_path, config=f"SFEMU_RULES_OVERRIDE_DIR={shared}:mine:syscall_override_user\n")
    refused(rules, run_id, "shared/openat.lua would hide mine/openat.lua")
    (shared / "openat.lua").unlink()
    ann(rules).approve(run_id, [FILES[0]])
    assert sorted(shared.iterdir()) == []
    assert (rules / "mine" / "openat.lua").read_bytes().startswith(MARK)
    ann(rules).rollback(run_id)
    assert not (rules / "mine").exists()


@pytest.mark.usefixtures("unchecked")
def test_the_first_version_has_one_directory(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path, version=1)
    refused(rules, run_id, "syscall/openat.lua is not ours and is never overwritten")
    ann(rules).approve(run_id, [FILES[1]])
    assert (rules / "syscall" / "ioctl.lua").read_bytes().startswith(MARK)
    ann(rules).rollback(run_id)
    assert [path.name for path in (rules / "syscall").iterdir()] == ["openat.lua"]


@pytest.mark.parametrize("link", [USER, f"{USER}/openat.lua"])
def test_links_lead_nowhere(tmp_path: Path, link: str) -> None:
    rules, run_id = made(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (rules / link).parent.mkdir(exist_ok=True)
    (rules / link).symlink_to(outside if link == USER else outside / "new.lua")
    refused(rules, run_id, "link", TriageError)
    assert list(outside.iterdir()) == []


def test_a_rule_that_cannot_run_there_is_refused(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path)
    propose(rules, run_id, FILES[0], answering("openat", 11, "c_connect_peer(a1)"))
    refused(rules, run_id, "c_connect_peer", TriageError)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("call", ["write", "mkdir"])
def test_no_room_and_no_permission_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    rules, run_id = made(tmp_path)
    mkdir = Path.mkdir

    def no_room(path: object, *args: object, **keywords: object) -> None:
        if call == "mkdir" and Path(str(path)).name != USER:
            mkdir(path, *args, **keywords)  # type: ignore[arg-type]
            return
        raise OSError(28, os.strerror(28), str(path))

    with monkeypatch.context() as patch:
        where: object = published_files if call == "write" else Path
        patch.setattr(where, "write_all" if call == "write" else "mkdir", no_room)
        refused(rules, run_id, "nothing was .*: .* cannot be written: No space left on device", TriageError)
    ann(rules).approve(run_id, [FILES[0]])
    assert Loader(rules).call("openat", 5, 7) == (True, 77)


@pytest.mark.usefixtures("unchecked")
def test_a_program_killed_before_the_names_are_given_is_settled(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path)
    before = theirs(rules)
    home = Workspace.at(rules).root
    for step, published in (("noted", False), ("activated", True)):
        ended, _ = carried_out(
            lambda step: LocalActions(Workspace.at(home), "ann", step).approve(run_id, [FILES[0]]),
            Kill(step=step),
        )
        assert ended == "killed"
        assert not (rules / USER / "openat.lua").exists()
        Workspace.at(rules)
        assert (rules / USER / "openat.lua").exists() == published
        if not published:
            assert theirs(rules) == before
    ann(rules).rollback(run_id)
    assert theirs(rules) == before


# Any sequence leaves the directory as it was


@pytest.fixture(scope="module")
def template() -> Iterator[tuple[Path, str]]:
    with memory_directory() as directory:
        yield directory / "template", made(directory / "template")[1]


_late_kills = sequences.decisions.flatmap(
    lambda one: st.integers(60, 140).map(lambda change: one._replace(kill=Kill(change=change)))
)
_sequences = st.builds(
    lambda first, others: [first, *others],
    sequences.approvals,
    st.lists(st.one_of(sequences.decisions, _late_kills), max_size=4),
)


@pytest.mark.usefixtures("unchecked")
@settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=_sequences)
def test_whatever_is_decided_all_is_as_it_was_once_it_is_rolled_back(
    template: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, sequence: list[Decision]
) -> None:
    root = copied(template[0], template[0].parent / "played")
    rules = root / "rules"
    before = theirs(rules)

    def check(home: Path) -> None:
        check_nothing_left(home)
        found = rules_dir.around(home)
        assert found is not None
        active = generations.current(home / "rulebook" / TARGET)
        published = {name: data for name, data in theirs(rules).items() if name not in before}
        assert {name: data for name, data in published.items() if data is not None} == publishing.wanted(
            found, active
        )
        assert {name for name, data in published.items() if data is None} == ({USER} if published else set())

    monkeypatch.setattr(sequences, "check_nothing_left", check)
    try:
        play(rules / "cache" / "triage_tui", template[1], sequence, Counted())
        assert theirs(rules) == before
    finally:
        shutil.rmtree(root)


# What SFEmu finds


@pytest.mark.usefixtures("unchecked")
def test_what_sfemu_finds_is_listed_with_what_hides_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, run_id = made(tmp_path)
    for place, call in ((USER, "read"), ("syscall_override", "read"), ("syscall", "read")):
        (rules / place).mkdir(exist_ok=True)
        (rules / place / f"{call}.lua").write_bytes(BASELINE + place.encode())
    for call in ("open", "ioctl"):
        (rules / "syscall" / f"{call}.lua").write_bytes(BASELINE)
        (rules / "syscall_override" / f"{call}.lua").write_bytes(b"-- \x1b[31m of the model\n")
    proposed_by = rules / "cache/ai_runs/20260131_020000_00000007/rules_patch/fix/syscall"
    proposed_by.mkdir(parents=True)
    (proposed_by / "ioctl.lua").write_bytes(b"-- \x1b[31m of the model\n")
    ann(rules).approve(run_id, [FILES[0]])
    assert main(["rules", "published", "-C", str(rules), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    asked = {one["path"]: (one["whose"], one["asked"]) for one in told["files"]}
    assert asked == {
        f"{USER}/openat.lua": ("ours", True),
        "syscall/openat.lua": ("baseline", True),
        f"{USER}/read.lua": ("person", True),
        "syscall_override/read.lua": ("model", False),
        "syscall/read.lua": ("baseline", False),
        "syscall_override/open.lua": ("model", True),
        "syscall/open.lua": ("baseline", False),
        "syscall_override/ioctl.lua": ("model", True),
        "syscall/ioctl.lua": ("baseline", False),
    }
    assert told["hides"] == [
        "syscall_override/ioctl.lua (of SFEmu's model, run 20260131_020000_00000007) hides syscall/ioctl.lua",
        "syscall_override/open.lua (of SFEmu's model, left over: no run here has it) hides syscall/open.lua",
        f"{USER}/read.lua (of a person) hides syscall_override/read.lua and syscall/read.lua",
    ]
    assert [one["rules"] for one in told["files"] if one["whose"] == "ours"] == [["openat-1"]]
    assert main(["rules", "published", "-C", str(rules)]) == 0
    assert "openat-1" in capsys.readouterr().out


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_follow_the_active_rules_is_told_and_published_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, run_id = made(tmp_path)
    ann(rules).approve(run_id, [FILES[0]])
    path = rules / USER / "openat.lua"
    text = path.read_bytes()
    path.unlink()
    assert main(["rules", "published", "-C", str(rules)]) == 1
    assert f"not there, although rules for it are active: {USER}/openat.lua" in capsys.readouterr().err
    assert main(["rules", "publish", "-C", str(rules)]) == 0
    assert path.read_bytes() == text
    path.write_bytes(text + b"-- mine\n")
    assert main(["rules", "published", "-C", str(rules)]) == 1
    assert "was changed by hand" in capsys.readouterr().err
    assert main(["rules", "publish", "-C", str(rules)]) == 1
    assert path.read_bytes() == text + b"-- mine\n"


def test_another_workspace_is_no_rule_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "published", "-C", str(tmp_path)]) == 2
    assert "is no rule directory of SFEmu" in capsys.readouterr().err


@pytest.mark.usefixtures("unchecked")
def test_show_and_the_sheet_of_rules_say_what_sfemu_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, run_id = made(tmp_path)
    (rules / "syscall" / "read.lua").write_bytes(BASELINE)
    (rules / "syscall_override" / "read.lua").write_bytes(BASELINE)
    ann(rules).approve(run_id, [FILES[0]])
    assert main(["show", run_id, "-C", str(rules)]) == 0
    out = capsys.readouterr().out
    assert f"published for SFEmu: {USER}/openat.lua" in out
    state = read_rulebook(Workspace.at(rules).root, TARGET)
    text = "\n".join("".join(part for part, _ in row.parts) for row in rulebook_rows(state, 100))
    assert "syscall_override/read.lua (of SFEmu's model, left over: no run here has it)" in text
    assert re.search(rf"hides syscall/read\.lua\n(?s:.*) asked +published +{USER}/openat\.lua", text)


def test_what_cannot_act_on_sfemu_stands_last_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = rules_directory(tmp_path / "rules")
    run_dir = write_run(rules, mips_scene())
    assert main(["show", run_dir.name, "-C", str(rules), "--json"]) == 0
    proposals = json.loads(capsys.readouterr().out)["diagnosis"]["proposals"]
    assert main(["diagnose", run_dir.name, "-C", str(rules)]) == 0
    assert main(["show", run_dir.name, "-C", str(rules), "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])["diagnosis"]["proposals"]
    assert [one["id"] for one in again] == [one["id"] for one in proposals]
    acts = [one["not_on_sfemu"] == "" for one in proposals]
    assert acts == sorted(acts, reverse=True)
    last = proposals[-1]
    assert "it is the configuration of a plugin" in last["not_on_sfemu"]
    assert main(["approve", run_dir.name, last["id"], "-C", str(rules)]) != 0
    assert "SFEmu has not; no proposal of this run acts there" in capsys.readouterr().err


@pytest.mark.usefixtures("unchecked")
def test_the_newer_select_of_arm_is_published_under_both_names(tmp_path: Path) -> None:
    rules, run_id = made(tmp_path)
    name = "fix/syscall/_newselect@openat-1.lua"
    propose(rules, run_id, name, answering("openat", 11))
    ann(rules).approve(run_id, [name])
    assert [Loader(rules).call(call, 142, 1) for call in ("select", "_newselect")] == [(True, 11), (True, 11)]
