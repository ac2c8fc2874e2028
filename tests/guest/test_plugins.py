"""Plugins on real programs: what a table of constants makes of a device or file that is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
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
  { path = "/var/run/app.pid", content = "7\\n" },
  { path = "/usr/sbin/mtd_debug", kind = "absent" },
  { path = "/usr/share/man", kind = "absent" },
} }"""
LOOK = """ls /etc/config; ln -s var /alias; cat /alias/run/app.pid
mtd_debug info /dev/mtd0; ls -d /usr/sbin/mtd*; mkdir /usr/share/man && ls -d /usr/share/man
ls /usr/share/man; cd /bin; cat ../etc/config/../config/system ./../etc/passwd /proc/simple_config/push_button
stat -c '%F %a %s' /proc/simple_config/push_button /etc/config/system
ls -d /var/lib/app; echo more >> /etc/config/system
cat /etc/config/system"""


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_files_that_are_not_there(rootfs: Rootfs, qemu_dir: Path, package: str, arch: str) -> None:
    root = rootfs(f"hardware-tools-{package}")
    output, log = run(root, qemu_dir, arch, "fakefile", FILES, "/bin/busybox", "sh", "-c", LOOK)
    assert output.splitlines() == [
        "system",
        # By a link of a directory.
        "7",
        "sh: mtd_debug: not found",
        *("/usr/sbin/mtdinfo", "/usr/sbin/mtdpart"),
        # What the program makes where something was taken away is its own, and empty.
        "/usr/share/man",
        "hostname lab",
        "root:x:0:0::/:/bin/sh",
        "1",
        "regular file 600 2",
        "regular file 644 13",
        "/var/lib/app",
        "hostname lab",
        "more",
    ]
    assert log


ARCHIVE = 'return { files = { { path = "/tmp/a.gz", content = "not made by the program" } } }'


@pytest.mark.parametrize(("package", "arch"), [("armhf", "arm"), ("mipsel", "mipsel")])
def test_a_file_that_the_program_makes_anew_is_left_to_it(
    rootfs: Rootfs, qemu_dir: Path, package: str, arch: str
) -> None:
    look = "mkdir -p /tmp; cd /tmp; echo made > a; gzip a; gunzip -c a.gz"
    root = rootfs(f"busybox-{package}")
    output, _ = run(root, qemu_dir, arch, "fakefile", ARCHIVE, "/bin/busybox", "sh", "-c", look)
    assert output == "made\n"


WATCHDOG = """return { devices = { {
  path = "/dev/watchdog", minor = 130, source = "null",
  requests = {
    { name = "WDIOC_SETOPTIONS", code = "W 4 read", fields = "options i32" },
    { name = "WDIOC_SETTIMEOUT", code = "W 6 both", fields = "seconds i32" },
  } } } }"""
CLOCK = """return { devices = { { path = "/dev/misc/rtc", minor = 135, requests = { {
  name = "RTC_RD_TIME", code = "p 9 read",
  fields = "tm_sec i32, tm_min i32, tm_hour i32, tm_mday i32, tm_mon i32, tm_year i32, tm_wday i32, ends b8",
  values = { tm_sec = 56, tm_min = 34, tm_hour = 12, tm_mday = 29, tm_mon = 1, tm_year = 112 } } } } } }"""
MEMORY = """return { devices = { {
  path = "/dev/mtdblock0", kind = "block", major = 31, minor = 300, content = "head", size = 8, fill = 255,
  requests = { { name = "BLKSSZGET", code = "0x12 104 none", fields = "size long", values = { size = 512 } },
               { name = "BLKROGET", code = "0x12 94 none", errno = "EPERM" } } } } }"""


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_a_hardware_clock_of_typed_values(rootfs: Rootfs, qemu_dir: Path, package: str, arch: str) -> None:
    root = rootfs(f"busybox-{package}")
    output, log = run(
        root, qemu_dir, arch, "devices", CLOCK, "/bin/busybox", "hwclock", "-r", "-u", "-f", "/dev/misc/rtc"
    )
    assert output.startswith("Wed Feb 29 12:34:56 2012")
    assert any("RTC_RD_TIME" in line for line in log)


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_a_device_is_one_file_for_all_who_open_it(
    rootfs: Rootfs, qemu_dir: Path, package: str, arch: str
) -> None:
    look = """exec 5<>/dev/mtdblock0; echo -n TA >&5; cat <&5 | xxd -p; cat /dev/mtdblock0 | xxd -p
    stat -c '%F %a %t %T' /dev/mtdblock0; [ -b /dev/mtdblock0 ] && echo block
    blockdev --getro /dev/mtdblock0; blockdev --getss /dev/mtdblock0"""
    output, log = run(
        rootfs(f"busybox-{package}"), qemu_dir, arch, "devices", MEMORY, "/bin/busybox", "sh", "-c", look
    )
    assert output.splitlines() == [
        "6164ffffffff",
        "54416164ffffffff",
        "block special file 660 1f 12c",
        "block",
        "blockdev: /dev/mtdblock0: Operation not permitted",
        "512",
    ]
    assert log


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_a_watchdog_is_fed(rootfs: Rootfs, qemu_dir: Path, package: str, arch: str) -> None:
    argv = ("/bin/busybox", "watchdog", "-F", "-T", "30", "-t", "1", "/dev/watchdog")
    output, log = run(rootfs(f"busybox-{package}"), qemu_dir, arch, "devices", WATCHDOG, *argv)
    assert output == ""
    assert sum("WDIOC_" in line for line in log) == 2


KEYS = 'return { keys = { lan_ipaddr = "192.168.1.1", wan = "" } }'
COMPILED = [("mips", "mips"), ("arm", "arm"), ("s390x", "s390x")]


@pytest.mark.parametrize(("arch", "qemu"), COMPILED)
def test_keys_are_found_in_the_mapping(tmp_path: Path, qemu_dir: Path, arch: str, qemu: str) -> None:
    root = root_with(tmp_path / "root", arch, "nvram")
    asked = ("lan_ipaddr", "nothing", "wan", "wan=dhcp", "wan", "-lan_ipaddr", "lan_ipaddr")
    output, log = run(root, qemu_dir, qemu, "nvram", KEYS, "/bin/nvram", "broadcom", *asked)
    assert output.splitlines() == [
        *("lan_ipaddr: 192.168.1.1", "nothing: (none)", "wan: ", "wrote 1", "wan: dhcp", "wrote 1"),
        *("lan_ipaddr: (none)", "wan=dhcp", "commit 0", "image 1 version 1 wan=dhcp"),
        *("lan_ipaddr: (none)", "wan=dhcp", "commit 0", "image 1 version 1 wan=dhcp"),
    ]
    assert "nvram: asked for nothing: not set" in log


@pytest.mark.parametrize(("arch", "qemu"), COMPILED)
def test_keys_are_asked_by_requests(tmp_path: Path, qemu_dir: Path, arch: str, qemu: str) -> None:
    root = root_with(tmp_path / "root", arch, "nvram")
    asked = ("lan_ipaddr", "nothing", "wan=dhcp", "wan")
    output, log = run(root, qemu_dir, qemu, "nvram", KEYS, "/bin/nvram", "ralink", *asked)
    assert output.splitlines() == [
        *("lan_ipaddr=192.168.1.1 (0)", "nothing= (0)", "wan=dhcp (0)", "lan_ipaddr=192.168.1.1 (0)")
    ]
    assert "nvram: sets wan= dhcp" in log


@pytest.mark.parametrize(("arch", "qemu"), COMPILED)
def test_no_call_goes_past_the_keys(tmp_path: Path, qemu_dir: Path, arch: str, qemu: str) -> None:
    root = root_with(tmp_path / "root", arch, "nvram")
    output, log = run(root, qemu_dir, qemu, "nvram", KEYS, "/bin/nvram", "past")
    assert output.splitlines() == [
        *("readv 1", "writev 9", "pread 1", "pwrite 1", "truncate 1", "splice 1", "sendfile 1")
    ]
    assert "nvram: sets by_part= " in log
    assert sum(" is refused: " in line for line in log) == 5


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_who_copies_a_store_gets_what_who_reads_it_gets(
    rootfs: Rootfs, qemu_dir: Path, package: str, arch: str
) -> None:
    look = "echo -n lan=10.0.0.2 > /dev/nvram; cat /dev/nvram | tr '\\0' '\\n'"
    table = 'return { keys = { lan = "10.0.0.1" } }'
    argv = ("/bin/busybox", "sh", "-c", look)
    output, _ = run(rootfs(f"busybox-{package}"), qemu_dir, arch, "nvram", table, *argv)
    assert output.split() == ["lan=10.0.0.2"]


@pytest.mark.parametrize("keys", ["", 'lan = "10.0.0.1"'])
@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_who_reads_a_store_like_a_file_gets_to_its_end(
    rootfs: Rootfs, qemu_dir: Path, package: str, arch: str, keys: str
) -> None:
    argv = ("/bin/busybox", "strings", "/dev/nvram")
    table = f"return {{ keys = {{ {keys} }} }}"
    output, _ = run(rootfs(f"busybox-{package}"), qemu_dir, arch, "nvram", table, *argv)
    assert output.splitlines() == (["lan=10.0.0.1"] if keys else [])


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_a_store_is_read_as_an_image(rootfs: Rootfs, qemu_dir: Path, package: str, arch: str) -> None:
    table = (
        'return { path = "/dev/mtdblock1", interface = "image", size = 4096, keys = { lan = "10.0.0.1" } }'
    )
    look = "strings -n 6 /dev/mtdblock1; xxd -p -l 8 /dev/mtdblock1; wc -c < /dev/mtdblock1"
    output, _ = run(
        rootfs(f"busybox-{package}"), qemu_dir, arch, "nvram", table, "/bin/busybox", "sh", "-c", look
    )
    magic = "48534c4600000024" if arch == "s390x" else "464c534824000000"
    assert output.splitlines() == ["lan=10.0.0.1", magic, "4096"]
