"""The record of a mipsel DHCP client that exits because its interface is absent."""

from __future__ import annotations

from typing import Any

import msgspec

from triage_tui.runs.diagnosis_model import DerivationStep, Diagnosis, Evidence, Hypothesis, Proposal
from triage_tui.runs.frame_model import Backtrace, Frame, PseudocodeRef
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.model import (
    Engine,
    Register,
    Snapshot,
    Syscall,
    Target,
    Trigger,
    Unavailable,
)
from triage_tui.runs.process_model import Descriptor, Mapping, Process, Thread
from triage_tui.runs.writer import RunWriter


def call(seq: int, name: str, arguments: list[str], ret: int | None = 0, **more: Any) -> Syscall:
    return Syscall(
        seq=seq,
        name=name,
        arguments=arguments,
        ret=ret,
        pid=2,
        ts_mono_ns=5_000_000_000 + seq * 1_700_000,
        **more,
    )


def exit_calls() -> list[Syscall]:
    return [
        call(1, "execve", ['"/bin/busybox"', '["udhcpc", "-i", "eth0", "-f"]', "0x7f8ffe2c"]),
        call(2, "brk", ["NULL"], 0x4A3000),
        call(
            3,
            "openat",
            ["AT_FDCWD", '"/etc/ld.so.cache"', "O_RDONLY|O_CLOEXEC"],
            -2,
            errno="ENOENT",
            path="/etc/ld.so.cache",
        ),
        call(4, "openat", ["AT_FDCWD", '"/lib/libc.so.6"', "O_RDONLY|O_CLOEXEC"], 3, path="/lib/libc.so.6"),
        call(5, "read", ["3", '"\\177ELF\\1\\1\\1"...', "512"], 512),
        call(6, "close", ["3"]),
        call(7, "getpid", [], 2),
        call(8, "openat", ["AT_FDCWD", '"/dev/null"', "O_RDWR"], 3, path="/dev/null"),
        call(9, "write", ["2", '"udhcpc: started, v1.35.0\\n"', "25"], 25),
        call(10, "socket", ["AF_INET", "SOCK_RAW", "IPPROTO_RAW"], 4),
        call(
            11,
            "ioctl",
            ["4", "SIOCGIFINDEX", '{ifr_name="eth0"}'],
            -19,
            errno="ENODEV",
            request="SIOCGIFINDEX",
            interface="eth0",
        ),
        call(12, "write", ["2", '"udhcpc: SIOCGIFINDEX failed: No such device\\n"', "45"], 45),
        call(13, "close", ["4"]),
        call(14, "exit_group", ["1"], None),
    ]


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


def exit_snapshot(writer: RunWriter, run_id: str, program: str) -> Snapshot:
    calls = exit_calls()
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
                Frame(
                    idx=0,
                    addr=0x77E4B2D0,
                    addr_hex="0x77e4b2d0",
                    module_name="libc.so.6",
                    func_name="_exit",
                    func_offset=0x30,
                ),
                Frame(
                    idx=1,
                    addr=0x431E4C,
                    addr_hex="0x431e4c",
                    module_name="busybox",
                    func_name="udhcp_read_interface",
                    func_offset=0x9C,
                    method="prologue",
                ),
                Frame(
                    idx=2,
                    addr=0x42F7A0,
                    addr_hex="0x42f7a0",
                    module_name="busybox",
                    func_name="udhcpc_main",
                    func_offset=0x5D4,
                    method="prologue",
                ),
                Frame(idx=3, addr=0x404B18, addr_hex="0x404b18", module_name="busybox", method="stack_scan"),
            ],
            pseudocode_index=[
                PseudocodeRef(frame=1, addr_hex="0x431e4c", file="pseudocode/frame01_0x431e4c.txt"),
                PseudocodeRef(
                    frame=2, addr_hex="0x42f7a0", file="pseudocode/frame02_0x42f7a0.txt", kind="pseudocode"
                ),
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
            Descriptor(
                fd=3, target="/dev/null", kind="device", origin_seq=8, flag_names=["O_RDWR", "O_CLOEXEC"]
            ),
            Descriptor(
                fd=4,
                target="socket:[81030]",
                kind="socket",
                state="connected 127.0.0.1:40112 127.0.0.1:53",
                flag_names=["O_RDWR", "O_NONBLOCK"],
            ),
        ],
        processes=[
            Process(
                pid=2,
                program=program,
                argv=["udhcpc", "-i", "eth0"],
                looked_at=True,
                cwd="/",
                umask=0o022,
                ignored_signals=["SIGPIPE"],
                env_keys=["PATH", "API_KEY"],
                threads=[
                    Thread(tid=2, state="in call", call="exit_group", seq=13, looked_at=True),
                    Thread(
                        tid=4,
                        state="in call",
                        call="futex",
                        seq=7,
                        registers={"zero": 0, "at": 1, "v0": 0xFFFFFFFF, "a0": 0x7F8FFC60, "sp": 0x77D9F000},
                        frames=[
                            Frame(
                                idx=0,
                                addr=0x77E52A14,
                                addr_hex="0x77e52a14",
                                module_name="libc.so.6",
                                func_name="\x1b[31mpthread_cond_wait",
                                func_offset=0x114,
                            ),
                            Frame(
                                idx=1,
                                addr=0x430A10,
                                addr_hex="0x430a10",
                                module_name="busybox",
                                method="prologue",
                                confidence="medium",
                            ),
                        ],
                    ),
                    Thread(tid=5, why="its registers were not found in the emulator"),
                ],
            ),
            Process(
                pid=7,
                parent=2,
                argv=["sh", "-c", "\x1b[31mtrue"],
                cwd="/etc",
                umask=0o077,
                threads=[Thread(tid=7, state="computing", registers={"zero": 0, "pc": 0x404B18})],
                fds=[Descriptor(fd=0, target="/etc/udhcpc.conf", kind="file", offset=3, size=120)],
            ),
        ],
        memory=[
            MemoryObject(
                id="ioctl-arg",
                tag="struct ifreq",
                source="argument 3 of ioctl",
                addr=0x7F8FFC60,
                addr_hex="0x7f8ffc60",
                purpose="the interface that was asked for",
                how="memory of the frozen guest",
                string="eth0",
                blob=writer.add_blob("ioctl-arg.bin", 0x7F8FFC60, ifreq),
            ),
            MemoryObject(
                id="message",
                tag="message",
                source="argument 2 of write",
                addr=0x4A3010,
                addr_hex="0x4a3010",
                purpose="what it printed last",
                string="udhcpc: SIOCGIFINDEX failed: No such device",
                blob=writer.add_blob("message.bin", 0x4A3010, message),
            ),
            MemoryObject(
                id="stack",
                tag="stack",
                source="sp",
                addr=0x7F8FFC40,
                addr_hex="0x7f8ffc40",
                purpose="words around the stack pointer",
                blob=writer.add_blob("stack.bin", 0x7F8FFC40, bytes(range(256))),
            ),
            MemoryObject(
                id="gone",
                tag="argv[4]",
                source="register a3",
                addr=0x10,
                addr_hex="0x10",
                blob_err="unmapped address",
            ),
        ],
        recent_syscalls=calls,
        unavailable=[Unavailable(what="symbols of /bin/busybox", why="the file is stripped")],
        rule_hits=[],
    )


def exit_diagnosis(run_id: str, link: dict[str, str]) -> Diagnosis:
    return Diagnosis(
        run_id=run_id,
        scene="missing_interface",
        scene_kind="missing resource",
        derivation=[
            DerivationStep(role="what the end shows", says="it is about to exit(1)", link=link["frame"]),
            DerivationStep(
                role="what the program said before it",
                says='the program said "SIOCGIFINDEX failed: No such device"',
                link=link["write"],
            ),
            DerivationStep(
                role="the failed call behind it",
                says='ioctl(SIOCGIFINDEX, "eth0") = ENODEV',
                link=link["ioctl"],
            ),
        ],
        headline="udhcpc (mipsel, pid 2) is about to exit(1): ioctl(SIOCGIFINDEX, eth0) = ENODEV 3 calls ago,"
        ' then it printed "SIOCGIFINDEX failed: No such device".'
        " Most likely: missing_interface (0.93). 2 rules proposed.",
        hypotheses=[
            Hypothesis(
                cause="missing_interface",
                proximate="normal_exit",
                confidence=0.93,
                title="The network interface eth0 does not exist",
                explanation="The program asked for the index of eth0"
                f" with [ioctl SIOCGIFINDEX]({link['ioctl']})"
                " and was told ENODEV."
                f" It then [printed an error]({link['write']}) and called exit_group(1)"
                f" from [udhcp_read_interface]({link['frame']}).",
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
