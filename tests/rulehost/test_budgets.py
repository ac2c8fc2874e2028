"""What one rule may use, and the account that is kept of it."""

from __future__ import annotations

import time

import pytest

from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import GuestCall
from triage_tui.rulehost.rule_state import RuleState
from triage_tui.rulehost.sources import Budget, Limits, RuleSource
from triage_tui.runs.model import RuleHit

CALL = GuestCall("open", 5, (0x1000,))
SPIN = "for i = 1, 100000 do end return 1, 7"


def rule(body: str, name: str = "r", limit: int | None = None, **budget: object) -> RuleSource:
    source = f"function do_syscall(num, a1) {body} end".encode()
    return RuleSource(name, "open", source, limit, budget=Budget(**budget))  # type: ignore[arg-type]


def accounts(host: RuleHost) -> dict[str, RuleHit]:
    return {hit.rule: hit for hit in host.hits()}


def test_a_rule_that_asks_for_less_gets_less_and_the_others_keep_theirs() -> None:
    rules = [rule(SPIN, "small", instructions=10_000), rule(SPIN, "large")]
    with RuleHost(rules, MemoryGuest()) as host:
        assert host.call(CALL).rule == "large"
        hits = accounts(host)
        assert hits["small"].disabled == "it used more than 10000 instructions"
        assert (hits["small"].state, hits["large"].state) == ("disabled", "active")


def test_memory_is_counted_for_each_rule() -> None:
    body = "return 1, #('x'):rep(4 << 20)"
    rules = [rule(body, "small", memory_bytes=1 << 20), rule(body, "large")]
    with RuleHost(rules, MemoryGuest()) as host:
        answer = host.call(CALL)
        assert (answer.rule, answer.ret) == ("large", 4 << 20)
        assert accounts(host)["small"].disabled == "it used up its memory"


def test_wall_time_is_counted_for_each_rule() -> None:
    bomb = "string.find(('a'):rep(30) .. 'b', ('a?'):rep(28) .. ('a'):rep(40))"
    with RuleHost([rule(bomb, wall_seconds=0.2), rule("return 1, 3", "good")], MemoryGuest()) as host:
        assert host.call(CALL).ret == 3
        assert accounts(host)["r"].disabled == "it took longer than 0.2 seconds"


class SlowGuest(MemoryGuest):
    """Each look at it takes a while."""

    def read_bytes(self, address: int, size: int) -> bytes:
        time.sleep(0.05)
        return super().read_bytes(address, size)


def test_what_a_rule_asks_for_may_not_take_for_ever() -> None:
    body = "for i = 1, 400 do c_read_bytes(0x1000, 1) end return 1, 7"
    rules = [rule(body), rule("return 1, 3", "good")]
    with RuleHost(rules, SlowGuest(), Limits(asking_seconds=0.2)) as host:
        assert host.call(CALL).ret == 3
        assert accounts(host)["r"].disabled == "what it asked for took longer than 0.2 seconds"
        assert host.call(CALL).ret == 3


@pytest.mark.parametrize(
    "wish",
    [
        {"instructions": 10**12},
        {"memory_bytes": 1 << 40},
        {"wall_seconds": 1e9},
        {"calls_per_second": 1 << 40},
    ],
)
def test_no_rule_gets_more_than_the_limits(wish: dict[str, int]) -> None:
    assert Limits().of(Budget(**wish)) == Limits()  # type: ignore[arg-type]


def test_a_rule_that_is_asked_too_often_is_skipped_and_comes_back() -> None:
    state = RuleState.of(rule(""), Limits(calls_per_second=4))
    assert [state.may_ask(100.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [state.may_ask(100.5) for _ in range(3)] == [True, True, False]
    # What is not used for long is not saved up beyond a second's worth.
    assert [state.may_ask(1000.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert (state.skipped, state.record().state) == (5, "throttled")


@pytest.mark.parametrize(("failure", "ret"), [("open", None), ("closed", -1)])
def test_a_skipped_call_is_made_or_refused_as_the_rule_says(failure: str, ret: int | None) -> None:
    with RuleHost([rule("return 1, 7", calls_per_second=1, on_failure=failure)], MemoryGuest()) as host:
        answers = [host.call(CALL) for _ in range(50)]
        hit = accounts(host)["r"]
    # How many of them fall into one second depends on the machine; all fifty never take fifty.
    assert hit.calls >= 1
    assert hit.skipped >= 1
    assert hit.calls + hit.skipped == 50
    assert hit.hits == hit.calls
    assert hit.state == "throttled"
    assert sum(answer.intercept and answer.ret == 7 for answer in answers) == hit.calls
    assert sum(answer.intercept and answer.ret == -1 for answer in answers) == (hit.skipped if ret else 0)


def test_one_rule_fails_closed_and_the_other_open() -> None:
    rules = [rule("error('x')", "open"), rule("error('x')", "closed", on_failure="closed")]
    with RuleHost(rules, MemoryGuest()) as host:
        answer = host.call(CALL)
        assert (answer.intercept, answer.ret, answer.rule) == (True, -1, "closed")
        assert [hit.on_failure for hit in host.hits()] == ["open", "closed"]


def test_rules_without_a_hit_limit_get_the_common_one() -> None:
    with RuleHost(
        [rule("return 1, 7"), rule("return 1, 8", "own", 5)], MemoryGuest(), Limits(hits=2)
    ) as host:
        assert [host.call(CALL).ret for _ in range(4)] == [7, 7, 8, 8]
        hits = accounts(host)
        assert (hits["r"].limit, hits["r"].state) == (2, "used_up")
        assert hits["own"].limit == 5


def test_the_account_tells_calls_hits_errors_and_time() -> None:
    source = b"local n = 0 function do_syscall() n = n + 1 if n == 2 then error('x') end return n == 3, 1 end"
    with RuleHost([RuleSource("r", "open", source)], MemoryGuest()) as host:
        for _ in range(3):
            host.call(CALL)
        hit = accounts(host)["r"]
    assert (hit.calls, hit.hits, hit.errors, hit.skipped, hit.state) == (3, 1, 1, 0, "active")
    assert 0 < hit.time_max_us <= hit.time_total_us


def test_a_wish_for_a_restart_is_on_record_and_the_call_goes_on() -> None:
    with RuleHost([rule("c_request_reexec('nvram\\n') return 0, 0")], MemoryGuest()) as host:
        answer = host.call(CALL)
        assert (answer.intercept, answer.error) == (False, None)
        hit = accounts(host)["r"]
        assert (hit.asked_restart, hit.hits) == ("nvram\n", 0)


SHARED = """
local function show(...)
    local parts = {}
    for i = 1, select('#', ...) do parts[i] = tostring((select(i, ...))) end
    c_log(table.concat(parts, ' '))
end
"""


def logs(host: RuleHost) -> list[str]:
    return host.call(CALL).log


def test_rules_share_values_and_a_restart_of_the_host_keeps_them() -> None:
    writer = rule(
        "c_shared_set('a', -5) c_shared_set('b', 'x\\0y') c_shared_set('c', 0.5) c_shared_set('d', false)",
        "w",
    )
    spoiler = rule(
        "while true do pcall(string.find, ('a'):rep(99), ('a?'):rep(50) .. ('a'):rep(99)) end", "s"
    )
    reader = rule(
        SHARED + "show(c_shared_get('a')) show(#c_shared_get('b')) show(c_shared_get('c')) "
        "show(c_shared_get('d')) show(c_shared_get('e')) show(math.type(c_shared_get('a')))",
        "r",
    )
    with RuleHost([writer, spoiler, reader], MemoryGuest(), Limits(wall_seconds=0.5)) as host:
        first = host.pid
        assert logs(host) == ["-5 0", "3", "0.5 0", "false 0", "nil -2", "integer"]
        assert host.pid != first


def test_what_rules_share_is_bounded() -> None:
    limits = Limits(shared_bytes=1000, shared_keys=3)
    body = (
        SHARED
        + """
        local set, large = c_shared_set, ('x'):rep(900)
        show(set('a', large .. large), set('a', large), set('b', large))
        show(set('a', nil), set('b', large), c_shared_get('a'))
        show(c_shared_set('c', 1), c_shared_set('d', 1), c_shared_set('e', 1), c_shared_set('d', 2))
        show(pcall(c_shared_set, ('k'):rep(257), 1))
        show((pcall(c_shared_set, 'k', {})))"""
    )
    with RuleHost([rule(body)], MemoryGuest(), limits) as host:
        assert logs(host) == ["-28 0 -28", "0 0 nil -2", "0 0 -28 0", "true -22", "false"]


def test_the_clock_is_that_of_the_call() -> None:
    body = SHARED + "show(c_get_timestamp()) show(c_get_timestamp())"
    with RuleHost([rule(body)], MemoryGuest()) as host:
        call = GuestCall("open", 5, (), ts_mono_ns=1_700_000_000_999_999_999 - host.clock_offset_ns)
        assert host.call(call).log == host.call(call).log == ["1700000001 0", "1700000001 1"]


@pytest.mark.parametrize("body", ["math.random()", "math.randomseed(1)", "os.time()", "os.clock()"])
def test_nothing_random_is_left(body: str) -> None:
    with RuleHost([rule(body)], MemoryGuest()) as host:
        assert host.call(CALL).error is not None
