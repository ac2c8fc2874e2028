"""The index of a program file: on real programs of every architecture, stripped, damaged and made to harm."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from tests.binary.libraries import ARCHES as DEBIAN
from tests.binary.libraries import library
from tests.programs import ARCHES, build
from triage_tui.binary import answers
from triage_tui.binary.call_graph import CallGraph
from triage_tui.binary.indexing import build_index
from triage_tui.binary.symbols import parse_image
from triage_tui.errors import TriageError

PROGRAMS = Path(__file__).parent / "programs"


def stripped(data: bytes) -> bytes:
    """Return an ELF file whose .symtab is called something else, so that nobody reads it."""
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), data, 0x28 if wide else 0x20)
    size, count = struct.unpack_from(order + "HH", data, 0x3A if wide else 0x2E)
    changed = bytearray(data)
    for place in range(table, table + size * count, size):
        if struct.unpack_from(order + "I", data, place + 4) == (2,):
            struct.pack_into(order + "I", changed, place + 4, 1)
    return bytes(changed)


@cache
def graph_of(data: bytes) -> CallGraph:
    return CallGraph(build_index(data))


def callees(graph: CallGraph, name: str) -> set[tuple[str, str]]:
    return {(graph.function(edge.callee).label, edge.kind) for edge in graph.callees(graph.find(name))}


@pytest.mark.parametrize("arch", ["arm", "thumb", "aarch64", "mipsel"])
def test_calls_imports_and_strings_of_a_library(arch: str) -> None:
    graph = graph_of((PROGRAMS / f"imports.{arch}").read_bytes())
    assert callees(graph, "caller") == {("outside", "call"), ("inner", "call")}
    assert callees(graph, "inner") == {("elsewhere", "call")}
    [edge] = graph.callers(graph.find("outside"))
    assert graph.function(edge.caller).name == "caller"
    assert [text.text for text, _ in graph.texts_used(graph.find("caller"))] == ["a text of imports"]
    assert graph.function(graph.find("inner")).thumb == (arch == "thumb")
    assert graph.at(graph.function(graph.find("inner")).start + 4) == graph.find("inner")
    reach = graph.reach(graph.find("elsewhere"))
    assert reach is not None
    assert reach.certain


@pytest.mark.parametrize("arch", DEBIAN)
def test_calls_through_the_linkers_stubs_lead_to_the_imports(arch: str) -> None:
    graph = graph_of(library(arch))
    assert ("memcpy", "call") in callees(graph, "__atomic_load")
    assert {("memcpy", "call"), ("memcmp", "call")} <= callees(graph, "__atomic_compare_exchange")
    callers = {graph.function(edge.caller).name for edge in graph.callers(graph.find("memcmp"))}
    assert "__atomic_compare_exchange" in callers


@pytest.mark.parametrize("arch", ARCHES)
def test_a_stripped_program_is_understood_as_with_its_symbols(arch: str) -> None:
    data = build("chain", arch).read_bytes()
    symbols = {symbol.name: symbol for symbol in parse_image(data).symbols if symbol.is_function}
    graph = graph_of(stripped(data))
    assert graph.index.stripped
    inner = graph.find(f"0x{symbols['inner'].start:x}")
    assert graph.function(inner).start == symbols["inner"].start
    assert graph.function(inner).thumb == symbols["inner"].thumb
    assert "/etc/chain.conf" in [text.text for text, _ in graph.texts_used(inner)]
    reach = graph.reach(inner)
    assert reach is not None
    on_the_way = [graph.function(edge.caller).start for edge in reach.path]
    assert symbols["main"].start in on_the_way
    found = {one.start for one in graph.index.functions if one.origin != "import"}
    named = {symbol.start for symbol in symbols.values()}
    assert len(found & named) > 0.84 * len(named)
    assert len(found & named) > 0.84 * len(found)


def test_every_place_that_calls_a_function_is_kept() -> None:
    data = build("chain", "aarch64").read_bytes()
    graph, image = graph_of(data), parse_image(data)
    goal = graph.find("malloc")
    places = []
    # BL, of which the lower 26 bits are the signed distance in words (Arm ARM, C6.2.35).
    for segment in image.segments:
        code = data[segment.offset : segment.offset + segment.file_size]
        for at in range(0, len(code) - 3, 4):
            (word,) = struct.unpack_from("<I", code, at)
            distance = ((word & 0x3FFFFFF) ^ 0x2000000) - 0x2000000
            target = segment.vaddr + at + 4 * distance
            if word >> 26 == 0x25 and target == graph.function(goal).start:
                places.append(segment.vaddr + at)
    edges = [edge for edge in graph.callers(goal) if edge.kind == "call"]
    assert sorted(site for edge in edges for site in edge.sites) == places
    told = answers.callers(graph, goal, 500)
    assert told["count"] == len({edge.caller for edge in graph.callers(goal)}) < told["places"]
    several = next(row for row in told["callers"] if row["times"] > 1)
    assert len(several["more_sites"]) == several["times"] - 1
    assert answers.summary(graph)["calls"] > answers.summary(graph)["pairs_of_caller_and_callee"]


def test_complexity_counts_conditional_branches() -> None:
    graph = graph_of((PROGRAMS / "imports.arm").read_bytes())
    assert graph.function(graph.find("inner")).complexity == 1
    graph = graph_of(library("aarch64"))
    assert graph.function(graph.find("__atomic_compare_exchange")).complexity > 5


@pytest.mark.parametrize("variant", ["arm", "thumb", "mipsel", "mipsel-fixed"])
def test_complexity_counts_the_ways_of_a_jump_by_a_table(variant: str) -> None:
    graph = graph_of((PROGRAMS / f"switches.{variant}").read_bytes())
    # Seven cases and the rest are seven decisions.
    assert graph.function(graph.find("ways")).complexity == 8


def test_a_function_is_found_by_name_or_address_and_others_are_suggested() -> None:
    graph = graph_of((PROGRAMS / "imports.arm").read_bytes())
    place = graph.find("inner")
    start = graph.function(place).start
    assert graph.find(f"0x{start + 2:x}") == graph.find(f"sub_{start:x}") == place
    for name, says in (
        ("iner", "similar are inner"),
        ("0xffffff", "no function"),
        ("\x1b]0;x", "no function"),
    ):
        with pytest.raises(TriageError, match=says) as caught:
            graph.find(name)
        assert "\x1b" not in str(caught.value)


# --- hostile files --------------------------------------------------------------------------------------


def survives(data: bytes) -> None:
    with suppress(TriageError):
        CallGraph(build_index(data)).reachable()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no ELF file"),
        (b"#!/bin/sh\n", "no ELF file"),
        (b"\x7fELF", "damaged ELF file"),
        (
            b"\x7fELF\x02\x02\x01" + bytes(11) + b"\x00\x08" + bytes(60),
            "64-bit big-endian ELF file of machine 8",
        ),
        (b"\x7fELF\x01\x01\x01" + bytes(11) + b"\x28\x00" + bytes(40), "loads nothing"),
    ],
)
def test_what_is_no_program_is_told_in_a_sentence(data: bytes, says: str) -> None:
    with pytest.raises(TriageError, match=says):
        build_index(data)


def test_a_file_that_is_cut_short_is_told_so() -> None:
    data = (PROGRAMS / "imports.arm").read_bytes()
    with pytest.raises(TriageError, match="cut short: its section headers should stand at byte"):
        build_index(data[:600])


@pytest.mark.parametrize("arch", ["arm", "mipsel"])
def test_cut_and_changed_files_end_in_an_index_or_a_sentence(arch: str) -> None:
    data = (PROGRAMS / f"imports.{arch}").read_bytes()
    for size in range(0, len(data), 397):
        survives(data[:size])
    chance = random.Random(6)
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 12)):
            place = chance.choice([chance.randrange(len(data)), chance.randrange(0x34, 0x200)])
            changed[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        survives(bytes(changed))


def test_sizes_and_counts_that_lie_are_cut_to_what_is_there() -> None:
    data = (PROGRAMS / "imports.arm").read_bytes()
    (programs,) = struct.unpack_from("<I", data, 0x1C)
    (sections,) = struct.unpack_from("<I", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x2E)
    lies = []
    for field in (4, 8, 16, 20):
        changed = bytearray(data)
        for place in range(programs, programs + 32 * 3, 32):
            struct.pack_into("<I", changed, place + field, 0xFFFFFFF0)
        lies.append(changed)
    for field in (12, 16, 20, 24, 28):
        changed = bytearray(data)
        for place in range(sections, sections + size * count, size):
            struct.pack_into("<I", changed, place + field, 0xFFFFFFF0 if field != 24 else 1)
        lies.append(changed)
    changed = bytearray(data)
    struct.pack_into("<HH", changed, 0x2E, 40, 0xFEFF)
    lies.append(changed)
    changed = bytearray(data)
    # No count and a first section that gives it: 4 thousand million.
    struct.pack_into("<H", changed, 0x30, 0)
    struct.pack_into("<I", changed, sections + 20, 0xFFFFFFFF)
    lies.append(changed)
    for lie in lies:
        survives(bytes(lie))


@pytest.mark.parametrize(
    "unit", [b"\xfe\xff\xff\xea", b"\xfe\xe7", b"\0", b"a", b"\x08\x40\x2d\xe9", b"\xff"]
)
def test_code_of_nothing_but_one_instruction_is_gone_over_in_time(unit: bytes) -> None:
    header = (
        b"\x7fELF\x01\x01\x01"
        + bytes(9)
        + struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, 0x10054, 52, 0, 0x5000000, 52, 32, 1, 0, 0, 0)
    )
    size = 1 << 16
    segment = struct.pack("<8I", 1, 0, 0x10000, 0x10000, 84 + size, 84 + size, 5, 0x1000)
    index = build_index(header + segment + (unit * size)[:size])
    assert index.instructions <= size
    CallGraph(index).reachable()
