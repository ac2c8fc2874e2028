"""What a stand-in for the kernel's netlink answers, to well-formed requests and to anything else."""

from __future__ import annotations

import random
import struct

import pytest

from triage_tui.guest.stand_ins import acknowledge
from triage_tui.rulehost.protocol import Endian

REQUEST, ACK, DUMP = 1, 4, 0x300


def request(order: str, flags: int, sequence: int, text: bytes = b"") -> bytes:
    header = struct.pack(order + "IHHII", 16 + len(text), 0x30, flags, sequence, 99)
    return header + text + bytes(-len(text) % 4)


@pytest.mark.parametrize(("endian", "order"), [("little", "<"), ("big", ">")])
def test_each_request_of_a_message_is_answered(endian: Endian, order: str) -> None:
    first, second = request(order, REQUEST | ACK, 1, b"abcde"), request(order, REQUEST | DUMP, 2)
    silent = request(order, REQUEST, 3)
    answer = acknowledge(first + second + silent, endian)
    assert struct.unpack(order + "IHHIIi", answer[:20]) == (36, 2, 0, 1, 99, 0)
    assert answer[20:36] == first[:16]
    assert struct.unpack(order + "IHHIIi", answer[36:]) == (20, 3, 2, 2, 99, 0)


def test_what_is_no_request_gets_no_answer() -> None:
    generator = random.Random(4)
    assert acknowledge(b"", "little") == b""
    assert acknowledge(request("<", ACK, 1), "little") == b""
    # A length of 0 would never come to an end.
    assert acknowledge(struct.pack("<IHHII", 0, 1, REQUEST | ACK, 1, 1) * 50, "little") == b""
    for _ in range(500):
        data = generator.randbytes(generator.randrange(200))
        assert len(acknowledge(data, "big")) <= 3 * len(data)
