"""The arguments of calls in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.log.call_arguments import decode_arguments, with_decoded_arguments
from triage_tui.guest.record.capture import capture
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Engine, Syscall
from triage_tui.runs.reader import load_run
from triage_tui.runs.socket_options import option_number
from triage_tui.runs.writer import RunWriter


@pytest.mark.parametrize(
    ("arch", "name", "given", "expected"),
    [
        ("arm", "setsockopt", "6,1,2,1082133840,4", "6,SOL_SOCKET,SO_REUSEADDR,0x40800d50,4"),
        ("mips", "setsockopt", "6,65535,4,0x40800d50,4", "6,SOL_SOCKET,SO_REUSEADDR,0x40800d50,4"),
        ("ppc", "getsockopt", "6,1,18,0x10,0x20", "6,SOL_SOCKET,SO_RCVTIMEO,0x10,0x20"),
        ("arm", "getsockopt", "6,1,18,0x10,0x20", "6,SOL_SOCKET,SO_RCVLOWAT,0x10,0x20"),
        ("arm", "setsockopt", "6,0,35,0x10,8", "6,IPPROTO_IP,IP_ADD_MEMBERSHIP,0x10,8"),
        ("arm", "setsockopt", "6,41,26,0x10,4", "6,IPPROTO_IPV6,IPV6_V6ONLY,0x10,4"),
        ("arm", "setsockopt", "6,270,1,0x10,4", "6,SOL_NETLINK,NETLINK_ADD_MEMBERSHIP,0x10,4"),
        ("arm", "setsockopt", "6,263,1,0x10,16", "6,SOL_PACKET,PACKET_ADD_MEMBERSHIP,0x10,16"),
        ("arm", "setsockopt", "6,1,999,0x10,4", "6,SOL_SOCKET,999,0x10,4"),
        ("arm", "setsockopt", "6,99,1,0x10,4", "6,99,1,0x10,4"),
        ("arm", "epoll_ctl", "4,1,5,0x10", "4,EPOLL_CTL_ADD,5,0x10"),
        ("arm", "prctl", "15,16,0,0,0", "PR_SET_NAME,0x10"),
        ("arm", "prctl", "38,1,0,0,0,7", "PR_SET_NO_NEW_PRIVS,1,0,0,0"),
        ("arm", "shutdown", "4,2", "4,SHUT_RDWR"),
        ("arm", "pipe2", "0x10,526336", "0x10,O_CLOEXEC|O_NONBLOCK"),
        ("mips", "pipe2", "0x10,524416", "0x10,O_CLOEXEC|O_NONBLOCK"),
        ("arm", "pipe2", "0x10,65536", "0x10,O_DIRECT"),
        ("x86_64", "pipe2", "0x10,16384", "0x10,O_DIRECT"),
        ("arm", "eventfd2", "0,1", "0,EFD_SEMAPHORE"),
        ("arm", "eventfd2", "0,0", "0,0"),
        ("mipsel", "accept4", "4,NULL,NULL,128", "4,NULL,NULL,SOCK_NONBLOCK"),
        ("arm", "epoll_create1", "524288,1,2,3", "EPOLL_CLOEXEC"),
        ("arm", "socketpair", "1,2049,0,0x10", "PF_UNIX,SOCK_STREAM|SOCK_NONBLOCK,0,0x10"),
        ("mips", "socketpair", "PF_UNIX,130,0,0x10", "PF_UNIX,SOCK_STREAM|SOCK_NONBLOCK,0,0x10"),
        ("arm", "inotify_init1", "2048", "IN_NONBLOCK"),
        ("arm", "timerfd_create", "1,524290", "CLOCK_MONOTONIC,TFD_CLOEXEC|0x2"),
        ("arm", "set_tid_address", "590184,0,1,2,3,4", "0x90168"),
        ("arm", "poll", "0x10,1,-1", "0x10,1,-1"),
        ("aarch64", "wait4", "-1,365080608972,0,0", "-1,0x55008000cc,0,0"),
        ("aarch64", "pselect6", "5,365114374952,0,0,0,0", "5,0x5502833b28,0,0,0,0"),
        ("arm", "ioctl", "1,2,3,4", "1,2,3,4"),
        ("arm", "pwrite64", "3,68611,6,0,19088743,1", "3,0x10c03,6,4314056039"),
        ("mips", "pread64", "3,68611,6,0,1,19088743", "3,0x10c03,6,4314056039"),
        ("ppc", "pread64", "3,68611,6,0,-1,-1", "3,0x10c03,6,-1"),
        ("x86_64", "pread64", "3,274886298240,6,19088743,1,2", "3,0x4000800a80,6,19088743"),
        ("arm", "readahead", "3,0,12288,0,4096,4096", "3,12288,4096"),
        ("arm", "arm_fadvise64_64", "3,4,1,1,2,2", "3,4,4294967297,8589934594"),
        ("mips", "sync_file_range", "-1,0,1,1,0,2", "-1,4294967297,2"),
        ("ppc", "pwritev", "3,4096,2,16,1,9", "3,0x1000,2,4294967312"),
        ("x86_64", "pwritev", "3,4096,2,4294967312,0,9", "3,0x1000,2,4294967312"),
        ("arm", "sendmsg", "7,1082133436,0,1,3,1", "7,0x40800bbc,0"),
        ("arm", "sendto", "7,68575,5,16448,4096,16", "7,0x10bdf,5,MSG_DONTWAIT|MSG_NOSIGNAL,0x1000,16"),
        ("arm", "chown32", "68600,1,2,0,3,68586", "0x10bf8,1,2"),
        ("x86_64", "arch_prctl", "4098,4096,24,1,2,3", "ARCH_SET_FS,0x1000"),
        ("x86_64", "openat", "-100,x", "AT_FDCWD,x"),
        ("x86_64", "newfstatat", "3,x,0x10,0x1000", "3,x,0x10,AT_EMPTY_PATH"),
        ("x86_64", "wait4", "4294967295,0,1,0", "-1,0,WNOHANG,0"),
        ("mips", "getrlimit", "5,0x10", "RLIMIT_NOFILE,0x10"),
        ("arm", "ugetrlimit", "7,0x10", "RLIMIT_NOFILE,0x10"),
        ("arm", "flock", "3,6,1,2,3,4", "3,LOCK_EX|LOCK_NB"),
        ("arm", "clone", "CLONE_CHILD_SETTID|0x11,x", "CLONE_CHILD_SETTID|SIGCHLD,x"),
        ("mips", "clone", "CLONE_CHILD_SETTID|0x12,x", "CLONE_CHILD_SETTID|SIGCHLD,x"),
        ("arm", "socket", "PF_INET,SOCK_RAW,1", "PF_INET,SOCK_RAW,IPPROTO_ICMP"),
        ("arm", "socket", "PF_NETLINK,SOCK_RAW,16", "PF_NETLINK,SOCK_RAW,NETLINK_GENERIC"),
        ("arm", "socket", "PF_PACKET,SOCK_RAW,768", "PF_PACKET,SOCK_RAW,htons(ETH_P_ALL)"),
        ("mips", "socket", "PF_PACKET,SOCK_RAW,3", "PF_PACKET,SOCK_RAW,htons(ETH_P_ALL)"),
        ("arm", "reboot", "-18751827,672274793,19088743,0,8,12",
            "LINUX_REBOOT_MAGIC1,LINUX_REBOOT_MAGIC2,LINUX_REBOOT_CMD_RESTART"),
        ("arm", "inotify_add_watch", "15,68357,768", "15,0x10b05,IN_CREATE|IN_DELETE"),
        ("arm", "getrandom", "0x1000,4,1", "0x1000,4,GRND_NONBLOCK"),
        ("arm", "getpriority", "0,0", "PRIO_PROCESS,0"),
        ("arm", "send", "8,68380,1,0", "8,0x10b1c,1,0"),
        ("arm", "kill", "2,(null)", "2,0"),
        ("arm", "ioctl", "3,0x80045705,0x0", "3,WDIOC_KEEPALIVE,0x0"),
        ("mips", "ioctl", "3,0x40045705,0x0", "3,WDIOC_KEEPALIVE,0x0"),
        ("mipsel", "ioctl", "3,0xc0045706,0x0", "3,WDIOC_SETTIMEOUT,0x0"),
        ("arm", "ioctl", "3,0x80204d01,0x0", "3,MEMGETINFO,0x0"),
        ("ppc", "ioctl", "3,0x40204d01,0x0", "3,MEMGETINFO,0x0"),
        ("arm", "ioctl", "3,0x80044d01,0x0", "3,0x80044d01,0x0"),
        ("arm", "ioctl", "3,0x400454ca,0x0", "3,TUNSETIFF,0x0"),
        ("arm", "ioctl", "3,0x8b1b,0x0", "3,SIOCGIWESSID,0x0"),
        ("arm", "ioctl", "3,0x8b2d,0x0", "3,SIOCGIWPOWER,0x0"),
        ("arm", "ioctl", "3,0x89f3,0x0", "3,SIOCDEVPRIVATE+3,0x0"),
        ("arm", "ioctl", "3,0x5401beef,0x0", "3,0x5401beef,0x0"),
        ("arm", "fcntl64", "3,F_SETFD,1", "3,F_SETFD,FD_CLOEXEC"),
        ("mips", "getsockname", "4,{sa_family=2560,x},0x10", "4,{sa_family=AF_INET6,x},0x10"),
    ],
)  # fmt: skip
def test_numbers_become_names(arch: str, name: str, given: str, expected: str) -> None:
    if "{" in given:
        first, rest = given.split(",", 1)
        middle, last = rest.rsplit(",", 1)
        texts = [first, middle, last]
    else:
        texts = given.split(",")
    decoded = decode_arguments(by_name(arch), name, texts)
    assert ",".join(decoded) == expected
    assert decode_arguments(by_name(arch), name, decoded) == decoded


def test_a_known_peer_takes_the_place_of_its_address() -> None:
    texts = ["4", "0x40800d70", "16"]
    peer = "inet:127.0.0.1:80"
    assert decode_arguments(by_name("arm"), "connect", texts, peer=peer) == ["4", peer, "16"]
    assert decode_arguments(by_name("arm"), "connect", texts) == texts


def test_half_an_address_is_made_whole() -> None:
    args = [0xFFFFFFFF, 0x4000800C90, 16, 0, 0, 0]
    assert decode_arguments(by_name("aarch64"), "connect", ["-1", "0x800c90", "16"], args) == [
        "-1",
        "0x4000800c90",
        "16",
    ]
    assert decode_arguments(by_name("aarch64"), "x", ["0x800c91"], args[1:]) == ["0x800c91"]


def test_a_call_without_text_has_the_arguments_of_its_registers() -> None:
    arm, mips = by_name("arm"), by_name("mips")
    flags, wide = "SYNC_FILE_RANGE_WRITE", "4294967297"
    assert decode_arguments(arm, "sync_file_range2", [], [8, 2, 1, 1, 2, 0]) == ["8", flags, wide, "2"]
    words = [0xFFFFFFFF, 0, 1, 1, 0, 2, 2, 7]
    texts = [str(word) for word in words[:6]]
    decoded = decode_arguments(mips, "sync_file_range", texts, words)
    assert decoded == ["-1", wide, "2", flags]
    assert decode_arguments(mips, "sync_file_range", decoded, words) == decoded


def test_a_temporary_file_has_its_mode() -> None:
    texts = ["-100", '"/tmp"', "O_RDWR|O_DIRECTORY|__O_TMPFILE"]
    decoded = decode_arguments(by_name("arm"), "openat", texts, [0xFFFFFF9C, 4096, 0o20040002, 0o600, 0, 0])
    assert decoded == ["AT_FDCWD", '"/tmp"', "O_RDWR|O_TMPFILE", "0600"]
    assert decode_arguments(by_name("arm"), "openat", decoded, [0, 0, 0, 0o600]) == decoded


@pytest.mark.parametrize("arch", ["arm", "mips", "aarch64", "ppc"])
def test_what_is_in_memory_is_looked_up(arch: str, tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, arch, "in_memory")
    with Guest.start(spec(root, qemu_dir, "/bin/in_memory")) as guest:
        assert guest.run_until_stop().reason == "idle"
        calls = with_decoded_arguments(guest.history(), by_name(arch))
        lines = [f"{call.name}({','.join(call.arguments)})" for call in calls]
        assert any(line.startswith("sendto(") and ",inet:127.0.0.1:4712,16)" in line for line in lines)
        assert any(line.endswith("O_RDWR|O_TMPFILE,0640)") for line in lines)
        (synced,) = (call for call in calls if call.name.startswith("sync_file_range"))
        assert {"4294967297", "2", "SYNC_FILE_RANGE_WRITE"} <= set(synced.arguments)
        assert calls[-1].name in ("poll", "ppoll", "ppoll_time64")
        assert calls[-1].arguments[0] == (
            f"[{{fd={synced.arguments[0]}, events=POLLIN|POLLPRI}}, {{fd=-1, events=0}}, "
            f"{{fd={synced.arguments[0]}, events=0x4000}}]"
        )


@pytest.mark.parametrize(("arch", "count"), [("mips", 1), ("mipsel", 1), ("arm", 0), ("mips64el", 0)])
def test_calls_that_no_log_tells_of_are_named(arch: str, count: int, tmp_path: Path, qemu_dir: Path) -> None:
    with Guest.start(spec(root_with(tmp_path, arch, "in_memory"), qemu_dir, "/bin/in_memory")) as guest:
        assert [what for what, _why in guest.not_observed()] == [
            "syscalls with numbers behind the end of the emulator's table for o32"
        ] * count


def test_the_calls_themselves_keep_their_texts() -> None:
    call = Syscall(seq=1, name="shutdown", arguments=["4", "2"])
    other = Syscall(seq=2, name="read", arguments=["4", "0x10", "2"])
    decoded = with_decoded_arguments([call, other], by_name("arm"))
    assert [one.arguments for one in decoded] == [["4", "SHUT_RDWR"], ["4", "0x10", "2"]]
    assert call.arguments == ["4", "2"]
    assert decoded[1] is other


def test_each_call_is_read_in_terms_of_its_own_program() -> None:
    texts = ["6", "65535", "4", "0x10", "4"]
    calls = [
        Syscall(seq=seq, name="setsockopt", arguments=list(texts), arch=arch)
        for seq, arch in enumerate(("mips", "arm", None), 1)
    ]
    decoded = with_decoded_arguments(calls, by_name("mips"))
    assert [call.arguments[2] for call in decoded] == ["SO_REUSEADDR", "4", "SO_REUSEADDR"]


def test_names_of_options_lead_back_to_their_numbers() -> None:
    assert option_number("mips", "SO_REUSEADDR") == 4
    assert option_number("arm", "SO_REUSEADDR") == 2
    assert option_number("mips", "SOL_SOCKET") == 0xFFFF
    assert option_number("arm", "0x10") == 16
    assert option_number("arm", "SO_NOTHING") is None


@pytest.mark.parametrize("arch", ["arm", "mips", "aarch64"])
def test_a_guests_record_has_names(arch: str, tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", arch, "options")
    with Guest.start(spec(root, qemu_dir, "/bin/options")) as guest:
        stop = guest.run_until_stop()
        assert stop.exit_code == 3
        writer = RunWriter(tmp_path / "runs")
        capture(guest, stop, writer, target=guest.target, engine=Engine(contained=guest.contained))
        run = load_run(writer.publish())
    for calls in (list(run.trace()), run.snapshot.recent_syscalls):
        lines = [f"{call.name}({','.join(call.arguments)})" for call in calls]
        text = "\n".join(lines)
        for wanted in (
            "socket(PF_INET6,SOCK_STREAM,",
            "SOL_SOCKET,SO_REUSEADDR,",
            "IPPROTO_TCP,TCP_NODELAY,",
            ",inet6:[::1]:4711,28)",
            "SOCK_STREAM|SOCK_NONBLOCK,0,0x",
            "SHUT_WR)",
            "O_CLOEXEC|O_NONBLOCK)",
            "epoll_create1(EPOLL_CLOEXEC)",
            ",EPOLL_CTL_ADD,",
            "eventfd2(0,EFD_NONBLOCK)",
            ",40,O_CLOEXEC)",
            "timerfd_create(CLOCK_MONOTONIC,TFD_CLOEXEC)",
            "prctl(PR_SET_NAME,",
        ):
            assert wanted in text
        assert any(call.path == '/etc/a"b' for call in calls)
        assert all(len(call.arguments) == 1 for call in calls if call.name == "set_tid_address")
