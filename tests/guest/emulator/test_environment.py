"""Which variables of a guest stand in the emulator's own environment."""

from __future__ import annotations

import pytest

from triage_tui.errors import TriageError
from triage_tui.guest.emulator.environment import split


def test_what_means_something_to_the_emulator_goes_to_the_guest_alone() -> None:
    given = {"PATH": "/bin", "LD_PRELOAD": "/a.so /b.so", "GCONV_PATH": "/g", "OLD_PWD": "LD_X=1"}
    left, options = split(given)
    assert left == {"PATH": "/bin", "OLD_PWD": "LD_X=1"}
    assert options == ["-E", "LD_PRELOAD=/a.so /b.so", "-E", "GCONV_PATH=/g"]


def test_a_comma_would_end_the_option_and_is_refused() -> None:
    assert split({"HOME": "a,b"}) == ({"HOME": "a,b"}, [])
    with pytest.raises(TriageError, match="LD_PRELOAD cannot have a comma"):
        split({"LD_PRELOAD": "/a.so,QEMU_LOG=x"})
