"""Rules in words: what the body does and when, and where the header says something else."""

from __future__ import annotations

import pytest

from triage_tui.rulebook.check.explained import explained

HEAD = "-- triage-rule: 1\n-- id: a\n-- match: openat path=/etc/x\n-- risk: {risk}\n-- effect: {effect}\n\n"
ENTRY = "function do_syscall(num, a1, a2, a3)\n  {}\n  return 0, 0\nend\n"
IF_X = "if c_read_string(a2) == '/etc/x' then {} end"

DEEDS = [
    (
        IF_X.format("c_provide_file('/etc/x', 'abc')"),
        "provides the file /etc/x (3 bytes), if there is none",
        ('the text at argument 2 is "/etc/x"',),
    ),
    ("do return 1, -13 end", "answers with EACCES", ()),
    ("do return 1, -c_errno('ENODEV') end", "answers with ENODEV", ()),
    ("do return true, 3 end", "answers with 3", ()),
    ("do return 1 end", "answers with 0, because it gives nothing", ()),
    ("if a3 & 3 ~= 0 then return 1, a3 end", "answers with its argument 3",
     ("what it makes of argument 3 is not 0",)),
    ("if not (a1 > 2) then c_set_arg(3, 0) end", "changes argument 3 to 0", ("argument 1 is at most 2",)),
    ("local fd = c_open_host('/dev/null', a3) if fd >= 0 then c_mkdir_p('/a') end",
     "opens /dev/null of the host", ()),
    ("c_write_bytes(a2, 'xy')", "writes 2 bytes to memory at argument 2", ()),
    ("if a1 == 1 or a1 == 2 then return 1, c_open_bytes('') end", "opens a private file (0 bytes)",
     ("argument 1 is 2 (or the like)", "argument 1 is 1 (or the like)")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "does", "when"), DEEDS)
def test_what_the_body_does_and_when(line: str, does: str, when: tuple[str, ...]) -> None:
    deed = explained("openat.lua", ENTRY.format(line).encode()).deeds[0]
    assert (deed.does, deed.when, deed.after) == (does, when, False)


def test_what_is_known_of_the_whole_rule() -> None:
    body = (
        "local n = 0\nfunction after_syscall(num, ret)\n  n = n + 1\n  if ret == -2 then return 1, 0 end\nend"
    )
    found = explained("openat.lua", (HEAD.format(risk="high", effect="e") + body).encode())
    assert (found.asked, found.keeps, found.arguments) == (("after the call",), ("n",), ())
    (deed,) = found.deeds
    assert (deed.does, deed.when, deed.after) == ("replaces the result by 0", ("the result is -2",), True)
    assert found.syscall == "openat"


@pytest.mark.parametrize(
    ("line", "risk", "effect", "told"),
    [
        (IF_X.format("c_provide_file('/etc/x', '')"), "low", "e", []),
        (
            IF_X.replace("/etc/x", "/etc/y").format("c_mkdir_p('/x')"),
            "low",
            "e",
            ["the body looks for /etc/y"],
        ),
        (IF_X.format("return 1, 0"), "low", "e", ["answers calls that are then not made"]),
        (IF_X.format("c_log('x')"), "low", "e", ["neither answers nor changes"]),
        ("c_mkdir_p('/x')", "low", "e", ["at every openat"]),
    ],
)
def test_where_header_and_body_disagree(line: str, risk: str, effect: str, told: list[str]) -> None:
    source = HEAD.format(risk=risk, effect=effect) + ENTRY.format(line)
    found = explained("openat.lua", source.encode()).disagree
    assert [part in text for part, text in zip(told, found, strict=True)] == [True] * len(told)


def test_a_body_that_cannot_be_read_is_told() -> None:
    deep = "x = 1" + " + 1" * 5000 + "\nfunction do_syscall() end"
    garbage = 'if ((( local "x function ' * 10_000
    for text in (deep, garbage):
        assert "the body was not read" in explained("openat.lua", text.encode()).unknown
