"""Rules in each other's way: who is asked first, who sees what, and what is no conflict."""

from __future__ import annotations

import pytest

from triage_tui.rulebook.check.conflicts import conflicts

ANSWERS = "function do_syscall() return 1, 0 end"
CHANGES = "function do_syscall() c_mkdir_p('/x') return 0, 0 end"
WATCHES = "function do_syscall() c_log('x') return 0, 0 end"


def rule(id: str, match: str, body: str) -> bytes:
    return f"-- triage-rule: 1\n-- id: {id}\n-- match: {match}\n\n{body}\n".encode()


CASES = [
    ("b", "openat path=/x", ANSWERS, "a", "openat path=/x", ANSWERS, "asked first"),
    ("a", "openat path=/x", ANSWERS, "b", "openat path=/x", ANSWERS, "does not see"),
    ("b", "openat path=/x", ANSWERS, "a", "openat", ANSWERS, "every openat"),
    ("b", "openat", CHANGES, "a", "openat path=/x", CHANGES, "too"),
    ("b", "openat path=/x", ANSWERS, "a", "openat path=/y", ANSWERS, ""),
    ("b", "openat path=/x", ANSWERS, "a", "openat path=/x", WATCHES, ""),
    ("b", "openat path=/x", WATCHES, "a", "openat path=/x", ANSWERS, ""),
    ("b", "ioctl request=A interface=e0", ANSWERS, "a", "ioctl request=A interface=e1", ANSWERS, ""),
    ("b", "ioctl request=A", ANSWERS, "a", "ioctl interface=e1", ANSWERS, "interface=e1"),
]


@pytest.mark.parametrize(("id", "match", "body", "other", "other_match", "other_body", "told"), CASES)
def test_rules_for_the_same_calls(
    id: str, match: str, body: str, other: str, other_match: str, other_body: str, told: str
) -> None:
    syscall = match.partition(" ")[0]
    active = {f"syscall/{syscall}@{other}.lua": rule(other, other_match, other_body)}
    found = list(conflicts(f"fix/syscall/{syscall}@x.lua", rule(id, match, body), active))
    assert [told in one.message for one in found] == [True] * bool(told)
    assert all(one.severity == "warning" for one in found)


def test_the_rule_that_is_replaced_is_no_conflict_and_the_same_id_elsewhere_is() -> None:
    text = rule("a", "openat path=/x", ANSWERS)
    assert list(conflicts("openat@a.lua", text, {"syscall/openat@a.lua": text})) == []
    (found,) = conflicts("openat@a.lua", text, {"syscall/read@a.lua": rule("a", "read", ANSWERS)})
    assert found.code == "same-id"
    assert list(conflicts("openat@a.lua", text, {"syscall/openat@b.lua": b"-- triage-rule: 9"})) == []


REAL = b'-- triage-rule: 1\n-- id: real\n\nreturn { "eth7" }\n'
TABLE = b'-- triage-rule: 1\n-- id: table\n\nreturn { interfaces = { { name = "%s"%s } } }\n'
IOCTL = rule("told", "ioctl interface=eth7 request=SIOCGIFADDR", ANSWERS)


@pytest.mark.parametrize(
    ("path", "text", "hides"),
    [
        ("plugin/netif@table.lua", TABLE % (b"eth7", b""), True),
        ("plugin/netif@table.lua", TABLE % (b"eth0", b""), False),
        ("plugin/netif@table.lua", TABLE % (b"eth7", b", real = true"), False),
        ("syscall/ioctl@told.lua", IOCTL, True),
        ("syscall/ioctl@told.lua", rule("told", "ioctl interface=eth7", WATCHES), False),
    ],
)
def test_answers_for_an_interface_that_the_start_makes_hide_it(path: str, text: bytes, hides: bool) -> None:
    start = "start/interfaces@real.lua"
    for one, other in (((start, REAL), (path, text)), ((path, text), (start, REAL))):
        found = list(conflicts(*one, dict([other])))
        assert [(clash.severity, clash.code) for clash in found] == [("warning", "conflict")] * hides
        assert all("eth7" in clash.message and "the real one is hidden" in clash.message for clash in found)
