"""A real program makes every forbidden call: what it is told, what is recorded, and that nothing happened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.helpers import as_ordinary_user, spec
from tests.guest.host_state import host_state, tree_state
from tests.programs import build, root_with
from triage_tui.errors import TriageError
from triage_tui.guest.cell.policy import ContainmentPolicy
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.protocol import Answer, GuestCall

ARCHES = ("arm", "mips", "aarch64", "x86_64", "ppc")

REFUSED = str.split(
    "mount umount2 pivot_root reboot sethostname setdomainname settimeofday stime clock_settime "
    "clock_settime64 adjtimex clock_adjtime swapon swapoff init_module finit_module delete_module "
    "kexec_load kexec_file_load bpf perf_event_open ptrace process_vm_readv process_vm_writev "
    "userfaultfd io_uring_setup open_by_handle_at setns unshare add_key request_key keyctl quotactl "
    "acct personality iopl ioperm syslog vhangup fanotify_init seccomp open_tree move_mount fsopen "
    "fsconfig fsmount fspick mount_setattr pidfd_getfd name_to_handle_at"
)
"""System calls that the program makes by number: EPERM, or ENOSYS where the emulator does not know them."""

ANSWERS = {
    "kill outside": "ESRCH",
    "kill init": "EPERM",
    "kill init by pidfd": "EPERM",
    "kill init by directory": "EPERM",
    "ask for init by pidfd": "-",
    "signal itself by pidfd": "-",
    "AF_XDP": "EAFNOSUPPORT",
    "AF_TIPC": "EAFNOSUPPORT",
    "rt_sigqueueinfo": "EPERM",
    "tgkill": "ESRCH",
    "PR_SET_SECCOMP": "EINVAL",
    "PR_SET_DUMPABLE": "-",
    "SIOCSIFFLAGS": "EPERM",
    "SIOCSIFADDR": "EPERM",
    "SIOCSIFNETMASK": "EPERM",
    "SIOCSIFMTU": "EPERM",
    "SIOCSIFHWADDR": "EPERM",
    "SIOCADDRT": "EPERM",
    "TIOCSTI": "EPERM",
    "mknod mem": "EPERM",
    "mknod sda": "EPERM",
    "open mem": "ENOENT",
    "memory outside": "ENOENT",
    "files outside": "ENOENT",
    "files of init": "EACCES",
    "setrlimit": "EPERM",
    "setpriority": "EACCES",
    "setpriority outside": "ESRCH",
}
WRITES = ("hostname", "core_pattern", "drop_caches", "sysrq", "memory of init")
"""Files of /proc that set the kernel, or are a process's memory."""

NOTED = frozenset(REFUSED) | {"kill", "tgkill", "mknod", "mknodat"}
"""Calls whose refusal has to be evidence in the record; ioctl is looked at by request."""


def answers(output: str) -> dict[str, tuple[int, str]]:
    """Return what the program printed: name -> result, name of the error."""
    found: dict[str, tuple[int, str]] = {}
    for line in output.splitlines():
        name, result, error = line.rsplit(" ", 2)
        found.setdefault(name, (int(result), error))
    return found


def check_answers(found: dict[str, tuple[int, str]]) -> None:
    for name in set(REFUSED) & set(found):
        result, error = found[name]
        # open_by_handle_at and its like read their arguments first.
        assert result == -1, name
        assert error in ("EPERM", "ENOSYS", "EFAULT"), (name, error)
    assert len(set(REFUSED) & set(found)) >= 45
    for name, error in ANSWERS.items():
        assert found[name][1] == error, (name, found[name])
    for name in WRITES:
        assert found[name][1] in ("EACCES", "EROFS", "ENOENT"), (name, found[name])
    assert "write to it" not in found


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this user that has nothing to do with the guest."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.usefixtures("each_carrier")
@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.parametrize("arch", ARCHES)
def test_every_forbidden_call_is_answered_and_noted(
    tmp_path: Path, qemu_dir: Path, victim: subprocess.Popen[bytes], arch: str, user: int
) -> None:
    root = root_with(tmp_path / "root", arch, "forbidden")
    host, tree = host_state(), tree_state(root)
    with Guest.start(spec(root, qemu_dir, "/bin/forbidden", str(victim.pid), user=user)) as guest:
        stop = guest.run_until_stop()
        assert (stop.reason, stop.exit_code) == ("exit", 3)
        found = answers(guest.output().decode())
        history = guest.history()
        assert guest.problems == []
    if user == 0:
        check_answers(found)
    else:
        assert not [name for name in REFUSED if found.get(name, (-1, ""))[0] != -1]
    silent = [call.name for call in history if call.name in NOTED and not (call.note or "")]
    assert set(silent) <= {"open_by_handle_at", "name_to_handle_at"}
    requests = [call for call in history if call.name == "ioctl" and call.errno == "EPERM"]
    assert len(requests) == 7
    assert all("refused by containment" in (call.note or "") for call in requests)
    assert victim.poll() is None
    assert host_state() == host
    assert tree_state(root) == tree


_UNPRIVILEGED = """
import json, sys
from pathlib import Path
from tests.guest.helpers import as_ordinary_user, spec
from triage_tui.guest.supervisor import Guest
root, qemu, victim = sys.argv[1:]
with Guest.start(spec(Path(root), Path(qemu), "/bin/forbidden", victim)) as guest:
    stop = guest.run_until_stop()
    print(json.dumps([stop.reason, stop.exit_code, guest.contained, guest.output().decode()]))
"""


def test_the_same_holds_for_an_ordinary_user(qemu_dir: Path, victim: subprocess.Popen[bytes]) -> None:
    host = host_state()
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        # Cached in a home directory, the emulator is not executable for others.
        emulator = Path(directory, "emulator")
        emulator.mkdir()
        shutil.copy(qemu_dir / "qemu-mips-static", emulator)
        root = root_with(Path(directory, "root"), "mips", "forbidden")
        tree = tree_state(root)
        done = subprocess.run(
            as_ordinary_user(
                [sys.executable, "-c", _UNPRIVILEGED, str(root), str(emulator), str(victim.pid)]
            ),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, done.stderr
        reason, code, contained, output = json.loads(done.stdout)
        assert (reason, code) == ("exit", 3)
        assert contained[0] == "root of the guest is the user who started it"
        check_answers(answers(output))
        assert tree_state(root) == tree
    assert victim.poll() is None
    assert host_state() == host


_WITHOUT_USER_NAMESPACES = """
import json, os, sys
from pathlib import Path
from tests.guest.helpers import as_ordinary_user, spec
from triage_tui.errors import TriageError
from triage_tui.guest.host import namespaces
from triage_tui.guest.supervisor import Guest
uid, gid = os.geteuid(), os.getegid()
namespaces.unshare(namespaces.CLONE_NEWUSER)
namespaces.map_self(uid, gid)
Path("/proc/sys/user/max_user_namespaces").write_text("0")
root, qemu, victim = sys.argv[1:]
for allowed in (False, True):
    try:
        with Guest.start(spec(Path(root), Path(qemu), "/bin/forbidden", victim, allow_root=allowed)) as guest:
            stop = guest.run_until_stop()
            print(json.dumps([stop.exit_code, guest.contained, guest.output().decode()]))
    except TriageError as error:
        print(json.dumps(str(error)))
"""
"""A root to whom the kernel gives no user name space below: here of one user name space, which is all that
the test may use, and to the launcher the same as the host's root."""


def test_root_without_user_name_spaces_is_refused_and_held_when_allowed(
    tmp_path: Path, qemu_dir: Path, victim: subprocess.Popen[bytes]
) -> None:
    root = root_with(tmp_path / "root", "arm", "forbidden")
    host, tree = host_state(), tree_state(root)
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_USER_NAMESPACES, str(root), str(qemu_dir), str(victim.pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    refused, (code, contained, output) = map(json.loads, done.stdout.splitlines())
    assert "its root would be the host's root" in refused
    assert "Errno" not in refused
    assert code == 3
    assert contained[0] == "root of the guest is root of the host, as was allowed"
    found = answers(output)
    check_answers(found)
    # Only that these are read-only keeps them from a root that is the host's.
    assert {found[name][1] for name in ("hostname", "core_pattern", "drop_caches")} == {"EROFS"}
    assert victim.poll() is None
    assert host_state() == host
    assert tree_state(root) == tree


def test_what_a_person_allows_is_executed_and_on_record(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, "arm", "forbidden")
    host = host_state()
    policy = ContainmentPolicy.allowing(["sethostname", "personality"])
    with Guest.start(spec(root, qemu_dir, "/bin/forbidden"), containment=policy) as guest:
        guest.run_until_stop()
        found = answers(guest.output().decode())
        assert "allowed by the person who started it: personality, sethostname" in guest.contained
        notes = [call.note for call in guest.history() if call.name == "sethostname"]
    assert found["personality"][1] == "-"
    # Allowed or not, the guest has no right to it: the kernel refuses, and the host keeps its name.
    assert (found["sethostname"][1], notes) == ("EPERM", [None])
    assert found["setdomainname"][1] == "EPERM"
    assert host_state() == host


def test_a_name_that_is_no_refusal_is_refused() -> None:
    with pytest.raises(TriageError, match="sethostnam is no call that containment refuses"):
        ContainmentPolicy.allowing(["sethostnam"])


def test_a_guest_without_a_root_file_system_is_held_as_well(qemu_dir: Path) -> None:
    program = build("forbidden", "aarch64")
    host = host_state()
    how = spec(program.parent, qemu_dir, str(program))
    how = type(how)(program=str(program), qemu_dir=qemu_dir, triggers=how.triggers)
    with Guest.start(how) as guest:
        assert guest.run_until_stop().exit_code == 3
        found = answers(guest.output().decode())
        assert sorted(os.listdir(guest.root_path)) == [program.parts[1]]
    assert found["mount"][1] == "EPERM"
    assert host_state() == host


class Pretends:
    """Rules that answer some calls with success."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    sees_all = False

    def look(self) -> None:
        pass

    def hooks(self) -> set[str]:
        return self.names

    def call(self, call: GuestCall) -> Answer:
        return Answer(intercept=True, ret=0, rule="pretend")

    def returned(self, call: GuestCall, ret: int) -> Answer:
        return Answer()


def test_a_rule_may_pretend_that_a_forbidden_call_was_made(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path, "arm", "forbidden")
    host = host_state()
    with Guest.start(spec(root, qemu_dir, "/bin/forbidden"), Pretends("mount", "sethostname")) as guest:
        guest.run_until_stop()
        found = answers(guest.output().decode())
        assert [call.rule for call in guest.history() if call.name == "mount"] == ["pretend"]
    assert (found["mount"][1], found["sethostname"][1], found["umount2"][1]) == ("-", "-", "EPERM")
    assert host_state() == host


def test_a_fault_of_the_supervisor_executes_nothing_forbidden(
    tmp_path: Path, qemu_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = Guest._decide

    def broken(guest: Guest, *details: Any, **options: Any) -> None:
        if details[2] == "personality":
            raise RuntimeError("broken on purpose")
        decide(guest, *details, **options)

    monkeypatch.setattr(Guest, "_decide", broken)
    root = root_with(tmp_path, "arm", "forbidden")
    with Guest.start(spec(root, qemu_dir, "/bin/forbidden")) as guest:
        guest.run_until_stop()
        assert answers(guest.output().decode())["personality"] == (-1, "EPERM")
        assert "broken on purpose" in guest.problems[0]
