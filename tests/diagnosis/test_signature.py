"""The signature of a cause: the same failure is known again, and another one is not taken for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.programs import build, root_with
from tests.runs.build import write_run
from triage_tui.diagnosis.signature import cause_signature, named_frames
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.frame_model import Backtrace, Frame
from triage_tui.runs.listing import summarize
from triage_tui.runs.model import Snapshot, Target, Trigger
from triage_tui.runs.stories import story_name, story_of


def snapshot(reason: Any = "exit", **fields: Any) -> Snapshot:
    target = Target(program="/sbin/x", argv=["x"], arch="mipsel")
    signal = fields.pop("signal", None)
    trigger = Trigger(seq=9, syscall_name="exit_group", exit_code=1, signal=signal)
    return Snapshot(run_id="", reason=reason, created_at="", trigger=trigger, target=target, **fields)


def frame(name: str | None, module: str | None = "/lib/libfoo-2.31.so.6", **more: Any) -> Frame:
    return Frame(idx=0, addr=1, addr_hex="0x1", func_name=name, module_name=module, **more)


FILE = {"operation": "open", "errno": "ENOENT", "absolute": "/etc/x.conf", "syscalls": "openat"}
LIBRARY = {"resource": "library", "base": "libz.so.1"}
REQUEST = {"operation": "ioctl", "request": "0x80045430", "errno": "ENOTTY"}


@pytest.mark.parametrize(
    ("cause", "given", "wanted"),
    [
        ("missing_file", FILE, "missing_file open(/etc/x.conf) ENOENT"),
        ("missing_file", {**FILE, "syscalls": "open", "seq": "77"}, "missing_file open(/etc/x.conf) ENOENT"),
        ("missing_file", {**FILE, "absolute": "/proc/4711/fd"}, "missing_file open(/proc/#/fd) ENOENT"),
        ("missing_file", {**FILE, "absolute": "/dev/mtd0"}, "missing_file open(/dev/mtd0) ENOENT"),
        ("missing_dir", {**FILE, "directory": "/run/x"}, "missing_dir open(/run/x) ENOENT"),
        ("missing_library", {**FILE, **LIBRARY}, "missing_library open(libz.so.1) ENOENT"),
        ("device_ioctl", REQUEST, "device_ioctl ioctl(0x80045430) ENOTTY"),
        ("sleep_loop", {"syscalls": "statx,read,clock_nanosleep"}, "sleep_loop read,sleep,stat"),
        ("sleep_loop", {"syscalls": "clock_nanosleep_time64,read,stat64"}, "sleep_loop read,sleep,stat"),
        ("arguments", {"text": "line 12: bad option 0x7f"}, "arguments line #: bad option #"),
        ("unknown", {}, "unknown exit(1)"),
    ],
)  # fmt: skip
def test_what_a_signature_holds(cause: str, given: dict[str, str], wanted: str) -> None:
    assert cause_signature(cause, given, snapshot()) == wanted


def test_a_crash_is_told_by_its_functions() -> None:
    frames = [
        frame("copy", module="/usr/sbin/httpd"),
        frame("guessed", method="stack_scan"),
        frame(None),
        frame("unsure", confidence="low"),
        frame("parse"),
        frame("main", module=None),
        frame("fourth"),
    ]
    assert named_frames(frames) == ["httpd!copy", "libfoo!parse", "?!main"]
    crashed = snapshot("signal", signal="SIGSEGV", backtrace=Backtrace(frames=frames))
    told = cause_signature("crash_signal", {}, crashed)
    assert told == "crash_signal SIGSEGV httpd!copy < libfoo!parse < ?!main"
    # What made it crash is known: that names it.
    assert cause_signature("missing_file", FILE, crashed) == "missing_file open(/etc/x.conf) ENOENT"


def test_what_a_guest_calls_its_files_stays_one_short_line() -> None:
    hostile = {**FILE, "absolute": "/tmp/\x1b[2J\n" + "[x](ev:syscall/1)" * 400}
    told = cause_signature("missing_file", hostile, snapshot())
    assert len(told) <= 320
    assert told.isprintable()
    assert "](" not in told


def test_a_record_without_a_signature_is_known_by_its_cause(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path)
    (run_dir / "diagnosis.json").write_text(
        '{"headline": "h", "hypotheses": [{"cause": "missing_file", "confidence": 0.5}]}'
    )
    found = summarize(run_dir)
    assert (found.cause, found.signature) == ("missing_file", "")
    assert found.story == story_of(found) == story_name(found)


def test_another_build_of_a_program_that_crashes_is_the_same_story(tmp_path: Path, qemu_dir: Path) -> None:
    root = root_with(tmp_path / "root", "mipsel")
    triggers = TriggerLimits(idle_s=5, grace_s=0.1, time_limit_s=30)
    start = Start(program="/bin/breaks", argv=["breaks"], rootfs=str(root), triggers=triggers)
    found = []
    for flags in (("-O0",), ("-O2", "-DNEWER")):
        (root / "bin/breaks").unlink(missing_ok=True)
        (root / "bin/breaks").write_bytes(build("breaks", "mipsel", *flags).read_bytes())
        (root / "bin/breaks").chmod(0o755)
        run = run_rounds(Workspace(tmp_path / "ws"), start, hold=False).rounds[0].run
        found.append(summarize(run.dir))
    first, second = found
    assert first.target_id != second.target_id
    assert (
        first.signature
        == second.signature
        == "crash_signal SIGSEGV breaks!read_field < breaks!parse_request < breaks!main"
    )
    assert story_of(first) == story_of(second)
