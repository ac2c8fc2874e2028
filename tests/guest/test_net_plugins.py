"""Plugins for what a program finds around it: interfaces, peers, the time; on both byte orders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.test_plugins import BUSYBOX, run
from tests.programs import qemu_name, root_with

Rootfs = Callable[[str], Path]
BIG_ENDIAN_32 = ["mips", "ppc"]

INTERFACES = """return { interfaces = {
  { name = "eth0", address = "192.168.7.1", netmask = "255.255.0.0",
    hardware = "00:11:22:33:44:55", index = 2 },
  { name = "wlan0", mtu = 1400, link = false },
} }"""
LOOK = """ifconfig -a; cat /sys/class/net/eth0/address; ls /sys/class/net
ifconfig wlan0 10.1.2.3 netmask 255.0.0.0 up; ifconfig wlan0
cd /sys/class/net; ifconfig eth0 down mtu 900; cat eth0/operstate wlan0/address ./eth0/mtu
cat /proc/net/dev"""


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_interfaces_that_are_not_there(rootfs: Rootfs, qemu_dir: Path, package: str, arch: str) -> None:
    root = rootfs(f"busybox-{package}")
    output, _ = run(root, qemu_dir, arch, "netif", INTERFACES, "/bin/busybox", "sh", "-c", LOOK)
    first, _, rest = output.partition("00:11:22:33:44:55\neth0\nwlan0\n")
    assert "HWaddr 00:11:22:33:44:55" in first
    assert "inet addr:192.168.7.1  Bcast:192.168.255.255  Mask:255.255.0.0" in first
    assert "UP BROADCAST RUNNING MULTICAST  MTU:1500" in first
    # The kernel's own interface stays.
    assert "inet addr:127.0.0.1" in first
    # What the program set is what it gets; a link is no setting.
    assert "inet addr:10.1.2.3  Bcast:10.255.255.255  Mask:255.0.0.0" in rest
    assert "UP BROADCAST MULTICAST  MTU:1400" in rest
    # Its files tell what holds by now.
    assert "\ndown\n02:00:00:00:00:01\n900\n" in rest
    assert [line.split(":")[0].strip() for line in rest.splitlines()[-3:]] == ["lo", "eth0", "wlan0"]


@pytest.mark.parametrize("arch", [*BIG_ENDIAN_32, "thumb", "s390x"])
def test_each_request_is_answered_in_the_layout_of_the_program(
    tmp_path: Path, qemu_dir: Path, arch: str
) -> None:
    root = root_with(tmp_path / "root", arch, "interfaces")
    output, _ = run(root, qemu_dir, qemu_name(arch), "netif", INTERFACES, "/bin/interfaces", "eth0")
    assert output.splitlines() == [
        "list 1: lo=127.0.0.1 eth0=192.168.7.1",
        "index 2 eth0",
        "flags 1043",
        "address 192.168.7.1",
        "netmask 255.255.0.0",
        "hardware 1 00:55",
        "mtu 1500",
        "link 1",
        "speed 100 duplex 1",
        "phy 1 linked",
        "bound",
        "bound by request",
    ]


NSCD = """return { path = "/var/run/nscd/socket", replies = {
  -- request_header and ai_response_header of glibc's nscd-client.h: version 2, GETAI.
  { starts = { { i32 = 2 }, { i32 = 14 } }, reply = {
    { i32 = 2 }, { i32 = 1 }, { i32 = 1 }, { i32 = 4 }, { i32 = 5 }, { i32 = 0 },
    "\\127\\0\\0\\1", "\\2", "gate\\0",
  } },
  { hang_up = true },
} }"""


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_a_real_program_takes_the_scripted_peer_for_its_name_service(
    rootfs: Rootfs, qemu_dir: Path, package: str, arch: str
) -> None:
    """The C library asks nscd in numbers of its processor, and believes the answer."""
    root = rootfs(f"busybox-{package}")
    output, log = run(root, qemu_dir, arch, "unixpeer", NSCD, "/bin/busybox", "ping", "-c", "1", "gate")
    assert "PING gate (127.0.0.1)" in output
    assert "1 packets received" in output
    assert any("gate" in line and line.endswith("reply 1, 34 bytes") for line in log)


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_what_a_silent_peer_gets_is_told(rootfs: Rootfs, qemu_dir: Path, package: str, arch: str) -> None:
    script = "test -S /dev/log && echo there; logger hello"
    table = 'return { path = "/dev/log", visible = true }'
    argv = ("/bin/busybox", "sh", "-c", script)
    output, log = run(rootfs(f"busybox-{package}"), qemu_dir, arch, "unixpeer", table, *argv)
    assert output == "there\n"
    assert any(line.startswith("/dev/log got ") and "hello': no reply fits" in line for line in log)


TALK = """return { path = "/run/peer", visible = true, greeting = { { u32 = 7 }, "hi" }, replies = {
  { starts = { { u32 = 0x01020304 } }, reply = { { echo = { 0, 4 } }, "I am ", { u8 = 88 } } },
  { equals = "bye", hang_up = true },
} }"""


@pytest.mark.parametrize("arch", [*BIG_ENDIAN_32, "thumb", "s390x"])
def test_every_way_to_talk_to_a_peer_reaches_the_script(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    root = root_with(tmp_path / "root", arch, "talks")
    output, _ = run(root, qemu_dir, qemu_name(arch), "unixpeer", TALK, "/bin/talks", "/run/peer")
    answer = "10 16909060 I am X"
    assert output.splitlines() == [
        "name there",
        "greeting 6 7 hi",
        f"stream {answer}",
        "sendto 6 7 hi",
        f"sendto {answer}",
        "sendmsg 6 7 hi",
        f"sendmsg {answer}",
        "hung up",
    ]


CONVERSE = """return { abstract = "cfg", greeting = "hi.", replies = {
  { equals = "how many", reply = { "lots", "." } },
  { equals = "who", reply = "me." },
  { equals = "bye", reply = "so long", hang_up = true } } }"""


@pytest.mark.parametrize("arch", ["mips", "thumb"])
def test_a_peer_keeps_connections_apart_and_hangs_up(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    root = root_with(tmp_path / "root", arch, "converses")
    output, _ = run(root, qemu_dir, qemu_name(arch), "unixpeer", CONVERSE, "/bin/converses", "@cfg")
    greetings, whole = ["greeting: [hi.]"] * 2, ["one: [lots.]", "two: [me.]"]
    assert output.splitlines() == [
        *(*greetings, "one: [lot] [s.]", "two: [me.]"),
        *("one: [so ] [lon] [g] end 0", "sent -1 1", "two: [me.]"),
        *(*greetings, *whole, "one: [so long] end 0", "sent -1 1", "two: [me.]"),
        *(*greetings, *whole, "two: [me.]"),
    ]


SET = "date -u; date -u -s '2001-02-03 04:05:06'; date -u; hwclock -u -r; hwclock -u -w; hwclock -u -r"


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_another_time_that_stands_still(rootfs: Rootfs, qemu_dir: Path, package: str, arch: str) -> None:
    table = 'return { at = "1999-12-31T23:59:58Z", stands = true, rtc = true }'
    argv = ("/bin/busybox", "sh", "-c", SET)
    output, _ = run(rootfs(f"busybox-{package}"), qemu_dir, arch, "clock", table, *argv)
    assert output.splitlines() == [
        "Fri Dec 31 23:59:58 UTC 1999",
        *["Sat Feb  3 04:05:06 UTC 2001"] * 2,
        *["Sat Feb  3 04:05:06 2001  0.000000 seconds"] * 2,
    ]


@pytest.mark.parametrize("arch", [*BIG_ENDIAN_32, "thumb", "x86_64"])
def test_every_call_that_reads_the_clock_shows_the_same_time(
    tmp_path: Path, qemu_dir: Path, arch: str
) -> None:
    root = root_with(tmp_path / "root", arch, "clocks")
    table = 'return { at = "1970-01-02T00:00:00Z", stands = true }'
    output, _ = run(root, qemu_dir, qemu_name(arch), "clock", table, "/bin/clocks")
    lines = [line.split() for line in output.splitlines()]
    assert len(lines) >= 3
    assert {line[1] for line in lines} == {"86400"}


TFTP = """return { address = "127.0.0.1:69", replies = {
  { starts = { { be16 = 1 }, "fw.bin" }, reply = { { be16 = 3 }, { be16 = 1 }, "firmware" } },
} }"""


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_a_real_program_gets_a_file_from_a_scripted_server(
    rootfs: Rootfs, qemu_dir: Path, package: str, arch: str
) -> None:
    """The client holds each datagram against the address and port of the server."""
    script = "tftp -g -r fw.bin -l /fw.bin 127.0.0.1; cat /fw.bin"
    argv = ("/bin/busybox", "sh", "-c", script)
    output, _ = run(rootfs(f"busybox-{package}"), qemu_dir, arch, "unixpeer", TFTP, *argv)
    assert output.splitlines()[-1].endswith("firmware")


WEB = """return { address = "127.0.0.1:80", border = "\\r\\n\\r\\n", replies = {
  { starts = "GET /index.html ", hang_up = true,
    reply = "HTTP/1.0 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nhi\\n" },
} }"""


@pytest.mark.parametrize(("package", "arch"), BUSYBOX)
def test_a_real_program_loads_a_page_from_a_scripted_server(
    rootfs: Rootfs, qemu_dir: Path, package: str, arch: str
) -> None:
    argv = ("/bin/busybox", "wget", "-q", "-O", "-", "http://127.0.0.1/index.html")
    output, _ = run(rootfs(f"busybox-{package}"), qemu_dir, arch, "unixpeer", WEB, *argv)
    assert output == "hi\n"
