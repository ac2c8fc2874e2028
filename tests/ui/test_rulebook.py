"""The sheet of a target's rules: what it shows, and that its keys compare, go to a generation and propose."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from tests.rulebook.packs.test_packs import made, signed
from tests.rulebook.test_generations import BODY, rule
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from triage_tui.retry.actions import LocalActions
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, statistics
from triage_tui.rulebook.generation_list import ListedGeneration
from triage_tui.rulebook.layers import LayeredRule
from triage_tui.rulebook.manifest import Generation, SetAside
from triage_tui.rulebook.packs.imported import Kept
from triage_tui.rulebook.places import target_directory
from triage_tui.rulebook.statistics import RuleTotals, RuleUse, RunUse
from triage_tui.ui.app import TriageApp
from triage_tui.ui.generation_rows import change_rows, detail_rows, rulebook_rows
from triage_tui.ui.rulebook_state import RulebookState
from triage_tui.ui.screens.help import Sheet
from triage_tui.ui.screens.question import Question
from triage_tui.ui.screens.rulebook_sheet import RulebookSheet

HOSTILE = "\x1b]52;c;eA==\x07 \u202e [@click=app.quit]x" * 3


@pytest.mark.parametrize("width", [52, 80])
def test_every_row_is_safe_and_fits(width: int) -> None:
    aside = SetAside(sha256="0", target=HOSTILE, generation=1, why=HOSTILE)
    made = Generation(
        number=1,
        parent=None,
        created=HOSTILE,
        actor=HOSTILE,
        reason=HOSTILE,
        files={HOSTILE: HOSTILE},
        rule_ids=[HOSTILE],
        set_aside={HOSTILE: aside},
    )
    one = ListedGeneration(made, True, HOSTILE, [HOSTILE], problem=HOSTILE)
    layers = [
        LayeredRule("own", HOSTILE, b"x", HOSTILE, Path(HOSTILE), problem=HOSTILE),
        LayeredRule("shared", HOSTILE, b"x", HOSTILE, Path(HOSTILE), hidden_by=HOSTILE),
        LayeredRule("target", HOSTILE, b"x", HOSTILE, Path(HOSTILE)),
    ]
    total = RuleTotals(HOSTILE, HOSTILE, HOSTILE, calls=1, last_used=HOSTILE, errors=1)
    totals = {HOSTILE: total, layers[0].sha256: total}
    packs = [Kept(HOSTILE, None, "", "", HOSTILE)]
    state = RulebookState(HOSTILE, layers, HOSTILE, [one] * 300, [one], totals, packs)
    rows = [*rulebook_rows(state, width), *detail_rows(one, ["a: changed", "    +b"], width)]
    assert all(cell_len(row.text) <= width for row in rows)
    assert all(row.text.isprintable() for row in rows)
    assert "44 older ones are shown by" in " ".join(" ".join(row.text for row in rows).split())
    assert "The rules are the same." in change_rows([], width)[0].text


async def test_keys_show_compare_and_go_to_generations(app: TriageApp, actions: RecordedActions) -> None:
    rulebook = Path(app.workspace) / "rulebook"
    async with app.run_test(size=(110, 44)) as pilot:
        view = (await opened(pilot)).main.view
        assert view is not None
        target = view.snapshot.target.target_id
        place = target_directory(rulebook, target)
        first = len(generations.history(place))
        for number, text in enumerate((rule("z"), rule("z", b"-- other\n" + BODY)), 1):
            generations.activate(place, add={"syscall/read@z.lua": text}, actor="ann", reason=f"why {number}")
        own = rulebook / "own/syscall/read@z.lua"
        own.parent.mkdir(parents=True)
        own.write_bytes(rule("z", b"-- mine\n" + BODY))
        used = RuleUse(rule="gone", sha256="f" * 64, fresh=True, hits=2, calls=3, time_us=90)
        use = RunUse(run="1", wall="2026-01-31T02:00:00+00:00", before="0", verdict="regressed", rules=[used])
        statistics.count(rulebook, target, use)
        await pilot.press("V")
        await until(pilot, lambda: isinstance(app.screen, RulebookSheet))
        await until(pilot, lambda: "why 2" in shown(app))
        assert "hidden by own/syscall/read@z.lua" in shown(app)
        assert "1 run, helped 0, hurt 1, 2 hits of 3 calls, 30 us each" in shown(app)

        await pilot.press("enter")
        await until(pilot, lambda: "every byte is as it was made" in shown(app))
        assert "-- other" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RulebookSheet))
        await pilot.press("c", "j", "j", "c")
        await until(pilot, lambda: type(app.screen) is Sheet)
        await until(pilot, lambda: "z: reworded" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RulebookSheet))
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("2")
        wanted = ("go_to_generation", target, str(first + 1), "known to work")
        await until(pilot, lambda: wanted in actions.calls)
        # Undone like any other decision.
        await until(pilot, lambda: "u undoes it" in said(app))
        await pilot.press("u")
        await until(pilot, lambda: ("go_to_generation", target, str(first + 2), "undone") in actions.calls)


async def test_a_pack_is_verified_and_shown_before_it_is_kept(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    pack = signed(tmp_path)
    forged = tmp_path / "forged.rulepack"
    forged.write_bytes(made(tmp_path, description="another"))
    signature = Path(f"{pack}.minisig").read_bytes()
    Path(f"{forged}.minisig").write_bytes(signature)
    app = TriageApp(workspace, actions=LocalActions(Workspace(workspace), "ann"))
    kept = workspace / "rulebook" / ".packs" / "nginx" / "current"

    async def asked(pilot: Pilot[None], path: Path) -> None:
        await pilot.press("V")
        await until(pilot, lambda: isinstance(app.screen, RulebookSheet))
        await pilot.press("i")
        await until(pilot, lambda: app.screen is app.main and app.main.open_line)
        app.main.open_line.field.value = str(path)  # type: ignore[union-attr]
        await pilot.press("enter")

    async with app.run_test(size=(110, 44)) as pilot:
        await opened(pilot)
        await asked(pilot, pack)
        await until(pilot, lambda: "Import pack nginx, 2 rules, signed by" in shown(app))
        await pilot.press("1")
        await until(pilot, lambda: app.screen is app.main)
        assert not kept.exists()
        await asked(pilot, pack)
        await until(pilot, lambda: "Import pack nginx" in shown(app))
        await pilot.press("2")
        await until(pilot, lambda: "Pack nginx is kept, none of its rules is active" in said(app))
        first = kept.resolve()
        assert (first / "signature").read_bytes() == signature
        # One that fails leaves the old one in force.
        await asked(pilot, forged)
        await until(pilot, lambda: "nothing was imported" in said(app))
        assert kept.resolve() == first
        Path(f"{forged}.minisig").unlink()
        await asked(pilot, forged)
        await until(pilot, lambda: "Take it without a signature" in shown(app))
        assert "NOT signed" in shown(app)


async def test_nothing_is_changed_where_one_may_only_look(workspace: Path) -> None:
    app = TriageApp(workspace, read_only=True)
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        await pilot.press("V")
        await until(pilot, lambda: isinstance(app.screen, RulebookSheet))
        await pilot.press("u", "p", "i")
        await until(pilot, lambda: "This view is read-only" in said(app))
        assert isinstance(app.screen, RulebookSheet)
