"""Attacks on the app: everything is visited once in a real terminal, and only our own sequences come out."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.corpus import ATTACKS, MARK, RAW
from tests.hostile.planting import CODE, SURROGATES_RUN, plant_workspace
from tests.hostile.stream import check_terminal
from tests.ui import fixtures
from tests.ui.terminal import Terminal
from triage_tui.runs.events import read_events

HOME, END = "\x1b[H", "G"
BACKSPACE = "\x7f"
PANES = (
    ("1", "0.93"), ("2", "hunk 1 of 1"), ("3", "17.0ms"), ("4", "0x00431e4c"),
    ("6", "0x00001096"), ("7", "bytes"), ("8", "Target"), ("9", "Rules in this round"), ("H", "14:"),
)  # fmt: skip


def over(terminal: Terminal, keys: str, text: str, leave: str = "\x1b") -> None:
    """Open something over the panes, see it, and leave it."""
    terminal.press(keys)
    terminal.until(text)
    terminal.press(leave)
    terminal.until_gone(text)


def visit_panes(terminal: Terminal) -> None:
    # The list of runs comes first, which is not yet the time for the keys of panes.
    terminal.insist("5", f"[@click=app.quit]{MARK}")
    terminal.insist(END, CODE)
    for key, text in PANES:
        terminal.press(key)
        terminal.until(text)
        terminal.press(END)
        terminal.press(HOME)
        terminal.until(text)


def look_closer(terminal: Terminal) -> None:
    terminal.press("1/syscall 11\r")
    terminal.until("✗ syscall 11")
    lines = enumerate(terminal.text.split("\n"))
    row, line = next((n, line) for n, line in lines if "✗ syscall 11" in line)
    # The mouse over the link, and away.
    terminal.press(f"\x1b[<35;{line.index('syscall 11') + 3};{row + 1}M")
    terminal.until("Syscall 11")
    terminal.press("\x1b[<35;1;1M")
    terminal.until_gone("Syscall 11")
    over(terminal, "K", "esc leave")
    over(terminal, "B", "Why this and not that")
    # What was peeked at may have covered it: to be gone later, it must be seen now.
    terminal.until("/syscall 11")
    terminal.press("\x1b")
    terminal.until_gone("/syscall 11")
    terminal.press("3" + HOME)
    terminal.until("17.0ms")
    over(terminal, "\r", "esc leave")
    terminal.press("t/")
    terminal.until("name:open")
    terminal.press("zz9")
    terminal.until("No syscall matches")
    terminal.press("\r")
    terminal.press("\x1b")
    terminal.until_gone("No syscall matches")
    terminal.press("6]]][[[[[" + END + "\r")
    terminal.press("7g7777@sp+zz\r")
    terminal.until("Nothing in this record")
    terminal.press(BACKSPACE * 20)
    terminal.until("numbers are hex")
    terminal.press("\x1b")
    terminal.until_gone("numbers are hex")


def decide(terminal: Terminal) -> None:
    over(terminal, "2x", "Why reject")
    over(terminal, "E", "End the frozen guest", "q")
    terminal.press("2a")
    terminal.until("cannot be approved")
    terminal.press("m")


def copy_and_export(terminal: Terminal) -> None:
    for pane in "1389":
        terminal.press(pane + HOME + "y")
    terminal.until("Row copied")
    over(terminal, "3Y", "Copy what?", "1")
    terminal.until("copied")
    over(terminal, "W", "Export run", "1")
    terminal.until("Exported to")


def other_runs(terminal: Terminal) -> None:
    terminal.press("0" + HOME)
    terminal.press("c")
    terminal.until("c compares with")
    terminal.press("jj")
    terminal.until("sleeps in a loop: 40")
    terminal.press("c")
    terminal.until("Two runs compared")
    terminal.press("\x1b")
    terminal.until_gone("Two runs compared")
    terminal.press("/" + SURROGATES_RUN[-4:])
    terminal.until("1 of ")
    terminal.press("\r")
    terminal.until("is not valid JSON")
    terminal.press("\x1b")
    terminal.until("watchd ")
    terminal.press("0" + HOME + "s*")
    terminal.until("✓")
    over(terminal, "x", "Why reject")
    terminal.press("J")
    terminal.until("a Runs")
    terminal.press("\x1b")
    terminal.until("0 Runs")


def campaigns(terminal: Terminal) -> None:
    terminal.press("Q")
    terminal.until("Campaign 2")
    terminal.until("unknown")
    # A target without a run says so.
    terminal.press("\r")
    terminal.until("has no run")
    for keys in ("s", "o\r", "o", "2", "3", "4" + END, "4" + HOME + "\r", "\x1b"):
        terminal.press(keys)
        terminal.until("esc leave")
    terminal.press("5c1")
    terminal.until("Against campaign")
    terminal.press(END + "y")
    terminal.press("\x1b")
    terminal.until_gone("Against campaign")


def type_attacks(terminal: Terminal) -> None:
    """Paste and type them where something can be typed."""
    pasted = "".join(ATTACKS[:-1])
    terminal.press("0/")
    terminal.press(f"\x1b[200~{pasted}\x1b[201~")
    terminal.until("No run matches")
    terminal.press("\x1b")
    terminal.until_gone("No run matches")
    terminal.press("/")
    terminal.until("keep the filter")
    terminal.press(b"".join(RAW) + b"z")
    terminal.until("No run matches")
    terminal.press("\x1b")
    terminal.until_gone("No run matches")


def test_only_our_own_sequences_reach_the_terminal(tmp_path: Path) -> None:
    workspace = plant_workspace(tmp_path)
    settings = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}
    with Terminal(workspace, rows=50, columns=100, **settings) as terminal:
        terminal.until("waits for you")
        visit_panes(terminal)
        look_closer(terminal)
        decide(terminal)
        copy_and_export(terminal)
        over(terminal, "?", "Review and decide", "q")
        over(terminal, ":", "Search for commands")
        other_runs(terminal)
        campaigns(terminal)
        type_attacks(terminal)
        for rows, columns in ((24, 80), (48, 160)):
            terminal.resize(rows, columns)
            terminal.press("0" + HOME + "1")
            terminal.until("Why" if columns == 80 else "Diagnosis")
            for key in "23456789H":
                terminal.press(key + END)
            terminal.press("2v" + END + HOME + "v3tt5/unterminated\rn")
            terminal.until("/unterminated")
            terminal.press("\x1b")
            terminal.until_gone("/unterminated")
            terminal.press("1" + HOME)
            terminal.until("0.93")
        terminal.press("q")
        terminal.until("What is to become of it?")
        terminal.press("q")
        assert terminal.finish() == 0
    copied = check_terminal(terminal.raw)
    assert len(copied) >= 4
    assert any(MARK in text for text in copied)
    assert terminal.raw.count(MARK.encode()) > 1000, "the attacks were shown, as text"
    # Nothing that was shown, pasted or clicked decided anything.
    events, problems = read_events(workspace / "ai_runs" / fixtures.EXIT_RUN)
    assert problems == []
    assert [event.kind for event in events if event.kind in ("approved", "activated", "decision")] == []
