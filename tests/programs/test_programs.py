"""The compiled test programs are for the architectures that they claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs import ARCHES, build, qemu_name, root_with
from triage_tui.guest.emulator.elf import read_elf
from triage_tui.guest.spec import architecture_of


@pytest.mark.parametrize("arch", ARCHES)
def test_programs_are_for_their_architecture(arch: str) -> None:
    elf = read_elf(build("calls", arch).read_bytes(), "calls")
    assert architecture_of(elf, "calls").name == qemu_name(arch)
    assert elf.interpreter is None


def test_the_same_source_gives_the_same_file_and_other_flags_another() -> None:
    assert build("flood", "mips") == build("flood", "mips")
    assert build("flood", "mips") != build("flood", "mips", "-DBYTES=1")


def test_a_root_file_system_holds_the_programs(tmp_path: Path) -> None:
    root = root_with(tmp_path / "root", "i386", "calls", "chain")
    assert (root / "bin/chain").read_bytes() == build("chain", "i386").read_bytes()


def test_a_refused_source_is_reported_with_the_compilers_words() -> None:
    with pytest.raises(RuntimeError, match="BYTES"):
        build("flood", "i386", "-DBYTES=nothing_of_this_name")
