"""SFAnalysis results: matched by path and address, bounded, never read outside of their directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from triage_tui.binary.code_source import CodePoint, FunctionCode
from triage_tui.binary.modules import Location, Module
from triage_tui.binary.sfanalysis import MAX_PSEUDOCODE, SfAnalysis
from triage_tui.binary.symbols import ElfImage
from triage_tui.errors import TriageError


def write(
    directory: Path, name: str, real_path: str, functions: list[dict[str, Any]], root: str = ""
) -> None:
    result = {"file": {"name": Path(real_path).name, "real_path": real_path, "fs_root": root}}
    (directory / name).write_text(json.dumps(result | {"functions": functions}))


def function(name: str, offset: int, size: int = 0, **more: str) -> dict[str, Any]:
    return {"name": name, "entry": {"offset": offset}, "size": size} | more


def ask(source: SfAnalysis, path: str, vaddr: int) -> FunctionCode | None:
    module = Module(path, Path(path).name, 0x40000000, ElfImage("0"))
    return source.function(CodePoint(0x40000000 + vaddr, Location(module, vaddr, None)))


@pytest.mark.parametrize("real_path", ["/usr/sbin/httpd", "/firmware/root/usr/sbin/httpd"])
def test_function_gives_name_prototype_and_pseudocode(tmp_path: Path, real_path: str) -> None:
    (tmp_path / "main.c").write_text("int main(void)\n{\n}\n")
    main = function("main", 0x1000, 0x40, prototype="int main(void)", pseudocode_file="main.c")
    write(tmp_path, "httpd.json", real_path, [function("last", 0x2000), main], "/firmware/root")
    source = SfAnalysis(tmp_path)
    found = ask(source, "/usr/sbin/httpd", 0x1010)
    assert found is not None
    assert (found.name, found.prototype, found.offset) == ("main", "int main(void)", 0x10)
    assert (found.text, found.kind) == ("int main(void)\n{\n}\n", "pseudocode")
    assert found.provenance == "pseudocode from SFAnalysis"
    assert ask(source, "/usr/sbin/httpd", 0x1040) is None
    assert ask(source, "/usr/sbin/httpd", 0x2000) is not None
    assert ask(source, "/usr/sbin/httpd", 0x2001) is None
    assert ask(source, "/usr/sbin/other", 0x1010) is None


def test_the_longer_match_of_a_path_wins_over_the_name(tmp_path: Path) -> None:
    write(tmp_path, "a.json", "/fw/bin/tool", [function("wrong", 0x10, 8)], "/fw")
    write(tmp_path, "b.json", "/fw/sbin/tool", [function("right", 0x10, 8)], "/fw")
    source = SfAnalysis(tmp_path)
    found = ask(source, "/sbin/tool", 0x10)
    assert found is not None
    assert found.name == "right"
    # Two of that name and no path that fits: better none than the wrong one.
    assert ask(source, "/opt/tool", 0x10) is None


def test_broken_files_are_skipped_with_a_sentence(tmp_path: Path) -> None:
    write(tmp_path, "good.json", "/bin/x", [function("f", 0, 4)])
    write(tmp_path, "empty.json", "/bin/y", [])
    (tmp_path / "cut.json").write_text('{"file": {"name"')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "type.json").write_text('{"file": {"name": 1, "real_path": "x"}, "functions": []}')
    (tmp_path / "link.json").symlink_to("/dev/zero")
    (tmp_path / "text.json").write_bytes(b"\xff\x1b[31m")
    source = SfAnalysis(tmp_path)
    assert len(source.problems) == 6
    assert all(problem.isprintable() and "was skipped" in problem for problem in source.problems)
    assert ask(source, "/bin/x", 1) is not None


def test_no_usable_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="no usable SFAnalysis result"):
        SfAnalysis(tmp_path)
    with pytest.raises(TriageError, match="cannot be read"):
        SfAnalysis(tmp_path / "missing")


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.c", "sub/../../secret.c", "out.c"])
def test_pseudocode_outside_of_the_directory_is_refused(tmp_path: Path, name: str) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (tmp_path / "secret.c").write_text("secret")
    (results / "out.c").symlink_to(tmp_path / "secret.c")
    write(results, "x.json", "/bin/x", [function("f", 0, 4, pseudocode_file=name)])
    source = SfAnalysis(results)
    with pytest.raises(TriageError, match="not below the SFAnalysis directory"):
        ask(source, "/bin/x", 0)


def test_pseudocode_is_cut(tmp_path: Path) -> None:
    (tmp_path / "big.c").write_bytes(b"x" * (MAX_PSEUDOCODE + 10))
    write(tmp_path, "x.json", "/bin/x", [function("f", 0, 4, pseudocode_file="/elsewhere/big.c")])
    found = ask(SfAnalysis(tmp_path), "/bin/x", 0)
    assert found is not None
    assert (len(found.text), found.truncated) == (MAX_PSEUDOCODE, True)


def test_functions_that_are_none_are_passed_over_and_the_others_count(tmp_path: Path) -> None:
    odd: list[Any] = [
        3,
        None,
        {"name": "no entry"},
        {"entry": {"offset": 4}},
        {"name": 5, "entry": {"offset": 4}},
    ]
    odd += [function("below", -4), {"name": "f", "entry": {"offset": 0x10}, "size": -3, "prototype": 7}]
    write(tmp_path, "x.json", "/fw/bin/x", odd)
    found = ask(SfAnalysis(tmp_path), "/bin/x (deleted)", 0x10)
    assert found is not None
    assert (found.name, found.prototype) == ("f", None)


def test_pseudocode_is_found_by_the_longest_end_of_its_path(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "f.c").write_text(place)
    named = function("f", 0, 4, pseudocode_file="/home/x/rootfs/out_httpd/b/f.c")
    write(tmp_path, "x.json", "/bin/x", [named])
    found = ask(SfAnalysis(tmp_path), "/bin/x", 0)
    assert found is not None
    assert found.text == "b"
