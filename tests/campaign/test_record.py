"""What a campaign keeps is read again whole, also while it grows, after a crash, and from elsewhere."""

import os
from pathlib import Path

import jsonschema
import msgspec
import pytest

from tests.campaign.states import on_disk, small
from triage_tui.campaign.beginning import interrupted
from triage_tui.campaign.model import Campaign, Options, Outcome, Progress, Target, higher
from triage_tui.campaign.record import (
    ProgressLog,
    campaign_dir,
    create,
    held,
    is_held,
    read_campaign,
    write_campaign,
)
from triage_tui.campaign.schema import SCHEMAS, schema
from triage_tui.errors import Conflict, TriageError
from triage_tui.retry.workspace import Workspace

RUN = "20260131_020000_00000001"


def target(number: int) -> Target:
    return Target(target=f"{number:016x}", name=f"httpd{number}", root="/r", program="/bin/httpd")


def begun(workspace: Path, targets: int = 3) -> Path:
    campaign = Campaign(id="", started="2026-01-31T02:00:00+00:00", options=Options())
    return create(workspace, campaign, [target(number) for number in range(targets)])


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_published_schemas_are_the_ones_in_use(name: str) -> None:
    published = Path(__file__).parents[2] / "docs" / "schemas" / f"{name}.schema.json"
    assert msgspec.json.decode(published.read_bytes()) == schema(name), "triage_tui.campaign.schema"


def test_the_last_that_happened_to_a_target_counts_and_growth_is_read_alone(tmp_path: Path) -> None:
    directory = begun(tmp_path)
    log = ProgressLog(directory)
    log.add(Progress(event="started", target=target(0).target, worker="w1"))
    log.add(Progress(event="started", target=target(1).target, worker="w2"))
    log.add(Progress(event="lost", target=target(1).target, error="its worker died"))
    first = read_campaign(directory)
    assert dict(first.counts()) == {"started": 1, "lost": 1, "waiting": 1}
    log.add(Progress(event="finished", target=target(0).target, outcome=Outcome(runs=[RUN], word="resolved")))
    log.close()
    state = read_campaign(directory, first)
    assert [one.target for one in state.unfinished()] == [target(1).target, target(2).target]
    assert (found := state.outcome(target(0).target)) is not None
    assert found.runs == [RUN]
    assert state.offset == (directory / "progress.jsonl").stat().st_size > first.offset
    for name, file in (("campaign-target", "targets.jsonl"), ("campaign-progress", "progress.jsonl")):
        for line in (directory / file).read_bytes().splitlines():
            jsonschema.validate(msgspec.json.decode(line), schema(name))
    jsonschema.validate(msgspec.json.decode((directory / "campaign.json").read_bytes()), schema("campaign"))


def test_half_a_line_of_a_killed_writer_hides_nothing(tmp_path: Path) -> None:
    directory = begun(tmp_path)
    with (directory / "progress.jsonl").open("ab") as stream:
        stream.write(b'{"event": "finis')
    state = read_campaign(directory)
    assert (state.offset, state.problems) == (0, [])
    log = ProgressLog(directory)
    log.add(Progress(event="lost", target=target(2).target))
    log.close()
    state = read_campaign(directory)
    assert state.counts()["lost"] == 1
    assert state.problems == ["1 line of progress.jsonl cannot be read and was passed over"]


def test_a_campaign_from_elsewhere_is_read_with_care(tmp_path: Path) -> None:
    directory = begun(tmp_path)
    hostile = Progress(
        event="finished", target=target(0).target, outcome=Outcome(runs=["../../etc", RUN, "\x1b[2J"])
    )
    lines = [msgspec.json.encode(hostile), b"[1]", b"\xff\xfe", b"[" * 100_000, b"{}"]
    (directory / "progress.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    state = read_campaign(directory)
    assert (found := state.outcome(target(0).target)) is not None
    assert found.runs == [RUN]
    assert state.problems == ["4 lines of progress.jsonl cannot be read and were passed over"]
    os.unlink(directory / "progress.jsonl")
    os.mkfifo(directory / "progress.jsonl")
    assert "is not a regular file" in read_campaign(directory).problems[0]
    with pytest.raises(TriageError, match="no regular file"):
        ProgressLog(directory)
    (directory / "campaign.json").write_text('{"schema_version": 99, "id": "", "started": "", "options": {}}')
    with pytest.raises(TriageError, match="newer version"):
        read_campaign(directory)
    (directory / "campaign.json").write_text("{")
    with pytest.raises(TriageError, match="is damaged"):
        read_campaign(directory)


def test_one_process_at_a_time_works_on_a_campaign(tmp_path: Path) -> None:
    directory = begun(tmp_path)
    assert not is_held(directory)
    with held(directory):
        assert read_campaign(directory).running
        with pytest.raises(Conflict, match="at work in another process"), held(directory):
            pass
    assert not read_campaign(directory).running


def test_campaigns_are_named_by_the_end_of_their_id(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="begin one with `triage-tui campaign`"):
        campaign_dir(tmp_path, "last")
    one, other = begun(tmp_path), begun(tmp_path)
    assert campaign_dir(tmp_path, "last") == other
    assert campaign_dir(tmp_path, one.name[-3:]) == one
    with pytest.raises(TriageError, match="there is no campaign 'x'"):
        campaign_dir(tmp_path, "x")


def test_the_highest_rung_is_kept() -> None:
    assert higher(None, "runs") == "runs"
    assert higher("listens", "answers") == "answers"
    assert higher("healthy_exit", "unmasked") == "healthy_exit"


def test_targets_that_were_cut_off_are_missed(tmp_path: Path) -> None:
    state = on_disk(tmp_path, small())
    path = state.dir / "targets.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:40])
    found = read_campaign(state.dir)
    assert len(found.targets) == 3
    assert found.problems == [
        "targets.jsonl was cut: targets are missing",
        "progress.jsonl tells of 6 targets that targets.jsonl does not have",
    ]
    path.write_bytes(b"".join(lines))
    assert read_campaign(state.dir).problems == []


def test_a_campaign_that_was_killed_before_its_end_is_gone_on_with(tmp_path: Path) -> None:
    state = small()
    state.targets = state.targets[:8]
    state.last = {name: one for name, one in state.last.items() if one.event != "cancelled"}
    killed = on_disk(tmp_path, state, ended=False)
    workspace, options = Workspace(tmp_path), killed.campaign.options
    assert interrupted(workspace, killed.targets, options) == killed.dir
    killed.campaign.finished = "2026-01-31T02:10:00+00:00"
    write_campaign(killed.dir, killed.campaign)
    assert interrupted(workspace, killed.targets, options) is None
