"""The c_* helpers as a rule sees them: SFEmu's return shapes on a guest of plain data."""

from __future__ import annotations

import pytest

from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.helpers import EXTENSIONS, HELPERS, UNSUPPORTED
from triage_tui.rulehost.peer_script import PeerScript, PeerStep
from triage_tui.rulehost.protocol import Answer, Endian, GuestCall
from triage_tui.rulehost.sources import Limits, RuleSource

SHOW = """
local function show(...)
    local parts = {}
    for i = 1, select('#', ...) do parts[i] = tostring((select(i, ...))) end
    c_log(table.concat(parts, ' '))
end
"""


def ask(guest: MemoryGuest, body: str, *args: int, limits: Limits | None = None) -> Answer:
    source = f"{SHOW} function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8)\n{body}\nend"
    with RuleHost([RuleSource("r", "ioctl", source.encode())], guest, limits) as host:
        return host.call(GuestCall("ioctl", 54, args))


@pytest.fixture
def guest() -> MemoryGuest:
    guest = MemoryGuest()
    guest.map(0x9000_0000, b"\x01\x02\x03\x04\x05\x06\x07\x08 eth0\0")
    return guest


TABLE = [
    ("show(num, a1, a8)", "54 -1879048192 0"),
    ("show(c_read_bytes(a1, 4) == '\\1\\2\\3\\4', select(2, c_read_bytes(a1, 4)))", "true 0"),
    ("show(c_read_bytes(a1 & 0xffffffff, 0))", " 0"),
    ("show(c_read_guest_u32(a1))", f"{0x04030201} 0"),
    ("show(c_read_guest_u64(a1))", f"{0x0807060504030201} 0"),
    ("show(c_read_guest_u32(4))", "0 -14"),
    ("show(c_write_guest_u32(a1, -2), c_read_guest_u32(a1))", f"0 {0xFFFFFFFE} 0"),
    ("show(c_write_guest_u64(4, 1))", "-14"),
    ("show(c_write_bytes(a1, 'abc'))", "3 0"),
    ("show(c_write_guest_bytes(4, 'abc'))", "0 -14"),
    ("show(c_read_string(a1 + 9))", "eth0 0"),
    ("show(c_read_guest_string(a1 + 9, 2))", "et 0"),
    ("show(c_read_string(a1, 0))", " -22"),
    ("show(c_read_string(0))", "(null) 0"),
    ("show(c_read_string(4))", " -14"),
    ("show(c_get_reg('SP'))", f"{0xBEFF0000} 4 0"),
    ("show(c_get_reg(0))", "1 4 0"),
    ("show(c_get_reg('nope'))", "nil 0 -2"),
    ("show(c_set_reg('r0', -1), c_get_reg('r0'))", f"4 {0xFFFFFFFF} 4 0"),
    ("show(c_set_reg('r0', '\\1\\0\\0\\0'))", "4 0"),
    ("show(c_set_reg('r0', 'xyz'))", "0 -22"),
    ("local l = c_list_regs() show(#l, l[3].num, l[3].name, l[3].feature)", "4 2 sp core"),
    ("local i, rc = c_resolve_addr(0x8000) show(i.func_name, i.func_offset, i.addr, rc)", "main 16 32768 0"),
    ("show(c_resolve_addr(4))", "nil -2"),
    ("show(c_module_base('/usr/sbin/httpd', 'build-id:00ff'))", "32768 0"),
    ("show(c_module_base('/usr/sbin/httpd', 'build-id:00aa'))", "nil -116"),
    ("show(c_module_base('/usr/sbin/other', 'sha256:' .. string.rep('0', 64)))", "nil -2"),
    ("show(c_module_base('/usr/sbin/httpd', 'httpd'))", "nil -22"),
    ("local f = c_callers() show(#f, f[1].func_name, f[2].func_name, f[3].addr)", "3 open nil 40960"),
    ("show(#c_callers(2))", "2"),
    ("local list, rc = c_callers(0) show(#list, rc)", "0 -22"),
    ('show(c_called_from("httpd", "read_config"))', "true 0"),
    ('show(c_called_from("libc.so.6", "read_config"))', "false 0"),
    ('show(c_called_from(nil, "open"))', "true 0"),
    ("show(#c_get_shadowstack())", "0"),
    ("show(c_mkdir_p('/var/run'))", "true 0"),
    ("show(c_mkdir_p('/var/run', 4096))", "false -22"),
    ("show(c_mkdir_p('/var/../../etc'))", "false -22"),
    ("show(c_open_host('/dev/null', 0))", "9"),
    ("show(c_open_host('/etc/shadow', 0))", "-13"),
    ("show(c_open_host('/dev/../dev/null', 0))", "-13"),
    ("show(c_provide_file('/etc/x', 'y'), c_provide_file('/etc/x', 'y'))", "0 -17"),
    (
        "show(c_provide_file('etc/x', 'y'), c_provide_file('/a/../x', 'y'), c_provide_file('/a\\0b', ''))",
        "-22 -22 -22",
    ),
    ("show(c_open_bytes('hello', 524288))", "21"),
    ("show(c_ifreq_name(a1 + 9))", "eth0 0"),
    ("show(c_ifreq_name(4))", " -14"),
    ("show(c_ifreq_set(a1, 'ifindex', 2), c_ifreq_set(a1, 'addr', '192.168.1.1'))", "0 0"),
    ("show(c_ifreq_set(a1, 'addr', '192.168.1.256'), c_ifreq_set(a1, 'name', 1))", "-22 -22"),
    ("show(c_ifreq_set(a1, 'hwaddr', '00:11:22:aa:bb:cc'), c_ifreq_set(a1, 'flags', 'up'))", "0 -22"),
    (
        "show(c_connect_peer(5), c_connect_peer(5, 'eof'), c_connect_peer(-1), c_connect_peer(5, 'x'))",
        "0 0 -22 -22",
    ),
    ("show(c_errno('ECONNREFUSED'), c_errno('NOPE'))", "146 nil"),
    ("show(c_tell_peer(5, 'abc'), c_tell_peer(5), c_tell_peer(6, 'abc'))", "3 0 -145"),
    ("show(c_provide_file('/x', ''), c_remove_path('/x'), c_remove_path('/x'))", "0 0 -2"),
    ("show(c_remove_path('/a/../x'), c_remove_path('x'))", "-22 -22"),
    ("show(c_real_path('/var/run/x'))", "/run/x 0"),
    ("show(c_open_host('/dev/null', 0, 0, 'a'), c_fd_label(9))", "9 a 0"),
    ("show(c_socket_stub('blackhole', 2, nil, 'b'), c_fd_label(30))", "30 b 0"),
    ("show(c_provide_socket('/run/x'), c_provide_socket('/run/x'), c_provide_socket('/../x'))", "0 -17 -22"),
    ("local of = c_guest_info() show(of.arch, of.word, of.order)", "mipsel 4 <"),
    ("show(c_do_syscall(1))", "-89"),
    ("show(c_request_reexec('x'))", "true 0"),
    ("show(c_request_reexec())", "true 0"),
    ("show(c_async_probe_http())", "true 0"),
    ("show(c_async_probe_http('127.0.0.2', 100, 'x'), (c_async_probe_http('localhost')))", "true false"),
    ("show(c_async_probe_http('127.0.0.1', 0))", "false -22"),
    ("show(c_wait_user_continue('sure?'))", "false -89"),
    ("show(c_g2h(1), c_h2g(1), c_resolve_host_addr(1))", "nil 0 nil -89"),
    ("show(__syscall_name, __rules_dir)", "ioctl "),
    ("print('a', 1, {})", "a\t1\ttable"),
    ("show(_VERSION)", "Lua 5.3"),
]


@pytest.mark.parametrize(("body", "expected"), TABLE, ids=[body[:50] for body, _ in TABLE])
def test_helper_returns_what_a_rule_expects(guest: MemoryGuest, body: str, expected: str) -> None:
    answer = ask(guest, body, 0x9000_0000)
    assert answer.error is None
    assert answer.log == [expected]


def test_effects_reach_the_guest_in_its_own_terms(guest: MemoryGuest) -> None:
    ask(
        guest,
        """c_provide_file('/etc/x', 'y\\0z', 384) c_mkdir_p('/var/run', 448) c_open_bytes('b', 0)
        c_ifreq_set(a1, 'addr', '10.0.0.1') c_ifreq_set(a1, 'hwaddr', '00:11:22:aa:bb:cc')
        c_ifreq_set(a1, 'mtu', 1500) c_connect_peer(7) return 0, 0""",
        0x9000_0000,
    )
    assert guest.files == {b"/etc/x": (b"y\0z", 0o600)}
    assert guest.directories == {b"/var/run": 0o700}
    assert guest.opened == [(b"b", False)]
    assert guest.ifreq == {
        (0x9000_0000, "addr"): bytes((10, 0, 0, 1)),
        (0x9000_0000, "hwaddr"): bytes.fromhex("001122aabbcc"),
        (0x9000_0000, "mtu"): 1500,
    }
    assert guest.peers == [(7, "blackhole")]


def test_a_probe_is_made_as_it_was_asked_for(guest: MemoryGuest) -> None:
    ask(guest, "c_async_probe_http() c_async_probe_http('127.0.0.2', 250, 'HELO') return 0, 0")
    assert guest.probes == [("127.0.0.1", 0.5, b"GET / HTTP/1.0\r\n\r\n"), ("127.0.0.2", 0.25, b"HELO")]


@pytest.mark.parametrize(("endian", "value"), [("little", 0x04030201), ("big", 0x01020304)])
def test_integers_have_the_guests_byte_order(endian: Endian, value: int) -> None:
    guest = MemoryGuest(endian)
    guest.map(0x1000, b"\1\2\3\4")
    answer = ask(guest, "show(c_read_guest_u32(a1)) c_write_guest_u32(a1, 5)", 0x1000)
    assert answer.log == [f"{value} 0"]
    assert guest.read_bytes(0x1000, 4) == (5).to_bytes(4, endian)


def test_a_string_that_ends_at_the_last_mapped_byte_is_read() -> None:
    guest = MemoryGuest()
    guest.map(0x1FFC, b"abc\0")
    assert ask(guest, "show(c_read_string(a1))", 0x1FFC).log == ["abc 0"]
    guest.map(0x1FFC, b"abcd")
    assert ask(guest, "show(c_read_string(a1))", 0x1FFC).log == [" -14"]


def test_a_64_bit_guest_keeps_its_addresses() -> None:
    guest = MemoryGuest(word=8)
    guest.map(0x7F_0000_0000, b"x\0")
    assert ask(guest, "show(a1, c_read_string(a1))", 0x7F_0000_0000).log == [f"{0x7F_0000_0000} x 0"]
    assert ask(guest, "show(a1)", (1 << 64) - 100).log == ["-100"]


RETURNS = [
    ("return 1, -2", True, -2),
    ("return true, 7", True, 7),
    ("return 1", True, 0),
    ("return 1, 'x'", True, 0),
    ("return 1, 3.0", True, 0),
    ("return 1, 0xffffffff", True, -1),
    ("return 0, -2", False, 0),
    ("return 2, -2", False, 0),
    ("return 'yes', -2", False, 0),
    ("return nil, -2", False, 0),
    ("", False, 0),
]


@pytest.mark.parametrize(("body", "intercept", "ret"), RETURNS)
def test_the_action_and_the_return_value(guest: MemoryGuest, body: str, intercept: bool, ret: int) -> None:
    answer = ask(guest, body)
    assert (answer.intercept, answer.ret) == (intercept, ret)
    assert answer.rule == ("r" if intercept else None)


def test_the_fixed_clock_shows_every_run_the_same_times(guest: MemoryGuest) -> None:
    body = "show(c_get_timestamp()) show(c_get_timestamp())"
    limits = Limits(fixed_clock=True)
    assert ask(guest, body, limits=limits).log == ask(guest, body, limits=limits).log == ["0 1", "0 2"]
    seconds = ask(guest, "show((c_get_timestamp()))").log[0]
    assert int(seconds) > 1_700_000_000


def test_every_helper_of_the_interface_exists(guest: MemoryGuest) -> None:
    names = sorted(HELPERS)
    wanted = ", ".join(f"type({name}) == 'function'" for name in names)
    assert ask(guest, f"show({wanted})").log == [" ".join(["true"] * len(names))]
    assert set(UNSUPPORTED) <= HELPERS
    found = "local n = 0 for k in next, _G do if k:sub(1, 2) == 'c_' then n = n + 1 end end show(n)"
    assert ask(guest, found).log == [str(len(HELPERS))]
    assert len(HELPERS - EXTENSIONS) == 27


SCRIPT = """{ name = "cfgd", greeting = "hello", ordered = true, border = "\\n", replies = {
  { equals = "version", reply = "1.2" },
  { starts = "get ", reply = { "value ", { 4, 3 } }, once = true },
  { hang_up = true },
} }"""


def test_a_script_of_a_peer_reaches_the_guest_as_it_was_written(guest: MemoryGuest) -> None:
    answer = ask(guest, f"show(c_connect_peer(5, 'script', {SCRIPT}))", 0)
    assert (answer.error, answer.log) == (None, ["0"])
    steps = (
        PeerStep("equals", b"version", (b"1.2",)),
        PeerStep("starts", b"get ", (b"value ", (4, 3)), once=True),
        PeerStep("any", b"", (b"",), ends=True),
    )
    assert guest.scripts == [(5, PeerScript("cfgd", b"hello", steps, True, b"\n"))]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("nil", "script must be a table, not nil"),
        ("{ replies = 'x' }", "replies must be a table, not string"),
        ("{ replies = { 'x' } }", "each of replies must be a table, not string"),
        ("{ replies = { { reply = { { 'x' } } } } }", "offset must be an integer"),
    ],
)
def test_what_is_wrong_with_a_script_is_told(guest: MemoryGuest, script: str, why: str) -> None:
    answer = ask(guest, f"show(c_connect_peer(5, 'script', {script}))", 0)
    assert why in (answer.error or "")
    assert guest.scripts == []
