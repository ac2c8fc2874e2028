"""Processes in the run record: what each is, has and does, and the threads in it."""

from __future__ import annotations

from typing import Literal

from triage_tui.runs.frame_model import Frame
from triage_tui.runs.record import Record


class Mapping(Record):
    """One guest mapping [start, end)."""

    start: int
    end: int
    perms: str
    offset: int = 0
    path: str = ""
    name: str = ""
    """What it is for, where no file tells: "[heap]", "[stack]", "[stack of thread 5]", "[bss]"."""


class Socket(Record):
    """What a socket is and whom it talks to. Addresses: "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock"."""

    family: str
    """"inet", "inet6", "unix", "netlink", "packet", ... or the number."""
    type: str
    """"stream", "dgram", "raw", "seqpacket", ... or the number."""
    state: str
    """"listening", "connected", "connecting", "bound", "open", ..."""
    local: str = ""
    peer: str = ""


class Descriptor(Record):
    """One open descriptor of the guest."""

    fd: int
    target: str
    kind: Literal["file", "directory", "socket", "pipe", "device", "other"] = "other"
    flags: int = 0
    """Open flags with the host's values, open(2)."""
    origin_seq: int | None = None
    """The syscall that made it, where the trace says so."""
    state: str | None = None
    """Socket state: "listening 0.0.0.0:80", "connected ..."."""
    flag_names: list[str] = []
    """The flags by name: "O_RDWR", "O_NONBLOCK", ..."""
    cloexec: bool = False
    """Whether it is closed at the next execve."""
    offset: int | None = None
    """File position."""
    size: int | None = None
    """Bytes of a regular file."""
    socket: Socket | None = None
    detail: str | None = None
    """What else the kernel tells (fdinfo of proc(5)): "eventfd, count 3", "epoll, watching 4 (EPOLLIN)"."""


class Computation(Record):
    """A thread that computed, up to the freeze, without making a call."""

    seconds: float
    """For how long, at least: it had or wanted a processor all the time."""
    processor_seconds: float
    """Processor time that it got meanwhile."""
    last_seq: int | None = None
    """Its last call before that, where one is known."""


class Thread(Record):
    """One thread of the guest; `tid` is its id as the guest sees it."""

    tid: int
    state: Literal["in call", "computing", "ended", "unknown"] = "unknown"
    """`computing`: between calls, its registers are those of a moment before. `ended`: it was the first one,
    and the process goes on without it."""
    call: str | None = None
    """Name of the syscall that it is in."""
    seq: int | None = None
    """The same in the trace."""
    looked_at: bool = False
    """Whether the snapshot's `regs`, `backtrace` and `trigger` are this thread's."""
    computed: Computation | None = None
    """What was measured of a thread that made no call for a while; None: nothing of the kind."""
    registers: dict[str, int] = {}
    why: str | None = None
    """Why there are no registers."""
    frames: list[Frame] = []
    """Its call stack, innermost frame first; that of the thread that is looked at is the snapshot's own."""
    blocked_signals: list[str] = []
    pending_signals: list[str] = []


class AuxiliaryValue(Record):
    """One entry of the auxiliary vector, getauxval(3)."""

    type: int
    name: str
    value: int
    text: str = ""
    """The string that it points to, or the bits by name."""


class ResourceLimit(Record):
    """One limit of getrlimit(2); None is no limit."""

    name: str
    soft: int | None = None
    hard: int | None = None


class SignalAction(Record):
    """What a process does at one signal, sigaction(2), where that is not the default."""

    signal: str
    action: Literal["handle", "ignore"] = "handle"
    addr: int = 0
    """Address of the handler; odd for one in the Thumb instruction set."""
    flags: list[str] = []
    """"SA_SIGINFO", "SA_RESTART", ..."""
    module_name: str | None = None
    module_offset: int | None = None
    """Address in the module's own terms (as in its ELF file)."""
    func_name: str | None = None


class Process(Record):
    """One process of the guest; `pid` and `parent` are ids as the guest sees them."""

    pid: int
    parent: int = 0
    """0 when the parent does not belong to the guest."""
    program: str = ""
    """Guest path of the program, from its auxiliary vector."""
    argv: list[str] = []
    arch: str = ""
    """Architecture of the program, which may be another than that of the first one."""
    looked_at: bool = False
    """Whether the snapshot's `maps` and `fds` are this process's; its own lists are then empty."""
    ended: str | None = None
    """How it ended, where it was gone before the guest was frozen: "killed by SIGKILL, which process 4 sent
    with kill (syscall 31)". Nothing is known then but ids, program, arguments and architecture."""
    threads: list[Thread] = []
    cwd: str = ""
    root: str = ""
    umask: int | None = None
    env_keys: list[str] = []
    """Names in its environment; the values are in `environment.json`, which only the owner may read."""
    auxv: list[AuxiliaryValue] = []
    limits: list[ResourceLimit] = []
    ignored_signals: list[str] = []
    caught_signals: list[str] = []
    """Only those that would otherwise do nothing: the emulator itself catches every fatal one."""
    pending_signals: list[str] = []
    """Sent to the process and not yet taken by a thread."""
    signal_actions: list[SignalAction] = []
    """From the emulator's own table, fatal signals included; empty where it was not recognised."""
    fds: list[Descriptor] = []
    maps: list[Mapping] = []
