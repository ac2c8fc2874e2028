"""`triage-tui show`: readable at 80 columns, with rule hits and verdicts."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from tests.runs.build import failed_open, killed_main, write_run
from tests.ui import fixtures
from triage_tui.cli.main import main
from triage_tui.diagnosis.report import diagnose, write_report
from triage_tui.errors import TriageError
from triage_tui.runs.diagnosis_model import DerivationStep, Diagnosis, Evidence, Hypothesis
from triage_tui.runs.events import append_event
from triage_tui.runs.evidence import make_link
from triage_tui.runs.model import RuleHit, Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.verdict_model import Figures, Verdict
from triage_tui.runs.writer import encode_json


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    hits = [
        RuleHit(rule="fix-openat-1", hits=8, syscall="openat", limit=8, disabled="hit limit of 8 reached")
    ]
    run_dir = write_run(tmp_path / "ai_runs", [failed_open(1, "/etc/x.conf")], rule_hits=hits)
    run = load_run(run_dir)
    link = make_link(run, "syscall", 1)
    best = Hypothesis(
        cause="missing_file",
        proximate="missing_file",
        confidence=0.9,
        title="The file /etc/x.conf is missing",
        explanation=f"The call [openat(x)]({link}) failed. " + "It is tied to the end by many words. " * 8,
        evidence=[Evidence(link=link, says="the call failed " * 12)],
    )
    diagnosis = Diagnosis(run_id=run.run_id, scene="s", headline="long words " * 30, hypotheses=[best])
    (run_dir / "diagnosis.json").write_bytes(msgspec.json.encode(diagnosis))
    before = Figures(run_id=run.run_id, reason="exit", exit_code=1, syscalls=22, rung="runs")
    probes = ["http 127.0.0.1:80/ answered (200), twice, still after 2.1 s"]
    verdict = Verdict(
        word="sideways",
        rung="new_branch",
        reasons=["it ends in the same way", "no syscall signature is new"],
        links=[link, ""],
        before=before,
        after=msgspec.structs.replace(before, rung="new_branch", probes=probes),
        masked=["openat(/etc/x.conf) helped by rule fix-openat-1"],
    )
    (run_dir / "verdict.json").write_bytes(encode_json(verdict))
    payload = {"verdict": "progressed", "run": "20260131_020304_00000042", "rung": "passed"}
    more = {"reasons": ["the failure is passed"], "masked": ["openat answered by rule fix-openat-2"]}
    append_event(run_dir, "retry_finished", {**payload, **more})
    return run_dir


def shown(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *options: str
) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["show", run_dir.name, "-C", str(run_dir.parent.parent), *options]) == 0
    return capsys.readouterr().out


def test_the_summary_fits_80_columns_and_cites_whole_links(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(run_dir, capsys, monkeypatch)
    assert max(map(len, text.splitlines())) <= 80
    assert "The call openat(x) failed." in text
    assert f"[{make_link(load_run(run_dir), 'syscall', 1)}]" in text


@pytest.mark.parametrize(
    ("language", "scene", "heading", "end"),
    [
        ("en", "Scene: exit with an error code:", "From the end back to the cause (", "what the end shows: "),
        ("zh", "以错误码退出", "从结束处回溯到原因", "结束处所显示的"),
    ],
)
def test_the_summary_tells_the_scene_and_how_the_cause_follows(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    scene: str,
    heading: str,
    end: str,
) -> None:
    calls = [failed_open(3, "/etc/x.conf"), Syscall(seq=10, name="exit_group", arguments=["1"])]
    run = load_run(write_run(tmp_path / "ai_runs", calls))
    diagnosis = diagnose(run)
    # What somebody else's diagnosis cites may not be there.
    diagnosis.derivation.append(DerivationStep(role="x", says="made up", link="ev:syscall/77~000000000000"))
    write_report(run, diagnosis)
    text = shown(run.dir, capsys, monkeypatch, "--lang", language)
    before, _, after = text.partition(heading)
    assert scene in before
    assert end in (first := after.splitlines()[1])
    assert first.startswith("   1. ")
    assert f"[{make_link(run, 'syscall', 3)}]" in after.partition("\n\n")[0]
    assert "x: made up  [ev:syscall/77~000000000000]  UNSUPPORTED" in after


def test_rule_hits_and_verdicts_are_told(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(shown(run_dir, capsys, monkeypatch).split())
    assert "fix-openat-1: 8 of 8 hits on openat, switched off: hit limit of 8 reached" in text
    assert "sideways (new branch) - it ends in the same way [ev:syscall/1~" in text
    assert "- no syscall signature is new ! masked, not fixed: openat(/etc/x.conf) helped" in text
    assert "FIGURE BEFORE AFTER stopped by exit 1 exit 1 * rung runs new branch calls 22 22" in text
    assert "* probes: - -> http 127.0.0.1:80/ answered (200), twice, still after 2.1 s" in text
    assert "retried as 20260131_020304_00000042: progressed - the failure is passed ! masked" in text


def test_a_command_is_described_with_its_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["setup", "--help"])
    assert "Fetch QEMU and the demo's programs" in capsys.readouterr().out


def test_a_verdict_that_cannot_be_read_is_left_out(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_dir / "verdict.json").write_bytes(b"[" * 10_000)
    assert "verdict against" not in shown(run_dir, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("section", "expected"),
    [("code", "second"), ("process", "fix-openat-1"), ("retry", "retried as"), ("output", "bye")],
)
def test_each_pane_of_the_app_has_a_section(
    run_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    section: str,
    expected: str,
) -> None:
    if section == "code":
        path = run_dir / "snapshot.json"
        data = msgspec.json.decode(path.read_bytes())
        index = [{"frame": 0, "addr_hex": "0x1000", "file": "pseudocode/frame00_0x1000.txt"}]
        path.write_bytes(msgspec.json.encode({**data, "backtrace": {"pseudocode_index": index}}))
    assert expected in shown(run_dir, capsys, monkeypatch, "--section", section)


@pytest.mark.parametrize(
    ("section", "texts"),
    [
        (
            "threads",
            ["thread 4 of process 2: in futex (syscall 7)", "v0 ffffffff", "no registers: its"],
        ),
        (
            "processes",
            [
                "process 2: udhcpc -i eth0, looked at",
                "  threads 3, descriptors 5, mappings 4",
                "  process 7: sh -c \\x1b",
                "umask 077",
            ],
        ),
        ("descriptors", ["O_RDWR O_NONBLOCK", "connected 127.0.0.1:40112", "/etc/udhcpc.conf"]),
        ("environment", ["PATH=/usr/sbin:/usr/bin", "API_KEY=********"]),
    ],
)
def test_all_that_the_guest_consisted_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str, texts: list[str]
) -> None:
    fixtures.make_exit_run(tmp_path / "ai_runs")
    assert main(["show", "-C", str(tmp_path), "last", "--section", section]) == 0
    printed = capsys.readouterr().out
    for text in texts:
        assert text in printed
    assert "\x1b" not in printed
    assert "hunter2" not in printed


@pytest.mark.parametrize("section", ["threads", "processes", "descriptors"])
def test_a_process_that_is_gone_shows_how_it_ended_and_no_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str
) -> None:
    write_run(tmp_path / "ai_runs", processes=[killed_main()])
    assert main(["show", "-C", str(tmp_path), "last", "--section", section]) == 0
    printed = capsys.readouterr().out
    assert "process 2: " in printed
    assert "killed by SIGKILL, which process 4 sent with kill (syscall 31)" in printed
    for figure in ("threads 0", "umask", "FD"):
        assert figure not in printed


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--at", "here"], "--at takes an address"),
        (["--at", "0x1000"], "has not kept the memory at 0x1000"),
        (["--at", "0x1000", "--length", "0"], "--length must be 1 to 1048576"),
    ],
)
def test_bytes_that_cannot_be_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], why: str
) -> None:
    fixtures.make_exit_run(tmp_path / "ai_runs")
    assert main(["show", "-C", str(tmp_path), "last", *options]) == 2
    assert why in capsys.readouterr().err


def test_the_list_marks_what_is_no_whole_run_of_this_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs_dir = tmp_path / "ai_runs"
    newer, writing = fixtures.make_newer_run(runs_dir), fixtures.make_writing_run(runs_dir)
    assert main(["list", "-C", str(tmp_path)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "  newer version  " in lines[newer.name]
    assert "  writing  " in lines[writing.name]


def test_a_run_that_is_deleted_meanwhile_is_said_to_be(tmp_path: Path) -> None:
    run_dir = fixtures.make_loop_run(tmp_path / "ai_runs")
    shutil.rmtree(run_dir)
    with pytest.raises(TriageError, match=f"run {run_dir.name} is not there any more: it was deleted"):
        load_run(run_dir)
