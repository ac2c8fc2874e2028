"""The tools over program code, on a library for ARM that a run has mapped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.runs.build import write_run
from triage_tui.analyst.tools import Case, call
from triage_tui.binary import index_store
from triage_tui.errors import TriageError
from triage_tui.runs.frame_model import Backtrace, Frame
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import load_run

DATA = (Path(__file__).parents[1] / "binary" / "programs" / "imports.arm").read_bytes()
PROGRAM, OTHER = "/sbin/x", "/lib/libother.so"
BIAS = 0x40000000


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    index_store._memory.clear()
    maps = [
        Mapping(start=BIAS, end=BIAS + 0x1000, perms="r-x", path=PROGRAM),
        Mapping(start=BIAS + 0x9000, end=BIAS + 0xA000, perms="r-x", path=OTHER),
    ]
    frame = Frame(
        idx=0, addr=BIAS, addr_hex=hex(BIAS), module_real_path=PROGRAM, module_offset=_start("inner")
    )
    backtrace = Backtrace(frames=[frame])
    run = load_run(write_run(tmp_path / "ai_runs", maps=maps, backtrace=backtrace))

    def content(path: str) -> bytes:
        if path == PROGRAM:
            return DATA
        raise TriageError(f"{path} is gone")

    return Case(run, program_file=content)


def _start(name: str) -> int:
    from triage_tui.binary.symbols import parse_image

    return next(symbol.start for symbol in parse_image(DATA).symbols if symbol.name == name)


def ask(case: Case, name: str, **arguments: Any) -> dict[str, Any]:
    answer = call(case, name, arguments)
    assert answer["success"], answer
    return answer


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["function_name"] for row in rows]


def test_callers_callees_and_the_way_to_a_function(case: Case) -> None:
    callers = ask(case, "get_callers", function_name="inner")
    assert names(callers["callers"]) == ["caller"]
    assert callers["module"] == PROGRAM
    assert names(ask(case, "get_callees", function_name="caller")["callees"]) == ["outside", "inner"]
    assert names(ask(case, "get_callers", function_name="x!elsewhere")["callers"]) == ["inner"]
    reach = ask(case, "is_reachable", function_name="elsewhere", from_function="caller")
    assert (reach["reachable"], reach["certain"]) == (True, True)
    assert names(reach["path"]) == ["caller", "inner", "elsewhere"]
    assert reach["path"][1]["how"] == "call"
    away = ask(case, "is_reachable", function_name="caller", from_function="inner")
    assert (away["reachable"], away["path"]) == (False, [])
    rows = ask(case, "get_reachable_functions", from_function="caller", pattern="^(in|el)")["functions"]
    assert [(row["function_name"], row["steps"]) for row in rows] == [("inner", 1), ("elsewhere", 2)]


def test_functions_are_meant_by_addresses_of_the_file_and_of_the_run(case: Case) -> None:
    start = _start("inner")
    for address in (start, start + 4, BIAS + start):
        assert ask(case, "get_function_metadata", function_name=hex(address))["function_name"] == "inner"


def test_what_is_known_of_a_function(case: Case) -> None:
    known = ask(case, "get_function_metadata", function_name="caller")
    assert known["architecture"] == "arm"
    assert known["address_in_run"] == hex(BIAS + _start("caller"))
    assert known["strings"][0]["text"] == "a text of imports"
    assert (known["callees"], known["cyclomatic_complexity"], known["found_by"]) == (2, 1, "symbol")
    assert ask(case, "get_function_metadata", function_name="inner")["frames"]
    source = ask(case, "get_function_source", function_name="caller")
    assert source["kind"] == "disassembly"
    assert "<outside>" in source["source"]


def test_names_strings_and_instructions_are_searched(case: Case) -> None:
    found = ask(case, "search_code", pattern="text of|^bl |inner")
    assert names(found["functions"]) == ["inner"]
    [text] = [row for row in found["strings"] if row["used_by"]]
    assert (text["text"], text["used_by"][0]["function_name"]) == ("a text of imports", "caller")
    assert {row["function_name"] for row in found["code"]} == {"caller", "inner"}
    assert "code" not in ask(case, "search_code", pattern="x", what="strings")


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("get_callers", {"function_name": "iner"}, "similar are inner"),
        ("get_callers", {"function_name": "inner", "module": "libnone.so"}, "no program file"),
        ("get_callers", {"function_name": "inner", "module": "libother.so"}, "is gone"),
        ("get_callers", {"function_name": "0xffffffff"}, "no function"),
        ("get_callers", {"function_name": "\x00\x1b[2J"}, "no function"),
        ("get_callees", {"function_name": "outside"}, "imported"),
        ("get_function_source", {"function_name": "outside"}, "imported"),
        ("search_code", {"pattern": "("}, "RE2"),
        ("search_code", {"pattern": "("}, "'(' is no RE2 expression: missing ): ("),
        ("get_variable_type", {"variable_name": "value", "function_name": "inner"}, "no debug information"),
    ],
)
def test_what_is_not_there_is_a_sentence(case: Case, name: str, arguments: dict[str, str], says: str) -> None:
    answer = call(case, name, arguments)
    assert not answer["success"]
    assert says in answer["error"]
    assert "\x1b" not in answer["error"]


def test_pseudocode_of_an_analysis_comes_before_disassembly(case: Case, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "inner.c").write_text("int inner(int value)\n{\n}\n")
    entry = {"name": "inner", "entry": {"offset": _start("inner")}, "size": 8, "pseudocode_file": "inner.c"}
    text = {"file": {"name": "x", "real_path": PROGRAM}, "functions": [entry]}
    (results / "x.json").write_text(json.dumps(text))
    case.sfanalysis = results
    source = ask(case, "get_function_source", function_name="inner")
    assert (source["kind"], source["provenance"]) == ("pseudocode", "pseudocode from SFAnalysis")
    assert "int inner(int value)" in source["source"]
    assert ask(case, "get_function_source", function_name="caller")["kind"] == "disassembly"
