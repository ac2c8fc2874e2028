"""A rule host process under an attacker's control: what it sends is checked, and it costs one rule."""

from __future__ import annotations

import pytest

from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.errors import TriageError
from triage_tui.rulehost import process
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import GuestCall
from triage_tui.rulehost.sources import Limits, RuleSource

# A program in the place of the real one: it greets and loads properly, then does `body` at the first run.
IMPOSTOR = """
import os, time
from triage_tui.rulehost import host, wire
channel = host.Channel({{}})
channel.receive()
channel.send(wire.Hello("Lua 5.3", [], []))
def ask(*arguments):
    channel.send(wire.Ask(*arguments))
    return channel.receive()
while True:
    message = channel.receive()
    if isinstance(message, wire.Run):
        {body}
    channel.send(wire.Done(""))
"""
RULE = RuleSource("r", "open", b"")
CALL = GuestCall("open", 5, ())


def run(monkeypatch: pytest.MonkeyPatch, body: str, guest: MemoryGuest | None = None) -> tuple[str, str]:
    monkeypatch.setattr(process, "_BOOTSTRAP", IMPOSTOR.format(body=body))
    with RuleHost([RULE], guest or MemoryGuest(), Limits(wall_seconds=1.0)) as host:
        answer = host.call(CALL)
        assert not answer.intercept
        return str(answer.error), str(host.hits()[0].disabled)


MISUSE = {
    "huge length": ("os.write(channel._descriptor, b'\\xff\\xff\\xff\\xff')", "too long"),
    "not msgpack": ("os.write(channel._descriptor, b'\\x02\\0\\0\\0\\xc1\\xc1')", "not allowed"),
    "wrong types": ("channel.send(wire.Done('', 7, 'x', None))", "not allowed"),
    "huge number": ("channel.send(wire.Ask('x', (b'x' * (5 << 20),)))", "too long"),
    "half a message": ("os.write(channel._descriptor, b'\\x09\\0\\0\\0x'); time.sleep(60)", "longer than"),
    "silence": ("time.sleep(60)", "longer than"),
    "exit": ("os._exit(9)", "status 9"),
    "second greeting": ("channel.send(wire.Hello('', [], []))", "greeted twice"),
    "log flood": ("[channel.send(wire.Log(b'x')) for _ in range(10000)]", "log lines"),
    "request flood": ("[ask('clock', ()) for _ in range(10000)]", "asked the guest too often"),
    "own kind": ("channel.send(wire.Done('made up', 'x' * 9999))", "x"),
}


@pytest.mark.parametrize(("body", "why"), MISUSE.values(), ids=MISUSE)
def test_misuse_of_the_channel_costs_the_rule(monkeypatch: pytest.MonkeyPatch, body: str, why: str) -> None:
    error, disabled = run(monkeypatch, body)
    assert why in error
    assert why in disabled
    assert len(error) < 700


def test_requests_with_wrong_arguments_are_answered_and_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = MemoryGuest()
    asks = """[ask(m, a) for m in ('provide_file', 'mkdir_p', 'open_host', 'open_bytes', 'read_bytes',
        'read_string', 'write_bytes', 'set_register', 'ifreq_set', 'connect_peer', '__class__', 'serve')
        for a in ((), (b'x',), (-1, -1, -1), (b'/../x', b'', 0), (1 << 63, 1 << 63), (b'\\xff' * 70,) * 4)]"""
    error, disabled = run(monkeypatch, asks.replace("\n", " "), guest)
    assert (error, disabled) == ("None", "None")
    assert guest.files == {}
    assert guest.directories == {}
    assert guest.peers == []


def test_a_process_that_cannot_start_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_BOOTSTRAP", "raise SystemExit({})")
    with pytest.raises(TriageError, match=r"^The rule host did not start: it ended with status \d+\.$"):
        RuleHost([RULE], MemoryGuest())
