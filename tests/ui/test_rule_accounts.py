"""What the panes tell of the rules that were active: hits, cost, failures, and guest text made harmless."""

from __future__ import annotations

from pathlib import Path

from tests.ui import fixtures
from triage_tui.runs.model import RuleHit
from triage_tui.ui import patch_rows
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes import process, retry
from triage_tui.ui.rows import Row
from triage_tui.ui.run_view import RunView

BUSY = RuleHit(
    rule="fix-openat-busy",
    hits=2,
    syscall="openat",
    calls=40,
    errors=3,
    skipped=7,
    time_total_us=4000,
    time_max_us=900,
    state="disabled",
    disabled="it used more than 5000 instructions",
    on_failure="closed",
    asked_restart="\x1b[2Jnvram",
)


def view_with(workspace: Path, *hits: RuleHit) -> RunView:
    view = load_view(workspace / "ai_runs" / fixtures.EXIT_RUN, workspace)
    view.snapshot.rule_hits = list(hits)
    return view


def words(rows: list[Row]) -> str:
    return " ".join(" ".join(row.text for row in rows).split())


def test_process_and_retry_pane_tell_the_whole_account(workspace: Path) -> None:
    view = view_with(workspace, BUSY)
    for said in (words(process.process_rows(view, 80)), words(retry.retry_rows(view, 80))):
        assert "asked 40 times, 100 us each, 900 us at most, 3 errors" in said
        assert "skipped at 7 calls" in said
        assert "a failure answers the call with EPERM" in said
        assert "it used more than 5000 instructions" in said
        assert "it asks to start the program again" in said
        assert "\x1b" not in said


def test_the_retry_pane_sets_the_figures_beside_each_other_and_leads_to_the_evidence(workspace: Path) -> None:
    view = load_view(workspace / "ai_runs" / fixtures.RETRY_RUN, workspace)
    for width in (50, 78, 120):
        rows = retry.own_verdict(view, width)
        said = words(rows)
        assert "PROGRESSED new branch · the exit after ENODEV is gone syscall" in said
        assert "stopped by exit 1 sleep loop" in said
        assert "twice, still after 2.1 s" in said
        links = [link for row in rows for _, _, link in row.links]
        assert links == [view.verdict["links"][0]]
        assert max(len(row.text) for row in rows) <= width
    # What another version wrote has no figures that are known here.
    view.verdict["after"] = {"figures": 7}
    assert "stopped by" not in words(retry.own_verdict(view, 78))
    view.verdict["links"] = ["ev:syscall/77~000000000000", 7]
    assert not [link for row in retry.own_verdict(view, 78) for link in row.links]


def test_the_patch_pane_tells_what_a_proposed_rule_did_when_it_was_active(workspace: Path) -> None:
    view = view_with(workspace)
    view.proposals[0].files = ["fix/syscall/openat@fix-openat-3f2a91c0.lua"]
    assert "asked 1 time" not in words(patch_rows.patch_rows(view, patch_rows.shown_plainly(view), 80))
    view.snapshot.rule_hits = [
        RuleHit(rule="fix-openat-3f2a91c0", hits=1, calls=1, time_total_us=80, time_max_us=80)
    ]
    assert "1 hit, asked 1 time, 80 us each" in words(
        patch_rows.patch_rows(view, patch_rows.shown_plainly(view), 80)
    )


def test_an_old_run_without_accounts_is_told_as_before(workspace: Path) -> None:
    view = view_with(workspace, RuleHit(rule="old", hits=5, syscall="openat"))
    assert "asked" not in words(process.process_rows(view, 80))
    assert "Rules in this round" not in words(retry.retry_rows(view, 80))


def test_the_hits_of_a_proposal_are_those_of_its_edited_rule(workspace: Path) -> None:
    run = workspace / "ai_runs" / fixtures.EXIT_RUN
    before = load_view(run, workspace)
    assert patch_rows.hit_words(before, before.proposals[0]) == "at most 4 times"
    rule = run / "rules_patch" / before.proposals[0].files[0]
    text = rule.read_text()
    for line, said in (
        ("hit-limit: 1", "at most 1 time"),
        ("hit-limit: none", "no limit"),
        ("hit-limit: many", "not known: the header of the rule is broken"),
    ):
        rule.write_text(text.replace("hit-limit: 4", line))
        view = load_view(run, workspace)
        assert patch_rows.hit_words(view, view.proposals[0]) == said
