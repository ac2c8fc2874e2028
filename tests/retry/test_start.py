"""How a run was started comes back byte for byte, or is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.retry.guests import launch_spec
from triage_tui.retry.start import START_FILE, Start, read_start, write_start

ODD = os.fsdecode(b"/a b\n\x1b[31m\xff\xc3")


def test_bytes_that_are_no_text_come_back(tmp_path: Path) -> None:
    start = Start(program=ODD, argv=["x", ODD], rootfs=ODD, env={"A": ODD, ODD: "1"})
    write_start(tmp_path, start)
    assert read_start(tmp_path) == start
    assert (tmp_path / START_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"program": 1, "argv": []}', '{"program": "x"}', "[" * 100_000, "\xff"],
)
def test_a_damaged_start_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / START_FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(TriageError, match="is damaged"):
        read_start(tmp_path)


def test_the_limit_of_processes_reaches_the_guest() -> None:
    start = Start(program="/bin/x", argv=["x"], max_processes=300)
    assert launch_spec(start).limits.processes == 300


@pytest.mark.parametrize("amount", [-1, 0, 15, 32_769])
def test_a_limit_of_processes_that_cannot_be_is_one_sentence(amount: int) -> None:
    with pytest.raises(TriageError, match=f"at most {amount} processes and threads: give 16 to 32768"):
        Start(program="/bin/x", argv=["x"], max_processes=amount)


def test_what_becomes_of_executed_programs_reaches_the_guest_and_a_retry(tmp_path: Path) -> None:
    write_start(tmp_path, Start(program="/bin/x", argv=["x"], exec_policy="refuse"))
    assert launch_spec(read_start(tmp_path)).exec_policy == "refuse"
    (tmp_path / START_FILE).write_text('{"program": "/bin/x", "argv": ["x"]}')
    assert launch_spec(read_start(tmp_path)).exec_policy == "emulate", "runs of earlier versions"
