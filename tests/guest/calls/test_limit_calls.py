"""A real program that lowers its limits stays supervised."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import carried, spec
from tests.programs import root_with
from triage_tui.guest.supervisor import Guest

EXPECTED = """\
wrong -1 22
files 0 0
size 0 0
core 0 0
core 100 of 200
init -1 1
init cpu -1 1
nobody -1 3
dup -1 24
last 63 0
child files 64 of 64, size 4096 of 4096
child ended 7 0
other 0 0
other has 32 0
before files 64 of 64, size 4096 of 4096
program files 64 of 64, size 4096 of 4096
"""


@pytest.mark.usefixtures("carrier")
@carried("arch", "arm", "mips", "x86_64")
def test_limits_hit_the_guest_and_not_its_emulator(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    root = root_with(tmp_path, arch, "limits")
    with Guest.start(spec(root, qemu_dir, "/bin/limits")) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 8)
        assert guest.output().decode() == EXPECTED
        assert guest.problems == []
        history = guest.history()
    paths = [call.path for call in history]
    for who in ("thread", "child", "program"):
        assert paths.count(f"/etc/missing-in-{who}") == 1
    assert len([path for path in paths if (path or "").startswith("/a/path")]) == 400
    notes = [call.note or "" for call in history if "rlimit" in call.name or "prlimit" in call.name]
    assert len([note for note in notes if "limits of the cell's own first process" in note]) == 2
    assert len([note for note in notes if "file sizes is not enforced" in note]) == 1
    assert len([note for note in notes if "core files is not enforced: none are written here" in note]) == 1


def test_an_ordinary_user_may_not_raise_what_was_lowered(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, "arm", "limits")
    with Guest.start(spec(root, qemu_dir, "/bin/limits", user=1000)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 8)
        assert guest.output().decode() == EXPECTED
