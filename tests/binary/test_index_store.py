"""Indexes in the user's cache: made once, made again when damaged, stopped when asked to."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from triage_tui.binary import index_store
from triage_tui.binary.index_store import directory, index_of
from triage_tui.errors import Stopped, TriageError

DATA = (Path(__file__).parent / "programs" / "imports.arm").read_bytes()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    index_store._memory.clear()


def test_an_index_is_made_once_and_again_when_it_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    made = index_of(DATA, progress=lambda what, share: told.append(share))
    [path] = directory().iterdir()
    assert made.functions
    assert path.stat().st_mode & 0o077 == 0
    index_store._memory.clear()
    with monkeypatch.context() as patch:
        patch.setattr(index_store, "_make", lambda *_: pytest.fail("it was kept"))
        assert index_of(DATA) == made
        assert index_of(DATA) is index_of(DATA)
    raw = path.read_bytes()
    for damaged in (b"", raw[:-9], raw[:40] + bytes([raw[40] ^ 1]) + raw[41:]):
        index_store._memory.clear()
        path.write_bytes(damaged)
        again = index_of(DATA)
        assert (again.functions, again.edges, again.texts) == (made.functions, made.edges, made.texts)
        assert index_store._decoded(path.read_bytes(), made.sha256) is not None


def test_what_cannot_be_indexed_is_a_sentence_and_nothing_is_kept() -> None:
    with pytest.raises(TriageError, match="no ELF file"):
        index_of(b"MZ")
    assert not directory().exists()
    with pytest.raises(Stopped):
        index_of(DATA, cancel=_set())
    with pytest.raises(TriageError, match="given up after 0 s"):
        index_of(DATA, seconds=0)
    assert not directory().exists()


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def test_the_oldest_indexes_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = index_store.encode(index_of(DATA))
    monkeypatch.setattr(index_store, "MAX_CACHE", 3 * len(raw))
    for number in range(6):
        index_store._keep(directory() / f"{number}.msgpack", raw)
    kept = {path.name for path in directory().iterdir()}
    assert len(kept) == 3
    assert "5.msgpack" in kept
