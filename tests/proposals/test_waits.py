"""What ends a wait: found in the text of a script, and made true by a rule; judged on real shells."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import triage_json
from tests.runs.build import write_run
from triage_tui.guest.calls.module_builds import base_of
from triage_tui.proposals.shell_tests import Awaited, awaited
from triage_tui.runs.build_id import build_id
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import load_run

PROGRAMS = Path(__file__).parent / "programs"
"""Compiled programs beside their source."""


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("while [ ! -d /run/x ]; do sleep 1; done", Awaited("d", True)),
        ("until test -S '/run/x'; do sleep 1; done", Awaited("S", True)),
        ("while [ -e /run/x ] ; do :; done", Awaited("e", False)),
        ("until ! [ -f /run/x ]; do :; done", Awaited("f", False)),
        ("while ! grep -q up /run/x; do sleep 1; done", Awaited("", True, "up")),
        ("while grep -q busy /run/x; do sleep 1; done", Awaited("", False)),
        ('until [ "$(cat /run/x)" = 1 ]; do sleep 1; done', Awaited("", True, "1")),
        ('while [ "`cat /run/x`" != "ready" ]; do sleep 1; done', Awaited("", True, "ready")),
        # A test in the body of the loop, of another path, or in no loop, says nothing.
        ("while :; do [ -d /run/x ] && break; done", None),
        ("while [ ! -d /run/xy ]; do sleep 1; done", None),
        ("[ -d /run/x ] || exit 1", None),
    ],
)
def test_the_text_of_a_script_says_what_ends_its_wait(
    script: str, found: Awaited | None, tmp_path: Path
) -> None:
    run = load_run(write_run(tmp_path / "ai_runs"))
    run.snapshot.target.argv = ["/bin/sh", "-c", script]
    assert awaited(run, "/run/x") == found


@pytest.mark.parametrize("name", ["busybox-armhf", "busybox-s390x"])
def test_a_shell_that_waits_for_two_conditions_gets_past_both(
    name: str, rootfs: Callable[[str], Path], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(rootfs(name), tmp_path / "root", symlinks=True))
    (root / "run").mkdir()
    (root / "run/busy").touch()
    (root / "run/state").write_text("starting\n")
    script = (
        "while [ -e /run/busy ]; do :; done; "
        "until [ $(cat /run/state) = ready ]; do sleep 1; done; echo started"
    )
    words = ("/bin/busybox", "sh", "-c", script)
    options = ("--policy", "auto", "--grace", "0.3", "--rootfs", str(root))
    story = triage_json(tmp_path, "run", *options, "--", *words)
    first, second, third = story["rounds"]
    assert first["approved"] == "Say that /run/busy is gone"
    assert second["verdict"]["word"] == "progressed"
    assert second["approved"] == "Let the program read in /run/state what it waits for"
    # It says "started" because rules told it so; nobody has seen that anything is.
    assert (third["verdict"]["word"], third["verdict"]["doubted"]) == ("progressed", True)
    assert any("/run/state" in line for line in third["verdict"]["masked"])
    assert (root / "run/state").read_text() == "starting\n"


@pytest.mark.parametrize(("arch", "words"), [("mips", []), ("arm", ["sleep"])], ids=["spins", "sleeps"])
def test_a_program_gets_past_its_wait_for_a_variable(
    arch: str, words: list[str], qemu_dir: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(PROGRAMS / f"polls.{arch}", root / "polls")
    (root / "polls").chmod(0o755)
    options = ("--policy", "auto", "--idle", "0.5", "--grace", "0.3", "--rootfs", str(root))
    story = triage_json(tmp_path, "run", *options, "--", "/polls", *words)
    first, second = story["rounds"]
    assert first["approved"] == "Set the variable that the loop waits for"
    assert (second["verdict"]["word"], second["verdict"]["rung"]) == ("resolved", "healthy_exit")
    assert second["verdict"]["masked"]


def test_a_variable_is_written_in_the_build_that_is_meant_alone() -> None:
    data = (PROGRAMS / "polls.arm").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    maps = [
        Mapping(start=0x5000, end=0x6000, perms="rw-p", path="/polls"),
        Mapping(start=0x4000, end=0x5000, perms="r-xp", path="/polls"),
    ]

    def base(path: str, build: str) -> int:
        try:
            return base_of(
                maps, path, build, lambda at, size: data[at - 0x4000 :][:size], lambda *_: (data, len(data))
            )
        except OSError as error:
            return -(error.errno or 0)

    assert build_id(data)
    assert base("/polls", f"build-id:{build_id(data)}") == base("/polls", f"sha256:{sha256}") == 0x4000
    assert base("/polls", f"build-id:{build_id(data)[::-1]}") == -errno.ESTALE
    assert base("/polls", f"sha256:{sha256[::-1]}") == -errno.ESTALE
    assert base("/other", f"sha256:{sha256}") == -errno.ENOENT


@pytest.mark.parametrize("cut", [0, 16, 52, 60, 200])
def test_a_file_that_is_cut_off_has_no_build_id(cut: int) -> None:
    for name in ("polls.arm", "polls.mips"):
        assert build_id((PROGRAMS / name).read_bytes()[:cut]) == ""
    assert build_id(b"\x7fELF\x02\x01" + b"\xff" * 4096) == ""
