"""What rules can do to a real guest: each answer is seen by the unmodified program."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.helpers import carried, shell, spec
from tests.programs import root_with
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.freezing.stops import Stop
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.protocol import Answer, GuestCall

Rootfs = Callable[[str], Path]
Rule = Callable[[RuleAccess, GuestCall], Answer]


class Rules:
    """A rule caller that answers with Python functions, one for each guest syscall."""

    def __init__(self, access: RuleAccess, rules: dict[str, Rule]) -> None:
        self.access = access
        self.rules = rules
        self.calls: list[GuestCall] = []

    sees_all = False

    def look(self) -> None:
        pass

    def hooks(self) -> set[str]:
        return set(self.rules)

    def call(self, call: GuestCall) -> Answer:
        self.calls.append(call)
        return self.rules[call.name](self.access, call)

    def returned(self, call: GuestCall, ret: int) -> Answer:
        raise AssertionError("no rule here asks for results")


def start(arch: str, how: LaunchSpec, rules: dict[str, Rule]) -> tuple[Guest, Rules]:
    access = RuleAccess(by_name(arch))
    caller = Rules(access, rules)
    return Guest.start(how, caller, access=access), caller


def run(arch: str, how: LaunchSpec, rules: dict[str, Rule]) -> tuple[Stop, bytes, Rules, list[str]]:
    guest, caller = start(arch, how, rules)
    with guest:
        return guest.run_until_stop(), guest.output(), caller, guest.problems


ARCHES = [("busybox-armel", "arm"), ("busybox-mipsel", "mipsel"), ("busybox-arm64", "aarch64")]


@pytest.mark.usefixtures("carrier")
@carried("program,arch", *ARCHES)
def test_file_in_memory(rootfs: Rootfs, qemu_dir: Path, program: str, arch: str) -> None:
    def answer(access: RuleAccess, call: GuestCall) -> Answer:
        path = access.read_bytes(call.args[1], 11)
        assert path == b"/dev/nosuch"
        assert access.read_registers()[by_name(arch).syscall_number] == call.num
        return Answer(intercept=True, ret=access.open_bytes(b"forged\n", False), rule="r")

    stop, output, caller, problems = run(
        arch, spec(rootfs(program), qemu_dir, "/bin/busybox", "cat", "/dev/nosuch"), {"openat": answer}
    )
    assert (stop.exit_code, output, problems) == (0, b"forged\n", [])
    assert len(caller.calls) == 1


@pytest.mark.usefixtures("carrier")
@carried("program,arch", *ARCHES)
def test_errno_reaches_the_guest_in_its_own_numbers(
    rootfs: Rootfs, qemu_dir: Path, program: str, arch: str
) -> None:
    refused = by_name(arch).errno_number("ECONNREFUSED")
    assert refused is not None
    _stop, output, _caller, _problems = run(
        arch,
        spec(rootfs(program), qemu_dir, "/bin/busybox", "cat", "/x"),
        {"openat": lambda _access, _call: Answer(intercept=True, ret=-refused)},
    )
    assert b"Connection refused" in output


@pytest.mark.usefixtures("carrier")
@carried("program,arch", *ARCHES)
def test_provided_file_and_directory(rootfs: Rootfs, qemu_dir: Path, program: str, arch: str) -> None:
    results: list[int] = []

    def answer(access: RuleAccess, call: GuestCall) -> Answer:
        results.append(access.provide_file(b"/var/lib/x/conf", b"given\n", 0o644))
        results.append(access.provide_file(b"/var/lib/x/conf", b"again\n", 0o644))
        results.append(access.mkdir_p(b"/var/lib/y", 0o700))
        results.append(access.mkdir_p(b"/bin/busybox", 0o700))
        return Answer()

    root = rootfs(program)
    stop, output, _caller, problems = run(
        arch, spec(root, qemu_dir, "/bin/busybox", "cat", "/var/lib/x/conf"), {"openat": answer}
    )
    exists = by_name(arch).errno_number("EEXIST") or 0
    assert results == [0, -exists, 0, -exists]
    assert (stop.exit_code, output, problems) == (0, b"given\n", [])
    assert not (root / "var").exists()


def test_links_of_a_hostile_root_lead_nowhere(rootfs: Rootfs, qemu_dir: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "busybox").write_bytes((rootfs("busybox-armel") / "bin/busybox").read_bytes())
    (root / "bin" / "busybox").chmod(0o755)
    (root / "absolute").symlink_to(outside)
    (root / "relative").symlink_to("../../../../../../../.." + str(outside))

    def answer(access: RuleAccess, _call: GuestCall) -> Answer:
        access.provide_file(b"/absolute/a", b"x", 0o644)
        access.provide_file(b"/relative/b", b"x", 0o644)
        access.provide_file(b"/../../../../.." + os.fsencode(outside) + b"/c", b"x", 0o644)
        return Answer()

    stop, *_rest = run("arm", spec(root, qemu_dir, "/bin/busybox", "cat", "/x"), {"openat": answer})
    assert stop.reason == "exit"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(("program", "arch"), ARCHES)
def test_interface_request(rootfs: Rootfs, qemu_dir: Path, program: str, arch: str) -> None:
    names: list[bytes] = []

    def answer(access: RuleAccess, call: GuestCall) -> Answer:
        names.append(access.ifreq_name(call.args[2]))
        if call.args[1] == 0x8933:
            return Answer(intercept=True, ret=access.ifreq_set(call.args[2], "ifindex", 1), rule="index")
        if call.args[1] == 0x8927:
            return Answer(intercept=True, ret=access.ifreq_set(call.args[2], "hwaddr", b"\2\0\0\0\0\1"))
        return Answer()

    argv = ("/bin/busybox", "udhcpc", "-f", "-i", "lan0", "-s", "/bin/true")
    guest, _caller = start(arch, spec(rootfs(program), qemu_dir, *argv), {"ioctl": answer})
    with guest:
        guest.run_until_stop()
        assert names[0] == b"lan0"
        assert b"broadcasting discover" in guest.output()
        marked = [call for call in guest.history() if call.rule == "index"]
        assert marked[0].intercepted


@pytest.mark.usefixtures("each_carrier")
def test_missing_peer_is_replaced(rootfs: Rootfs, qemu_dir: Path) -> None:
    def answer(access: RuleAccess, call: GuestCall) -> Answer:
        return Answer(intercept=True, ret=access.connect_peer(call.args[0], "blackhole"), rule="peer")

    guest, _caller = start(
        "arm", spec(rootfs("busybox-armel"), qemu_dir, "/bin/busybox", "logger", "hello"), {"connect": answer}
    )
    with guest:
        stop = guest.run_until_stop()
        (connect,) = [call for call in guest.history() if call.name == "connect"]
        (send,) = [call for call in guest.history() if call.name in ("send", "sendto", "write")]
        assert (stop.exit_code, connect.ret, connect.peer) == (0, 0, "unix:/dev/log")
        assert (send.ret or 0) > 10


def test_a_rule_changes_a_frozen_guest(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = ("/bin/busybox", "tail", "-s", "0", "-F", "/var/log/messages")
    with Guest.start(spec(rootfs("tail-armel"), qemu_dir, *argv)) as guest:
        assert guest.run_until_stop().reason == "sleep_loop"
        assert b"boot" not in guest.output()
        guest.resume(
            Rules(
                guest.access,
                {
                    "openat": lambda access, _: Answer(
                        ret=access.provide_file(b"/var/log/messages", b"boot\n", 420)
                    )
                },
            )
        )
        guest.run_until_stop()
        assert b"boot\n" in guest.output()
        with pytest.raises(TriageError, match="retry from the start"):
            guest.resume(Rules(guest.access, {"getdents64": lambda _access, _call: Answer()}))


def test_a_failing_rule_caller_does_not_stop_the_guest(rootfs: Rootfs, qemu_dir: Path) -> None:
    def answer(_access: RuleAccess, _call: GuestCall) -> Answer:
        raise RuntimeError("broken on purpose")

    stop, _output, _caller, problems = run(
        "arm", spec(rootfs("busybox-armel"), qemu_dir, *shell("cd /x; exit 3")), {"chdir": answer}
    )
    assert stop.exit_code == 3
    assert "broken on purpose" in problems[0]


def test_a_rule_calls_the_guests_own_service(tmp_path: Path, qemu_dir: Path) -> None:
    started: list[int] = []

    def answer(access: RuleAccess, _call: GuestCall) -> Answer:
        if not started:
            started.append(access.start_probe("127.0.0.1", 20, b"from a rule"))
        return Answer()

    root = root_with(tmp_path, "arm", "serves")
    guest, _caller = start("arm", spec(root, qemu_dir, "/bin/serves", "80"), {"accept": answer})
    with guest:
        assert guest.run_until_stop().reason == "idle"
        reads = [call for call in guest.history() if call.name == "read" and call.ret == len(b"from a rule")]
        assert (started, len(reads)) == ([0], 1)


def test_access_outside_a_call_is_an_error() -> None:
    access = RuleAccess(by_name("mipsel"))
    assert (access.word, access.endian, access.errno_number("ENOSYS")) == (4, "little", 89)
    with pytest.raises(OSError, match="no call"):
        access.read_bytes(0, 1)
