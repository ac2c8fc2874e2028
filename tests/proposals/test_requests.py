"""Answers to requests of devices: the numbers and structures are those of each architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.diagnosis.recorded import parse_trace, write_run
from tests.guest.helpers import spec
from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.diagnosis.report import diagnose
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.log.device_requests import request_name
from triage_tui.guest.supervisor import Guest
from triage_tui.proposals.build import propose
from triage_tui.proposals.requests import known_answer, request_number, sized_answer
from triage_tui.proposals.templates import load_library, read_templates
from triage_tui.rulebook.check.lint import lint
from triage_tui.rulebook.rulefile import parse
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import GuestCall
from triage_tui.rulehost.sources import RuleSource
from triage_tui.runs import guest_abi
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.reader import Run

WHEN = "2026-01-01T00:00:00+00:00"
ARGUMENT = 0x1000
REFUSED = "-1 errno=25 (Inappropriate ioctl for device)"


def run_with(tmp_path: Path, arch: str, *requests: str) -> Run:
    trace = "".join(f"2 ioctl(3,{request},0x1000) = {REFUSED}\n" for request in requests)
    trace = f'2 openat(AT_FDCWD,"/dev/null",O_RDONLY) = 3\n{trace}2 exit_group(1)\n'
    return write_run(
        tmp_path / arch, parse_trace(trace.encode()), reason="exit", argv=["/sbin/x"], code=1, arch=arch
    )


def fix(run: Run, template: str) -> Proposal:
    return next(one for one in propose(run, diagnose(run)) if one.template == template)


def source(run: Run, proposal: Proposal) -> RuleSource:
    (file,) = proposal.files
    text = (run.dir / "rules_patch" / file).read_bytes()
    assert lint(text, file, run.snapshot.target.arch) == []
    rule = parse(text)
    return RuleSource(rule.header.id, "ioctl", rule.source, rule.header.hit_limit)


@pytest.mark.parametrize("arch", ["arm", "mips", "mips64el", "i386", "ppc", "s390x"])
def test_the_numbers_are_those_that_the_log_names(arch: str) -> None:
    for entry in load_library().requests:
        assert request_name(by_name(arch), request_number(entry, arch)) in (entry.name, None), entry.name


@pytest.mark.parametrize(
    ("arch", "number", "at", "value"),
    [
        # offsetof(struct mtd_info_user, size): after a byte, three of padding and the flags.
        ("arm", 0x80204D01, 8, b"\x00\x00\x01\x00"),
        ("mips", 0x40204D01, 8, b"\x00\x01\x00\x00"),
        ("s390x", 0x80204D01, 8, b"\x00\x01\x00\x00"),
        # tm_year of struct rtc_time: years since 1900.
        ("arm", 0x80247009, 20, b"\x7e\x00\x00\x00"),
        ("mips", 0x40247009, 20, b"\x00\x00\x00\x7e"),
        ("mipsel", 0x40247009, 20, b"\x7e\x00\x00\x00"),
        # line_length of struct fb_fix_screeninfo: behind a word, so it lies elsewhere where words are longer.
        ("arm", 0x4602, 44, b"\x00\x0a\x00\x00"),
        ("s390x", 0x4602, 48, b"\x00\x00\x0a\x00"),
    ],
)
def test_a_rule_writes_the_structure_of_the_architecture(
    arch: str, number: int, at: int, value: bytes, tmp_path: Path
) -> None:
    run = run_with(tmp_path, arch, hex(number))
    proposal = fix(run, "device_answers")
    guest = MemoryGuest(endian=guest_abi.endian(arch), word=guest_abi.word(arch))
    guest.map(ARGUMENT, b"\xaa" * 256)
    with RuleHost([source(run, proposal)], guest) as host:
        answer = host.call(GuestCall("ioctl", 1, (3, number, ARGUMENT)))
        other = host.call(GuestCall("ioctl", 1, (3, number ^ 0x10, ARGUMENT)))
    assert (answer.intercept, answer.ret, answer.error) == (True, 0, None)
    assert not other.intercept
    assert guest.read_bytes(ARGUMENT + at, 4) == value
    known = known_answer(load_library().requests, arch, number, "", WHEN)
    assert known is not None
    size = int(known.structure.partition("(")[2].partition(" ")[0])
    assert guest.read_bytes(ARGUMENT + size, 1) == b"\xaa", "nothing behind the structure"
    assert guest.read_bytes(ARGUMENT + size - 1, 1) != b"\xaa"


def test_what_the_same_device_refused_too_is_answered_by_the_same_rule(tmp_path: Path) -> None:
    run = run_with(tmp_path, "arm", "0x80045704", "0xc0045706", "0x80247009")
    rule = source(run, fix(run, "device_answers"))
    text = rule.source.decode()
    # Which of the two devices comes first does not matter: it is never both.
    watchdog = [name in text for name in ("WDIOC_SETOPTIONS", "WDIOC_SETTIMEOUT")]
    assert watchdog in ([True, True], [False, False])
    assert ("RTC_RD_TIME" in text) != watchdog[0]


def test_an_answer_that_is_not_known_is_zero_as_far_as_its_number_says(tmp_path: Path) -> None:
    run = run_with(tmp_path, "mips", "0x400c7a01")
    proposal = fix(run, "zeroed_answer")
    assert proposal.risk == "high"
    guest = MemoryGuest(endian="big")
    guest.map(ARGUMENT, b"\xaa" * 64)
    with RuleHost([source(run, proposal)], guest) as host:
        assert host.call(GuestCall("ioctl", 1, (3, 0x400C7A01, ARGUMENT))).intercept
    assert guest.read_bytes(ARGUMENT, 16) == bytes(12) + b"\xaa" * 4


@pytest.mark.parametrize(
    ("arch", "number", "size"),
    [("arm", 0x80247009, 36), ("arm", 0x40247009, 0), ("mips", 0x40247009, 36), ("mips", 0x80247009, 0),
     ("arm", 0x5413, 0), ("arm", 0xBFFF7009, 0)],
)  # fmt: skip
def test_the_number_says_how_much_comes_back(arch: str, number: int, size: int) -> None:
    assert sized_answer(arch, number) == size


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"name": "X", "code": "p nine read"}, "DIRECTION"),
        ({"name": "X", "code": "p 300 read"}, "DIRECTION"),
        ({"name": "X"}, "which request"),
        ({"name": "X", "number": 5, "fields": "a u33"}, "a u33"),
        ({"name": "X", "number": 5, "fields": "a u8", "values": {"b": 1}}, "is no field"),
        ({"name": "X", "number": 5, "fields": "a u8", "values": {"a": 256}}, "does not fit"),
        ({"name": "X", "number": 5, "fields": "a i8", "values": {"a": -129}}, "does not fit"),
        ({"name": "X", "number": 5, "fields": "a u32", "values": {"a": "now.year"}}, "does not fit"),
        ({"name": "X", "number": 5, "fields": "a b4", "values": {"a": "12345"}}, "does not fit"),
        ({"name": "X", "number": 5, "fields": "a b9999, c u8"}, "more than"),
        ({"name": "X", "number": -1}, ">= 0"),
        ({"name": "x]]", "number": 1}, "matching"),
    ],
)
def test_a_mistake_in_a_request_is_told_and_costs_itself(
    entry: dict[str, Any], says: str, tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    good = {"name": "MINE", "number": 0x1234}
    (tmp_path / "templates" / "mine.yaml").write_text(
        yaml.safe_dump({"schema": 1, "requests": [entry, good]})
    )
    library = read_templates([tmp_path])
    (mistake,) = library.mistakes
    assert says in mistake.sentence()
    assert library.requests[0].name == "MINE", "a person's own come first"


Rootfs = Callable[[str], Path]


@pytest.mark.parametrize(("program", "arch"), [("busybox-armhf", "arm"), ("busybox-mipsel", "mipsel")])
def test_a_real_program_reads_the_clock_that_a_rule_answers_for(
    program: str, arch: str, rootfs: Rootfs, qemu_dir: Path, tmp_path: Path
) -> None:
    opened = RuleSource(
        "opened", "openat",
        b'function do_syscall(num, fd, path)\n  local text = c_read_string(path, 64)\n'
        b'  if text ~= "/dev/misc/rtc" then return 0, 0 end\n'
        b'  return 1, c_open_host("/dev/null", 0, 0)\nend\n',
    )  # fmt: skip
    run = run_with(tmp_path, arch, "RTC_RD_TIME")
    answered = source(run, fix(run, "device_answers"))
    access = RuleAccess(by_name(arch))
    how = spec(rootfs(program), qemu_dir, "/bin/busybox", "hwclock", "-r", "-u")
    with RuleHost([opened, answered], access) as host, Guest.start(how, host, access=access) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 0)
        assert guest.output().startswith(b"Thu Jan  1 00:00:00 2026")
