"""A rule run over recorded calls: what it would have done, and what it must not do."""

from __future__ import annotations

import pytest

from triage_tui.rulebook.check import replay as replay_module
from triage_tui.rulebook.check.recorded_arguments import given
from triage_tui.rulebook.check.replay import Replay, replay
from triage_tui.runs.model import Syscall


def run(body: str, calls: list[Syscall], arch: str = "arm", name: str = "", header: str = "") -> Replay:
    head = f"-- triage-rule: 1\n-- id: a\n{header}\n" if header else ""
    return replay("r", arch, calls, f"{name or calls[0].name}@a.lua", (head + body).encode())


def opened(seq: int, path: str) -> Syscall:
    arguments = ["AT_FDCWD", f'"{path}"', "O_RDONLY|O_CLOEXEC"]
    return Syscall(seq=seq, name="openat", path=path, arguments=arguments, ret=-2, errno="ENOENT")


def read(seq: int, size: int) -> Syscall:
    return Syscall(seq=seq, name="read", num=3, args=[3, 0x7FFF0000, size], ret=size)


GIVES_A_FILE = """
function do_syscall(num, a1, a2)
  if c_read_string(a2) ~= "/etc/x" then return 0, 0 end
  c_log("seen")
  return 1, c_open_bytes("abc", 0)
end
"""


def test_what_would_have_been_answered_otherwise() -> None:
    found = run(GIVES_A_FILE, [opened(1, "/etc/x"), opened(2, "/etc/y"), read(3, 4), opened(4, "/etc/x")])
    assert (found.calls, [one.seq for one in found.acted], found.broken) == (3, [1, 4], False)
    first, second, _ = found.outcomes
    assert (first.was_errno, first.ret, first.errno) == ("ENOENT", 1001, None)
    assert (first.did, first.log, first.about) == (["opens a private file of 3 bytes"], ["seen"], "/etc/x")
    assert (second.differs, second.unclear) == (False, "")


def test_an_argument_that_is_not_recorded_matters_where_it_is_looked_at() -> None:
    call = Syscall(seq=1, name="socket", arguments=["AF_INET", "SOCK_STREAM", "0"])
    body = "function do_syscall(num, a1, a2, a3) if {} == 1 then return 1, -13 end end"
    (outcome,) = run(body.format("a2"), [call]).outcomes
    assert (outcome.acts, outcome.unclear) == (False, "argument 2 is not recorded as a number")
    assert run(body.format("a3"), [call]).outcomes[0].unclear == ""
    dots = "function do_syscall(...) local n, f = ... if f == 2 then return 1, 0 end end"
    assert run(dots, [call]).outcomes[0].unclear


@pytest.mark.parametrize(
    ("arch", "flags"), [("arm", 0o2400001), ("mips", 0o2020001), ("x86_64", 0o2100001), ("ppc", 0o2200001)]
)
def test_flags_of_open_are_those_of_the_architecture(arch: str, flags: int) -> None:
    call = Syscall(seq=1, name="open", arguments=['"/x"', "O_WRONLY|O_CLOEXEC|O_LARGEFILE"])
    assert given(call, arch).arguments[1] == flags


def test_the_hit_limit_ends_it_as_it_would_in_a_run() -> None:
    calls = [opened(seq, "/etc/x") for seq in range(1, 6)]
    found = run(GIVES_A_FILE, calls, header="-- hit-limit: 2")
    assert [one.seq for one in found.outcomes] == [1, 2]
    assert (found.failure, found.broken) == ("", False)


def test_a_rule_that_is_too_slow_is_not_tried_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "MAX_SECONDS", -1.0)
    found = run(GIVES_A_FILE, [opened(1, "/etc/x")])
    assert (found.outcomes, [one.code for one in found.findings]) == ([], ["slow"])
    assert "only 0 of 1" in found.findings[0].message


WRITES = [
    ('c_write_bytes(a2, "abcd")', [8, 4], []),
    ('c_write_bytes(a2, "abcd")', [8, 2], ["where argument 2 has room for 2"]),
    ('c_write_bytes(a2 + 4, "abcd")', [6], ["where argument 2 has room for 2"]),
    ('c_write_bytes(a2 + a3, "abcd")', [8], ["is no memory of an argument"]),
    ('c_write_bytes(a2 - 1, "a")', [8], ["is no memory of an argument"]),
    ("c_write_guest_u32(a2, c_read_guest_u32(a2) + 1)", [8], []),
]


@pytest.mark.parametrize(("line", "sizes", "expected"), WRITES)
def test_writes_outside_of_the_buffer_are_seen(line: str, sizes: list[int], expected: list[str]) -> None:
    body = f"function do_syscall(num, a1, a2, a3)\n  {line}\n  return 1, 1\nend\n"
    found = run(body, [read(number, size) for number, size in enumerate(sizes, 1)])
    problems = [problem for one in found.outcomes for problem in one.problems]
    assert len(problems) == len(expected)
    assert all(part in problem for part, problem in zip(expected, problems, strict=True))
    assert found.broken == bool(expected)
    assert [(one.severity, one.line) for one in found.findings] == [("error", 2)] * len(expected)


def test_what_was_written_is_read_back() -> None:
    body = """
    function do_syscall(num, a1, a2, a3)
      c_write_bytes(a2, "ab")
      return 1, c_read_bytes(a2, 2) == "ab" and 2 or 0
    end"""
    (outcome,) = run(body, [read(1, 8)]).outcomes
    assert (outcome.ret, outcome.unclear) == (2, "")


@pytest.mark.parametrize(
    ("body", "problem", "line"),
    [
        ("return 1, a3 + 1", "more than the 8", 1),
        ("return 1, -4000000", "is no error", 1),
        ("\n\nerror('no')", "no", 3),
        ("while a3 > 0 do end", "instructions", 1),
    ],
)
def test_bad_results_and_failures_are_errors(body: str, problem: str, line: int) -> None:
    found = run(f"function do_syscall(num, a1, a2, a3) {body} end", [read(1, 8)])
    assert found.broken
    (finding,) = found.findings
    assert (finding.severity, finding.line) == ("error", line)
    assert problem in finding.message


def test_errors_are_those_of_the_architecture() -> None:
    body = "function do_syscall() return 1, -c_errno('ECONNREFUSED') end"
    call = Syscall(seq=1, name="connect", args=[3, 0x1000, 16], ret=0)
    for arch, number in (("arm", -111), ("mips", -146)):
        (outcome,) = run(body, [call], arch).outcomes
        assert (outcome.ret, outcome.errno, outcome.problems) == (number, "ECONNREFUSED", [])


def test_after_syscall_gets_the_recorded_result() -> None:
    body = "function after_syscall(num, ret, a1) if ret < 0 then return 1, 5 end end"
    calls = [opened(1, "/etc/x"), Syscall(seq=2, name="openat", args=[5, 1, 0], ret=4)]
    found = run(body, calls)
    assert [(one.seq, one.ret) for one in found.acted] == [(1, 5)]


def test_socket_addresses_are_laid_out_as_the_guest_has_them() -> None:
    call = Syscall(seq=1, name="connect", args=[3, 0x1000, 16], peer="inet:127.0.0.1:80")
    assert given(call, "arm").places[0].content == b"\2\0\0\x50\x7f\0\0\1".ljust(16, b"\0")
    assert given(call, "mips").places[0].content == b"\0\2\0\x50\x7f\0\0\1".ljust(16, b"\0")
    call = Syscall(seq=1, name="connect", args=[3, 0x1000, 110], peer="unix:/run/x")
    content = given(call, "arm").places[0].content
    assert content is not None
    assert (content[:9], len(content)) == (b"\1\0/run/x\0", 110)


def test_the_header_is_held_against_what_the_rule_did() -> None:
    calls = [opened(1, "/etc/x"), opened(2, "/etc/y")]
    answers = "function do_syscall() return 1, -13 end"
    found = run(answers, calls, header="-- match: openat path=/etc/y")
    assert [one.code for one in found.findings] == ["match-wider"]
    passes = "function do_syscall() return 0, 0 end"
    found = run(passes, [*calls[:1], Syscall(seq=2, name="openat", args=[5, 1, 0], path="/etc/y")],
                header="-- match: openat path=/etc/y")  # fmt: skip
    assert [one.code for one in found.findings] == ["match-unmet"]
    found = run(answers, [opened(seq, f"/{seq}") for seq in range(1, 7)])
    assert [one.code for one in found.findings] == ["broad"]
