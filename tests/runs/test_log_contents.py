"""Logs that are lined up by what they say."""

from __future__ import annotations

from pathlib import Path

from tests.runs.build import failed_open, write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.added_logs import AddedLog, add_log, in_words, places, read_index
from triage_tui.runs.events import append_event
from triage_tui.runs.evidence import resolve
from triage_tui.runs.log_contents import Said, anchors, placed, plain, said_by
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run, load_run

CONSOLE = (
    "U-Boot 2020.01\r\n"
    "\0\0Starting kernel ...\r\n"
    "\x1b[31mx: cannot open /etc/x.conf\x1b[0m\r\n"
    "x[12]: something between\r\n"
    "lan0: no carrier\r\n"
    "rebooting\r\n"
)


def run_of(tmp_path: Path) -> Run:
    """An open that fails, three calls, an interface that is not there."""
    calls = [
        failed_open(1, "/etc/x.conf"),
        *(Syscall(seq=n, name="getpid", ret=2) for n in (2, 3, 4)),
        Syscall(seq=5, name="ioctl", ret=-19, errno="ENODEV", request="SIOCGIFINDEX", interface="lan0"),
        Syscall(seq=6, name="openat", ret=-2, errno="ENOENT", path="/dev/null"),
    ]
    directory = write_run(tmp_path, calls)
    append_event(directory, "captured", {})
    return load_run(directory)


def added(run: Run, tmp_path: Path, text: str) -> tuple[AddedLog, dict[int, str]]:
    (tmp_path / "console").write_text(text, newline="")
    log = add_log(run, tmp_path / "console")
    return log, {number: str(place) for number, place in places(run, log).items()}


def test_a_console_without_times_is_lined_up_by_what_it_names(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    log, at = added(run, tmp_path, CONSOLE)
    assert at == {3: "#1", 4: "#1..5", 5: "#5"}
    assert (log.why, log.matched) == ("", 2)
    assert "lined up by content" in in_words(run, log)
    assert "\r" not in run.text_file(log.file)
    # An index that was written by somebody else places nothing where it cannot be.
    read_index(run).logs[0].contents.append((1, 9, 2))
    assert places(run, AddedLog(file="f", source="s", contents=[(1, 9, 2), (2, -1, 3)])) == {}


def test_times_of_another_boot_are_no_times_of_the_run(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    run.snapshot.trigger.ts_mono_ns = 9_000_000_000_000
    log, at = added(run, tmp_path, "[    1.500] mtd: none\n[    2.500] open of /etc/x.conf failed\n")
    assert (log.form, at) == ("dmesg", {2: "#1"})


def test_what_agrees_with_nothing_stands_beside(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    log, at = added(run, tmp_path, "nothing of it\n/dev/null is in every log\n")
    assert at == {}
    assert "known form" in log.why


def test_what_was_printed_is_found_behind_any_head() -> None:
    calls = [Syscall(seq=n, name="write", ret=20) for n in (4, 9)]
    said = said_by(calls, {4: b"cannot bind: in use\n", 9: b"giving up now\nx\n"})
    lines = ["Nov 21 20:57:03 router x[3]: cannot bind: in use", "<3>x: giving  up now", "bind: in use"]
    assert [(one.line, one.seq) for one in anchors(lines, said)] == [(0, 4), (1, 9)]


def test_the_order_of_the_calls_decides_which_is_meant() -> None:
    said = Said(named={"/a/file": [1, 10, 20], "/b/file": [5], "/c/file": [15]})
    lines = ["/b/file", "/a/file", "/c/file", "/b/file", "/a/file"]
    found = anchors(lines, said)
    assert [(one.line, one.seq) for one in found] == [(0, 5), (1, 10), (2, 15), (4, 20)]
    assert list(placed(found))[3] == (3, 15, 20)


def test_a_flood_of_lines_is_bounded() -> None:
    said = Said(named={"/a/file": list(range(32)), "/b/file": list(range(500))})
    lines = ["/a/file " * 40, "/b/file", "\x1b[" * 300, "/" * 400] * 5000
    found = anchors(lines, said)
    assert len(found) == 5000
    assert len(plain(lines[2] * 100)) <= 400


def test_a_diagnosis_cites_the_lines_that_name_its_subject(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    before = diagnose(run)
    added(run, tmp_path, CONSOLE.replace("/etc/x.conf", "/etc/x.conf.bak") + "x: cannot open /etc/x.conf\n")
    again = load_run(run.dir)
    after = diagnose(again)
    one = next(one for one in after.hypotheses if one.parameters.get("path") == "/etc/x.conf")
    cited = [evidence for evidence in one.evidence if evidence.link.startswith("ev:log/added-console.log")]
    # Not the line about another file.
    assert [evidence.link.partition("~")[0] for evidence in cited] == ["ev:log/added-console.log#L7"]
    assert cited[0].says == 'the log console says "x: cannot open /etc/x.conf"'
    assert all(resolve(again, evidence.link).holds for evidence in cited)
    # Whose words they are is not known.
    assert [h.confidence for h in after.hypotheses] == [h.confidence for h in before.hypotheses]
