"""Two texts of a rule: what the header promises otherwise, what the body does otherwise, and the text."""

from __future__ import annotations

import pytest

from triage_tui.rulebook.check.rule_changes import compare_sets

OLD = b"""-- triage-rule: 1
-- id: a
-- intent: help
-- match: openat path=/etc/x
-- hit-limit: 3
-- risk: low

function do_syscall(num, a1, a2)
  if c_read_string(a2) == "/etc/x" then c_mkdir_p("/etc") end
  return 0, 0
end
"""

CHANGES = [
    (b"hit-limit: 3", b"hit-limit: 9", "changed", [("hit-limit", "it may act more often")]),
    (b"hit-limit: 3", b"hit-limit: none", "changed", [("hit-limit", "it may act more often")]),
    (b"hit-limit: 3", b"hit-limit: 1", "changed", [("hit-limit", "it may act less often")]),
    (b"openat path=/etc/x", b"openat", "changed", [("match", "wider: for more calls")]),
    (b"openat path=/etc/x", b"openat path=/etc/x detail=1", "changed",
     [("match", "narrower: for fewer calls")]),
    (b"openat path=/etc/x", b"openat path=/etc/y", "changed", [("match", "for other calls")]),
    (b"risk: low", b"risk: high", "reworded", [("risk", "higher")]),
    (b"intent: help", b"intent: help it", "reworded", [("intent", "")]),
    (b"-- risk: low", b"-- budget: instructions=500\n-- risk: low", "changed", [("budget", "")]),
    (b"-- risk: low", b"-- on-failure: closed\n-- risk: low", "changed", [("on-failure", "")]),
    (b"  return", b"\n\n  -- nothing\n    return", "reworded", []),
    (b"", b"", "same", []),
]  # fmt: skip


@pytest.mark.parametrize(("was", "becomes", "kind", "fields"), CHANGES)
def test_what_the_header_promises_otherwise(
    was: bytes, becomes: bytes, kind: str, fields: list[tuple[str, str]]
) -> None:
    (found,) = compare_sets({"openat@a.lua": OLD}, {"x/openat@a.lua": OLD.replace(was, becomes, 1)})
    assert (found.id, found.kind) == ("a", kind)
    assert [(field.name, field.note) for field in found.fields] == fields
    assert (found.no_more, found.now, found.also) == ((), (), ())
    assert bool(found.text) == (kind != "same")


def test_what_the_body_does_otherwise() -> None:
    new = OLD.replace(b'c_mkdir_p("/etc")', b"return 1, -13")
    (found,) = compare_sets({"openat@a.lua": OLD}, {"openat@a.lua": new})
    assert found.kind == "changed"
    assert found.no_more == ('makes the directory /etc when the text at argument 2 is "/etc/x"',)
    assert found.now == ('answers with EACCES when the text at argument 2 is "/etc/x"',)
    assert found.also == ("helpers: -c_mkdir_p",)
    assert [line[0] for line in found.text] == ["@", " ", " ", "-", "+", " ", " "]
    hidden = OLD.replace(b"return 0, 0", b"local x = 5 return 0, 0")
    (found,) = compare_sets({"openat@a.lua": OLD}, {"openat@a.lua": hidden})
    assert (found.kind, found.no_more, found.now) == ("changed", (), ())
    assert "see the text" in found.also[0]


def test_rules_are_paired_by_syscall_and_id() -> None:
    other = OLD.replace(b"id: a", b"id: b")
    found = compare_sets(
        {"openat@a.lua": OLD, "openat@b.lua": other}, {"openat@a.lua": OLD, "read@b.lua": other}
    )
    assert [(one.id, one.kind) for one in found] == [("a", "same"), ("b", "removed"), ("b", "added")]
    (one,) = compare_sets({"openat@a.lua": OLD}, {"openat@b.lua": other})
    assert [field.name for field in one.fields] == ["id"]
    assert compare_sets({}, {}) == []
