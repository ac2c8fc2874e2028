"""What was parsed is kept: the same comes back, and whatever is not the same is parsed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.knowledge_base.writing import GOOD, write
from triage_tui.diagnosis.knowledge import read_knowledge
from triage_tui.diagnosis.knowledge_base import documents, parsed_files
from triage_tui.diagnosis.knowledge_base.documents import read_document


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "triage-tui" / "knowledge"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were parsed."""
    found: list[Path] = []
    parse = documents.parse_document

    def noted(path: Path, raw: bytes, *, bounded: bool = True) -> documents.Document:
        found.append(path)
        return parse(path, raw, bounded=bounded)

    monkeypatch.setattr(documents, "parse_document", noted)
    return found


def test_a_file_is_parsed_once_and_knows_its_lines(tmp_path: Path, parsed: list[Path]) -> None:
    path = write(tmp_path / "own", GOOD)
    first, raw = read_document(path)
    second, again = read_document(path)
    assert parsed == [path]
    assert (second.data, again) == (first.data, raw)
    assert repr(second.data) == repr(first.data)
    for key in ("entries[0]", "entries[0].subject", "entries[0].nothing", "schema", ""):
        assert second.line(key) == first.line(key)
    read_document(path, bounded=False)
    assert len(parsed) == 2, "what was read without bounds was not checked for them"


def test_the_shipped_entries_are_the_same_either_way(parsed: list[Path]) -> None:
    first = read_knowledge()
    count = len(parsed)
    second = read_knowledge()
    assert count > 5
    assert len(parsed) == count
    assert second.sha256 == first.sha256
    assert [(one.digest, one.line, one.file) for one in second.entries] == [
        (one.digest, one.line, one.file) for one in first.entries
    ]


def test_an_edited_file_is_parsed_and_its_mistake_has_its_line(tmp_path: Path, parsed: list[Path]) -> None:
    path = write(tmp_path / "own", GOOD)
    read_knowledge([path.parent])
    path.write_text(path.read_text().replace("version: 1", "version: one"))
    told = [read_knowledge([path.parent]).mistakes for _ in range(2)]
    assert parsed.count(path) == 2
    assert [one.key for one in told[0]] == ["version"]
    assert told[0][0].line > 0
    assert told[1] == told[0]


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 200, None], ids=["empty", "short", "zeros", "cut"])
def test_what_is_damaged_is_not_used(
    tmp_path: Path, cache: Path, parsed: list[Path], damage: bytes | None
) -> None:
    path = write(tmp_path / "own", GOOD)
    expected = read_document(path)[0].data
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1] if damage is None else damage)
    assert read_document(path)[0].data == expected
    assert len(parsed) == 2
    assert kept.read_bytes() == whole, "it is kept anew"


def test_what_would_come_back_as_something_else_is_not_kept(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "dates.yaml"
    path.write_text("schema: 1\nentries: []\nday: 2024-01-01\n")
    first, second = (read_document(path)[0].data for _ in range(2))
    assert repr(first["day"]) == repr(second["day"]) == "datetime.date(2024, 1, 1)"
    assert not cache.exists()


def test_no_place_for_a_cache_costs_nothing_but_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parsed: list[Path]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = write(tmp_path / "own", GOOD)
    assert read_document(path)[0].data == read_document(path)[0].data
    assert len(parsed) == 2


def test_the_oldest_go(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsed_files, "MAX_KEPT", 3)
    for number in range(5):
        path = tmp_path / f"{number}.yaml"
        path.write_text(f"schema: 1\nentries: [{number}]\n")
        read_document(path)
    assert len(list(cache.iterdir())) == 3
