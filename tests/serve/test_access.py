"""Who is let in, as a table."""

from __future__ import annotations

import pytest

from triage_tui.serve.access import Key, headers, is_loopback, is_same_origin


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:80", "localhost:8000", "LOCALHOST:8000", "[::1]:8000", "localhost"]
)
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            None,
            "",
            "attacker.test",
            "attacker.test:8000",
            "127.0.0.1.attacker.test",
            "localhost.attacker.test",
        ),
        *("attacker.test/127.0.0.1", "127.0.0.2", "0.0.0.0:80", "[::]:80", "127.0.0.1:80:80", "127.0.0.1:"),
        *(" 127.0.0.1", "127.0.0.1\n", "user@127.0.0.1", "127.0.0.1:999999", "127.0.0.1:٣"),
    ],
)
def test_other_names(host: str | None) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        ("http://127.0.0.1:8000", True),
        ("HTTP://127.0.0.1:8000", True),
        (None, False),
        ("null", False),
        ("", False),
        ("http://127.0.0.1:8001", False),
        ("http://localhost:8000", False),
        ("https://127.0.0.1:8000", False),
        ("http://attacker.test", False),
        ("http://127.0.0.1:8000.attacker.test", False),
    ],
)
def test_origins(origin: str | None, same: bool) -> None:
    assert is_same_origin(origin, "127.0.0.1:8000") is same


def test_a_key_fits_itself_alone_and_is_not_told() -> None:
    key = Key()
    assert key.fits(key.value)
    assert len(key.value) >= 43
    for other in (None, "", key.value[:-1], key.value + "x", Key().value, "\udcff", "ключ"):
        assert not key.fits(other)
    assert key.value not in repr(key)


def test_a_page_may_load_nothing_from_elsewhere() -> None:
    policy = headers("127.0.0.1:8000")["Content-Security-Policy"]
    rules = {name: sources for name, *sources in (rule.split() for rule in policy.split(";"))}
    assert rules["default-src"] == rules["frame-ancestors"] == ["'none'"]
    assert rules["script-src"] == ["'self'"]
    named = {source for sources in rules.values() for source in sources}
    assert named == {"'none'", "'self'", "'unsafe-inline'", "data:", "ws://127.0.0.1:8000"}


def test_no_answer_is_kept_or_tells_elsewhere_where_it_came_from() -> None:
    answer = headers("127.0.0.1:8000")
    # The first address holds the key: neither a cache nor a page that is gone to may have it.
    assert (answer["Cache-Control"], answer["Referrer-Policy"]) == ("no-store", "no-referrer")
