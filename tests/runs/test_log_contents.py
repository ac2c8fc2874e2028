"""Logs that are lined up by what they say."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from tests.runs.build import failed_open, write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.added_logs import AddedLog, Place, in_words, places, read_index
from triage_tui.runs.adding_logs import add_log
from triage_tui.runs.events import append_event
from triage_tui.runs.evidence import resolve
from triage_tui.runs.heaviest_order import Choice, Line, Settled, settle
from triage_tui.runs.log_contents import Said, anchors, place, placed, plain, said_by
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


def named(**calls: Iterable[int]) -> Said:
    """Calls by the files that they are about."""
    return Said(named={f"/{name}/file": [place(seq) for seq in seqs] for name, seqs in calls.items()})


def told(found: list[Settled]) -> list[tuple[int, str]]:
    """Lines with their calls, those in doubt with a question mark."""
    return [(one.number, str(Place(one.first, one.last, doubtful=not one.certain))[1:]) for one in found]


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
    assert [(one.number, one.first) for one in anchors(lines, said)] == [(0, 4), (1, 9)]


def test_the_order_of_the_calls_decides_which_is_meant() -> None:
    said = named(a=[1, 10, 20], b=[5], c=[15])
    lines = ["/b/file", "/a/file", "/c/file", "/b/file", "/a/file"]
    found = anchors(lines, said)
    assert told(found) == [(0, "5"), (1, "10"), (2, "15"), (4, "20")]
    assert list(placed(found))[3] == Settled(3, 15, 20, certain=True)


def test_lines_that_contradict_each_other_are_both_in_doubt() -> None:
    assert told(anchors(["/a/file", "/b/file"], named(a=[10], b=[5]))) == [(0, "10?"), (1, "5?")]
    # To repeat what a call printed counts more than to name something.
    said = Said(printed={"cannot bind": [place(10)]}, named=named(b=[5]).named)
    assert told(anchors(["cannot bind", "/b/file"], said)) == [(0, "10")]


def test_of_two_boots_in_a_log_neither_is_certain() -> None:
    boot = ["first of all", "in the middle", "last of all"]
    said = Said(printed={text: [place(seq)] for text, seq in zip(boot, (3, 5, 9), strict=True)})
    doubtful = [(0, "3?"), (1, "5?"), (2, "9?"), (3, "3?"), (4, "5?"), (5, "9?")]
    assert told(anchors([*boot, *boot], said)) == doubtful
    said.printed["only in this one"] = [place(7)]
    one_more = [*boot, *boot[:2], "only in this one", boot[2]]
    assert [str(one.number) for one in anchors(one_more, said) if one.certain] == ["5", "6"]


def test_a_line_is_printed_once_and_may_be_named_often() -> None:
    printed = Said(printed={"not again": [place(4)]})
    assert told(anchors(["not again"] * 2, printed)) == [(0, "4?"), (1, "4?")]
    assert told(anchors(["/a/file"] * 2, named(a=[4]))) == [(0, "4"), (1, "4")]
    # Two of three calls, in this order.
    thrice = Said(printed={"not again": [place(4), place(6), place(8)]})
    assert told(anchors(["not again"] * 2, thrice)) == [(0, "4..6"), (1, "6..8")]


def all_of(lines: list[Line]) -> list[list[tuple[int, int]]]:
    """The heaviest arrangements, found by trying all: line and call of each of their choices."""
    best, found = 0, list[list[tuple[int, int]]]()

    def go_on(at: int, last: int, weight: int, chosen: list[tuple[int, int]]) -> None:
        nonlocal best
        if at == len(lines):
            if weight > best:
                best = weight
                found.clear()
            if weight == best:
                found.append(chosen)
            return
        go_on(at + 1, last, weight, chosen)
        for one in lines[at].choices:
            if last <= one.behind:
                go_on(at + 1, one.place, weight + one.weight, [*chosen, (at, one.seq)])

    go_on(0, -1, 0, [])
    return found


def test_what_is_certain_is_in_all_of_the_heaviest_arrangements() -> None:
    chance = random.Random(11)
    for _ in range(400):
        lines = []
        for number in range(chance.randint(1, 6)):
            weight, strict = chance.randint(1, 2), chance.random() < 0.5
            seqs = sorted(chance.sample(range(1, 6), chance.randint(1, 3)))
            choices = [Choice(2 * seq - strict, 2 * seq, seq, weight) for seq in seqs]
            lines.append(Line(number, choices))
        heaviest = all_of(lines)
        calls: dict[int, list[int]] = {}
        for line, seq in (pair for one in heaviest for pair in one):
            calls.setdefault(line, []).append(seq)
        found = settle(lines)
        assert {one.number: (one.first, one.last) for one in found} == {
            line: (min(seqs), max(seqs)) for line, seqs in calls.items()
        }
        for one in found:
            if one.certain:
                assert all(one.number in dict(some) for some in heaviest)


def test_a_flood_of_lines_is_bounded() -> None:
    said = named(a=range(32), b=range(500))
    lines = ["/a/file " * 40, "/b/file", "\x1b[" * 300, "/" * 400] * 5000
    found = anchors(lines, said)
    assert len(found) == 5000
    assert len(plain(lines[2] * 100)) <= 400


def test_a_diagnosis_cites_the_lines_that_name_its_subject(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    before = diagnose(run)
    (tmp_path / "boots").write_text("lan0: up\nx: cannot open /etc/x.conf\n" * 2)
    assert add_log(run, tmp_path / "boots").doubtful
    text = CONSOLE.replace("/etc/x.conf", "/etc/x.conf.bak")
    added(run, tmp_path, text.replace("lan0", "x: cannot open /etc/x.conf\r\nlan0"))
    again = load_run(run.dir)
    after = diagnose(again)
    one = next(one for one in after.hypotheses if one.parameters.get("path") == "/etc/x.conf")
    cited = [evidence for evidence in one.evidence if evidence.link.startswith("ev:log/added-")]
    # Not the line about another file, and not the same words in a log that may be of another boot.
    assert [evidence.link.partition("~")[0] for evidence in cited] == ["ev:log/added-console.log#L5"]
    assert cited[0].says == 'the log console says "x: cannot open /etc/x.conf"'
    assert all(resolve(again, evidence.link).holds for evidence in cited)
    # Whose words they are is not known.
    assert [h.confidence for h in after.hypotheses] == [h.confidence for h in before.hypotheses]
