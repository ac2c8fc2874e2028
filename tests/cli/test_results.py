"""What commands print for scripts is what the published schemas say, also where they are refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import msgspec
import pytest

from tests.cli.strict import printed, validator
from tests.retry.decisions import FILES, text_of, workspace_at
from tests.runs.build import write_run
from triage_tui.cli.command_schemas import COMMANDS, schema
from triage_tui.cli.main import COMMANDS as ALL
from triage_tui.cli.main import main
from triage_tui.runs.events import append_event, this_process

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TRIAGE_TUI_WORKSPACE", str(tmp_path))
    return workspace_at(tmp_path)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_published_schemas_are_the_ones_in_use(name: str) -> None:
    published = DOCS / "schemas" / f"command-{name}.schema.json"
    assert msgspec.json.decode(published.read_bytes()) == schema(name), "triage_tui.cli.command_schemas"
    assert f"command-{name}" in (DOCS / "scripting.md").read_text()


def test_decisions_follow_their_schemas(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (listed,) = printed(capsys, "list")
    assert (listed["run_id"], listed["state"]) == (run, "proposed")
    (shown,) = printed(capsys, "show", run)
    assert shown["patch_files"] == sorted(FILES)
    (patch,) = printed(capsys, "show", run, "--section", "patch")
    first = patch["files"][0]
    (tmp_path / "new.lua").write_bytes(text_of("ioctl", 3))
    new = str(tmp_path / "new.lua")
    name = "fix/syscall/ioctl@ioctl-1.lua"
    (edited,) = printed(capsys, "edit", run, name, "--from", new)
    assert (edited["changed"], edited["problem"], edited["state"]) == (True, None, "proposed")
    assert edited["sha256"] != first["sha256"]
    (again,) = printed(capsys, "edit", run, name, "--from", new)
    assert (again["changed"], again["sha256"]) == (False, edited["sha256"])
    (rejected,) = printed(capsys, "reject", run, "-m", "too broad")
    assert rejected["state"] == "rejected"
    (approved,) = printed(capsys, "approve", run, "ioctl", "read")
    assert (approved["state"], len(approved["files"])) == ("applied", 2)
    (back,) = printed(capsys, "rollback", run)
    assert back["state"] == "rolled_back"
    (moved,) = printed(capsys, "rollback", run, "--to", "1", "--reason", "it was right")
    assert moved["target"] == "x-1"
    append_event(tmp_path / "ai_runs" / run, "captured", {"holder": this_process()})
    (decided,) = printed(capsys, "decide", run, "end")
    assert decided["run_id"] == run
    lines = printed(capsys, "watch", run, "--past", "--timeout", "0.1")
    assert [line["event"]["kind"] for line in lines][:4] == ["captured", "proposed", "edited", "rejected"]
    assert lines[-1]["event"]["payload"] == {"action": "end"}


def test_runs_go_out_and_come_back(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (told,) = printed(capsys, "export", run, "--format", "json")
    (one,) = told["exported"]
    other = str(tmp_path / "other")
    (back,) = printed(capsys, "import", "-C", other, one["file"])
    assert back["files"] > 3
    printed(capsys, "diagnose", "-C", other, back["run_id"])
    good, bad = printed(capsys, "diagnose", "-C", other, back["run_id"], "nothing", code=2)
    assert "after" in good
    assert bad["error"]["kind"] == "refused"


def test_what_stays_is_listed_and_checked_as_published(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, words, code in (
        ("golden-list", ["golden", "list"], 0),
        ("golden-check", ["golden", "check", "cat-nvram"], 0),
        ("stable-list", ["stable", "list"], 0),
        ("policy", ["policy", "show"], 0),
        ("policy", ["policy", "check"], 0),
    ):
        assert main([*words, "--json"]) == code
        for line in capsys.readouterr().out.splitlines():
            validator(name).validate(json.loads(line))
    (tmp_path / "mine.yaml").write_text("schema: 1\nauto: [{risks: [high]}]\n")
    assert main(["policy", "check", str(tmp_path / "mine.yaml"), "--json"]) == 2
    validator("error").validate(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["show", "nothing"], "refused", 2),
        (["show", "last", "--at", "x\x1b[2J"], "refused", 2),
        (["decide", "last", "end"], "conflict", 3),
        (["list", "--bogus\x1b[2J"], "usage", 2),
        (["decide", "last", "dance"], "usage", 2),
        (["approve"], "usage", 2),
        (["watch", "--until", "propsed"], "refused", 2),
        (["edit", "last", "--from", "/dev/zero"], "refused", 2),
        (["edit", "last", "nothing"], "refused", 2),
        (["export", "last", "-o", "-"], "refused", 2),
        (["list", "-C", "/dev/null"], "refused", 2),
        (["retry", "last"], "refused", 2),
        (["freeze"], "refused", 2),
    ],
)
def test_an_error_is_one_object_and_one_sentence(
    run: str, words: list[str], kind: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = words
    try:
        ended = main([name, "--json", *rest])
    except SystemExit as error:
        ended = int(str(error.code))
    told = capsys.readouterr()
    (line,) = told.out.splitlines()
    failed = json.loads(line)
    validator("error").validate(failed)
    assert failed["error"]["kind"] == kind
    assert failed["error"]["exit_code"] == ended == code
    assert failed["error"]["command"] == name
    assert failed["error"]["message"] in told.err.splitlines()[-1]
    assert "\x1b" not in told.out + told.err


MAKES = {"run", "demo", "import"}
NEEDS_NONE = {"setup", "completion", "schema"}


@pytest.mark.parametrize("name", sorted(set(ALL) - MAKES - NEEDS_NONE))
def test_no_command_makes_a_place_that_is_none(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "nowhere"
    words = {"decide": ["last", "end"], "rules": ["lint"], "pack": ["list"], "rollout": ["list"]}.get(name)
    with contextlib.suppress(SystemExit):
        main([name, "-C", str(place), *(words or ["last"])])
    capsys.readouterr()
    assert not place.exists()


def test_a_place_that_is_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("list", "watch"):
        assert main([name, "-C", str(tmp_path / "nowhere")]) == 2
        assert "there is no directory" in capsys.readouterr().err


def test_an_ending_of_several_runs_is_no_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("20260101_000000_00000012", "20260101_000000_00000112"):
        write_run(tmp_path / "ai_runs").rename(tmp_path / "ai_runs" / name)
    assert main(["show", "-C", str(tmp_path), "12"]) == 2
    assert "2 runs end in '12': give more" in capsys.readouterr().err


def test_exit_codes_are_those_of_the_table() -> None:
    from triage_tui import exit_codes

    table = (DOCS / "scripting.md").read_text()
    for name in ("DONE", "NO", "REFUSED", "CONFLICT", "PERSON", "CRASH"):
        assert f"\n| {getattr(exit_codes, name)} | " in table
