"""Rows of the list of runs: straight columns at every width, whatever a program is called."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from triage_tui.runs.listing import RunSummary
from triage_tui.runs.stories import Entry
from triage_tui.ui.run_rows import run_row

WIDTHS = (34, 44, 60, 78, 98, 118, 158, 198)
NAMES = {
    "plain": "/usr/sbin/httpd",
    "wide": "/usr/sbin/監視デーモン監視デーモン監視デーモン",
    "combining": "/sbin/e\u0301\u0301\u0301\u0301a\u0308x",
    "zero width": "/sbin/a\u200b\u200d\ufeffb",
    "emoji": "/sbin/👩\u200d👩\u200d👧🏽x",
    "controls": "/sbin/\x1b[31mred\x9b2J\r\n\tx",
    "bidi": "/sbin/\u202egnp.exe",
    "long": "/sbin/" + "x" * 3000,
}


def run(**more: Any) -> RunSummary:
    fields: dict[str, Any] = {
        "run_id": "20251118_140000_00000001", "program": "/sbin/a", "argv": ["a"], "arch": "mipsel",
        "reason": "exit", "cause": "missing_file", "confidence": 0.5, "state": "proposed", "syscalls": 1200,
    }  # fmt: skip
    return RunSummary(**{**fields, **more})


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_columns_stay_straight_whatever_the_name(name: str, width: int) -> None:
    plain = run_row(Entry(run()), width)
    row = run_row(Entry(run(program=name, argv=[name, name])), width)
    assert cell_len(row.text) == cell_len(plain.text) == width
    assert row.text.isprintable()
    state = "to review"
    assert cell_len(row.text[: row.text.rindex(state)]) == cell_len(plain.text[: plain.text.rindex(state)])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "changes",
    [
        {"arch": "漢字漢字漢字", "cause": "漢" * 30, "reason": "漢" * 30},
        {"state": "x" * 80, "syscalls": 10**15},
        {"confidence": float("nan")},
        {"form": "unreadable", "problem": "x" * 500, "program": ""},
        {"form": "misnamed", "problem": "a link", "program": "", "run_id": "漢\x1b[2J" * 40},
        {"waiting": True, "proposals": 3, "parent_run": "x"},
    ],
    ids=["wide", "long", "nan", "broken", "misnamed", "waiting"],
)
def test_every_row_has_the_width_of_the_list(changes: dict[str, Any], width: int) -> None:
    for entry in (Entry(run(**changes)), Entry(run(**changes), 9, 10), Entry(run(**changes), 0, 3, True)):
        row = run_row(entry, width)
        assert cell_len(row.text) == width
        assert row.text.isprintable()


def test_wider_lists_show_more() -> None:
    shown = {width: run_row(Entry(run(proposals=2)), width).text for width in WIDTHS}
    assert "mipsel" not in shown[60]
    assert "mipsel" in shown[78]
    assert "missing_file" in shown[78]
    assert "exit" not in shown[78]
    assert "11-18 14:00:00" in shown[118]
    assert "exit" in shown[118]
    assert "review 2 rules" in shown[158]
    assert "1200 calls" in shown[158]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_that_waits_calls_for_a_decision_at_every_width(width: int) -> None:
    row = run_row(Entry(run(waiting=True, proposals=1)), width)
    assert row.text.startswith("▶ ")
    assert "waits for you" in row.text
    assert row.fill == "wait-row"
    assert ("approve, or resume" in row.text) == (width >= 140)


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ("writing", "writing"), ("unreadable", "unreadable"), ("sfemu", "SFEmu run"),
        ("newer", "newer version"), ("misnamed", "no run"),
    ],
)  # fmt: skip
def test_what_is_no_run_of_this_version_says_what_it_is(form: Any, word: str) -> None:
    assert word in run_row(Entry(run(form=form, program="", problem="why it is so")), 60).text
    assert "why it is so" in run_row(Entry(run(form=form, program="", problem="why it is so")), 98).text
