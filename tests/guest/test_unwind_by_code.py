"""Frames of code that real programs are seldom stopped in, put together by hand."""

from __future__ import annotations

import pytest

from tests.guest.handmade import CODE, STACK, HandmadeGuest

MFLR, BCL, STWU, BLR = 0x7C0802A6, 0x429F0005, 0x9421FFE0, 0x4E800020
"""mflr r0; bcl 20,31,$+4; stwu r1,-32(r1)"""
MFLR_R30, STW_LR, SC = 0x7FC802A6, 0x90010024, 0x44000002
"""mflr r30; stw r0,36(r1)"""


def bl(at: int, target: int) -> int:
    return 0x48000001 | (target - at & 0x03FFFFFC)


@pytest.fixture
def ppc() -> HandmadeGuest:
    """`outer` at CODE calls `caller` at 0x100, which calls the function at 0x200."""
    guest = HandmadeGuest("ppc")
    guest.instructions(CODE, STWU, MFLR, STW_LR, bl(CODE + 12, CODE + 0x100), BLR)
    guest.instructions(CODE + 0x100, STWU, MFLR, STW_LR, bl(CODE + 0x10C, CODE + 0x200), BLR)
    guest.word(STACK, STACK + 32)
    guest.word(STACK + 32, STACK + 64)
    guest.word(STACK + 64 + 4, CODE + 16)
    return guest


def test_return_address_is_in_its_register_while_the_link_register_holds_the_pc(ppc: HandmadeGuest) -> None:
    ppc.instructions(CODE + 0x200, STWU, MFLR, BCL, MFLR_R30, STW_LR, SC)
    frames = ppc.frames(pc=CODE + 0x210, r1=STACK, lr=CODE + 0x20C, r0=CODE + 0x110, r30=7)
    assert [(one.pc, one.method) for one in frames[1:3]] == [
        (CODE + 0x110, "link_register"),
        (CODE + 16, "back_chain"),
    ]


def test_stored_return_address_is_taken_once_it_is_stored(ppc: HandmadeGuest) -> None:
    ppc.instructions(CODE + 0x200, STWU, MFLR, BCL, MFLR_R30, STW_LR, SC)
    ppc.word(STACK + 36, CODE + 0x110)
    frames = ppc.frames(pc=CODE + 0x214, r1=STACK, lr=CODE + 0x20C, r0=1, r30=CODE + 0x20C)
    assert [(one.pc, one.method) for one in frames[1:3]] == [
        (CODE + 0x110, "back_chain"),
        (CODE + 16, "back_chain"),
    ]


def test_lost_return_address_is_the_only_call_in_the_function_that_called(ppc: HandmadeGuest) -> None:
    ppc.instructions(CODE + 0x200, STWU, BCL, MFLR_R30, SC)
    registers = {"pc": CODE + 0x20C, "r1": STACK, "lr": CODE + 0x208, "r30": CODE + 0x208}
    frames = ppc.frames(**registers)
    assert [(one.pc, one.method, one.confidence) for one in frames[1:3]] == [
        (CODE + 0x110, "back_chain", "high"),
        (CODE + 16, "back_chain", "high"),
    ]
    # With a second one nobody knows which it was: the frame is left out.
    ppc.instructions(CODE + 0x110, bl(CODE + 0x110, CODE + 0x200), BLR)
    assert CODE + 0x110 not in [one.pc for one in ppc.frames(**registers)]


STMG, AGHI, LMG, BR = "ebbff0580024", "a7fbff60", "ebbff0f80004", "07fe"
"""stmg %r11,%r15,88(%r15); aghi %r15,-160; lmg %r11,%r15,248(%r15)"""
BRASL_TO_FUNCTION = "c0e500000080"


def s390x(code: str) -> HandmadeGuest:
    """A caller at CODE, whose call at 0x10 leads to `code` at 0x110."""
    guest = HandmadeGuest("s390x")
    guest.put(CODE, bytes.fromhex(STMG + AGHI))
    guest.put(CODE + 0x10, bytes.fromhex(BRASL_TO_FUNCTION))
    guest.put(CODE + 0x110, bytes.fromhex(code))
    return guest


RETURN = CODE + 0x16


@pytest.mark.parametrize(
    ("code", "offset", "taken", "link", "method"),
    [
        ("b904002f" + BR, 4, 0, RETURN, "link_register"),
        ("a7fbfff8" + BR, 4, 8, RETURN, "link_register"),
        (STMG + AGHI + "0a1d", 12, 160, RETURN, "prologue"),
        (STMG + "e3f0fe50ff71" + "0a1d", 14, 432, CODE + 0x11A, "prologue"),
        (STMG + "c2f8fffe0000" + "0a1d", 14, 160, CODE + 0x11A, ""),
        (STMG + AGHI + LMG + BR, 16, 0, RETURN, "link_register"),
    ],
    ids=["leaf", "leaf with a frame", "aghi", "lay", "stack that cannot be read", "behind lmg"],
)
def test_s390x_prologues(code: str, offset: int, taken: int, link: int, method: str) -> None:
    guest = s390x(code)
    sp = STACK + 0x100
    guest.word(sp + taken + 112, RETURN)
    frames = guest.frames(pc=CODE + 0x110 + offset, r15=sp, r14=link, r11=STACK)
    if method:
        assert (frames[1].pc, frames[1].sp, frames[1].method) == (RETURN, sp + taken, method)
    else:
        assert "prologue" not in {one.method for one in frames}


def test_s390x_back_chain_leads_on_where_no_prologue_can_be_read() -> None:
    guest = s390x("0a1d0a1d")
    sp = STACK + 0x100
    guest.word(sp, sp + 0x400)
    guest.word(sp + 0x400 + 112, RETURN)
    frames = guest.frames(pc=CODE + 0x112, r15=sp, r14=0)
    assert (frames[1].pc, frames[1].sp, frames[1].method) == (RETURN, sp + 0x400, "back_chain")


def test_a_thumb_function_right_behind_a_literal_pool_is_found() -> None:
    guest = HandmadeGuest("arm")

    def code(at: int, *halves: int) -> None:
        guest.put(at, b"".join(half.to_bytes(2, "little") for half in halves))

    def thumb_bl(at: int, target: int) -> tuple[int, int]:
        offset = target - (at + 4)
        return 0xF000 | offset >> 12 & 0x3FF, 0xF800 | offset >> 1 & 0x7FF

    # push {r4, lr}; bl; pop {r4, pc}, of a caller and of a function in front of which a literal's upper half
    # looks like the first half of an instruction.
    inner = CODE + 0x204
    code(CODE, 0xB510, *thumb_bl(CODE + 2, CODE + 0x100), 0xBD10)
    code(CODE + 0x100, 0xB510, *thumb_bl(CODE + 0x102, inner), 0xBD10)
    code(inner - 4, 0xBF18, 0xFFFB, 0xB510, 0xDF00, 0xBD10)
    for at, lr in ((4, CODE + 0x106), (12, CODE + 6)):
        guest.word(STACK + at, lr | 1)
    frames = guest.frames(pc=inner + 4, sp=STACK, lr=0, cpsr=0x30)
    assert [one.pc for one in frames[:3]] == [inner + 4, CODE + 0x106, CODE + 6]


def test_a_mips_function_behind_one_that_never_returns_keeps_its_own_frame() -> None:
    """The other one ends in a bal; what it takes from the stack is its own."""
    guest = HandmadeGuest("mips")

    def bal(at: int, target: int) -> int:
        return 0x04110000 | (target - at - 4) >> 2 & 0xFFFF

    taking, keeping, syscall, at = 0x27BDFFF0, 0xAFBF000C, 0x0000000C, CODE + 0x200
    """addiu sp,sp,-16; sw ra,12(sp)"""
    for start, target in ((CODE, CODE + 0x100), (CODE + 0x100, at)):
        guest.instructions(start, taking, keeping, bal(start + 8, target), 0)
    guest.instructions(at - 16, taking, keeping, bal(at - 8, CODE), 0)
    guest.instructions(at, taking, keeping, syscall, 0)
    guest.word(STACK + 12, CODE + 0x110)
    guest.word(STACK + 28, CODE + 0x10)
    frames = guest.frames(pc=at + 12, sp=STACK, ra=1)
    assert [one.pc for one in frames[:3]] == [at + 12, CODE + 0x110, CODE + 0x10]
