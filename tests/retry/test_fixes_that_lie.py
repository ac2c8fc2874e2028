"""A retry can look better than it is: each way in which a fix can lie gets the right word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.retry.test_judge import MISSING, make, ok
from tests.runs.build import failed_open
from triage_tui.retry.judging.earlier_rounds import past_of
from triage_tui.retry.judging.judge import is_well, judge
from triage_tui.runs.evidence import parse_link, resolve
from triage_tui.runs.model import LEFT_BEHIND, Loop, Probe, RuleHit, Statistics, Syscall, Trigger
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.verdict_model import Verdict

HTTP = "http 127.0.0.1:80/"
LISTENS = Statistics(listening=["0.0.0.0:80"])


def faked(seq: int, name: str, **fields: Any) -> Syscall:
    return ok(seq, name, intercepted=True, rule="lie", **fields)


def trigger(run: Run, **fields: Any) -> Run:
    """Return the run with another trigger."""
    snapshot = run.snapshot
    first: dict[str, Any] = {"seq": snapshot.trigger.seq, "syscall_name": snapshot.trigger.syscall_name}
    moment = Trigger(**{**first, "exit_code": snapshot.trigger.exit_code, **fields})
    changed = msgspec.structs.replace(snapshot, trigger=moment)
    (run.dir / "snapshot.json").write_bytes(msgspec.json.encode(changed))
    return load_run(run.dir)


def says(run: Run, output: bytes) -> Run:
    (run.dir / "logs" / "guest.log").write_bytes(output)
    return run


def check_links(run: Run, verdict: Verdict) -> None:
    """Every link of a verdict leads to evidence of the run that is judged."""
    assert len(verdict.links) == len(verdict.reasons)
    assert any(verdict.links), verdict.reasons
    for link in filter(None, verdict.links):
        assert resolve(run, parse_link(link)).holds, link


@pytest.fixture
def before(tmp_path: Path) -> Run:
    return make(tmp_path, [ok(1, "brk"), ok(2, "openat", path="/lib/libc.so.6"), MISSING], cites=3)


START = [ok(1, "brk"), ok(2, "openat", path="/lib/libc.so.6")]


def test_an_end_with_0_that_a_rule_alone_brought_about_is_not_resolved(tmp_path: Path, before: Run) -> None:
    after = make(tmp_path, [*START, faked(3, "openat", path="/etc/x.conf")], healthy=True, exit_code=0)
    verdict = judge(before, after)
    # The exit is passed, and nothing shows that the work was done.
    assert (verdict.word, verdict.rung, verdict.doubted) == ("progressed", "passed", True)
    assert "nothing from outside confirms it, and rules answered on the way: openat" in verdict.reasons[0]
    assert parse_link(verdict.links[0]).id == "3"
    assert verdict.masked == ["openat(/etc/x.conf) answered by rule lie"]
    assert not is_well(after, verdict)
    check_links(after, verdict)


def test_what_it_says_of_made_up_answers_confirms_nothing(tmp_path: Path, before: Run) -> None:
    answered = [*START, faked(3, "openat", path="/etc/x.conf"), ok(4, "openat", path="/etc/next")]
    verdict = judge(before, says(make(tmp_path, answered, healthy=True, exit_code=0), b"0 devices found\n"))
    assert (verdict.word, verdict.rung, verdict.doubted) == ("progressed", "new_branch", True)
    # What a rule supplied is there, and what the program does with it is its own.
    supplied = [*START, ok(3, "openat", path="/etc/x.conf", rule="fix"), answered[-1]]
    verdict = judge(before, make(tmp_path, supplied, healthy=True, exit_code=0))
    assert (verdict.word, verdict.rung, verdict.doubted) == ("resolved", "healthy_exit", False)
    idle = make(tmp_path, supplied[:-1], healthy=True, reason="idle", exit_code=None)
    verdict = judge(before, idle)
    assert verdict.word == "sideways"
    assert "nothing is different but what rules supplied" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("address", "word"),
    [("0.0.0.0:80", "resolved"), ("udp 0.0.0.0:68", "progressed"), ("unix:/x", "progressed")],
)
def test_a_server_behind_made_up_answers_must_be_reached(
    tmp_path: Path, before: Run, address: str, word: str
) -> None:
    calls = [*START, faked(3, "openat", path="/etc/x.conf"), ok(4, "openat", path="/etc/next")]
    at_rest: dict[str, Any] = {"healthy": True, "reason": "idle", "exit_code": None}
    after = make(tmp_path, calls, statistics=Statistics(listening=[address]), **at_rest)
    verdict = judge(before, after)
    assert (verdict.word, verdict.rung) == (word, "listens")


def test_an_end_with_0_before_the_work_is_done_is_regressed(tmp_path: Path) -> None:
    work = [ok(2, "openat", path="/etc/work"), ok(3, "connect", peer="unix:/run/x"), failed_open(4, "/etc/y")]
    before = make(tmp_path, [ok(1, "brk"), *work], cites=4)
    after = make(tmp_path, [ok(1, "brk"), faked(2, "getuid32")], healthy=True, exit_code=0)
    verdict = judge(before, after)
    assert verdict.word == "regressed"
    assert "connect(unix:/run/x) ok is missing" in verdict.reasons[1]
    assert verdict.rung == "passed"


def test_an_exit_code_that_a_rule_changed_is_none(tmp_path: Path, before: Run) -> None:
    end = Syscall(seq=4, name="exit_group", arguments=["0"], rule="lie")
    after = make(tmp_path, [*START, MISSING, end], healthy=True, exit_code=0)
    verdict = judge(before, trigger(after, seq=4))
    assert verdict.word == "sideways"
    assert "its exit code is not its own: exit_group is the answer of rule lie" in verdict.reasons[0]


def looping(tmp_path: Path, path: str, count: int = 1, **fields: Any) -> Run:
    """A loop of three rounds of openat and nanosleep; with `count` the paths have numbers."""
    calls = [ok(1, "brk")]
    for at in range(3):
        name = path.replace("#", str(at)) if count > 1 else path
        calls += [failed_open(2 + 2 * at, name), ok(3 + 2 * at, "nanosleep")]
    loop = Loop(period=2, repeats=3, first_seq=2, last_seq=7, names=["openat", "nanosleep"], sleeps=True)
    more = {"cites": 2, "loop": loop, **fields}
    return make(tmp_path, calls, reason="sleep_loop", exit_code=None, **more)


@pytest.mark.parametrize(
    ("then", "now", "count", "word"),
    [
        ("/dev/ttyUSB0", "/dev/ttyUSB1", 1, "sideways"),
        ("/run/a#", "/run/b#", 3, "sideways"),
        # The condition that it waited for is there, and it waits for the next one.
        ("/run/a.pid", "/run/b.pid", 1, "progressed"),
    ],
)
def test_a_loop_that_only_changes_its_argument(
    tmp_path: Path, then: str, now: str, count: int, word: str
) -> None:
    before, after = looping(tmp_path, then, count), looping(tmp_path, now, count)
    verdict = judge(before, after)
    assert verdict.word == word
    assert verdict.novel
    if word == "sideways":
        assert "goes round in the same calls, with other arguments" in verdict.reasons[0]
        assert verdict.rung == "runs"
    check_links(after, verdict)


@pytest.mark.parametrize("code", [0, 1])
def test_a_program_that_prints_its_usage_has_done_nothing(tmp_path: Path, before: Run, code: int) -> None:
    calls = [*START, ok(3, "openat", path="/etc/x.conf", rule="lie"), ok(4, "openat", path="/etc/new")]
    after = make(tmp_path, calls, healthy=code == 0, exit_code=code)
    verdict = judge(before, says(after, b"BusyBox v1.35\n\nUsage: x [-f] FILE\n"))
    assert verdict.word == "sideways"
    assert "explains its usage now" in verdict.reasons[0]
    assert "Usage: x [-f] FILE" in verdict.reasons[0]
    assert parse_link(verdict.links[0]).line == 3
    # Where it did so before, and its arguments were the reason, not to do so is progress.
    explained = says(make(tmp_path, START), b"Usage: x [-f] FILE\n")
    assert judge(explained, after).word == "progressed" if code else "resolved"


def test_the_same_place_with_another_errno_is_the_same_place(tmp_path: Path, before: Run) -> None:
    denied = failed_open(3, "/etc/x.conf", "EACCES", -13)
    after = make(tmp_path, [*START, denied], cites=3, exit_code=2)
    verdict = judge(before, after)
    assert verdict.word == "sideways"
    assert (
        verdict.reasons[0]
        == "the same call fails with another error: openat(/etc/x.conf) EACCES; before, ENOENT"
    )
    assert (verdict.before.errnos, verdict.after.errnos) == ({"ENOENT": 1}, {"EACCES": 1})
    # What comes behind it counts.
    further = make(tmp_path, [*START, denied, ok(4, "bind", peer="inet:0.0.0.0:80")], exit_code=2)
    assert judge(before, further).word == "progressed"


@pytest.fixture
def refused(tmp_path: Path) -> Run:
    """A server that could not bind."""
    bind = Syscall(
        seq=3, name="bind", arguments=["3"], peer="inet:10.0.0.1:80", ret=-99, errno="EADDRNOTAVAIL"
    )
    return make(tmp_path, [ok(1, "brk"), Syscall(seq=2, name="socket", ret=3), bind], cites=3)


@pytest.mark.parametrize("healthy", [False, True])
def test_a_faked_listen_is_no_service(tmp_path: Path, refused: Run, healthy: bool) -> None:
    calls = [
        ok(1, "brk"),
        Syscall(seq=2, name="socket", ret=3),
        faked(3, "bind", arguments=["3"], peer="inet:10.0.0.1:80"),
        faked(4, "listen", arguments=["3"]),
        Syscall(seq=5, name="accept", arguments=["3"], ret=-22, errno="EINVAL"),
    ]
    verdict = judge(refused, make(tmp_path, calls, healthy=healthy, reason="idle", exit_code=None))
    assert verdict.word == "sideways"
    assert "nobody can reach it: listen is the answer of rule lie" in " ".join(verdict.reasons)
    assert verdict.rung == "passed"


@pytest.mark.parametrize(("port", "word"), [(80, "resolved"), (34141, "progressed")])
def test_a_faked_bind_is_no_address(tmp_path: Path, refused: Run, port: int, word: str) -> None:
    bind = faked(3, "bind", arguments=["3"], peer="inet:10.0.0.1:80")
    calls = [ok(1, "brk"), Syscall(seq=2, name="socket", ret=3), bind, ok(4, "listen", arguments=["3"])]
    probe = Probe(target=f"http 127.0.0.1:{port}/", outcome="answered", status=200)
    listening = Statistics(listening=[f"0.0.0.0:{port}"])
    verdict = judge(refused, served(tmp_path, probe, calls=calls, statistics=listening))
    assert (verdict.word, verdict.rung) == (word, "answers")
    if word == "progressed":
        assert "it is not reached where it wants to be: bind(inet:10.0.0.1:80)" in verdict.reasons[0]


@pytest.mark.parametrize("healthy", [False, True])
def test_a_wait_for_a_peer_that_a_rule_made_up_is_no_wait_for_clients(tmp_path: Path, healthy: bool) -> None:
    def connect(**fields: Any) -> Syscall:
        return Syscall(seq=3, name="connect", arguments=["3"], peer="unix:/run/cfgd", **fields)

    first = [ok(1, "brk"), Syscall(seq=2, name="socket", ret=3)]
    before = make(tmp_path, [*first, connect(ret=-2, errno="ENOENT")], cites=3)
    waits = Syscall(seq=5, name="recv", arguments=["3"])
    calls = [*first, connect(ret=0, intercepted=True, rule="lie"), ok(4, "send", arguments=["3"]), waits]
    after = make(tmp_path, calls, healthy=healthy, reason="idle", exit_code=None)
    after = trigger(after, seq=5, syscall_name="recv")
    verdict = judge(before, after)
    assert verdict.word == "sideways"
    assert "it waits for what only a rule made up: connect(unix:/run/cfgd)" in " ".join(verdict.reasons)
    polls = Syscall(seq=5, name="poll", arguments=["{fd=3,events=POLLIN}", "1", "-1"])
    waiting = make(tmp_path, [*calls[:-1], polls], healthy=healthy, reason="idle", exit_code=None)
    assert judge(before, trigger(waiting, seq=5, syscall_name="poll")).word == "sideways"


def test_a_daemon_whose_child_dies_at_once_is_no_daemon(tmp_path: Path, before: Run) -> None:
    calls = [
        *START,
        ok(3, "openat", path="/etc/x.conf", rule="lie"),
        ok(4, "clone", pid=2),
        Syscall(seq=5, name="exit_group", pid=2, note=f"the first process ends with code 0, 1 {LEFT_BEHIND}"),
        ok(6, "setsid", pid=3),
    ]
    verdict = judge(before, make(tmp_path, calls, healthy=True, exit_code=0))
    assert verdict.word == "progressed"
    assert "what it left there ended, too" in verdict.reasons[0]
    assert verdict.rung == "new_branch"
    stays = make(tmp_path, calls, healthy=True, reason="idle", exit_code=None)
    assert judge(before, stays).word == "resolved"


SERVES = [*START, ok(3, "openat", path="/etc/x.conf"), ok(4, "listen")]


def served(tmp_path: Path, *probes: Probe, calls: list[Syscall] | None = None, **fields: Any) -> Run:
    more = {"reason": "idle", "exit_code": None, "healthy": True, "statistics": LISTENS, **fields}
    return make(tmp_path, SERVES if calls is None else calls, probes=list(probes), **more)


@pytest.mark.parametrize("status", [404, 500])
def test_a_probe_that_an_error_page_answers_is_no_answer(tmp_path: Path, before: Run, status: int) -> None:
    page = Probe(
        target=HTTP, outcome="answered", status=status, again="answered", later="answered", detail="a page"
    )
    after = served(tmp_path, page)
    verdict = judge(before, after)
    assert (verdict.word, verdict.rung) == ("progressed", "listens")
    assert "answers with an error page: a page" in verdict.reasons[0]
    assert parse_link(verdict.links[0]).kind == "probe"
    good = Probe(target="http 127.0.0.1:8080/", outcome="answered", status=200)
    assert judge(before, served(tmp_path, page, good)).rung == "answers"


@pytest.mark.parametrize(
    ("fields", "masks", "word", "rung"),
    [
        ({}, False, "resolved", "answers"),
        ({"again": "answered"}, False, "resolved", "answers_twice"),
        ({"again": "answered", "later": "answered", "later_ms": 2100}, True, "resolved", "stable"),
        ({"again": "answered", "later": "answered", "later_ms": 2100}, False, "resolved", "unmasked"),
        ({"again": "refused"}, False, "progressed", "answers"),
        ({"again": "answered", "later": "silent", "later_ms": 2100}, False, "progressed", "answers_twice"),
    ],
)
def test_the_rungs_of_a_service(
    tmp_path: Path, before: Run, fields: dict[str, Any], masks: bool, word: str, rung: str
) -> None:
    probe = Probe(target=HTTP, outcome="answered", status=200, **fields)
    calls = [*START, ok(3, "openat", path="/etc/x.conf", rule="fix" if masks else None), ok(4, "listen")]
    after = served(tmp_path, probe, calls=calls)
    verdict = judge(before, after)
    assert (verdict.word, verdict.rung) == (word, rung)
    assert verdict.after.rung == rung
    assert verdict.after.probes[0].startswith(f"{HTTP} answered (200)")
    if word == "progressed":
        assert "answered once, and not when it was asked" in verdict.reasons[0]


def test_all_that_a_person_asks_must_be_right(tmp_path: Path, before: Run) -> None:
    right = Probe(target=HTTP, outcome="answered", asked=True, status=200, again="answered")
    wrong = Probe(target="command true", outcome="wrong", asked=True, status=1)
    once = Probe(target="tcp 127.0.0.1:80", outcome="answered", asked=True)
    assert judge(before, served(tmp_path, right, wrong, healthy=False)).rung == "listens"
    assert judge(before, served(tmp_path, right, once)).rung == "answers"


def test_a_service_that_died_after_it_had_answered_stands_on_no_rung_of_a_service(
    tmp_path: Path, before: Run
) -> None:
    answered = Probe(target=HTTP, outcome="answered", status=200, again="answered")
    after = served(tmp_path, answered, reason="signal", healthy=False)
    verdict = judge(before, trigger(after, signal="SIGSEGV"))
    assert (verdict.word, verdict.rung) == ("progressed", "new_branch")
    assert "but it dies of SIGSEGV now" in verdict.reasons


def test_what_another_round_reached_is_progress_and_is_not_called_new(tmp_path: Path, before: Run) -> None:
    further = [*START, ok(3, "openat", path="/etc/x.conf"), ok(4, "bind", peer="inet:0.0.0.0:80")]
    other = make(tmp_path, further)
    first = make(tmp_path, [*START, MISSING], cites=3)
    after = make(tmp_path, further, parent_run=first.run_id)
    verdict = judge(first, after, past_of(tmp_path, first, after))
    assert (verdict.word, verdict.novel) == ("progressed", [])
    assert "bind(inet:0.0.0.0:80) ok" in verdict.regained
    assert f"reached before in run {other.run_id}" in verdict.reasons[0]
    assert verdict.compared_with == 3
    # A run of another target, and one that is younger, say nothing.
    make(tmp_path, [*further, ok(5, "listen")])
    assert past_of(tmp_path, first, after).rounds == 3


def at(seq: int, name: str, place: int, **fields: Any) -> Syscall:
    return ok(seq, name, pc=0x5000, return_address=0x400000 + place, **fields)


def test_code_that_was_not_reached_before_is_a_new_branch(tmp_path: Path) -> None:
    maps = [Mapping(start=0x400000, end=0x410000, perms="r-xp", offset=0x1000, path="/sbin/x")]
    before = make(tmp_path, [at(1, "socket", 0x10), at(2, "socket", 0x20)], maps=maps)
    moved = [Mapping(start=0x500000, end=0x510000, perms="r-xp", offset=0x1000, path="/sbin/x")]
    again = [ok(1, "socket", pc=0x5000, return_address=0x500010)]
    same = make(tmp_path, again, maps=moved, exit_code=3)
    assert judge(before, same).new_sites == []
    after = make(tmp_path, [*again, ok(2, "socket", return_address=0x500300)], maps=moved, exit_code=3)
    verdict = judge(before, after)
    assert verdict.new_sites == ["/sbin/x+0x1300 (socket)"]
    assert (verdict.word, verdict.before.call_sites, verdict.after.call_sites) == ("progressed", 2, 2)
    assert "1 place of the code made a call for the first time" in verdict.reasons[1]
    check_links(after, verdict)
    # Of calls that were not always seen with their place another place is none that is new.
    unseen = make(tmp_path, [*before.trace(), ok(3, "socket")], maps=maps)
    assert judge(unseen, after).new_sites == []
    # To end at the same place in the same way is none, whatever the way there was.
    assert judge(before, make(tmp_path, after.trace(), maps=moved)).word == "sideways"


def test_a_round_that_the_engine_could_not_carry_through_is_inconclusive(tmp_path: Path, before: Run) -> None:
    after = make(tmp_path, [ok(1, "brk")], reason="emulator", exit_code=None)
    verdict = judge(before, trigger(after, detail="the emulator failed: qemu: out of memory"))
    assert verdict.word == "inconclusive"
    assert "could not be carried through: the emulator failed" in verdict.reasons[0]


def test_each_reason_of_a_rule_leads_to_it(tmp_path: Path, before: Run) -> None:
    hits = [RuleHit(rule=name, hits=1, syscall="openat", disabled="it failed") for name in ("a", "b")]
    after = make(tmp_path, [*START, MISSING], cites=3, rule_hits=hits)
    verdict = judge(before, after)
    places = {reason: link for reason, link in zip(verdict.reasons, verdict.links, strict=True) if link}
    assert parse_link(places["rule b was switched off: it failed"]).id == "b"
    check_links(after, verdict)


def test_well_before_and_well_now(tmp_path: Path) -> None:
    calls = [ok(1, "brk"), faked(2, "getuid32")]
    before = make(tmp_path, calls, healthy=True, exit_code=0)
    after = make(tmp_path, calls, healthy=True, exit_code=0)
    verdict = judge(before, after)
    assert (verdict.word, verdict.rung) == ("sideways", "healthy_exit")
    assert verdict.reasons[0] == "it was well before, and is well now"
    assert is_well(after, verdict)
