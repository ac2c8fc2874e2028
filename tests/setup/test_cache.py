"""The cache directory: found by the XDG rules, one writer, nothing half-made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.resources import cache_dir
from triage_tui.setup.cache import exclusive, point, publish, staging


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "triage-tui"


def test_xdg_cache_home_is_used_when_absolute(cache: Path) -> None:
    assert cache_dir() == cache


@pytest.mark.parametrize("value", ["", "relative/place"])
def test_home_is_used_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "triage-tui"


def test_a_file_in_the_way_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(TriageError, match="set XDG_CACHE_HOME to a writable directory"), exclusive():
        pass


def test_staging_leaves_nothing_when_interrupted(tmp_path: Path) -> None:
    def interrupted() -> None:
        with staging(tmp_path) as work:
            (work / "half").write_text("made")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_setup_left_is_removed(cache: Path) -> None:
    leftover = cache / "tmp-leftover" / "usr"
    leftover.mkdir(parents=True)
    with exclusive() as directory:
        assert not (directory / "tmp-leftover").exists()


def test_a_second_writer_says_that_it_waits(cache: Path) -> None:
    waiter = """
from triage_tui.setup.cache import exclusive
with exclusive(lambda line: print(line, flush=True)):
    print("in")
"""
    with exclusive():
        process = subprocess.Popen([sys.executable, "-c", waiter], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert "waiting" in process.stdout.readline()
    assert process.communicate()[0] == "in\n"


def test_publish_moves_whole_trees_and_keeps_what_is_there(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    place = tmp_path / "store" / "tree"
    assert publish(tmp_path / "first", place) == place
    assert publish(tmp_path / "second", place) == place
    assert (place / "content").read_text() == "first"


def test_point_replaces_a_link_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "store" / name).mkdir(parents=True)
        point(tmp_path / "links" / "current", tmp_path / "store" / name)
    assert (tmp_path / "links" / "current").resolve() == tmp_path / "store" / "two"
    assert [entry.name for entry in (tmp_path / "links").iterdir()] == ["current"]
