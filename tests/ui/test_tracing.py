"""The trace of a run in the app: one key, and each piece of evidence can be gone to."""

from __future__ import annotations

from pathlib import Path

from tests.ui.conftest import opened, said, shown, until
from triage_tui.retry.tracing.model import Reference, Trace, TraceStep
from triage_tui.ui.app import TriageApp
from triage_tui.ui.explained_rows import explained_rows
from triage_tui.ui.screens.explained_sheet import ExplainedSheet
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.trace_lines import lines_of, place_of
from triage_tui.ui.widgets.line_view import LineView

HOSTILE = "\x1b]52;c;eA==\x07 \u202e [@click=app.quit]x"
RUN, OTHER = "20260131_020000_00000001", "20260131_020000_00000002"


def test_rows_are_safe_and_links_lead_into_their_run() -> None:
    references = [
        Reference(run=run, link=f"ev:event/{n}", says=HOSTILE) for n, run in enumerate((RUN, OTHER))
    ]
    step = TraceStep(
        number=1,
        phase="plan",
        kind="stop",
        run=HOSTILE,
        at=HOSTILE,
        says=HOSTILE,
        why=HOSTILE,
        evidence=references,
    )
    lines = lines_of(Trace(of="run", subject=RUN, says=HOSTILE, steps=[step], lacking=[HOSTILE]))
    rows = explained_rows(lines, 60)
    assert all(row.text.isprintable() for row in rows)
    links = {link for row in rows for _, _, link in row.links}
    assert {place_of(link, RUN) for link in links} == {(RUN, "pane:history"), (OTHER, "pane:history")}
    assert place_of("ev:mem/12@0x10+0:4", RUN) == (RUN, "ev:mem/12@0x10+0:4")


def test_the_day_is_told_where_it_is_another() -> None:
    moments = ("2026-01-31T23:59:58.1+01:00", "2026-01-31T23:59:59+01:00", "2026-02-02T08:00:00+01:00", "")
    steps = [
        TraceStep(number=n, phase="execution", kind="decision", run=RUN, at=at, says="x")
        for n, at in enumerate(moments, 1)
    ]
    lines = [line.text for line in lines_of(Trace(of="run", subject=RUN, says="", steps=steps))]
    assert [line.removesuffix(" decision: x") for line in lines if line.endswith("decision: x")] == [
        "1 2026-01-31 23:59:58",
        "2 23:59:59",
        "3 2026-02-02 08:00:00",
        "4 time unknown",
    ]


def test_evidence_is_named_by_its_place_where_its_step_says_what_it_says() -> None:
    cited = [("ev:log/guest.log#L3~0123456789ab", "x"), ("ev:syscall/24", "y"), ("rubbish", "x")]
    references = [Reference(run=RUN, link=link, says=says) for link, says in cited]
    step = TraceStep(number=1, phase="plan", kind="evidence", run=RUN, at="", says="x", evidence=references)
    lines = [line.text for line in lines_of(Trace(of="run", subject=RUN, says="", steps=[step])) if line.link]
    assert lines == ["log guest.log, line 3", "y", "rubbish"]


async def test_what_a_step_follows_from_is_gone_to_and_come_back_from(app: TriageApp) -> None:
    because = {1: [], 2: [], 3: [1, 2], 4: [3, 9]}
    steps = [
        TraceStep(number=n, phase="execution", kind="decision", run=RUN, says=f"step {n}", because=some)
        for n, some in because.items()
    ]
    trace = Trace(of="run", subject=RUN, says="", steps=steps)
    followed: list[str] = []
    async with app.run_test(size=(60, 20)) as pilot:
        await opened(pilot)
        sheet = ExplainedSheet(lines_of(trace), lambda link, _: followed.append(link))
        await app.push_screen(sheet)
        view = sheet.query_one(LineView)
        await until(pilot, lambda: len(view.rows) > 4)

        def place() -> object:
            return view.current.target if view.current is not None else None

        await pilot.press("shift+tab", "enter")
        assert place() == 3
        assert "step 3" in view.current.text if view.current is not None else False
        # Of two numbers in one line the second is chosen.
        await pilot.press("j", "right", "enter")
        assert place() == 2
        await pilot.resize_terminal(40, 20)
        await pilot.press("backspace")
        assert place() == 3
        await pilot.press("backspace")
        assert place() == 4
        await pilot.press("j", "right", "enter")
        assert "There is no line 9" in said(app)
        assert app.screen is sheet
    assert followed == []


async def test_a_key_traces_the_run_and_evidence_is_gone_to_and_come_back_from(app: TriageApp) -> None:
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        await pilot.press("=")
        await until(pilot, lambda: isinstance(app.screen, Sheet))
        await until(pilot, lambda: "Plan" in shown(app))
        view = app.screen.query_one(LineView)
        row = view.rows.find(lambda row: any("ev:syscall/" in link for _, _, link in row.links))
        assert row is not None
        await pilot.press("tab")
        assert view.cursor == row
        await pilot.press("tab", "shift+tab")
        assert view.cursor == row
        await pilot.press("enter")
        await until(pilot, lambda: app.main.active == "syscalls")
        await pilot.press("backspace")
        await until(pilot, lambda: isinstance(app.screen, Sheet))
        await until(pilot, lambda: app.screen.query_one(LineView).cursor == row)


async def test_a_read_only_view_tells_why_as_well(workspace: Path) -> None:
    app = TriageApp(workspace, read_only=True)
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        for key, words in (("=", "Plan"), ("B", "missing-file")):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, Sheet))
            await until(pilot, lambda words=words: words in shown(app))  # type: ignore[misc]
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, Sheet))
