"""Rule files that configure a plugin: read, checked with their lines, explained, run over recorded calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage_tui.errors import TriageError
from triage_tui.rulebook import generations
from triage_tui.rulebook.check.conflicts import conflicts
from triage_tui.rulebook.check.explain import sentence
from triage_tui.rulebook.check.explained import explained
from triage_tui.rulebook.check.lint import lint
from triage_tui.rulebook.check.recorded import matched_in
from triage_tui.rulebook.check.replay import replay
from triage_tui.rulebook.check.rule_changes import compare
from triage_tui.rulebook.layers import rules_of, to_sources
from triage_tui.rulebook.rulefile import parse, to_source
from triage_tui.runs.model import Syscall

NAME = "plugin/fakefile@fix-fakefile-1.lua"
HEADER = b"-- triage-rule: 1\n-- id: fix-fakefile-1\n-- hit-limit: 5\n-- risk: low\n\n"
GOOD = HEADER + b'return {\n  files = {\n    { path = "/etc/a\\"\\200b", content = "\\200]]" },\n  },\n}\n'
OTHER = HEADER + b'return { files = { { path = "/etc/app.conf", content = "x" } } }\n'


def test_what_runs_is_the_checked_table_in_front_of_the_plugin() -> None:
    found = to_source(NAME, OTHER, "/rules")
    assert (found.id, found.syscall, found.hit_limit, found.rules_dir) == (
        "fix-fakefile-1",
        "plugin fakefile",
        5,
        "/rules",
    )
    assert {"open", "openat", "stat64", "statx"} <= found.syscalls
    table, _, text = found.source.partition(b"\n")
    assert table.startswith(b'local config = {["files"] = {{["path"] = "/etc/app.conf", ')
    assert b"function do_syscall" in text


@pytest.mark.parametrize(
    ("table", "line", "told"),
    [
        ("return {\n fils = {} }", 2, "there is no setting 'fils' here, only files"),
        ("return {\n files = {} }", 2, "at least 1"),
        ("return {}", 1, "the setting 'files' is missing"),
        ("return { files = 3 }", 1, "files: a list is wanted, not a whole number"),
        ("return { files = {\n 3 } }", 2, "files[1]: a table is wanted, not a whole number"),
        ("return { files = { { } } }", 1, "files[1]: the setting 'path' is missing"),
        ('return { files = { { path = "/a",\n mode = "x" } } }', 2, "files[1].mode: a whole number"),
        ('return { files = { { path = "/a",\n mode = -1 } } }', 2, ">= 0"),
        ('return { files = { { path = "/a",\n kind = "q" } } }', 2, "one of file, directory, absent"),
        ('return { files = { { path =\n "etc" } } }', 2, "an absolute path is wanted"),
        (
            'return { files = { { path = "/a" },\n { path = "/a" } } }',
            2,
            "files[2].path: this path is there twice",
        ),
        (
            'return { files = { { path = "/a" },\n { path = "//a/.", kind = "directory" } } }',
            2,
            "files[2].path: this path is there twice: /a",
        ),
        ('return { files = { {\n path = "//.", kind = "absent" } } }', 2, "files[1].path: the root itself"),
        (
            'return { files = { { path = "/a", kind = "directory",\n always = true } } }',
            2,
            "files[1].always: it is for files",
        ),
        ('return { files = { { path = "/a" }, x = 1 } }', 1, "such a table"),
        ("return { 3 }", 1, "without a name"),
        ("return { files = os.exit() }", 1, "only texts"),
        ("function do_syscall() end", 1, "must be one"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(table: str, line: int, told: str) -> None:
    (finding,) = lint(HEADER + table.encode(), f"fix/{NAME}")
    assert (finding.severity, finding.line) == ("error", line + 5)
    assert told in finding.message
    with pytest.raises(TriageError, match=rf"^line {line + 5}: "):
        to_source(NAME, HEADER + table.encode())


def test_there_is_no_such_plugin() -> None:
    (finding,) = lint(HEADER + b"return { }", "fix/plugin/bogus@fix-1.lua")
    assert finding.message == "there is no plugin named 'bogus'"


def test_it_is_explained_line_by_line_and_compared() -> None:
    assert lint(GOOD, NAME) == []
    told = explained(NAME, GOOD)
    assert [(deed.line, deed.does) for deed in told.deeds] == [
        (8, r'lets the program find /etc/a"\xc8b (3 bytes)')
    ]
    assert sentence(parse(OTHER), "plugin fakefile") == (
        "Answers what the program looks for at /etc/app.conf, at most 5 times, in this target only."
    )
    change = compare(NAME, GOOD, NAME, OTHER)
    assert change.kind == "changed"
    assert "/etc/app.conf" in change.now[0]
    assert change.no_more


def calls() -> list[Syscall]:
    return [
        Syscall(
            seq=seq,
            name="openat",
            num=56,
            ret=-1,
            errno="ENOENT",
            path=path,
            args=[-100, 4096, 0],
            arguments=["AT_FDCWD", f'"{path}"', "0"],
        )
        for seq, path in enumerate(("/etc/other", "/etc/app.conf"), 1)
    ]


def test_it_is_held_against_recorded_calls() -> None:
    matched = matched_in("run", "aarch64", calls(), NAME, OTHER)
    assert matched is not None
    assert (matched.calls, matched.seqs) == (2, (2,))
    done = replay("run", "aarch64", calls(), NAME, OTHER)
    assert [one.seq for one in done.acted] == [2]
    assert not done.broken
    assert done.acted[0].did == ["provides /etc/app.conf (1 bytes)"]


def recorded(*made: tuple[str, dict[str, object]]) -> list[Syscall]:
    return [Syscall(seq=seq, name=name, num=1, **more) for seq, (name, more) in enumerate(made, 1)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plugin", "table", "seqs", "unclear"),
    [
        ("clock", "offset = 5", (1,), 0),
        ("clock", "offset = 5, rtc = true", (1, 3, 5), 0),
        ("netif", 'interfaces = { { name = "eth0" } }', (4, 6, 8), 1),
        ("netif", 'interfaces = { { name = "eth0" } }, files = false', (4, 6), 1),
        ("devices", 'devices = { { path = "/dev/rtc0" } }', (5,), 4),
        ("devices", 'devices = { { path = "/dev/other" } }', (), 0),
        ("unixpeer", 'address = "127.0.0.1:80", datagrams = false', (9,), 1),
    ],
)
def test_what_it_is_for_is_where_it_acts(
    plugin: str, table: str, seqs: tuple[int, ...], unclear: int
) -> None:
    """Not at other clocks and interfaces, and at descriptors only of what was opened."""
    made = recorded(
        ("clock_gettime", {"arguments": ["CLOCK_REALTIME", "0x1"]}),
        ("clock_gettime", {"arguments": ["CLOCK_MONOTONIC", "0x1"]}),
        ("ioctl", {"request": "RTC_RD_TIME"}),
        ("ioctl", {"request": "SIOCGIFCONF"}),
        ("openat", {"path": "/dev/rtc0", "ret": 3}),
        ("ioctl", {"request": "SIOCGIFADDR", "interface": "eth0"}),
        ("ioctl", {"request": "SIOCGIFADDR", "interface": "eth1"}),
        ("openat", {"path": "/sys/class/net/eth0/mtu", "ret": -1, "errno": "ENOENT"}),
        ("connect", {"peer": "inet:127.0.0.1:80"}),
        ("setsockopt", {}),
    )
    source = HEADER + f"return {{ {table} }}".encode()
    matched = matched_in("run", "aarch64", made, f"plugin/{plugin}@fix-1.lua", source)
    assert matched is not None
    assert (matched.seqs, matched.unclear) == (seqs, unclear)


def test_rules_for_the_same_path_are_in_its_way() -> None:
    rule = (
        b"-- triage-rule: 1\n-- id: fix-2\n-- match: openat path=%s\n\nfunction do_syscall() return 1, -2 end"
    )
    (clash,) = conflicts(NAME, OTHER, {"syscall/openat@fix-2.lua": rule % b"/etc/app.conf"})
    assert "asked first" in clash.message
    assert list(conflicts(NAME, OTHER, {"syscall/openat@fix-2.lua": rule % b"/etc/x"})) == []
    assert (
        list(conflicts(NAME, OTHER, {NAME: OTHER, "syscall/ioctl@fix-2.lua": rule % b"/etc/app.conf"})) == []
    )


def test_a_generation_has_plugins_behind_the_rules_for_one_syscall(tmp_path: Path) -> None:
    rule = b"function do_syscall() return 0, 0 end"
    made = generations.activate(
        tmp_path / "t", add={NAME: OTHER, "syscall/openat.lua": rule}, actor="a", reason="r"
    )
    assert [one.syscall for one in to_sources(rules_of("target", made))] == ["openat", "plugin fakefile"]
    with pytest.raises(TriageError, match="line 6"):
        generations.activate(tmp_path / "t", add={NAME: HEADER + b"return 1"}, actor="a", reason="r")


@pytest.mark.parametrize(
    ("plugin", "table", "told"),
    [
        ("nvram", "return { keys = { lan = 1 } }", "keys.lan: a text is wanted, not a whole number"),
        ("nvram", 'return { keys = { ["a=b"] = "c" } }', "a key without '='"),
        ("nvram", 'return { keys = { a = "b" }, size = 10 }', "size: expected a whole number >= 4096"),
        ("nvram", f'return {{ keys = {{ a = "{"b" * 4000}" }}, size = 4096 }}', "give it a larger size"),
        ("nvram", 'return { keys = {}, interface = "image", default = "" }', "an image cannot know"),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = { { code = "p 9" } } } } }',
            "LETTER NUMBER",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a" }, { path = "/dev/./a" } } }',
            "devices[2].path: this path is there twice: /dev/a",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = { { } } } } }',
            "either code or number",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = { { code = "p 999 none" } } } } }',
            "requests[1].code: the number of a request is 0 to 255",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = {'
            ' { number = 0x5401, errno = "EIO" }, { number = 21505, answer = 3 } } } } }',
            "requests[2]: this request is there twice",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = {'
            ' { code = "p 9 none" }, { code = "0x70 009 none" } } } } }',
            "requests[2]: this request is there twice",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = { { number = 1, values = { x = 1 } } } } } }',
            "requests[1].values.x: this is none of the fields",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = { {'
            ' number = 1, fields = "x u8", values = { x = 300 } } } } } }',
            "does not fit the field's 1 bytes",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = { { number = 1, errno = "EX" } } } } }',
            "no error",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = { { number = 1, gives = "mode" } } } } }',
            "requests[1].gives: no request of this device keeps it",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = {'
            ' { number = 1 }, { number = 1, fields = "x u8", when = { x = 1 } } } } } }',
            "requests[2].when: the same request stands before it",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = { { number = 1, fields = "x b8",'
            ' into = { x = { fields = "y u8" } } } } } } }',
            "requests[1].into.x: this is none of the fields that can lead somewhere",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", requests = { { number = 1, fields = "x ptr",'
            ' into = { x = { fields = "y u8", values = { y = 256 } } } } } } } }',
            "requests[1].into.x.values.y: this does not fit",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", content = { { echo = { 0, 1 } } } } } }',
            "repeat",
        ),
        (
            "fakefile",
            "return { files = {"
            + "".join(f'{{ path = "/{n}", kind = "absent" }},' for n in range(101))
            + "} }",
            "files[101]: at most 100 paths can look missing",
        ),
        (
            "devices",
            'return { devices = { { path = "/dev/a", source = "null", content = "x" } } }',
            "source memory only",
        ),
    ],
)
def test_what_no_form_can_say_is_checked_too(plugin: str, table: str, told: str) -> None:
    (finding,) = lint(HEADER + table.encode(), f"plugin/{plugin}@fix-1.lua")
    assert (finding.code, finding.line) == ("configuration", 6)
    assert told in finding.message
