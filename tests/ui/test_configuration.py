"""The user's keys, themes and settings: what is wrong is told in words, and what changes holds at once."""

from __future__ import annotations

import errno
import os
import queue
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.diagnosis.knowledge_base.writing import GOOD, write
from tests.ui.conftest import RecordedActions, opened, said, shown, until
from tests.waiting import PATIENCE_S
from triage_tui.errors import TriageError
from triage_tui.ui import configuration
from triage_tui.ui.actions import BY_ID
from triage_tui.ui.app import TriageApp
from triage_tui.ui.configuration import Configuration, ConfigurationWatch, read_configuration
from triage_tui.ui.keymap import load_keymap
from triage_tui.ui.panes.diagnosis import DiagnosisPane
from triage_tui.ui.screens.help import help_rows
from triage_tui.ui.settings import Settings, load_settings

SMALL = (80, 24)
# Written out, this would be gigabytes.
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise("abcdefghi")
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "config" / "triage-tui"
    (place / "themes").mkdir(parents=True)
    return place


def keys(directory: Path, text: str) -> tuple[dict[str, str], list[str]]:
    (directory / "keys.yaml").write_text(text)
    found, problems = load_keymap(directory)
    return found.keys, problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("pane_memory: Z", {"pane_memory": "Z"}),
        ("pane_memory: '%'", {"pane_memory": "percent_sign"}),
        ("pane_memory: [Z, f9]", {"pane_memory": "Z,f9"}),
        ("pane_memory: Z, ctrl+n", {"pane_memory": "Z,ctrl+n"}),
        ("freeze: ''", {"freeze": ""}),
        ("freeze:", {"freeze": ""}),
        ("pane_memory: 0x41", {}),
    ],
)
def test_keys_are_read(directory: Path, text: str, expected: dict[str, str]) -> None:
    assert keys(directory, text)[0] == expected


def test_a_key_that_is_none_keeps_the_usual_one_and_is_told(directory: Path) -> None:
    found, problems = keys(directory, "pane_memory: NoSuchKey\x1b\nfreeze: f12\n".replace("\x1b", ""))
    assert found == {"freeze": "f12"}
    assert problems[0].endswith("pane_memory keeps its keys, because 'NoSuchKey' is no key")


def test_a_key_of_two_actions_goes_to_the_one_that_the_user_named(directory: Path) -> None:
    found, problems = keys(directory, "pane_memory: z\nfreeze: z\n")
    assert found["pane_memory"] == "z"
    assert found["zoom"] == ""
    assert found["freeze"] == ""
    assert "keys.yaml: z is pane_memory now; zoom, which had it too, has no key now" in problems
    found, problems = keys(directory, "pane_memory: j")
    assert found["down"] == "down"
    assert problems == ["keys.yaml: j is pane_memory now; down, which had it too, has down"]


def test_the_usual_keys_of_panes_are_no_conflict(directory: Path) -> None:
    assert keys(directory, "go_to_address: g")[0]["go_to_address"] == "g"
    assert keys(directory, "compare: c")[1] == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("keys.yaml", "a: b\n c: [\n", "keys.yaml is not valid YAML in line 2"),
        ("keys.yaml", "- x", "must map action names to keys"),
        ("settings.yaml", "bell: 7", "Expected `bool`, got `int` - at `$.bell`"),
        ("settings.yaml", "bel: true", "unknown field `bel`. Known are bell, notifications, title"),
        ("themes/x.yaml", "name: x\ncolors: {primary: blurple}\n", "primary: blurple is no colour"),
        ("themes/x.yaml", "name: [x\n", "is not valid YAML in line"),
        ("keys.yaml", f"{BOMB}quit: [*i]\n", "keys.yaml, line 2: an alias (*name) cannot be used here"),
        ("settings.yaml", f"{BOMB}bell: *i\n", "settings.yaml, line 2: an alias (*name)"),
        ("themes/x.yaml", f"{BOMB}name: x\ncolors:\n  primary: *i\n", "x.yaml, line 2: an alias (*name)"),
        ("keys.yaml", "quit: " + "[" * 60_000, "keys.yaml, line 1: lists and mappings are nested more than"),
        ("settings.yaml", "a:\nbell: 0x" + "f" * 60_000, "settings.yaml, line 2: a value is longer than"),
        (
            "keys.yaml",
            "quit: [[x]]",
            "quit keeps its keys, because it names neither a key nor a list of keys",
        ),
        ("keys.yaml", "quit: {x: y}", "quit keeps its keys, because it names neither a key nor a list"),
        ("themes/x.yaml", "name: x\ncolors: {primary: [red]}\n", "primary is no colour"),
    ],
)
def test_what_is_wrong_is_told_with_its_file(directory: Path, name: str, text: str, told: str) -> None:
    (directory / name).write_text(text)
    problems = read_configuration().problems
    assert len(problems) == 1
    assert told in problems[0]
    assert name.rpartition("/")[2] in problems[0]


def test_configuration_may_be_a_link(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "settings.yaml").write_text("bell: false\n")
    os.symlink(tmp_path / "dotfiles" / "settings.yaml", directory / "settings.yaml")
    assert load_settings(directory) == Settings(bell=False)
    os.symlink("/dev/zero", directory / "keys.yaml")
    with pytest.raises(TriageError, match="not a regular file"):
        load_keymap(directory)


def test_links_in_a_circle_are_told(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory.parent))
    for name in ("keys.yaml", "settings.yaml", "themes/mine.yaml"):
        (directory / name).symlink_to(directory / name)
    problems = read_configuration().problems
    assert len(problems) == 3
    assert all("Too many levels of symbolic links" in problem for problem in problems)


def watched(changes: queue.Queue[Configuration]) -> ConfigurationWatch:
    watch = ConfigurationWatch(changes.put)
    watch.start()
    return watch


def test_a_change_behind_a_link_is_told(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "dotfiles").mkdir()
    kept = tmp_path / "dotfiles" / "keys.yaml"
    kept.write_text("zoom: f11\n")
    os.symlink(kept, directory / "keys.yaml")
    changes: queue.Queue[Configuration] = queue.Queue()
    watch = watched(changes)
    try:
        for key in ("f9", "f10"):
            (tmp_path / "dotfiles" / "new").write_text(f"zoom: {key}\n")
            os.replace(tmp_path / "dotfiles" / "new", kept)
            found = changes.get(timeout=PATIENCE_S)
            assert found.keymap is not None
            assert found.keymap.keys == {"zoom": key}
    finally:
        watch.stop()


def test_configuration_that_comes_later_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    changes: queue.Queue[Configuration] = queue.Queue()
    watch = watched(changes)
    try:
        (tmp_path / "config" / "triage-tui").mkdir(parents=True)
        (tmp_path / "config" / "triage-tui" / "keys.yaml").write_text("zoom: f9\n")
        found = changes.get(timeout=PATIENCE_S)
        assert found.keymap is not None
        assert found.keymap.keys == {"zoom": "f9"}
    finally:
        watch.stop()


def test_an_edit_of_the_knowledge_base_is_told_while_the_app_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    rules = tmp_path / "config" / "triage-tui" / "rules"
    write(rules, GOOD, GOOD | {"id": "broken", "version": "x"})
    changes: queue.Queue[Configuration] = queue.Queue()
    watch = watched(changes)
    try:
        (told,) = changes.get(timeout=PATIENCE_S).knowledge
        assert f"left out of the knowledge base: {rules}/mine.yaml:16, entry broken" in told
        write(rules, GOOD | {"version": 2})
        (told,) = changes.get(timeout=PATIENCE_S).knowledge
        assert told.endswith("entries (mine changed)")
        write(rules, GOOD | {"cause": "nothing"})
        (told,) = changes.get(timeout=PATIENCE_S).knowledge
        assert told.endswith("so the knowledge base of before stays in force")
    finally:
        watch.stop()


@pytest.mark.parametrize("missing", ["library", "watches"])
def test_changes_are_looked_for_where_the_kernel_tells_of_none(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    if missing == "library":
        monkeypatch.setitem(sys.modules, "watchdog.observers", None)
    else:
        from watchdog import observers

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")

        monkeypatch.setattr(observers.Observer, "start", refuse)
    changes: queue.Queue[Configuration] = queue.Queue()
    watch = watched(changes)
    try:
        (directory / "keys.yaml").write_text("zoom: f9\n")
        found = changes.get(timeout=PATIENCE_S)
        assert found.keymap is not None
        assert found.keymap.keys == {"zoom": "f9"}
    finally:
        watch.stop()


def test_help_finds_actions_by_word_and_key() -> None:
    def found(*words: str) -> str:
        return "\n".join(row.text for row in help_rows(80, {"zoom": "Z", "freeze": ""}, False, words))

    assert BY_ID["rollback"].help.split(",")[0] in found("byte")
    assert "Give the whole screen" not in found("byte")
    assert "Z" in found("whole", "screen")
    assert "none" in found("freeze", "guest")
    assert found("no such word") == ""


async def test_a_change_holds_at_once_and_what_is_broken_changes_nothing(
    workspace: Path, actions: RecordedActions, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "EVERY_S", 0.05)
    theme = directory / "themes" / "mine.yaml"
    theme.write_text("name: mine\ncolors: {primary: '#ff0000'}\n")
    app = TriageApp(workspace, actions=actions, theme="mine")
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        assert app.current_theme.primary == "#ff0000"
        theme.write_text("name: mine\ncolors: {primary: '#00ff00'}\n")
        (directory / "keys.yaml").write_text("pane_memory: M\nzoom: ''\nhelp: f12\n")
        await until(pilot, lambda: app.current_theme.primary == "#00ff00", "the new colours")
        await until(pilot, lambda: app.keys_changed.get("pane_memory") == "M")
        await pilot.press("M")
        await pilot.pause()
        assert app.main.active == "memory"
        assert "f12 help" in shown(app)
        await pilot.press("z")
        assert not app.main._zoomed
        theme.write_text("name: mine\ncolors: {primary: '#00\n")
        (directory / "keys.yaml").write_text("pane_memory: [\n")
        await until(pilot, lambda: "so the keys stay as they are" in said(app))
        assert app.current_theme.primary == "#00ff00"
        await pilot.press("0", "M")
        assert app.main.active == "memory"


async def test_help_is_searched_and_left_by_keys(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: "Review and decide" in shown(app))
        await pilot.press("slash", *"quit q")
        await until(pilot, lambda: "Leave. While a guest is frozen" in shown(app))
        assert "Review and decide" not in shown(app)
        await pilot.press("enter", "j", "k", "escape")
        await until(pilot, lambda: "Review and decide" in shown(app))
        await pilot.press("q")
        await until(pilot, lambda: app.screen is app.main)


async def test_the_palette_opens_runs_and_does_what_panes_do(app: TriageApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        app.main.runs.set_filter("udhcpc")
        await pilot.press("colon")
        await pilot.pause()
        await pilot.press(*"watchd 00000003")
        await until(pilot, lambda: "Open watchd" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.main.view and app.main.view.run_id == "20251118_133005_00000003")
        assert app.main.active == "diagnosis"
        await pilot.press("colon")
        await pilot.pause()
        await pilot.press(*"copy the row")
        await until(pilot, lambda: "Copy the row" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: "opied" in said(app) or "clipboard" in said(app))


async def test_an_open_diagnosis_says_that_the_knowledge_base_is_another_one(
    app: TriageApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    says = "! The knowledge base is another one by now: D diagnoses the run again."
    (tmp_path / "config" / "triage-tui" / "rules").mkdir(parents=True)
    async with app.run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("1", "j", "j", "j")
        pane = app.main.pane("diagnosis")
        assert isinstance(pane, DiagnosisPane)
        under = pane.current.text if pane.current else ""
        assert under.strip()
        write(tmp_path / "config" / "triage-tui" / "rules", GOOD)
        await until(pilot, lambda: says in shown(app))
        assert pane.current is not None
        assert pane.current.text == under, "the cursor stays where it is"
        assert app.main.view is not None
        assert app.main.view.diagnosis is not None
        pane.take_knowledge(app.main.view.diagnosis.kb_sha256)
        await pilot.pause()
        assert says not in shown(app)
        assert pane.current.text == under
