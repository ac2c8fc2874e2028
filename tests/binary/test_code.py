"""Disassembly listings of real code: names, strings, marks, bounds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.binary.loaded import ARCH, BASE, Loaded, content, without_sections
from triage_tui.binary.code import MAX_LINES, CodeReader
from triage_tui.binary.disassembly import decode
from triage_tui.binary.modules import ModuleMap
from triage_tui.guest.arch import by_name
from triage_tui.guest.arch.tables import ALL


def relocate_local_got(guest: Loaded) -> None:
    """Do what the dynamic linker does to the one local GOT word of the MIPS object: add the bias."""
    at = min(guest.image.linkage.got) - 4
    word = int.from_bytes(guest.memory[at : at + 4], "little")
    guest.memory[at : at + 4] = (word + BASE).to_bytes(4, "little")


@pytest.mark.parametrize("variant", ARCH)
def test_whole_function_with_names_and_strings(variant: str, tmp_path: Path) -> None:
    guest = Loaded(variant, tmp_path)
    if variant == "mipsel":
        relocate_local_got(guest)
    caller = guest.address("caller")
    listing = guest.reader.listing(caller, thumb=variant == "thumb")
    assert listing.lines[0].startswith(f"; 0x{caller:x} in caller of imports.so, file address")
    assert listing.marked is not None
    assert listing.lines[listing.marked].startswith(f"=> 0x{caller:08x}")
    assert "<outside>" in listing.text
    assert "<inner>" in listing.text
    assert '"a text of imports"' in listing.text
    assert "no symbol" not in listing.text
    assert not listing.truncated


@pytest.mark.parametrize("variant", ARCH)
def test_return_address_is_marked_behind_its_call(variant: str, tmp_path: Path) -> None:
    guest = Loaded(variant, tmp_path)
    thumb = variant == "thumb"
    plain = guest.reader.listing(guest.address("caller"), thumb=thumb)
    call = next(i for i, line in enumerate(plain.lines) if "<outside>" in line and "[" not in line[60:])
    # The MIPS delay slot stands between the call and where it returns to.
    back = plain.lines[call + (2 if variant == "mipsel" else 1)].split()
    addr = int(back[0], 16)
    listing = guest.reader.listing(addr, thumb=thumb, is_return=True)
    assert listing.marked is not None
    assert listing.lines[listing.marked].startswith(f"<- 0x{addr:08x}")
    assert sum(line.startswith(("<-", "=>")) for line in listing.lines) == 1


@pytest.mark.parametrize("variant", ARCH)
def test_function_without_symbols_is_cut_at_prologue_and_return(variant: str, tmp_path: Path) -> None:
    caller = Loaded(variant, tmp_path).address("caller")
    guest = Loaded(variant, tmp_path, without_sections(content(variant)))
    assert guest.image.symbols == []
    listing = guest.reader.listing(caller + 16, thumb=variant == "thumb")
    assert listing.lines[1] == "; no symbol here: the start of the function is a guess"
    first = listing.lines[2].split()
    assert abs(int(first[0], 16) - caller) <= 12


def test_unmapped_address_gives_one_line(tmp_path: Path) -> None:
    guest = Loaded("arm", tmp_path)
    assert guest.reader.listing(0x10).lines == ["; no readable memory at 0x10"]


def test_unknown_architecture_gives_one_line(tmp_path: Path) -> None:
    reader = CodeReader("vax", 4, True, lambda _addr, _size: b"", ModuleMap([], tmp_path))
    assert reader.listing(0x1000).lines == ["; vax code cannot be disassembled"]


def test_big_endian_mips_is_decoded() -> None:
    insns = decode("mips", bytes.fromhex("27bdffe0afbf001c03e00008"), 0x400000)
    assert [insn.mnemonic for insn in insns] == ["addiu", "sw", "jr"]
    assert insns[2].is_return


def test_unknown_s390x_instructions_are_stepped_over_by_their_length() -> None:
    insns = decode("s390x", bytes.fromhex("e7ff07feffff07fe"), 0x1000)
    assert [(insn.mnemonic, insn.is_return) for insn in insns] == [(".byte", False), ("br", True)]


def test_branches_of_riscv_go_to_addresses() -> None:
    insns = decode("riscv64", bytes.fromhex("efb03206e39ab6fe"), 0x2FA2C)
    assert [(insn.target, insn.operands) for insn in insns] == [
        (0x5B28E, "0x5b28e"),
        (0x2FA24, "a3, a1, 0x2fa24"),
    ]


def test_data_between_instructions_is_shown_as_bytes() -> None:
    insns = decode("aarch64", b"\x00\x00\x00\x00\xc0\x03\x5f\xd6", 0x1000)
    assert [insn.address for insn in insns] == [0x1000, 0x1004]
    assert insns[1].is_return


@pytest.mark.parametrize("arch", [arch.name for arch in ALL])
def test_any_bytes_give_a_bounded_listing(arch: str, tmp_path: Path) -> None:
    source = random.Random(arch)
    code = bytes(source.randrange(256) for _ in range(20_000))

    def read(addr: int, size: int) -> bytes:
        return code[addr - 0x10000 : addr - 0x10000 + size] if addr >= 0x10000 else b""

    known = by_name(arch)
    reader = CodeReader(arch, known.word, known.endian == "little", read, ModuleMap([], tmp_path))
    for _ in range(12):
        addr = 0x10000 + source.randrange(0, 15_000) & ~3
        listing = reader.listing(addr, thumb=arch == "arm" and source.random() < 0.5)
        assert 1 <= len(listing.lines) <= MAX_LINES + 4
        assert all(line.isprintable() for line in listing.lines)


def test_hostile_names_and_strings_stay_printable(tmp_path: Path) -> None:
    data = content("arm").replace(b"caller\0", b"\x1b[31m\xff\0").replace(b"a text of", b"\x1b]52;c;aa")
    guest = Loaded("arm", tmp_path, data)
    start = next(s.start for s in guest.image.symbols if s.name.startswith("\x1b"))
    listing = guest.reader.listing(BASE + start)
    assert all(line.isprintable() for line in listing.lines)


@pytest.mark.parametrize(
    ("arch", "code", "number"),
    [
        ("arm", "1d70a0e3000000ef", 29),
        ("aarch64", "a80f80d2010000d4", 125),
        ("mips", "24020fbd0000000c", 4029),
        ("mipsel", "bd0f02240c000000", 4029),
        ("x86_64", "b8220000000f05", 34),
        ("i386", "b81d000000cd80", 29),
        ("riscv64", "9308d00573000000", 93),
        ("ppc", "3800001d44000002", 29),
        ("ppc64le", "1d00003802000044", 29),
        ("mips64el", "b71302240c000000", 5047),
        ("s390x", "0a1d", 29),
        ("s390x", "a719012c0a00", 300),
        ("x86_64", "bee700000089f00f05", 231),
    ],
)
def test_syscall_is_named_by_the_constant_before_it(
    arch: str, code: str, number: int, tmp_path: Path
) -> None:
    data = bytes.fromhex(code)

    def read(addr: int, size: int) -> bytes:
        return data[addr - 0x10000 : addr - 0x10000 + size] if addr >= 0x10000 else b""

    little = arch not in ("mips", "ppc", "s390x")
    names = {number: "the_call"}
    reader = CodeReader(arch, 4, little, read, ModuleMap([], tmp_path), names.get)
    text = reader.listing(0x10000, start=0x10000).text
    assert "; syscall the_call" in text
    assert "the_call" not in CodeReader(arch, 4, little, read, ModuleMap([], tmp_path)).listing(0x10000).text
