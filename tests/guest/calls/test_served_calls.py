"""Which pieces of the emulator's log are held, and what they tell."""

from __future__ import annotations

import time

import pytest

from triage_tui.guest.arch import Arch, by_name, known_names
from triage_tui.guest.calls.served_calls import log_lengths, read_piece
from triage_tui.guest.freezing.triggers import failure_text

ARCHES = [by_name(name) for name in known_names()]
ERRORS = {"socket": "EPROTONOSUPPORT", "setsockopt": "ENOPROTOOPT", "getsockopt": "EOPNOTSUPP"}
"""As linux-user/syscall.c has them."""
ANNOUNCED = {
    "setsockopt": b"Unsupported setsockopt level=%d optname=%d\n",
    "getsockopt": b"getsockopt level=%d optname=%d not yet supported\n",
}
OPTIONS = [(1, 77), (0, 7), (65535, 4097), (270, 12), (-1, 77)]
UPTIMES = [5_000.0, 33_000.0, 500_000.0, 5_000_000.0]
"""One for each count of digits that makes a reading of the clock as long as a failure."""


@pytest.mark.parametrize("uptime", UPTIMES)
@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
def test_a_hooked_socket_option_is_always_told_in_time(
    monkeypatch: pytest.MonkeyPatch, arch: Arch, uptime: float
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: uptime)
    for name, announced in ANNOUNCED.items():
        for logs_calls in (True, False):
            lengths = log_lengths(arch, [name], logs_calls)
            failure = failure_text(arch, ERRORS[name])
            for option in OPTIONS:
                # Without a log of calls there is the line only.
                told = [announced % option, *([failure] if logs_calls else [])]
                assert any(len(piece) in lengths and _is_about(arch, piece, name) for piece in told)


@pytest.mark.parametrize("uptime", UPTIMES)
@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
def test_what_is_logged_all_the_time_is_not_held(
    monkeypatch: pytest.MonkeyPatch, arch: Arch, uptime: float
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: uptime)
    reading = b"{tv_sec = %d,tv_nsec = 123456789}" % int(uptime)
    for names in ((), ("ioctl",), ("setsockopt", "getsockopt")):
        lengths = log_lengths(arch, names)
        assert len(failure_text(arch, "ENOENT")) not in lengths
        if names != ("setsockopt", "getsockopt"):
            assert len(reading) not in lengths


@pytest.mark.parametrize("uptime", UPTIMES)
@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
def test_an_option_of_ip_is_told_by_its_failure_alone(
    monkeypatch: pytest.MonkeyPatch, arch: Arch, uptime: float
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: uptime)
    failure = failure_text(arch, "ENOPROTOOPT")
    assert len(failure) in log_lengths(arch, ["getsockopt"])
    assert _is_about(arch, failure, "getsockopt")


def test_few_lengths_are_held_for_hooked_socket_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: UPTIMES[0])
    arm = by_name("arm")
    assert len(log_lengths(arm, ["setsockopt", "getsockopt"]) - log_lengths(arm)) <= 3


@pytest.mark.parametrize(("name", "error"), [*ERRORS.items(), ("getsockopt", "ENOPROTOOPT")])
@pytest.mark.parametrize("arch", ARCHES, ids=lambda arch: arch.name)
def test_a_failure_tells_of_calls_on_sockets(arch: Arch, name: str, error: str) -> None:
    assert _is_about(arch, failure_text(arch, error), name)
    assert read_piece(arch, failure_text(arch, "ENOENT")) is None
    assert read_piece(arch, b'"' + failure_text(arch, error) + b'",') is None


def _is_about(arch: Arch, piece: bytes, name: str) -> bool:
    served = read_piece(arch, piece)
    return served is not None and name in served.names
