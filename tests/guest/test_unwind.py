"""Call stacks of recorded stops against the symbols of the program, which the unwinder does not see."""

from __future__ import annotations

import random

import pytest

from tests.guest.recorded import VARIANTS, RecordedGuest
from triage_tui.guest.unwind import MAX_FRAMES, walk

TRUTH = ["pause_here", "sleeper", "variadic", "early", "huge", "compare"]
TRUTH += ["sort", "sort", "sort", "sorter", "main", "start"]


def names(guest: RecordedGuest, **options: object) -> list[str]:
    frames = walk(guest.arch, guest.registers, guest.memory, **options)  # type: ignore[arg-type]
    return [guest.name_of_frame(idx, frame.pc) for idx, frame in enumerate(frames)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_whole_chain_is_found_without_symbols(variant: str) -> None:
    guest = RecordedGuest(variant)
    assert names(guest) == TRUTH


@pytest.mark.parametrize("variant", VARIANTS)
def test_whole_chain_is_found_with_symbols(variant: str) -> None:
    guest = RecordedGuest(variant)

    def start(addr: int) -> int | None:
        found = guest.function(addr)
        return found[0] if found else None

    assert names(guest, function_start=start) == TRUTH


@pytest.mark.parametrize("variant", VARIANTS)
def test_frames_say_how_they_were_found(variant: str) -> None:
    guest = RecordedGuest(variant)
    frames = walk(guest.arch, guest.registers, guest.memory)
    assert [frame.method for frame in frames[:2]] == ["pc", "link_register"]
    expected = {"aarch64": {"frame_pointer"}, "aarch64-nofp": {"frame_pointer", "prologue"}}
    assert {frame.method for frame in frames[2:]} == expected.get(variant, {"prologue"})
    pointers = [frame.sp or 0 for frame in frames]
    assert pointers == sorted(pointers)


@pytest.mark.parametrize("variant", ["arm-a32", "arm-thumb", "mips", "mipsel"])
def test_unreadable_prologue_is_bridged_by_a_marked_guess(variant: str) -> None:
    guest = RecordedGuest(variant)
    for name in ("variadic", "early"):
        start = guest.start_of(name)
        # Registers stay saved on the stack; only the code that says where is gone.
        guest.patch(start, bytes(8 if variant == "arm-thumb" else 24))
    frames = walk(guest.arch, guest.registers, guest.memory)
    found = [guest.name_of_frame(idx, frame.pc) for idx, frame in enumerate(frames)]
    assert found[:3] == TRUTH[:3]
    assert "stack_scan" in {frame.method for frame in frames}
    assert found[-2:] == ["main", "start"]


def test_outermost_frame_ends_the_chain() -> None:
    guest = RecordedGuest("mipsel")
    main = guest.start_of("main")
    found = names(guest, is_outermost=lambda addr: main <= addr < main + 64)
    assert found == TRUTH[:-1]


def test_limit_holds() -> None:
    guest = RecordedGuest("arm-thumb")
    assert names(guest, limit=3) == TRUTH[:3]


def test_leaf_that_lr_left_is_not_trusted_for_a_framed_function() -> None:
    guest = RecordedGuest("arm-a32")
    frames = walk(guest.arch, guest.registers, guest.memory)
    # Stand in `sleeper` after its call of `fill`: lr then points into sleeper, not to its caller.
    sleeper = frames[1]
    guest.registers["pc"], guest.registers["sp"] = sleeper.pc, sleeper.sp or 0
    guest.registers["lr"] = sleeper.pc
    assert names(guest) == TRUTH[1:]


@pytest.mark.parametrize("variant", VARIANTS)
def test_registers_without_pc_give_no_frames(variant: str) -> None:
    guest = RecordedGuest(variant)
    assert walk(guest.arch, {}, guest.memory) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_garbage_ends_and_gives_at_least_the_pc(variant: str) -> None:
    source = random.Random(variant)
    for _ in range(15):
        guest = RecordedGuest(variant)
        for start in list(guest._regions):
            region = guest._regions[start]
            for _ in range(len(region) // 8):
                region[source.randrange(len(region))] = source.randrange(256)
        for name in guest.registers:
            if source.random() < 0.3:
                guest.registers[name] = source.getrandbits(guest.arch.bits)
        frames = walk(guest.arch, guest.registers, guest.memory)
        assert 1 <= len(frames) <= MAX_FRAMES
        assert frames[0].pc == guest.registers["pc"] & (~1 if guest.arch.name == "arm" else -1)
