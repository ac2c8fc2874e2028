"""Rules of the rule host on calls of compiled programs: arguments, results, what QEMU serves by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.guest.helpers import carried, spec
from tests.programs import ARCHES, qemu_name, root_with
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.spec import TriggerLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import RuleSource
from triage_tui.runs.model import Syscall

PATIENT = TriggerLimits(idle_s=10, time_limit_s=120, sleep_repeats=99)
ENDLESS = TriggerLimits(idle_s=10, time_limit_s=120, loop_repeats=10**9, loop_calls=10**9)
ROUNDS = 10
UNKNOWN = "bpf"
"""A call that no QEMU up to 10.0 has, and every kernel."""

DRIVER = """
function do_syscall(num, fd, request, address)
  if request & 0xffff == 0x4d41 then
    local value = c_read_guest_u32(address + 4)
    c_write_guest_u32(address + 4, 2 * value)
    return 1, 3
  elseif request & 0xffff == 0x89f1 and c_read_string(address, 16) == "wlan0" then
    return 1, -c_errno("ETIMEDOUT")
  end
  return 0, 0
end
"""
RULES = {
    "ioctl": DRIVER,
    UNKNOWN: "function do_syscall(num, a, b, c) return 1, a * 10000 + b * 100 + c end",
    # A plain netlink socket is refused, and one that closes at exec gets a stand-in.
    "socket": """function do_syscall(num, family, kind, protocol)
        if family == 16 and kind == 3 and protocol == 21 then return 1, -c_errno("EAFNOSUPPORT") end
        return 0, 0
    end
    function after_syscall(num, ret, family, kind)
        if ret >= 0 or family ~= 16 or kind == 3 then return 0, 0 end
        return 1, c_socket_stub("netlink", kind)
    end""",
    "setsockopt": "function do_syscall(num, fd, level, option) return option == 77 and 1 or 0, 0 end",
    "getsockopt": """function do_syscall(num, fd, level, option, value)
        if option ~= 77 then return 0, 0 end
        c_write_guest_u32(value, 5)
        return 1, 0
    end""",
    # A shorter text, and the other descriptor: the first argument shares its register with the result.
    "write": """function do_syscall(num, fd, text, count)
        if c_read_string(text, 4) == "one " then
          c_set_arg(1, 2)
          c_set_arg(3, 8)
        end
        return 0, 0
    end""",
    "sendto": """function do_syscall(num, fd, text, count)
        if count == 6 then
          c_set_arg(3, 4)
          c_set_arg(6, 0)
        end
        return 0, 0
    end""",
    "uname": """function after_syscall(num, ret, address)
        c_write_bytes(address + 130, "9.9.9\\0")
        return 0, 0
    end""",
    "read": """function after_syscall(num, ret, fd, address)
        if ret ~= 4 or c_read_bytes(address, 4) ~= "late" then return 0, 0 end
        c_write_bytes(address, "LATER")
        return 1, 5
    end""",
}
OPEN = """function after_syscall(num, ret)
    if ret == -2 then return 1, -c_errno("ELOOP") end
    return 0, 0
end"""


@contextmanager
def guest_of(
    tmp_path: Path, qemu_dir: Path, arch: str, parts: str, rules: dict[str, str]
) -> Iterator[tuple[Guest, RuleHost]]:
    """Start `hooks` with `parts`, under Lua `rules` by guest syscall."""
    root = root_with(tmp_path / "root", arch, "hooks")
    access = RuleAccess(by_name(qemu_name(arch)))
    sources = [RuleSource(f"r-{name}", name, text.encode()) for name, text in rules.items()]
    how = spec(root, qemu_dir, "/bin/hooks", str(ROUNDS), *parts.split(), triggers=PATIENT)
    with RuleHost(sources, access) as host, Guest.start(how, host, access=access) as guest:
        yield guest, host


def run(
    tmp_path: Path, qemu_dir: Path, arch: str, parts: str, rules: dict[str, str]
) -> tuple[dict[str, str], list[Syscall]]:
    """Return what each part printed, and all calls."""
    with guest_of(tmp_path, qemu_dir, arch, parts, rules) as (guest, host):
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code, guest.problems, host.log) == ("exit", 0, [], [])
        words = [line.partition(" ") for line in guest.output().decode().splitlines()]
        return {name: rest for name, _, rest in words}, guest.full_trace()


SERVED = "driver private unknown netlink setsockopt getsockopt"
CHANGED = "write open uname"
AT_ONCE = "threads children interrupted"
TRACED = ("arm", "mips", "aarch64", "i386", "x86_64", "ppc64le")
"""Architectures that meet the other carrier too, which knows nothing of them: both byte orders, both widths,
and socketcall."""


@pytest.mark.parametrize(
    ("arch", "carrier"), [*((arch, "notify") for arch in ARCHES), *((arch, "trace") for arch in TRACED)]
)
def test_calls_are_answered_and_changed_for_all_who_make_them(
    tmp_path: Path, qemu_dir: Path, monkeypatch: pytest.MonkeyPatch, arch: str, carrier: str
) -> None:
    """What the emulator serves itself, arguments and results, a stand-in; threads, children and handlers.

    Nothing is sent on i386, where QEMU 7.2 itself fails over its log entry of it (socketcall).
    """
    monkeypatch.setenv("TRIAGE_TUI_CARRIER", carrier)
    sends = "" if arch == "i386" else "sendto configure"
    rules = RULES | {"openat": OPEN, "open": OPEN}
    printed, calls = run(tmp_path, qemu_dir, arch, f"{SERVED} {CHANGED} {sends} {AT_ONCE}", rules)
    number = by_name(qemu_name(arch)).errno_number
    assert printed.pop("one").startswith("two")
    sent = {
        "sendto": "4 0",
        "received": "4 0",
        "configure": "36 type 2 error 0 seq 4711 4711 1 from 12 0 0",
    }
    assert printed == {
        "driver": f"{ROUNDS} 0",
        "private": f"-1 {number('ETIMEDOUT')}",
        "unknown": "112233 0",
        "netlink": f"-1 {number('EAFNOSUPPORT')}",
        "setsockopt": "0 0",
        "getsockopt": "0 0 5",
        "open": f"-1 {number('ELOOP')}",
        "uname": "0 9.9.9",
        **(sent if sends else {}),
        "threads": f"{5 * ROUNDS} 0",
        "children": "3 0",
        "interrupted": "5 LATER 3",
    }
    # The record shows each call once, with the result that the guest got.
    driver = [call for call in calls if call.name == "ioctl" and call.ret == 3]
    assert [(call.intercepted, call.rule) for call in driver] == [(True, "r-ioctl")] * (9 * ROUNDS + 3)
    assert [call.ret for call in calls if call.name == UNKNOWN] == [112233]
    assert not any(call.name in ("lseek", "_llseek") for call in calls)
    assert [call.seq for call in calls] == list(range(1, len(calls) + 1))
    written = [call for call in calls if call.name == "write" and call.ret == 8]
    assert [call.args[::2][:2] for call in written] == [[2, 8]]
    assert "argument 3 = 0x8" in (written[0].note or "")
    assert [call.errno for call in calls if call.name.startswith("open") and call.errno] == ["ELOOP"]
    assert len([call for call in calls if call.name == "read" and call.ret == 5]) == 1
    given = [call for call in calls if call.rule == "r-socket" and call.errno is None]
    assert [(call.name, call.ret) for call in given] == [("socket", 3)] * bool(sends)


@pytest.mark.parametrize(("arch", "rounds"), [("arm", 3000), ("mips", 1000), ("ppc", 1000), ("x86_64", 1000)])
def test_figures_are_exact_where_a_rule_answers_often(
    tmp_path: Path, qemu_dir: Path, arch: str, rounds: int
) -> None:
    """What the text says of each of these calls, and the engine's own calls in it, are not read at once."""
    root = root_with(tmp_path / "root", arch, "rounds")
    access = RuleAccess(by_name(qemu_name(arch)))
    text = b"local n = 0 function do_syscall() n = n + 1 return 1, n % 2 == 0 and 7 or -5 end"
    never = TriggerLimits(idle_s=10, time_limit_s=120, loop_span_s=0.000_001)
    how = spec(root, qemu_dir, "/bin/rounds", "driver", str(rounds), triggers=never)
    with (
        RuleHost([RuleSource("r", "ioctl", text)], access) as host,
        Guest.start(how, host, access=access) as guest,
    ):
        assert guest.run_until_stop().reason == "exit"
        figures, calls = guest.statistics(), guest.full_trace()
        driver = [call for call in calls if call.name == "ioctl" and call.args[1:2] == [0x89F1]]
        assert [(call.ret, call.intercepted) for call in driver] == [(-5, True), (7, True)] * (rounds // 2)
        assert not any(call.name in ("lseek", "_llseek") for call in calls)
        assert [call.seq for call in calls] == list(range(1, figures.syscalls + 1))
        assert figures.failed_syscalls == sum(call.errno is not None for call in calls)
        assert guest.problems == []


@pytest.mark.parametrize("arch", ["arm", "mipsel"])
def test_what_the_log_tells_twice_is_asked_once(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    """The line about an option may be as long as the failure of another call: then both are held."""
    rules = dict.fromkeys(("setsockopt", "getsockopt"), "function do_syscall() return 0, 0 end")
    with guest_of(tmp_path, qemu_dir, arch, "setsockopt getsockopt", rules) as (guest, host):
        assert guest.run_until_stop().reason == "exit"
        assert [(hit.rule, hit.calls) for hit in host.hits()] == [("r-setsockopt", 1), ("r-getsockopt", 1)]
        assert guest.problems == []


@pytest.mark.parametrize("arch", ["arm", "thumb", "aarch64", "mipsel", "mips", "ppc", "x86_64"])
def test_approved_while_frozen(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    """The filter is older than the rules: what QEMU serves itself is seen all the same."""
    with guest_of(tmp_path, qemu_dir, arch, "driver setsockopt unknown", {}) as (guest, _):
        names = ("ioctl", "setsockopt", UNKNOWN)
        sources = [RuleSource(name, name, RULES[name].encode()) for name in names]
        with RuleHost(sources, guest.access) as later:
            guest.resume(later)
            guest.run_until_stop()
        printed = guest.output().decode().splitlines()
    assert printed == [f"driver {ROUNDS} 0", "setsockopt 0 0", "unknown 112233 0"]


@contextmanager
def executed(
    tmp_path: Path, qemu_dir: Path, first: str, arch: str, parts: str, rules: dict[str, str]
) -> Iterator[Guest]:
    """Start a program of `first` that executes `hooks` of `arch` with `parts`."""
    root = root_with(root_with(tmp_path / "root", first, "executes"), arch, "hooks")
    access = RuleAccess(by_name(qemu_name(first)))
    sources = [RuleSource(f"r-{name}", name, text.encode()) for name, text in rules.items()]
    argv = ("/bin/executes", "/bin/hooks", str(ROUNDS), *parts.split())
    with (
        RuleHost(sources, access) as host,
        Guest.start(spec(root, qemu_dir, *argv, triggers=PATIENT), host, access=access) as guest,
    ):
        yield guest


@pytest.mark.parametrize(("first", "arch"), [("arm", "mips"), ("mips", "arm"), ("x86_64", "ppc")])
def test_served_in_an_executed_program_of_another_architecture(
    tmp_path: Path, qemu_dir: Path, first: str, arch: str
) -> None:
    """Numbers of calls and errors have other counts of digits there, and pieces of the log other lengths."""
    with executed(tmp_path, qemu_dir, first, arch, "driver unknown netlink", RULES) as guest:
        guest.run_until_stop()
        refused = by_name(qemu_name(arch)).errno_number("EAFNOSUPPORT")
        assert guest.output().decode().splitlines() == [
            f"driver {ROUNDS} 0",
            "unknown 112233 0",
            f"netlink -1 {refused}",
        ]
        assert guest.problems == []


def test_a_call_that_the_executed_program_cannot_be_watched_for_is_refused(
    tmp_path: Path, qemu_dir: Path
) -> None:
    with executed(tmp_path, qemu_dir, "arm", "mips", "", {}) as guest:
        assert guest.run_until_stop().reason == "exit"
        sources = [RuleSource(UNKNOWN, UNKNOWN, RULES[UNKNOWN].encode())]
        with (
            RuleHost(sources, guest.access) as later,
            pytest.raises(TriageError, match=f"watched at {UNKNOWN}: retry from the start"),
        ):
            guest.resume(later)


def test_the_end_of_a_fork_cannot_be_seen(tmp_path: Path, qemu_dir: Path) -> None:
    """A rule that asks for it is told, and the guest goes on."""
    rule = "function after_syscall(num, ret) return 1, -1 end"
    rules = {"ioctl": DRIVER, "clone": rule, "fork": rule}
    with guest_of(tmp_path, qemu_dir, "aarch64", "children", rules) as (guest, _):
        guest.run_until_stop()
        assert guest.output() == b"children 3 0\n"
        assert guest.problems == ["no rule saw the result of clone: the end of clone cannot be held"] * 3


SEES = "function do_syscall(num, code) c_log('ends with ' .. code) return 0, 0 end"
GOES_ON = "function do_syscall() return 1, 0 end"


@pytest.mark.usefixtures("carrier")
@carried("arch", "arm", "mips", "x86_64")
def test_a_rule_sees_the_end_before_the_guest_is_frozen_there(
    tmp_path: Path, qemu_dir: Path, arch: str
) -> None:
    with guest_of(tmp_path, qemu_dir, arch, "driver", {"exit_group": SEES}) as (guest, host):
        assert guest.run_until_stop().reason == "exit"
        assert guest.rule_log == ["ends with 0"]
        # It is decided already, and the guest just ends.
        assert guest.run_until_stop().ended
        assert ([hit.calls for hit in host.hits()], guest.problems) == ([1], [])


@pytest.mark.parametrize("arch", ["arm", "mips", "x86_64"])
def test_a_rule_answers_the_end(tmp_path: Path, qemu_dir: Path, arch: str) -> None:
    """The C library takes the other call then, whose end can be seen only."""
    rules = {"exit_group": GOES_ON, "exit": GOES_ON}
    with guest_of(tmp_path, qemu_dir, arch, "driver", rules) as (guest, _):
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 0)
        ends = [(call.name, call.intercepted) for call in guest.history()[-2:]]
        assert ends == [("exit_group", True), ("exit", False)]
        assert guest.problems == [
            "the rule's answer to exit had no effect: a thread does not go on after its end"
        ]


def test_a_rule_that_is_approved_at_the_end_is_asked_about_it(tmp_path: Path, qemu_dir: Path) -> None:
    with guest_of(tmp_path, qemu_dir, "arm", "driver", {}) as (guest, _):
        assert guest.run_until_stop().reason == "exit"
        with RuleHost([RuleSource("r", "exit_group", GOES_ON.encode())], guest.access) as later:
            guest.resume(later)
            assert guest.run_until_stop().reason == "exit"
            ends = [(call.name, call.rule) for call in guest.history()[-2:]]
            assert ends == [("exit_group", "r"), ("exit", None)]


@pytest.mark.usefixtures("each_carrier")
def test_the_end_of_a_thread_can_be_seen_only(tmp_path: Path, qemu_dir: Path) -> None:
    rules = {"ioctl": DRIVER, "exit": GOES_ON}
    with guest_of(tmp_path, qemu_dir, "arm", "threads", rules) as (guest, _):
        assert guest.run_until_stop().exit_code == 0
        assert guest.output() == f"threads {5 * ROUNDS} 0\n".encode()
        assert len(guest.problems) == 3


def test_a_thread_that_is_killed_while_its_arguments_are_changed_is_no_problem(
    tmp_path: Path, qemu_dir: Path
) -> None:
    root = root_with(tmp_path / "root", "arm", "killed_calls")
    access = RuleAccess(by_name("arm"))
    text = b"function do_syscall(num, path) c_set_arg(1, path + 1) return 0, 0 end"
    how = spec(root, qemu_dir, "/bin/killed_calls", "150", triggers=ENDLESS)
    with (
        RuleHost([RuleSource("r", "chdir", text)], access) as host,
        Guest.start(how, host, access=access) as guest,
    ):
        assert guest.run_until_stop().reason == "exit"
        assert guest.output() == b"all gone\n"
        assert (guest.problems, host.log) == ([], [])
        assert {call.errno for call in guest.full_trace() if call.name == "chdir" and call.ret} == {"ENOENT"}
