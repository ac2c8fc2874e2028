"""What is answered is asked again, and nothing that is asked outlasts its time or the guest."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from triage_tui.guest.freezing.suspicion import Line
from triage_tui.retry import probe as probing
from triage_tui.retry.probe import parse_question, prober
from triage_tui.runs.model import Probe

OK = b"HTTP/1.0 200 OK\r\n\r\nwelcome\n"
GONE = b"HTTP/1.0 404 Not Found\r\n\r\n"


class HereLine(Line):
    """A line whose guest is this machine."""

    def open_socket(self, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        return socket.socket(family, kind)


Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Give what starts a server that gives one reply after the other, and is gone then."""
    threads: list[threading.Thread] = []

    def start(*replies: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def work() -> None:
            with listener:
                for reply in replies:
                    client, _ = listener.accept()
                    with client:
                        client.recv(4096)
                        client.sendall(reply)

        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    for thread in threads:
        thread.join(10)


def ask(port: int, stable_s: float = 0.0, expect: str = "=welcome") -> Probe:
    line = HereLine([], os.getpid(), stable_s)
    (found,) = list(prober([parse_question(f"http:{port}/{expect}")])(line))
    assert line.is_answered.is_set()
    line.hang_up()
    return found


def test_who_answers_is_asked_again_and_after_the_agreed_time(serve: Serve) -> None:
    found = ask(serve(OK, OK, OK), 0.1)
    assert (found.outcome, found.again, found.later) == ("answered", "answered", "answered")
    assert found.later_ms > 100


@pytest.mark.parametrize(
    ("replies", "stable_s", "again", "later"),
    [
        ((OK, OK), 0.0, "answered", None),
        ((OK,), 0.1, "refused", None),
        ((OK, OK), 0.1, "answered", "refused"),
        # The right page the first time only.
        ((OK, GONE), 0.1, "wrong", None),
    ],
)
def test_who_answers_once_does_not_answer_twice(
    serve: Serve, replies: tuple[bytes, ...], stable_s: float, again: str, later: str | None
) -> None:
    found = ask(serve(*replies), stable_s)
    assert (found.outcome, found.again, found.later) == ("answered", again, later)


def test_what_was_not_answered_is_not_asked_again(serve: Serve) -> None:
    found = ask(serve(GONE))
    assert (found.outcome, found.again) == ("wrong", None)


def test_an_answer_that_never_comes_is_awaited_no_longer_than_the_guest_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "ANSWER_S", 1e6)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = HereLine([], os.getpid())
        threading.Timer(0.1, line.is_closed.set).start()
        question = parse_question(f"http:{listener.getsockname()[1]}/")
        (found,) = list(prober([question])(line))
        assert (found.outcome, found.again) == ("silent", None)
        line.hang_up()


def test_an_agreed_time_ends_with_the_guest(serve: Serve) -> None:
    line = HereLine([], os.getpid(), 1e6)
    port = serve(OK, OK)
    threading.Timer(0.3, line.is_closed.set).start()
    (found,) = list(prober([parse_question(f"http:{port}/")])(line))
    assert (found.again, found.later) == ("answered", None)


def command(text: str, *kept: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["/bin/sh", "-c", text],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=kept,
    )


@pytest.mark.parametrize(
    ("text", "reply", "why"),
    [
        ("echo fine", b"fine\n", ""),
        # What it leaves behind keeps its output open.
        ("sleep 1000 & echo fine", b"fine\n", ""),
        ("echo well; sleep 1000", b"well\n", "it took longer than 0.5 s"),
        ("exec 1>&- 2>&-; sleep 1000", b"", "it took longer than 0.5 s"),
    ],
)
def test_a_command_is_ended_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch, text: str, reply: bytes, why: str
) -> None:
    monkeypatch.setattr(probing, "COMMAND_S", 0.5)
    reading, writing = os.pipe()
    child = command(text, writing)
    os.close(writing)
    assert probing._await_command(HereLine([], os.getpid()), child) == (reply, why)
    with os.fdopen(reading, "rb") as kept:
        # Its end comes when nobody is left that could write there.
        assert kept.read() == b""


def test_the_flood_of_a_command_is_kept_to_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "COMMAND_S", 0.5)
    reply, why = probing._await_command(HereLine([], os.getpid()), command("while :; do echo 12345; done"))
    assert reply.startswith(b"12345\n")
    assert len(reply) <= probing.MAX_REPLY
    assert "longer than" in why


def test_a_command_ends_when_the_guest_is_frozen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probing, "COMMAND_S", 1e6)
    line = HereLine([], os.getpid())
    line.is_closed.set()
    assert probing._await_command(line, command("sleep 1000"))[1] == "the guest was frozen or gone"
