"""Answers of tools as rows: columns, code, links, and nothing that a terminal would obey."""

from __future__ import annotations

from typing import Any

import pytest

from triage_tui.ui.answer_rows import AnswerRows
from triage_tui.ui.rows import Row


def rows_of(values: dict[str, Any], width: int = 80, **biases: int) -> list[Row]:
    return AnswerRows(values, {f"/bin/{name}": bias for name, bias in biases.items()}, width).rows()


def links_of(rows: list[Row]) -> list[str]:
    return [link for row in rows for _, _, link in row.links]


@pytest.mark.parametrize(
    ("entry", "link"),
    [
        ({"text": "openat()", "evidence": "ev:syscall/3~0123456789ab"}, "ev:syscall/3~0123456789ab"),
        ({"function_name": "main", "address": "0x100", "site": "0x80"}, "ev:code/0x1080"),
        ({"function_name": "main", "address": "0x100"}, "ev:code/0x1100"),
        ({"text": "a string", "address": "0x100"}, ""),
        ({"function_name": "puts", "imported": True}, ""),
        ({"function_name": "f", "address": "not one"}, ""),
    ],
)
def test_an_entry_leads_to_its_evidence_or_its_code(entry: dict[str, Any], link: str) -> None:
    rows = rows_of({"module": "/bin/app", "entries": [entry]}, app=0x1000)
    assert links_of(rows) == ([link] if link else [])
    # Of a file that the run had not mapped nobody knows where its code lay.
    unmapped = links_of(rows_of({"module": "/bin/app", "entries": [entry]}))
    assert unmapped == ([link] if link.startswith("ev:syscall") else [])


def test_code_has_numbers_and_leads_to_the_line() -> None:
    source = "0x00000100 push {lr}\n; a remark"
    values = {"module": "/bin/app", "kind": "disassembly", "source": source}
    rows = rows_of(values, app=0x1000)
    assert links_of(rows) == ["ev:code/0x1100"]
    assert [row.text.strip() for row in rows[-2:]] == ["1  0x00000100 push {lr}", "2  ; a remark"]
    lines = rows_of({"start_line": 41, "content": "a\nb"})
    assert [row.text.strip() for row in lines[-2:]] == ["41  a", "42  b"]


def test_columns_stand_below_each_other_and_what_is_inside_follows() -> None:
    texts = [{"text": "x" * 50, "used_by": [{"function_name": "f", "site": "0x10"}]}, {"text": "y"}]
    rows = rows_of({"module": "/bin/app", "strings": texts}, app=0)
    assert links_of(rows) == ["ev:code/0x10"]
    shown = "\n".join(row.text for row in rows)
    assert "used by  f  0x10" in shown
    assert all(len(row.text) <= 80 for row in rows)


def test_hostile_text_is_inert_and_an_error_is_one_sentence() -> None:
    bad = "\x1b]52;c;AAAA\x07\u202e[@click=app.quit]"
    values = {
        bad: bad,
        "list": [bad],
        "rows": [{bad: bad}],
        "deep": {"a": [{"b": [bad]}]},
        "text": f"{bad}\n",
    }
    for row in rows_of(values):
        assert not set("\x1b\x07\u202e") & set(row.text)
    [only] = rows_of({"error": "there is none"})
    assert only.text.strip() == "there is none"
