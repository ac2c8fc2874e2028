"""`triage-tui report` and `--lang`: the same evidence in two languages, in lines that a terminal can show."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from triage_tui.cli.main import main
from triage_tui.cli.wrapping import cells, padded, wrap
from triage_tui.resources import recorded_runs
from triage_tui.runs.evidence import links_in


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with one of the recorded runs, the first that has proposals."""
    chosen = next(path for path in recorded_runs() if (path / "rules_patch" / "fix").is_dir())
    shutil.copytree(chosen, tmp_path / "ai_runs" / chosen.name)
    return tmp_path


def test_a_report_in_two_languages(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {}
    for code in ("en", "zh"):
        assert main(["report", "-C", str(workspace), "last", "--lang", code]) == 0
        texts[code] = capsys.readouterr().out
    assert links_in(texts["en"])
    assert sorted(link for _, link in links_in(texts["zh"])) == sorted(
        link for _, link in links_in(texts["en"])
    )
    for label in ("Intent: ", "Expected effect: ", "Risk: ", "Roll back: "):
        assert f"- {label}" in texts["en"]
    for label in ("意图：", "预期效果：", "风险：", "回滚："):  # noqa: RUF001
        assert f"- {label}" in texts["zh"]


def test_html_and_export_take_the_language(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = workspace / "report.html"
    arguments = ["report", "-C", str(workspace), "last", "--format", "html", "-o", str(out)]
    assert main([*arguments, "--lang", "zh"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    html = out.read_text()
    assert '<html lang="zh">' in html
    assert "发生了什么" in html
    assert main(arguments) == 2
    assert "report.html" in capsys.readouterr().err
    monkeypatch.setenv("TRIAGE_TUI_LANG", "zh")
    assert main(["export", "-C", str(workspace), "last", "-o", "-"]) == 0
    text = capsys.readouterr().out
    assert "## 系统调用" in text
    # Words of ours are prose in Markdown, not code.
    assert re.search(r"^- 状态: [^`]+$", text, re.MULTILINE)
    assert main(["report", "-C", str(workspace), "last", "--lang", "tlh"]) == 2
    assert "there is no language 'tlh'; known are en, zh" in capsys.readouterr().err


def test_lines_of_a_summary_fit_the_terminal(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_: os.terminal_size((60, 24)))
    assert main(["show", "-C", str(workspace), "last", "--lang", "zh"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert any("意图" in line for line in lines)
    # Only a word that no line can hold is longer.
    assert not [line for line in lines if cells(line) > 60 and " " in line.strip()]


def test_wrapping_counts_cells() -> None:
    text = "调用 open 失败（没有那个文件或目录），在结束前 3 个调用。"  # noqa: RUF001
    for width in (10, 17, 24, 80):
        lines = wrap(text, width)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert all(cells(line) <= width + 2 and line[0] not in "，。）" for line in lines)  # noqa: RUF001
    assert wrap("plain words here", 11) == ["plain words", "here"]
    assert wrap("", 10) == []
    assert padded("中文", 6) == "中文  "
