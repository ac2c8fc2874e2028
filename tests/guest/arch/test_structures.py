"""Structures of syscall arguments as text: by call, by request, by family, in either byte order."""

from __future__ import annotations

import struct

import pytest

from triage_tui.guest.arch import Arch, by_name, tables
from triage_tui.guest.arch.structures import Structure, fields_of, structure_of, structure_size, title_of

BOTH = pytest.mark.parametrize(("name", "sign"), [("arm", "<"), ("mips", ">")])


def texts(arch: Arch, structure: Structure, data: bytes) -> dict[str, str]:
    return {field.name: field.text for field in fields_of(arch, structure, data)}


def bytes_of(arch: Arch, structure: Structure, data: bytes, name: str) -> bytes:
    field = next(one for one in fields_of(arch, structure, data) if one.name == name)
    return data[field.offset : field.offset + field.size]


@pytest.mark.parametrize(
    ("arch", "call", "args", "index", "named", "found"),
    [
        ("arm", "connect", [3, 1, 16], 1, None, Structure("sockaddr")),
        ("arm", "sendto", [3, 1, 2, 0, 5, 16], 4, None, Structure("sockaddr")),
        ("arm", "sendto", [3, 1, 2, 0, 5, 16], 1, None, None),
        ("mips", "poll", [1, 3, 0], 0, None, Structure("pollfd", 3)),
        ("mips", "poll", [1, 1 << 31, 0], 0, None, Structure("pollfd", 64)),
        ("mips", "ppoll", [1, 3, 9, 0], 2, None, Structure("timespec")),
        ("arm", "ioctl", [3, 0x8933, 9], 2, "SIOCGIFINDEX", Structure("ifreq", 1, "SIOCGIFINDEX")),
        ("arm", "ioctl", [3, 0x8912, 9], 2, "SIOCGIFCONF", Structure("ifconf", 1, "SIOCGIFCONF")),
        ("arm", "ioctl", [3, 0x5401, 9], 2, "TCGETS", Structure("termios", 1, "TCGETS")),
        ("arm", "ioctl", [3, 7, 9], 2, None, None),
        ("arm", "stat", ["p", 9], 1, None, None),
        ("x86_64", "stat", ["p", 9], 1, None, Structure("stat")),
        ("mips", "fstat64", [3, 9], 1, None, Structure("stat")),
        ("arm", "pipe", [9], 0, None, Structure("int", 2)),
        ("arm", "brk", [9], 0, None, None),
    ],
)
def test_what_an_argument_is(
    arch: str, call: str, args: list[int], index: int, named: str | None, found: Structure | None
) -> None:
    assert structure_of(by_name(arch), call, args, index, named) == found


@BOTH
def test_socket_addresses_are_read_by_their_family(name: str, sign: str) -> None:
    arch, address = by_name(name), Structure("sockaddr")
    data = struct.pack(f"{sign}H", 2) + struct.pack(">H4B", 80, 192, 168, 0, 1) + bytes(8)
    assert title_of(address, arch, data) == "struct sockaddr_in"
    assert texts(arch, address, data)["sin_family"] == "AF_INET"
    assert texts(arch, address, data)["sin_port"] == "80"
    assert texts(arch, address, data)["sin_addr"] == "192.168.0.1"
    assert bytes_of(arch, address, data, "sin_addr") == b"\xc0\xa8\x00\x01"
    data = struct.pack(f"{sign}H", 10) + struct.pack(">HI", 53, 0) + bytes(15) + b"\1" + bytes(4)
    assert texts(arch, address, data)["sin6_addr"] == "::1"
    data = struct.pack(f"{sign}HHII", 16, 0, 811, 5)
    assert texts(arch, address, data) == {"nl_family": "AF_NETLINK", "nl_pid": "811", "nl_groups": "0x5"}
    data = struct.pack(f"{sign}H", 1) + b"/run/x.sock\0more"
    assert texts(arch, address, data)["sun_path"] == '"/run/x.sock"'
    assert bytes_of(arch, address, data, "sun_path") == b"/run/x.sock"
    data = struct.pack(f"{sign}H", 1) + b"\0hidden"
    assert texts(arch, address, data)["sun_path"] == '"@hidden"'
    data = struct.pack(f"{sign}HHiHBB", 17, 0x0608, 2, 1, 0, 6) + b"\1\2\3\4\5\6\0\0"
    assert texts(arch, address, data)["sll_addr"] == "01:02:03:04:05:06"


@BOTH
def test_an_ifreq_is_read_by_its_request(name: str, sign: str) -> None:
    arch = by_name(name)
    front = b"eth0".ljust(16, b"\0")

    def decoded(request: str, union: bytes) -> dict[str, str]:
        return texts(arch, Structure("ifreq", 1, request), front + union.ljust(16, b"\0"))

    assert decoded("SIOCGIFINDEX", struct.pack(f"{sign}i", 3)) == {"ifr_name": '"eth0"', "ifr_ifindex": "3"}
    flags = decoded("SIOCGIFFLAGS", struct.pack(f"{sign}H", 0x1043))
    assert flags["ifr_flags"] == "IFF_UP|IFF_BROADCAST|IFF_RUNNING|IFF_MULTICAST"
    address = struct.pack(f"{sign}H", 2) + b"\0\0\x0a\0\0\1"
    assert decoded("SIOCGIFADDR", address)["ifr_addr.sin_addr"] == "10.0.0.1"
    hardware = struct.pack(f"{sign}H", 1) + b"\xde\xad\xbe\xef\0\1"
    assert decoded("SIOCGIFHWADDR", hardware)["ifr_hwaddr.sa_data"] == "de:ad:be:ef:00:01"


@BOTH
def test_numbers_flags_and_pointers(name: str, sign: str) -> None:
    arch = by_name(name)
    data = struct.pack(f"{sign}iHHiHH", 3, 5, 1, 4, 4, 0)
    assert texts(arch, Structure("pollfd", 2), data) == {
        "[0].fd": "3",
        "[0].events": "POLLIN|POLLOUT",
        "[0].revents": "POLLIN",
        "[1].fd": "4",
        "[1].events": "POLLOUT",
        "[1].revents": "0",
    }
    data = struct.pack(f"{sign}II", 0x7F001000, 12)
    (base, length) = fields_of(arch, Structure("iovec"), data)
    assert (base.text, base.pointer, base.offset, base.size) == ("0x7f001000", 0x7F001000, 0, 4)
    assert (length.text, length.pointer) == ("12", None)
    assert texts(arch, Structure("timespec"), struct.pack(f"{sign}ii", -1, 5))["tv_sec"] == "-1"
    assert texts(arch, Structure("int", 2), struct.pack(f"{sign}ii", 3, 4)) == {"[0]": "3", "[1]": "4"}


@BOTH
def test_a_set_of_descriptors_is_an_array_of_words(name: str, sign: str) -> None:
    arch = by_name(name)
    assert structure_of(arch, "select", [8, 1, 2, 3, 4], 2) == Structure("fd_set")
    data = struct.pack(f"{sign}II", 0x18, 1 << 31)
    assert texts(arch, Structure("fd_set"), data) == {"fds": "3 4 63"}


def test_an_event_is_laid_out_as_its_architecture_packs_it() -> None:
    packed = struct.pack("<IQ", 1 << 31 | 1, 7)
    assert texts(by_name("x86_64"), Structure("epoll_event"), packed)["events"] == "EPOLLIN|EPOLLET"
    assert texts(by_name("x86_64"), Structure("epoll_event"), packed)["data"] == "0x7"
    aligned = struct.pack(">IIQ", 4, 0, 9)
    assert texts(by_name("mips"), Structure("epoll_event"), aligned) == {"events": "EPOLLOUT", "data": "0x9"}


def test_handlers_and_modes_have_names() -> None:
    action = struct.pack("<IIII", 1, 0x10000000, 0, 0) + bytes(8)
    assert texts(by_name("arm"), Structure("sigaction"), action)["sa_handler"] == "SIG_IGN"
    assert texts(by_name("arm"), Structure("sigaction"), action)["sa_flags"] == "SA_RESTART"
    mips = struct.pack(">II", 8, 0x400100) + bytes(16)
    assert texts(by_name("mips"), Structure("sigaction"), mips)["sa_flags"] == "SA_SIGINFO"
    arch = by_name("aarch64")
    data = bytes(16) + struct.pack("<I", 0o100644) + bytes(100)
    assert texts(arch, Structure("stat"), data)["st_mode"] == "S_IFREG|0644"


@pytest.mark.parametrize("arch", tables.ALL, ids=lambda arch: arch.name)
def test_every_structure_survives_every_length_and_any_bytes(arch: Arch) -> None:
    names = (
        "sockaddr",
        "fd_set",
        "int",
        "msghdr",
        "ifconf",
        "termios",
        "utsname",
        "itimerval",
        "rlimit",
        "winsize",
    )
    for name in (*names, "stat", "sigaction", "epoll_event", "ifreq"):
        structure = Structure(name, 2, "SIOCGIFADDR" if name == "ifreq" else "")
        size = structure_size(arch, structure)
        for data in (b"", b"\xff", b"\xff" * (size - 1), b"\xff" * 2 * size, bytes(range(256)) * 2):
            for field in fields_of(arch, structure, data):
                assert field.offset >= 0
                assert field.offset + field.size <= len(data)
