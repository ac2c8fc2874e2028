"""Whose rules act: a person's own files before the target's generation, and that before the shared one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.rulebook.test_generations import BODY, rule
from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook.audit.check import check
from triage_tui.rulebook.audit.log import read_log
from triage_tui.rulebook.generations import activate
from triage_tui.rulebook.layers import acting, in_force, layered, note_own, refuse_hidden, to_sources
from triage_tui.rulebook.layers_in_words import started_in_words
from triage_tui.rulebook.places import shared_directory, target_directory

TARGET = "5f0c"


def own(book: Path, name: str, text: bytes = BODY, target: str = "") -> Path:
    path = book / "own" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path


def generation(book: Path, directory: str, *ids: str) -> None:
    add = {f"syscall/openat@{name}.lua": rule(name) for name in ids}
    activate(book / directory, add=add, actor="ann", reason="r")


def order(book: Path) -> list[tuple[str, str]]:
    return [(one.layer, one.name.removeprefix("syscall/openat")) for one in in_force(book, TARGET)]


def test_layers_are_asked_in_order_and_hide_what_has_their_name_or_id(tmp_path: Path) -> None:
    generation(tmp_path, "shared", "a", "b", "c", "d")
    generation(tmp_path, TARGET, "b", "e")
    own(tmp_path, "syscall/openat.lua", b"-- for all\n" + BODY)
    own(tmp_path, "syscall/openat@other.lua", rule("c"))
    own(tmp_path, "syscall/openat@e.lua", target=TARGET)
    own(tmp_path, "syscall/openat@d.lua", target="another")
    assert order(tmp_path) == [
        ("own", "@e.lua"),
        ("own", ".lua"),
        ("own", "@other.lua"),
        ("target", "@b.lua"),
        ("shared", "@a.lua"),
        ("shared", "@d.lua"),
    ]
    hidden = {(one.layer, one.rule): one.hidden_by for one in layered(tmp_path, TARGET) if one.hidden_by}
    assert hidden == {
        ("target", "e"): "own/5f0c/syscall/openat@e.lua",
        ("shared", "b"): "syscall/openat@b.lua of generation 1",
        ("shared", "c"): "own/syscall/openat@other.lua",
    }
    sources = to_sources(in_force(tmp_path, TARGET))
    assert [source.layer for source in sources] == ["own"] * 3 + ["target"] + ["shared"] * 2
    first, *more = started_in_words(layered(tmp_path, TARGET))
    assert "generation 1 of rules: b; generation 1 of the shared rules: a, d" in first
    assert (
        "syscall/openat@b.lua of shared generation 1 is hidden by syscall/openat@b.lua of generation 1"
        in more
    )


def test_a_file_that_is_no_rule_neither_acts_nor_hides(tmp_path: Path) -> None:
    generation(tmp_path, TARGET, "a")
    own(tmp_path, "syscall/openat@a.lua", b"-- triage-rule: 9\n")
    own(tmp_path, "syscall/../syscall/rm -rf.lua")
    (tmp_path / "own/syscall/read.lua").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "own/syscall/write.lua")
    own(tmp_path, "syscall/openat.lua", b"function do_syscall(")
    own(tmp_path, "syscall/openat@b.lua", b"-- triage-rule: 1\n-- id: a\n-- function do_syscall() end\n")
    own(tmp_path, "start/bogus.lua", b"return {}")
    own(tmp_path, "plugin/nvram@x.lua", b"return {")
    assert order(tmp_path) == [("target", "@a.lua")]
    problems = [one.problem for one in layered(tmp_path, TARGET) if one.problem]
    assert len(problems) == 8
    assert "it defines neither do_syscall nor after_syscall" in problems
    assert any("version 9 is not known" in told for told in problems)
    own(tmp_path, "start/user.lua", b"return {\n id = -1 }")
    (told,) = (line for line in started_in_words(layered(tmp_path, TARGET)) if "start/user" in line)
    assert (
        told == "own/start/user.lua does not act: line 2: the user's id must be a whole number of 0 to 65535"
    )
    (tmp_path / "own/start/user.lua").unlink()
    assert sum("does not act" in line for line in started_in_words(layered(tmp_path, TARGET))) == 8


def test_a_broken_configuration_of_a_plugin_costs_that_file_only(tmp_path: Path) -> None:
    own(tmp_path, "plugin/nvram.lua", b"return { keys = { a = ")
    own(tmp_path, "plugin/fakefile.lua", b'return { files = { { path = "/etc/a" } } }')
    assert [one.name for one in layered(tmp_path, TARGET) if one.problem] == ["plugin/nvram.lua"]
    assert [one.syscall for one in to_sources(in_force(tmp_path, TARGET))] == ["plugin fakefile"]


def test_own_files_are_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere/syscall").mkdir(parents=True)
    book = tmp_path / "book"
    book.mkdir()
    (book / "own").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TriageError, match="leads out"):
        layered(book, TARGET)


def test_nothing_becomes_active_behind_an_own_file(tmp_path: Path) -> None:
    path = own(tmp_path, "syscall/openat@a.lua", rule("a"), TARGET)
    refuse_hidden(tmp_path, TARGET, {"syscall/openat@b.lua": rule("b"), "syscall/openat@a.lua": rule("a")})
    with pytest.raises(Conflict, match=r"own/5f0c/syscall/openat@a.lua hides .* rename or remove it"):
        refuse_hidden(tmp_path, TARGET, {"syscall/openat@a.lua": rule("a", b"-- other\n" + BODY)})
    assert path.read_bytes() == rule("a")


def test_the_audit_log_tells_which_own_files_act_once(tmp_path: Path) -> None:
    own(tmp_path, "syscall/read.lua")
    assert note_own(tmp_path, TARGET, in_force(tmp_path, TARGET))
    assert not note_own(tmp_path, TARGET, in_force(tmp_path, TARGET))
    (tmp_path / "own/syscall/read.lua").unlink()
    assert note_own(tmp_path, TARGET, in_force(tmp_path, TARGET))
    told = [line.entry for line in read_log(tmp_path)[0] if line.entry is not None]
    assert [sorted(entry.rules) for entry in told] == [["own/syscall/read.lua"], []]
    assert check(tmp_path).whole


def test_a_damaged_generation_of_any_layer_is_not_run(tmp_path: Path) -> None:
    generation(tmp_path, "shared", "a")
    path = shared_directory(tmp_path) / "current/syscall/openat@a.lua"
    path.chmod(0o644)
    path.write_bytes(BODY)
    with pytest.raises(TriageError, match="not loaded"):
        layered(tmp_path, TARGET)


@pytest.mark.parametrize("target", ["shared", "own", "../shared", "./own"])
def test_no_target_lies_in_the_place_of_a_layer(tmp_path: Path, target: str) -> None:
    found = target_directory(tmp_path, target)
    assert found.parent == tmp_path
    assert found.name not in ("shared", "own")
    assert acting(layered(tmp_path, target)) == []
