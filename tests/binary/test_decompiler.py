"""Decompiling one function, where the optional decompiler is installed; its absence is said otherwise."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.binary.loaded import content
from triage_tui.binary import decompiler
from triage_tui.binary.code_source import CodePoint
from triage_tui.binary.decompiler import Angr, why_missing
from triage_tui.binary.modules import Location, Module
from triage_tui.binary.symbols import parse_image
from triage_tui.errors import TriageError


def point(data: bytes) -> CodePoint:
    image = parse_image(data)
    symbol = next(one for one in image.symbols if one.name == "caller")
    module = Module("/lib/imports.so", "imports.so", 0, image)
    return CodePoint(symbol.start, Location(module, symbol.start, symbol), start=symbol.start)


def test_a_function_is_decompiled_or_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    source = Angr(content("arm"))
    if why_missing() is not None:
        with pytest.raises(TriageError, match=r"pip install 'triage-tui\[decompiler\]'"):
            source.function(point(source.program))
        return
    found = source.function(point(source.program))
    assert found.provenance.startswith("decompiled by angr 9.")
    assert "caller" in found.text
    assert "caller(" in (found.prototype or "")
    monkeypatch.setattr(decompiler, "_limit", lambda _seconds: pytest.fail("it was kept"))
    assert source.function(point(source.program)) == found
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    with pytest.raises(TriageError, match=r"ended after 0\.1 s"):
        Angr(source.program, seconds=0.1).function(point(source.program))
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(TriageError, match="the decompiler was stopped"):
        Angr(source.program, cancel=cancel).function(point(source.program))


def test_the_process_that_decompiles_survives_any_file(tmp_path: Path) -> None:
    if why_missing() is None:
        with pytest.raises(TriageError, match="could not decompile"):
            Angr(b"\x7fELF" + bytes(200)).function(point(content("arm")))
    else:
        assert "angr" in (why_missing() or "")


def test_what_was_decompiled_is_kept_by_file_and_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(decompiler, "version", lambda: "9.2.1")
    monkeypatch.setattr(decompiler, "why_missing", lambda: None)
    source = Angr(content("arm"))
    place = point(source.program)
    assert source.kept(place) is None
    answer = {
        "text": "int f(int a);",
        "prototype": "int f(int a)",
        "variables": [["a", "int", "parameter"], 1],
    }
    assert place.start is not None
    decompiler.keep(source.program, place.start, answer)
    found = source.function(place)
    assert (found.text, found.prototype) == ("int f(int a);", "int f(int a)")
    assert found.variables == (("a", "int", "parameter"),)
    assert Angr(b"another").kept(place) is None
    [path] = tmp_path.rglob("*.json")
    for damaged in ("", "[]", '{"text": 1}', "[" * 100_000):
        path.write_text(damaged)
        assert source.kept(place) is None
