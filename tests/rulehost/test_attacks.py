"""Hostile rules: each costs itself, never the run, never another rule, never a process left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import GuestCall, Limits, RuleSource

LIMITS = Limits(wall_seconds=0.5)
CALL = GuestCall("open", 5, (0x1000, 0))
GOOD = RuleSource("good", "open", b"function do_syscall() return 1, -13 end")


def rule(body: str) -> RuleSource:
    return RuleSource("attack", "open", f"function do_syscall(num, a1, a2)\n{body}\nend".encode())


SWITCHED_OFF = {
    "endless loop": "while true do end",
    "budget error swallowed by pcall": "while true do pcall(function() while true do end end) end",
    "budget error swallowed by nested pcall": """
        local function spin() while true do end end
        local function deep(n) while true do pcall(n > 0 and deep or spin, n - 1) end end
        deep(20)""",
    "budget error swallowed by xpcall": """
        while true do xpcall(function() while true do end end, function() while true do end end) end""",
    "error handler without end": "xpcall(error, function() while true do end end)",
    "pattern bomb": """
        return string.find(("a"):rep(30) .. "b", ("a?"):rep(28) .. ("a"):rep(40))""",
    "pattern bomb swallowed": """
        pcall(string.find, ("a"):rep(30) .. "b", ("a?"):rep(28) .. ("a"):rep(40))
        return 1, 0""",
    "one C call without end": "table.move({}, 1, math.maxinteger - 1, 2)",
    "sort with a lying comparison": """
        local t = {} for i = 1, 100000 do t[i] = i end
        while true do pcall(table.sort, t, function() return true end) end""",
    "string.rep of 400 MB": "return 1, #string.rep('x', 400000000)",
    "table without end": "local t = {} for i = 1, math.huge do t[i] = ('x'):rep(1000) .. i end",
    "log flood": "for i = 1, 100000 do c_log(('x'):rep(10000)) end",
    "log flood swallowed": "while true do pcall(c_log, 'x') end",
    "request flood": "while true do c_read_guest_u32(0x1000) end",
    "endless metamethods": """
        local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end})
        while true do pcall(function() return t[1] end) end""",
}


@pytest.mark.parametrize("body", SWITCHED_OFF.values(), ids=SWITCHED_OFF)
def test_a_rule_that_takes_too_much_is_switched_off_and_the_others_go_on(body: str) -> None:
    guest = MemoryGuest()
    guest.map(0x1000, b"/etc/passwd\0")
    with RuleHost([rule(body), GOOD], guest, LIMITS) as host:
        answer = host.call(CALL)
        assert answer.intercept
        assert answer.ret == -13
        assert answer.rule == "good"
        assert answer.error is not None
        assert "attack" in answer.error
        attacked, good = host.hits()
        assert attacked.disabled
        assert attacked.hits == 0
        assert good.disabled is None
        again = host.call(CALL)
        assert (again.ret, again.error) == (-13, None)


FAILS = {
    "os.exit": "os.exit(3)",
    "os.execute": "os.execute('touch /tmp/owned')",
    "io.open": "io.open('/etc/passwd')",
    "dofile": "dofile('/etc/passwd')",
    "loadfile": "loadfile('/etc/passwd')",
    "require": "require('os')",
    "package.loadlib": "package.loadlib('libc.so.6', 'system')",
    "debug.getregistry": "debug.getregistry()",
    "debug.sethook": "debug.sethook()",
    "collectgarbage": "collectgarbage('stop')",
    "bytecode by string.dump": "string.dump(function() end)",
    "bytecode by method": "local s = '' return s.dump(function() end)",
    "load": "load('return 1')()",
    "load of bytecode": "load('\\27Lua')()",
    "coroutine": "coroutine.wrap(function() while true do end end)()",
    "python.eval": "python.eval('1')",
    "python.builtins": "python.builtins.open('/etc/passwd')",
    "finalizer": "setmetatable({}, {__gc = function() while true do end end})",
    "string metatable replaced": "setmetatable('', {})",
    "string metatable edited": "getmetatable('').__index = nil",
    "helper called with a function": "c_read_string(function() end)",
    "helper called with a table": "c_provide_file({}, {}, {})",
    "deep recursion": "local function f() return 1 + f() end return f()",
    "error value with metamethods": """
        error(setmetatable({}, {__tostring = function() while true do end end}))""",
}


@pytest.mark.parametrize("body", FAILS.values(), ids=FAILS)
def test_a_way_out_is_a_plain_error_of_the_rule(body: str) -> None:
    with RuleHost([rule(body), GOOD], MemoryGuest(), LIMITS) as host:
        process = host.pid
        answer = host.call(CALL)
        assert answer.rule == "good"
        assert answer.error is not None
        assert host.pid == process, "an attempt like this must not even reach the process"


def test_no_python_object_is_reachable_from_a_rule() -> None:
    walk = rule("""
        local seen, found = {}, {}
        local function visit(value, name)
            if type(value) == "userdata" or type(value) == "thread" then found[#found + 1] = name end
            if type(value) ~= "table" or seen[value] then return end
            seen[value] = true
            for key, inner in next, value do visit(key, name) visit(inner, name .. "." .. tostring(key)) end
            local ok, meta = pcall(getmetatable, value)
            if ok then visit(meta, name .. "#meta") end
        end
        visit(_G, "_G") visit(_ENV, "_ENV")
        for _, helper in next, _G do
            if type(helper) == "function" then
                local results = {pcall(helper, "?", "?", "?")}
                visit(results, "result")
            end
        end
        c_log("found " .. #found .. " " .. table.concat(found, " "))
        return 0, 0""")
    with RuleHost([walk], MemoryGuest(), LIMITS) as host:
        answer = host.call(CALL)
    assert answer.error is None
    assert answer.log[-1].strip() == "found 0"


def test_an_endless_loop_at_load_time_costs_only_that_rule() -> None:
    loops = RuleSource("attack", "open", b"while true do pcall(function() while true do end end) end")
    bomb = RuleSource("bomb", "open", b"string.find(('a'):rep(30)..'b', ('a?'):rep(28)..('a'):rep(40))")
    with RuleHost([loops, bomb, GOOD], MemoryGuest(), LIMITS) as host:
        assert host.call(CALL).rule == "good"
        disabled = {hit.rule: hit.disabled for hit in host.hits()}
    assert "instructions" in str(disabled["attack"])
    assert "longer than 0.5 seconds" in str(disabled["bomb"])
    assert disabled["good"] is None


def test_a_rule_cannot_ask_the_guest_while_it_is_loaded() -> None:
    early = RuleSource(
        "early", "open", b"local rc = c_provide_file('/x', 'y') function do_syscall() return 1, rc end"
    )
    guest = MemoryGuest()
    with RuleHost([early], guest, LIMITS) as host:
        assert host.call(CALL).ret == -1
    assert guest.files == {}


@pytest.mark.parametrize("source", [b"\x1bLuaS\x00", b"\x1bLua", b"\x00\x00", b"function do_syscall(", b""])
def test_what_is_no_rule_text_is_refused(source: bytes) -> None:
    with RuleHost([RuleSource("attack", "open", source), GOOD], MemoryGuest(), LIMITS) as host:
        assert host.call(CALL).rule == "good"
        assert host.hits()[0].disabled


def test_rules_do_not_share_a_world() -> None:
    spoiler = RuleSource(
        "spoiler",
        "open",
        b"string.format = nil; tostring = nil; _G.type = nil; "
        b"do_syscall = function() _G.next = nil return 0 end",
    )
    user = RuleSource("user", "open", b"function do_syscall() return 1, #string.format('%s', type(next)) end")
    with RuleHost([spoiler, user], MemoryGuest(), LIMITS) as host:
        assert host.call(CALL).ret == len("function")


def test_the_log_is_bounded_for_the_whole_run() -> None:
    limits = Limits(log_lines_per_run=5, log_line_bytes=10)
    with RuleHost([rule("c_log(('y'):rep(1000)) return 0, 0")], MemoryGuest(), limits) as host:
        lines = [line for _ in range(9) for line in host.call(CALL).log]
    assert lines == ["y" * 10] * 5


def test_fail_closed_refuses_the_call_and_every_later_one() -> None:
    limits = Limits(wall_seconds=0.5, on_failure="closed")
    with RuleHost([rule("while true do end")], MemoryGuest(), limits) as host:
        for _ in range(2):
            answer = host.call(CALL)
            assert (answer.intercept, answer.ret, answer.rule) == (True, -1, "attack")
        assert host.hooks() == {"open"}


def test_nothing_is_left_after_an_attack() -> None:
    with RuleHost([rule(SWITCHED_OFF["pattern bomb"])], MemoryGuest(), LIMITS) as host:
        first = host.pid
        host.call(CALL)
        host.call(CALL)
        second = host.pid
    for pid in (first, second):
        assert pid is None or not Path(f"/proc/{pid}").exists()
