"""Which memory is kept of a stop: what calls point to, one level deep, and what code names."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.guest.handmade import CODE, STACK, HandmadeGuest
from triage_tui.guest.record.call_objects import CallObjects
from triage_tui.guest.record.named_objects import Named, add_named, text_at
from triage_tui.guest.record.objects import ObjectCollector
from triage_tui.guest.state.memory import Memory
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.model import Syscall
from triage_tui.runs.writer import RunWriter


def collected(guest: HandmadeGuest, directory: Path, call: Syscall) -> dict[str, MemoryObject]:
    memory = Memory(guest, guest.arch)
    collector = ObjectCollector(memory, RunWriter(directory))
    CallObjects(memory, collector).add(guest.arch, call, "trigger")
    return {entry.id: entry for entry in collector.objects}


def said(entry: MemoryObject) -> dict[str, str]:
    return {one.name: one.text for one in entry.fields}


@pytest.mark.parametrize(("arch", "sign"), [("arm", "<"), ("mips", ">"), ("aarch64", "<")])
def test_a_message_is_kept_with_its_address_and_buffers(tmp_path: Path, arch: str, sign: str) -> None:
    guest = HandmadeGuest(arch)
    word = guest.arch.word
    address = struct.pack(f"{sign}H", 1) + b"/run/peer.sock\0"
    guest.put(STACK + 0x100, address)
    request = b"GET /status HTTP/1.0\r\n\r\n"
    guest.put(STACK + 0x200, request)
    for number, value in enumerate((STACK + 0x200, len(request), STACK + 0x300, 5)):
        guest.word(STACK + 0x400 + number * word, value)
    guest.put(STACK + 0x300, b"abcde")
    header = STACK + 0x500
    guest.word(header, STACK + 0x100)
    guest.put(header + word, struct.pack(f"{sign}i", len(address)))
    guest.word(header + 2 * word, STACK + 0x400)
    guest.word(header + 3 * word, 2)
    found = collected(guest, tmp_path, Syscall(seq=9, name="sendmsg", args=[3, header, 0]))
    below = ("msg_name", "msg_iov", "iov0", "iov1")
    assert set(found) == {"trigger_arg1", *(f"trigger_arg1.{name}" for name in below)}
    assert found["trigger_arg1"].kind == "struct msghdr"
    assert found["trigger_arg1.msg_name"].kind == "struct sockaddr_un"
    assert said(found["trigger_arg1.msg_name"])["sun_path"] == '"/run/peer.sock"'
    assert found["trigger_arg1.iov0"].kind == "http request"
    assert said(found["trigger_arg1.iov0"])["request"] == "GET /status HTTP/1.0"
    for entry in found.values():
        assert entry.seq == 9
        assert entry.blob is not None
        assert entry.how
        assert "sendmsg (syscall 9)" in entry.purpose


def test_the_list_of_interfaces_and_arguments_of_a_program(tmp_path: Path) -> None:
    guest = HandmadeGuest("mips")
    guest.put(STACK + 0x100, struct.pack(">i", 32))
    guest.word(STACK + 0x104, STACK + 0x200)
    guest.put(STACK + 0x200, b"lan0".ljust(16, b"\0") + struct.pack(">HH4B", 2, 0, 10, 0, 0, 1) + bytes(8))
    call = Syscall(seq=4, name="ioctl", args=[3, 0x8912, STACK + 0x100], request="SIOCGIFCONF")
    found = collected(guest, tmp_path / "a", call)
    assert said(found["trigger_arg2.ifc_buf"]) == {
        "[0].ifr_name": '"lan0"', "[0].ifr_addr.sin_family": "AF_INET", "[0].ifr_addr.sin_port": "0",
        "[0].ifr_addr.sin_addr": "10.0.0.1", "[0].ifr_addr.sin_zero": "all zero",
    }  # fmt: skip
    guest.put(STACK + 0x300, b"/sbin/ip\0link\0")
    for number, value in enumerate((STACK + 0x300, STACK + 0x309, 0)):
        guest.word(STACK + 0x400 + 4 * number, value)
    call = Syscall(seq=5, name="execve", args=[STACK + 0x300, STACK + 0x400, 0])
    found = collected(guest, tmp_path / "b", call)
    assert said(found["trigger_arg1"]) == {"[0]": '"/sbin/ip"', "[1]": '"link"'}
    assert "trigger_arg1.0" not in found
    guest.word(STACK + 0x400, STACK + 0x309)
    found = collected(guest, tmp_path / "c", call)
    assert found["trigger_arg1.0"].string == "link"
    assert found["trigger_arg0"].string == "/sbin/ip"


@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF, STACK + 0x3FFC])
def test_pointers_to_nowhere_are_said_and_cost_nothing(tmp_path: Path, value: int) -> None:
    guest = HandmadeGuest("arm")
    for number in range(7):
        guest.word(STACK + 4 * number, value)
    for name in ("sendmsg", "writev", "execve", "ioctl", "recvmsg", "nosuchcall"):
        call = Syscall(
            seq=1, name=name, args=[value, STACK, value, value, value, value], request="SIOCGIFCONF"
        )
        for entry in collected(guest, tmp_path / f"{name}{value}", call).values():
            assert entry.blob is not None or entry.blob_err or entry.string_err
            assert entry.blob is None or entry.blob.size <= 4096


def test_what_the_code_names_is_kept_strings_first(tmp_path: Path) -> None:
    guest = HandmadeGuest("arm")
    guest.put(CODE + 0x1000, b"cannot open %s\n\0")
    guest.put(CODE + 0x1100, b"\x01\x02\x03\x04")
    guest.word(STACK + 0x10, CODE + 0x1000)
    memory = Memory(guest, guest.arch)
    collector = ObjectCollector(memory, RunWriter(tmp_path))
    frames = [
        Frame(idx=0, addr=CODE, addr_hex="", module_name="libc.so.6"),
        Frame(idx=1, addr=CODE, addr_hex="", module_name="program", func_name="load"),
    ]
    named = [
        Named(1, STACK + 0x10, 1),
        Named(1, CODE + 0x1000, -7),
        Named(1, CODE + 0x1100, 0),  # Neither text nor a variable.
        Named(1, CODE + 0x1200, 500),
        Named(0, STACK + 0x20, 0),  # Of a library, which names it for itself.
        Named(1, 0x500, 0),
    ]
    add_named(guest.arch, memory, collector, named, frames, "/bin/program")
    text, variable = collector.objects
    assert (text.id, text.string, text.frame) == (f"code1_0x{CODE + 0x1000:x}", "cannot open %s\n", 1)
    assert text.how == "address in load, 7 lines before the point"
    assert (variable.tag, said(variable)) == ("data", {"points to": '"cannot open %s\n"'})


@pytest.mark.parametrize(
    ("text", "is_string"),
    [
        (b"t)s^", False),
        (b"E@x!", False),
        (b"/dev/x", True),
        (b"%s\n", True),
        (b"eth0", True),
        (b"no!", False),
    ],
)
def test_bytes_that_are_printable_by_chance_are_no_string(text: bytes, is_string: bool) -> None:
    guest = HandmadeGuest("arm")
    guest.put(CODE + 0x800, text + b"\0")
    found = text_at(Memory(guest, guest.arch), CODE + 0x800)
    assert found == (text if is_string else None)
