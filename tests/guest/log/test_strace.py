"""The reader of the emulator's log, on the bytes that QEMU 7.2 really writes and on nasty ones."""

from __future__ import annotations

import random

import pytest

from triage_tui.guest.arch import by_name
from triage_tui.guest.log.argument_text import split_arguments, unquote
from triage_tui.guest.log.logged_items import Item, LoggedCall
from triage_tui.guest.log.result_text import parse_result
from triage_tui.guest.log.strace import BEGINS_CALL, StraceReader, calls_begun
from triage_tui.guest.log.syscall_record import new_record, set_result
from triage_tui.runs.model import Syscall


def read(data: bytes, complete: bool = False) -> tuple[list[Item], StraceReader]:
    reader = StraceReader()
    return reader.feed(data, complete), reader


def record(line: bytes, arch: str = "mipsel") -> Syscall:
    items, reader = read(line)
    call = items[0]
    assert isinstance(call, LoggedCall)
    made = new_record(1, call, by_name(arch), 5)
    if reader.finished:
        set_result(made, reader.finished[0], by_name(arch))
    return made


def test_one_call_with_its_result() -> None:
    made = record(b'2 openat(AT_FDCWD,"/etc/passwd",O_RDONLY) = -1 errno=2 (No such file or directory)\n')
    assert (made.name, made.path, made.ret, made.errno) == ("openat", "/etc/passwd", -2, "ENOENT")
    assert made.arguments == ["AT_FDCWD", '"/etc/passwd"', "O_RDONLY"]
    assert made.num == by_name("mipsel").syscall_nr("openat")


def test_errno_is_the_guests() -> None:
    assert record(b"2 set_robust_list(1,12,0,0,0,0) = -1 errno=89 (x)\n", "mipsel").errno == "ENOSYS"
    assert record(b"2 set_robust_list(1,12,0,0,0,0) = -1 errno=38 (x)\n", "arm").errno == "ENOSYS"


def test_interface_request_with_nul_bytes() -> None:
    line = b'2 ioctl(5,SIOCGIFINDEX,{"lan0' + b"\0" * 12 + b'",2}) = -1 errno=19 (No such device)\n'
    made = record(line)
    assert (made.request, made.interface, made.errno) == ("SIOCGIFINDEX", "lan0", "ENODEV")


def test_address_and_quoted_parentheses() -> None:
    line = b'2 bind(4,{sin_family=AF_INET,sin_port=htons(1701),sin_addr=inet_addr("0.0.0.0")}, 16) = 0\n'
    made = record(line, "aarch64")
    assert made.peer == "inet:0.0.0.0:1701"
    assert made.arguments[2] == "16"


def test_unknown_call_gets_enosys_and_the_emulators_remark() -> None:
    items, reader = read(b"2 Unknown syscall 4367\nUnsupported syscall: 4367\n2 getpid() = 2\n")
    call = items[0]
    assert isinstance(call, LoggedCall)
    made = new_record(1, call, by_name("mipsel"), 0)
    set_result(made, reader.finished[0], by_name("mipsel"))
    assert (made.name, made.ret, made.errno) == ("statx" if made.num == 4366 else made.name, -89, "ENOSYS")
    assert "Unsupported syscall: 4367" in (made.note or "")
    assert [item.name for item in items] == ["syscall_4367", "getpid"]


def test_a_socket_option_that_the_emulator_does_not_know() -> None:
    """Its words about getsockopt begin in another way than all others."""
    remark = b"getsockopt level=1 optname=77 not yet supported"
    begun = b"2 getsockopt(3,1,77,0x40800a,0x40800e)" + remark + b"\n"
    waiting = StraceReader()
    waiting.writes_result = True
    waiting.feed(begun + b" = ", complete=True)
    assert [(call.name, call.arguments) for call in waiting.pending] == [
        ("getsockopt", b"3,1,77,0x40800a,0x40800e")
    ]
    whole = StraceReader()
    whole.feed(begun + b" = -1 errno=95 (Operation not supported)\n2 getpid() = 2\n")
    first, second = whole.finished
    assert (first.arguments, first.note) == (b"3,1,77,0x40800a,0x40800e", f"the emulator: {remark.decode()}")
    assert first.result == b"-1 errno=95 (Operation not supported)"
    assert second.name == "getpid"


def test_a_waiting_call_is_complete_only_when_said_so() -> None:
    text = b'2 openat(AT_FDCWD,"/a(b)'
    items, reader = read(text)
    assert items == []
    assert reader.feed(b'",O_RDONLY)') == []
    (call,) = reader.feed(b"", complete=True)
    assert isinstance(call, LoggedCall)
    assert call.arguments == b'AT_FDCWD,"/a(b)",O_RDONLY'
    assert reader.pending == [call]
    reader.feed(b" = 3\n")
    assert reader.finished == [call]
    assert call.result == b"3"


def test_exit_has_a_line_end_and_no_result() -> None:
    items, reader = read(b"2 exit_group(1)\n", complete=True)
    assert [item.name for item in items] == ["exit_group"]
    assert reader.pending[0].arguments == b"1"


def test_signal_between_result_and_next_call() -> None:
    data = (
        b"2 wait4(-1,1,0,0,0,0) = 6\n"
        b"--- SIGCHLD {si_signo=SIGCHLD, si_code=1, si_pid=6} ---\n"
        b"2 sigreturn(17,0,1,1,0,0) = -1 errno=513 (Successful exit from sigreturn)\n"
    )
    items, reader = read(data)
    assert [item.name for item in items] == ["wait4", "SIGCHLD", "sigreturn"]
    assert parse_result(reader.finished[1].result or b"").value is None


def test_newlines_quotes_and_invalid_utf8_in_a_path() -> None:
    path = b'/tmp/a\nb"\xff\xfe\x1b]52;c;x\x07'
    line = b'2 openat(AT_FDCWD,"' + path + b'",O_RDONLY) = -1 errno=2 (No such file or directory)\n'
    items, reader = read(line + b"2 getpid() = 2\n")
    assert [item.name for item in items] == ["openat", "getpid"]
    made = new_record(1, reader.finished[0], by_name("arm"), 0)
    assert made.arguments[1].startswith('"/tmp/a\nb')
    assert reader.lost == 0


@pytest.mark.parametrize("step", [1, 2, 7, 64])
def test_pieces_give_the_same_as_the_whole(step: int) -> None:
    data = (
        b"2 brk(NULL) = 0x00638000\n2 Unknown syscall 398\nUnsupported syscall: 398\n"
        b'2 readlink("/proc/self/exe",0x407ff730,4096) = 40\n'
        b"--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER} ---\n"
        b"2 clock_gettime(CLOCK_REALTIME,0x1) = 0 ({tv_sec = 1,tv_nsec = 2})\n"
    )
    whole, _ = read(data)
    reader = StraceReader()
    pieces = [item for at in range(0, len(data), step) for item in reader.feed(data[at : at + step])]
    assert [item.name for item in pieces] == [item.name for item in whole]
    assert [call.result for call in reader.finished] == [
        b"0x00638000",
        b"ENOSYS",
        b"40",
        b"0 ({tv_sec = 1,tv_nsec = 2})",
    ]


def test_garbage_is_skipped_and_bounded() -> None:
    generator = random.Random(1)
    noise = bytes(generator.randrange(256) for _ in range(200_000))
    reader = StraceReader()
    for at in range(0, len(noise), 999):
        reader.feed(noise[at : at + 999])
    items = reader.feed(b"\n2 getpid() = 2\n")
    assert [item.name for item in items][-1:] == ["getpid"]
    assert reader.lost > 100_000


def test_a_call_without_an_end_is_given_up() -> None:
    reader = StraceReader()
    reader.feed(b'2 execve("/x",{"' + b"A" * (9 << 20))
    assert [item.name for item in reader.feed(b'"})\n2 getpid() = 2\n')][-1:] == ["getpid"]


def test_arguments_split_at_the_top_level_only() -> None:
    assert split_arguments(b'"a,b",{x,{y,z}},3') == [b'"a,b"', b"{x,{y,z}}", b"3"]
    assert split_arguments(b'[a,b], (c,d) ,}e,"f') == [b"[a,b]", b"(c,d)", b"}e", b'"f']
    assert split_arguments(b'"unclosed,{a,b') == [b'"unclosed,{a,b']
    assert split_arguments(b'1,"/a"b,c",2') == [b"1", b'"/a"b,c"', b"2"]
    assert split_arguments(b'{"a","b"},"c"...,3') == [b'{"a","b"}', b'"c"...', b"3"]
    assert split_arguments(b"1,2,3,4", limit=2) == [b"1", b"2,3,4"]
    assert split_arguments(b"") == []
    assert unquote(b'"a"') == b"a"
    assert unquote(b"a") is None


def test_calls_are_counted_without_reading_them() -> None:
    text = (
        b'2 openat(AT_FDCWD,"/a\n3 x",O_RDONLY) = 3\n2 Unknown syscall 4367\nUnsupported syscall: 4367\n'
        b"--- SIGALRM {si_signo=SIGALRM} ---\n12345 CONNECT(3,...) = 0\n2 12 = 0\n2 read(3,0x10,1)"
    )
    assert calls_begun(text) == [b"openat", b"", b"CONNECT", b"read"]
    assert calls_begun(text) == BEGINS_CALL.findall(text)
    assert calls_begun(b"") == []
