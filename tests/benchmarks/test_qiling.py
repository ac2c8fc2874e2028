"""The comparison with Qiling: what it says when Qiling is not there or cannot run a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import qiling

Rootfs = Callable[[str], Path]


def test_without_an_interpreter_one_sentence_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(qiling.VARIABLE, str(tmp_path / "bin" / "python"))
    qiling.main()
    (sentence,) = capsys.readouterr().out.split("\n")[1:-1]
    assert sentence.startswith("Qiling is not installed")
    assert f"python3 -m venv {tmp_path} && {tmp_path}/bin/pip install qiling" in sentence


def test_the_environment_in_the_cache_is_looked_for_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(qiling.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert f"python3 -m venv {tmp_path}/triage-tui/qiling &&" in str(qiling.find_interpreter())


def test_an_interpreter_without_qiling_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(qiling.VARIABLE, sys.executable)
    assert isinstance(qiling.find_interpreter(), str)


def test_a_failure_is_told_in_the_words_of_the_other_side(tmp_path: Path) -> None:
    with pytest.raises(qiling.CannotRun, match="No module named 'qiling'"):
        qiling.run_qiling(Path(sys.executable), tmp_path, ["bin/busybox", "true"], "bare")


def test_answers() -> None:
    told = {"start_s": 0.5, "run_s": 2.0, "calls": 30, "exit_code": 0, "versions": "qiling 1"}
    assert qiling.parse_answer(json.dumps(told)) == qiling.Answer(0.5, 2.0, 30, "qiling 1")
    with pytest.raises(qiling.CannotRun, match=r"^the program ends with code 1: ls: no$"):
        qiling.parse_answer(json.dumps(told | {"exit_code": 1}), "\x1b[93m[!]\x1b[39m x\nls: no\n\n")
    with pytest.raises(qiling.CannotRun, match=r"^it ended without a word$"):
        qiling.parse_answer("", " \n")


def test_what_a_call_costs_leaves_the_start_out() -> None:
    assert qiling.per_call([1.0, 1.1, 9.0], [3.0, 3.1, 0.0], 1_000_000) == pytest.approx(1.9)


@pytest.mark.parametrize("how", ["full", "decoded"])
def test_all_calls_of_a_workload_are_seen(rootfs: Rootfs, how: str) -> None:
    workload = next(one for one in qiling.WORKLOADS if "umask" in one.title)
    counts = [
        qiling.run_supervised(rootfs(workload.root), workload.command(rounds), how)[1]
        for rounds in (100, 1100)
    ]
    assert counts[1] - counts[0] == 3000
