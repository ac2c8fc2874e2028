"""Run records of real frozen guests, and of guests of which parts cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from tests.guest.recorded import RecordedGuest
from triage_tui.binary.modules import read_guest_file
from triage_tui.binary.symbols import parse_image
from triage_tui.errors import TriageError
from triage_tui.guest.freezing.stops import Stop
from triage_tui.guest.record.capture import RECENT_SYSCALLS, capture
from triage_tui.guest.record.memory_dump import AddressSpace
from triage_tui.guest.spec import LaunchSpec, TriggerLimits
from triage_tui.guest.state.census import Census
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.evidence import make_link, resolve
from triage_tui.runs.model import Engine, Snapshot, Statistics, Syscall, Target, Trigger
from triage_tui.runs.process_model import Descriptor, Mapping, Process
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import RunWriter

PROGRAMS = {
    "udhcpc-mipsel": ["/bin/busybox", "udhcpc", "-f", "-i", "lan0", "-s", "/bin/true"],
    "xl2tpd-arm64": ["/usr/sbin/xl2tpd", "-D"],
    "tail-armel": ["/bin/busybox", "tail", "-F", "/var/log/messages"],
    "haveged-armhf": ["/usr/sbin/haveged", "-F"],
}


@pytest.fixture(scope="module", params=PROGRAMS)
def stopped(
    request: pytest.FixtureRequest,
    qemu_dir: Path,
    rootfs: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path, Run]:
    """(program, root file system, run record of its first stop); the guest is gone by then."""
    root = rootfs(request.param)
    argv = PROGRAMS[request.param]
    triggers = TriggerLimits(idle_s=20, time_limit_s=120)
    spec = LaunchSpec(program=argv[0], argv=argv, rootfs=root, qemu_dir=qemu_dir, triggers=triggers)
    with Guest.start(spec) as guest:
        stop = guest.run_until_stop()
        writer = RunWriter(tmp_path_factory.mktemp("runs"))
        capture(guest, stop, writer, target=guest.target, engine=Engine(contained=guest.contained))
        directory = writer.publish()
    return request.param, root, load_run(directory)


REASONS = {
    "udhcpc-mipsel": "exit",
    "xl2tpd-arm64": "exit",
    "tail-armel": "sleep_loop",
    "haveged-armhf": "exit",
}


def test_record_is_complete_and_readable(stopped: tuple[str, Path, Run]) -> None:
    name, _, run = stopped
    snapshot = run.snapshot
    assert run.problems == []
    assert snapshot.reason == REASONS[name]
    missing = {item.what.split()[0] for item in snapshot.unavailable}
    # Of o32 programs the emulator does not log all calls.
    assert missing - {"registers"} == ({"syscalls"} if name.endswith("mipsel") else set())
    assert snapshot.recent_syscalls[-1].seq == snapshot.trigger.seq
    assert len(snapshot.recent_syscalls) <= RECENT_SYSCALLS
    assert [call.seq for call in run.trace()][-1] >= snapshot.trigger.seq
    assert run.text_file("logs/guest.log") or name != "udhcpc-mipsel"
    assert {fd.fd for fd in snapshot.fds} >= {0, 1, 2}


def test_stack_is_unwound_from_the_stop_to_the_entry_code(stopped: tuple[str, Path, Run]) -> None:
    """Stripped programs: every frame is justified, and the last one lies in what the kernel jumps to."""
    _, root, run = stopped
    frames = run.snapshot.backtrace.frames
    assert len(frames) >= 7
    assert "stack_scan" not in {frame.method for frame in frames}
    pc = next(register.value for register in run.snapshot.regs if register.name == "pc")
    assert frames[0].addr == pc
    last = frames[-1]
    data = read_guest_file(root, run.snapshot.target.program)
    assert data is not None
    assert last.module_offset is not None
    assert 0 <= last.module_offset - parse_image(data).entry < 0x60


def test_frames_lie_in_code_of_their_modules(stopped: tuple[str, Path, Run]) -> None:
    _, _, run = stopped
    for frame in run.snapshot.backtrace.frames:
        holder = next(m for m in run.snapshot.maps if m.start <= frame.addr < m.end)
        assert "x" in holder.perms
        assert frame.module_real_path == holder.path


def test_code_of_the_frames_is_marked_at_the_address(stopped: tuple[str, Path, Run]) -> None:
    _, _, run = stopped
    index = run.snapshot.backtrace.pseudocode_index
    assert [entry.frame for entry in index] == list(range(len(index)))
    assert len(index) == min(8, len(run.snapshot.backtrace.frames))
    for entry in index:
        lines = run.text_file(entry.file).splitlines()
        marked = [line for line in lines if line.startswith(("=>", "<-"))]
        assert len(marked) == 1
        frame = run.snapshot.backtrace.frames[entry.frame]
        shown = int(marked[0].split()[1], 16)
        if marked[0].startswith("=>") and entry.frame:
            # A call that does not return ends its function: it is marked itself.
            assert lines.index(marked[0]) >= len(lines) - 2
            assert frame.addr - 8 <= shown < frame.addr
        else:
            assert shown == frame.addr
        number = lines.index(marked[0]) + 1
        link = make_link(run, "code", str(entry.frame), line=number)
        assert resolve(run, link).exists
        if entry.frame:
            before = lines[: lines.index(marked[0]) + marked[0].startswith("=>")][-2:]
            assert any(line[3:].split()[2].startswith(("bl", "jal", "bal")) for line in before)


def test_text_files_have_the_lines_of_the_format(stopped: tuple[str, Path, Run]) -> None:
    _, _, run = stopped
    registers = run.text_file("regs.txt").splitlines()
    first = run.snapshot.regs[0]
    assert registers[0] == f"{first.name}({first.num}) size={first.size} rc=0 value={first.value}"
    assert len(registers) == len(run.snapshot.regs)
    frames = run.text_file("backtrace.txt").splitlines()
    assert frames[0].startswith(f"#00 0x{run.snapshot.backtrace.frames[0].addr:x}  ")
    assert " :: " in frames[0]


def test_memory_objects_hold_what_the_calls_were_about(stopped: tuple[str, Path, Run]) -> None:
    name, _, run = stopped
    objects = run.snapshot.memory
    strings = " ".join(entry.string or "" for entry in objects)
    about = {
        "udhcpc-mipsel": "lan0",
        "xl2tpd-arm64": "/var/run/xl2tpd/l2tp-control",
        "tail-armel": "/var/log/messages",
        "haveged-armhf": "/proc/sys/kernel/random/poolsize",
    }
    assert about[name] in strings
    assert len({entry.id for entry in objects}) == len(objects)
    stack = next(entry for entry in objects if entry.id == "reg_sp")
    assert stack.blob is not None
    assert stack.blob.size == 256
    assert len(run.memory_bytes("reg_sp")) == 256
    for entry in objects:
        assert entry.purpose
        assert entry.how


class Parts:
    """A recorded stop dressed as a frozen guest; `broken` names the parts that fail."""

    pid = 4711

    def __init__(self, variant: str, root: Path, broken: Collection[str]) -> None:
        self.recording = RecordedGuest(variant)
        self.arch = self.recording.arch
        self.root_path = str(root)
        self.broken = broken

    def _fail(self, name: str) -> None:
        if name in self.broken:
            raise TriageError(f"no {name} today")

    def registers(self) -> dict[str, int]:
        self._fail("registers")
        return self.recording.registers

    def maps(self) -> list[Mapping]:
        self._fail("maps")
        return self.recording.maps()

    def read_memory(self, address: int, size: int) -> bytes:
        self._fail("memory")
        return self.recording.read_memory(address, size)

    def read_process_memory(self, pid: int, address: int, size: int) -> bytes:
        raise TriageError(f"there is no process {pid}")

    def fds(self) -> list[Descriptor]:
        self._fail("fds")
        return [Descriptor(fd=0, target="/dev/null")]

    def address_spaces(self) -> list[AddressSpace]:
        self._fail("address spaces")
        return []

    def census(self) -> Census:
        self._fail("census")
        return Census([Process(pid=2, looked_at=True)], {2: ["PATH=/bin"]})

    def history(self) -> list[Syscall]:
        self._fail("history")
        return [Syscall(seq=seq, name="getpid", ret=1) for seq in range(1, 101)]

    def copy_full_trace(self, directory: Path, /) -> str | None:
        return "it is a test's"

    def streams(self) -> dict[str, tuple[bytes, int]]:
        return {"stdout": (b"", 0), "stderr": (b"", 0)}

    def read_file(self, path: str, limit: int) -> tuple[bytes, int]:
        self._fail("files")
        raise FileNotFoundError(path)

    def system_log(self) -> tuple[bytes, int, int]:
        self._fail("system log")
        return b"", 0, 0

    def calls_left_out(self) -> int:
        return 0

    def not_observed(self) -> list[tuple[str, str]]:
        return [("results of syscalls", "they were not logged")]

    def full_trace(self) -> list[Syscall]:
        self._fail("trace")
        return self.history()

    def output(self) -> bytes:
        self._fail("output")
        return b"hello\n"

    def statistics(self) -> Statistics:
        self._fail("statistics")
        return Statistics(syscalls=100)


def test_computing_guest_has_no_exact_registers(
    qemu_dir: Path, rootfs: Callable[[str], Path], tmp_path: Path
) -> None:
    argv = ["/bin/busybox", "sh", "-c", "while true; do :; done"]
    triggers = TriggerLimits(idle_s=0.5, time_limit_s=120)
    root = rootfs("busybox-armhf")
    spec = LaunchSpec(program=argv[0], argv=argv, rootfs=root, qemu_dir=qemu_dir, triggers=triggers)
    for attempt in range(5):
        with Guest.start(spec) as guest:
            stop = guest.run_until_stop()
            writer = RunWriter(tmp_path / str(attempt))
            snapshot = capture(guest, stop, writer, target=guest.target, engine=Engine())
        assert snapshot.reason == "idle"
        assert "exact pc and registers" in {item.what for item in snapshot.unavailable}
        # A pc of a moment before may lie in another function than sp by now, and then no caller can be found.
        if len(snapshot.backtrace.frames) >= 4:
            break
    assert len(snapshot.backtrace.frames) >= 4
    # Some routines of the C library are A32: code is decoded in the state that the processor was caught in.
    thumb = next(int(register.value) for register in snapshot.regs if register.name == "cpsr") >> 5 & 1
    first = writer.dir / snapshot.backtrace.pseudocode_index[0].file
    assert ("(arm thumb)" in first.read_text(encoding="utf-8").splitlines()[0]) == bool(thumb)


def record(tmp_path: Path, broken: Collection[str] = (), *, ended: bool = False) -> tuple[Snapshot, Run]:
    guest = Parts("mipsel", tmp_path, broken)
    stop = Stop("loop", Trigger(seq=90, syscall_name="nanosleep"), ended=ended)
    writer = RunWriter(tmp_path / "runs")
    target = Target(program="/bin/x", argv=["x"], arch="mipsel")
    snapshot = capture(guest, stop, writer, target=target, engine=Engine(), round_number=2, parent_run="p")
    return snapshot, load_run(writer.publish())


def test_trigger_ends_the_recent_calls_and_gets_its_arguments(tmp_path: Path) -> None:
    snapshot, run = record(tmp_path)
    assert [call.seq for call in snapshot.recent_syscalls][-1] == 90
    assert len(snapshot.recent_syscalls) == RECENT_SYSCALLS
    assert len(snapshot.trigger.args) == 8
    interval = next(entry for entry in snapshot.memory if entry.id == "trigger_arg0")
    assert interval.purpose == "interval of nanosleep (syscall 90)"
    assert run.memory_bytes("trigger_arg0") == (1000).to_bytes(4, "little") + bytes(4)
    assert (snapshot.round, snapshot.parent_run, snapshot.guest_pid) == (2, "p", 4711)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("registers", "registers"),
        ("maps", "mappings"),
        ("fds", "descriptors"),
        ("census", "processes"),
        ("history", "recent syscalls"),
        ("output", "the guest's output"),
        ("statistics", "statistics"),
        ("trace", "trace"),
    ],
)
def test_missing_part_is_named_and_the_others_are_there(tmp_path: Path, part: str, what: str) -> None:
    snapshot, run = record(tmp_path, {part})
    assert (what, f"no {part} today") in {(item.what, item.why) for item in snapshot.unavailable}
    assert run.snapshot.run_id == snapshot.run_id
    assert bool(snapshot.regs) is (part != "registers")
    assert bool(snapshot.fds) is (part != "fds")
    assert bool(snapshot.maps) is (part != "maps")


def test_unreadable_memory_leaves_pc_and_reasons(tmp_path: Path) -> None:
    snapshot, run = record(tmp_path, {"memory"})
    assert [frame.method for frame in snapshot.backtrace.frames] == ["pc"]
    assert {entry.blob_err for entry in snapshot.memory} == {"not readable"}
    assert run.text_file(snapshot.backtrace.pseudocode_index[0].file).startswith("; no readable memory")


def test_everything_broken_still_makes_a_record(tmp_path: Path) -> None:
    parts = {
        "registers",
        "maps",
        "memory",
        "fds",
        "census",
        "history",
        "output",
        "statistics",
        "rule hits",
        "trace",
    }
    snapshot, run = record(tmp_path, parts)
    assert len(snapshot.unavailable) >= 8
    assert run.text_file("regs.txt") == ""


def test_ended_guest_gives_history_only(tmp_path: Path) -> None:
    snapshot, run = record(tmp_path, ended=True)
    assert (snapshot.regs, snapshot.maps, snapshot.guest_pid) == ([], [], 0)
    assert run.text_file("logs/guest.log") == "hello\n"
    assert any("already gone" in item.why for item in snapshot.unavailable)
