"""The lint of what a rule does: results, writes, order, match. Mistakes are found, what is right is not."""

from __future__ import annotations

import pytest

from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check import lint
from triage_tui.rulebook.rulefile import RuleHeader

PATH_OF = (
    "local function path_of(p)\n local text, rc = c_read_string(p)\n if rc == 0 then return text end\nend\n"
)


def codes(syscall: str, body: str, arch: str = "", match: str = "") -> list[tuple[str, str]]:
    header = RuleHeader(id="a", hit_limit=1, risk="low", match=match)
    text = rulefile.format_header(header) + "\n" + body
    return [(one.severity, one.code) for one in lint.lint(text.encode(), f"{syscall}@a.lua", arch)]


def answer(value: str, condition: str = "a2 == 7") -> str:
    return (
        "function do_syscall(num, a1, a2, a3, a4, a5, a6)\n"
        f"  if {condition} then return 1, {value} end\n  return 0, 0\nend\n"
    )


E, W = "error", "warning"
RESULTS = [
    ("connect", "0", "", []),
    ("connect", "-c_errno('ECONNREFUSED')", "", []),
    ("connect", "c_errno('ECONNREFUSED')", "", [(E, "positive-errno")]),
    ("connect", "-c_errno('ECONNREFUSE')", "", [(E, "unknown-errno")]),
    ("connect", "-c_errno('EINIT')", "arm", [(E, "unknown-errno")]),
    ("connect", "-c_errno('EINIT')", "mips", []),
    ("connect", "-111", "", [(W, "errno-number")]),
    ("connect", "-111", "mips", [(E, "bad-result")]),
    ("connect", "-146", "arm", [(E, "bad-result")]),
    ("connect", "-146", "mips", [(W, "errno-number")]),
    ("connect", "-2", "", []),
    ("connect", "-512", "", [(E, "bad-result")]),
    ("connect", "-70000", "", [(E, "bad-result")]),
    ("connect", "5", "", [(E, "bad-result")]),
    ("connect", "'0'", "", [(E, "no-integer")]),
    ("connect", "1.5", "", [(E, "no-integer")]),
    ("connect", "{}", "", [(E, "no-integer")]),
    ("connect", "4 / 2", "", [(E, "no-integer")]),
    ("connect", "'a' .. a1", "", [(E, "no-integer")]),
    ("connect", "nil", "", [(W, "no-integer")]),
    ("connect", "true", "", [(E, "no-integer")]),
    ("openat", "'/dev/null'", "", [(E, "no-integer")]),
    ("openat", "3", "", [(W, "made-up-descriptor")]),
    ("openat", "c_open_host('/dev/null', 0, 0)", "", []),
    ("openat", "-5000", "", [(E, "bad-result")]),
    ("openat", "0x7fffffff", "", [(E, "bad-result")]),
    ("read", "a3", "", []),
    ("read", "a3 + 1", "", [(E, "bad-result")]),
    ("read", "100", "", [(W, "more-than-asked")]),
    ("read", "#'abc'", "", [(W, "more-than-asked")]),
    ("read", "math.min(a3, 100)", "", []),
    ("readlink", "-22", "", []),
    ("getuid", "-1", "", [(E, "bad-result")]),
    ("getuid", "-c_errno('EPERM')", "", [(E, "bad-result")]),
    ("getuid", "0", "", []),
    ("mmap", "-5000", "", []),
    ("madeup", "12345", "", []),
]


@pytest.mark.parametrize(("syscall", "value", "arch", "expected"), RESULTS)
def test_results_outside_the_range_of_the_syscall(
    syscall: str, value: str, arch: str, expected: list[tuple[str, str]]
) -> None:
    assert codes(syscall, answer(value), arch) == expected


def write(address: str, data: str, condition: str = "a1 == 3", name: str = "c_write_bytes") -> str:
    return (
        "function do_syscall(num, a1, a2, a3, a4, a5)\n"
        f"  if {condition} then {name}({address}, {data}) return 1, 0 end\n  return 0, 0\nend\n"
    )


WRITES = [
    ("read", write("a2", "'abcd'"), "", [(W, "unbounded-write")]),
    ("read", write("a2", "'abcd'", "a3 >= 4"), "", []),
    ("read", write("a2", "string.sub(x, 1, a3)"), "", []),
    ("read", write("a2", "'abcd'", "a3 == 2"), "", [(E, "outside")]),
    ("read", write("a2 - 4", "'abcd'", "a3 > 4"), "", [(E, "outside")]),
    ("read", write("a1", "'abcd'"), "", [(E, "no-address")]),
    ("uname", write("a1", "string.rep('x', 390)"), "", []),
    ("uname", write("a1 + 65", "string.rep('x', 390)"), "", [(E, "outside")]),
    ("pipe", write("a1 + 4", "5", name="c_write_guest_u32"), "", []),
    ("pipe", write("a1 + 4", "5", name="c_write_guest_u64"), "", [(E, "outside")]),
    ("stat", write("a2", "string.rep('x', 100)"), "arm", [(E, "outside")]),
    ("stat", write("a2", "string.rep('x', 100)"), "aarch64", []),
    ("stat", write("a2", "string.rep('x', 100)"), "", []),
    ("access", write("a1", "'/etc/y\\0'", "c_read_string(a1) == '/etc/x'"), "", []),
    ("access", write("a1", "'/etc/yy\\0'", "c_read_string(a1) == '/etc/x'"), "", [(E, "outside")]),
    ("access", write("a1", "'/etc/yy\\0'"), "", [(W, "unbounded-write")]),
    ("ioctl", write("a3", "string.rep('x', 33)", "a2 == 0x8927"), "arm", [(E, "outside")]),
    ("ioctl", write("a3", "string.rep('x', 33)", "a2 & 0xffffffff == 0x8927"), "aarch64", []),
    ("ioctl", write("a3", "'abcd'"), "", [(W, "unbounded-write")]),
    ("madeup", write("a1", "'abcd'"), "", []),
]


@pytest.mark.parametrize(("syscall", "body", "arch", "expected"), WRITES)
def test_writes_outside_of_the_memory_of_an_argument(
    syscall: str, body: str, arch: str, expected: list[tuple[str, str]]
) -> None:
    assert codes(syscall, body, arch) == expected


OPEN = "openat path=/etc/x"
MATCHES = [
    (OPEN, PATH_OF + answer("-2", "path_of(a2) == '/etc/x'"), []),
    (OPEN + " from=a!b", PATH_OF + answer("-2", "path_of(a2) == '/etc/x'"), [(W, "match-wider")]),
    (
        OPEN + " from=a!b",
        PATH_OF + answer("-2", "path_of(a2) == '/etc/x' and c_called_from('a', 'b')"),
        [],
    ),
    (OPEN, PATH_OF + "local w = '/etc/x'\n" + answer("-2", "w ~= nil and path_of(a2) == w"), []),
    (OPEN, PATH_OF + answer("-2", "path_of(a2) == '/etc/y'"), [(E, "match-other")]),
    (OPEN, answer("-2", "c_read_string(a2) == '/etc/y' or c_read_string(a2) == '/etc/x'"), []),
    (OPEN, answer("-2", "c_read_string(a2):match('^/etc')"), []),
    (OPEN, answer("-2", "({['/etc/x'] = 1})[c_read_string(a2)]"), []),
    (OPEN, "function do_syscall() return 1, -2 end", [(W, "match-wider")]),
    (OPEN, "function do_syscall() c_mkdir_p('/etc') return 0, 0 end", [(W, "match-wider")]),
    (OPEN, "function do_syscall() c_log('x') return 0, 0 end", []),
    (OPEN, "function after_syscall(num, ret) if ret < 0 then return 1, -2 end end", [(W, "match-wider")]),
    ("read path=/etc/x", answer("-2", "c_read_string(a2) == '/etc/x'"), [(W, "match-syscall")]),
    ("openat of /etc/x", answer("-2", "c_read_string(a2) == '/etc/x'"), [(W, "match-form")]),
    ("openat", "function do_syscall() return 1, -2 end", []),
]  # fmt: skip


@pytest.mark.parametrize(("match", "body", "expected"), MATCHES)
def test_a_body_for_other_calls_than_its_header(
    match: str, body: str, expected: list[tuple[str, str]]
) -> None:
    assert codes("openat", body, match=match) == expected


LOG = "function do_syscall(num, a1, a2)\n  {}\n  return 0, 0\nend\n"
OTHERS = [
    ("for k, v in pairs(t) do c_log(k) end", [(W, "order")]),
    ("for k, v in pairs(t) do if k == a1 then return 1, 0 end end", [(W, "order")]),
    ("local n = 0 for k, v in pairs(t) do n = n + v end", []),
    ("for i, v in ipairs(t) do c_log(v) end", []),
    ("c_log(next(t))", [(W, "order")]),
    ("if math.random(2) == 1 then return 1, 0 end", [(E, "random")]),
    ("local math = {random = f} if math.random(2) == 1 then return 1, 0 end", []),
    ("if c_get_timestamp() > 5 then return 1, 0 end", [(W, "time")]),
    ("c_log(c_get_timestamp())", []),
    ("if c_get_reg('pc') == 0x40012344 then return 1, 0 end", [(W, "address")]),
    ("c_log(tostring({}))", [(W, "address")]),
    ("while true do c_log('x') end", [(E, "endless")]),
    ("while true do if a1 == 1 then break end end", []),
    ("while true do if a1 == 1 then return 0, 0 end end", []),
    ("repeat c_log('x') until false", [(E, "endless")]),
    ("local p = a1 while p ~= 0 do p = c_read_guest_u32(p) end", [(W, "unbounded")]),
    ("for i = 1, 100 do c_read_guest_u32(a1 + i) end", [(W, "costly")]),
    ("for i = 1, 10 do c_read_guest_u32(a1 + i) end", []),
    ("c_wait_user_continue()", [(W, "unsupported")]),
]


@pytest.mark.parametrize(("line", "expected"), OTHERS)
def test_what_is_not_the_same_each_time_and_what_costs_much(
    line: str, expected: list[tuple[str, str]]
) -> None:
    assert codes("access", "local t, f = {}\n" + LOG.format(line)) == expected


def test_what_is_never_asked() -> None:
    assert codes("execve", "function after_syscall() return 0, 0 end") == [(E, "never-asked")]
    assert codes("clone", "function do_syscall() c_set_arg(1, 0) return 0, 0 end") == [(W, "no-effect")]
    assert codes("exit", "function do_syscall() return 1, 0 end") == [(W, "no-effect")]
    start = "function do_syscall() c_start_program() return 0, 0 end"
    assert (codes("execve", start), codes("openat", start)) == ([], [(W, "no-effect")])


@pytest.mark.parametrize(
    "body",
    [
        "x = 1" + " + 1" * 5000 + "\nfunction do_syscall() end",
        "function do_syscall()\n" + "if a then " * 190 + "end " * 190 + "\nend",
        "local a, b = 1 a, b = b, a do_syscall = function(...) local x <const> = ... return x, a end",
        "do_syscall = function(a) return a(a) end function a.b:c() goto x ::x:: return self end",
        "function do_syscall() return do_syscall() end",
        "local function f() return g() end function g() return f() end function do_syscall() return f() end",
    ],
)
def test_strange_texts_are_no_trouble(body: str) -> None:
    assert all(len(one.message) < 500 for one in lint.lint(body.encode(), "openat.lua"))


def test_own_functions_are_followed() -> None:
    body = "local function say(p, v) c_write_bytes(p, v) return 1, 5 end\n"
    assert codes("read", body + "function do_syscall(n, a1, a2, a3) return say(a1, 'xx') end") == [
        (E, "no-address"),
        (W, "more-than-asked"),
    ]
