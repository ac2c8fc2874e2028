"""From addresses to modules, and reading files only inside the guest's root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.binary.loaded import ARCH, BASE, Loaded
from triage_tui.binary.modules import ModuleMap, read_guest_file
from triage_tui.runs.process_model import Mapping


@pytest.mark.parametrize("variant", ARCH)
def test_address_gives_module_function_and_file_address(variant: str, tmp_path: Path) -> None:
    guest = Loaded(variant, tmp_path)
    caller = guest.address("caller")
    location = guest.modules.locate(caller + 4)
    assert location is not None
    assert (location.name, location.offset) == ("caller", 4)
    assert location.module.name == "imports.so"
    assert location.module.bias == BASE
    assert location.vaddr == caller + 4 - BASE
    assert guest.modules.function_start(caller + 4) == caller
    assert guest.modules.locate(0x1000) is None


@pytest.mark.parametrize("variant", ARCH)
def test_stub_has_the_name_of_what_it_calls(variant: str, tmp_path: Path) -> None:
    guest = Loaded(variant, tmp_path)
    stub = next(addr for addr, name in guest.image.linkage.stubs.items() if name == "outside")
    location = guest.modules.locate(BASE + stub)
    assert location is not None
    assert (location.name, location.offset) == ("outside", None)


def test_execute_permission_comes_from_the_file(tmp_path: Path) -> None:
    guest = Loaded("mipsel", tmp_path)
    by_start = {mapping.start: guest.modules.permissions(mapping) for mapping in guest.maps}
    assert by_start[BASE] == "r-xp"
    assert "r--p" in by_start.values()
    assert guest.modules.is_code(guest.address("caller")) is True
    assert guest.modules.is_code(0x1000) is None


def test_unreadable_module_still_has_its_path(tmp_path: Path) -> None:
    modules = ModuleMap([Mapping(start=0x1000, end=0x2000, perms="r-xp", path="/gone")], tmp_path)
    assert modules.locate(0x1800) is None
    assert modules.path_at(0x1800) == "/gone"


def test_links_are_followed_inside_the_root_only(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"outside")
    root = tmp_path / "root"
    (root / "lib").mkdir(parents=True)
    (root / "lib" / "real.so").write_bytes(b"inside")
    (root / "lib64").symlink_to("/lib")
    (root / "lib" / "name.so").symlink_to("real.so")
    (root / "lib" / "up.so").symlink_to("../../../../../../secret")
    (root / "lib" / "absolute.so").symlink_to(str(tmp_path / "secret"))
    (root / "lib" / "loop").symlink_to("loop")
    assert read_guest_file(root, "/lib64/name.so") == b"inside"
    assert read_guest_file(root, "/../lib/real.so") == b"inside"
    for name in ("/lib/up.so", "/lib/absolute.so", "/lib/loop", "/none", "/", ""):
        assert read_guest_file(root, name) is None


def test_only_bounded_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    (tmp_path / "large").write_bytes(bytes(100))
    assert read_guest_file(tmp_path, "/fifo") is None
    assert read_guest_file(tmp_path, "/directory") is None
    assert read_guest_file(tmp_path, "/large", limit=99) is None
    assert read_guest_file(tmp_path, "/large", limit=100) == bytes(100)
    assert read_guest_file(tmp_path, "/nul\0name") is None
    assert read_guest_file(None, "/dev/zero") is None
    assert read_guest_file(None, str(tmp_path / "large")) == bytes(100)
