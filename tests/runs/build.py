"""Build small run records for tests."""

from pathlib import Path
from typing import Any

from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.model import Register, Snapshot, Syscall, Target, Trigger
from triage_tui.runs.process_model import Process
from triage_tui.runs.writer import RunWriter


def a_proposal(id: str, *files: str, **fields: Any) -> Proposal:
    """A proposal of low risk for the best hypothesis, with the rule files `files`."""
    given = {
        "hypothesis": 0, "template": "t", "title": id, "intent": "i", "effect": "e", "risk": "low",
        "risk_text": "r", "inverse": "roll back", **fields,
    }  # fmt: skip
    return Proposal(id=id, files=list(files), **given)


def failed_open(seq: int, path: str, errno: str = "ENOENT", ret: int = -2) -> Syscall:
    return Syscall(
        seq=seq,
        name="openat",
        arguments=["AT_FDCWD", f'"{path}"', "O_RDONLY"],
        ret=ret,
        errno=errno,
        path=path,
    )


def killed_main() -> Process:
    """A process that was gone before the freeze."""
    ended = "killed by SIGKILL, which process 4 sent with kill (syscall 31)"
    return Process(pid=2, program="/sbin/x", argv=["x", "-d"], arch="mipsel", ended=ended)


def write_run(
    runs_dir: Path,
    calls: list[Syscall] | None = None,
    reason: Any = "exit",
    exit_code: int | None = 1,
    writer: RunWriter | None = None,
    moment: int = 0,
    **fields: Any,
) -> Path:
    calls = [failed_open(1, "/etc/x.conf")] if calls is None else calls
    writer = writer or RunWriter(runs_dir)
    blob = writer.add_blob("m1.bin", 0x1000, b"hello\0")
    writer.add_log("guest.log", b"no configuration\nbye\n")
    writer.write_text("pseudocode/frame00_0x1000.txt", "first\nsecond\n")
    snapshot = Snapshot(
        run_id=writer.run_id,
        reason=reason,
        created_at="2026-01-31T02:00:00+00:00",
        trigger=Trigger(
            seq=calls[-1].seq + 1 if calls else 1,
            syscall_name="exit_group",
            exit_code=exit_code,
            ts_mono_ns=moment,
        ),
        target=Target(program="/sbin/x", argv=["x"], arch="mipsel", target_id="x-1"),
        regs=[Register(num=2, name="v0", value=0x1234, size=4)],
        memory=[
            MemoryObject(id="m1", tag="arg1", source="trigger", addr=0x1000, addr_hex="0x1000", blob=blob),
            *fields.pop("memory", ()),
        ],
        recent_syscalls=calls[-64:],
        **fields,
    )
    writer.write_trace(calls)
    writer.write_snapshot(snapshot)
    return writer.publish()
