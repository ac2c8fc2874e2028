"""The cost of a rule: which calls are measured, and what is told where nothing can be."""

from __future__ import annotations

import pytest

from triage_tui.rulebook.check.cost import measure
from triage_tui.runs.model import Syscall

BODY = b"""-- triage-rule: 1
-- id: a
-- hit-limit: 2

function do_syscall(num, a1, a2)
  if c_read_string(a2) ~= "/etc/x" then return 0, 0 end
  for i = 1, 40 do c_log("x" .. i) if i > 20 then break end end
  return 1, -13
end
"""


def calls(paths: list[str]) -> list[Syscall]:
    return [
        Syscall(
            seq=n,
            name="openat",
            arguments=["AT_FDCWD", f'"{path}"', "0"],
            path=path,
            ts_mono_ns=n * 10**6,
        )
        for n, path in enumerate(paths, 1)
    ]


def test_calls_at_which_it_acts_and_others_are_measured_apart() -> None:
    found = measure("r", "arm", calls(["/etc/y"] * 60 + ["/etc/x"] * 4), "openat.lua", BODY)
    assert (found.calls, found.acts, found.failed, found.span_ms) == (64, 4, "", 63.0)
    assert found.pass_us is not None
    assert found.match_us is not None
    assert found.match_ratio == found.match_us / found.bare_us
    # Only half of the run is asked about: then its two hits are used up.
    assert found.total_us == (60 * found.pass_us + 4 * found.match_us) / 2
    assert found.share == pytest.approx(found.total_us / 63_000)


def test_what_cannot_be_measured_says_why() -> None:
    assert measure("r", "arm", calls(["/x"]), "read.lua", BODY).failed == "the run has no such call"
    broken = b"function do_syscall() while true do end end"
    assert "instructions" in measure("r", "arm", calls(["/x"]), "openat.lua", broken).failed
