"""What a rule keeps from happening, refuses as a kernel would, or sends elsewhere; on real programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.diagnosis.recorded import load_case, parse_trace, write_run
from tests.diagnosis.recorded import run_of as recorded
from tests.guest.helpers import shell, spec
from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.diagnosis.report import diagnose
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.supervisor import Guest
from triage_tui.proposals.build import propose
from triage_tui.rulebook.check.lint import lint
from triage_tui.rulebook.rulefile import parse
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import Answer, GuestCall
from triage_tui.rulehost.sources import RuleSource
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.model import Reason
from triage_tui.runs.reader import Run

Rootfs = Callable[[str], Path]
PLACE = 0x1000
PROGRAMS = [("busybox-armhf", "arm"), ("busybox-s390x", "s390x")]


def run_of(trace: str, tmp_path: Path, arch: str = "arm", reason: Reason = "exit") -> Run:
    return write_run(
        tmp_path / "runs", parse_trace(trace.encode()), reason=reason, argv=["/sbin/x"], code=1, arch=arch
    )


def rules(run: Run, template: str) -> tuple[Proposal, list[RuleSource]]:
    """The proposal of a template, and its rules, which the lint has nothing against."""
    proposal = next(one for one in propose(run, diagnose(run)) if one.template == template)
    found = []
    for file in proposal.files:
        text = (run.dir / "rules_patch" / file).read_bytes()
        assert lint(text, file, run.snapshot.target.arch) == []
        rule = parse(text)
        found.append(
            RuleSource(rule.header.id, Path(file).name.split("@")[0], rule.source, rule.header.hit_limit)
        )
    return proposal, found


def ask(sources: list[RuleSource], guest: MemoryGuest, name: str, *args: int) -> Answer:
    with RuleHost(sources, guest) as host:
        answer = host.call(GuestCall(name, 1, args))
    assert answer.error is None
    return answer


def outcome(
    sources: list[RuleSource], program: str, arch: str, rootfs: Rootfs, qemu_dir: Path, *words: str
) -> tuple[int | None, bytes, list[str]]:
    """Return exit code, output and the rules' log of a real program under the rules."""
    access = RuleAccess(by_name(arch))
    with RuleHost(sources, access) as host:
        how = spec(rootfs(program), qemu_dir, *words)
        with Guest.start(how, host, access=access) as guest:
            stop = guest.run_until_stop()
            assert stop.reason == "exit"
            return stop.exit_code, guest.output(), guest.rule_log


REBOOT = "2 reboot(LINUX_REBOOT_MAGIC1,LINUX_REBOOT_MAGIC2) = -1 errno=1 (Operation not permitted)\n"


@pytest.mark.parametrize(("program", "arch"), PROGRAMS)
def test_a_restart_is_blocked_and_logged(
    program: str, arch: str, rootfs: Rootfs, qemu_dir: Path, tmp_path: Path
) -> None:
    run = run_of(REBOOT + "2 exit_group(1)\n", tmp_path, arch)
    _, sources = rules(run, "reboot_blocked")
    code, output, log = outcome(sources, program, arch, rootfs, qemu_dir, "/bin/busybox", "reboot", "-f")
    assert (code, output) == (0, b"")
    assert any("command 0x1234567" in line for line in log), "LINUX_REBOOT_CMD_RESTART"


@pytest.mark.parametrize(("program", "arch"), PROGRAMS)
def test_a_signal_to_the_first_process_is_blocked_and_logged(
    program: str, arch: str, rootfs: Rootfs, qemu_dir: Path, tmp_path: Path
) -> None:
    run = run_of(
        "2 kill(1,SIGKILL) = -1 errno=1 (Operation not permitted)\n2 exit_group(1)\n", tmp_path, arch
    )
    _, sources = rules(run, "signal_blocked")
    words = ("/bin/busybox", "kill", "-9", "1")
    code, _, log = outcome(sources, program, arch, rootfs, qemu_dir, *words)
    assert code == 0
    assert any("signal 9" in line for line in log)
    assert not ask(sources, MemoryGuest(), "kill", 7, 9).intercept
    assert not ask(sources, MemoryGuest(), "kill", 1, 0).intercept, "it only asks whether there is one"


@pytest.mark.parametrize("given", [-1, 0xFFFFFFFF, 0x1_FFFF_FFFF])
def test_all_processes_are_minus_one_however_long_the_word(given: int, tmp_path: Path) -> None:
    run = run_of("2 kill(-1,SIGTERM) = -1 errno=1 (Operation not permitted)\n2 exit_group(1)\n", tmp_path)
    _, sources = rules(run, "signal_blocked")
    assert ask(sources, MemoryGuest(word=8), "kill", given, 15).intercept


NOT_THERE = "-1 errno=20 (Not a directory)"


@pytest.mark.parametrize(("program", "arch"), PROGRAMS)
def test_what_cannot_be_written_goes_to_a_copy_and_is_read_from_there(
    program: str, arch: str, rootfs: Rootfs, qemu_dir: Path, tmp_path: Path
) -> None:
    path = "/bin/busybox/state"
    run = run_of(
        f'2 openat(AT_FDCWD,"{path}",O_WRONLY|O_CREAT|O_TRUNC,0666) = {NOT_THERE}\n2 exit_group(1)\n',
        tmp_path,
        arch,
    )
    proposal, sources = rules(run, "writable_copy")
    assert "/run/copies/bin/busybox/state" in proposal.title
    script = f"echo kept > {path} && cat {path} && cat /bin/busybox/other"
    code, output, _ = outcome(sources, program, arch, rootfs, qemu_dir, *shell(script))
    assert output.startswith(b"kept\ncat: can't open '/bin/busybox/other': Not a directory")
    assert code == 1


def test_a_copy_begins_as_the_file_that_cannot_be_written(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "state").write_bytes(b"old \xff")
    refused = "-1 errno=30 (Read-only file system)"
    run = write_run(
        tmp_path / "runs",
        parse_trace(f'2 openat(AT_FDCWD,"/etc/state",O_RDWR) = {refused}\n2 exit_group(1)\n'.encode()),
        reason="exit", argv=["/sbin/x"], code=1, rootfs=root,
    )  # fmt: skip
    _, sources = rules(run, "writable_copy")
    guest = MemoryGuest()
    guest.map(PLACE, b"/etc/state\0")
    ask(sources, guest, "openat", 0, PLACE, 2)
    assert guest.files == {b"/run/copies/etc/state": (b"old \xff", 0o644)}


@pytest.mark.parametrize(("program", "arch"), PROGRAMS)
def test_a_flash_partition_is_erased_and_has_an_end(
    program: str, arch: str, rootfs: Rootfs, qemu_dir: Path, tmp_path: Path
) -> None:
    run = run_of(
        '2 openat(AT_FDCWD,"/dev/mtd1",O_RDONLY) = -1 errno=2 (No such file or directory)\n2 exit_group(1)\n',
        tmp_path,
        arch,
    )
    _, sources = rules(run, "flash_partition")
    script = "wc -c < /dev/mtd1 && head -c 3 /dev/mtd1 | hexdump -v -e '/1 \"%02x\"'"
    code, output, _ = outcome(sources, program, arch, rootfs, qemu_dir, *shell(script))
    assert (code, output) == (0, b"65536\nffffff")


@pytest.mark.parametrize(("program", "arch"), PROGRAMS)
def test_a_descriptor_that_the_program_closed_too_early_stays_open(
    program: str, arch: str, rootfs: Rootfs, qemu_dir: Path, tmp_path: Path
) -> None:
    bad = "2 dup2(9,1) = -1 errno=9 (Bad file descriptor)\n" * 30
    run = run_of(f"2 close(9) = 0\n{bad}", tmp_path, arch, reason="loop")
    proposal, sources = rules(run, "keep_descriptor")
    assert "call 1" in proposal.intent
    script = "exec 9>/x; exec 9>&-; echo a >&9 && cat /x"
    code, output, _ = outcome(sources, program, arch, rootfs, qemu_dir, *shell(script))
    assert (code, output) == (0, b"a\n")


def test_a_descriptor_that_was_never_closed_is_not_kept(tmp_path: Path) -> None:
    bad = "2 dup2(9,1) = -1 errno=9 (Bad file descriptor)\n" * 30
    run = run_of(f"2 close(8) = 0\n{bad}", tmp_path, reason="loop")
    assert all(one.template != "keep_descriptor" for one in propose(run, diagnose(run)))


NETLINK = (
    "2 socket(PF_NETLINK,SOCK_RAW,NETLINK_GENERIC) = 3\n"
    "2 sendmsg(3,{...},0) = -1 errno=95 (Operation not supported)\n2 exit_group(1)\n"
)


def test_messages_that_are_refused_go_to_a_socket_that_acknowledges(tmp_path: Path) -> None:
    run = run_of(NETLINK, tmp_path)
    _, sources = rules(run, "netlink_instead")
    assert [source.syscall for source in sources] == ["socket"]
    assert ask(sources, MemoryGuest(), "socket", 16, 3, 16).intercept
    assert not ask(sources, MemoryGuest(), "socket", 16, 3, 0).intercept
    assert not ask(sources, MemoryGuest(), "socket", 2, 1, 16).intercept


ENOSYS = "-1 errno=38 (Function not implemented)"


@pytest.mark.parametrize(
    ("call", "template", "error"),
    [
        ("ioctl(3,0x7b01,0x1000)", "request_refused", 25),
        ('ioctl(3,0x8946,{"eth0",0})', "interface_request_refused", 122),
    ],
)
def test_a_request_that_only_the_emulator_lacks_is_refused_as_a_kernel_does(
    call: str, template: str, error: int, tmp_path: Path
) -> None:
    run = run_of(f"2 socket(PF_INET,SOCK_DGRAM,0) = 3\n2 {call} = {ENOSYS}\n2 exit_group(1)\n", tmp_path)
    proposal, sources = rules(run, template)
    assert proposal.risk == "low"
    number = int(call.split(",")[1], 16)
    answer = ask(sources, MemoryGuest(), "ioctl", 3, number, PLACE)
    assert (answer.intercept, answer.ret) == (True, -error)
    assert not ask(sources, MemoryGuest(), "ioctl", 3, number + 1, PLACE).intercept


def test_advice_to_the_kernel_is_taken_and_its_policy_is_the_default_one(tmp_path: Path) -> None:
    run = run_of(f"2 ioprio_set(1,0,3) = {ENOSYS}\n2 exit_group(1)\n", tmp_path)
    _, sources = rules(run, "advice_taken")
    assert ask(sources, MemoryGuest(), "ioprio_set", 1, 0, 3).intercept
    _, sources = rules(recorded(load_case("numa-unsupported-arm64"), tmp_path), "default_policy")
    guest = MemoryGuest(word=8)
    guest.map(PLACE, b"\xaa" * 64)
    assert ask(sources, guest, "get_mempolicy", PLACE, PLACE + 16, 65, 0, 0).intercept
    assert guest.read_bytes(PLACE, 32) == bytes(4) + b"\xaa" * 12 + bytes(8) + b"\xaa" * 8
    assert ask(sources, guest, "get_mempolicy", 0, 0, 0, 0, 0).intercept
