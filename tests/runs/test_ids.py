"""Names of runs, also beside names that somebody planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage_tui.runs.ids import is_run_id, new_run_id


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("20261121_001449_00000010", True),
        ("20261121_001449_100000010", True),
        ("20261121_001449_" + "9" * 15, True),
        ("20261121_001449_" + "9" * 16, False),
        ("20261121_001449_" + "9" * 234, False),
        ("20261121_001449_0000010", False),
        ("20261121_001449_00000010\n", False),
        ("\u0662\u0660\u0662\u0666\u0661\u0661\u0662\u0661_001449_00000010", False),
    ],
)
def test_what_is_a_run_id(name: str, is_one: bool) -> None:
    assert is_run_id(name) is is_one


def test_the_next_run_has_a_name_whatever_lies_there(tmp_path: Path) -> None:
    for sequence in ("00000041", "9" * 12, "9" * 200, "10000000000"):
        (tmp_path / f"20261121_001449_{sequence}").mkdir()
    made = new_run_id(tmp_path)
    assert is_run_id(made)
    assert made.endswith("_00000042")
    assert (tmp_path / f".tmp-{made}").is_dir()
    assert new_run_id(tmp_path).endswith("_00000043")


def test_the_names_of_runs_keep_their_order_when_the_clock_is_set_back(tmp_path: Path) -> None:
    now = 1_790_000_000.0
    (tmp_path / "99991231_235959_00000001").mkdir()
    made = [new_run_id(tmp_path, at) for at in (now, now - 3600, now - 7200, now + 1)]
    assert made == sorted(made)
    assert not any(name.startswith("9999") for name in made)
