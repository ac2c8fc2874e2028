"""The parts of the app that need no screen: rows, differences, colours of code, filters, themes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.runs.build import killed_main, write_run
from tests.ui import fixtures, texts
from triage_tui.errors import TriageError
from triage_tui.resources import shipped
from triage_tui.rulebook.active import rule_id
from triage_tui.runs.listing import RunSummary
from triage_tui.runs.model import Loop, Syscall
from triage_tui.runs.stories import Entry, ordered
from triage_tui.ui.actions import ACTIONS, BY_ID
from triage_tui.ui.call_rows import loop_mark
from triage_tui.ui.hex_rows import bytes_per_row, hex_cells, hex_row
from triage_tui.ui.highlight import assembly_lines, c_lines, lua_lines
from triage_tui.ui.loading import load_view
from triage_tui.ui.panes.diagnosis import text_with_links
from triage_tui.ui.panes.process import process_rows
from triage_tui.ui.panes.registers import register_rows
from triage_tui.ui.rows import BLANK, ListRows, Row, fit, short, wrap_parts, wrapped
from triage_tui.ui.run_rows import run_row
from triage_tui.ui.runs_filter import compile_filter
from triage_tui.ui.theming import load_themes, read_theme
from triage_tui.ui.threads import threads_of
from triage_tui.ui.words import place


@pytest.mark.parametrize("text", ["", "plain", "中文字", "a中b", "x" * 50])
@pytest.mark.parametrize("width", [1, 2, 5, 9])
def test_fit_is_exactly_as_wide_as_asked(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, "right")) == width


def test_rows_of_a_list_are_found_again_at_another_width() -> None:
    words = ["one two three four five six seven", "eight nine ten eleven twelve", "thirteen"]

    def build(width: int) -> list[Row]:
        return [row for text in words for row in (*wrapped(text, width, target=text), BLANK)]

    rows = ListRows(build)
    rows.layout(12)
    second = [index for index in range(len(rows)) if rows.row(index).target == words[1]]
    assert len(second) > 2
    cursor, marks = rows.relayout(80, second[-1], dict.fromkeys(second))
    assert rows.row(cursor).target == words[1]
    assert list(marks) == [cursor]
    cursor, marks = rows.relayout(12, cursor, marks)
    assert cursor == second[0]
    assert list(marks) == second, "all of what it says is marked"
    _, marks = rows.relayout(8, cursor, {second[1]: None})
    assert [rows.row(index).target for index in marks] == [words[1]], "one row of it was, so one is"


def test_short_is_safe_and_bounded() -> None:
    assert short("\x1b[31mred", 30) == "\\x1b[31mred"
    assert cell_len(short("中" * 1000, 9)) <= 9


def test_wrapping_keeps_every_word_and_the_width() -> None:
    words = "one two three 中文字 " + "x" * 70 + " end"
    lines = wrap_parts([(words, "a"), ("tail", "b")], 24, "> ", "  ")
    texts = ["".join(text for text, _ in line) for line in lines]
    assert all(cell_len(text) <= 24 for text in texts)
    assert "".join("".join(texts).replace(">", "").split()) == "".join((words + "tail").split())


def test_links_in_text_cover_their_words_even_across_lines() -> None:
    rows = text_with_links("It [read the long file name](ev:syscall/7) and [died](ev:syscall/9).", 20, 2)
    found = [(row.text[a:b], link) for row in rows for a, b, link in row.links]
    assert " ".join(text for text, link in found if link == "ev:syscall/7") == "read the long file name"
    assert ("died", "ev:syscall/9") in found


@pytest.mark.parametrize("colour", [lua_lines, c_lines, assembly_lines])
@pytest.mark.parametrize(
    "text", [texts.OPEN_RULE, texts.PSEUDOCODE, texts.DISASSEMBLY, "'[[ --[==[ \"", "\n\n"]
)
def test_colours_never_change_the_text(colour: object, text: str) -> None:
    lines = text.split("\n")
    assert callable(colour)
    assert ["".join(part for part, _ in row) for row in colour(lines)] == lines


def test_lua_and_assembly_are_coloured() -> None:
    assert ("function", "keyword") in lua_lines(["function f() end"])[0]
    roles = dict(assembly_lines(["=> 0x0016916c  0040a0e1  mov      r4, #0x10 ; note"])[0])
    assert roles["mov"] == "mnemonic"
    assert roles["r4"] == "register"
    assert roles["#0x10"] == "number"
    assert roles["; note"] == "comment"


def test_hex_rows_line_up_with_the_cells_of_their_bytes() -> None:
    data = bytes(range(0x40, 0x60))
    row = hex_row(data, 16, 0x1000, 16).text
    for index in range(16):
        first, end = hex_cells(index)
        assert row[first:end] == f"{data[16 + index]:02x}"
    assert row.endswith("PQRSTUVWXYZ[\\]^_")
    assert (bytes_per_row(79), bytes_per_row(50), bytes_per_row(30)) == (16, 8, 4)


def test_loop_brackets_follow_the_period() -> None:
    loop = Loop(period=3, repeats=2, first_seq=10, last_seq=15, tid=4, round_seqs=[10, 13])
    calls = [Syscall(seq=seq, name="read", tid=4) for seq in range(9, 17)]
    assert "".join(loop_mark(loop, call)[0] for call in calls) == " ╭││╭│╰ "
    assert loop_mark(loop, Syscall(seq=11, name="futex", tid=5))[0] == "┊"
    assert loop_mark(Loop(period=1, repeats=9, first_seq=1, last_seq=9), calls[0])[0] == "↻"


def test_changed_registers_are_starred(tmp_path: Path) -> None:
    view = load_view(fixtures.make_exit_run(tmp_path / "ai_runs"), tmp_path)
    shown = threads_of(view.snapshot)[0]
    starred = [row.target for row in register_rows(view, shown, 80) if row.text.startswith(" *")]
    assert starred == ["v0", "a1"]


def test_processes_and_their_descriptors_are_shown_and_secrets_are_not(tmp_path: Path) -> None:
    view = load_view(fixtures.make_exit_run(tmp_path / "ai_runs"), tmp_path)
    text = "\n".join(row.text for row in process_rows(view, 80))
    assert "connected 127.0.0.1:40112 127.0.0.1:53" in text
    assert "O_RDWR O_CLOEXEC, from openat, syscall 8" in text
    assert "Descriptors of process 7" in text
    assert "at 3 of 120" in text
    assert "PATH" in text
    assert "hunter2" not in text
    assert "\x1b" not in text


def _run(run_id: str, **more: object) -> RunSummary:
    return RunSummary(run_id=run_id, **more)  # type: ignore[arg-type]


def test_filter_terms_all_hold() -> None:
    exits = _run(
        "20251118_140000_00000001",
        reason="exit",
        arch="mipsel",
        cause="missing_file",
        program="/bin/a",
        state="proposed",
    )
    loops = _run(
        "20251118_100000_00000002",
        reason="sleep_loop",
        arch="arm",
        cause="missing_device",
        program="/bin/b",
        waiting=True,
    )
    runs = [exits, loops]

    def kept(text: str) -> list[RunSummary]:
        return [run for run in runs if compile_filter(text, datetime(2025, 11, 18, 15, 0))(run)]

    assert kept("") == runs
    assert kept("reason:exit") == [exits]
    assert kept("arch:mips cause:missing") == [exits]
    assert kept("state:waiting") == [loops]
    assert kept("since:2h") == [exits]
    assert kept("since:1d missing_d") == [loops]
    assert kept("since:nonsense") == runs
    assert kept("reason:") == runs
    assert kept("reason:exit arch:arm") == []


def test_waiting_runs_come_first_then_the_newest() -> None:
    old, new, waits = (
        _run("20250101_000000_00000001"),
        _run("20250301_000000_00000003"),
        _run("20250201_000000_00000002", waiting=True),
    )
    assert ordered([old, new, waits]) == [waits, new, old]


def test_shipped_themes_load_without_a_problem() -> None:
    themes, problems = load_themes()
    assert {"triage-dark", "triage-light"} <= {theme.name for theme in themes}
    assert problems == []


def test_user_theme_replaces_and_a_bad_one_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "config" / "triage-tui" / "themes"
    directory.mkdir(parents=True)
    (directory / "mine.yaml").write_text(
        "name: mine\ncolors: {primary: '#123456'}\nroles: {wait: '#ffffff'}\n"
    )
    (directory / "bad.yaml").write_text("name: bad\ncolors: {primary: 'no colour \x1b[31m'}\n")
    themes, problems = load_themes()
    mine = next(theme for theme in themes if theme.name == "mine")
    assert mine.variables["role-wait"] == "#ffffff"
    assert len(problems) == 1
    assert problems[0].isprintable()


@pytest.mark.parametrize(
    "text", ["[", "name: 3", "a: b", "name: x\ncolors: {nonsense: red, primary: red}", "name: x"]
)
def test_theme_that_is_no_theme_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "theme.yaml"
    path.write_text(text)
    with pytest.raises(TriageError):
        read_theme(path)


def test_every_action_has_a_name_of_its_own_and_avoids_keys_others_need() -> None:
    assert len(BY_ID) == len(ACTIONS)
    keys = {key for action in ACTIONS for key in action.keys.split(",")}
    assert not keys & {"ctrl+q", "ctrl+b", "ctrl+o", "ctrl+c"}
    assert [action.id for action in ACTIONS if "ctrl+z" in action.keys] == ["suspend"]
    main = [
        key for action in ACTIONS if action.scope in ("main", "app", "list") for key in action.keys.split(",")
    ]
    assert len(main) == len(set(main))


def test_rule_id_is_read_from_the_header() -> None:
    assert rule_id(texts.OPEN_RULE) == "fix-ioctl-3f2a91c0"
    assert rule_id("return 1") is None
    assert shipped("themes").is_dir()


def test_the_home_directory_is_written_as_people_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert place("/home/ann/router") == "~/router"
    assert place("/home/anna/router") == "/home/anna/router"
    assert place("/\x1b[2J") == "/\\x1b[2J"


@pytest.mark.parametrize("width", [80, 120])
def test_the_longest_architecture_leaves_a_gap_before_the_cause(width: int) -> None:
    run = _run("20251118_133005_00000001", program="/x", argv=["x"], arch="mips64el", cause="network_wait")
    row = run_row(Entry(run), width)
    assert "mips64el " in "".join(text for text, _role in row.parts)


def test_a_process_that_is_gone_shows_how_it_ended_and_no_figures(tmp_path: Path) -> None:
    view = load_view(write_run(tmp_path / "ai_runs", processes=[killed_main()]), tmp_path)
    text = "\n".join(row.text for row in process_rows(view, 120))
    assert "x -d" in text
    assert "killed by SIGKILL, which process 4 sent with kill" in text
    assert "thread" not in text
    assert [thread.process for thread in threads_of(view.snapshot)] == [None]
