"""One sentence for a rule, and the match of its header."""

from __future__ import annotations

import pytest

from triage_tui.rulebook.check.explain import Match, parse_match, sentence
from triage_tui.rulebook.rulefile import RuleHeader, format_header, parse
from triage_tui.runs.model import Syscall

BODY = b"\nfunction do_syscall() return 0, 0 end\n"


def rule(**fields: object) -> bytes:
    return format_header(RuleHeader(id="a", **fields)).encode() + BODY  # type: ignore[arg-type]


SENTENCES = [
    (
        rule(match="openat path=/etc/snmp/snmpd.conf", template="provide_file", hit_limit=8),
        "Answers openat of /etc/snmp/snmpd.conf by letting it find the file, at most 8 times,"
        " in this target only.",
    ),
    (
        rule(match="ioctl interface=lan0 request=SIOCGIFINDEX", template="interface_answers", hit_limit=1),
        "Answers ioctl SIOCGIFINDEX for lan0 as if the interface were there, at most 1 time,"
        " in this target only.",
    ),
    (
        rule(match="read", template="observe_calls"),
        "Writes every read to the log and changes nothing, as often as it is made, in this target only.",
    ),
    (
        rule(match="read peer=inet:10.0.0.1:80", effect="it gets an end of file."),
        "At read to inet:10.0.0.1:80: it gets an end of file, as often as it is made, in this target only.",
    ),
    # A match of another syscall, or in words, is none.
    (
        rule(match="openat path=/x", intent="see", hit_limit=2),
        "Is asked at every read, to see, at most 2 times, in this target only.",
    ),
    (
        BODY,
        "Is asked at every read in this target; without a header only its text tells more.",
    ),
]


@pytest.mark.parametrize(("source", "expected"), SENTENCES)
def test_a_rule_in_one_sentence(source: bytes, expected: str) -> None:
    syscall = next((name for name in ("openat", "ioctl") if f"{name} " in expected[:20]), "read")
    assert sentence(parse(source), syscall) == expected


def test_hostile_values_are_shown_as_escapes() -> None:
    source = b"-- triage-rule: 1\n-- id: a\n-- effect: it's \\x1b[31m fine\n" + BODY
    assert "\x1b" not in sentence(parse(source), "read")


MATCHES = [
    ("read", Match("read", {})),
    ("openat path=/a b/c peer=x", Match("openat", {"path": "/a b/c", "peer": "x"})),
    ("openat path=", Match("openat", {"path": ""})),
    ("setsockopt detail=263,8", Match("setsockopt", {"detail": "263,8"})),
    ("ioctl(fd, SIOCGIFINDEX)", None),
    ("read all of it", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), MATCHES)
def test_the_match_of_a_header(text: str, expected: Match | None) -> None:
    assert parse_match(text) == expected


def test_calls_are_held_against_the_match() -> None:
    match = parse_match("openat path=/etc/x\\x1b")
    assert match is not None
    assert match.holds(Syscall(seq=1, name="openat", path="/etc/x\x1b"))
    assert not match.holds(Syscall(seq=1, name="openat", path="/etc/x"))
    assert match.holds(Syscall(seq=1, name="openat", path="/etc/x")) is False
    assert match.holds(Syscall(seq=1, name="openat")) is None
    assert not match.holds(Syscall(seq=1, name="open", path="/etc/x\x1b"))
    socket = Match("connect", {"path": "/run/x"})
    assert socket.holds(Syscall(seq=1, name="connect", peer="unix:/run/x"))
    assert socket.holds(Syscall(seq=1, name="connect", peer="unix:/run/y")) is False
    assert socket.holds(Syscall(seq=1, name="connect", peer="inet:10.0.0.1:80")) is False
    assert Match("read", {"peer": "unix:/run/x"}).holds(Syscall(seq=1, name="read")) is None
    assert Match("read", {"detail": "1", "path": "/x"}).unknown == ["detail"]
