"""The rules that a target came to are active in the workspace, under the numbers that hold there."""

from pathlib import Path

from tests.campaign.build import target
from triage_tui.campaign.base_rules import copy_rulebook, rule_files, standing
from triage_tui.campaign.model import Options
from triage_tui.campaign.order import Order
from triage_tui.campaign.place import prepare
from triage_tui.campaign.rules_taken_in import same_rule, take_in_rules
from triage_tui.rulebook import generations
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.check import check
from triage_tui.runs.model import Target

PROGRAM = Target(program="/sbin/x", argv=["x"], arch="mipsel", target_id="x-1")


def rule(name: str, run: str = "20260131_020000_00000001", match: str = "openat path=/etc/x") -> bytes:
    header = f"-- triage-rule: 1\n-- id: {name}\n-- run: {run}\n-- match: {match}\n\n"
    return (header + "function do_syscall(num)\n  return 0, 0\nend\n").encode()


def activate(rulebook: Path, *names: str, **more: str) -> None:
    add = {f"syscall/openat@{name}.lua": rule(name, **more) for name in names}
    generations.activate(rulebook / "x-1", add=add, actor="policy:auto", reason="a test", run="r")


def place_of(campaign: Path, name: str) -> Path:
    rules = {f"x-1/{file}": data for file, data in rule_files(campaign / "rulebook" / "x-1")}
    place = campaign / "work" / name
    prepare(place, Order(campaign="c", target=target(1), options=Options(), rules=rules))
    return place / "rulebook"


def test_changes_are_made_again_under_the_same_numbers(tmp_path: Path) -> None:
    main, campaign = tmp_path / "rulebook", tmp_path / "campaign"
    activate(main, "fix-1")
    copy_rulebook(main, campaign)
    theirs = place_of(campaign, "a")
    assert standing(theirs / "x-1") == (1, [1])
    activate(theirs, "fix-2")
    generations.rollback(theirs / "x-1", 1, actor="policy:auto", reason="worse")
    activate(theirs, "fix-3")
    taken = take_in_rules(main, campaign, theirs, PROGRAM, "campaign c", print)
    assert taken.exact
    assert standing(main / "x-1") == standing(theirs / "x-1") == (3, [1, 2, 3])
    now = generations.current(main / "x-1")
    assert now is not None
    assert sorted(now.files) == ["syscall/openat@fix-1.lua", "syscall/openat@fix-3.lua"]
    kinds = [line.entry.kind for line in audit_log.read_log(main)[0] if line.entry]
    assert kinds == ["activated", "activated", "rolled_back", "activated"]
    # Once more, as after a crash: nothing is added.
    take_in_rules(main, campaign, theirs, PROGRAM, "campaign c", print)
    assert standing(main / "x-1") == (3, [1, 2, 3])
    assert check(main, tmp_path / "ai_runs").problems == []


def test_what_another_target_of_the_same_program_brought_is_not_brought_twice(tmp_path: Path) -> None:
    main, campaign = tmp_path / "rulebook", tmp_path / "campaign"
    copy_rulebook(main, campaign)
    one, other, third = (place_of_nothing(campaign, name) for name in ("a", "b", "c"))
    activate(one, "fix-1")
    activate(other, "fix-2", run="20260131_020000_00000009")
    activate(third, "fix-3", match="openat path=/etc/y")
    assert take_in_rules(main, campaign, one, PROGRAM, "campaign c", print).exact
    taken = take_in_rules(main, campaign, other, PROGRAM, "campaign c", print)
    assert not taken.exact
    assert standing(main / "x-1") == (1, [1]), "the same rule under another id"
    assert same_rule(taken, rule("fix-2"), "syscall/openat@fix-2.lua")
    assert not same_rule(taken, rule("fix-3", match="openat path=/etc/y"), "syscall/openat@fix-3.lua")
    taken = take_in_rules(main, campaign, third, PROGRAM, "campaign c", print)
    assert standing(main / "x-1") == (2, [1, 2])
    assert taken.generation is not None
    assert sorted(taken.generation.files) == ["syscall/openat@fix-1.lua", "syscall/openat@fix-3.lua"]


def place_of_nothing(campaign: Path, name: str) -> Path:
    place = campaign / "work" / name
    prepare(place, Order(campaign="c", target=target(1), options=Options()))
    return place / "rulebook"


def test_a_persons_own_file_is_never_replaced(tmp_path: Path) -> None:
    main, campaign = tmp_path / "rulebook", tmp_path / "campaign"
    copy_rulebook(main, campaign)
    theirs = place_of_nothing(campaign, "a")
    activate(theirs, "fix-1")
    mine = b"function do_syscall(num) return 0, 0 end\n"
    generations.activate(
        main / "x-1", add={"syscall/openat@fix-1.lua": mine}, actor="me", reason="mine", run=""
    )
    taken = take_in_rules(main, campaign, theirs, PROGRAM, "campaign c", print)
    assert not taken.exact
    now = generations.current(main / "x-1")
    assert now is not None
    assert (now.directory / "syscall/openat@fix-1.lua").read_bytes() == mine
