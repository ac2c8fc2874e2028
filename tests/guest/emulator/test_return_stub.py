"""Where the code goes that holds the end of a call."""

from __future__ import annotations

from triage_tui.guest.emulator.return_stub import find_room


def test_room_is_behind_the_code_on_its_last_page() -> None:
    assert find_room([(0x10000, 0x10FC8)], 48) == 0x10FD0
    assert find_room([(0x10000, 0x10FC8)], 49) is None


def test_a_full_page_has_no_room_and_the_next_segment_is_taken() -> None:
    assert find_room([(0x10000, 0x11000)], 12) is None
    assert find_room([(0x10000, 0x11000), (0x20000, 0x20004)], 12) == 0x20010
