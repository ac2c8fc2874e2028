"""The filter of the runs: its terms, negation, and what is said of a term that finds nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.ui.conftest import opened, shown, until
from triage_tui.runs.listing import RunSummary
from triage_tui.ui.app import TriageApp
from triage_tui.ui.runs_filter import advice, compile_filter, haystack, select, values_of

NOW = datetime(2025, 11, 18, 15, 0)


def run(number: int, **more: Any) -> RunSummary:
    return RunSummary(run_id=f"20251118_{number:02d}0000_00000001", **more)


RUNS = [
    run(
        14, program="/usr/sbin/udhcpc", argv=["udhcpc", "-i", "eth0:1"], reason="exit", arch="mipsel",
        cause="missing_file", state="proposed", headline="It printed No Configuration.",
    ),
    run(12, program="/sbin/watchd", reason="sleep_loop", arch="arm", cause="missing_device", waiting=True),
    run(10, program="/sbin/httpd", reason="exit", arch="mips64", cause="nvram", state="ended"),
    run(8, problem="cannot be read", form="unreadable"),
    run(6, problem="still being written", form="writing"),
    run(4, program="/sbin/httpd", reason="loop", form="newer", state="captured"),
]  # fmt: skip


def hours(text: str) -> list[int]:
    found = [one for one in RUNS if compile_filter(text, NOW)(one)]
    assert select(RUNS, text, {one.run_id: haystack(one) for one in RUNS}, NOW) == found
    return [int(one.run_id[9:11]) for one in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [14, 12, 10, 8, 6, 4]),
        ("udhcpc", [14]),
        ("no configuration", [14]),
        ("reason:exit", [14, 10]),
        ("cause:missing", [14, 12]),
        ("CAUSE:Missing_F", [14]),
        ("state:waiting", [12]),
        ("state:broken", [8]),
        ("state:writing", [6]),
        ("state:newer", [4]),
        ("state:prop", [14]),
        ("state:review", [14]),
        ("to review", [14]),
        ("arch:mips", [14, 10]),
        ("target:http", [10, 4]),
        ("since:4h", [14, 12]),
        ("since:999999d", [14, 12, 10, 8, 6, 4]),
        ("-since:4h", [10, 8, 6, 4]),
        ("-cause:missing", [10, 8, 6, 4]),
        ("!cause:missing state:ended", [10]),
        ("-udhcpc target:", [12, 10, 8, 6, 4]),
        ("reason:exit -arch:mips64", [14]),
        ("eth0:1", [14]),
        ("- !", [14, 12, 10, 8, 6, 4]),
        ("-:", [12, 10, 8, 6, 4]),
        ("reason:", [14, 12, 10, 8, 6, 4]),
        ("since:soon", [14, 12, 10, 8, 6, 4]),
    ],
)
def test_all_terms_hold_and_may_be_negated(text: str, found: list[int]) -> None:
    assert hours(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("caus:x", "Did you mean cause:?"),
        ("colour:x", "Terms are reason: cause: state: arch: target: since:"),
        ("since:5x", "'5x' is no time: write 30s, 10m, 2h or 3d."),
        ("state:wating", "No run has state:wating. There are: "),
        ("cause:zzz", "No run has cause:zzz. There are: missing_device, missing_file, nvram"),
        ("arch:sparc", "No run has arch:sparc. There are: arm, mips64, mipsel"),
    ],
)
def test_a_term_that_can_find_nothing_says_so_in_words(text: str, said: str) -> None:
    found, wrong = advice(text, lambda key: values_of(key, RUNS))
    assert wrong
    assert said in found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ca", "cause:"),
        ("-sta", "state:"),
        ("cause:", "missing_device, missing_file, nvram"),
        ("x cause:missing_", "missing_device, missing_file"),
        ("since:", "30s, 10m, 2h or 3d"),
        ("target:ht", "httpd"),
        ("httpd ", "reason: cause: state: arch: target: since:"),
    ],
)
def test_possible_terms_and_values_are_offered(text: str, said: str) -> None:
    found, wrong = advice(text, lambda key: values_of(key, RUNS))
    assert not wrong
    assert said in found


async def test_the_line_offers_and_corrects_as_it_is_typed(app: TriageApp) -> None:
    async with app.run_test(size=(100, 24)) as pilot:
        await opened(pilot)
        await pilot.press("slash", *"cause:")
        await until(pilot, lambda: "missing_device, missing_interface" in shown(app))
        await pilot.press(*"zz")
        await until(pilot, lambda: "No run has cause:zz." in shown(app))
        assert "No run matches the filter." in shown(app)
        await pilot.press("escape")
        await pilot.press("slash", *"-arch:mips")
        await until(pilot, lambda: {run.arch for run in app.main.run_list.matching} == {"arm", ""})
