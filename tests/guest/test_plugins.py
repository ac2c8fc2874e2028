"""Plugins on real programs: what a table of constants makes of a device or file that is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.supervisor import Guest
from triage_tui.rulebook.rulefile import to_source
from triage_tui.rulehost.client import RuleHost

Rootfs = Callable[[str], Path]
BUSYBOX = [("armhf", "arm"), ("s390x", "s390x")]
"""Real programs of both byte orders, of 32 and of 64 bits."""


def run(root: Path, qemu_dir: Path, arch: str, plugin: str, table: str, *argv: str) -> tuple[str, list[str]]:
    """Run a program with a plugin; returns what it wrote, and what the plugin logged."""
    access = RuleAccess(by_name(arch))
    rule = to_source(f"plugin/{plugin}.lua", table.encode())
    with (
        RuleHost([rule], access) as host,
        Guest.start(spec(root, qemu_dir, *argv), host, access=access) as guest,
    ):
        guest.run_until_stop()
        assert guest.problems == []
        assert [hit.errors for hit in host.hits()] == [0]
        return guest.output().decode(), guest.rule_log


FILES = """return { files = {
  { path = "/etc/config/system", content = "hostname lab\\n" },
  { path = "/proc/simple_config/push_button", content = "1\\n", mode = 384 },
  { path = "/var/lib/app", kind = "directory" },
  { path = "/etc/passwd", content = "root:x:0:0::/:/bin/sh\\n", always = true },
  { path = "/bin/busybox-not", kind = "absent" },
} }"""
LOOK = """cd /bin; cat ../etc/config/../config/system ./../etc/passwd /proc/simple_config/push_button
stat -c '%F %a %s' /proc/simple_config/push_button /etc/config/system
[ -e /bin/busybox-not ] || echo absent; ls -d /var/lib/app; echo more >> /etc/config/system
cat /etc/config/system"""


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_files_that_are_not_there(rootfs: Rootfs, qemu_dir: Path, package: str, arch: str) -> None:
    root = rootfs(f"busybox-{package}")
    output, log = run(root, qemu_dir, arch, "fakefile", FILES, "/bin/busybox", "sh", "-c", LOOK)
    assert output.splitlines() == [
        "hostname lab",
        "root:x:0:0::/:/bin/sh",
        "1",
        "regular file 600 2",
        "regular file 644 13",
        "absent",
        "/var/lib/app",
        "hostname lab",
        "more",
    ]
    assert log
