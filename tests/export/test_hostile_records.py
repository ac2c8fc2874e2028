"""Records that lie about where things are, are huge or go in circles: what an export makes of them."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tests.export.places import RUN, exported
from tests.ui import fixtures
from triage_tui.runs.reader import MAX_TEXT_BYTES, load_run
from triage_tui.runs.writer import encode_json


def changed(workspace: Path, name: str, **fields: object) -> Path:
    """Change fields of a JSON file of the run and return the run."""
    run_dir = workspace / "ai_runs" / RUN
    data = msgspec.json.decode((run_dir / name).read_bytes())
    data.update(fields)
    (run_dir / name).write_bytes(encode_json(data))
    return run_dir


def test_names_that_lead_out_are_not_followed(workspace: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not-for-you\n")
    run = load_run(workspace / "ai_runs" / RUN)
    assert run.diagnosis
    out = os.path.relpath(secret, run.dir)
    run.diagnosis.proposals[0].files = [f"../{out}", str(secret), "fix/syscall/link.lua"]
    (run.dir / "rules_patch/fix/syscall/link.lua").symlink_to(secret)
    (run.dir / "diagnosis.json").write_bytes(encode_json(run.diagnosis))
    run.snapshot.guest_output = f"logs/../{out}"
    for entry in run.snapshot.backtrace.pseudocode_index:
        entry.file = f"pseudocode/../{out}"
    for thing in run.snapshot.memory:
        if thing.blob:
            thing.blob.file, thing.blob.sha256 = out, ""
    (run.dir / "snapshot.json").write_bytes(encode_json(run.snapshot))
    (run.dir / "verdict.json").symlink_to(secret)
    for path in (exported(workspace), exported(workspace, "html")):
        text = path.read_text()
        assert "not-for-you" not in text
        assert "so it was refused" in text
    assert b"not-for-you" not in exported(workspace, "json", memory=True).read_bytes()


def test_fifos_and_devices_do_not_hold_an_export_up(workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / RUN
    for name in ("logs/guest.log", "trace.jsonl", "events.jsonl", "pseudocode/frame01_0x431e4c.txt"):
        (run_dir / name).unlink()
        os.mkfifo(run_dir / name)
    (run_dir / "verdict.json").symlink_to("/dev/zero")
    assert "is not a regular file" in exported(workspace).read_text()
    assert exported(workspace, "json").stat().st_size > 500


def test_deep_and_huge_json_costs_its_part_only(workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / RUN
    (run_dir / "verdict.json").write_text("[" * 200_000)
    (run_dir / "events.jsonl").write_text('{"a":' * 100_000 + "\n")
    with (run_dir / "diagnosis.json").open("wb") as stream:
        stream.truncate(1 << 40)
    text = exported(workspace).read_text()
    assert "There is no diagnosis of this run" in text
    assert "## System calls" in text


def test_of_an_endless_log_the_end_is_there(workspace: Path) -> None:
    log = workspace / "ai_runs" / RUN / "logs" / "guest.log"
    log.write_bytes(b"udhcpc: begin\n" + b"\0" * (2 * MAX_TEXT_BYTES) + b"\nlast words\n")
    text = exported(workspace).read_text()
    assert "last words" in text
    assert len(text) < 1 << 20


def test_rounds_that_go_in_circles_end(workspace: Path) -> None:
    run = changed(workspace, "snapshot.json", parent_run=fixtures.RETRY_RUN)
    events = [("captured", {}), ("retry_finished", {"run": RUN, "verdict": "resolved"})]
    fixtures.write_events(run, events)
    assert exported(workspace).read_text().count(fixtures.RETRY_RUN) < 10


def test_a_report_stays_short_enough_to_read(workspace: Path) -> None:
    run = load_run(workspace / "ai_runs" / RUN)
    assert run.diagnosis
    best = run.diagnosis.hypotheses[0]
    best.explanation = "word " * 40_000
    best.evidence = best.evidence * 50
    run.diagnosis.hypotheses = [best] * 100
    (run.dir / "diagnosis.json").write_bytes(encode_json(run.diagnosis))
    text = exported(workspace).read_text()
    assert len(text) < 2 << 20
    assert "more claims are left out here" in text
