"""Realistic run directories for the tests of the app, written through the run writer itself."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec

from tests.ui.exit_run import call, exit_calls, exit_diagnosis, exit_snapshot
from tests.ui.texts import DISASSEMBLY, OBSERVE_RULE, OPEN_RULE, PSEUDOCODE
from triage_tui.runs.diagnosis_model import Diagnosis, Hypothesis
from triage_tui.runs.events import EVENTS_FILE, Event, process_start
from triage_tui.runs.evidence import make_link
from triage_tui.runs.model import (
    Loop,
    Register,
    RuleHit,
    Snapshot,
    Target,
    Trigger,
)
from triage_tui.runs.reader import load_run
from triage_tui.runs.verdict_model import Figures, Verdict
from triage_tui.runs.writer import RunWriter, encode_json

EXIT_RUN = "20251118_140312_00000004"
LOOP_RUN = "20251118_133005_00000003"
RETRY_RUN = "20251118_141001_00000005"
NEWER_RUN = "20251117_090000_00000002"
BROKEN_RUN = "20251117_080000_00000001"
WRITING_RUN = "20251118_142000_00000006"


def write_events(run_dir: Path, events: list[tuple[str, dict[str, Any]]]) -> None:
    """Write an event log with fixed times, so that what is shown of it never varies."""
    lines: list[bytes] = []
    digest = ""
    for number, (kind, payload) in enumerate(events, 1):
        event = Event(
            event_id=number,
            kind=kind,
            actor="analyst",
            wall=f"2025-11-18T14:{number:02d}:00.000+01:00",
            ts_mono_ns=number * 1_000_000,
            payload=payload,
            prev=digest,
        )
        line = msgspec.json.encode(event)
        digest = hashlib.sha256(line).hexdigest()
        lines.append(line + b"\n")
    (run_dir / EVENTS_FILE).write_bytes(b"".join(lines))


def holder() -> dict[str, int]:
    """Return this process as the holder of a frozen guest."""
    start = process_start(os.getpid())
    assert start is not None
    return {"pid": os.getpid(), "start": start}


def make_exit_run(
    runs_dir: Path, run_id: str = EXIT_RUN, *, waiting: bool = True, program: str = "/usr/bin/udhcpc"
) -> Path:
    """A mipsel DHCP client that exits because its interface is absent; frozen when `waiting`."""
    writer = RunWriter(runs_dir, run_id)
    writer.write_text("pseudocode/frame01_0x431e4c.txt", DISASSEMBLY)
    writer.write_text("pseudocode/frame02_0x42f7a0.txt", PSEUDOCODE)
    writer.add_log("guest.log", b"udhcpc: started, v1.35.0\nudhcpc: SIOCGIFINDEX failed: No such device\n")
    writer.write_environments({2: ["PATH=/usr/sbin:/usr/bin", "API_KEY=hunter2"]})
    writer.write_text("rules_patch/fix/syscall/ioctl.lua", OPEN_RULE)
    writer.write_text("rules_patch/observe/syscall/socket.lua", OBSERVE_RULE)
    writer.write_snapshot(exit_snapshot(writer, run_id, program))
    writer.write_trace(exit_calls())
    run_dir = writer.publish()
    run = load_run(run_dir)
    links = {
        "ioctl": make_link(run, "syscall", 11),
        "write": make_link(run, "syscall", 12),
        "frame": make_link(run, "frame", 1),
        "mem": make_link(run, "mem", "ioctl-arg", offset=0, length=4),
        "code": make_link(run, "code", 1, line=9),
        "cache": make_link(run, "syscall", 3),
    }
    (run_dir / "diagnosis.json").write_bytes(encode_json(exit_diagnosis(run_id, links)))
    captured: dict[str, Any] = {"holder": holder()} if waiting else {}
    write_events(
        run_dir,
        [("captured", captured), ("diagnosed", {}), ("proposed", {"files": ["fix/syscall/ioctl.lua"]})],
    )
    return run_dir


def add_experiment(run_dir: Path) -> None:
    """Let the diagnosis of a run name something that would make it surer."""
    diagnosis = json.loads((run_dir / "diagnosis.json").read_text())
    diagnosis["experiments"] = [
        {"id": "probe-1", "kind": "probe", "says": "run it again and ask its service", "gain": 0.8}
    ]
    (run_dir / "diagnosis.json").write_text(json.dumps(diagnosis))


def make_loop_run(runs_dir: Path, run_id: str = LOOP_RUN, rounds: int = 40) -> Path:
    """An ARM daemon that sleeps in a loop until a device node appears."""
    calls = [call(1, "execve", ['"/usr/sbin/watchd"', '["watchd"]', "0x407ffe90"])]
    for _ in range(rounds):
        seq = len(calls) + 1
        calls += [
            call(
                seq, "openat", ["AT_FDCWD", '"/dev/mtd0"', "O_RDONLY"], -2, errno="ENOENT", path="/dev/mtd0"
            ),
            call(seq + 1, "write", ["2", '"waiting for flash\\n"', "18"], 18),
            call(seq + 2, "clock_nanosleep", ["CLOCK_REALTIME", "0", "{tv_sec=1, tv_nsec=0}"], 0),
        ]
    last = calls[-1].seq
    writer = RunWriter(runs_dir, run_id)
    writer.add_log("guest.log", b"waiting for flash\n" * rounds)
    writer.write_snapshot(
        Snapshot(
            run_id=run_id,
            reason="sleep_loop",
            created_at="2025-11-18T13:30:05+01:00",
            trigger=Trigger(seq=last, syscall_name="clock_nanosleep", pid=2),
            target=Target(program="/usr/sbin/watchd", argv=["watchd"], arch="arm", target_id="watchd-aa"),
            loop=Loop(
                period=3,
                repeats=rounds,
                first_seq=2,
                last_seq=last,
                round_seqs=list(range(2, last, 3))[-64:],
                sleeps=True,
                names=["openat", "write", "clock_nanosleep"],
            ),
            recent_syscalls=calls[-32:],
            regs=[Register(num=n, name=f"r{n}", value=n * 16, size=4) for n in range(13)],
            rule_hits=[RuleHit(rule="observe-openat-1", hits=12, syscall="openat", limit=100)],
        )
    )
    writer.write_trace(calls)
    run_dir = writer.publish()
    diagnosis = Diagnosis(
        run_id=run_id,
        scene="missing_device",
        headline="watchd (arm, pid 2) sleeps in a loop: it opens /dev/mtd0 once a second and is told ENOENT."
        " Most likely: missing_device (0.88).",
        hypotheses=[
            Hypothesis(
                cause="missing_device",
                proximate="sleep_loop",
                confidence=0.88,
                title="The flash device /dev/mtd0 is absent",
            )
        ],
    )
    (run_dir / "diagnosis.json").write_bytes(encode_json(diagnosis))
    write_events(run_dir, [("captured", {}), ("diagnosed", {})])
    return run_dir


def make_retry_run(runs_dir: Path, run_id: str = RETRY_RUN) -> Path:
    """The retry of the DHCP client: it went further."""
    run_dir = make_exit_run(runs_dir, run_id, waiting=False)
    snapshot = load_run(run_dir).snapshot
    snapshot.parent_run, snapshot.round = EXIT_RUN, 1
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))
    end = make_link(load_run(run_dir), "syscall", snapshot.trigger.seq)
    verdict = Verdict(
        word="progressed",
        rung="new_branch",
        reasons=["the exit after ENODEV is gone", "6 syscall signatures are new"],
        links=[end, ""],
        masked=["the index of eth0 was answered by a rule"],
        before=Figures(
            run_id=EXIT_RUN, reason="exit", exit_code=1, syscalls=37, errnos={"ENODEV": 1}, rung="runs"
        ),
        after=Figures(
            run_id=run_id,
            reason="sleep_loop",
            syscalls=61,
            loop="sendto, poll",
            probes=["http 127.0.0.1:80/ answered (200), twice, still after 2.1 s"],
            faked=1,
            elapsed_ms=6300,
            rung="new_branch",
        ),
    )
    (run_dir / "verdict.json").write_bytes(encode_json(verdict))
    (run_dir / "retry.log").write_text(
        "round 1 of 3\nactivated generation 0001\n"
        "ioctl SIOCGIFINDEX eth0 answered by fix-ioctl-3f2a91c0\n"
        "new syscalls: socket(AF_PACKET), bind, sendto\nverdict: progressed\n"
    )
    write_events(
        run_dir,
        [
            ("captured", {}),
            ("diagnosed", {}),
            ("proposed", {}),
            ("approved", {"files": ["fix/syscall/ioctl.lua"]}),
            ("activated", {"generation": 1}),
            ("retry_started", {"run_id": run_id}),
            (
                "retry_finished",
                {
                    "verdict": "progressed",
                    "reasons": ["the exit after ENODEV is gone", "6 syscall signatures are new"],
                    "run": EXIT_RUN,
                    "rung": "exit passed",
                },
            ),
        ],
    )
    return run_dir


def make_newer_run(runs_dir: Path, run_id: str = NEWER_RUN) -> Path:
    """A run written by a later version of the program, with a field and a reason unknown here."""
    run_dir = make_loop_run(runs_dir, run_id, rounds=2)
    data = msgspec.json.decode((run_dir / "snapshot.json").read_bytes())
    data["schema_version"] = 99
    data["reason"] = "hypervisor_exit"
    data["trigger"]["new_field"] = {"a": 1}
    (run_dir / "snapshot.json").write_bytes(encode_json(data))
    return run_dir


def make_broken_run(runs_dir: Path, run_id: str = BROKEN_RUN) -> Path:
    """A run whose snapshot was cut in the middle."""
    run_dir = runs_dir / run_id
    run_dir.mkdir(parents=True)
    (run_dir / "snapshot.json").write_text('{"run_id": "x", "reason": "exi')
    return run_dir


def make_writing_run(runs_dir: Path, run_id: str = WRITING_RUN) -> Path:
    """A directory that a writer without staging has only begun."""
    run_dir = runs_dir / run_id
    (run_dir / "memory").mkdir(parents=True)
    return run_dir


def make_workspace(root: Path) -> Path:
    """Return a workspace with all of the above."""
    runs_dir = root / "ai_runs"
    make_exit_run(runs_dir)
    make_loop_run(runs_dir)
    make_retry_run(runs_dir)
    make_newer_run(runs_dir)
    make_broken_run(runs_dir)
    make_writing_run(runs_dir)
    return root
