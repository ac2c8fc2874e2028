"""A run directory full of terminal attacks, driven through every pane: only our own sequences come out."""

from __future__ import annotations

import base64
import re
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.ui import fixtures
from tests.ui.terminal import Terminal
from triage_tui.runs.writer import encode_json

MARK = "7777"
"""A number that no sequence of ours ever holds, and every attack does."""

ATTACKS = (
    f"\x1b]52;c;{base64.b64encode(b'7777').decode()}\x07",
    f"\x1b]0;{MARK} title\x07",
    f"\x1b]2;{MARK}\x1b\\",
    f"\x1b]8;;http://{MARK}.invalid\x1b\\link\x1b]8;;\x1b\\",
    f"\x1b]10;#{MARK}00\x07\x1b]50;{MARK}\x07\x1b]112;{MARK}\x07",
    f"\x1b[{MARK};1H\x1b[31;{MARK}m\x1b[6n\x1b[2J",
    f"\x1bc\x1bP{MARK}\x1b\\\x1b_{MARK}\x1b\\\x1b^{MARK}\x1b\\",
    f"\x9b{MARK}m\x9d52;c;Nzc3Nw==\x9c\x90{MARK}\x9c",
    f"\x1b]52;c;{MARK} unterminated",
    f"\u202e{MARK}\u2066\u200b\u200d\ufeff\u2028",
    f"{MARK}" + "\u0301" * 400 + "\u200b" * 400,
    f"[@click=app.quit]{MARK}[/] [red]{MARK}[/red] [link=http://{MARK}]x[/link]",
    f"{MARK}\x00\x07\x08\x0b\x0c\r\n\t\x7f",
    f"{MARK} " + "A" * 20_000,
    f"中文{MARK}\U0001f469\u200d\U0001f4bb",
)

HOME = "\x1b[H"
BACKSPACE = "\x7f"

_KEPT = {
    "reason", "kind", "method", "risk", "source", "file", "pseudocode_file", "link", "sha256", "files",
    "schema_version", "fnv1a32", "guest_output", "diagnosis_md", "regs_txt", "backtrace_txt", "retry_log",
}  # fmt: skip
"""Fields that must keep their value for the run to be read at all."""


class _Poison:
    def __init__(self) -> None:
        self._next = 0

    def text(self) -> str:
        self._next += 1
        return ATTACKS[self._next % len(ATTACKS)]

    def value(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self.value(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return value if key in _KEPT else [self.value(item, key) for item in value]
        if isinstance(value, str) and key not in _KEPT:
            return self.text()
        return value


def _poison_json(path: Path, poison: _Poison, keep: dict[str, Any] | None = None) -> None:
    data = poison.value(msgspec.json.decode(path.read_bytes()))
    data.update(keep or {})
    path.write_bytes(encode_json(data))


def make_hostile_run(runs_dir: Path, run_id: str = fixtures.EXIT_RUN) -> Path:
    """A run whose every free text is an attack: snapshot, trace, diagnosis, events, logs, rules, names."""
    run_dir = fixtures.make_exit_run(runs_dir, run_id)
    poison = _Poison()
    block = "\n".join(ATTACKS)
    _poison_json(run_dir / "snapshot.json", poison)
    diagnosis = msgspec.json.decode((run_dir / "diagnosis.json").read_bytes())
    link = diagnosis["hypotheses"][0]["evidence"][0]["link"]
    hostile = poison.value(diagnosis)
    hostile["hypotheses"][0]["source"] = "model"
    hostile["hypotheses"][0]["explanation"] = " ".join(
        f"{attack} [{attack[:300]}]({link})" for attack in ATTACKS
    )
    hostile["unknown_next"] = block
    (run_dir / "diagnosis.json").write_bytes(encode_json(hostile))
    lines = (msgspec.json.decode(line) for line in (run_dir / "trace.jsonl").read_bytes().splitlines())
    (run_dir / "trace.jsonl").write_bytes(
        b"".join(msgspec.json.encode(poison.value(line)) + b"\n" for line in lines)
    )
    raw = block.encode() + b"\xff\xfe\x9b31m\x1b[5m\n" + b"B" * (1 << 20)
    (run_dir / "logs" / "guest.log").write_bytes(raw)
    (run_dir / "logs" / "\x1b]0;7777\x07\u202elog").write_bytes(raw)
    (run_dir / "retry.log").write_bytes(raw)
    (run_dir / "verdict.json").write_bytes(
        encode_json({"word": ATTACKS[0], "rung": ATTACKS[1], "reasons": list(ATTACKS[2:6])})
    )
    for name in ("pseudocode/frame01_0x431e4c.txt", "pseudocode/frame02_0x42f7a0.txt"):
        (run_dir / name).write_text(f"{block}\ncode-of-the-frame\n")
    for path in (run_dir / "rules_patch").rglob("*.lua"):
        path.write_text(f"-- id: {ATTACKS[0]}\n{block}\n")
    (run_dir / "rules_patch/fix/syscall" / "\x1b[31;7777m\u202e.lua").write_text(block)
    events = [
        (kind, poison.value(payload) if kind != "captured" else payload) for kind, payload in _events(run_dir)
    ]
    events.append(("rejected", {"reason": block}))
    fixtures.write_events(run_dir, events)
    return run_dir


def _events(run_dir: Path) -> list[tuple[str, dict[str, Any]]]:
    decoded = [msgspec.json.decode(line) for line in (run_dir / "events.jsonl").read_bytes().splitlines()]
    return [(event["kind"], event["payload"]) for event in decoded]


_PANES = (
    ("1", "0.93"), ("2", "intent"), ("3", "held before it happens"), ("5", "code-of-the-frame"),
    ("4", "0x00431e4c"), ("6", "0x00001096"), ("7", "bytes"), ("8", "Target"), ("9", "9 Retry"),
    ("H", "Decisions"),
)  # fmt: skip


def _drive(workspace: Path) -> Terminal:
    """Open every pane, scroll it from end to end, filter, ask for help, palette and a reason, and leave."""
    with Terminal(workspace, rows=50, columns=100) as terminal:
        terminal.until("waits for you")
        for key, text in _PANES:
            terminal.press(key)
            if key == "5":
                terminal.press("G")
            terminal.until(text)
            terminal.press("G")
            terminal.press(HOME)
            terminal.until(text if key != "5" else "5 Code")
            if key == "6":
                terminal.press("]]][[[[[G\r")
            if key == "7":
                terminal.press("g7777@sp+zz\r")
                terminal.until("Nothing in this record")
                terminal.press(BACKSPACE * 20)
                terminal.until("numbers are hex")
                terminal.press("\x1b")
                terminal.until_gone("numbers are hex")
        terminal.press("1jjjjj\r")
        terminal.press("3/zz9\r")
        terminal.until("No syscall matches")
        terminal.press("\x1b")
        terminal.until_gone("No syscall matches")
        terminal.press("?")
        terminal.until("Review and decide")
        terminal.press("q")
        terminal.until_gone("Review and decide")
        terminal.press("E")
        terminal.until("End the frozen guest")
        terminal.press("q")
        terminal.until_gone("End the frozen guest")
        terminal.press("2a")
        terminal.press("\x10")
        terminal.until("Search for commands")
        terminal.press("\x1b")
        terminal.until_gone("Search for commands")
        terminal.press("qq")
        assert terminal.finish() == 0
    return terminal


_CSI = re.compile(r"\x1b\[([0-?]*)([ -/]*)([@-~])")


_POINTER = re.compile("\x1b]22;[a-z]{3,16}\x07")
"""The shape of the mouse pointer: the one OSC sequence that Textual itself sends."""

_TITLE = re.compile("\x1b]2;triage-tui(: [0-9]{1,2} waits? for you)?\x1b\\\\")
"""The title of the window."""


def _sequences(raw: bytes) -> set[str]:
    """Check the bytes one by one and return the control sequences in them, colours and positions apart."""
    text = _TITLE.sub("", _POINTER.sub("", raw.decode("utf-8")))
    assert "\x1b]" not in text, "an OSC sequence came from data"
    assert MARK not in "".join(match[0] for match in _CSI.finditer(text)), "a CSI sequence came from data"
    kinds = {match[0] for match in _CSI.finditer(text) if match[3] not in "mH"}
    rest = _CSI.sub("", text)
    others = set(re.findall(r"\x1b[^\[]?[^\x1b]{0,6}", rest))
    rest = rest.replace("\x1b", "")
    for char in set(rest) - {"\n", "\r"}:
        category = unicodedata.category(char)
        assert category not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"), (
            f"U+{ord(char):04X} reached the terminal"
        )
    for run in re.findall(r"[\u0300-\u036f]+", rest):
        assert len(run) <= 8, "a flood of combining marks reached the terminal"
    return kinds | others


@pytest.fixture(scope="module")
def own_sequences(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the app itself sends, on a harmless workspace and the same keys."""
    root = tmp_path_factory.mktemp("plain")
    run_dir = fixtures.make_exit_run(root / "ai_runs")
    for name in ("pseudocode/frame01_0x431e4c.txt", "pseudocode/frame02_0x42f7a0.txt"):
        (run_dir / name).write_text("first\ncode-of-the-frame\n")
    return _sequences(_drive(root).raw)


def test_attacks_reach_no_terminal(tmp_path: Path, own_sequences: set[str]) -> None:
    make_hostile_run(tmp_path / "ai_runs")
    terminal = _drive(tmp_path)
    assert _sequences(terminal.raw) <= own_sequences
    assert MARK.encode() in terminal.raw, "the attacks were shown, as text"
