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
