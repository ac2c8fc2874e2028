"""Limits of captures: sizes in words, what runs take, how many there were."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.errors import TriageError
from triage_tui.runs import limits
from triage_tui.runs.limits import CaptureLimits, DiskUsage, allowance, parse_size, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("64k", 65536), ("500M", 500 << 20), ("2GiB", 2 << 30), (" 1 tb ", 1 << 40)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5G", "many", "1P", "9" * 13, "\x1b[31m"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(TriageError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "60k", "many", "9" * 13])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(TriageError, match="is no number of captures: give 0"):
        CaptureLimits.of({"per_minute": text}, {})


def test_an_option_without_a_value_is_not_left_to_the_environment() -> None:
    with pytest.raises(TriageError, match="'' is no size"):
        CaptureLimits.of({"disk_bytes": ""}, {"TRIAGE_TUI_DISK": "1G"})


def test_rates_are_read() -> None:
    assert CaptureLimits.of({"per_minute": " 7 "}, {}).per_minute == 7
    assert CaptureLimits.of({"per_minute": "0"}, {}).per_minute == 0


def test_sizes_are_shown() -> None:
    sizes = (12, 1024, 1536, 64 << 20, (3 << 30) + (1 << 29), 5 << 50)
    shown = ["12 bytes", "1 kB", "1.5 kB", "64 MB", "3.5 GB", "5120 TB"]
    assert [show_size(size) for size in sizes] == shown


def test_options_come_before_the_environment() -> None:
    environment = {"TRIAGE_TUI_DISK": "1G", "TRIAGE_TUI_CAPTURE_SIZE": "2M"}
    found = CaptureLimits.of({"disk_bytes": "3G", "capture_bytes": None}, environment)
    assert found == CaptureLimits(per_minute=60, capture_bytes=2 << 20, disk_bytes=3 << 30)
    with pytest.raises(TriageError, match="must be 0"):
        CaptureLimits(per_minute=-1)


def test_usage_grows_and_shrinks_with_the_runs(tmp_path: Path) -> None:
    usage = DiskUsage(tmp_path / "runs")
    assert usage.bytes() == 0
    first = write_run(tmp_path / "runs")
    one = usage.bytes()
    assert one > 0
    second = write_run(tmp_path / "runs")
    (second / "memory" / "link").symlink_to("/usr/bin/python3")
    assert usage.bytes() == pytest.approx(2 * one, rel=0.2)
    for path in sorted(first.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    first.rmdir()
    assert usage.bytes() < 1.5 * one


def test_captures_of_the_last_minute_are_counted(tmp_path: Path) -> None:
    now = time.mktime((2026, 1, 31, 2, 0, 30, 0, 0, -1))
    for name in (
        "20260131_020030_00000001",
        "20260131_015931_00000002",
        "20260131_015930_00000003",
        "20260131_020031_00000004",
        ".tmp-20260131_020030_00000005",
        "notes",
    ):
        (tmp_path / name).mkdir()
    assert limits.recent_captures(tmp_path, now) == 2
    assert limits.recent_captures(tmp_path / "none", now) == 0


def test_what_the_next_capture_may_hold(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_run(runs)
    usage = DiskUsage(runs)
    used = usage.bytes()
    unlimited = CaptureLimits(per_minute=0, capture_bytes=0, disk_bytes=0)
    assert allowance(unlimited, runs, usage) == limits.Allowance(1 << 62)
    near = CaptureLimits(per_minute=2, capture_bytes=1 << 30, disk_bytes=used + 5000)
    assert allowance(near, runs, usage) == limits.Allowance(5000)
    often = allowance(CaptureLimits(per_minute=1), runs, usage)
    assert often.brief == "1 captures were made within a minute, which is the limit of 1"
    full = allowance(CaptureLimits(disk_bytes=used), runs, usage)
    assert full.brief.startswith("all runs take ")
    assert "remove old ones or raise it" in full.brief
    assert os.listdir(runs)
