"""Every process and thread of real guests: what they do, have, and were started with."""

from __future__ import annotations

import shutil
import signal
import stat
import time
from pathlib import Path

import pytest

from tests.guest.helpers import carried, spec
from tests.programs import ARCHES, build, root_with
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.freezing.triggers import CallTrigger, TriggerLimits
from triage_tui.guest.host import process as host_process
from triage_tui.guest.record.capture import Scope, capture
from triage_tui.guest.record.capture_threads import MAX_STACKS
from triage_tui.guest.spec import LaunchSpec, ResourceLimits
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.model import Engine
from triage_tui.runs.process_model import Descriptor
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import RunWriter


def record(launch: LaunchSpec, directory: Path) -> Run:
    """Run a guest to its first stop and return its record."""
    with Guest.start(launch) as guest:
        stop = guest.run_until_stop()
        writer = RunWriter(directory)
        capture(guest, stop, writer, target=guest.target, engine=Engine())
        return load_run(writer.publish())


def missing(run: Run) -> set[str]:
    """Return what could not be had of processes: other parts have tests of their own."""
    mine = ("processes", "threads of", "state of", "arguments", "mappings", "descriptors", "all ")
    return {item.what for item in run.snapshot.unavailable if item.what.startswith(mine)}


@pytest.fixture(scope="module")
def holds(qemu_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A program that has one descriptor of each kind."""
    work = tmp_path_factory.mktemp("holds")
    root = root_with(work / "root", "mipsel", "holds")
    (root / "etc/data").write_bytes(b"0123456789")
    environment = {"NAME": "a=b\n\x1b[31m", "API_KEY": "hidden"}
    return record(spec(root, qemu_dir, "/bin/holds", "one\ntwo", env=environment), work / "runs")


def test_what_it_was_started_with(holds: Run) -> None:
    (process,) = holds.snapshot.processes
    assert missing(holds) == set()
    assert (process.program, process.argv) == ("/bin/holds", ["/bin/holds", "one\ntwo"])
    assert sorted(process.env_keys) == ["API_KEY", "NAME"]
    assert sorted(holds.environments()[process.pid]) == ["API_KEY=hidden", "NAME=a=b\n\x1b[31m"]
    assert stat.S_IMODE((holds.dir / "environment.json").stat().st_mode) == 0o600
    assert b"hidden" not in (holds.dir / "snapshot.json").read_bytes()
    auxiliary = {entry.name: entry for entry in process.auxv}
    assert auxiliary["AT_PAGESZ"].value == 4096
    assert auxiliary["AT_EXECFN"].text == "/bin/holds"
    assert len(bytes.fromhex(auxiliary["AT_RANDOM"].text)) == 16


@pytest.mark.parametrize("arch", ["arm", "mipsel"])
def test_a_title_is_read_as_the_kernel_reads_it(arch: str, qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path / "root", arch, "titles")
    environment = {"NAME": "value", "MORE": "x" * 50}

    def arguments(*argv: str) -> list[str]:
        triggers = TriggerLimits(calls=(CallTrigger("pause"), CallTrigger("ppoll")))
        launch = spec(root, qemu_dir, "/bin/titles", *argv, env=environment, triggers=triggers)
        run = record(launch, tmp_path / "runs")
        (process,) = run.snapshot.processes
        assert missing(run) == set()
        assert sorted(process.env_keys) == ["MORE", "NAME"]
        return process.argv

    # The pointers are gone, the strings are not; a title that ends among them, and one that covers all.
    assert arguments("a", "0", "b") == ["/bin/titles", "a", "0", "b"]
    assert arguments("a", "3", "b") == ["ttt"]
    assert arguments("a", "16", "b") == ["t" * 16]
    assert arguments("a", "40", "b") == ["t" * 40]


def test_what_it_set_of_itself(holds: Run) -> None:
    (process,) = holds.snapshot.processes
    assert (process.cwd, process.root, process.umask) == ("/var/log", "/", 0o027)
    limits = {limit.name: (limit.soft, limit.hard) for limit in process.limits}
    assert limits["RLIMIT_NOFILE"] == (100, 200)
    assert process.ignored_signals == ["SIGHUP"]
    (thread,) = process.threads
    assert thread.blocked_signals == ["SIGUSR1"]
    assert thread.pending_signals == []
    assert (thread.state, thread.call, thread.looked_at) == ("in call", "pause", True)
    assert thread.seq == holds.snapshot.trigger.seq
    assert thread.registers["sp"] == next(reg.value for reg in holds.snapshot.regs if reg.name == "sp")


def opener(run: Run, entry: Descriptor) -> str | None:
    call = run.syscall(entry.origin_seq) if entry.origin_seq is not None else None
    return call.name if call else None


def test_each_descriptor_tells_what_it_is_and_who_opened_it(holds: Run) -> None:
    found = {entry.fd: entry for entry in holds.snapshot.fds}
    assert sorted(found) == list(range(9))
    data, listener, local, client, counter, poll = (found[fd] for fd in range(3, 9))
    assert (data.target, data.offset, data.size, data.cloexec) == ("/etc/data", 5, 10, True)
    assert set(data.flag_names) >= {"O_RDWR", "O_APPEND", "O_CLOEXEC"}
    assert listener.state == "listening 0.0.0.0:8080"
    assert local.state == "listening unix:/tmp/control"
    assert client.socket is not None
    assert (client.socket.state, client.socket.peer) == ("connected", "127.0.0.1:8080")
    assert counter.detail == "eventfd, count 7"
    assert poll.detail == "epoll, watching 4 (EPOLLIN)"
    assert [opener(holds, entry) for entry in (data, listener, counter, poll)] == [
        "openat", "socket", "eventfd2", "epoll_create1",
    ]  # fmt: skip
    assert holds.snapshot.statistics.listening == ["0.0.0.0:8080", "unix:/tmp/control"]


def test_mappings_have_names_and_the_guests_permissions(holds: Run) -> None:
    names = {entry.name or entry.path: entry for entry in holds.snapshot.maps}
    assert {"/bin/holds", "[heap]", "[stack]"} <= set(names)
    assert names["[heap]"].perms == "rw-p"
    code = [entry.perms for entry in holds.snapshot.maps if entry.path == "/bin/holds"]
    assert code[0] in ("r-xp", "r--p")
    assert any("x" in perms for perms in code)
    assert all("w" not in perms or "x" not in perms for perms in code)
    ends = [
        (one.end, other.start)
        for one, other in zip(holds.snapshot.maps, holds.snapshot.maps[1:], strict=False)
    ]
    assert all(end <= start for end, start in ends)
    sp = next(reg.value for reg in holds.snapshot.regs if reg.name == "sp")
    assert isinstance(sp, int)
    assert names["[stack]"].start <= sp < names["[stack]"].end


@pytest.fixture(scope="module", params=ARCHES)
def threads(request: pytest.FixtureRequest, qemu_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A program of one architecture whose four threads wait."""
    work = tmp_path_factory.mktemp("threads")
    root = root_with(work / "root", request.param, "threads")
    return record(spec(root, qemu_dir, "/bin/threads"), work / "runs")


def test_registers_of_all_threads(threads: Run) -> None:
    run = threads
    (process,) = run.snapshot.processes
    assert missing(run) == set()
    assert len(process.threads) == 4
    assert [thread.state for thread in process.threads] == ["in call"] * 4
    sp = by_name(run.snapshot.target.arch).sp
    assert len({thread.registers[sp] for thread in process.threads}) == 4
    stacks = {entry.name: entry for entry in run.snapshot.maps}
    for thread in process.threads[1:]:
        stack = stacks[f"[stack of thread {thread.tid}]"]
        assert stack.start <= thread.registers[sp] < stack.end


def functions(frames: list[Frame]) -> list[str]:
    return [frame.func_name or "?" for frame in frames]


def test_call_stacks_of_all_threads(threads: Run) -> None:
    run = threads
    (process,) = run.snapshot.processes
    others = [thread for thread in process.threads if not thread.looked_at]
    stacks = [functions(run.snapshot.backtrace.frames), *(functions(thread.frames) for thread in others)]
    assert len(stacks) == 4
    assert sum("main" in names for names in stacks) == 1
    workers = [names for names in stacks if "work" in names]
    assert len(workers) == 3
    assert all(names.index("pause") < names.index("work") for names in workers)
    assert [thread.frames for thread in process.threads if thread.looked_at] == [[]]


def test_threads_of_a_forked_process(qemu_dir: Path, tmp_path: Path) -> None:
    root = root_with(tmp_path / "root", "arm", "family")
    run = record(spec(root, qemu_dir, "/bin/family"), tmp_path / "runs")
    first, second = run.snapshot.processes
    assert missing(run) == set()
    assert (second.parent, first.parent) == (first.pid, 0)
    assert (first.argv, second.argv) == (["/bin/family"], ["/bin/family"])
    states = {thread.call or thread.state for thread in second.threads}
    assert len(second.threads) == 3
    assert states == {"pause", "computing"}
    assert len({thread.registers["sp"] for thread in second.threads}) == 3
    other = first if second.looked_at else second
    assert {entry.fd for entry in other.fds} >= {0, 1, 2}
    assert "[heap]" in {entry.name for entry in other.maps}
    stacks = [functions(run.snapshot.backtrace.frames)]
    stacks += [functions(thread.frames) for entry in (first, second) for thread in entry.threads]
    for count, function in ((2, "main"), (1, "wait_for_ever"), (1, "compute_for_ever"), (1, "wait4")):
        assert sum(any(function in name for name in names) for names in stacks) == count
    inherited = next(entry for entry in second.fds or run.snapshot.fds if entry.target == "/etc")
    assert opener(run, inherited) == "openat"


def test_a_program_of_another_architecture_that_was_executed(qemu_dir: Path, tmp_path: Path) -> None:
    """Its registers, arguments and memory are its own; what was opened before is known."""
    root = root_with(tmp_path / "root", "mipsel", "executes")
    shutil.copy(build("holds", "aarch64"), root / "bin/holds")
    (root / "etc/data").write_bytes(b"0123456789")
    launch = spec(root, qemu_dir, "/bin/executes", "/bin/holds", "one argument")
    with Guest.start(launch) as guest:
        stop = guest.run_until_stop()
        writer = RunWriter(tmp_path / "runs")
        scope = Scope(all_memory=True)
        capture(guest, stop, writer, target=guest.target, engine=Engine(), scope=scope)
        run = load_run(writer.publish())
    entry = next(process for process in run.snapshot.processes if process.looked_at)
    assert missing(run) == set()
    assert entry.program == "/bin/holds"
    assert entry.argv[-1] == "one argument"
    assert ["x30" in thread.registers for thread in entry.threads] == [True]
    assert [descriptor.state for descriptor in run.snapshot.fds if descriptor.kind == "socket"]
    assert {"/bin/holds", "[heap]", "[stack]"} <= {m.path or m.name for m in run.snapshot.maps}
    assert "/bin/executes" not in {m.path for m in run.snapshot.maps}
    header = next(m for m in run.snapshot.maps if m.path == "/bin/holds" and m.offset == 0)
    assert run.read_memory(header.start, 4) == b"\x7fELF"


def many(directory: Path, *flags: str) -> Path:
    (directory / "bin").mkdir(parents=True)
    shutil.copy(build("many", "arm", *flags), directory / "bin/many")
    return directory


def test_thousands_of_descriptors(qemu_dir: Path, tmp_path: Path) -> None:
    root = many(tmp_path / "root", "-DFILES=3000")
    limits = ResourceLimits(open_files=3100, history=1000)
    triggers = TriggerLimits(idle_s=0.5, grace_s=0.2, time_limit_s=120, loop_calls=1 << 30)
    run = record(spec(root, qemu_dir, "/bin/many", limits=limits, triggers=triggers), tmp_path / "runs")
    assert len(run.snapshot.fds) == 3003
    assert {entry.target for entry in run.snapshot.fds[3:]} == {"/"}
    assert missing(run) == set()
    assert run.problems == []


def test_many_threads(qemu_dir: Path, tmp_path: Path) -> None:
    root = many(tmp_path / "root", "-DTHREADS=60")
    triggers = TriggerLimits(idle_s=0.5, grace_s=0.2, time_limit_s=120, loop_calls=1 << 30)
    limits = ResourceLimits(processes=1000)
    run = record(spec(root, qemu_dir, "/bin/many", limits=limits, triggers=triggers), tmp_path / "runs")
    (entry,) = run.snapshot.processes
    assert len({thread.registers["sp"] for thread in entry.threads}) == 61
    assert sum(mapping.name.startswith("[stack of thread") for mapping in run.snapshot.maps) == 60
    assert sum(bool(thread.frames) for thread in entry.threads) == MAX_STACKS
    assert "backtraces of all threads" in {item.what for item in run.snapshot.unavailable}


def test_megabytes_of_arguments_and_environment(qemu_dir: Path, tmp_path: Path) -> None:
    arguments = ["a\n\x1b[31m" + "x" * 1000] * 1000
    environment = {f"V{number}": "y" * 1000 for number in range(800)}
    root = many(tmp_path / "root")
    run = record(spec(root, qemu_dir, "/bin/many", *arguments, env=environment), tmp_path / "runs")
    (entry,) = run.snapshot.processes
    assert entry.argv[:2] == ["/bin/many", arguments[0]]
    assert 200 < len(entry.argv) < 1000
    assert 200 < len(entry.env_keys) < 800
    assert missing(run) == {f"all arguments and environment variables of process {entry.pid}"}
    with pytest.raises(TriageError, match="Argument list too long"):
        Guest.start(spec(root, qemu_dir, "/bin/many", *["x" * 100_000] * 100))


def lives(pid: int, tid: int) -> bool:
    known = host_process.thread_state(pid, tid)
    return known is not None and known.state not in "ZX"


def test_a_guest_that_is_killed_while_it_is_frozen(qemu_dir: Path, tmp_path: Path) -> None:
    root = many(tmp_path / "root", "-DTHREADS=3")
    with Guest.start(spec(root, qemu_dir, "/bin/many")) as guest:
        stop = guest.run_until_stop()
        host_process.send_signal(guest.pid, signal.SIGKILL)
        # Whoever holds them has to take note of their end before they are gone.
        while any(lives(guest.pid, tid) for tid in host_process.threads(guest.pid)):
            time.sleep(0.01)
        writer = RunWriter(tmp_path / "runs")
        scope = Scope(all_memory=True)
        snapshot = capture(guest, stop, writer, target=guest.target, engine=Engine(), scope=scope)
        run = load_run(writer.publish())
    assert {"registers", "descriptors"} <= {item.what for item in snapshot.unavailable}
    assert run.trace()


@pytest.mark.parametrize("arch", ["mips", "arm"])
def test_a_main_process_that_its_child_killed_is_listed_as_ended(
    tmp_path: Path, qemu_dir: Path, arch: str
) -> None:
    root = root_with(tmp_path / "root", arch, "kills")
    run = record(spec(root, qemu_dir, "/bin/kills", "parent"), tmp_path / "runs")
    trigger = run.snapshot.trigger
    assert (run.snapshot.reason, trigger.signal) == ("signal", "SIGKILL")
    killer, victim = run.snapshot.processes
    assert (killer.pid, killer.looked_at, killer.ended) == (trigger.sender, True, None)
    assert (victim.pid, victim.parent, victim.arch) == (trigger.pid, 0, arch)
    assert (victim.program, victim.argv) == ("/bin/kills", ["/bin/kills", "parent"])
    sent = f"which process {killer.pid} sent with kill (syscall {trigger.seq})"
    assert victim.ended == f"killed by SIGKILL, {sent}"
    assert (victim.threads, victim.fds, victim.maps, victim.cwd, victim.umask) == ([], [], [], "", None)
    assert any(f"of process {victim.pid}" in item.what for item in run.snapshot.unavailable)


def test_a_process_of_which_nothing_is_left_is_listed_as_ended(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "mips", "kills")
    run = record(spec(root, qemu_dir, "/bin/kills", "itself"), tmp_path / "runs")
    (process,) = run.snapshot.processes
    assert process.ended is not None
    assert process.ended.startswith("killed by SIGKILL, which it sent with")


OUTLIVING = ["mips", "arm", "x86_64"]
"""Big- and little-endian, and one of 64 bits."""


def record_outliving(tmp_path: Path, qemu_dir: Path, arch: str, *words: str) -> Run:
    """Run a program whose first thread ends before the others."""
    root = root_with(tmp_path / "root", arch, "outlives")
    for name in ("etc/data", "etc/here", "var/log/there"):
        (root / name).write_text("data")
    # A busy machine may give a starting guest nothing for a second or two.
    limits = TriggerLimits(idle_s=3, time_limit_s=120, grace_s=0.2)
    return record(spec(root, qemu_dir, "/bin/outlives", *words, triggers=limits), tmp_path / "runs")


@pytest.mark.usefixtures("carrier")
@carried("arch", *OUTLIVING)
def test_a_process_is_whole_after_its_first_thread_has_ended(
    tmp_path: Path, qemu_dir: Path, arch: str
) -> None:
    run = record_outliving(tmp_path, qemu_dir, arch)
    snapshot = run.snapshot
    assert (snapshot.reason, snapshot.trigger.syscall_name) == ("idle", "read")
    assert missing(run) == set()
    assert not {"registers", "backtrace", "mappings"} & {item.what for item in snapshot.unavailable}
    assert {"read", "waits"} & {frame.func_name for frame in snapshot.backtrace.frames}
    found = {entry.fd: entry for entry in snapshot.fds}
    assert sorted(found) == list(range(7))
    assert found[3].target == "/etc/data"
    assert found[6].state == "listening 0.0.0.0:8080"
    assert snapshot.statistics.listening == ["0.0.0.0:8080"]
    (process,) = snapshot.processes
    assert (process.cwd, process.root, process.umask) == ("/var/log", "/", 0o022)
    first, second = process.threads
    assert (first.tid, first.state, first.registers) == (process.pid, "ended", {})
    assert (second.state, second.call, second.looked_at) == ("in call", "read", True)
    assert second.registers


@pytest.mark.parametrize("arch", ["mips", "x86_64"])
def test_a_thread_that_computes_after_the_first_has_ended_shows_where(
    tmp_path: Path, qemu_dir: Path, arch: str
) -> None:
    run = record_outliving(tmp_path, qemu_dir, arch, "computes")
    snapshot = run.snapshot
    assert (snapshot.reason, snapshot.trigger.spinning) == ("idle", True)
    assert snapshot.backtrace.frames[0].func_name == "computes"
    (process,) = snapshot.processes
    states = [(thread.state, bool(thread.registers)) for thread in process.threads]
    assert states == [("ended", False), ("computing", True), ("in call", True)]


@pytest.mark.usefixtures("each_carrier")
def test_calls_after_the_first_thread_has_ended_are_told_and_the_end_too(
    tmp_path: Path, qemu_dir: Path
) -> None:
    run = record_outliving(tmp_path, qemu_dir, "mips", "calls")
    assert (run.snapshot.reason, run.snapshot.trigger.exit_code) == ("exit", 6)
    opened = [(call.path, call.errno) for call in run.trace() if call.name == "openat"][-4:]
    assert opened == [("/etc/here", None)] * 2 + [("there", None)] * 2
    assert "calls" in {frame.func_name for frame in run.snapshot.backtrace.frames}


def test_memory_of_a_process_without_its_first_thread_is_kept(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "mips", "outlives")
    (root / "etc/data").write_text("data")
    with Guest.start(spec(root, qemu_dir, "/bin/outlives")) as guest:
        stop = guest.run_until_stop()
        writer = RunWriter(tmp_path / "runs")
        scope = Scope(all_memory=True)
        capture(guest, stop, writer, target=guest.target, engine=Engine(), scope=scope)
        run = load_run(writer.publish())
    sp = next(reg.value for reg in run.snapshot.regs if reg.name == "sp")
    assert isinstance(sp, int)
    assert len(run.read_memory(sp, 64)) == 64
    assert not [region for region in run.snapshot.memory_regions if region.missing and "r" in region.perms]
