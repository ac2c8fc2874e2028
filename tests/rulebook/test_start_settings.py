"""Settings of a program's start as rules: what they may hold, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.retry.start import Start, with_settings
from triage_tui.rulebook import generations
from triage_tui.rulebook.check.conflicts import conflicts
from triage_tui.rulebook.check.explain import sentence_of
from triage_tui.rulebook.check.lint import lint, lint_all
from triage_tui.rulebook.placeholders import placeholder, unfilled
from triage_tui.rulebook.start_settings import read_start_rule, start_rules

ID = "start-1"


def rule(body: str, identity: str = ID) -> bytes:
    return f"-- triage-rule: 1\n-- id: {identity}\n-- risk: low\n\n{body}\n".encode()


@pytest.mark.parametrize(
    ("setting", "body", "told"),
    [
        ("processor", 'return { model = "max -plugin /x" }', "is no name of a processor model"),
        ("processor", 'return { model = "-plugin" }', "is no name of a processor model"),
        ("processor", "return { model = 5 }", "must be a text"),
        ("processor", 'return { "max" }', "a value without a name"),
        ("processor", 'return { model = "max", features = "x" }', "'features' is not known here"),
        ("processor", "return { }", "model is missing"),
        ("processor", 'return { model = "help" }', "help is no processor model"),
        ("arguments", "return { }", "these are 0 values"),
        ("arguments", 'return { "a", b = "c" }', "'b' has a name here"),
        ("arguments", 'return { "a\\0b" }', "argument 0 has a NUL byte"),
        ("arguments", 'return { "a", ' + '"b", ' * 256 + "}", "these are 257 values"),
        ("arguments", 'return { "' + "x" * 4097 + '" }', "argument 0 has 4097 bytes"),
        ("arguments", "return { " + ('"' + "x" * 4000 + '", ') * 9 + "}", "the arguments have 36009 bytes"),
        ("directory", 'return { path = "www" }', "is no absolute path"),
        ("directory", 'return { path = "/www/../../etc" }', "is no absolute path without `..`"),
        ("directory", 'return { path = "/a\\0" }', "has a NUL byte"),
        ("environment", 'return { QEMU_STRACE = "1" }', "QEMU_STRACE would change the emulator"),
        ("environment", 'return { ["A=B"] = "1" }', "'A=B' is no name of a variable"),
        ("environment", 'return { [""] = "1" }', "'' is no name of a variable"),
        ("environment", "return { [1] = true }", "'1' is no name of a variable"),
        ("environment", 'return { A = "b\\0" }', "the value of A has a NUL byte"),
        ("environment", "return { A = true }", "the value of A must be a text"),
        ("environment", "return { " + "".join(f'V{n} = "", ' for n in range(65)) + "}", "these are 65"),
        ("user", "return { id = 65536 }", "whole number of 0 to 65535"),
        ("user", "return { id = 1.5 }", "whole number"),
        ("user", "return { id = true }", "whole number"),
        ("interfaces", 'return { "lo" }', "is no name for another network interface"),
        ("interfaces", 'return { "a/b" }', "is no name for another network interface"),
        ("interfaces", 'return { "eth0", "eth0" }', "an interface is there twice"),
        ("interfaces", "return { " + '"e", ' * 17 + "}", "these are 17 values"),
        ("helpers", 'return { emulate = "yes" }', "must be true or false"),
        ("processor", "os.exit()", "must be one `return"),
        ("processor", 'return { model = os.getenv("HOME") }', "only texts"),
    ],
)
def test_what_a_start_cannot_have_is_refused_with_its_line(setting: str, body: str, told: str) -> None:
    name = f"fix/start/{setting}@{ID}.lua"
    errors = [one for one in lint(rule(body), name) if one.severity == "error"]
    assert [one.line for one in errors] == [5]
    assert told in errors[0].message
    with pytest.raises(TriageError, match=r"start-1\.lua, line 5: "):
        start_rules({f"start/{setting}@{ID}.lua": rule(body)})


def test_what_is_no_setting_of_a_start_is_told() -> None:
    body = rule('return { path = "/www" }')
    assert "is for no setting of the start" in lint(body, f"start/rootfs@{ID}.lua")[0].message


def test_settings_change_a_start_and_nothing_else_of_it() -> None:
    start = Start(program="/bin/a", argv=["a"], env={"PATH": "/bin", "TZ": "x"}, interfaces=["eth0"], user=7)
    bodies = {
        "processor": '{ model = "max" }',
        "arguments": '{ "a", "\\xff", "" }',
        "directory": '{ path = "/www" }',
        "environment": '{ PATH = "/sbin", TZ = false, LD_PRELOAD = "/x.so" }',
        "user": "{ id = 0 }",
        "interfaces": '{ "eth0", "br0" }',
        "helpers": "{ emulate = false }",
    }
    texts = {f"start/{name}@{ID}.lua": rule(f"return {body}") for name, body in bodies.items()}
    assert all(found == [] for found in lint_all(texts).values())
    changed = with_settings(start, start_rules({**texts, "syscall/open@x.lua": b"anything"}))
    assert changed == Start(
        program="/bin/a",
        argv=["a", "\udcff", ""],
        cwd="/www",
        env={"PATH": "/sbin", "LD_PRELOAD": "/x.so"},
        user=0,
        interfaces=["eth0", "br0"],
        processor="max",
        exec_policy="refuse",
    )
    assert start.env == {"PATH": "/bin", "TZ": "x"}
    assert with_settings(start, []) == start


def test_two_rules_that_do_not_agree_are_told_before_and_refused_at_the_start() -> None:
    active = {"start/processor@a.lua": rule('return { model = "max" }', "a")}
    other = rule('return { model = "486" }', "b")
    found = list(conflicts("fix/start/processor@b.lua", other, active))
    assert [(one.severity, one.code) for one in found] == [("error", "conflict")]
    assert "a both set the processor" in found[0].message
    with pytest.raises(TriageError, match="a and b both set the processor: roll one of them back"):
        start_rules({**active, "start/processor@b.lua": other})
    # Of two layers the first wins.
    first = start_rules({"start/processor@b.lua": other}, active)
    assert [(one.rule, one.value) for one in first] == [("b", "486")]
    # One that takes the place of the active one, and variables that differ, are none.
    assert not list(conflicts("fix/start/processor@a.lua", rule('return { model = "486" }', "a"), active))
    one, two = rule('return { A = "1", B = "1" }', "a"), rule('return { B = "1", C = "1" }', "b")
    assert not list(conflicts("start/environment@b.lua", two, {"start/environment@a.lua": one}))
    assert len(start_rules({"start/environment@a.lua": one, "start/environment@b.lua": two})) == 2
    layers = start_rules({"start/environment@a.lua": one}, {"start/environment@b.lua": two})
    assert [one.value for one in layers] == [{"A": "1", "B": "1"}, {"C": "1"}]


def test_a_placeholder_is_an_error_and_never_becomes_active(tmp_path: Path) -> None:
    wanted = placeholder('the "key"\n of [the] device >>]] \\')
    assert wanted == "<<FILL IN: the key of the device>>"
    body = f'return {{\n  path = "/{wanted}" }}'
    name = f"start/directory@{ID}.lua"
    assert [(one.line, one.code) for one in lint(rule(body), name)] == [(6, "unfilled")]
    for path, text in ((name, rule(body)), ("syscall/open@x.lua", rule(f'c_log("{wanted}")', "x"))):
        with pytest.raises(TriageError, match="it is not filled in: the key of the device"):
            generations.activate(tmp_path / "t", add={path: text}, actor="a", reason="r")
    assert generations.current(tmp_path / "t") is None
    assert unfilled(b"<<FILL IN") == [(1, "")], "a damaged one is one too"


def test_a_setting_is_explained_in_one_sentence() -> None:
    name = f"start/environment@{ID}.lua"
    said = sentence_of(name, rule('return { TOKEN = "secret", TZ = false }'))
    assert said == "Has the program started with environment TOKEN set, without TZ, in this target only."
    assert "cannot: TOKEN" not in sentence_of(name, rule("return { TOKEN = 1 }"))
    assert read_start_rule(f"start/user@{ID}.lua", rule("return { id = 33 }")).says == "user 33"
    arguments = read_start_rule(f"start/arguments@{ID}.lua", rule('return { "a b", "", "c" }'))
    assert arguments.says == "arguments 'a b' '' c"
