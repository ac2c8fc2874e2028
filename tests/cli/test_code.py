"""`triage-tui code`: the code of a frame, from the record, from SFAnalysis results or from the decompiler."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.binary.decompiler import why_missing
from triage_tui.cli.main import main
from triage_tui.guest.record.capture import capture
from triage_tui.guest.supervisor import Guest
from triage_tui.retry.inspecting.recorded_code import program_file
from triage_tui.retry.start import Start, write_start
from triage_tui.runs.model import Engine
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter


@pytest.fixture(scope="module")
def recorded(qemu_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the record of a real program that was frozen at its exit, in `inner`."""
    workspace = tmp_path_factory.mktemp("workspace")
    root = root_with(tmp_path_factory.mktemp("guest") / "root", "aarch64", "chain")
    writer = RunWriter(workspace / "ai_runs")
    with Guest.start(spec(root, qemu_dir, "/bin/chain")) as guest:
        capture(guest, guest.run_until_stop(), writer, target=guest.target, engine=Engine())
    run_dir = writer.publish()
    write_start(run_dir, Start(program="/bin/chain", argv=["/bin/chain"], rootfs=str(root)))
    return workspace


@pytest.fixture
def workspace(recorded: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    shutil.copytree(recorded, tmp_path / "copy")
    return tmp_path / "copy"


def run_dir(workspace: Path) -> Path:
    [found] = (workspace / "ai_runs").iterdir()
    return found


def frame_of(workspace: Path, name: str) -> Any:
    frames = load_run(run_dir(workspace)).snapshot.backtrace.frames
    return next(frame for frame in frames if frame.func_name == name)


def change(workspace: Path, edit: Any) -> None:
    """Let `edit` change the decoded snapshot of the record."""
    path = run_dir(workspace) / "snapshot.json"
    data = msgspec.json.decode(path.read_bytes())
    edit(data)
    path.write_bytes(msgspec.json.encode(data))


def refused(workspace: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one sentence with which the command is refused."""
    assert main(["code", "-C", str(workspace), "last", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err


def analysis(directory: Path, path: str, **more: Any) -> Path:
    """Write SFAnalysis results that name one function, `outer`; return their directory."""
    directory.mkdir()
    file = {"name": Path(path).name, "real_path": path, "fs_root": ""}
    (directory / "a.json").write_text(json.dumps({"file": file, "functions": [more]}))
    return directory


def test_the_disassembly_of_the_record_is_shown(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = frame_of(workspace, "inner")
    assert main(["code", "-C", str(workspace), "last", str(frame.idx)]) == 0
    printed = capsys.readouterr()
    assert f"; disassembly, pseudocode/frame{frame.idx:02d}_0x{frame.addr:x}" in printed.err
    assert '"/etc/chain.conf"' in printed.out
    # `_exit` does not return: its call is the function's last instruction, and `middle` begins behind it.
    assert f"in inner+0x{frame.func_offset:x} of chain" in printed.out
    assert f"=> 0x{frame.addr - 4:08x}" in printed.out
    assert "<middle" not in printed.out


def test_pseudocode_of_sfanalysis_is_shown_and_kept(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = frame_of(workspace, "outer")
    results = analysis(
        tmp_path / "results",
        "/bin/chain",
        name="outer",
        entry={"offset": frame.function_start},
        size=64,
        pseudocode_file="outer.c",
    )
    (results / "outer.c").write_text("void outer(int depth)\n{\n\x1b[31m}\n")
    words = ["code", "-C", str(workspace), "last", str(frame.idx)]
    assert main([*words, "--sfanalysis", str(results)]) == 0
    printed = capsys.readouterr()
    assert "; pseudocode from SFAnalysis, " in printed.err
    assert "void outer(int depth)" in printed.out
    assert "\x1b" not in printed.out
    # It is the frame's best code from now on; the disassembly stays, and so does the other frames' code.
    assert main(words) == 0
    assert "void outer(int depth)" in capsys.readouterr().out
    index = load_run(run_dir(workspace)).snapshot.backtrace.pseudocode_index
    assert [one.kind for one in index if one.frame == frame.idx] == ["pseudocode", "disassembly"]
    # Asking again does not keep it twice.
    assert main([*words, "--sfanalysis", str(results)]) == 0
    again = load_run(run_dir(workspace)).snapshot.backtrace.pseudocode_index
    assert len(again) == len(index)


def test_results_without_that_function_are_said(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = analysis(tmp_path / "results", "/bin/chain", name="f", entry={"offset": 4}, size=4)
    frame = str(frame_of(workspace, "outer").idx)
    before = (run_dir(workspace) / "snapshot.json").read_bytes()
    said = refused(workspace, capsys, frame, "--sfanalysis", str(results))
    assert f"the SFAnalysis results hold no pseudocode of frame {frame}" in said
    assert "cannot be read" in refused(workspace, capsys, frame, "--sfanalysis", str(tmp_path / "none"))
    assert (run_dir(workspace) / "snapshot.json").read_bytes() == before


def test_a_frame_is_decompiled_or_the_missing_decompiler_is_named(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = str(frame_of(workspace, "outer").idx)
    if why_missing() is not None:
        said = refused(workspace, capsys, frame, "--decompile")
        assert "pip install 'triage-tui[decompiler]' adds angr" in said
        return
    assert main(["code", "-C", str(workspace), "last", frame, "--decompile"]) == 0
    assert "; decompiled by angr 9." in capsys.readouterr().err


def test_without_angr_nothing_is_asked_of_it(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    said = refused(workspace, capsys, "0", "--decompile")
    assert said.strip().endswith("no decompiler is installed: pip install 'triage-tui[decompiler]' adds angr")


@pytest.mark.parametrize("number", ["999", "-1"])
def test_a_frame_that_is_not_there(workspace: Path, capsys: pytest.CaptureFixture[str], number: str) -> None:
    assert f"has no frame {number}" in refused(workspace, capsys, number)


def test_the_program_may_be_gone_and_the_frame_in_no_file(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = frame_of(workspace, "outer")
    start = run_dir(workspace) / "start.json"
    data = json.loads(start.read_text())
    start.write_text(json.dumps(data | {"rootfs": str(tmp_path)}))
    said = refused(workspace, capsys, str(frame.idx), "--decompile")
    assert "the program file /bin/chain of the run cannot be read any more" in said
    # The record itself names the root too, and by the hash it is the same program.
    start.write_text("[")
    run = load_run(run_dir(workspace))
    assert hashlib.sha256(program_file(run, "/bin/chain")).hexdigest() == run.snapshot.target.program_sha256
    change(workspace, lambda data: data["backtrace"]["frames"][0].update(module_real_path=None))
    assert "frame 0 lies in no program file" in refused(workspace, capsys, "0", "--decompile")


@pytest.mark.parametrize("version", ["this", "one without hashes of modules"])
def test_another_program_than_the_recorded_one_is_not_decompiled(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    frame = frame_of(workspace, "outer")
    start = run_dir(workspace) / "start.json"
    data = json.loads(start.read_text())
    program = Path(data["rootfs"]) / "bin/chain"
    assert frame.module_sha256 == hashlib.sha256(program.read_bytes()).hexdigest()
    if version != "this":
        change(workspace, lambda data: [one.pop("module_sha256") for one in data["backtrace"]["frames"]])
    shutil.copytree(data["rootfs"], tmp_path / "root")
    with (tmp_path / "root/bin/chain").open("ab") as file:
        file.write(b"x")
    start.write_text(json.dumps(data | {"rootfs": str(tmp_path / "root")}))
    before = (run_dir(workspace) / "snapshot.json").read_bytes()
    said = refused(workspace, capsys, str(frame.idx), "--decompile")
    assert "the program file /bin/chain is another one now than when the run was recorded" in said
    assert (run_dir(workspace) / "snapshot.json").read_bytes() == before


def test_damaged_records_are_refused_with_a_sentence(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [listing] = [
        one for one in load_run(run_dir(workspace)).snapshot.backtrace.pseudocode_index if not one.frame
    ]
    (run_dir(workspace) / listing.file).unlink()
    assert Path(listing.file).name in refused(workspace, capsys, "0")

    def escape(data: Any) -> None:
        data["backtrace"]["pseudocode_index"][0]["file"] = "../../../../etc/passwd"

    change(workspace, escape)
    assert "root:" not in refused(workspace, capsys, "0")
    change(workspace, lambda data: data["backtrace"].update(pseudocode_index=[]))
    assert "has no code" in refused(workspace, capsys, "0")
    (run_dir(workspace) / "snapshot.json").write_bytes(b"[" * 5000)
    assert "snapshot.json" in refused(workspace, capsys, "0")
