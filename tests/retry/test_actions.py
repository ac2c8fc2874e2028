from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.runs.build import a_proposal, write_run
from triage_tui.cli.main import main
from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.rules import proposed
from triage_tui.retry.rules.proposed import best_proposal
from triage_tui.retry.start import SfemuRules, Start, write_start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, hunks
from triage_tui.rulebook.audit.check import check
from triage_tui.rulebook.choices import Approval, approval_of
from triage_tui.rulebook.hunks import compare, paragraphs
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.events import Event, append_event, this_process
from triage_tui.runs.listing import list_runs
from triage_tui.runs.reader import Run

RULE = b"""-- triage-rule: 1
-- id: %s
-- run: 20260101_000000_00000001
-- target: x-1
-- intent: give the program its file
-- match: openat path=/etc/x.conf
-- hit-limit: 3
-- effect: an empty file
-- risk: low
-- inverse: roll back
-- template: missing-file

function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)
  return 0, 0
end
"""

FILE = "fix/syscall/openat@fix-openat-1.lua"
TEXT = RULE % b"fix-openat-1"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def run(workspace: Workspace) -> Run:
    run_dir = write_run(workspace.runs_dir)
    syscalls = run_dir / "rules_patch" / "fix" / "syscall"
    syscalls.mkdir(parents=True)
    for rule_id in (b"fix-openat-1", b"fix-openat-2"):
        (syscalls / f"openat@{rule_id.decode()}.lua").write_bytes(RULE % rule_id)
    diagnosis = Diagnosis(
        run_id=run_dir.name,
        scene="missing_resource",
        headline="h",
        proposals=[
            a_proposal("watch", "observe/syscall/openat.lua", observe_only=True),
            a_proposal("ask", "fix/syscall/openat@fix-openat-2.lua", needs_input="the key"),
            a_proposal("supply", "fix/syscall/openat@fix-openat-1.lua"),
        ],
    )
    (run_dir / "diagnosis.json").write_bytes(msgspec.json.encode(diagnosis))
    append_event(run_dir, "captured", {})
    append_event(run_dir, "proposed", {})
    return workspace.load(run_dir.name)


def tree(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_the_best_proposal_acts_and_needs_nobody(run: Run) -> None:
    assert best_proposal(run).id == "supply"
    with pytest.raises(TriageError, match="proposes no rule"):
        best_proposal(run, skip=["supply"])


def test_approving_activates_exactly_the_file_that_was_shown(workspace: Workspace, run: Run) -> None:
    said = LocalActions(workspace, "ann").approve(run.run_id, [])
    assert "1 rule active" in said
    active = generations.current(workspace.rulebook_dir("x-1"))
    assert active is not None
    assert list(active.files) == ["syscall/openat@fix-openat-1.lua"]
    assert (active.directory / "syscall/openat@fix-openat-1.lua").read_bytes() == RULE % b"fix-openat-1"
    again = workspace.load(run.run_id)
    assert again.state == "applied"
    assert [event.actor for event in again.events[-2:]] == ["ann", "ann"]


def test_what_gets_in_the_way_of_active_rules_is_approved_only_when_it_is_wanted(
    workspace: Workspace, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    first = RULE.replace(b"return 0, 0", b"return 1, -13") % b"a-first"
    generations.activate(
        workspace.rulebook_dir("x-1"), add={"syscall/openat@a-first.lua": first}, actor="ann", reason="r"
    )
    edited = (RULE % b"fix-openat-1").replace(b"return 0, 0", b"return 1, -2")
    LocalActions(workspace, "ann").save_edit(run.run_id, FILE, edited.decode())
    before = tree(workspace.rulebook / "x-1")
    events = len(workspace.load(run.run_id).events)
    command = ["approve", "-C", str(workspace.root), run.run_id]
    assert main(command) == 2
    told = "nothing was approved yet: fix/syscall/openat@fix-openat-1.lua: the active rule a-first"
    assert f"{told} (path=/etc/x.conf) is for the same calls and asked first" in (
        err := capsys.readouterr().err
    )
    assert "--anyway approves all the same" in err
    assert (tree(workspace.rulebook / "x-1"), len(workspace.load(run.run_id).events)) == (before, events)
    assert main([*command, "--anyway"]) == 0
    assert "(generation 2), although fix/syscall/openat" in capsys.readouterr().out
    assert main(["audit", "show", "-C", str(workspace.root), "--run", run.run_id]) == 0
    assert "although fix/syscall/openat@fix-openat-1.lua: the active rule a-first" in capsys.readouterr().out


def test_rolling_back_gives_the_old_bytes_back(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace, "ann")
    target = workspace.rulebook_dir("x-1")
    generations.activate(
        target, add={"syscall/read@fix-read-1.lua": RULE % b"fix-read-1"}, actor="ann", reason="r"
    )
    before = tree(target / "current")
    actions.approve(run.run_id, [])
    assert tree(target / "current") != before
    actions.rollback(run.run_id)
    assert tree(target / "current") == before
    assert workspace.load(run.run_id).state == "rolled_back"


@pytest.mark.parametrize("by_run", [True, False])
def test_a_damaged_generation_can_be_left_for_the_one_before(
    workspace: Workspace, run: Run, by_run: bool
) -> None:
    actions = LocalActions(workspace, "ann")
    target = workspace.rulebook_dir("x-1")
    generations.activate(
        target, add={"syscall/read@fix-read-1.lua": RULE % b"fix-read-1"}, actor="ann", reason="r"
    )
    before = tree(target / "current")
    actions.approve(run.run_id, [])
    damaged = target / "generations" / "0002" / "manifest.json"
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(TriageError, match="damaged"):
        actions.approve(run.run_id, [])
    with pytest.raises(Conflict, match="generation 1 is not active any more, 2 is"):
        actions.go_to_generation("x-1", 1, seen=1)
    said = actions.rollback(run.run_id) if by_run else actions.go_to_generation("x-1", 1)
    assert "byte for byte" in said
    assert tree(target / "current") == before
    assert workspace.load(run.run_id).state == "rolled_back"
    assert check(workspace.rulebook, workspace.runs_dir).problems == [
        f"target x-1: {damaged} is damaged: Input data was truncated"
    ]


def test_rules_that_were_changed_by_hand_are_not_approved_once_more(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    actions.approve(run.run_id, [])
    (rule,) = (workspace.rulebook_dir("x-1") / "current" / "syscall").iterdir()
    rule.chmod(0o644)
    rule.write_bytes(rule.read_bytes() + b"-- more\n")
    with pytest.raises(Conflict, match=r"are damaged .* `triage-tui rollback x-1 --to N`"):
        actions.approve(run.run_id, [])


def test_rolling_back_the_first_rule_leaves_none(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    actions.approve(run.run_id, [])
    assert "no rule is active" in actions.rollback(run.run_id)
    assert generations.current(workspace.rulebook_dir("x-1")) is None
    actions.approve(run.run_id, [])
    assert workspace.load(run.run_id).state == "applied"


def test_an_older_run_cannot_take_back_a_later_generation(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    actions.approve(run.run_id, [])
    target = workspace.rulebook_dir("x-1")
    generations.activate(
        target, add={"syscall/read@fix-read-1.lua": RULE % b"fix-read-1"}, actor="bob", reason="r"
    )
    with pytest.raises(Conflict, match="is not active"):
        actions.rollback(run.run_id)


def test_only_the_generation_that_was_seen_is_rolled_back(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace, "ann")
    actions.approve(run.run_id, [])
    actions.rollback(run.run_id, seen=1)
    with pytest.raises(Conflict, match="generation 1 is not active any more, none is, so nothing was rolled"):
        actions.rollback(run.run_id, seen=1)
    actions.approve(run.run_id, [])
    (summary,) = list_runs(workspace.runs_dir)
    assert summary.generation == 2
    with pytest.raises(Conflict, match="2 of ann is"):
        actions.rollback(run.run_id, seen=1)
    assert "no rule is active" in actions.rollback(run.run_id, seen=summary.generation)
    assert list_runs(workspace.runs_dir)[0].generation == 0


def test_nothing_to_roll_back(workspace: Workspace, run: Run) -> None:
    with pytest.raises(TriageError, match="nothing to roll back"):
        LocalActions(workspace).rollback(run.run_id)


def test_what_only_a_person_has_is_never_applied_unfilled(workspace: Workspace, run: Run) -> None:
    with pytest.raises(TriageError, match="the key"):
        LocalActions(workspace).approve(run.run_id, ["fix/syscall/openat@fix-openat-2.lua"])
    assert generations.current(workspace.rulebook_dir("x-1")) is None


def test_approving_twice_is_told(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    actions.approve(run.run_id, [])
    with pytest.raises(Conflict, match="active already"):
        actions.approve(run.run_id, [])


def test_a_run_is_rejected_once_and_the_second_person_is_told(workspace: Workspace, run: Run) -> None:
    LocalActions(workspace, "ann").reject(run.run_id, "too broad")
    bob = LocalActions(workspace, "bob")
    with pytest.raises(Conflict, match=r"ann rejected run .* already \(too broad\)"):
        bob.reject(run.run_id, "not now")
    assert [event.kind for event in workspace.load(run.run_id).events].count("rejected") == 1
    # What is not his he cannot take back.
    with pytest.raises(TriageError, match="nothing of run"):
        bob.reconsider(run.run_id)


def test_a_run_that_somebody_decided_on_since_is_not_approved_unseen(workspace: Workspace, run: Run) -> None:
    LocalActions(workspace, "ann").reject(run.run_id, "too broad")
    with pytest.raises(Conflict, match=r"is rejected by now \(ann\), so nothing was approved"):
        LocalActions(workspace, "bob").approve(run.run_id, [], seen="proposed")
    assert generations.current(workspace.rulebook_dir("x-1")) is None
    LocalActions(workspace, "bob").approve(run.run_id, [], seen="rejected")


def test_an_approval_that_takes_no_effect_leaves_the_state_as_it_was(
    workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate = generations.activate

    def quicker(target: Path, **options: Any) -> generations.Generation:
        other = {"syscall/openat@fix-openat-9.lua": RULE % b"fix-openat-9"}
        activate(target, add=other, actor="bob", reason="r")
        return activate(target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(generations, "activate", quicker)
        with pytest.raises(Conflict):
            LocalActions(workspace, "ann").approve(run.run_id, [FILE])
    assert workspace.load(run.run_id).state == "proposed"
    assert LocalActions(workspace, "ann").approve(run.run_id, [FILE]).endswith("(generation 2)")


def shown(workspace: Workspace, run: Run, taken: set[int], file: str = FILE) -> Approval:
    active = generations.current(workspace.rulebook_dir("x-1"))
    return approval_of(file, proposed.difference(run.dir, file, active), taken)


def edited(workspace: Workspace, run: Run) -> bytes:
    """Approve a rule and edit it in two places; return the edited text."""
    LocalActions(workspace).approve(run.run_id, [FILE])
    text = TEXT.replace(b"hit-limit: 3", b"hit-limit: 9").replace(b"return 0, 0", b"return 1, -13")
    LocalActions(workspace).save_edit(run.run_id, FILE, text.decode())
    return text


def test_chosen_hunks_become_active_and_no_others(workspace: Workspace, run: Run) -> None:
    edited(workspace, run)
    said = LocalActions(workspace).approve_shown(run.run_id, [shown(workspace, run, {1})])
    assert said.startswith("1 rule with 1 of 2 hunks active")
    place = workspace.rulebook_dir("x-1") / "current/syscall/openat@fix-openat-1.lua"
    assert place.read_bytes() == TEXT.replace(b"return 0, 0", b"return 1, -13")
    approved = next(e for e in reversed(workspace.load(run.run_id).events) if e.kind == "approved")
    assert approved.payload["hunks"] == {FILE: [2]}


def test_decisions_are_undone_one_by_one_byte_for_byte(workspace: Workspace, run: Run) -> None:
    actions, current = LocalActions(workspace), workspace.rulebook_dir("x-1") / "current"
    text = edited(workspace, run)
    trees = [tree(current)]
    for taken in ({0}, {0}):
        actions.approve_shown(run.run_id, [shown(workspace, run, taken)])
        trees.append(tree(current))
    assert current.joinpath("syscall/openat@fix-openat-1.lua").read_bytes() == text
    for before in reversed(trees[:-1]):
        actions.rollback(run.run_id)
        assert tree(current) == before


def test_an_approval_of_somebody_else_is_not_undone(workspace: Workspace, run: Run) -> None:
    mine, other = LocalActions(workspace, "ann"), LocalActions(workspace, "bob")
    current = workspace.rulebook_dir("x-1") / "current"
    mine.approve(run.run_id, [FILE])
    text = TEXT.replace(b"hit-limit: 3", b"hit-limit: 9")
    other.save_edit(run.run_id, FILE, text.decode())
    other.approve(run.run_id, [FILE])
    with pytest.raises(Conflict, match=r"generation 1, .* generation 2 of bob is"):
        mine.undo_approval(run.run_id)
    assert current.joinpath("syscall/openat@fix-openat-1.lua").read_bytes() == text
    other.undo_approval(run.run_id)
    assert current.joinpath("syscall/openat@fix-openat-1.lua").read_bytes() == TEXT
    mine.undo_approval(run.run_id)
    assert generations.current(workspace.rulebook_dir("x-1")) is None
    with pytest.raises(TriageError, match="nothing was approved here"):
        mine.undo_approval(run.run_id)


def test_what_was_not_shown_is_not_approved(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    approval = shown(workspace, run, {0})
    actions.save_edit(run.run_id, FILE, TEXT.decode() + "-- more\n")
    with pytest.raises(Conflict, match="changed since it was shown"):
        actions.approve_shown(run.run_id, [approval])
    approval = shown(workspace, run, {0})
    target = workspace.rulebook_dir("x-1")
    generations.activate(target, add={"syscall/openat@fix-openat-1.lua": TEXT}, actor="bob", reason="r")
    with pytest.raises(Conflict, match="the active rule behind"):
        actions.approve_shown(run.run_id, [approval])
    with pytest.raises(TriageError, match="no hunk is chosen"):
        actions.approve_shown(run.run_id, [])


def test_a_broken_edit_is_kept_and_never_approved(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    said = actions.save_edit(run.run_id, FILE, TEXT.decode() + "x = = 1\n")
    assert "cannot be approved as it is" in said
    assert "line 16" in said
    with pytest.raises(TriageError, match="line 16"):
        actions.approve(run.run_id, [FILE])
    with pytest.raises(TriageError, match="line 16"):
        actions.approve_shown(run.run_id, [shown(workspace, run, {0})])
    assert generations.current(workspace.rulebook_dir("x-1")) is None


def test_a_part_that_is_no_rule_is_not_approved(workspace: Workspace, run: Run) -> None:
    difference = proposed.difference(run.dir, FILE, None)
    parts = compare(None, difference.new, paragraphs(difference, 0))
    with pytest.raises(TriageError, match="neither do_syscall nor after_syscall"):
        LocalActions(workspace).approve_shown(run.run_id, [approval_of(FILE, parts, {0})])


def test_an_edit_is_not_saved_over_another(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    actions.save_edit(run.run_id, FILE, TEXT.decode() + "-- one\n", hunks.digest_of(TEXT))
    with pytest.raises(Conflict, match="changed since it was shown"):
        actions.save_edit(run.run_id, FILE, TEXT.decode() + "-- two\n", hunks.digest_of(TEXT))
    assert (run.dir / "rules_patch" / FILE).read_bytes().endswith(b"-- one\n")


def test_what_a_person_filled_in_can_be_approved(workspace: Workspace, run: Run) -> None:
    actions, name = LocalActions(workspace), "fix/syscall/openat@fix-openat-2.lua"
    old = (RULE % b"fix-openat-2").decode()
    actions.save_edit(run.run_id, name, old + "-- the key is 7\n")
    assert "1 rule active" in actions.approve(run.run_id, [name])
    actions.save_edit(run.run_id, name, old)
    with pytest.raises(TriageError, match="the key"):
        actions.approve(run.run_id, [name])


def test_rejections_are_taken_back_one_by_one(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    actions.reject(run.run_id, "wrong cause")
    actions.drop(run.run_id, [f"{FILE}:1"], "too broad")
    assert workspace.load(run.run_id).state == "rejected"
    assert "rejected again" in actions.reconsider(run.run_id)
    assert "proposed again" in actions.reconsider(run.run_id)
    assert workspace.load(run.run_id).state == "proposed"
    with pytest.raises(TriageError, match="nothing of run"):
        actions.reconsider(run.run_id)


def test_a_rejection_of_somebody_else_stands(workspace: Workspace, run: Run) -> None:
    mine, other = LocalActions(workspace, "ann"), LocalActions(workspace, "bob")
    mine.reject(run.run_id, "wrong cause")
    # What was edited is proposed again, and another person may reject that.
    other.save_edit(run.run_id, FILE, TEXT.decode() + "-- more\n")
    other.reject(run.run_id, "too broad")
    assert "rejected again" in mine.reconsider(run.run_id)
    with pytest.raises(TriageError, match="nothing of run"):
        mine.reconsider(run.run_id)
    assert "proposed again" in other.reconsider(run.run_id)
    back = [e.payload["event"] for e in workspace.load(run.run_id).events if e.kind == "reconsidered"]
    refused = [e.event_id for e in workspace.load(run.run_id).events if e.kind == "rejected"]
    assert back == refused


def test_an_edit_is_kept_and_recorded(workspace: Workspace, run: Run) -> None:
    name = "fix/syscall/openat@fix-openat-1.lua"
    text = (RULE % b"fix-openat-1").decode().replace("return 0, 0", "return 1, -13")
    LocalActions(workspace, "ann").save_edit(run.run_id, name, text)
    LocalActions(workspace, "ann").approve(run.run_id, [name])
    active = workspace.rulebook_dir("x-1") / "current/syscall/openat@fix-openat-1.lua"
    assert b"return 1, -13" in active.read_bytes()
    assert [event.kind for event in workspace.load(run.run_id).events][-3:] == [
        "edited",
        "approved",
        "activated",
    ]


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "fix/syscall/../../x.lua", "/etc/x.lua", "fix/other.txt"]
)
def test_edits_stay_inside_the_run(workspace: Workspace, run: Run, name: str) -> None:
    with pytest.raises(TriageError):
        LocalActions(workspace).save_edit(run.run_id, name, (RULE % b"fix-openat-1").decode())


def test_rejecting_is_recorded_and_can_be_changed(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    actions.reject(run.run_id, "not here")
    assert workspace.load(run.run_id).state == "rejected"
    actions.approve(run.run_id, [])
    assert workspace.load(run.run_id).state == "applied"


def test_nobody_waits_for_a_decision(workspace: Workspace, run: Run) -> None:
    with pytest.raises(Conflict, match="does not wait"):
        LocalActions(workspace).decide(run.run_id, "end")


def test_a_dead_holder_is_told_and_recorded(workspace: Workspace, run: Run) -> None:
    append_event(run.dir, "captured", {"holder": {"pid": 2**22 - 1, "start": 1}})
    with pytest.raises(Conflict, match="is gone"):
        LocalActions(workspace).decide(run.run_id, "resume")
    assert workspace.load(run.run_id).events[-1].kind == "holder_lost"


def test_a_guest_under_a_rule_directory_of_sfemu_goes_on_with_that(workspace: Workspace, run: Run) -> None:
    rules = SfemuRules(directory="/fw/rules_examples")
    write_start(run.dir, Start(program="/bin/true", argv=["true"], sfemu=rules))
    append_event(run.dir, "captured", {"holder": this_process()})
    said = LocalActions(workspace).decide(run.run_id, "resume")
    assert said == "the guest goes on with the rule directory /fw/rules_examples"


def test_a_living_holder_gets_the_decision(workspace: Workspace, run: Run) -> None:
    append_event(run.dir, "captured", {"holder": this_process()})
    LocalActions(workspace).decide(run.run_id, "resume")
    assert workspace.load(run.run_id).events[-1].payload == {"action": "resume"}


def test_runs_are_found_by_ending_and_by_last(workspace: Workspace, run: Run) -> None:
    second = write_run(workspace.runs_dir)
    assert workspace.run_dir("last") == second
    assert workspace.run_dir(run.run_id[-3:]) == run.dir
    with pytest.raises(TriageError, match="there is no run"):
        workspace.run_dir("nothing")


def test_an_activation_that_was_cut_short_can_be_rolled_back(
    workspace: Workspace, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def killed(run_dir: Path, kind: str, *args: Any, **more: Any) -> Event:
        if kind == "activated":
            raise KilledError
        return append_event(run_dir, kind, *args, **more)

    with monkeypatch.context() as patched:
        patched.setattr("triage_tui.retry.pending.append_event", killed)
        with pytest.raises(KilledError):
            LocalActions(workspace).approve(run.run_id, [])
    assert generations.current(workspace.rulebook_dir("x-1")) is not None
    with pytest.raises(Conflict, match="active already"):
        LocalActions(workspace).approve(run.run_id, [])
    assert workspace.load(run.run_id).state == "applied"
    assert "no rule is active" in LocalActions(workspace).rollback(run.run_id)


def test_a_retry_that_cannot_be_started_is_one_sentence(workspace: Workspace, run: Run) -> None:
    with pytest.raises(TriageError, match=r"start\.json .* is missing"):
        LocalActions(workspace).retry(run.run_id)
    write_start(run.dir, Start(program="/bin/x", argv=["x"]))
    log = run.dir / "logs" / "retry-process.log"
    log.mkdir()
    with pytest.raises(TriageError, match="cannot be started again from here: Is a directory"):
        LocalActions(workspace).retry(run.run_id)


def test_what_was_rolled_back_is_not_rolled_back_again(workspace: Workspace, run: Run) -> None:
    actions = LocalActions(workspace)
    actions.approve(run.run_id, [])
    actions.rollback(run.run_id)
    with pytest.raises(Conflict, match=r"generation 1 of run .* is not active, no rule is$"):
        actions.rollback(run.run_id)


def test_a_rule_of_a_model_is_approved_by_itself_and_named_as_such(workspace: Workspace, run: Run) -> None:
    model = TEXT.replace(b"fix-openat-1", b"fix-read-3").replace(
        b"template:", b"proposed-by: model m\n-- template:"
    )
    left = model.replace(b"fix-read-3", b"fix-read-4")
    own = run.dir / "rules_patch/fix/syscall"
    (own / "read@fix-read-3.lua").write_bytes(TEXT.replace(b"fix-openat-1", b"fix-read-3"))
    # No proposal speaks of this one any more: its header still says whose it is.
    (own / "read@fix-read-4.lua").write_bytes(left)
    diagnosis = run.diagnosis
    assert diagnosis is not None
    diagnosis.proposals.append(a_proposal("idea", "fix/syscall/read@fix-read-3.lua", source="model"))
    # What the knowledge base proposes as well is no model's alone.
    diagnosis.proposals.append(a_proposal("same", FILE, source="model"))
    (run.dir / "diagnosis.json").write_bytes(msgspec.json.encode(diagnosis))
    actions = LocalActions(workspace, "ann")
    for name in ("read@fix-read-3.lua", "read@fix-read-4.lua"):
        with pytest.raises(TriageError, match=f"{name} was proposed by a model: read it"):
            actions.approve(run.run_id, [FILE, f"fix/syscall/{name}"])
    assert generations.current(workspace.rulebook_dir("x-1")) is None
    assert "by a model" not in actions.approve(run.run_id, [])
    assert ", proposed by a model, active" in actions.approve(run.run_id, ["fix/syscall/read@fix-read-4.lua"])
    assert "by a model" in actions.approve(run.run_id, ["fix/syscall/read@fix-read-3.lua"])
    approved = [
        event.payload.get("by") for event in workspace.load(run.run_id).events if event.kind == "approved"
    ]
    assert approved == [None, "model", "model"]
    generation = generations.current(workspace.rulebook_dir("x-1"))
    assert generation is not None
    assert generation.reason.endswith(", proposed by a model")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"return 1, c_errno('EACCES')", "an error is given as a negative number"),
        (
            b"if c_read_string(a2) == '/etc/x.conf' then return 1, a1 * 0 - 5000 end return 0, 0",
            "is no error",
        ),
        (b"c_write_bytes(a2 + 4096, 'x') return 0, 0", "which is no memory of an argument"),
    ],
)
def test_a_rule_that_does_harm_is_not_approved(
    workspace: Workspace, run: Run, body: bytes, told: str
) -> None:
    text = TEXT.replace(b"return 0, 0", body).replace(b"do_syscall()", b"do_syscall(num, a1, a2)")
    LocalActions(workspace).save_edit(run.run_id, FILE, text.decode())
    with pytest.raises(TriageError, match=told):
        LocalActions(workspace).approve(run.run_id, [FILE])
    assert not (workspace.rulebook_dir("x-1") / "current").exists()
