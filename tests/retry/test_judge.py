from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.runs.build import failed_open, write_run
from triage_tui.retry.judging.earlier_rounds import past_of
from triage_tui.retry.judging.faked import masked_calls
from triage_tui.retry.judging.judge import judge
from triage_tui.runs.call_signatures import signature
from triage_tui.runs.diagnosis_model import Diagnosis, Evidence, Hypothesis
from triage_tui.runs.evidence import make_link
from triage_tui.runs.model import Loop, Probe, RuleHit, StartSetting, Statistics, Syscall
from triage_tui.runs.reader import Run, load_run

MISSING = failed_open(3, "/etc/x.conf")


def ok(seq: int, name: str, **fields: Any) -> Syscall:
    return Syscall(seq=seq, name=name, ret=0, **fields)


def make(
    tmp_path: Path, calls: list[Syscall], healthy: bool = False, cites: int | None = None, **fields: Any
) -> Run:
    run = load_run(write_run(tmp_path, calls, **fields))
    evidence = [Evidence(link=make_link(run, "syscall", cites), says="it failed")] if cites else []
    hypothesis = Hypothesis(
        cause="missing_file", proximate="missing_file", confidence=0.9, title="t", evidence=evidence
    )
    diagnosis = Diagnosis(
        run_id=run.run_id, scene="missing_resource", headline="h", healthy=healthy, hypotheses=[hypothesis]
    )
    (run.dir / "diagnosis.json").write_bytes(msgspec.json.encode(diagnosis))
    return load_run(run.dir)


@pytest.fixture
def before(tmp_path: Path) -> Run:
    return make(tmp_path, [ok(1, "brk"), ok(2, "socket"), MISSING], cites=3)


def test_a_signature_ignores_addresses_and_descriptors() -> None:
    first = Syscall(
        seq=1,
        name="ioctl",
        args=[3, 0x8933, 0x7FFF],
        request="SIOCGIFINDEX",
        interface="lan0",
        errno="ENODEV",
    )
    second = Syscall(
        seq=9,
        name="ioctl",
        args=[5, 0x8933, 0x1234],
        request="SIOCGIFINDEX",
        interface="lan0",
        errno="ENODEV",
    )
    assert signature(first) == signature(second) == "ioctl(SIOCGIFINDEX lan0) ENODEV"


def test_new_calls_after_the_failure_are_progress(tmp_path: Path, before: Run) -> None:
    after = make(
        tmp_path,
        [
            ok(1, "brk"),
            ok(2, "socket"),
            ok(3, "openat", path="/etc/x.conf"),
            ok(4, "bind", peer="inet:0.0.0.0:80"),
        ],
        reason="idle",
        exit_code=None,
    )
    verdict = judge(before, after)
    assert verdict.word == "progressed"
    assert "bind(inet:0.0.0.0:80) ok" in verdict.novel
    assert verdict.rung == "new_branch"


def test_the_next_missing_file_is_progress_although_the_end_is_the_same(tmp_path: Path, before: Run) -> None:
    after = make(
        tmp_path,
        [ok(1, "brk"), ok(2, "socket"), ok(3, "openat", path="/etc/x.conf"), failed_open(4, "/etc/y.conf")],
        cites=4,
    )
    assert judge(before, after).word == "progressed"


def test_waiting_for_a_lock_of_64_bits_of_time_is_no_ground(tmp_path: Path, before: Run) -> None:
    calls = [ok(1, "brk"), ok(2, "socket"), MISSING, ok(4, "futex_time64"), ok(5, "sched_yield")]
    verdict = judge(before, make(tmp_path, calls, cites=3))
    assert not verdict.novel
    assert verdict.rung == "runs"


def test_the_same_failure_is_sideways(tmp_path: Path, before: Run) -> None:
    after = make(tmp_path, [ok(1, "brk"), ok(2, "socket"), ok(3, "getuid32"), MISSING], cites=3)
    verdict = judge(before, after)
    assert verdict.word == "sideways"
    assert "same failure" in verdict.reasons[0]


def test_a_new_crash_with_less_done_is_regressed(tmp_path: Path, before: Run) -> None:
    after = make(tmp_path, [ok(1, "brk")], reason="signal", exit_code=None)
    assert judge(before, after).word == "regressed"


def test_a_healthy_end_is_resolved(tmp_path: Path, before: Run) -> None:
    after = make(
        tmp_path,
        [ok(1, "brk"), ok(2, "listen")],
        healthy=True,
        reason="idle",
        exit_code=None,
        statistics=Statistics(listening=["0.0.0.0:80"]),
    )
    verdict = judge(before, after)
    assert verdict.word == "resolved"
    assert verdict.rung == "listens"


def test_what_a_rule_answered_is_no_progress_and_is_named(tmp_path: Path, before: Run) -> None:
    forged = ok(3, "ioctl", request="SIOCGIFINDEX", interface="lan0", intercepted=True, rule="fix-ioctl-1")
    after = make(tmp_path, [ok(1, "brk"), ok(2, "socket"), forged, MISSING], cites=3)
    verdict = judge(before, after)
    assert verdict.word == "sideways"
    assert not verdict.novel
    assert masked_calls(after) == ["ioctl(SIOCGIFINDEX lan0) answered by rule fix-ioctl-1"]


def test_answers_that_hide_a_real_interface_are_told_first(tmp_path: Path) -> None:
    start = [StartSetting(rule="real", setting="interfaces", says="network interface eth1 lan0")]
    calls = [
        ok(seq, "ioctl", request="SIOCGIFINDEX", interface=name, intercepted=True, rule="table")
        for seq, name in enumerate(("lan0", "lan1", "lan0"), 1)
    ]
    hidden = "network interface lan0 was really there, and hidden: what the program was told of it is made up"
    assert masked_calls(make(tmp_path, calls, start_settings=start))[:2] == [
        f"{hidden} by rule table",
        "ioctl(SIOCGIFINDEX lan0) answered by rule table, 2 times",
    ]


def test_what_earlier_rounds_reached_is_not_new(tmp_path: Path, before: Run) -> None:
    more = [ok(1, "brk"), ok(2, "socket"), ok(3, "listen")]
    second = make(tmp_path, more, parent_run=before.run_id)
    third = make(tmp_path, [ok(1, "brk"), MISSING], cites=3, parent_run=second.run_id)
    after = make(tmp_path, more, parent_run=third.run_id)
    verdict = judge(third, after, past_of(tmp_path, third, after))
    assert (verdict.word, verdict.novel, verdict.regained) == ("sideways", [], [])
    assert verdict.compared_with == 3


def test_after_a_resume_only_later_calls_count(tmp_path: Path) -> None:
    loop = [failed_open(seq, "/var/log/messages") for seq in range(2, 6)]
    before = make(tmp_path, [ok(1, "brk"), *loop], cites=2, reason="sleep_loop", exit_code=None)
    after = make(
        tmp_path,
        [ok(1, "brk"), *loop, ok(6, "openat", path="/var/log/messages"), ok(7, "read"), ok(8, "write")],
        reason="sleep_loop",
        exit_code=None,
    )
    verdict = judge(before, after, how="resume")
    assert verdict.word == "progressed"
    assert verdict.how == "resume"


def test_time_over_without_news_is_inconclusive(tmp_path: Path, before: Run) -> None:
    after = make(tmp_path, [ok(1, "brk"), ok(2, "socket")], reason="time_limit", exit_code=None)
    assert judge(before, after).word == "inconclusive"


def test_using_what_a_rule_supplied_is_no_progress_when_the_end_is_the_same(
    tmp_path: Path, before: Run
) -> None:
    supplied = ok(3, "openat", path="/etc/x.conf", rule="fix-openat-1")
    after = make(tmp_path, [ok(1, "brk"), ok(2, "socket"), supplied, ok(4, "dup2"), ok(5, "read")])
    verdict = judge(before, after)
    assert verdict.word == "sideways"
    assert verdict.rung == "runs"
    assert verdict.reasons[0] == "the failure is passed: openat(/etc/x.conf) ENOENT"
    assert "led to no new" in verdict.reasons[1]


def test_asking_whether_a_file_is_a_terminal_is_no_progress(tmp_path: Path, before: Run) -> None:
    asked = Syscall(seq=4, name="ioctl", request="TCGETS", ret=-25, errno="ENOTTY")
    after = make(
        tmp_path, [ok(1, "brk"), ok(2, "socket"), ok(3, "openat", path="/etc/x.conf", rule="r"), asked]
    )
    assert judge(before, after).word == "sideways"


def test_other_output_before_the_same_end_is_progress(tmp_path: Path, before: Run) -> None:
    after = make(tmp_path, [ok(1, "brk"), ok(2, "socket"), ok(3, "read")])
    (after.dir / "logs" / "guest.log").write_bytes(b"no configuration\nline 7 of x.conf is wrong\nbye\n")
    verdict = judge(before, after)
    assert verdict.word == "progressed"
    assert "line 7 of x.conf is wrong" in verdict.reasons[0]


def test_other_last_words_behind_a_failure_that_is_gone_are_progress(tmp_path: Path, before: Run) -> None:
    answered = ok(3, "openat", path="/etc/x.conf", rule="fix", intercepted=True)
    after = make(tmp_path, [ok(1, "brk"), ok(2, "socket"), answered])
    assert judge(before, after).word == "sideways"
    (after.dir / "logs" / "guest.log").write_bytes(b"There must be at least 1 upstream.\n")
    verdict = judge(before, after)
    assert (verdict.word, verdict.novel) == ("progressed", [])
    assert "at least 1 upstream" in verdict.reasons[0]


def test_a_loop_of_other_calls_is_another_place(tmp_path: Path) -> None:
    def looping(calls: list[Syscall], names: list[str], **more: Any) -> Run:
        loop = Loop(period=2, repeats=3, first_seq=2, last_seq=7, names=names)
        return make(tmp_path, calls, reason="sleep_loop", exit_code=None, loop=loop, **more)

    first = looping([ok(1, "brk"), failed_open(2, "/var/log/messages")], ["nanosleep", "openat"], cites=2)
    second = looping([ok(1, "brk"), ok(2, "read")], ["nanosleep", "read"])
    assert judge(first, second).word == "progressed"


def test_a_rule_that_was_used_up_is_told(tmp_path: Path, before: Run) -> None:
    hit = RuleHit(
        rule="fix-openat-1", hits=16, syscall="openat", limit=16, disabled="hit limit of 16 reached"
    )
    after = make(tmp_path, [ok(1, "brk"), ok(2, "socket"), MISSING], cites=3, rule_hits=[hit])
    assert "rule fix-openat-1 was switched off: hit limit of 16 reached" in judge(before, after).reasons


def test_a_rule_directory_that_was_switched_off_is_told_once(tmp_path: Path, before: Run) -> None:
    hits = [
        RuleHit(rule=f"sfemu:{name}", hits=0, syscall=name, disabled="it took too long", layer="sfemu")
        for name in ("openat", "rseq")
    ]
    after = make(tmp_path, [ok(1, "brk"), ok(2, "socket"), MISSING], cites=3, rule_hits=hits)
    told = [reason for reason in judge(before, after).reasons if "switched off" in reason]
    assert told == ["the rule directory of SFEmu was switched off: it took too long"]


def test_a_service_that_answers_now_is_progress_on_a_rung_of_its_own(tmp_path: Path, before: Run) -> None:
    answer = Probe(target="tcp 127.0.0.1:80", outcome="answered", detail="tcp 127.0.0.1:80 spoke first")
    silent = Probe(target="tcp 127.0.0.1:80", outcome="silent")
    calls = [ok(1, "brk"), ok(2, "socket")]
    statistics = Statistics(listening=["0.0.0.0:80"])
    for probes, word, rung in (([answer], "progressed", "answers"), ([silent], "sideways", "listens")):
        after = make(tmp_path, calls, reason="idle", exit_code=None, probes=probes, statistics=statistics)
        verdict = judge(before, after)
        assert (verdict.word, verdict.rung) == (word, rung)


def test_runs_of_two_programs_do_not_compare(tmp_path: Path) -> None:
    def of(arch: str, digest: str, *calls: Syscall) -> Run:
        run = make(tmp_path, list(calls))
        target = msgspec.structs.replace(run.snapshot.target, program="/th", arch=arch, program_sha256=digest)
        snapshot = msgspec.structs.replace(run.snapshot, target=target)
        (run.dir / "snapshot.json").write_bytes(msgspec.json.encode(snapshot))
        return load_run(run.dir)

    first = of("ppc", "11", ok(1, "brk"))
    again = of("ppc", "11", ok(1, "brk"), failed_open(2, "/etc/y"))
    other = of("i386", "22", ok(1, "brk"), failed_open(2, "/etc/y"))
    assert judge(first, again).word == "progressed"
    verdict = judge(first, other)
    assert (verdict.word, verdict.rung, verdict.novel) == ("inconclusive", "runs", [])
    assert verdict.reasons[0].startswith(
        "/th is another file than in the run before (it was for ppc and is for"
    )
    # A process that goes on is the same program, whatever it executes meanwhile.
    assert "another file" not in " ".join(judge(first, other, how="resume").reasons)


def test_failures_that_went_away_are_no_loss(tmp_path: Path) -> None:
    lookups = [failed_open(seq, f"/usr/bin/{seq}") for seq in range(2, 6)]
    before = make(tmp_path, [ok(1, "brk"), *lookups], cites=2)
    assert judge(before, make(tmp_path, [ok(1, "brk")], exit_code=3)).word == "sideways"
    # What worked and is missing is.
    before = make(tmp_path, [ok(seq, f"call{seq}") for seq in range(1, 6)])
    assert judge(before, make(tmp_path, [ok(1, "call1")])).word == "regressed"


def test_a_program_that_is_really_started_is_new_ground_although_a_rule_helped(tmp_path: Path) -> None:
    refused = Syscall(seq=2, name="execve", path="/bin/cat", ret=-8, errno="ENOEXEC")
    before = make(tmp_path, [ok(1, "brk"), refused], cites=2)
    started = ok(2, "execve", path="/bin/cat", rule="start-1")
    after = make(tmp_path, [ok(1, "brk"), started], exit_code=2)
    assert judge(before, after).word == "progressed"
    started.intercepted = True
    faked = make(tmp_path, [ok(1, "brk"), started], exit_code=2)
    assert judge(before, faked).word == "sideways"


def test_a_busy_loop_that_waits_now_is_progress(tmp_path: Path) -> None:
    reads = [ok(seq, "read") for seq in range(1, 5)]
    loop = Loop(period=1, repeats=4, first_seq=1, last_seq=4, names=["read"])
    before = make(tmp_path, reads, reason="loop", exit_code=None, loop=loop)
    waiting = [Syscall(seq=1, name="read", tid=4), ok(2, "brk", tid=2)]
    verdict = judge(before, make(tmp_path, waiting, reason="idle", exit_code=None))
    assert verdict.word == "progressed"
    assert verdict.reasons[0] == "the busy loop is gone: read, which was repeated without a pause, waits now"
    other = [Syscall(seq=1, name="futex", tid=4)]
    assert judge(before, make(tmp_path, other, reason="idle", exit_code=None)).word == "sideways"


def test_to_wait_where_it_ended_before_is_progress_once_the_failure_is_passed(tmp_path: Path) -> None:
    """cron makes its reboot file with a rule's help, and sleeps then: no call of that is a new one."""
    failed = Syscall(seq=2, name="creat", path="/run/crond.reboot", ret=-2, errno="ENOENT")
    before = make(tmp_path, [ok(1, "brk"), failed], cites=2, exit_code=0)
    made = ok(2, "creat", path="/run/crond.reboot", rule="fix")
    waits = Syscall(seq=3, name="clock_nanosleep")
    after = make(tmp_path, [ok(1, "brk"), made, waits], reason="idle", exit_code=None)
    after.snapshot.trigger.syscall_name = "clock_nanosleep"
    verdict = judge(before, after)
    assert verdict.word == "progressed"
    assert verdict.reasons[:2] == [
        "the failure is passed: creat(/run/crond.reboot) ENOENT",
        "it waits in clock_nanosleep; before, it exits with 0",
    ]
    # Nothing of that is believed of a program that fails there as before, or only computes.
    again = make(tmp_path, [ok(1, "brk"), failed, waits], cites=2, reason="idle", exit_code=None)
    assert judge(before, again).word == "sideways"
    after.snapshot.trigger.spinning = True
    assert judge(before, after).word == "sideways"


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        (["busybox", "cat", "/x"], ["busybox", "echo", "hi"], "inconclusive"),
        (["busybox", "cat", "/x"], ["busybox", "cat", "/y"], "progressed"),
        (["x", "-a"], ["x", "-b", "/y"], "progressed"),
        (["x"], ["x", "/y"], "progressed"),
        (["x"], ["y"], "inconclusive"),
    ],
)
def test_another_command_is_no_progress(
    tmp_path: Path, before: Run, first: list[str], second: list[str], word: str
) -> None:
    after = make(tmp_path, [ok(1, "brk"), ok(2, "socket"), ok(3, "bind", peer="inet:0.0.0.0:80")])
    before.snapshot.target.argv, after.snapshot.target.argv = first, second
    verdict = judge(before, after)
    assert verdict.word == word
    assert bool(verdict.novel) == (word == "progressed")


def test_to_leave_a_loop_by_its_failure_and_to_say_something_else_is_progress(tmp_path: Path) -> None:
    """`while ! mkdir /run/x/y; do :; done; echo ...`: the same calls, of which one does not fail any more."""
    failed = Syscall(seq=2, name="mkdir", path="/run/x/y", ret=-2, errno="ENOENT")
    loop = Loop(period=1, repeats=90, first_seq=2, last_seq=2, names=["mkdir"])
    before = make(tmp_path, [ok(1, "brk"), failed], cites=2, reason="loop", exit_code=None, loop=loop)
    made = ok(2, "mkdir", path="/run/x/y", rule="fix")
    after = make(tmp_path, [ok(1, "brk"), made], reason="exit", exit_code=1, guest_output="logs/guest.log")
    silent = judge(before, after)
    (after.dir / "logs").mkdir(exist_ok=True)
    (after.dir / "logs/guest.log").write_text("error: no config\n")
    verdict = judge(before, load_run(after.dir))
    assert (silent.word, verdict.word) == ("sideways", "progressed"), (silent, verdict)
    assert any("error: no config" in reason for reason in verdict.reasons)
