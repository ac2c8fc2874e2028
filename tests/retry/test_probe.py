"""Asking the service of a guest, in the guest's own network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.guest.helpers import QUICK, shell, spec
from tests.programs import root_with
from triage_tui.errors import TriageError
from triage_tui.guest.freezing.stops import Stop
from triage_tui.guest.supervisor import Guest
from triage_tui.retry.probe import Question, parse_question, prober, targets
from triage_tui.runs.model import Probe

Rootfs = Callable[[str], Path]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("tcp:80", Question("tcp", 80)),
        ("http:80", Question("http", 80, "/")),
        ("http:8080/a/b?c", Question("http", 8080, "/a/b?c")),
        ("http:80/index.html=Log in = now", Question("http", 80, "/index.html", "Log in = now")),
        ("cmd:curl -f 127.0.0.1:80", Question("cmd", command="curl -f 127.0.0.1:80")),
    ],
)
def test_questions_are_read_as_they_are_written(text: str, question: Question) -> None:
    assert parse_question(text) == question


@pytest.mark.parametrize("text", ["", "tcp", "tcp:0", "tcp:70000", "tcp:80/x", "udp:53", "http:x", "cmd: "])
def test_what_is_no_question_is_refused(text: str) -> None:
    with pytest.raises(TriageError, match="no probe"):
        parse_question(text)


def test_what_listens_is_asked_once_for_each_port() -> None:
    listening = ["0.0.0.0:80", "[::]:80", "127.0.0.1:23", "udp 0.0.0.0:67", "unix:/x", "[::1]:8080"]
    assert targets(listening) == [("127.0.0.1", 23), ("127.0.0.1", 80), ("::1", 8080)]
    assert len(targets(f"0.0.0.0:{port}" for port in range(1, 99))) < 10


def run(
    root: Path, qemu_dir: Path, argv: tuple[str, ...], *questions: str, **triggers: float
) -> tuple[Stop, list[Probe]]:
    how = msgspec.structs.replace(QUICK, **triggers)
    asker = prober(map(parse_question, questions))
    with Guest.start(spec(root, qemu_dir, *argv, triggers=how), prober=asker) as guest:
        stop = guest.run_until_stop()
        assert guest.problems == []
        return stop, guest.probes


@pytest.fixture
def web_root(rootfs: Rootfs, tmp_path: Path) -> Path:
    for name, content in (
        ("bin/busybox", (rootfs("busybox-armhf") / "bin/busybox").read_bytes()),
        ("www/index.html", b"<h1>welcome</h1>\n"),
        ("dev/null", b""),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    (tmp_path / "bin/busybox").chmod(0o755)
    return tmp_path


def commands() -> set[bytes]:
    """The words with which all processes of this machine were started."""
    found: set[bytes] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.update(path.read_bytes().split(b"\0"))
    return found


LEFT_BEHIND = 4000000 + os.getpid()
"""Seconds that nothing else sleeps."""
HTTPD = ("/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/www")


def test_a_web_server_is_found_and_answers(web_root: Path, qemu_dir: Path) -> None:
    stop, probes = run(web_root, qemu_dir, HTTPD, stable_s=0.2)
    assert (stop.reason, stop.loop) == ("idle", None)
    assert "its service is well" in stop.trigger.detail
    assert stop.trigger.syscall_name == "accept"
    (probe,) = probes
    assert (probe.again, probe.later) == ("answered", "answered")
    assert probe.later_ms > 200
    assert (probe.outcome, probe.asked, probe.status) == ("answered", False, 200)
    assert "welcome" in probe.reply
    assert probe.received > len(b"<h1>welcome</h1>\n")


@pytest.mark.parametrize(
    ("question", "outcome", "status"),
    [
        ("http:80/index.html=welcome", "answered", 200),
        ("http:80/index.html=good bye", "wrong", 200),
        ("http:80/absent", "wrong", 404),
        ("tcp:81", "refused", None),
        # The guest's network, not this machine's: nothing else listens there.
        ("cmd:test $(wc -l < /proc/net/tcp6) = 2", "answered", 0),
        pytest.param(
            f"cmd:setsid sleep {LEFT_BEHIND} & sleep 0.2; exit 5", "wrong", 5, id="leaves-a-process"
        ),
    ],
)
def test_a_person_s_question(
    web_root: Path, qemu_dir: Path, question: str, outcome: str, status: int | None
) -> None:
    stop, probes = run(web_root, qemu_dir, HTTPD, question)
    assert stop.reason == "idle"
    assert [(probe.outcome, probe.status, probe.asked) for probe in probes] == [(outcome, status, True)]
    assert ("its service is well" in stop.trigger.detail) == (outcome == "answered")
    # Also what is in a session of its own ends with the command.
    assert str(LEFT_BEHIND).encode() not in commands()


def test_a_server_that_looks_for_clients_again_and_again_is_no_dead_loop(
    qemu_dir: Path, tmp_path: Path
) -> None:
    stop, probes = run(root_with(tmp_path, "arm", "polls"), qemu_dir, ("/bin/polls",))
    assert (stop.reason, stop.loop) == ("idle", None)
    assert [(probe.outcome, probe.reply) for probe in probes] == [("answered", "hello\n")]


def test_a_loop_that_takes_no_connection_is_one(qemu_dir: Path, tmp_path: Path) -> None:
    stop, probes = run(root_with(tmp_path, "arm", "polls"), qemu_dir, ("/bin/polls", "deaf"), idle_s=10)
    assert stop.reason == "sleep_loop"
    assert stop.loop is not None
    assert [probe.outcome for probe in probes] == ["silent"]


@pytest.mark.parametrize(
    ("how", "detail", "spinning", "call"),
    [
        ("spins", "spinning: no syscall for ", True, ""),
        ("stalls", "blocked in read for ", False, "read"),
        ("closes", "its service is well: ", False, "accept"),
        ("polls", "its service is well: ", False, "poll"),
    ],
)
def test_who_took_a_client_and_answers_nothing_is_looked_at_where_it_is_then(
    qemu_dir: Path, tmp_path: Path, how: str, detail: str, spinning: bool, call: str
) -> None:
    stop, probes = run(root_with(tmp_path, "arm", "takes"), qemu_dir, ("/bin/takes", how))
    assert (stop.reason, stop.trigger.syscall_name) == ("idle", call)
    assert stop.trigger.detail.startswith(detail)
    assert bool(stop.trigger.spinning) == spinning
    assert [probe.outcome for probe in probes] == ["accepted"]
    assert "does not take it" not in probes[0].detail


def test_who_takes_clients_and_misses_something_in_each_round_is_not_well(
    qemu_dir: Path, tmp_path: Path
) -> None:
    stop, probes = run(root_with(tmp_path, "arm", "takes"), qemu_dir, ("/bin/takes", "fails"))
    assert stop.reason == "sleep_loop"
    assert "accepted" in {probe.outcome for probe in probes}


def test_a_service_that_speaks_first(web_root: Path, qemu_dir: Path) -> None:
    argv = ("/bin/busybox", "nc", "-ll", "-p", "2121", "-e", "/bin/busybox", "echo", "220 ready")
    stop, probes = run(web_root, qemu_dir, argv)
    assert stop.reason == "idle"
    assert [(probe.target, probe.outcome, probe.reply) for probe in probes] == [
        ("tcp 127.0.0.1:2121", "answered", "220 ready\n")
    ]


def test_who_serves_one_client_is_frozen_while_it_has_it(web_root: Path, qemu_dir: Path) -> None:
    asker = prober([])
    argv = ("/bin/busybox", "nc", "-l", "-p", "5555")
    with Guest.start(spec(web_root, qemu_dir, *argv), prober=asker) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.ended) == ("idle", False)
        assert [probe.outcome for probe in guest.probes] == ["accepted"]
        # We hang up then, and it ends as it would with any client.
        end = guest.run_until_stop()
        assert (end.reason, end.exit_code) == ("exit", 0)


def test_the_service_is_asked_at_the_time_limit_too(web_root: Path, qemu_dir: Path) -> None:
    stop, probes = run(web_root, qemu_dir, HTTPD, idle_s=60, time_limit_s=1)
    assert stop.reason == "time_limit"
    assert [(probe.outcome, probe.status) for probe in probes] == [("answered", 200)]


def test_who_listens_nowhere_is_not_asked(web_root: Path, qemu_dir: Path) -> None:
    stop, probes = run(web_root, qemu_dir, shell("while :; do :; done"))
    assert (stop.reason, probes) == ("idle", [])


def test_an_exit_is_never_probed(web_root: Path, qemu_dir: Path) -> None:
    stop, probes = run(web_root, qemu_dir, ("/bin/busybox", "true"), "tcp:80")
    assert (stop.reason, stop.exit_code, probes) == ("exit", 0, [])
