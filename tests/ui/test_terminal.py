"""The app in a real pseudo terminal."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.ui import fixtures
from tests.ui.terminal import Terminal
from triage_tui.runs.reader import load_run


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return fixtures.make_workspace(tmp_path / "demo")


def test_open_look_resize_to_nothing_and_back_and_quit(demo: Path) -> None:
    with Terminal(demo) as terminal:
        terminal.until("waits for you")
        terminal.until("likely: missing_interface")
        terminal.press("/")
        terminal.until("keep the filter")
        # In one write: the key behind Enter is for the list, not for the filter.
        terminal.press("target:udhcpc\r1")
        terminal.until("The network interface eth0 does not exist")
        terminal.press("3")
        terminal.until("held before it happens")
        terminal.press("6")
        terminal.until("was 0x1057")
        terminal.resize(10, 40)
        terminal.until("Please make this terminal larger")
        terminal.resize(24, 80)
        terminal.until("was 0x1057")
        terminal.resize(48, 160)
        terminal.until("held before it happens")
        # What changes while the screen is laid out for the line is drawn as well: the title of the list.
        terminal.press("0/")
        terminal.until("keep the filter")
        terminal.press("z")
        terminal.until("/target:udhcpcz")
        terminal.press("\x1b")
        terminal.until_gone("/target:udhcpcz")
        terminal.press("qq")
        assert terminal.finish() == 0
    assert b"Traceback" not in terminal.raw


@pytest.mark.parametrize("kind", ["dumb", "vt52"])
def test_a_terminal_without_ansi_places_is_refused(demo: Path, kind: str) -> None:
    with Terminal(demo, columns=200, TERM=kind) as terminal:
        assert terminal.finish() == 2
    assert f"cannot draw on a terminal of the kind TERM={kind}" in terminal.text
    assert b"\x1b[" not in terminal.raw


def in_order(raw: bytes) -> bool:
    """Tell whether the last that was sent gives the shell its screen, cursor, mouse and title back."""
    begun = max(raw.rfind(b"\x1b[?1049h"), raw.rfind(b"\x1b[22;2t"))
    last = raw[begun:]
    return all(code in last for code in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1003l", b"\x1b[23;2t"))


def test_leaving_asks_what_becomes_of_a_frozen_guest(demo: Path) -> None:
    with Terminal(demo) as terminal:
        terminal.until("waits for you")
        terminal.until("likely: missing_interface")
        terminal.press("q")
        terminal.until("What is to become of it?")
        terminal.press("4")
        terminal.until_gone("What is to become of it?")
        terminal.press("qq")
        assert terminal.finish() == 0
    assert b"1 frozen guest goes on waiting: open the app again" in terminal.raw
    assert in_order(terminal.raw)


def test_a_guest_can_be_resumed_on_the_way_out(demo: Path) -> None:
    with Terminal(demo) as terminal:
        terminal.until("waits for you")
        terminal.press("q")
        terminal.until("What is to become of it?")
        terminal.press("2")
        assert terminal.finish() == 0
    assert b"goes on waiting" not in terminal.raw
    assert load_run(demo / "ai_runs" / fixtures.EXIT_RUN).events[-1].payload == {"action": "resume"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_in_order_and_the_guests_as_they_are(
    demo: Path, number: signal.Signals
) -> None:
    before = load_run(demo / "ai_runs" / fixtures.EXIT_RUN).events
    with Terminal(demo) as terminal:
        terminal.until("likely: missing_interface")
        os.kill(terminal.pid, number)
        assert terminal.finish() == 128 + number
    assert in_order(terminal.raw)
    assert b"1 frozen guest goes on waiting" in terminal.raw
    assert load_run(demo / "ai_runs" / fixtures.EXIT_RUN).events == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_what_is_typed_into_a_rule(demo: Path, number: signal.Signals) -> None:
    with Terminal(demo) as terminal:
        terminal.until("likely: missing_interface")
        terminal.press("2")
        terminal.until("Let udhcpc believe")
        terminal.insist("i", "ctrl+s")
        terminal.press("--mine ")
        terminal.until("--mine ")
        os.kill(terminal.pid, number)
        assert terminal.finish() == 128 + number
    assert in_order(terminal.raw)
    with Terminal(demo) as terminal:
        terminal.until("Let udhcpc believe")
        terminal.insist("i", "--mine ")


def test_the_app_stops_and_comes_back(demo: Path) -> None:
    with Terminal(demo) as terminal:
        terminal.until("likely: missing_interface")
        terminal.press("3")
        terminal.until("held before it happens")
        terminal.press("\x1a")
        terminal.until_stopped()
        assert in_order(terminal.raw)
        os.kill(terminal.pid, signal.SIGCONT)
        terminal.until("held before it happens")
        terminal.press("6")
        terminal.until("was 0x1057")
        terminal.press("qq")
        assert terminal.finish() == 0


def test_a_whole_review_is_on_disk_afterwards(demo: Path) -> None:
    run_dir = demo / "ai_runs" / fixtures.EXIT_RUN
    with Terminal(demo, EDITOR="sed -i s/ifindex/ifindex_or/") as terminal:
        terminal.until("likely: missing_interface")
        terminal.press("2")
        terminal.until("Let udhcpc believe")
        terminal.settle()
        terminal.press("e")
        terminal.until("The edit of")
        terminal.insist("a", "active: generation 0001")
        # The rule is edited once more, and the one hunk of that is chosen and approved.
        terminal.settle()
        terminal.press("e")
        terminal.until("+1 -1")
        terminal.insist("g}", "space choose")
        terminal.press(" ")
        terminal.until("✓ hunk 1 of 1")
        terminal.insist("a", "active as it")
        terminal.press("g")
        terminal.until("active: generation 0002")
        # Undone one by one: the approval, the edit, and the approval before.
        terminal.settle()
        terminal.press("u")
        terminal.until("active: generation 0001")
        terminal.until("+1 -1")
        terminal.settle()
        terminal.press("u")
        terminal.until("active as it")
        terminal.settle()
        terminal.press("u")
        terminal.until("no rule is active for this target")
        terminal.settle()
        terminal.press("r")
        terminal.until("The guest goes on")
        terminal.press("q")
        assert terminal.finish() == 0
    run = load_run(run_dir)
    kinds = [event.kind for event in run.events]
    decided = ["edited", "approved", "activated"]
    assert kinds[3:] == [*decided, *decided, "rolled_back", "edited", "rolled_back", "decision"]
    text = (run_dir / "rules_patch/fix/syscall/ioctl.lua").read_text()
    assert "ifindex_or" in text
    assert "ifindex_or_or" not in text
    assert run.events[-1].payload == {"action": "resume"}


@pytest.mark.parametrize(
    ("editor", "sentence"),
    [
        ("/nonexistent/editor", "cannot be started"),
        ("false", "editor ended with 1"),
        ("true", "Nothing was changed"),
    ],
)
def test_an_editor_that_fails_gives_the_terminal_back(demo: Path, editor: str, sentence: str) -> None:
    with Terminal(demo, EDITOR=editor) as terminal:
        terminal.until("likely: missing_interface")
        terminal.press("2")
        terminal.until("Let udhcpc believe")
        terminal.press("e")
        terminal.until(sentence)
        terminal.press("3")
        terminal.until("held before it happens")
        terminal.press("qq")
        assert terminal.finish() == 0
