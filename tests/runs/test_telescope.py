"""Pointers followed through recorded memory: strings, code, numbers, circles, and where the record ends."""

from __future__ import annotations

import struct
from typing import Literal

import pytest

from triage_tui.runs.frame_model import Frame
from triage_tui.runs.place_names import PlaceNames
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.recorded_memory import RecordedMemory
from triage_tui.runs.telescope import MAX_HOPS, Chain, Machine, string_in, telescope

HEAP, STACK, CODE = 0x10000, 0x7F000000, 0x400000
MAPS = [
    Mapping(CODE, CODE + 0x1000, "r-xp", path="/bin/snmpd"),
    Mapping(CODE + 0x1000, CODE + 0x2000, "rw-p", offset=0x1000, path="/bin/snmpd"),
    Mapping(HEAP, HEAP + 0x1000, "rw-p", name="[heap]"),
    Mapping(STACK, STACK + 0x1000, "rw-p", name="[stack]"),
]
FRAMES = [Frame(idx=2, addr=CODE + 0x123, addr_hex="0x400123", func_name="main", func_offset=0x23)]
ARM, MIPS, PPC64 = Machine(4, "little"), Machine(4, "big"), Machine(8, "big")


def words(machine: Machine, *values: int) -> bytes:
    code = ("<" if machine.endian == "little" else ">") + ("I" if machine.word == 4 else "Q")
    return b"".join(struct.pack(code, value) for value in values)


def follow(value: int, machine: Machine, pieces: dict[int, bytes]) -> Chain | None:
    names = PlaceNames(MAPS, FRAMES)
    return telescope(value, machine, RecordedMemory(list(pieces.items())).read, names.at)


def addresses(chain: Chain | None) -> list[int]:
    assert chain is not None
    return [hop.address for hop in chain.hops]


@pytest.mark.parametrize("machine", [ARM, MIPS, PPC64])
def test_a_pointer_to_a_pointer_to_a_string(machine: Machine) -> None:
    pieces = {STACK: words(machine, HEAP), HEAP: b"eth0\0rest"}
    chain = follow(STACK, machine, pieces)
    assert addresses(chain) == [STACK, HEAP]
    assert chain is not None
    assert (chain.end, chain.text, chain.size, chain.cut) == ("text", "eth0", 4, False)
    assert [hop.place.name for hop in chain.hops] == ["[stack]", "[heap]"]


def test_the_byte_order_of_the_target_counts() -> None:
    pieces = {STACK: words(MIPS, HEAP), HEAP: b"eth0\0"}
    chain = follow(STACK, ARM, pieces)
    assert chain is not None
    assert (chain.end, chain.value) == ("value", 0x00000100)


@pytest.mark.parametrize(
    ("name", "value", "pieces", "hops", "end"),
    [
        ("code of a frame", STACK, {STACK: words(ARM, CODE + 0x123)}, [STACK, CODE + 0x123], "code"),
        ("a number", STACK, {STACK: words(ARM, 7)}, [STACK], "value"),
        ("bytes that were not kept", STACK, {STACK: words(ARM, HEAP)}, [STACK, HEAP], "unrecorded"),
        ("nothing at all was kept", HEAP, {}, [HEAP], "unrecorded"),
        ("the last bytes only", HEAP, {HEAP: b"\x01\x02"}, [HEAP], "unrecorded"),
        ("itself", STACK, {STACK: words(ARM, STACK)}, [STACK], "cycle"),
        ("a circle", STACK, {STACK: words(ARM, HEAP), HEAP: words(ARM, STACK)}, [STACK, HEAP], "cycle"),
        (
            "a long list",
            HEAP,
            {HEAP + 4 * n: words(ARM, HEAP + 4 * n + 4) for n in range(20)},
            [HEAP + 4 * n for n in range(MAX_HOPS)],
            "longer",
        ),
    ],
)
def test_how_chains_end(name: str, value: int, pieces: dict[int, bytes], hops: list[int], end: str) -> None:
    chain = follow(value, ARM, pieces)
    assert addresses(chain) == hops, name
    assert chain is not None
    assert chain.end == end, name


def test_what_is_no_address_has_no_chain() -> None:
    assert follow(7, ARM, {}) is None
    assert follow(0x20000000, ARM, {}) is None


def test_places_are_named_as_they_can_be_typed() -> None:
    names = PlaceNames(MAPS, FRAMES)
    found = [names.at(address) for address in (CODE + 0x123, CODE + 0x124, CODE + 0x1010, HEAP + 1)]
    assert [place.name if place else "" for place in found] == [
        "main+0x23",
        "snmpd+0x124",
        "snmpd+0x1010",
        "[heap]",
    ]
    assert found[0] is not None
    assert (found[0].frame, found[0].symbol, found[0].code) == (2, True, True)
    assert names.at(0x9000_0000) is None


@pytest.mark.parametrize(
    ("data", "least", "found"),
    [
        (b"-i\0", 2, ("-i", 2, False)),
        (b"-i\0", 4, None),
        (b"\x01\x02\x03\x04\0", 2, None),
        (b"no end of it", 4, ("no end of it", 12, True)),
        (b"short", 4, None),
        (b"caf\xc3\xa9\0", 2, ("café", 5, False)),
        (b"a cut one: \xe6\x97", 2, ("a cut one: ", 11, True)),
        (b"\xff\xfe\xfd\xfc\0", 2, None),
        (b"line\n\0", 4, ("line\n", 5, False)),
        (b"\0", 0, ("", 0, False)),
        (b"\x1b[2J\0", 2, None),
    ],
)
def test_what_counts_as_a_string(data: bytes, least: int, found: tuple[str, int, bool] | None) -> None:
    assert string_in(data, least) == found


def test_pieces_that_overlap_are_read_where_most_is_known() -> None:
    memory = RecordedMemory([(HEAP, bytes(range(16))), (HEAP + 4, bytes(range(4, 40))), (HEAP + 8, b"")])
    assert memory.read(HEAP + 6, 20) == bytes(range(6, 26))
    assert memory.read(HEAP, 8) == bytes(range(8))
    assert memory.read(HEAP - 1, 4) == b""
    assert memory.read(HEAP + 39, 4) == b"\x27"


@pytest.mark.parametrize("endian", ["little", "big"])
def test_hostile_memory_ends(endian: Literal["little", "big"]) -> None:
    for data in (b"\xff" * 64, b"\x80" * 64, b"A" * 64, bytes(64)):
        chain = follow(HEAP, Machine(4, endian), {HEAP: data})
        assert chain is None or len(chain.hops) <= MAX_HOPS
