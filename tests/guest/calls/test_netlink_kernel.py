"""What a kernel without anything in it answers to netlink, to well-formed requests and to anything else."""

from __future__ import annotations

import random
import struct

import pytest

from triage_tui.guest.calls import netlink_kernel
from triage_tui.guest.calls.netlink_kernel import ACK, DUMP, GENERIC, NETFILTER, REQUEST, ROUTE, XFRM
from triage_tui.rulehost.protocol import Endian

ORDERS: list[tuple[Endian, str]] = [("little", "<"), ("big", ">")]


def request(order: str, kind: int, flags: int, sequence: int = 1, text: bytes = b"") -> bytes:
    header = struct.pack(order + "IHHII", 16 + len(text), kind, REQUEST | flags, sequence, 99)
    return header + text + bytes(-len(text) % 4)


def attribute(order: str, kind: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def told(
    message: bytes, endian: Endian, protocol: int, *, takes_changes: bool = False
) -> list[tuple[int, bytes]]:
    """Return type and body of each message of the answer, as a program reads them."""
    order = dict(ORDERS)[endian]
    data = b"".join(netlink_kernel.answers(message, endian, protocol, 4711, takes_changes=takes_changes))
    found, at = [], 0
    while at < len(data):
        size, kind, _, _, port = struct.unpack_from(order + "IHHII", data, at)
        # The port is the socket's, not what the request says.
        assert port == 4711
        found.append((kind, data[at + 16 : at + size]))
        at += size + 3 & -4
    assert at == len(data)
    return found


@pytest.mark.parametrize(("endian", "order"), ORDERS)
def test_each_request_of_a_message_is_answered(endian: Endian, order: str) -> None:
    first, second = request(order, 0x30, ACK, 1, b"abcde"), request(order, 0x30, DUMP, 2)
    silent = request(order, 0x30, 0, 3)
    done, end = netlink_kernel.answers(first + second + silent, endian, -1, 4711, takes_changes=True)
    assert struct.unpack(order + "IHHIIi", done[:20]) == (36, 2, 0, 1, 4711, 0)
    assert done[20:36] == first[:16]
    assert struct.unpack(order + "IHHIIi", end) == (20, 3, 2, 2, 4711, 0)


@pytest.mark.parametrize(("endian", "order"), ORDERS)
def test_a_generic_family_is_told_with_its_groups(endian: Endian, order: str) -> None:
    asked = b"\3\1\0\0" + attribute(order, 2, b"nl80211\0")
    (family, body), (error, rest) = told(request(order, 0x10, ACK, 1, asked), endian, GENERIC)
    assert (family, error, rest[:4]) == (0x10, 2, bytes(4))
    assert body[0] == 1
    assert b"nl80211\0" in body
    assert b"mlme\0" in body
    number = struct.unpack(order + "H", body[4 + 12 + 4 : 4 + 12 + 6])[0]
    assert number >= 0x20, "not a number that the kernel keeps for itself"
    # What it has is nothing.
    assert told(request(order, number, DUMP, 2, b"\5\0\0\0"), endian, GENERIC) == [(3, bytes(4))]
    # No family without a name.
    ((_, error_body),) = told(request(order, 0x10, 0, 1, b"\3\1\0\0"), endian, GENERIC)
    assert struct.unpack_from(order + "i", error_body) == (-2,)


@pytest.mark.parametrize(("protocol", "kind", "is_change"), [
    (ROUTE, 16, True), (ROUTE, 18, False), (NETFILTER, 1 << 8, True), (NETFILTER, 1 << 8 | 1, False),
    (NETFILTER, 10 << 8 | 6, True), (XFRM, 0x10, True), (XFRM, 0x12, False), (XFRM, 0x1C, False),
    (GENERIC, 0x33, True), (17, 0x33, True),
])  # fmt: skip
def test_only_a_change_is_refused(protocol: int, kind: int, is_change: bool) -> None:
    order = "<"
    ((_, refused),) = told(request(order, kind, ACK), "little", protocol)
    assert (struct.unpack_from("<i", refused)[0] == -1) == is_change
    ((_, taken),) = told(request(order, kind, ACK), "little", protocol, takes_changes=True)
    assert struct.unpack_from("<i", taken)[0] in (0, -2), "taken, or not there"
    assert told(request(order, kind, DUMP), "little", protocol)[-1] in [(3, bytes(4))]


@pytest.mark.parametrize(("kind", "answer", "value"), [
    (10 << 8 | 16, 10 << 8 | 15, b"\0\0\0\1"),  # nft asks for the generation before it reads anything.
    (6 << 8 | 1, 6 << 8 | 1, b"\7"),  # ipset asks which protocol the kernel speaks.
    (1 << 8 | 5, 1 << 8 | 5, bytes(4)),  # conntrack -C
])  # fmt: skip
def test_what_programs_ask_netfilter_first(kind: int, answer: int, value: bytes) -> None:
    ((told_kind, body),) = told(request(">", kind, 0, 1, b"\2\0\0\0"), "big", NETFILTER)
    assert told_kind == answer
    size, attribute_kind = struct.unpack_from(">HH", body, 4)
    assert attribute_kind == 1
    assert body[8 : 4 + size] == value


def test_what_is_no_request_gets_no_answer() -> None:
    generator = random.Random(4)

    def answers(data: bytes, protocol: int = -1) -> bytes:
        return b"".join(netlink_kernel.answers(data, "little", protocol, 1, takes_changes=True))

    assert answers(b"") == b""
    assert answers(struct.pack("<IHHII", 16, 0x30, ACK, 1, 99)) == b""
    # A length of 0 would never come to an end.
    assert answers(struct.pack("<IHHII", 0, 1, REQUEST | ACK, 1, 1) * 50) == b""
    for _ in range(500):
        data = generator.randbytes(generator.randrange(200))
        for protocol in (-1, ROUTE, XFRM, NETFILTER, GENERIC):
            assert len(answers(data, protocol)) <= 4 * len(data) + 400
