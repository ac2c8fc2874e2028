"""The rule header: what is written is what is read, and what breaks the grammar is named by line."""

from __future__ import annotations

import pytest

from triage_tui.errors import TriageError
from triage_tui.rulebook import kinds, rulefile
from triage_tui.rulebook.rulefile import RuleHeader
from triage_tui.rulehost.sources import Budget

FULL = RuleHeader(
    id="fix-openat-3f2a91c0",
    run="20260131_020000_00000001",
    target="5f0c",
    intent="give the program the file it reads at start",
    match="openat path=/etc/config: and a colon",
    hit_limit=3,
    effect="an empty file appears",
    risk="low",
    inverse="roll back the generation",
    template="missing-file",
    budget=Budget(
        instructions=9, memory_bytes=4 << 20, wall_seconds=0.5, calls_per_second=1, on_failure="closed"
    ),
    extra={"reviewed-by": "somebody"},
)
BODY = b"-- just a comment\nfunction do_syscall() return 0, 0 end\n"

VALUES = ["", "plain", "key: value", "-- dashes", "\u00fcml\u00e4ut", "'quoted' \"text\"", "a" * 900, "a  b"]
BODIES = [
    b"",
    b"\n",
    b"\r\nx = 1\r\n",
    b"\x00\xff raw",
    b"-- id: other\n",
    BODY,
    b"--[[ long\n]]",
    b"no newline",
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_what_is_composed_is_read_back(value: str, body: bytes) -> None:
    header = RuleHeader(id="a-1", intent=value, match=value, hit_limit=len(value) or None)
    source = rulefile.compose(header, body)
    rule = rulefile.parse(source)
    assert rule.header == header
    assert rule.source == source
    assert rule.body.removeprefix(b"\n") == body.removeprefix(b"\n")
    assert rulefile.format_header(rule.header).encode() + rule.body == source


def test_a_full_header_survives() -> None:
    text = rulefile.format_header(FULL)
    assert text.startswith("-- triage-rule: 1\n-- id: fix-openat-3f2a91c0\n-- run: ")
    assert rulefile.parse(text.encode()).header == FULL


@pytest.mark.parametrize(
    "hostile",
    [
        "a\n-- id: evil",
        "a\r-- risk: low",
        "a\u2028b",
        "\x1b]52;c;x\x07",
        "\u202eabc",
        "x" * 5000,
        "\x00",
        "\udc80",
    ],
)
def test_guest_text_cannot_break_out_of_its_line(hostile: str) -> None:
    header = RuleHeader(id="a-1", intent=hostile, extra={"x": hostile})
    text = rulefile.format_header(header)
    again = rulefile.parse(text.encode()).header
    assert text.count("\n") == 5
    assert again.id == "a-1"
    assert again.risk == ""
    assert rulefile.format_header(again) == text


def test_fields_are_replaced_and_the_body_is_not() -> None:
    source = rulefile.compose(FULL, BODY)
    changed = rulefile.parse(rulefile.with_header(rulefile.parse(source), hit_limit=9, risk="high"))
    assert (changed.header.hit_limit, changed.header.risk) == (9, "high")
    assert changed.body == rulefile.parse(source).body


BROKEN = [
    (b"-- triage-rule: 1 x?\n-- id: a\n", "line 1: a rule header begins with '-- triage-rule: 1'"),
    (b"-- triage-rule 1\n-- id: a\n", "line 1: a rule header begins with"),
    (b"--Triage-Rule: one\n-- id: a\n", "line 1: a rule header begins with"),
    (b"-- triage-rule: 2\n-- id: a\n", "line 1: rule header version 2"),
    (b"-- triage-rule: 1\n-- run: x\n", "line 1: the rule header has no id"),
    (b"-- triage-rule: 1\n-- id: ../../etc\n", "line 2: '../../etc' is no rule id"),
    (b"-- triage-rule: 1\n-- id: A\n", "line 2: 'A' is no rule id"),
    (b"-- triage-rule: 1\n-- id:\n", "line 2: '' is no rule id"),
    (b"-- triage-rule: 1\n-- id: " + b"a" * 65 + b"\n", "line 2: "),
    (b"-- triage-rule: 1\n-- id: a\n-- id: b\n", "line 3: the header has id twice"),
    (b"-- triage-rule: 1\n-- id: a\n-- risk: none\n", "line 3: the risk is 'none'"),
    (b"-- triage-rule: 1\n-- id: a\n-- hit-limit: 0\n", "line 3: the hit-limit is '0'"),
    (b"-- triage-rule: 1\n-- id: a\n-- hit-limit: -1\n", "line 3: the hit-limit is '-1'"),
    (b"-- triage-rule: 1\n-- id: a\n-- hit-limit: 1699999999\n", "line 3: the hit-limit has more than nine"),
    (b"-- triage-rule: 1\n-- id: a\n-- hit-limit: 1e9\n", "line 3: the hit-limit"),
    (b"-- triage-rule: 1\n-- id: a\n-- intent: \xff\n", "line 3: the value of intent is not UTF-8"),
    (b"-- triage-rule: 1\n-- id: a\n-- intent: \x1b[2J\n", "line 3: the value of intent has characters"),
    (b"-- triage-rule: 1\n-- id: a\n-- intent: " + b"x" * 2000, "line 3: the value of intent is longer"),
    (b"x" * (rulefile.MAX_RULE_BYTES + 1), "longer than"),
]


@pytest.mark.parametrize(("source", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_a_broken_header_is_one_sentence_with_its_line(source: bytes, message: str) -> None:
    with pytest.raises(TriageError) as caught:
        rulefile.parse(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "source", [b"", b"x = 1", b"\n-- triage-rule: 1\n-- id: a\n", b"\xef\xbb\xbf-- triage-rule: 1"]
)
def test_a_plain_rule_is_named_after_its_text(source: bytes) -> None:
    rule = rulefile.parse(source)
    assert not rule.has_header
    assert rule.body == source
    assert kinds.RULE_ID.fullmatch(rule.header.id)
    assert rule.header.id == rulefile.parse(source).header.id
    assert rule.header.id != rulefile.parse(source + b" ").header.id


@pytest.mark.parametrize("changes", [{"id": "A b"}, {"risk": "tiny"}, {"hit_limit": 0}, {"hit_limit": -3}])
def test_nothing_is_written_that_could_not_be_read(changes: dict[str, str | int]) -> None:
    with pytest.raises(TriageError):
        rulefile.with_header(rulefile.parse(rulefile.compose(FULL, BODY)), **changes)


@pytest.mark.parametrize("key", ["Bad Key", "id", "a:b", "x\n-- y", ""])
def test_an_extra_key_that_could_not_be_read_is_refused(key: str) -> None:
    with pytest.raises(TriageError):
        rulefile.format_header(RuleHeader(id="a", extra={key: "v"}))


def test_the_rule_host_gets_syscall_id_and_limit_from_name_and_header() -> None:
    source = rulefile.compose(FULL, BODY)
    rule = rulefile.to_source("syscall/openat@fix-openat-3f2a91c0.lua", source, "/rules")
    assert (rule.syscall, rule.id, rule.hit_limit, rule.rules_dir) == ("openat", FULL.id, 3, "/rules")
    assert rulefile.to_source("_newselect.lua", BODY).syscall == "_newselect"
    for name in ("../x.lua.txt", "openat", "Open At.lua", "openat@.lua", "openat@a@b.lua", ".lua"):
        with pytest.raises(TriageError):
            rulefile.to_source(name, source)


@pytest.mark.parametrize(
    "line",
    ["budget: hits=3", "budget: wall-ms=-1", "budget: wall-ms=1 wall-ms=2", "budget: 5", "on-failure: maybe"],
)
def test_a_budget_that_is_none_is_named_by_line(line: str) -> None:
    with pytest.raises(TriageError, match=r"^line 3: "):
        rulefile.parse(f"-- triage-rule: 1\n-- id: a\n-- {line}\n".encode())


def test_the_rule_host_gets_the_budget_of_the_header() -> None:
    text = b"-- triage-rule: 1\n-- id: a\n-- budget: memory-kb=64 wall-ms=250\n-- on-failure: closed\n"
    budget = rulefile.to_source("open.lua", text).budget
    assert budget == Budget(memory_bytes=64 << 10, wall_seconds=0.25, on_failure="closed")
