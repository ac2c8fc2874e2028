"""Two runs side by side: what counts as different, how it is told, and the keys that lead there and on."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

from tests.ui import fixtures
from tests.ui.conftest import opened, said, shown, until
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.model import Register, RuleHit, Syscall
from triage_tui.runs.process_model import Descriptor, Mapping
from triage_tui.ui.app import TriageApp
from triage_tui.ui.comparison import model
from triage_tui.ui.comparison.call_keys import Mapped, call_key
from triage_tui.ui.comparison.compare import Comparison, compare
from triage_tui.ui.comparison.machine import call_line
from triage_tui.ui.comparison.model import MAX_ALIGNED, WINDOW, Line, Pair, Section, align, counted, partners
from triage_tui.ui.comparison.rows import Spot, comparison_rows, differences
from triage_tui.ui.loading import load_view
from triage_tui.ui.rows import Row
from triage_tui.ui.run_view import RunView
from triage_tui.ui.screens.comparing import ComparisonSheet

Views = tuple[RunView, RunView]


@pytest.fixture
def views(tmp_path: Path) -> Views:
    runs = tmp_path / "ai_runs"
    return load_view(fixtures.make_exit_run(runs), tmp_path), load_view(
        fixtures.make_loop_run(runs), tmp_path
    )


@pytest.fixture
def twins(tmp_path: Path) -> Views:
    """The same run twice."""
    run = fixtures.make_exit_run(tmp_path / "ai_runs")
    return load_view(run, tmp_path), load_view(run, tmp_path)


def lines(text: str) -> list[Line]:
    return [Line(one) for one in text.split()]


def texts(pairs: list[Pair]) -> list[tuple[str | None, str | None]]:
    return [(pair.left and pair.left.text, pair.right and pair.right.text) for pair in pairs]


def section(found: Comparison, title: str) -> Section:
    return next(one for one in found.sections if one.title == title)


def words(rows: list[Row]) -> str:
    return "\n".join(row.text for row in rows)


# --- lines beside lines ------------------------------------------------------------------------------------


def test_lines_are_set_beside_those_that_say_the_same() -> None:
    pairs, cut = align(lines("a b c z"), lines("a x y c q z"))
    assert texts(pairs) == [("a", "a"), ("b", "x"), (None, "y"), ("c", "c"), (None, "q"), ("z", "z")]
    assert cut == 0
    assert align([], []) == ([], 0)
    assert texts(align(lines("a"), [])[0]) == [("a", None)]


def test_what_replaces_something_of_another_kind_stands_below_it() -> None:
    left = [Line("a"), Line("open x", kind="open"), Line("z")]
    right = [Line("a"), Line("fork", kind="fork"), Line("open y", kind="open"), Line("z")]
    assert texts(align(left, right)[0]) == [
        ("a", "a"), (None, "fork"), ("open x", "open y"), ("z", "z"),
    ]  # fmt: skip


def test_lines_are_compared_by_their_keys() -> None:
    (pair,), _ = align([Line("at 0x1000", key="at")], [Line("at 0x2000", key="at")])
    assert pair.same
    assert texts([pair]) == [("at 0x1000", "at 0x2000")]


@pytest.mark.parametrize("window", [3, WINDOW])
def test_each_line_of_both_is_there_once_and_in_order(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "WINDOW", window)
    chance = random.Random(7)
    for _ in range(200):
        left = [Line(chance.choice("abcde")) for _ in range(chance.randrange(12))]
        right = [Line(chance.choice("abcde")) for _ in range(chance.randrange(12))]
        pairs, cut = align(left, right)
        assert [pair.left for pair in pairs if pair.left is not None] == left
        assert [pair.right for pair in pairs if pair.right is not None] == right
        assert cut == 0


def test_long_lists_are_aligned_beyond_the_first_difference() -> None:
    left = [Line(str(number)) for number in range(3 * WINDOW)]
    right = [Line("new"), *left[:-5], Line("last")]
    pairs, cut = align(left, right)
    assert (sum(pair.same for pair in pairs), cut) == (len(left) - 5, 0)


MAPPED = Mapped([Mapping(0x40800000, 0x40801000, "rw-p"), Mapping(0x5502833000, 0x5502834000, "rw-p")])


@pytest.mark.parametrize(
    ("call", "other", "same"),
    [
        ("read 3 0x40800228 512 = 512", "read 3 0x50900000 512 = 512", True),
        ("read 3 0x40800228 512 = 512", "read 4 0x40800228 512 = 512", False),
        # A null pointer is another argument than an address.
        ("read 3 0x40800228 512 = 512", "read 3 0 512 = 512", False),
        ("read 3 0x40800228 131072 = 131072", "read 3 0x40800228 9999999 = 9999999", False),
        ("lseek 3 1082130432 SEEK_SET = 1082130432", "lseek 3 1082130440 SEEK_SET = 1082130440", False),
        ("ioctl 3 0x80045430 0x40800228 = 0", "ioctl 3 0xc0185879 0x40800228 = 0", False),
        ("ioctl 3 0x80045430 0x40800228 = 0", "ioctl 3 0x80045430 0x40800230 = 0", True),
        ("ioctl 3 0x80045430 0x100000 = 0", "ioctl 3 0x80045430 0x200000 = 0", False),
        ("mmap 0 1761376 PROT_READ MAP_PRIVATE 3 0x18c000 = 1082130432",
         "mmap 0 1761376 PROT_READ MAP_PRIVATE 3 0x18c000 = 1065345024", True),
        ("mmap 0 1761376 PROT_READ MAP_PRIVATE 3 0x18c000 = 1082130432",
         "mmap 0 1761376 PROT_READ MAP_PRIVATE 3 0x18d000 = 1082130432", False),
        ('open "/x0123456" 0 = 3', 'open "/x9123456" 0 = 3', False),
        ("setuid 98 -5756247987769512185 = 0", "setuid 98 7746621409841174415 = 0", True),
        ("exit_group 1", "exit_group 0", False),
        # Of a call that is not known here.
        ("strange 0x40800228 0x5502833010 = 0", "strange 0x40800400 0x5502833020 = 0", True),
        ("strange 0x123456 = 0", "strange 0x123457 = 0", False),
        ("strange {0x40800228,7} = 0", "strange {0x40800230,7} = 0", True),
        ("strange {0x40800228,7} = 0", "strange {0x40800230,8} = 0", False),
        ("time 0 = 1700000000", "time 0 = 1700000099", True),
        ("nanosleep {tv_sec=1,tv_nsec=500000000} 0 = 0",
         "nanosleep {tv_sec=1,tv_nsec=900000000} 0 = 0", False),
        ("futex 0x40800228 0 1 {tv_sec=23768,tv_nsec=297162677} = 0",
         "futex 0x40800300 0 1 {tv_sec=23999,tv_nsec=5} = 0", True),
        (f"strange {'9' * 5000} = 0", f"strange {'9' * 5000} = 0", True),
    ],
)  # fmt: skip
def test_addresses_alone_are_not_compared(call: str, other: str, same: bool) -> None:
    def key(text: str) -> str:
        called, _, result = text.partition(" = ")
        name, *arguments = called.split()
        ret = int(result) if result else None
        return call_key(Syscall(seq=1, name=name, arguments=arguments, ret=ret), MAPPED)

    assert (key(call) == key(other)) == same


def test_half_an_address_is_completed_by_its_register() -> None:
    def key(low: int) -> str:
        texts = ["3", "7", hex(low)]
        return call_key(
            Syscall(seq=1, name="ioctl", args=[3, 7, 0x5500000000 | low], arguments=texts), MAPPED
        )

    assert key(0x2833010) == key(0x2833020) != key(0x3833020)


@pytest.mark.parametrize(
    ("line", "other", "same"),
    [
        ("2026/11/21 04:44:10 [emerg] x", "2026/11/22 05:44:10 [emerg] x", True),
        ("2:M 21 Nov 2026 04:37:03.602 # x", "2:M 22 Dec 2026 04:38:03.601 # x", True),
        ('{"ts":1795236248.3238208}', '{"ts":1795236289.1}', True),
        ("took 0.25 s", "took 1.75 s", True),
        ("port 80", "port 81", False),
    ],
)
def test_times_that_were_printed_are_not_compared(line: str, other: str, same: bool) -> None:
    assert (model.without_clocks(line) == model.without_clocks(other)) == same


def test_what_is_alike_is_paired_strictest_first() -> None:
    pairs = partners(
        ["a1", "b1", "c1"], ["b2", "a1", "d1"], lambda one: one, lambda one: one[0]
    )  # fmt: skip
    assert pairs == [("a1", "a1"), ("b1", "b2"), ("c1", None), (None, "d1")]


def test_what_one_run_lacks_stands_where_the_other_has_it() -> None:
    left = {name: Line(name) for name in "ace"}
    right = {name: Line(name) for name in "abced"}
    assert [(one or other or Line("")).text for one, other in model.by_name(left, right)] == list("abced")
    assert model.by_name({}, left) == [Pair(None, line) for line in left.values()]


def test_differences_are_counted_in_words() -> None:
    a, b = Line("a"), Line("b")
    assert counted([Pair(a, b), Pair(a, None), Pair(None, b), Pair(None, b), Pair(a, a)]) == (
        "1 changed, 1 only in the first, 2 only in the second"
    )
    assert counted([Pair(a, a)]) == ""


# --- what counts as different ------------------------------------------------------------------------------


def change_file(view: RunView) -> None:
    best = view.diagnosis.hypotheses[0]  # type: ignore[union-attr]
    best.title, best.parameters = "The file /etc/other is missing", {"path": "/etc/other"}


def add_wanted(view: RunView) -> None:
    view.diagnosis.hypotheses[0].wanted.append("the first reply")  # type: ignore[union-attr]


def drop_evidence(view: RunView) -> None:
    view.diagnosis.hypotheses[0].evidence.pop(0)  # type: ignore[union-attr]


def fail_evidence(view: RunView) -> None:
    view.diagnosis.hypotheses[0].evidence[0].supported = False  # type: ignore[union-attr]


def drop_rule(view: RunView) -> None:
    name = view.proposals[0].files[0]
    del view.rules[name]


def add_hits(view: RunView) -> None:
    view.snapshot.rule_hits = [RuleHit(rule="fix-ioctl-1", hits=2)]


def change_register(view: RunView) -> None:
    view.snapshot.regs[3].value = 77


def drop_frame(view: RunView) -> None:
    view.snapshot.backtrace.frames.pop(1)


def change_descriptor(view: RunView) -> None:
    view.snapshot.fds[0] = Descriptor(fd=view.snapshot.fds[0].fd, target="/dev/ttyS7")


def change_result(view: RunView) -> None:
    call = view.calls[4]
    view.calls[4] = msgspec.structs.replace(call, ret=-1, errno="EIO")


def print_more(view: RunView) -> None:
    view.logs["guest.log"].append("one more line")


@pytest.mark.parametrize(
    ("change", "title", "told"),
    [
        (change_file, "Diagnosis", "/etc/other"),
        (add_wanted, "Diagnosis", "still wanted: the first reply"),
        (drop_evidence, "Diagnosis", "The lookup of eth0 failed"),
        (fail_evidence, "Diagnosis", "unsupported: The lookup"),
        (drop_rule, "Proposed rules", "fix/syscall/ioctl.lua"),
        (add_hits, "Active rules", "fix-ioctl-1: 2 hits"),
        (change_register, "Registers", "0x4d"),
        (drop_frame, "Backtrace", "udhcp_read_interface"),
        (change_descriptor, "Descriptors", "/dev/ttyS7"),
        (change_result, "Syscalls", "EIO"),
        (print_more, "Printed", "one more line"),
    ],
)
def test_each_change_is_told_in_its_part_and_no_other(
    twins: Views, change: Callable[[RunView], None], title: str, told: str
) -> None:
    left, right = twins
    change(right)
    found = compare(left, right)
    # What the best hypothesis says is a part of what happened, too.
    differing = {one.title for one in found.sections if one.differ}
    assert title in differing <= {title, "What happened"}
    for width in (78, 157):
        rows = comparison_rows(found, width)
        changed = [row for row in rows if isinstance(row.target, Spot) and row.target.what == "difference"]
        assert told in " ".join(words(changed).split())


def test_the_same_cause_with_another_file_and_the_same_confidence_differs(twins: Views) -> None:
    left, right = twins
    for view, path in ((left, "/etc/a.conf"), (right, "/etc/b.conf")):
        view.diagnosis.hypotheses[:] = [  # type: ignore[union-attr]
            Hypothesis("missing_file", "missing_file", 0.9, f"The file {path} is missing")
        ]
    (pair,) = [pair for pair in section(compare(left, right), "Diagnosis").pairs if not pair.same]
    assert texts([pair]) == [
        (
            "0.90 missing_file: The file /etc/a.conf is missing",
            "0.90 missing_file: The file /etc/b.conf is missing",
        )
    ]
    row = comparison_rows(compare(left, right), 157)[-1]
    assert next(part for part in row.parts if part[1] == "removed")[0] == "a.conf"
    assert next(part for part in row.parts if part[1] == "added")[0] == "b.conf"


def test_a_rule_with_another_id_and_run_has_the_same_text(tmp_path: Path) -> None:
    runs = tmp_path / "ai_runs"
    first, second = fixtures.make_exit_run(runs), fixtures.make_exit_run(runs, fixtures.RETRY_RUN)
    rule = second / "rules_patch/fix/syscall/ioctl.lua"
    text = rule.read_text()
    rule.write_text(text.replace("-- id: fix-ioctl-3f2a91c0", "-- id: fix-ioctl-00000000\n-- run: other"))
    found = section(compare(load_view(first, tmp_path), load_view(second, tmp_path)), "Proposed rules")
    assert (found.differ, found.gist) == (0, "2 identical")
    rule.write_text(text.replace("hit-limit: 4", "hit-limit: 9"))
    found = section(compare(load_view(first, tmp_path), load_view(second, tmp_path)), "Proposed rules")
    assert texts([pair for pair in found.pairs if not pair.same]) == [
        ("    -- hit-limit: 4", "    -- hit-limit: 9")
    ]
    assert found.gist == "1 with another text, 1 identical"


def test_registers_of_two_architectures_are_compared_by_role(views: Views) -> None:
    left, right = views
    left.snapshot.target.arch, right.snapshot.target.arch = "mipsel", "arm"
    mips = {"v0": 4001, "a0": 1, "a1": 0, "sp": 0x7FFF0000, "ra": 0x400100, "pc": 0x77E4B2D0, "s0": 5}
    arm = {"r7": 1, "r0": 1, "sp": 0x3FFF0000, "lr": 8, "pc": 4}
    for view, values in ((left, mips), (right, arm)):
        view.snapshot.regs = [Register(0, name, value, 4) for name, value in values.items()]
    found = section(compare(left, right), "Registers")
    told = {line.kind: pair for pair in found.pairs for line in pair if line is not None}
    assert [line and line.text.split()[2:] for line in told["argument 1"]] == [["a0", "0x1"], ["r0", "0x1"]]
    assert told["argument 1"].same
    # The numbers differ, the call is the same.
    assert told["syscall number"].same
    assert [line and line.text.split()[2:4] for line in told["return address"]] == [
        ["ra", "0x400100"],
        ["lr", "0x8"],
    ]
    assert found.note.startswith("The architectures differ: mipsel and arm.")
    assert "by role; 1 and 0 have no counterpart" in found.note


def test_frames_are_the_same_wherever_their_module_lies(twins: Views) -> None:
    left, right = twins
    frames = right.snapshot.backtrace.frames
    for view, base in ((left, 0), (right, 0x1000)):
        for frame in view.snapshot.backtrace.frames:
            frame.module_offset = frame.addr & 0xFFFF
            frame.addr += base
    assert not section(compare(left, right), "Backtrace").differ
    frames.insert(0, Frame(0, 1, "0x1", func_name="raise", module_name="libc.so.6", module_offset=5))
    found = section(compare(left, right), "Backtrace")
    assert (found.differ, found.gist) == (1, "innermost: _exit → raise")


def test_calls_are_compared_process_by_process(twins: Views) -> None:
    left, right = twins
    child = [Syscall(seq=100 + n, name="getppid", num=1, pid=9) for n in range(2)]
    left.calls = [*left.calls[:5], *child, *left.calls[5:]]
    right.calls = [
        *right.calls[:8],
        *(msgspec.structs.replace(one, pid=7) for one in child),
        *right.calls[8:],
    ]
    found = section(compare(left, right), "Syscalls")
    assert found.differ == 0
    assert ("process 9, 2 calls", "process 7, 2 calls") in texts(found.pairs)
    line = call_line(msgspec.structs.replace(child[0], ret=0, rule="fix-1"), MAPPED)
    assert line.text == "getppid() = 0  by rule fix-1"
    assert line.link == "ev:syscall/100"


def test_runs_that_differ_without_end_are_bounded_and_it_is_said(views: Views) -> None:
    left, right = views
    many = MAX_ALIGNED + 700
    left.calls = [Syscall(seq=n, name=f"left{n}", num=1) for n in range(many)]
    right.calls = [Syscall(seq=n, name=f"right{n}", num=1) for n in range(many)]
    found = section(compare(left, right), "Syscalls")
    assert "calls are left out: the runs differ too much there" in found.note
    assert MAX_ALIGNED <= len(found.pairs) / 2 < many


# --- rows --------------------------------------------------------------------------------------------------


def test_a_run_is_the_same_as_itself(twins: Views) -> None:
    found = compare(*twins)
    rows = comparison_rows(found, 120)
    assert not any(one.differ for one in found.sections)
    assert "Nothing that is compared differs." in words(rows)
    # One line for each part, below the head of the columns.
    assert len(rows) == 2 + 1 + len(found.sections) + 1
    number = next(n for n, one in enumerate(found.sections) if one.title == "Registers")
    assert len(comparison_rows(found, 120, {Spot("overview", number)})) > len(rows) + 5


@pytest.mark.parametrize("width", [40, 78, 100, 157])
def test_every_row_fits_and_is_safe(views: Views, width: int) -> None:
    left, right = views
    evil = "\x1b[2Jevil\u202e\x1b]52;c;AAAA\x07"
    left.snapshot.fds[0].target = evil
    left.calls[0].arguments = [evil * 50]
    left.logs["guest.log"] = [evil * 10]
    left.snapshot.backtrace.frames[0].func_name = evil
    left.run.problems.append(evil)
    left.diagnosis.hypotheses[0].title = evil * 20  # type: ignore[union-attr]
    left.diagnosis.hypotheses[0].wanted = [evil]  # type: ignore[union-attr]
    left.proposals[0].title = evil
    right.snapshot.rule_hits = [RuleHit(rule=evil, hits=1)]
    for one in right.snapshot.regs:
        one.name = evil
    found = compare(left, right)
    rows = comparison_rows(found, width)
    for row in rows:
        assert cell_len(row.text) <= width
        assert row.text.isprintable()
        assert all(0 <= first < last <= width for first, last, _ in (*row.links, *row.tints))
    text = words(rows)
    assert fixtures.EXIT_RUN in text
    assert any(row.text.startswith("- ") for row in rows) == (width < 100)


def test_what_differs_is_seen_first_and_each_difference_has_its_place(views: Views) -> None:
    found = compare(*views)
    rows = comparison_rows(found, 157)
    overview = [row for row in rows if isinstance(row.target, Spot) and row.target.what == "overview"]
    assert [row.text.split("  ")[0] for row in overview] == [
        f"{'≠' if one.differ else '='} {one.title}" for one in found.sections
    ]
    assert rows.index(overview[-1]) < 20
    begins = differences(rows)
    assert begins
    for index in begins:
        assert rows[index].target.what == "difference"
        before = rows[index - 1].target
        assert not (isinstance(before, Spot) and before.what == "difference")


def test_of_many_lines_that_differ_the_middle_is_folded(twins: Views) -> None:
    left, right = twins
    pid = left.calls[0].pid
    right.calls += [Syscall(seq=900 + n, name=f"new{n}", num=1, pid=pid) for n in range(100)]
    found = compare(left, right)
    number = next(n for n, one in enumerate(found.sections) if one.title == "Syscalls")
    rows = comparison_rows(found, 100)
    fold = next(row for row in rows if "more lines" in row.text)
    assert "84 more lines" in fold.text
    assert fold.target == Spot("more", number, len(left.calls))
    # It is one difference all the same, and all of it is there when it is unfolded.
    assert len(differences(rows)) == len(differences(comparison_rows(found, 100, {fold.target}))) == 1
    assert len(comparison_rows(found, 100, {fold.target})) == len(rows) + 83


def test_what_is_folded_is_found(twins: Views) -> None:
    left, right = twins
    pid = left.calls[0].pid
    right.calls += [Syscall(seq=900 + n, name=f"new{n}", num=1, pid=pid) for n in range(1000)]
    sheet = ComparisonSheet(compare(left, right), lambda *_: None)
    assert not any("new500" in row.text for row in sheet.found(100, []))
    texts = [row.text for row in sheet.found(100, ["new500"])]
    assert texts[0].startswith(" Syscalls ")
    assert [("new500" in text) for text in texts] == [False, True]
    many = sheet.found(100, ["new"])
    assert len(many) < 1000
    assert many[-1].text.endswith("more hold that")


def test_what_differs_without_end_is_laid_out_piece_by_piece(twins: Views) -> None:
    left, right = twins
    pid = left.calls[0].pid
    for view, name in ((left, "a"), (right, "b")):
        view.calls = [
            Syscall(seq=n, name=name if n % 2 else "tick", num=n, args=[n], pid=pid) for n in range(5000)
        ]
    found = compare(left, right)
    number = next(n for n, one in enumerate(found.sections) if one.title == "Syscalls")
    rows = comparison_rows(found, 100)
    assert len(rows) < 1000
    assert "more lines, enter shows them" in rows[-1].text
    assert 1000 > len(comparison_rows(found, 100, {rows[-1].target})) > len(rows) + 200
    assert rows[-1].target.section == number


def test_lines_that_are_found_by_words_are_differences_of_their_own() -> None:
    rows = [Row((), Spot("difference", 0, pair)) for pair in (3, 3, 4, 9)]
    assert differences([*rows, Row((), Spot("difference", 1, 10)), Row(())]) == [0, 3, 4]


def test_a_run_that_is_less_than_whole_says_so(tmp_path: Path) -> None:
    runs = tmp_path / "ai_runs"
    exit_run = load_view(fixtures.make_exit_run(runs), tmp_path)
    newer = load_view(fixtures.make_newer_run(runs), tmp_path)
    found = compare(newer, exit_run)
    assert any("The first run:" in note and "newer version" in note for note in found.notes)
    assert "newer version" in words(comparison_rows(found, 78))
    newer.snapshot.fds, newer.snapshot.regs, newer.calls = [], [], []
    found = compare(newer, exit_run)
    for title in ("Descriptors", "Registers", "Syscalls"):
        assert section(found, title).gist == "the first run has none"
    empty: Any = newer.run
    empty.diagnosis = None
    assert section(compare(newer, exit_run), "Diagnosis").note == "There is no diagnosis of the first run."


# --- the app -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_two_runs_are_compared_and_lines_lead_into_them_and_back(
    app: TriageApp, size: tuple[int, int]
) -> None:
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await until(pilot, lambda: "choose the other run" in said(app))
        app.main.runs.select(fixtures.LOOP_RUN)
        # The other run need not be shown yet.
        await pilot.press("6", "c")
        await until(pilot, lambda: isinstance(app.screen, ComparisonSheet))
        await until(pilot, lambda: "What happened" in shown(app))
        assert app.main.compared is None
        sheet = app.screen
        assert isinstance(sheet, ComparisonSheet)
        rows = sheet._list.rows
        begins = differences([rows.row(index) for index in range(len(rows))])
        await pilot.press("n", "n")
        assert sheet._list.cursor == begins[1]
        await pilot.press("N")
        assert sheet._list.cursor == begins[0]
        assert "difference 1 of" in shown(app)
        await pilot.press("tab", "tab")
        assert rows.row(sheet._list.cursor).target.what == "section"
        # What leads nowhere says so, and nothing else is promised.
        assert "go there" not in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: "This is the heading of a part" in said(app))
        sheet._list.move_to(begins[0])
        await until(pilot, lambda: "go there" not in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: "This line leads to no place in either run." in said(app))
        await pilot.press("tab", "tab")
        await pilot.press("shift+tab")
        # A line leads to its place in its run, and backspace to the line.
        register = rows.find(lambda row: any("ev:frame/1" in link for _, _, link in row.links))
        assert register is not None
        sheet._list.move_to(register)
        # A click moves there, and does not follow it.
        sheet._list.move_to(register - 1)
        first = rows.row(register).links[0][0]
        top = int(sheet._list.scroll_offset.y)
        await pilot.click("#help-rows", offset=(first + 2, register - top))
        await pilot.pause()
        assert (app.screen, sheet._list.cursor) == (sheet, register)
        run_id = rows.row(register).links[0][2].split()[0]
        await pilot.press("enter")
        await until(pilot, lambda: app.main.active == "backtrace" and app.screen is app.main)
        await until(pilot, lambda: app.main.view and app.main.view.run_id == run_id)
        await pilot.press("backspace")
        await until(pilot, lambda: isinstance(app.screen, ComparisonSheet))
        again = app.screen
        assert isinstance(again, ComparisonSheet)
        await until(pilot, lambda: again._list.cursor == register)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        assert app.main.active == "registers"


async def test_what_cannot_be_compared_is_said(app: TriageApp) -> None:
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(pilot)
        await pilot.press("c")
        await until(pilot, lambda: "c compares with udhcpc 14:03" in shown(app))
        for run_id, why in ((fixtures.BROKEN_RUN, "cannot be compared"), (fixtures.WRITING_RUN, "recorded")):
            app.main.runs.select(run_id)
            await until(pilot, lambda: app.main.failure is not None and app.main.view is None)
            await pilot.press("c")
            await until(pilot, lambda why=why: why in said(app) and "stays held" in said(app))  # type: ignore[misc]
            app.clear_notifications()
        app.main.runs.select(fixtures.EXIT_RUN)
        await until(pilot, lambda: app.main.view is not None)
        await pilot.press("c")
        await until(pilot, lambda: "this is the same run" in said(app))
        assert "c compares with" not in shown(app)
