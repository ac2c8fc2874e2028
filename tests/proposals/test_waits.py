"""What ends a wait: found in the text of a script, and made true by a rule; judged on real shells."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.commands import triage_json
from tests.runs.build import write_run
from triage_tui.proposals.shell_tests import Awaited, awaited
from triage_tui.runs.reader import load_run


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
    story = triage_json(tmp_path, "run", "--policy", "auto", "--rootfs", str(root), "--", *words)
    first, second, third = story["rounds"]
    assert first["approved"] == "Say that /run/busy is gone"
    assert second["verdict"]["word"] == "progressed"
    assert second["approved"] == "Let the program read in /run/state what it waits for"
    assert third["verdict"]["word"] == "resolved"
    assert any("/run/state" in line for line in third["verdict"]["masked"])
    assert (root / "run/state").read_text() == "starting\n"
