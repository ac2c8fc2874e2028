"""Hostile rules: each costs itself, never the run, never another rule, never a process left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.helpers import HELPERS
from triage_tui.rulehost.protocol import GuestCall
from triage_tui.rulehost.sources import Limits, RuleSource

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
    "pattern bomb by gsub": "return 1, #(('a'):rep(60)):gsub(('a*'):rep(30) .. 'b', '')",
    "pattern bomb by gmatch": "for _ in (('a'):rep(60)):gmatch(('a*'):rep(30) .. 'b') do end",
    "table.concat bomb": """
        local t = {} for i = 1, 4096 do t[i] = ('x'):rep(65536) end return 1, #table.concat(t)""",
    "table.unpack over a huge range swallowed": """
        while true do pcall(table.unpack, {}, 1, 1e6) end""",
    "string doubled without end": "local s = 'x' while true do s = s .. s end",
    "gsub that multiplies": """
        local s = ('x'):rep(1 << 16) for i = 1, 8 do s = s:gsub('x', ('x'):rep(64)) end return 1, 0""",
    "format over huge strings": """
        local s = ('x'):rep(1 << 20) return 1, #string.format(('%s'):rep(200), table.unpack(
            (function() local t = {} for i = 1, 200 do t[i] = s end return t end)()))""",
    "goto loop": "::again:: goto again",
    "goto loop with swallowed errors": "::again:: pcall(error) goto again",
    "repeat loop in a comparison": """
        local t = setmetatable({}, {__lt = function() while true do end end}) return t < t""",
    "loop in tostring of print": """
        print(1, setmetatable({}, {__tostring = function() while true do end end}))
        return tostring(setmetatable({}, {__tostring = function() while true do end end}))""",
    "loop in __name and __index of the result": """
        return setmetatable({}, {__eq = function() while true do end end}) ==
               setmetatable({}, {__eq = function() while true do end end})""",
    "loop in __len for table functions": """
        table.insert(setmetatable({}, {__len = function() while true do end end}), 1)""",
    "loop in __pairs": """
        for _ in pairs(setmetatable({}, {__pairs = function() while true do end end})) do end""",
    "recursion swallowed without end": """
        local function f() pcall(f) pcall(f) end f() while true do end""",
    "error handler that recurses": """
        local function f() return xpcall(error, f) end while true do f() end""",
    "garbage without end": "while true do local t = {{}, {}, ('x'):rep(100)} end",
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
    "os.time": "os.time()",
    "os.getenv": "os.getenv('HOME')",
    "io.popen": "io.popen('id')",
    "package.loaded": "package.loaded.os.exit()",
    "debug.setmetatable": "debug.setmetatable('', nil)",
    "load with an environment": "load('x = 1', 'x', 't', {})",
    "collectgarbage by count": "collectgarbage('count')",
    "environment through a closure": "_ENV = {} c_log('x')",
    "metatable of the environment": "getmetatable(_ENV).__index = nil return c_log('x') + 1",
    "finalizer added later": """
        local m = {} local t = setmetatable({}, m) m.__gc = function() while true do end end
        t = nil setmetatable({}, {__gc = true})""",
    "table.concat over numbers": "return 1, #table.concat({}, 'x' , 1, math.maxinteger - 1)",
    "string.pack of a huge size": "return 1, #string.pack(('!16 s8'):rep(100), table.unpack({}, 1, 100))",
    "format width": "string.format('%1000d', 1)",
    "format precision": "string.format('%.1000f', 1)",
    "unpack of too much": "table.unpack({}, 1, 1e7)",
    "table.move from nothing": "table.move(nil, 1, 2, 3)",
    "utf8 of what is none": "utf8.codepoint('\\xff\\xfe', 1, -1)",
    "deep nesting in a pattern": "string.find(('('):rep(5000), ('('):rep(5000))",
    "re-entrance through a handler": "do_syscall()",
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


def test_a_finalizer_that_is_slipped_in_later_never_runs() -> None:
    # Lua marks an object for finalization when its metatable is set: a __gc that comes later is nothing.
    body = """
        local m = {} setmetatable({}, m) m.__gc = function() c_log("finalized") while true do end end
        local junk for i = 1, 20000 do junk = {i} end
        return 0, 0"""
    with RuleHost([rule(body)], MemoryGuest(), LIMITS) as host:
        for _ in range(3):
            answer = host.call(CALL)
            assert (answer.error, answer.log) == (None, [])


def test_the_helper_tables_of_one_rule_are_its_own() -> None:
    source = b"""local rawset, g = rawset, _G for name in next, g do rawset(g, name, nil) end
        function do_syscall() return 0, 0 end"""
    spoiler = RuleSource("attack", "open", source)
    with RuleHost([spoiler, GOOD], MemoryGuest(), LIMITS) as host:
        assert host.call(CALL).rule == "good"
        assert [hit.disabled for hit in host.hits()] == [None, None]


HELPER_CALLS = """
    local strings = {"", "\\0", "\\xff\\xfe", ("\\0"):rep(5000), "a\\0b", "\\27]52;c;x\\7", "%s%n"}
    strings[#strings + 1] = ("x"):rep(1 << 20)
    local numbers = {0, -1, 1, math.mininteger, math.maxinteger, 2^53, 0.5, 1/0, 0/0, 1 << 31, 1 << 32}
    local values = {}
    for _, v in ipairs(strings) do values[#values + 1] = v end
    for _, v in ipairs(numbers) do values[#values + 1] = v end
    values[#values + 1] = true
    values[#values + 1] = {}
    values[#values + 1] = print
"""


def test_every_helper_takes_every_argument_and_answers_or_errs() -> None:
    # One rule for each helper, so that the budget of one is not another one's.
    limits = Limits(requests=4096, log_lines=4096)
    for name in sorted(HELPERS):
        body = (
            HELPER_CALLS
            + f"""
            for _, first in ipairs(values) do
                pcall({name}, first) pcall({name}, 1, first) pcall({name}, 'x', first)
                pcall({name}, 1, 1, first) pcall({name}, 'x', 1, first) pcall({name}, first, first, first)
            end
            return 0, 0"""
        )
        guest = MemoryGuest()
        guest.map(0, b"x\0")
        with RuleHost([rule(body), GOOD], guest, limits) as host:
            answer = host.call(CALL)
            assert answer.rule in ("good", "attack"), name
            assert answer.error is None, (name, answer.error)
            assert [hit.disabled for hit in host.hits()] == [None, None], name


@pytest.mark.parametrize(
    ("body", "ret"),
    [
        ("return 1, math.maxinteger", -1),
        ("return 1, math.mininteger", 0),
        ("return 1, 2^63", 0),
        ("return 1, {}", 0),
        ("return 1, ('x'):rep(1 << 20)", 0),
        ("return table.unpack({1, 5}, 1, 100000)", 5),
        ("return 1, -4096", -4096),
    ],
)
def test_what_a_rule_returns_is_one_word_of_the_guest(body: str, ret: int) -> None:
    with RuleHost([rule(body)], MemoryGuest(), LIMITS) as host:
        answer = host.call(CALL)
        assert (answer.error, answer.intercept, answer.ret) == (None, True, ret)


def test_log_lines_are_bytes_that_were_cut_and_made_text() -> None:
    body = "c_log('\\xff\\0\\27[2J' .. ('y'):rep(1 << 19)) return 0, 0"
    with RuleHost([rule(body)], MemoryGuest(), LIMITS) as host:
        (line,) = host.call(CALL).log
    assert line.startswith("\\xff\0\x1b[2J")
    assert len(line) < 600


def test_a_rule_that_asks_for_a_call_inside_its_call_gets_none() -> None:
    body = "local rc = c_do_syscall(5, 0x1000) return 1, rc"
    with RuleHost([rule(body), GOOD], MemoryGuest(), LIMITS) as host:
        assert host.call(CALL).ret == -89


def test_a_text_that_is_too_long_is_named_as_that() -> None:
    long = RuleSource("long", "open", b"--" + b"x" * 5_000_000 + b"\nfunction do_syscall() return 1, 2 end")
    with RuleHost([long, GOOD], MemoryGuest(), LIMITS) as host:
        assert host.call(CALL).rule == "good"
        disabled = str(host.hits()[0].disabled)
    assert disabled == "its text is too long: 5000040 bytes, at most 4128768 are allowed"
