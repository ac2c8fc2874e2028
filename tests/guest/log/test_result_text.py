"""Results of calls, as the emulator's log writes them."""

from __future__ import annotations

import pytest

from triage_tui.guest.log.result_text import parse_result


@pytest.mark.parametrize(
    ("text", "value", "error"),
    [
        (b"0x0000005500033000", 0x5500033000, None),
        (b"-1 errno=146 (Connection refused)", -146, 146),
        (b"0 ({tv_sec = 1})", 0, None),
        (b"-1", -1, None),
        (b"?", None, None),
        (b"", None, None),
    ],
)
def test_results(text: bytes, value: int | None, error: int | None) -> None:
    result = parse_result(text)
    assert (result.value, result.error) == (value, error)


def test_large_errors_are_kept_and_internal_ones_are_none() -> None:
    found = {
        number: parse_result(b"-1 errno=%d (Unknown error)" % number)
        for number in (511, 513, 1133, 4095, 4096)
    }
    assert {number: (one.value, one.error) for number, one in found.items()} == {
        511: (-511, 511),
        513: (None, None),
        # EDQUOT of MIPS.
        1133: (-1133, 1133),
        4095: (-4095, 4095),
        4096: (-4096, None),
    }
