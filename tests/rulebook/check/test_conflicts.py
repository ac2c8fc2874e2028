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
