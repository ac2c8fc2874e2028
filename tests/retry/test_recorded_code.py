"""Code that the record does not hold, from the program files that it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.binary.loaded import ARCH, BASE, Loaded
from tests.runs.build import write_run
from triage_tui.errors import TriageError
from triage_tui.retry.inspecting.recorded_code import RecordedCode
from triage_tui.retry.start import Start, write_start
from triage_tui.runs.frame_model import Backtrace, Frame
from triage_tui.runs.model import Target
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import encode_json


def recorded(guest: Loaded, tmp_path: Path, variant: str, sha256: str | None = None) -> Run:
    """Return a run whose process has the program of `guest` mapped."""
    address = guest.address("caller")
    frame = Frame(
        idx=0,
        addr=address,
        addr_hex=hex(address),
        module_real_path="/lib/imports.so",
        module_sha256=guest.image.sha256 if sha256 is None else sha256,
    )
    run_dir = write_run(tmp_path / "ai_runs", maps=guest.maps, backtrace=Backtrace(frames=[frame]))
    snapshot = load_run(run_dir).snapshot
    snapshot.target = Target(program="/sbin/x", argv=["x"], arch=ARCH[variant][0], rootfs=str(tmp_path))
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))
    write_start(run_dir, Start(program="/sbin/x", argv=["x"], rootfs=str(tmp_path)))
    return load_run(run_dir)


@pytest.mark.parametrize("variant", ARCH)
def test_a_function_is_found_by_its_address_and_by_its_name(variant: str, tmp_path: Path) -> None:
    guest = Loaded(variant, tmp_path)
    code = RecordedCode(recorded(guest, tmp_path, variant))
    thumb = variant == "thumb"
    assert not code.has_code(guest.address("inner")), "nothing was read yet"
    code.read_all()
    assert code.has_code(guest.address("inner"))
    assert not code.has_code(0x1000)
    assert code.address_of("inner") == guest.address("inner") | thumb
    assert code.address_of("outside") is None
    found = code.function(guest.address("caller") | thumb)
    assert found.name == "caller"
    assert found.provenance == "disassembly of imports.so"
    assert "<inner>" in found.text
    assert f"=> 0x{guest.address('caller'):08x}" in found.text
    assert ("(arm thumb)" in found.text) == thumb


def test_a_return_address_is_marked_behind_its_call(tmp_path: Path) -> None:
    guest = Loaded("aarch64", tmp_path)
    code = RecordedCode(recorded(guest, tmp_path, "aarch64"))
    lines = code.function(guest.address("caller")).text.splitlines()
    behind = next(number for number, line in enumerate(lines) if "<inner>" in line) + 1
    address = int(lines[behind].split()[0], 16)
    assert f"<- 0x{address:08x}" in code.function(address, is_return=True).text


def test_a_file_that_is_another_one_now_is_not_disassembled(tmp_path: Path) -> None:
    guest = Loaded("arm", tmp_path)
    code = RecordedCode(recorded(guest, tmp_path, "arm", sha256="0" * 64))
    with pytest.raises(TriageError, match="another one now than when the run was recorded"):
        code.function(guest.address("caller"))
    code.read_all()
    assert not code.has_code(guest.address("caller"))


def test_a_file_of_which_no_hash_was_recorded_says_so(tmp_path: Path) -> None:
    guest = Loaded("arm", tmp_path)
    found = RecordedCode(recorded(guest, tmp_path, "arm", sha256="")).function(guest.address("caller"))
    assert found.provenance.endswith("whose content was not recorded")


def test_content_that_is_not_kept_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triage_tui.retry.inspecting.recorded_code.KEPT_BYTES", 0)
    guest = Loaded("arm", tmp_path)
    other = tmp_path / "lib" / "other.so"
    other.write_bytes((tmp_path / "lib/imports.so").read_bytes())
    for mapping in list(guest.maps):
        moved = (mapping.start + 0x100000, mapping.end + 0x100000)
        guest.maps.append(
            Mapping(start=moved[0], end=moved[1], perms="r--p", offset=mapping.offset, path="/lib/other.so")
        )
    code = RecordedCode(recorded(guest, tmp_path, "arm"))
    code.read_all()
    for _ in range(2):
        assert "<inner>" in code.function(guest.address("caller")).text
        assert "of other.so" in code.function(guest.address("caller") + 0x100000).provenance


def test_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    guest = Loaded("mipsel", tmp_path)
    run = recorded(guest, tmp_path, "mipsel")
    code = RecordedCode(run)
    with pytest.raises(TriageError, match="no program file is mapped at 0x10"):
        code.function(0x10)
    data = next(one for one in guest.image.segments if not one.executable)
    with pytest.raises(TriageError, match=r"only data of imports\.so"):
        code.function(BASE + data.vaddr + data.file_size - 4)
    (tmp_path / "lib/imports.so").unlink()
    with pytest.raises(TriageError, match=r"/lib/imports.so of the run cannot be read any more"):
        RecordedCode(run).function(guest.address("caller"))
