"""Runs over their limits, and on a disk that is full, with real guests."""

from __future__ import annotations

import re
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.programs import root_with
from triage_tui.errors import TriageError
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.retry.record import NoRoom
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.rounds.policy import Limits
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.limits import CaptureLimits
from triage_tui.runs.reader import Run, load_run


@pytest.fixture(scope="module")
def start(qemu_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    root = root_with(tmp_path_factory.mktemp("root"), "mipsel", "memory")
    triggers = TriggerLimits(idle_s=0.5, time_limit_s=120)
    return Start(program="/bin/memory", argv=["memory"], rootfs=str(root), triggers=triggers, memory="full")


@pytest.fixture
def file_size() -> Iterator[Callable[[int | None], None]]:
    """Sets the size above which this process can write no file; None takes that back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


def run_once(workspace: Workspace, start: Start, **limits: int) -> Run:
    course = run_rounds(workspace, start, hold=False, limits=Limits(capture=CaptureLimits(**limits)))
    return load_run(course.rounds[-1].run.dir)


def reasons(run: Run) -> str:
    return " ".join(f"{item.what}: {item.why}" for item in run.snapshot.unavailable)


def test_too_many_captures_in_a_minute_become_brief(start: Start, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first = run_once(workspace, start, per_minute=1)
    second = run_once(workspace, start, per_minute=1)
    assert first.snapshot.memory_regions
    assert second.snapshot.memory_regions == []
    assert second.snapshot.memory == []
    assert "1 captures were made within a minute, which is the limit of 1" in reasons(second)
    assert second.snapshot.regs
    assert second.snapshot.recent_syscalls
    assert second.diagnosis is not None
    assert first.dir.is_dir()


def test_a_capture_stays_within_its_size(start: Start, tmp_path: Path) -> None:
    run = run_once(Workspace(tmp_path), start, capture_bytes=2 << 20)
    assert "the limit of bytes for one capture is reached" in reasons(run)
    assert sum(path.stat().st_size for path in run.dir.rglob("*") if path.is_file()) < 3 << 20


@pytest.mark.parametrize("arch", ["mipsel", "aarch64"])
def test_one_large_mapping_does_not_push_out_the_stacks(
    start: Start, tmp_path: Path, qemu_dir: Path, arch: str
) -> None:
    root = root_with(tmp_path / "root", arch, "crowded_out")
    crowded = replace(start, program="/bin/crowded_out", argv=["crowded_out"], rootfs=str(root))
    run = run_once(Workspace(tmp_path), crowded, capture_bytes=4 << 20)
    printed = re.findall(r"(\w+) (0x[0-9a-f]+)", run.text_file("logs/guest.log"))
    places = {name: int(value, 16) for name, value in printed}
    for name, word in (("main", 0x13579BDF), ("thread", 0x2468ACE0)):
        assert run.read_memory(places[name], 16) == word.to_bytes(4, "little") * 4
    pc = int(next(register.value for register in run.snapshot.regs if register.name == "pc"))
    assert len(run.read_memory(pc & ~3, 4)) == 4
    # The large one is what is left out, and it is named.
    (large,) = [region for region in run.snapshot.memory_regions if region.missing and "r" in region.perms]
    assert large.start <= places["filled"] < large.end
    assert f"at {large.start:#x}: the rest is left out: the limit of bytes for one capture" in reasons(run)
    assert large.size > 1 << 20
    assert sum(path.stat().st_size for path in run.dir.rglob("*") if path.is_file()) < 5 << 20


def test_over_the_limit_of_all_runs_nothing_is_deleted(start: Start, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first = run_once(workspace, start)
    before = sorted(path.name for path in first.dir.rglob("*"))
    second = run_once(workspace, start, disk_bytes=1 << 20)
    assert "which is over the limit of 1 MB: remove old ones or raise it" in reasons(second)
    assert sorted(path.name for path in first.dir.rglob("*")) == before


def test_a_full_disk_leaves_no_half_run(
    start: Start, tmp_path: Path, file_size: Callable[[int | None], None]
) -> None:
    def narrate(text: str) -> None:
        if text.startswith("started"):
            file_size(10_000)

    with pytest.raises(NoRoom, match=r"^the run could not be written in .*: File too large$"):
        run_rounds(Workspace(tmp_path), start, hold=False, narrate=narrate)
    file_size(None)
    assert list((tmp_path / "ai_runs").iterdir()) == []


def test_with_little_room_the_run_is_brief(
    start: Start, tmp_path: Path, file_size: Callable[[int | None], None]
) -> None:
    def narrate(text: str) -> None:
        if text.startswith("started"):
            file_size(100_000)

    course = run_rounds(Workspace(tmp_path), start, hold=False, narrate=narrate)
    run = load_run(course.rounds[0].run.dir)
    assert "there is no room left on the disk" in reasons(run) or "no room for more" in reasons(run)
    assert not list(run.dir.glob("memory/*3bfff000*"))


def test_a_brief_run_keeps_the_end_of_a_long_output(
    rootfs: Callable[[str], Path], tmp_path: Path, file_size: Callable[[int | None], None]
) -> None:
    def narrate(text: str) -> None:
        if text.startswith("started"):
            file_size(60_000)

    script = "i=0; while [ $i -lt 4000 ]; do echo this is line number $i; i=$((i+1)); done; exit 3"
    talkative = Start(
        program="/bin/busybox",
        argv=["busybox", "sh", "-c", script],
        rootfs=str(rootfs("busybox-armhf")),
        triggers=TriggerLimits(time_limit_s=120, off=frozenset(("loop",))),
    )
    course = run_rounds(Workspace(tmp_path), talkative, hold=False, narrate=narrate)
    run = load_run(course.rounds[0].run.dir)
    log = run.text_file(run.snapshot.guest_output)
    assert log.endswith("this is line number 3999\n")
    assert len(log) == 1 << 15
    assert "bytes are kept" in reasons(run)
    assert run.snapshot.trigger.exit_code == 3


def test_a_frozen_guest_waits_until_there_is_room(
    start: Start, tmp_path: Path, file_size: Callable[[int | None], None]
) -> None:
    cancel = threading.Event()
    said: list[str] = []

    def narrate(text: str) -> None:
        said.append(text)
        if text.startswith("started"):
            file_size(10_000)
        elif "stays frozen" in text:
            file_size(None)
        elif text.startswith("frozen, waiting"):
            cancel.set()

    course = run_rounds(Workspace(tmp_path), start, narrate=narrate, cancel=cancel)
    assert sum("stays frozen, and is recorded as soon as there is room" in text for text in said) == 1
    assert len(course.rounds) == 1
    assert course.rounds[0].run.snapshot.memory_regions
    assert course.ended == "interrupted"


def test_interrupted_while_it_waits_for_room(
    start: Start, tmp_path: Path, file_size: Callable[[int | None], None]
) -> None:
    cancel = threading.Event()

    def narrate(text: str) -> None:
        if text.startswith("started"):
            file_size(10_000)
        elif "stays frozen" in text:
            cancel.set()

    with pytest.raises(TriageError, match="could not be written"):
        run_rounds(Workspace(tmp_path), start, narrate=narrate, cancel=cancel)
    file_size(None)
    assert list((tmp_path / "ai_runs").iterdir()) == []
