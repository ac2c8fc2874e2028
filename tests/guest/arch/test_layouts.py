"""The layouts of structures against the kernel's own headers, compiled for each architecture."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import ARCHES, qemu_name, root_with
from triage_tui.guest.arch import Arch, by_name, layouts, tables
from triage_tui.guest.supervisor import Guest


@pytest.mark.parametrize("arch", ARCHES)
def test_fields_are_where_the_compiler_puts_them(arch: str, qemu_dir: Path, tmp_path: Path) -> None:
    with Guest.start(spec(root_with(tmp_path, arch, "layouts"), qemu_dir, "/bin/layouts")) as guest:
        assert guest.run_until_stop().exit_code == 0
        lines = [line.split() for line in guest.output().decode().splitlines()]
    assert len(lines) > 40
    known = by_name(qemu_name(arch))
    expected = [(name, field, int(offset), int(size)) for name, field, offset, size in lines]
    found = []
    for name, field, *_ in expected:
        layout = layouts.layout(known, name)
        if field == "-":
            found.append((name, field, 0, layout.size))
        else:
            found.append((name, field, layout.fields[field].offset, layout.fields[field].size))
    assert found == expected


@pytest.mark.parametrize("name", layouts.NAMES)
@pytest.mark.parametrize("arch", tables.ALL, ids=lambda arch: arch.name)
def test_layouts_are_whole(arch: Arch, name: str) -> None:
    layout = layouts.layout(arch, name)
    ends = [(field.offset, field.offset + field.size) for field in layout.fields.values()]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))
    assert ends[-1][1] <= layout.size


def test_numbers_are_decoded_in_the_guests_order() -> None:
    data = (5).to_bytes(4, "big") + (-1 & 0xFFFFFFFF).to_bytes(4, "big")
    assert layouts.decode(by_name("mips"), "timespec", data) == {"tv_sec": 5, "tv_nsec": -1}
    assert layouts.decode(by_name("mips"), "timespec", data[:6]) == {"tv_sec": 5}


def test_an_unknown_structure_is_refused() -> None:
    with pytest.raises(KeyError, match="no_such"):
        layouts.layout(by_name("arm"), "no_such")
