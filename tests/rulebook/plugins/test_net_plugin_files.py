"""What netif, unixpeer and clock take, what they say of themselves, and what they refuse with its line."""

from __future__ import annotations

import pytest

from triage_tui.rulebook.check.explained import explained
from triage_tui.rulebook.check.lint import lint
from triage_tui.rulebook.rulefile import to_source

HEADER = b"-- triage-rule: 1\n-- id: fix-1\n-- hit-limit: 5\n-- risk: low\n\n"
PEER = """return { path = "/run/x.sock", greeting = { { u32 = 7 }, "hi" }, replies = {
  { equals = "bye", hang_up = true },
  { starts = { { be16 = 1 } }, reply = { { echo = { 0, 4 } } }, once = true },
  { reply = "what?" },
} }"""


def told(plugin: str, table: str) -> list[tuple[int, str]]:
    """Return what a configuration says of itself, with the lines of the table."""
    name = f"plugin/{plugin}@fix-1.lua"
    source = HEADER + table.encode()
    assert lint(source, name) == []
    to_source(name, source)
    return [(deed.line - 5, deed.does) for deed in explained(name, source).deeds]


def test_interfaces_are_explained() -> None:
    table = """return { routes = true, interfaces = {
  { name = "eth0", address = "10.0.0.1", index = 2 },
  { name = "wlan0", link = false } } }"""
    assert told("netif", table) == [
        (2, "lets the program find the interface eth0: address 10.0.0.1, link, number 2"),
        (
            3,
            "lets the program find the interface wlan0: no address, no link, the number of lo",
        ),
        (1, "says that setting routes worked"),
    ]


def test_a_peer_is_explained() -> None:
    assert told("unixpeer", PEER) == [
        (1, "connects /run/x.sock to a peer of the engine"),
        (1, "greets with 2 parts"),
        (2, 'takes what equals "bye" and hangs up'),
        (3, "answers what starts 1 part with 1 part once"),
        (4, 'answers any other message with "what?"'),
    ]


def test_a_clock_is_explained() -> None:
    assert told("clock", 'return { at = "1999-12-31T23:59:58Z", settable = false, rtc = true }') == [
        (1, "shows the program the time 1999-12-31T23:59:58Z and what follows"),
        (1, "lets the program find a hardware clock (/dev/rtc, /dev/rtc0, /dev/misc/rtc)"),
    ]
    times = [told("clock", f"return {{ offset = {offset}, settable = false }}") for offset in (0, 1, -90)]
    assert [text for ((_, text),) in times] == [
        "shows the program the machine's time",
        "shows the program a time 1 second ahead",
        "shows the program a time 90 seconds behind",
    ]


@pytest.mark.parametrize(
    ("plugin", "table", "line", "why"),
    [
        ("netif", "return { interfaces = { } }", 1, "at least 1"),
        ("netif", 'return { interfaces = {\n { name = "a b" } } }', 2, "the name of an interface"),
        (
            "netif",
            'return { interfaces = { { name = "e",\n address = "1.2.3.256" } } }',
            2,
            "an IPv4 address",
        ),
        ("netif", 'return { interfaces = { { name = "e",\n hardware = "0" } } }', 2, "a hardware address"),
        ("netif", 'return { interfaces = { { name = "e" },\n { name = "e" } } }', 2, "there twice"),
        ("netif", 'return { interfaces = { { name = "e",\n netmask = "1.2.3.4" } } }', 2, "needs an address"),
        ("netif", 'return { interfaces = { {\n name = "lo" } } }', 2, "there already"),
        ("netif", 'return { interfaces = { {\n name = "." } } }', 2, "no interface can have"),
        ("netif", 'return { interfaces = { {\n name = "..", real = true } } }', 2, "no interface can have"),
        ("unixpeer", "return { }", 1, "one of `path`, `abstract` and `address`"),
        (
            "unixpeer",
            'return { path = "/a",\n abstract = "b" }',
            1,
            "one of `path`, `abstract` and `address`",
        ),
        ("unixpeer", 'return {\n path = "a" }', 2, "an absolute path"),
        ("unixpeer", 'return {\n address = "127.0.0.1" }', 2, "an IPv4 address and a port"),
        ("unixpeer", 'return {\n address = "127.0.0.1:65536" }', 2, "no such port"),
        ("unixpeer", 'return { path = "/a",\n hangs_up = true, greeting = "x" }', 2, "says nothing"),
        (
            "unixpeer",
            'return { path = "/a", replies = {\n { equals = "a", starts = "b" } } }',
            2,
            "only one of",
        ),
        ("unixpeer", 'return { path = "/a", replies = {\n { reply = { { } } } } }', 2, "one of u8, i8"),
        (
            "unixpeer",
            'return { path = "/a", replies = { {\n equals = { { echo = { 0, 1 } } } } } }',
            2,
            "only a reply",
        ),
        ("unixpeer", 'return { path = "/a", replies = { { reply =\n { { u8 = 256 } } } } }', 2, "<= 255"),
        ("unixpeer", 'return { path = "/a", replies = { {\n reply = 5 } } }', 2, "a text or a list"),
        ("clock", "return { }", 1, "either `at` or `offset`"),
        ("clock", 'return {\n at = "2001-02-30T00:00:00Z" }', 2, "no such date"),
        ("clock", 'return {\n at = "yesterday" }', 2, "a time of UTC"),
        ("clock", "return { offset = 5,\n stands = true }", 2, "only a time"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(plugin: str, table: str, line: int, why: str) -> None:
    (finding,) = lint(HEADER + table.encode(), f"fix/plugin/{plugin}@fix-1.lua")
    assert (finding.severity, finding.line) == ("error", line + 5)
    assert why in finding.message
