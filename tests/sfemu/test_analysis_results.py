"""SFAnalysis results beside a rule directory name the frames that SFEmu could not, and show their code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sfemu.records import rules_directory, write_results, write_run
from tests.sfemu.scenes import ARM_FRAMES, Frame, exit_scene
from triage_tui.binary.load_bias import load_biases
from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.cli.main import main
from triage_tui.retry.inspecting.frame_code import from_results
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.frame_model import Frame as OurFrame
from triage_tui.sfemu import adopting
from triage_tui.sfemu.analysis_results import RESULTS_VARIABLE, results_of


def test_frames_get_places_and_names_where_the_names_leave_one_load_address(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    write_results(tmp_path / "rootfs" / "out_httpd")
    source = write_run(rules, exit_scene())
    frames = Workspace.at(rules).load(source.name).snapshot.backtrace.frames
    # The program counter has no module in the snapshot; the C library's address follows from `exit`.
    assert [(one.module_name, one.func_name, one.func_offset, one.module_offset) for one in frames] == [
        ("libc.so.0", "exit", 0x18, 0x2F398),
        ("libc.so.0", "exit", 0x24, 0x2F3A4),
        ("httpd", "nvram_init", 0x48, 0x1A3C8),
        ("httpd", "main", 0x110, 0x12F10),
        ("libc.so.0", "__uClibc_main", 0x128, 0x51D28),
        (None, None, None, None),
    ]
    assert (frames[4].prototype, frames[1].prototype) == ("void __uClibc_main(void)", "void exit(int)")


def test_results_that_are_made_later_name_the_frames_of_a_run_that_was_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adopting, "_LOOK_FOR_RESULTS_S", 1e-9)
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    assert Workspace.at(rules).load(source.name).snapshot.backtrace.frames[4].func_name is None
    write_results(tmp_path / "rootfs" / "out_httpd")
    assert Workspace.at(rules).load(source.name).snapshot.backtrace.frames[4].func_name == "__uClibc_main"


def test_a_long_function_alone_tells_no_load_address(tmp_path: Path) -> None:
    results = SfAnalysis(write_results(tmp_path / "out"))
    known = {"module_real_path": ARM_FRAMES[0].module, "method": "shadow_stack"}
    one = OurFrame(idx=1, addr=0x40851D28, addr_hex="0x40851d28", func_name="__uClibc_main", **known)  # type: ignore[arg-type]
    assert load_biases([one], results) == {}
    other = OurFrame(idx=2, addr=0x4082F3A4, addr_hex="0x4082f3a4", func_name="exit", **known)  # type: ignore[arg-type]
    assert load_biases([one, other], results) == {ARM_FRAMES[0].module: 0x40800000}
    # Without a place its code is still found by its name.
    code = from_results(one, results)
    assert code is not None
    assert (code.text.splitlines()[0], code.offset) == ("void __uClibc_main(void)", None)


def test_names_that_contradict_each_other_place_nothing(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    write_results(tmp_path / "out_httpd")
    wrong = (*ARM_FRAMES[:2], Frame(0x00012777, ARM_FRAMES[1].module, "main"))
    source = write_run(rules, replace(exit_scene(), frames=wrong))
    frames = Workspace.at(rules).load(source.name).snapshot.backtrace.frames
    assert [one.module_offset for one in frames[2:]] == [None, None]


def test_where_results_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RESULTS_VARIABLE, raising=False)
    rules = rules_directory(tmp_path / "all" / "rules")
    home = Workspace.at(rules).root
    assert results_of(home) is None
    (tmp_path / "all" / "out_empty").mkdir()
    beside = write_results(tmp_path / "all" / "rootfs" / "out_httpd")
    assert results_of(home) == beside
    assert results_of(tmp_path) is None
    write_results(tmp_path / "all" / "other" / "out_httpd")
    assert results_of(home) is None, "one of them is of other firmware"
    assert results_of(Workspace.at(rules_directory(tmp_path / "all" / "other" / "rules")).root) is not None
    monkeypatch.setenv(RESULTS_VARIABLE, "/else")
    assert results_of(home) == Path("/else")
    assert results_of(home, "named") == Path("named")


def test_the_code_command_takes_what_lies_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(RESULTS_VARIABLE, raising=False)
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    write_results(tmp_path / "out_httpd")
    assert main(["code", "-C", str(rules), source.name, "3"]) == 0
    told = capsys.readouterr()
    assert "void main(void)" in told.out
    assert "pseudocode from SFAnalysis" in told.out + told.err
    # What SFEmu kept itself comes first.
    assert main(["code", "-C", str(rules), source.name, "2"]) == 0
    assert 'open("/dev/nvram"' in capsys.readouterr().out


def test_the_end_of_a_path_names_one_file_or_none(tmp_path: Path) -> None:
    def write(place: str, root: str, name: str) -> None:
        entry = {"name": name, "entry": {"offset": 0x1000}, "size": 16}
        file = {"name": "httpd", "real_path": f"{root}{place}", "fs_root": root}
        (tmp_path / f"{name}.json").write_text(json.dumps({"file": file, "functions": [entry]}))

    write("/sbin/httpd", "/a", "short")
    write("/usr/sbin/httpd", "/b", "long")
    results = SfAnalysis(tmp_path)
    paths = ("/fw/usr/sbin/httpd", "/fw/sbin/httpd", "/sbin/httpd", "httpd", "/opt/httpd")
    found = [results.name_at(path, 0x1000) for path in paths]
    assert [one and one[0] for one in found] == ["long", "short", "short", None, None]
