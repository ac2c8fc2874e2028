"""The audit log in the app: one key shows who decided what, and whether that record is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.ui.conftest import opened, shown, until
from triage_tui.rulebook.audit.check import Checked
from triage_tui.rulebook.audit.log import Entry, append, log_path
from triage_tui.ui.app import TriageApp
from triage_tui.ui.audit_rows import MAX_ENTRIES, log_rows
from triage_tui.ui.screens.help import Sheet

HOSTILE = "\x1b]52;c;eA==\x07 \u202e [@click=app.quit]x"


@pytest.mark.parametrize("width", [30, 80])
def test_every_row_is_safe_and_fits(width: int) -> None:
    entry = Entry(kind=HOSTILE, actor=HOSTILE, says=HOSTILE, run=HOSTILE, target=HOSTILE, wall=HOSTILE)
    entry.rules = {HOSTILE: HOSTILE}
    rows = log_rows([entry] * (MAX_ENTRIES + 1), Checked(problems=[HOSTILE], notes=[HOSTILE]), width)
    assert all(cell_len(row.text) <= width for row in rows)
    assert all(row.text.isprintable() for row in rows)
    text = " ".join(" ".join(row.text for row in rows).split())
    assert "not what was written: 1 problem." in text
    assert "1 older lines are shown by" in text


async def test_a_key_shows_the_log_and_what_is_wrong_with_it(app: TriageApp) -> None:
    rulebook = Path(app.workspace) / "rulebook"
    rulebook.mkdir(exist_ok=True)
    append(rulebook, Entry(kind="rejected", actor="ann", says="too broad"))
    append(rulebook, Entry(kind="imported", actor="bob", says="pack x"))
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, Sheet))
        await until(pilot, lambda: "rejected, by ann" in shown(app))
        assert "The audit log is whole: 2 lines" in shown(app)
        assert shown(app).index("pack imported, by bob") < shown(app).index("rejected, by ann")
        await pilot.press("escape")
        log_path(rulebook).write_bytes(log_path(rulebook).read_bytes().replace(b"ann", b"eve"))
        await pilot.press("L")
        await until(pilot, lambda: "line 1 was changed after it was written" in shown(app))
