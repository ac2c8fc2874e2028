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
