"""Realistic run directories for the tests of the app, written through the run writer itself."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.runs.diagnosis_model import Diagnosis, Evidence, Hypothesis, Proposal
from triage_tui.runs.events import EVENTS_FILE, Event, process_start
from triage_tui.runs.evidence import make_link
from triage_tui.runs.model import (
    Backtrace,
    Descriptor,
    Engine,
    Frame,
    Loop,
    Mapping,
    MemoryObject,
    PseudocodeRef,
    Register,
    RuleHit,
    Snapshot,
    Syscall,
    Target,
    Trigger,
    Unavailable,
)
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter, encode_json

EXIT_RUN = "20251118_140312_00000004"
LOOP_RUN = "20251118_133005_00000003"
RETRY_RUN = "20251118_141001_00000005"
NEWER_RUN = "20251117_090000_00000002"
BROKEN_RUN = "20251117_080000_00000001"
WRITING_RUN = "20251118_142000_00000006"

OPEN_RULE = """\
-- triage-rule: 1
-- id: fix-ioctl-3f2a91c0
-- intent: let the interface lookup succeed
-- match: ioctl(fd, SIOCGIFINDEX, eth0)
-- hit-limit: 4
-- risk: low
local hits = 0

function do_syscall(num, fd, request, arg)
  if request ~= 0x8933 or c_ifreq_name(arg) ~= "eth0" then
    return 0, 0 -- pass through
  end
  hits = hits + 1
  c_ifreq_set(arg, "ifindex", 2)
  c_log("ioctl SIOCGIFINDEX eth0 answered")
  return 1, 0
end
"""

OBSERVE_RULE = """\
-- triage-rule: 1
-- id: observe-socket-77aa01f2
-- intent: count what is asked of packet sockets
function do_syscall(num, domain, kind, protocol)
  c_log(string.format("socket(%d, %d, %d)", domain, kind, protocol))
  return 0, 0
end
"""

DISASSEMBLY = """\
; /bin/busybox :: udhcp_read_interface+0x9c (mips32, little-endian)
  00431e30  8fbc0010  lw      $gp, 0x10($sp)
  00431e34  afa20018  sw      $v0, 0x18($sp)
  00431e38  24058933  addiu   $a1, $zero, -0x76cd
  00431e3c  02002025  move    $a0, $s0
  00431e40  8f998a1c  lw      $t9, -0x75e4($gp)      ; ioctl
  00431e44  0320f809  jalr    $t9
  00431e48  27a60020  addiu   $a2, $sp, 0x20
=>00431e4c  04410006  bgez    $v0, 0x431e68
  00431e50  8fbc0010  lw      $gp, 0x10($sp)
  00431e54  8f848018  lw      $a0, -0x7fe8($gp)      ; "%s: ioctl(%s)"
  00431e58  8f9984b0  lw      $t9, -0x7b50($gp)      ; bb_perror_msg_and_die
  00431e5c  0320f809  jalr    $t9
  00431e60  00000000  nop
"""

PSEUDOCODE = """\
int udhcp_read_interface(const char *interface, int *ifindex, uint32_t *nip, uint8_t *mac)
{
  struct ifreq ifr;
  int fd = xsocket(AF_INET, SOCK_RAW, IPPROTO_RAW);

  strncpy_IFNAMSIZ(ifr.ifr_name, interface);
  if (ioctl_or_warn(fd, SIOCGIFINDEX, &ifr) != 0) {
    close(fd);
    return -1;
  }
  *ifindex = ifr.ifr_ifindex;
  return 0;
}
"""


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


def _call(seq: int, name: str, arguments: list[str], ret: int | None = 0, **more: Any) -> Syscall:
    return Syscall(
        seq=seq,
        name=name,
        arguments=arguments,
        ret=ret,
        pid=2,
        ts_mono_ns=5_000_000_000 + seq * 1_700_000,
        **more,
    )


def _exit_calls() -> list[Syscall]:
    calls = [
        _call(1, "execve", ['"/bin/busybox"', '["udhcpc", "-i", "eth0", "-f"]', "0x7f8ffe2c"]),
        _call(2, "brk", ["NULL"], 0x4A3000),
        _call(3, "openat", ["AT_FDCWD", '"/etc/ld.so.cache"', "O_RDONLY|O_CLOEXEC"], -2, errno="ENOENT", path="/etc/ld.so.cache"),
        _call(4, "openat", ["AT_FDCWD", '"/lib/libc.so.6"', "O_RDONLY|O_CLOEXEC"], 3, path="/lib/libc.so.6"),
        _call(5, "read", ["3", '"\\177ELF\\1\\1\\1"...', "512"], 512),
        _call(6, "close", ["3"]),
        _call(7, "getpid", [], 2),
        _call(8, "openat", ["AT_FDCWD", '"/dev/null"', "O_RDWR"], 3, path="/dev/null"),
        _call(9, "write", ["2", '"udhcpc: started, v1.35.0\\n"', "25"], 25),
        _call(10, "socket", ["AF_INET", "SOCK_RAW", "IPPROTO_RAW"], 4),
        _call(11, "ioctl", ["4", "SIOCGIFINDEX", '{ifr_name="eth0"}'], -19, errno="ENODEV", request="SIOCGIFINDEX", interface="eth0"),
        _call(12, "write", ["2", '"udhcpc: SIOCGIFINDEX failed: No such device\\n"', "45"], 45),
        _call(13, "close", ["4"]),
        _call(14, "exit_group", ["1"], None),
    ]  # fmt: skip
    return calls


def _mips_registers() -> tuple[list[Register], list[Register]]:
    names = [
        "zero",
        "at",
        "v0",
        "v1",
        "a0",
        "a1",
        "a2",
        "a3",
        "t0",
        "t1",
        "t2",
        "t3",
        "t4",
        "t5",
        "t6",
        "t7",
        "s0",
        "s1",
        "s2",
        "s3",
        "s4",
        "s5",
        "s6",
        "s7",
        "t8",
        "t9",
        "k0",
        "k1",
        "gp",
        "sp",
        "fp",
        "ra",
        "pc",
    ]
    values = {
        "v0": 4246,
        "a0": 1,
        "a1": 0x8933,
        "s0": 4,
        "sp": 0x7F8FFC40,
        "gp": 0x4AB010,
        "ra": 0x431E4C,
        "pc": 0x77E4B2D0,
    }
    now = [
        Register(num=n, name=name, value=values.get(name, n * 0x11 if n else 0), size=4)
        for n, name in enumerate(names)
    ]
    before = [
        msgspec.structs.replace(r, value=4183)
        if r.name == "v0"
        else msgspec.structs.replace(r, value=0)
        if r.name == "a1"
        else r
        for r in now
    ]
    return now, before


def _exit_snapshot(writer: RunWriter, run_id: str, program: str) -> Snapshot:
    calls = _exit_calls()
    registers, previous = _mips_registers()
    ifreq = b"eth0" + bytes(12) + bytes(16)
    message = b"udhcpc: SIOCGIFINDEX failed: No such device\n\0" + bytes(19)
    return Snapshot(
        run_id=run_id,
        reason="exit",
        created_at="2025-11-18T14:03:12+01:00",
        trigger=Trigger(seq=14, syscall_name="exit_group", syscall_num=4246, args=[1], exit_code=1, pid=2),
        target=Target(
            program=program,
            argv=["udhcpc", "-i", "eth0", "-f"],
            arch="mipsel",
            program_sha256="5e" * 32,
            target_id="busybox-5e5e5e5e",
            rootfs="/srv/firmware/camera",
        ),
        engine=Engine(
            version="0.1.0",
            emulator="qemu-mipsel",
            emulator_version="7.2.9",
            carrier="seccomp-notify",
            contained=["user", "mount", "pid", "net", "ipc", "uts namespaces", "seccomp policy"],
        ),
        regs=registers,
        previous_regs=previous,
        backtrace=Backtrace(
            frames=[
                Frame(idx=0, addr=0x77E4B2D0, addr_hex="0x77e4b2d0", module_name="libc.so.6", func_name="_exit", func_offset=0x30),
                Frame(idx=1, addr=0x431E4C, addr_hex="0x431e4c", module_name="busybox", func_name="udhcp_read_interface", func_offset=0x9C, method="prologue"),
                Frame(idx=2, addr=0x42F7A0, addr_hex="0x42f7a0", module_name="busybox", func_name="udhcpc_main", func_offset=0x5D4, method="prologue"),
                Frame(idx=3, addr=0x404B18, addr_hex="0x404b18", module_name="busybox", method="stack_scan"),
            ],
            pseudocode_index=[
                PseudocodeRef(frame=1, addr_hex="0x431e4c", file="pseudocode/frame01_0x431e4c.txt"),
                PseudocodeRef(frame=2, addr_hex="0x42f7a0", file="pseudocode/frame02_0x42f7a0.txt", kind="pseudocode"),
            ],
        ),
        maps=[
            Mapping(start=0x400000, end=0x49A000, perms="r-xp", path="/bin/busybox"),
            Mapping(start=0x4A9000, end=0x4AC000, perms="rw-p", offset=0x99000, path="/bin/busybox"),
            Mapping(start=0x77DA0000, end=0x77F20000, perms="r-xp", path="/lib/libc.so.6"),
            Mapping(start=0x7F8DF000, end=0x7F900000, perms="rw-p", path="[stack]"),
        ],
        fds=[
            Descriptor(fd=0, target="/dev/null", kind="device"),
            Descriptor(fd=1, target="pipe:[81023]", kind="pipe"),
            Descriptor(fd=2, target="pipe:[81024]", kind="pipe"),
            Descriptor(fd=3, target="/dev/null", kind="device", origin_seq=8),
        ],
        memory=[
            MemoryObject(id="ioctl-arg", tag="struct ifreq", source="argument 3 of ioctl", addr=0x7F8FFC60, addr_hex="0x7f8ffc60", purpose="the interface that was asked for", how="memory of the frozen guest", string="eth0", blob=writer.add_blob("ioctl-arg.bin", 0x7F8FFC60, ifreq)),
            MemoryObject(id="message", tag="message", source="argument 2 of write", addr=0x4A3010, addr_hex="0x4a3010", purpose="what it printed last", string="udhcpc: SIOCGIFINDEX failed: No such device", blob=writer.add_blob("message.bin", 0x4A3010, message)),
            MemoryObject(id="stack", tag="stack", source="sp", addr=0x7F8FFC40, addr_hex="0x7f8ffc40", purpose="words around the stack pointer", blob=writer.add_blob("stack.bin", 0x7F8FFC40, bytes(range(256)))),
            MemoryObject(id="gone", tag="argv[4]", source="register a3", addr=0x10, addr_hex="0x10", blob_err="unmapped address"),
        ],
        recent_syscalls=calls,
        unavailable=[Unavailable(what="symbols of /bin/busybox", why="the file is stripped")],
        rule_hits=[],
    )  # fmt: skip


def _exit_diagnosis(run_id: str, link: dict[str, str]) -> Diagnosis:
    return Diagnosis(
        run_id=run_id,
        scene="missing_interface",
        headline="udhcpc (mipsel, pid 2) is about to exit(1): ioctl(SIOCGIFINDEX, eth0) = ENODEV 3 calls ago, then it printed"
        ' "SIOCGIFINDEX failed: No such device". Most likely: missing_interface (0.93). 2 rules proposed.',
        hypotheses=[
            Hypothesis(
                cause="missing_interface",
                proximate="normal_exit",
                confidence=0.93,
                title="The network interface eth0 does not exist",
                explanation=f"The program asked for the index of eth0 with [ioctl SIOCGIFINDEX]({link['ioctl']}) and was told ENODEV."
                f" It then [printed an error]({link['write']}) and called exit_group(1) from [udhcp_read_interface]({link['frame']}).",
                evidence=[
                    Evidence(link=link["ioctl"], says="The lookup of eth0 failed with ENODEV."),
                    Evidence(link=link["mem"], says="The ifreq argument names eth0."),
                    Evidence(link=link["code"], says="The branch after the call leads to the error message."),
                    Evidence(link="ev:syscall/999~0123456789ab", says="A link that does not resolve."),
                ],
                contrary=[
                    Evidence(
                        link=link["cache"], says="A missing file was seen too, but long before the exit."
                    )
                ],
                wanted=["whether the device really has an interface eth0"],
                entry="missing-interface",
            ),
            Hypothesis(
                cause="missing_file",
                proximate="normal_exit",
                confidence=0.12,
                title="A file is absent",
                explanation="The loader cache is missing, which every dynamic program survives.",
                evidence=[Evidence(link=link["cache"], says="ld.so.cache does not exist.")],
            ),
        ],
        proposals=[
            Proposal(
                id="p1",
                hypothesis=0,
                template="interface-index",
                title="Answer the lookup of eth0 with index 2",
                intent="Let udhcpc believe that eth0 exists.",
                effect="ioctl(SIOCGIFINDEX) for eth0 returns 0 with ifindex 2; every other ioctl passes.",
                risk="low",
                risk_text="Later calls on the interface may fail in new ways.",
                inverse="Remove syscall/ioctl.lua from the rulebook.",
                files=["fix/syscall/ioctl.lua"],
                hit_limit=4,
            ),
            Proposal(
                id="p2",
                hypothesis=0,
                template="observe-sockets",
                title="Watch which sockets it opens",
                intent="Learn what comes after the lookup.",
                effect="Nothing changes; each socket call is logged.",
                risk="low",
                risk_text="None.",
                inverse="Remove the rule.",
                files=["observe/syscall/socket.lua"],
                observe_only=True,
            ),
        ],
        kb_sha256="ab" * 32,
    )


def make_exit_run(
    runs_dir: Path, run_id: str = EXIT_RUN, *, waiting: bool = True, program: str = "/usr/bin/udhcpc"
) -> Path:
    """A mipsel DHCP client that exits because its interface is absent; frozen when `waiting`."""
    writer = RunWriter(runs_dir, run_id)
    writer.write_text("pseudocode/frame01_0x431e4c.txt", DISASSEMBLY)
    writer.write_text("pseudocode/frame02_0x42f7a0.txt", PSEUDOCODE)
    writer.add_log("guest.log", b"udhcpc: started, v1.35.0\nudhcpc: SIOCGIFINDEX failed: No such device\n")
    writer.write_text("rules_patch/fix/syscall/ioctl.lua", OPEN_RULE)
    writer.write_text("rules_patch/observe/syscall/socket.lua", OBSERVE_RULE)
    writer.write_snapshot(_exit_snapshot(writer, run_id, program))
    writer.write_trace(_exit_calls())
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
    (run_dir / "diagnosis.json").write_bytes(encode_json(_exit_diagnosis(run_id, links)))
    captured: dict[str, Any] = {"holder": holder()} if waiting else {}
    write_events(
        run_dir,
        [("captured", captured), ("diagnosed", {}), ("proposed", {"files": ["fix/syscall/ioctl.lua"]})],
    )
    return run_dir


def make_loop_run(runs_dir: Path, run_id: str = LOOP_RUN, rounds: int = 40) -> Path:
    """An ARM daemon that sleeps in a loop until a device node appears."""
    calls = [_call(1, "execve", ['"/usr/sbin/watchd"', '["watchd"]', "0x407ffe90"])]
    for _ in range(rounds):
        seq = len(calls) + 1
        calls += [
            _call(
                seq, "openat", ["AT_FDCWD", '"/dev/mtd0"', "O_RDONLY"], -2, errno="ENOENT", path="/dev/mtd0"
            ),
            _call(seq + 1, "write", ["2", '"waiting for flash\\n"', "18"], 18),
            _call(seq + 2, "clock_nanosleep", ["CLOCK_REALTIME", "0", "{tv_sec=1, tv_nsec=0}"], 0),
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
            loop=Loop(period=3, repeats=rounds, first_seq=2, last_seq=last, sleeps=True, names=["openat", "write", "clock_nanosleep"]),
            recent_syscalls=calls[-32:],
            regs=[Register(num=n, name=f"r{n}", value=n * 16, size=4) for n in range(13)],
            rule_hits=[RuleHit(rule="observe-openat-1", hits=12, syscall="openat", limit=100)],
        )
    )  # fmt: skip
    writer.write_trace(calls)
    run_dir = writer.publish()
    diagnosis = Diagnosis(
        run_id=run_id,
        scene="missing_device",
        headline="watchd (arm, pid 2) sleeps in a loop: it opens /dev/mtd0 once a second and is told ENOENT. Most likely: missing_device (0.88).",
        hypotheses=[Hypothesis(cause="missing_device", proximate="sleep_loop", confidence=0.88, title="The flash device /dev/mtd0 is absent")],
    )  # fmt: skip
    (run_dir / "diagnosis.json").write_bytes(encode_json(diagnosis))
    write_events(run_dir, [("captured", {}), ("diagnosed", {})])
    return run_dir


def make_retry_run(runs_dir: Path, run_id: str = RETRY_RUN) -> Path:
    """The retry of the DHCP client: it went further."""
    run_dir = make_exit_run(runs_dir, run_id, waiting=False)
    snapshot = load_run(run_dir).snapshot
    snapshot.parent_run, snapshot.round = EXIT_RUN, 1
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))
    verdict = {
        "word": "progressed",
        "rung": "new syscall branch",
        "reasons": ["the exit after ENODEV is gone", "6 syscall signatures are new"],
        "masked": ["the index of eth0 was answered by a rule"],
    }
    (run_dir / "verdict.json").write_bytes(encode_json(verdict))
    (run_dir / "retry.log").write_text(
        "round 1 of 3\nactivated generation 0001\nioctl SIOCGIFINDEX eth0 answered by fix-ioctl-3f2a91c0\n"
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
    """A run written by a later version of the program, with a field and a reason that this one does not know."""
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
