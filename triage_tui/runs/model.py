"""The run record: the shape of `snapshot.json` and what belongs to it.

The record is a superset of SFEmu's snapshot: its names and fields keep their meaning, ours are added
beside them. Addresses, sizes and syscall arguments are non-negative integers in guest terms, whatever the
host is; times are nanoseconds of CLOCK_MONOTONIC unless a field says otherwise. Text that came from the
guest is stored as the guest wrote it (decoded with backslash escapes where it was not UTF-8) and must go
through `triage_tui.text` before it is shown.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from triage_tui.runs.form import SCHEMA_VERSION as SCHEMA_VERSION
from triage_tui.runs.frame_model import Backtrace
from triage_tui.runs.memory_model import MemoryObject, MemoryRegion
from triage_tui.runs.process_model import Descriptor, Mapping, Process
from triage_tui.runs.record import Record

Reason = Literal[
    "exit",
    "signal",
    "loop",
    "sleep_loop",
    "idle",
    "syscall",
    "requested",
    "time_limit",
    "emulator",
    "unknown",
]
"""Why the guest was frozen. `exit`: about to end by itself; `signal`: about to be killed by its own fault;
`loop`: a repeated syscall sequence; `sleep_loop`: the same with a sleep in it; `idle`: it waits, that is it
made no syscall for a while, or it went round and a probe found its service answering; `syscall`: a call that
a person chose; `requested`: a person wanted it; `time_limit`: nothing of the above within the time given;
`emulator`: the emulator itself failed, in the words of `Trigger.detail`."""


class Target(Record):
    """What was started. `program` and `cwd` are guest paths; `rootfs` is a host path."""

    program: str
    argv: list[str]
    arch: str
    """"arm", "aarch64", "mipsel", ...: the emulator's name of the architecture, from the ELF header."""
    program_sha256: str = ""
    target_id: str = ""
    """Same program bytes and same argv give the same id, on every machine."""
    cwd: str = "/"
    env_keys: list[str] = []
    rootfs: str | None = None
    interpreter: str | None = None


class Engine(Record):
    """What ran the guest, so that a run can be reproduced."""

    name: str = "triage-tui"
    version: str = ""
    emulator: str = ""
    emulator_version: str = ""
    carrier: str = ""
    """"seccomp-notify" or "seccomp-trace": how syscalls were intercepted."""
    contained: list[str] = []
    """Namespaces and guards that held the guest, in words."""
    exec_policy: str = "emulate"
    """What became of foreign programs that the guest executed: "emulate", they ran under their emulator, or
    "refuse", they were answered with ENOEXEC as by a kernel without binfmt_misc."""
    rule_clock_offset_ns: int = 0
    """What c_get_timestamp told rules is a call's `ts_mono_ns` plus this; 0 when there were no rules."""
    rule_pack_sha256: str = ""
    generation: int = 0


class Printed(Record, gc=False):
    """Bytes of `logs/<stream>.log`: `offset` counts from the first byte of the stream."""

    stream: str
    """"stdout" or "stderr", or the `stream` of one of the `logs` of the snapshot."""
    offset: int
    size: int


class LogFile(Record):
    """Something else than its output that the guest logged to: a file of its own, or the system log."""

    file: str
    """"logs/file-app.log": what is kept of it, bounded."""
    stream: str
    """"file-app", "syslog": the name in `Printed`."""
    path: str
    """The guest's path."""
    size: int = 0
    """Bytes that it had when it was read, those that were there before included."""
    is_log: bool = False
    """It was opened for appending, or is named like a log: its lines are messages of the program's."""
    unclear: str = ""
    """Why it is not known which call wrote which bytes, "" when it is."""


DOUBT = "may be text of the program's own"
"""The note of a call that the log may show only because a string of the program's looks like one."""


NOT_STARTED = "which this run does not start (--exec refuse)"
"""Is in the note of an `execve` that was answered as by a kernel without binfmt_misc: ENOEXEC."""


LEFT_BEHIND = "go on: a daemon"
"""Is in the note of the `exit_group` with which the first process ends while others of it go on."""


UNLOGGED = "it returned, but the emulator does not log what"
"""Is in the note of a call that has returned although it has no result."""


class Syscall(Record, gc=False):
    """One syscall of the guest, in the order in which they were made."""

    seq: int
    name: str
    num: int = -1
    args: list[int] = []
    """Raw argument registers, unsigned; empty when only the text trace was available."""
    ret: int | None = None
    """Return value in guest terms (negative errno on failure); None while it has not returned, or where the
    note says UNLOGGED."""
    intercepted: bool = False
    arguments: list[str] = []
    """The arguments as text, decoded as far as possible, one entry each."""
    errno: str | None = None
    """Symbolic name of the error, "ENOENT"; None when the call did not fail."""
    pid: int = 0
    """Process that made it, and its thread below, as the guest sees them."""
    tid: int = 0
    ts_mono_ns: int = 0
    path: str | None = None
    """The path (or AF_UNIX socket name) the call is about, as the guest gave it."""
    peer: str | None = None
    """The decoded socket address of connect, bind or sendto: "unix:/var/run/x.sock", "inet:127.0.0.1:80"."""
    request: str | None = None
    """Name of an ioctl request, "SIOCGIFINDEX"."""
    interface: str | None = None
    """Name of the network interface in an ifreq argument."""
    rule: str | None = None
    """Id of the rule that answered or changed this call."""
    note: str | None = None
    """Anything else worth saying: "refused by containment: mount"."""
    host: str | None = None
    """Name of the host syscall through which it was seen by the supervisor, if it was."""
    pc: int | None = None
    """Guest address after the syscall instruction, of calls that the supervisor saw itself."""
    return_address: int | None = None
    """Value of the link register then, where the architecture has one."""
    printed: Printed | None = None
    """What it printed, where that is certain."""
    arch: str | None = None
    """Architecture of the program that made it, which `num`, `args` and `ret` belong to; None in records of
    versions that did not say it."""


ProbeOutcome = Literal["answered", "accepted", "wrong", "silent", "refused", "failed"]
"""`answered`: the service replied, or the command ended with 0; `accepted`: it took the connection and said
nothing; `wrong`: it replied, but not what was expected; `silent`: the connection waits, the program does not
take it; `refused`: nobody listens there; `failed`: the probe itself could not be done, or its command said
no."""


class Probe(Record):
    """A question that was put to the guest's service from outside while the guest ran, and the answer."""

    target: str
    """"tcp 127.0.0.1:80", "http 127.0.0.1:80/", "command curl ..."."""
    outcome: ProbeOutcome
    asked: bool = False
    """A person named this probe; else it was made because the guest listens there."""
    detail: str = ""
    """One sentence without a final full stop; what came back may be quoted in it."""
    status: int | None = None
    """HTTP status or exit code."""
    received: int = 0
    """Bytes that came back."""
    reply: str = ""
    """The beginning of what came back, as text with backslash escapes."""
    ts_mono_ns: int = 0
    elapsed_ms: float = 0.0
    seq: int = 0
    """Number of the guest's newest syscall when the probe began."""
    again: ProbeOutcome | None = None
    """What came of the same question right after it was answered; None: it was not put a second time."""
    later: ProbeOutcome | None = None
    """What came of it once more when the agreed time was over; None: the guest had stopped or was frozen by
    then, it had not answered twice, or no time was agreed."""
    later_ms: float = 0.0
    """How long after the first question that was."""


class Trigger(Record):
    """The moment of the freeze. `seq` is the syscall that is about to happen or repeats."""

    seq: int
    syscall_name: str
    syscall_num: int = -1
    args: list[int] = []
    ts_sec: int = 0
    ts_nsec: int = 0
    detail: str = ""
    exit_code: int | None = None
    signal: str | None = None
    pid: int = 0
    tid: int = 0
    """Thread that is looked at: its registers and its stack are the snapshot's. 0 where it is not known."""
    sender: int = 0
    """Process that sent the fatal `signal`, or the one in `stopped`, with the call `seq`; 0: none."""
    spinning: bool | None = None
    """Whether an idle guest used the processor, most of it in thread `tid`; None: not measured."""
    stopped: str = ""
    """The signal by which an idle guest had been stopped, "a signal" where it is not known which."""
    ts_mono_ns: int = 0
    """The moment by the clock of `Syscall.ts_mono_ns`; 0 in records of before it was measured."""
    ended: bool = False
    """Process `pid` was gone by then: nothing of it could be read."""


class Loop(Record):
    """A repeated sequence: syscalls first_seq..last_seq are `repeats` rounds of `period` calls.

    Calls that say nothing of what a program does (memory, signal masks) are not counted in a round. With
    `varies` the rounds differ, but hold no call that was not made before; `period` is that of the last.
    """

    period: int
    repeats: int
    first_seq: int
    last_seq: int
    tid: int = 0
    """The thread that goes round."""
    round_seqs: list[int] = []
    """The first call of each of the latest rounds, oldest first."""
    names: list[str] = []
    sleeps: bool = False
    varies: bool = False
    span_ms: float = 0.0
    skimmed: int = 0
    """How many of these calls came too fast to be compared and were only counted: with any, `repeats` is an
    estimate. Of rounds that vary it counts those whose sleeps were read, and there are more."""


class Register(Record):
    """One register. `value` is an unsigned integer; wider ones are "hex:..." text."""

    num: int
    name: str
    value: int | str
    size: int
    feature: str = "core"
    rc: int = 0


class Unavailable(Record):
    """Something that could not be had, and the reason."""

    what: str
    why: str


RuleState = Literal["active", "throttled", "used_up", "disabled"]
"""`throttled`: skipped at some calls, because it was asked too often; `used_up`: it has made all its hits;
`disabled`: switched off because it failed or took too much."""


SFEMU_LAYER = "sfemu"
"""`RuleHit.layer` of the accounts of a rule directory of SFEmu."""
AT_START = "start"
"""The `syscall` in the account of a rule that changed the program's start: its one hit was there."""


class RuleHit(Record):
    """How often a rule matched and what it answered, over the whole run, and what it cost."""

    rule: str
    hits: int
    syscall: str = ""
    limit: int | None = None
    disabled: str | None = None
    """Why it was switched off, if it was."""
    calls: int = 0
    """How often it was asked."""
    matches: int = 0
    """Of these, how often it did or logged something: a rule that only watches matches and never hits."""
    errors: int = 0
    """Of these, how often it failed."""
    skipped: int = 0
    """Calls at which it was not asked, because it had been asked too often within a second."""
    time_total_us: int = 0
    """Time that the guest waited for it, microseconds, the supervisor's share included."""
    time_max_us: int = 0
    """The longest of these waits."""
    state: RuleState = "active"
    on_failure: Literal["open", "closed"] = "open"
    """What the guest got where it failed: `open`, the call went on; `closed`, -EPERM."""
    asked_restart: str | None = None
    """The tag with which it asked to start the program again (c_request_reexec); untrusted text."""
    sha256: str = ""
    """Of the rule file."""
    layer: str = ""
    """Whose rule it was: `own`, `target`, `shared`, or `sfemu` for a rule directory of SFEmu."""
    template: str = ""
    """The template that its header names: what it was made from; "" for none."""


class StartSetting(Record):
    """What a rule changed of the program's start."""

    rule: str
    setting: str
    """"processor", "arguments", "directory", "environment", "user", "interfaces" or "helpers"."""
    says: str
    """"processor model max": what the program was started with. Values of variables are left out."""


class Outputs(Record):
    """Names of the text files, below the run directory."""

    regs_txt: str = "regs.txt"
    backtrace_txt: str = "backtrace.txt"
    diagnosis_md: str = "diagnosis.md"
    retry_log: str = "retry.log"


class Statistics(Record):
    """Figures over the whole run that the judge compares."""

    syscalls: int = 0
    distinct_signatures: int = 0
    failed_syscalls: int = 0
    elapsed_ms: float = 0.0
    processes: int = 1
    listening: list[str] = []
    output_bytes: int = 0
    log_bytes_passed_over: int = 0
    """Bytes of the emulator's log that came too fast to be read; with any, counts are lower bounds."""
    freeze_ms: float = 0.0
    """From the wish to freeze the guest until all of it stood still; 0 where that was not measured."""


class Snapshot(Record):
    """The content of `snapshot.json`."""

    run_id: str
    reason: Reason
    created_at: str
    """Local time with zone, ISO 8601 (SFEmu: without zone)."""
    trigger: Trigger
    target: Target
    schema_version: int = SCHEMA_VERSION
    engine: Engine = msgspec.field(default_factory=Engine)
    rules_dir: str = ""
    outputs: Outputs = msgspec.field(default_factory=Outputs)
    loop: Loop | None = None
    regs: list[Register] = []
    previous_regs: list[Register] = []
    """Registers of the previous stop of the same guest, for marking what changed."""
    backtrace: Backtrace = msgspec.field(default_factory=Backtrace)
    maps: list[Mapping] = []
    fds: list[Descriptor] = []
    processes: list[Process] = []
    """All processes, the first one first, children after their parents."""
    memory: list[MemoryObject] = []
    memory_regions: list[MemoryRegion] = []
    """All memory of all processes, when that was asked for."""
    recent_syscalls: list[Syscall] = []
    """Oldest first; the last one is the trigger. The longer history is in `trace.jsonl`."""
    guest_output: str = "logs/guest.log"
    """The guest's own stdout and stderr, raw bytes, bounded."""
    logs: list[LogFile] = []
    """What the guest wrote to files of its own and to the system log, as far as it is text, bounded."""
    unavailable: list[Unavailable] = []
    rule_hits: list[RuleHit] = []
    start_settings: list[StartSetting] = []
    """What active rules changed of the start; `target` says what came of it."""
    probes: list[Probe] = []
    """What was asked of the service before the freeze, oldest first."""
    statistics: Statistics = msgspec.field(default_factory=Statistics)
    parent_run: str | None = None
    """The run that this one retries."""
    round: int = 0
    guest_pid: int = 0
    """Host pid of the frozen guest while it is held, else 0."""
    recorded: str | None = None
    """Set on runs that ship with the product: says where and how they were recorded."""
