"""Names of imported functions, addresses and strings in the code of every architecture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.binary.libraries import ARCHES as DEBIAN
from tests.binary.libraries import library
from tests.binary.loaded import Image
from tests.guest.test_frames import without_sections
from tests.programs import ARCHES, build

CALL = re.compile(r"^.. 0x\w+ +\w+ +(?:call|bl|blx|jal|jalr|bal|brasl)\b[^;]*; <(\w+)>$", re.MULTILINE)


def called(image: Image, function: str) -> set[str]:
    """Return the names of the calls in the listing of a function."""
    return set(CALL.findall(image.listing(function)))


@pytest.mark.parametrize("arch", DEBIAN)
@pytest.mark.parametrize("stripped", [False, True])
def test_calls_through_the_linkers_stubs_have_the_imports_names(
    arch: str, stripped: bool, tmp_path: Path
) -> None:
    data = library(arch)
    image = Image(arch, tmp_path, without_sections(data) if stripped else data, symbols=data)
    found = {function: called(image, function) for function in ("__atomic_load", "__atomic_compare_exchange")}
    assert "memcpy" in found["__atomic_load"]
    assert {"memcpy", "memcmp"} <= found["__atomic_compare_exchange"]


@pytest.mark.parametrize("arch", ARCHES)
def test_strings_objects_and_calls_of_a_static_program(arch: str, tmp_path: Path) -> None:
    image = Image(arch, tmp_path, build("chain", arch).read_bytes())
    text = image.listing("inner")
    assert '"/etc/chain.conf"' in text
    assert re.search(r"; (\[|0x\w+ )result\b", text)
    assert {name.removeprefix("__LA25Thunk_") for name in called(image, "inner")} & {"open", "__open64"}


@pytest.mark.parametrize("arch", [arch for arch in DEBIAN if arch != "thumb"])
def test_syscalls_of_the_c_library_have_names(arch: str, tmp_path: Path) -> None:
    # The Thumb code of glibc makes them all in one place, with the number as an argument.
    image = Image(arch, tmp_path, build("chain", arch).read_bytes())
    assert "; syscall exit_group" in image.listing("_Exit")


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("stripped", [False, True])
def test_a_call_that_does_not_return_belongs_to_its_function(
    arch: str, stripped: bool, tmp_path: Path
) -> None:
    data = build("chain", arch).read_bytes()
    image = Image(arch, tmp_path, without_sections(data) if stripped else data, symbols=data)
    symbol = image.symbols["inner"]
    listing = image.reader.listing(symbol.end, thumb=symbol.thumb, is_return=True, start=symbol.start)
    shown = listing.lines[2 if stripped else 1]
    assert int(shown[3:].split()[0], 16) == symbol.start
    if not stripped:
        assert listing.lines[0].startswith(f"; 0x{symbol.end:x} in inner+0x")
        assert listing.marked is None or listing.lines[listing.marked].startswith("=>")
