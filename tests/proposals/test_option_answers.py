"""Answers by socket options: multicast routing, and the tables of a packet filter in both word sizes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.proposals.test_blocked_and_copied import ask, rules, run_of
from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.diagnosis.report import diagnose
from triage_tui.proposals.build import propose
from triage_tui.rulehost.protocol import Endian
from triage_tui.rulehost.sources import RuleSource

VALUE, SIZE = 0x1000, 0x3000
NO_OPTION = "-1 errno=92 (Protocol not available)"


def asked(tmp_path: Path, call: str, option: str, template: str) -> list[RuleSource]:
    run = run_of(f"2 {call}(3,{option},0x1000,0x3000) = {NO_OPTION}\n2 exit_group(1)\n", tmp_path)
    _, sources = rules(run, template)
    return sources


@pytest.mark.parametrize(
    ("level", "option", "before", "hooks", "chains"),
    [(0, 64, 84, 5, {1, 2, 3}), (41, 64, 136, 5, {1, 2, 3}), (0, 96, 164, 3, {0, 1, 2})],
)
@pytest.mark.parametrize("order", ["little", "big"])
def test_a_table_without_rules_holds_together(
    tmp_path: Path, level: int, option: int, before: int, hooks: int, chains: set[int], order: Endian
) -> None:
    sources = asked(tmp_path, "getsockopt", f"{level},{option}", "packet_filter_tables")
    sign = "<" if order == "little" else ">"
    guest = MemoryGuest(endian=order)
    guest.map(VALUE, b"filter".ljust(4096, b"\0"))
    guest.map(SIZE, (4000).to_bytes(4, order))
    answer = ask(sources, guest, "getsockopt", 3, level, option, VALUE, SIZE)
    assert (answer.intercept, answer.ret) == (True, 0)
    info = struct.Struct(f"{sign}32sI{hooks}I{hooks}III")
    assert struct.unpack(sign + "I", guest.read_bytes(SIZE, 4)) == (info.size,)
    name, valid, *starts, entries, size = info.unpack(guest.read_bytes(VALUE, info.size))
    assert name.rstrip(b"\0") == b"filter"
    assert valid == sum(1 << chain for chain in chains)
    assert entries == len(chains) + 1
    guest.map(SIZE, (40 + size).to_bytes(4, order))
    assert ask(sources, guest, "getsockopt", 3, level, option + 1, VALUE, SIZE).ret == 0
    # The entries begin where a number of eight bytes may, behind name and size.
    table = guest.read_bytes(VALUE + 40, size)
    places, verdicts = [], []
    at = 0
    while at < size:
        places.append(at)
        target, following = struct.unpack_from(sign + "HH", table, at + before + 4)
        length = struct.unpack_from(sign + "H", table, at + target)[0]
        assert target + length == following
        assert (target % 8, following % 8) == (0, 0)
        verdicts.append(struct.unpack_from(sign + "i", table, at + target + 32)[0])
        at += following
    assert at == size
    assert verdicts[:-1] == [-2] * len(chains), "-NF_ACCEPT - 1"
    assert table[places[-1] + target + 2 :].startswith(b"ERROR\0")
    assert [starts[chain] for chain in sorted(chains)] == places[:-1]
    # Less room than it takes, and a table that no kernel has.
    guest.map(SIZE, (39 + size).to_bytes(4, order))
    assert ask(sources, guest, "getsockopt", 3, level, option + 1, VALUE, SIZE).ret == -22
    guest.map(VALUE, b"nonsense".ljust(32, b"\0"))
    assert ask(sources, guest, "getsockopt", 3, level, option, VALUE, SIZE).ret == -2


@pytest.mark.parametrize(("word", "pointer"), [(4, 76), (8, 112)])
def test_the_chains_of_a_bridge_go_where_the_program_wants_them(
    tmp_path: Path, word: int, pointer: int
) -> None:
    sources = asked(tmp_path, "getsockopt", "0,128", "packet_filter_tables")
    guest = MemoryGuest(word=word)
    guest.map(VALUE, b"nat".ljust(pointer, b"\0") + (0x5000).to_bytes(word, "little"))
    guest.map(0x5000, bytes(200))
    guest.map(SIZE, (pointer + word).to_bytes(4, "little"))
    assert ask(sources, guest, "getsockopt", 3, 0, 128, VALUE, SIZE).ret == 0
    valid, count, size = struct.unpack("<III", guest.read_bytes(VALUE + 32, 12))
    assert (valid, count, size) == (0b11001, 0, 3 * 48)
    assert ask(sources, guest, "getsockopt", 3, 0, 129, VALUE, SIZE).ret == 0
    chains = struct.iter_unpack("<I32sIiI", guest.read_bytes(0x5000, size))
    assert [(name.rstrip(b"\0"), policy) for _, name, _, policy, _ in chains] == [
        (b"PREROUTING", -1), (b"OUTPUT", -1), (b"POSTROUTING", -1),
    ]  # fmt: skip


def test_multicast_routing_is_accepted_and_has_a_version(tmp_path: Path) -> None:
    sources = asked(tmp_path, "setsockopt", "0,200", "multicast_routing")
    guest = MemoryGuest(endian="big")
    guest.map(VALUE, bytes(8))
    guest.map(SIZE, bytes((0, 0, 0, 4)))
    for option in (200, 202, 204):
        answer = ask(sources, guest, "setsockopt", 3, 0, option, VALUE, 4)
        assert (answer.intercept, answer.ret) == (True, 0)
    assert ask(sources, guest, "getsockopt", 3, 0, 206, VALUE, SIZE).ret == 0
    assert guest.read_bytes(VALUE, 4) == b"\0\0\3\5"
    assert not ask(sources, guest, "setsockopt", 3, 41, 200, VALUE, 4).intercept, "of IPv6"
    assert not ask(sources, guest, "setsockopt", 3, 0, 35, VALUE, 4).intercept, "IP_ADD_MEMBERSHIP"


def test_other_options_get_no_such_answer(tmp_path: Path) -> None:
    run = run_of(f"2 getsockopt(3,0,14,0x1000,0x3000) = {NO_OPTION}\n2 exit_group(1)\n", tmp_path, "arm")
    offered = {proposal.template for proposal in propose(run, diagnose(run))}
    assert offered.isdisjoint(("packet_filter_tables", "multicast_routing"))
