"""The calls of a function of a recorded run, as the app shows them."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.binary.symbols import parse_image
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.call_lines import call_lines
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import Run, load_run

PROGRAM = Path(__file__).parents[1] / "binary" / "programs" / "imports.arm"
BIAS = 0x40000000


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    maps = [Mapping(start=BIAS, end=BIAS + 0x1000, perms="r-x", path="/sbin/x")]
    directory = write_run(tmp_path / "ai_runs", maps=maps)
    (directory / "start.json").write_text(json.dumps({"program": str(PROGRAM), "argv": ["x"]}))
    return load_run(directory)


def test_calls_strings_and_the_way_are_told_with_links_to_the_code(run: Run, tmp_path: Path) -> None:
    starts = {symbol.name: symbol.start for symbol in parse_image(PROGRAM.read_bytes()).symbols}
    address = BIAS + starts["caller"] + 8
    name, lines = call_lines(Workspace(tmp_path), run, address, "test", threading.Event())
    assert name == "caller"
    text = "\n".join(line.text for line in lines)
    assert "cyclomatic complexity 1" in text
    assert "outside  (imported)" in text
    assert "no function of the file leads to it" in text
    assert "leads to 2 functions" in text
    assert '"a text of imports"' in text
    assert "reached from where the file is entered, by calls only" in text
    [inner] = [line for line in lines if line.text.endswith("  inner")]
    assert inner.link == f"ev:code/{BIAS + starts['inner']:#x}"
    _, lines = call_lines(Workspace(tmp_path), run, BIAS + starts["inner"], "test", threading.Event())
    assert "called by 1 function, at 1 place" in [line.text for line in lines]


def test_where_there_is_no_code_a_sentence_says_so(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="no function of x is known"):
        call_lines(Workspace(tmp_path), run, BIAS + 0x900, "test", threading.Event())
