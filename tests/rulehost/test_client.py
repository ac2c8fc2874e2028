"""RuleHost as the supervisor uses it: order, hits, limits, restarts and the end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.errors import TriageError
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import GuestCall
from triage_tui.rulehost.sources import Limits, RuleSource

OPEN = GuestCall("open", 5, (0x1000,))


def source(name: str, body: str, limit: int | None = None, syscall: str = "open") -> RuleSource:
    return RuleSource(name, syscall, f"function do_syscall(num, a1) {body} end".encode(), limit)


def test_the_first_rule_that_intercepts_wins() -> None:
    rules = [source("a", "return 0, 1"), source("b", "return 1, 2"), source("c", "c_log('no') return 1, 3")]
    with RuleHost(rules, MemoryGuest()) as host:
        answer = host.call(OPEN)
        assert (answer.rule, answer.ret, answer.log) == ("b", 2, [])
        assert [hit.hits for hit in host.hits()] == [0, 1, 0]


def test_only_the_rules_of_the_syscall_are_asked() -> None:
    with RuleHost([source("a", "return 1, 2", syscall="ioctl")], MemoryGuest()) as host:
        assert host.hooks() == {"ioctl"}
        assert not host.call(OPEN).intercept


def test_the_hit_limit_is_kept_by_the_host_and_not_by_the_rule() -> None:
    rules = [source("a", "return 1, 2", limit=2), source("b", "return 1, 9")]
    with RuleHost(rules, MemoryGuest()) as host:
        assert [host.call(OPEN).ret for _ in range(4)] == [2, 2, 9, 9]
        first = host.hits()[0]
        assert (first.hits, first.limit, first.disabled) == (2, 2, "hit limit of 2 reached")


def test_a_rule_that_changes_the_guest_and_passes_counts_as_a_hit() -> None:
    guest = MemoryGuest()
    with RuleHost([source("a", "c_provide_file('/etc/x', 'y') return 0, 0", limit=1)], guest) as host:
        answer = host.call(OPEN)
        assert (answer.intercept, answer.rule) == (False, "a")
        assert host.hits()[0].disabled
        assert host.hooks() == set()


def test_a_failed_effect_is_no_hit() -> None:
    guest = MemoryGuest()
    guest.files[b"/etc/x"] = (b"", 0)
    with RuleHost([source("a", "c_provide_file('/etc/x', 'y') return 0, 0", limit=1)], guest) as host:
        assert host.call(OPEN).rule is None
        assert host.hits()[0].hits == 0


def test_state_lives_from_call_to_call() -> None:
    rule = RuleSource("a", "open", b"local n = 0 function do_syscall() n = n + 1 return 1, n end")
    with RuleHost([rule], MemoryGuest()) as host:
        assert [host.call(OPEN).ret for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("ret", [-512, -513, -516, -4095, 0xFFFFFE00])
def test_an_error_number_for_kernels_alone_is_a_failure_of_the_rule(ret: int) -> None:
    after = f"function after_syscall() return 1, {ret} end"
    rules = [source("a", f"return 1, {ret}"), RuleSource("b", "open", after.encode())]
    with RuleHost(rules, MemoryGuest()) as host:
        answer = host.call(OPEN)
        assert (answer.intercept, answer.rule, answer.after) == (False, None, True)
        assert "which is no error number that a program can get" in (answer.error or "")
        changed = host.returned(OPEN, 3)
        assert (changed.intercept, changed.rule) == (False, None)
        assert "Rule b failed on open: it answered -" in (changed.error or "")
        assert [hit.hits for hit in host.hits()] == [0, 0]


@pytest.mark.parametrize("ret", [-511, -1133, -4096])
def test_error_numbers_of_drivers_and_of_mips_are_answers(ret: int) -> None:
    with RuleHost([source("a", f"return 1, {ret}")], MemoryGuest()) as host:
        assert host.call(OPEN).ret == ret


def test_a_lua_error_passes_the_call_and_only_many_switch_the_rule_off() -> None:
    with RuleHost([source("a", "error('no such luck')")], MemoryGuest(), Limits(errors=3)) as host:
        for count in range(1, 5):
            answer = host.call(OPEN)
            assert not answer.intercept
            if count <= 3:
                assert answer.error is not None
                assert "no such luck" in answer.error
        assert str(host.hits()[0].disabled).startswith("3 errors")


def test_a_host_that_is_killed_from_outside_comes_back_and_nobody_is_blamed() -> None:
    with RuleHost([source("a", "return 1, 2")], MemoryGuest()) as host:
        assert host.pid is not None
        os.kill(host.pid, signal.SIGKILL)
        os.waitid(os.P_PID, host.pid, os.WEXITED | os.WNOWAIT)
        assert host.call(OPEN).ret == 2
        assert host.hits()[0].disabled is None


def test_close_leaves_no_process_and_passes_every_call() -> None:
    host = RuleHost([source("a", "return 1, 2")], MemoryGuest())
    pid = host.pid
    host.close()
    host.close()
    assert not Path(f"/proc/{pid}").exists()
    assert not host.call(OPEN).intercept


def test_the_host_ends_when_its_client_is_gone() -> None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        host = RuleHost([source("a", "return 1, 2")], MemoryGuest())
        os.write(write_end, str(host.pid).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        pid = int(pipe.read())
    os.waitpid(child, 0)
    try:
        with open(os.pidfd_open(pid), "rb", buffering=0) as watched:
            import select

            assert select.select([watched], [], [], 20)[0], "the rule host outlived its client"
    except ProcessLookupError:
        pass


def test_calls_from_several_threads_do_not_mix() -> None:
    rule = source("a", "return 1, c_read_guest_u32(a1)")
    guest = MemoryGuest()
    for index in range(8):
        guest.map(0x1000 + 4 * index, index.to_bytes(4, "little"))
    wrong: list[int] = []
    with RuleHost([rule], guest) as host:

        def work(index: int) -> None:
            for _ in range(50):
                if host.call(GuestCall("open", 5, (0x1000 + 4 * index,))).ret != index:
                    wrong.append(index)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_guest_that_raises_costs_the_request_only() -> None:
    class Broken(MemoryGuest):
        def provide_file(self, path: bytes, content: bytes, mode: int) -> int:
            raise OSError(28, "No space left on device")

        def connect_peer(self, fd: int, mode: str) -> int:
            raise OSError(111, "host number that another port does not share")

    rule = source("a", "return 1, -c_provide_file('/x', '') * 100 - c_connect_peer(3)")
    with RuleHost([rule], Broken()) as host:
        assert host.call(OPEN).ret == 2805


def test_the_processor_time_of_a_long_run_is_not_held_against_a_rule() -> None:
    rule = source("a", "local s = 0 for i = 1, 300000 do s = s + i end return 1, 1")
    with RuleHost([rule], MemoryGuest(), Limits(cpu_seconds=1)) as host:
        for _ in range(1200):
            assert host.call(OPEN).ret == 1


def test_the_guards_are_named() -> None:
    with RuleHost([], MemoryGuest()) as host:
        status = host.status()
    assert status[0].startswith("Lua 5.")
    assert "seccomp filter" in status
    assert not any(line.startswith("missing") for line in status)


class FailingGuest(MemoryGuest):
    """Fails at the first look, in a way that no reply is made for."""

    def __init__(self, failure: BaseException) -> None:
        super().__init__()
        self.failure: BaseException | None = failure

    def resolve_address(self, address: int) -> Mapping[str, int | str] | None:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        return super().resolve_address(address)


FIRST_LOOKS = b"""function do_syscall(num, a1)
  if a1 == 1 then c_resolve_addr(0x1000) return 1, 111 end
  return 1, 1000 + a1
end"""


@pytest.mark.parametrize("failure", [TriageError("the process is gone"), ValueError("a fault")])
def test_a_fault_of_the_guest_is_an_error_for_the_rule(failure: Exception) -> None:
    with RuleHost([RuleSource("r", "open", FIRST_LOOKS)], FailingGuest(failure)) as host:
        answers = [host.call(GuestCall("open", 5, (value,))) for value in (1, 2, 3)]
        assert [answer.ret for answer in answers] == [111, 1002, 1003]


def test_after_an_interruption_no_call_gets_the_answer_of_another() -> None:
    with RuleHost([RuleSource("r", "open", FIRST_LOOKS)], FailingGuest(KeyboardInterrupt())) as host:
        with pytest.raises(KeyboardInterrupt):
            host.call(GuestCall("open", 5, (1,)))
        assert [host.call(GuestCall("open", 5, (value,))).ret for value in (2, 1, 3)] == [1002, 111, 1003]
