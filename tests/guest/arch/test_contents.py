"""What bytes hold when only their place is known: certain forms are recognised, all else is left alone."""

from __future__ import annotations

import random
import struct

import pytest

from triage_tui.guest.arch import by_name
from triage_tui.guest.arch.contents import (
    HTTP_ANSWER,
    HTTP_REQUEST,
    MAX_FIELDS,
    NETLINK,
    POINTERS,
    SETTINGS,
    interfaces,
    pointer_table,
    recognise,
)
from triage_tui.guest.arch.structures import FieldText

ARM, MIPS = by_name("arm"), by_name("mips")
BOTH = pytest.mark.parametrize(("name", "sign"), [("arm", "<"), ("mips", ">"), ("aarch64", "<")])


def texts(fields: list[FieldText]) -> dict[str, str]:
    return {field.name: field.text for field in fields}


def test_a_request_and_an_answer() -> None:
    data = b"POST /goform/set?x=1 HTTP/1.1\r\nHost: 10.0.0.1\r\nCookie: sid=abc\r\n\r\nname=value&b=2\0\0\0"
    found = recognise(ARM, data)
    assert found is not None
    assert found.kind == HTTP_REQUEST
    assert [(one.name, one.text) for one in found.fields] == [
        ("request", "POST /goform/set?x=1 HTTP/1.1"),
        ("header", "Host: 10.0.0.1"),
        ("header", "Cookie: sid=abc"),
        ("body", "name=value&b=2"),
    ]
    for one in found.fields:
        assert data[one.offset : one.offset + one.size].decode().rstrip("\r\n") == one.text
    answer = recognise(ARM, b"HTTP/1.0 404 Not Found\nServer: x\n\n")
    assert answer is not None
    assert answer.kind == HTTP_ANSWER
    assert texts(answer.fields) == {"status": "HTTP/1.0 404 Not Found", "header": "Server: x"}


@pytest.mark.parametrize(
    ("data", "entries"),
    [
        (b"PATH=/bin\0HOME=/\0TERM=\0\0", ["PATH=/bin", "HOME=/", "TERM="]),
        (b"lan_ifname=br0\nlan_ipaddr=192.168.1.1\n", ["lan_ifname=br0", "lan_ipaddr=192.168.1.1"]),
        # A store of a Broadcom device, behind its header; and a block that begins inside an entry.
        (b"FLSH" + bytes(16) + b"et0macaddr=00:11\0wl0_ssid=x\0\0", ["et0macaddr=00:11", "wl0_ssid=x"]),
        (b"tail of one\0a=1\0b=2\0", ["a=1", "b=2"]),
    ],
)
def test_blocks_of_settings(data: bytes, entries: list[str]) -> None:
    found = recognise(MIPS, data)
    assert found is not None
    assert found.kind == SETTINGS
    assert [one.text for one in found.fields] == entries
    for one in found.fields:
        assert data[one.offset : one.offset + one.size].decode() == one.text


@BOTH
def test_netlink_messages(name: str, sign: str) -> None:
    arch = by_name(name)
    attribute = struct.pack(f"{sign}HH", 9, 3) + b"lan0\0" + bytes(3)
    body = struct.pack(f"{sign}BxHiII", 0, 1, 7, 0x1003, 0) + attribute
    message = struct.pack(f"{sign}IHHII", 16 + len(body), 18, 0x301, 5, 0) + body
    found = recognise(arch, message)
    assert found is not None
    assert found.kind == NETLINK
    said = texts(found.fields)
    assert said["nlmsg_type"] == "RTM_GETLINK"
    assert said["nlmsg_flags"] == "NLM_F_REQUEST|NLM_F_DUMP"
    assert (said["index"], said["flags"], said["IFLA_IFNAME"]) == ("7", "0x1003", '"lan0"')
    # An error names its number as the architecture has it: EOPNOTSUPP is another one on mips.
    number = arch.errno_number("EOPNOTSUPP")
    assert number is not None
    refused = struct.pack(f"{sign}IHHIIi", 36, 2, 0, 5, 0, -number) + message[:16]
    found = recognise(arch, message + refused)
    assert found is not None
    said = texts(found.fields)
    assert said["[1].error"].startswith(f"-{number} (EOPNOTSUPP: ")
    assert said["[1].msg.nlmsg_type"] == "RTM_GETLINK"
    # Lengths that do not add up are none.
    assert recognise(arch, message + b"\1" * 16) is None
    assert recognise(arch, message[:20]) is None


@BOTH
def test_a_vector_of_strings(name: str, sign: str) -> None:
    arch = by_name(name)
    form = f"{sign}{'I' if arch.word == 4 else 'Q'}"
    strings = {0x10000: b"/bin/sh", 0x10010: b"-c", 0x10020: b"reboot\x1b"}
    data = b"".join(struct.pack(form, value) for value in (0x10000, 0x10010, 0, 0x10020))
    assert texts(pointer_table(arch, data, strings.get)) == {"[0]": '"/bin/sh"', "[1]": '"-c"'}
    found = recognise(arch, data, strings.get)
    assert found is not None
    assert found.kind == POINTERS
    # What is no text, or no string, makes it none.
    assert pointer_table(arch, struct.pack(form, 0x10000) + struct.pack(form, 0x10020), strings.get) == []
    assert pointer_table(arch, struct.pack(form, 0x10000) + struct.pack(form, 3), strings.get) == []


@BOTH
def test_a_list_of_interfaces(name: str, sign: str) -> None:
    arch = by_name(name)
    address = struct.pack(f"{sign}H", 2) + bytes(2) + bytes((127, 0, 0, 1)) + bytes(8)
    union = address.ljust(24 if arch.word == 8 else 16, b"\0")
    data = b"lo".ljust(16, b"\0") + union + b"lan0".ljust(16, b"\0") + union + bytes(200)
    said = texts(interfaces(arch, data))
    assert said["[0].ifr_name"] == '"lo"'
    assert said["[1].ifr_name"] == '"lan0"'
    assert said["[1].ifr_addr.sin_addr"] == "127.0.0.1"
    assert not any(name.startswith("[2]") for name in said)


def test_what_is_nothing_of_that_is_left_alone() -> None:
    for data in (b"", b"\0" * 64, b"plain text", b"a=1", b"GET", b"GET \r\n", b"x" * 5000, b"HTTP/1.1 hello"):
        assert recognise(ARM, data) is None


def test_any_bytes_are_survived() -> None:
    dice = random.Random(7)
    begins = (
        b"",
        b"GET / HTTP/1.1\r\n",
        b"a=1\0b=2\0",
        struct.pack("<IHHII", 16, 18, 1, 1, 1),
        b"FLSH" + bytes(16),
    )
    for number in range(400):
        data = begins[number % len(begins)] + dice.randbytes(dice.randrange(300))
        for arch in (ARM, MIPS):
            found = recognise(arch, data, lambda address: b"x" if address % 3 else None)
            for one in found.fields if found else []:
                assert 0 <= one.offset <= one.offset + one.size <= len(data)
    flood = recognise(ARM, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000)
    assert flood is not None
    assert len(flood.fields) <= MAX_FIELDS
    assert recognise(ARM, b"a=" * 100_000) is None
