"""What a checkpoint holds, in terms of the guest: addresses, descriptors and numbers are the guest's own."""

from __future__ import annotations

from typing import Literal

import msgspec

from triage_tui.runs.process_model import Mapping

PAGE = 4096
DIRECTORY = "checkpoint"
"""Name of the directory in a run."""

FileKind = Literal[
    "file", "directory", "device", "pipe", "inet", "unix", "pair", "eventfd", "epoll", "timerfd", "signalfd",
    "inotify", "stdin", "stdout", "stderr",
]  # fmt: skip
"""What a descriptor leads to: "unix" is a local socket by itself, "pair" one of two that are connected with
each other; the last three are the streams that every run has of its own."""
Kept = Literal["file", "directory", "replaced", "link", "name", "fifo", "socket", "removed"]
"""What lies where: "replaced" is a directory in the place of the one that the root file system has there,
"link" a symbolic one, "name" one more name of a file that comes before it."""


class SocketOption(msgspec.Struct, frozen=True):
    """What was set by setsockopt(2), with the host's numbers."""

    level: int
    name: int
    value: str
    """In hexadecimal digits, as the host has it."""


class Watch(msgspec.Struct, frozen=True):
    """A descriptor that an epoll instance watches, epoll_ctl(2)."""

    fd: int
    events: int
    data: int


class Mark(msgspec.Struct, frozen=True):
    """What an inotify instance watches, inotify_add_watch(2)."""

    number: int
    """As the guest was given it."""
    path: str
    """As the first process of its name spaces sees it."""
    events: int
    inode: int
    device: int
    """As the kernel writes it: the minor number has 20 bits."""


class Timer(msgspec.Struct, frozen=True):
    """A timer with a descriptor, timerfd_create(2)."""

    clock: int
    ticks: int
    """How often it has expired and was not read."""
    left_ns: int
    """Until it expires next, 0: never."""
    interval_ns: int


class OpenFile(msgspec.Struct, kw_only=True):
    """An open file description, open(2): what several descriptors may share."""

    id: int
    kind: FileKind
    path: str = ""
    """As the guest names it; bytes that are no UTF-8 are surrogates."""
    flags: int = 0
    """Access mode and status flags with the host's values."""
    offset: int = 0
    pipe: int = 0
    """A number that both ends of a pipe have."""
    family: int = 0
    socket_type: int = 0
    protocol: int = 0
    address: str = ""
    """Of an inet socket: "0.0.0.0" or "::"."""
    port: int = 0
    backlog: int = 0
    listening: bool = False
    reuse: bool = False
    """SO_REUSEADDR."""
    v6only: bool = False
    """IPV6_V6ONLY."""
    peer: int = 0
    """Of a pair: the id of the other end."""
    options: list[SocketOption] = []
    mode: int = 0
    """Permissions and owner of a local socket's file."""
    user: int = 0
    group: int = 0
    counter: int = 0
    """Of an eventfd, and below whether it counts down by one (EFD_SEMAPHORE)."""
    semaphore: bool = False
    signals: int = 0
    """Of a signalfd, as the guest numbers them; bit 0 is signal 1."""
    timer: Timer | None = None
    watches: list[Watch] = []
    marks: list[Mark] = []
    last_mark: int = 0
    """The number that the newest of them was given, also where it is there no more."""


class FileLock(msgspec.Struct, frozen=True):
    """A lock on a file, as one of its descriptors shows it."""

    fd: int
    kind: Literal["POSIX", "FLOCK", "OFDLCK"]
    writes: bool
    """Whether nobody else may have one: F_WRLCK, LOCK_EX."""
    start: int = 0
    length: int = 0
    """0: to the end, however long the file becomes."""


class Descriptor(msgspec.Struct, frozen=True):
    """A descriptor, and which open file it leads to."""

    fd: int
    file: int
    cloexec: bool = False


class Action(msgspec.Struct, frozen=True):
    """What happens at a signal that has not its default action; numbers and bits are the guest's."""

    number: int
    handler: int
    flags: int
    restorer: int
    mask: int


class PageRun(msgspec.Struct, frozen=True):
    """Pages that follow one another, and where their bytes begin in the pages image."""

    start: int
    count: int
    offset: int


class ChangedFile(msgspec.Struct, kw_only=True):
    """Something below the guest's root that is otherwise than in the root file system it was started with."""

    path: str
    kind: Kept
    mode: int = 0
    user: int = 0
    group: int = 0
    atime_ns: int = 0
    """0: as `mtime_ns`."""
    mtime_ns: int = 0
    target: str = ""
    """Of a link; of a name, the one that comes before it."""
    offset: int = 0
    """Where the bytes of a file begin in the image of the changed files."""
    size: int = 0


class Attributes(msgspec.Struct, kw_only=True):
    """What the kernel and the emulator know of a process beside its memory and its files."""

    name: str = ""
    """At most 15 bytes; such that are no UTF-8 are surrogates."""
    nice: int = 0
    root: str = "/"
    """Its root directory, as the first process of its name spaces sees it, chroot(2)."""
    handler_stack: tuple[int, int] = (0, 0)
    """Address and size of the stack of its signal handlers, sigaltstack(2); no size where there is none."""
    limits: dict[int, tuple[int, int]] = {}
    """Limits that the kernel has and that are not those of the beginning: the host's number -> soft, hard."""
    wishes: dict[int, tuple[int, int]] = {}
    """Limits that are kept for it in the kernel's place."""
    prctl: dict[int, int] = {}
    """What it has set by prctl(2): request -> number."""
    timer: tuple[int, int] = (0, 0)
    """In how many microseconds it gets SIGALRM, and after how many again; 0 for never."""


class ThreadFacts(msgspec.Struct, frozen=True):
    """What CRIU's images have no place for, of one thread."""

    clear_tid: int
    """Address at which its end is told (CLONE_CHILD_CLEARTID), 0 for none."""
    call: str


class Thread(msgspec.Struct, frozen=True):
    """A thread other than the process's first one; see `Checkpoint`."""

    tid: int
    registers: dict[str, int]
    floats: list[int]
    state: bytes
    tls: int
    blocked: int
    clear_tid: int
    name: str
    call: str


class Facts(msgspec.Struct, kw_only=True):
    """What CRIU's images have no place for: `triage.json`."""

    schema_version: int = 1
    arch: str
    emulator: str
    """Its file name."""
    emulator_version: str
    emulator_sha256: str
    emulator_options: list[str]
    program: str
    program_sha256: str
    call: str
    """The call at which the guest was frozen."""
    seq: int
    """Its number in the run's trace."""
    state_end: int
    """Bytes of the emulator's state of the thread, from the first general register on."""
    pc_offset: int
    streams: dict[int, FileKind]
    """Open files that are the run's own streams."""
    devices: list[int]
    """Open files that are devices."""
    directories: list[int]
    threads: list[ThreadFacts] = []
    """Of the threads other than the first one, in the order of pstree.img."""
    clear_tid: int = 0
    """See `ThreadFacts`, of the first thread, as what follows."""
    first_call: str = ""
    last_seq: int = 0
    """Number of the newest call of all threads that is not made again, 0: the one before `seq`."""
    options: dict[int, list[SocketOption]] = {}
    """Those of each socket."""
    last_marks: dict[int, int] = {}
    """Open file that is an inotify instance -> the number that it gave last."""
    semaphores: list[int] = []
    """Open files that are eventfds which count down by one."""
    mapped: dict[str, str]
    """Path of each mapped file -> SHA-256 of its content."""
    emulator_pages: list[int]
    """Addresses of pages that the emulator itself gave the guest."""
    changed: list[ChangedFile]
    pages_bytes: int
    next_mapping: int = 0
    """From where the emulator looked for room for mappings; 0: not known."""
    last_id: int = 0
    """The last id that a process or thread of it, or of its emulator, was given; 0: not known."""
    attributes: Attributes = msgspec.field(default_factory=Attributes)
    output: dict[str, int] = {}
    """Name of each stream -> bytes that the guest had printed to it."""


class Checkpoint(msgspec.Struct, kw_only=True):
    """A process of which each thread is about to make a system call; what is said of one is of the first."""

    facts: Facts
    pid: int
    """Its id as the guest sees it."""
    name: str
    registers: dict[str, int]
    floats: list[int]
    """Floating-point or vector registers, empty where they were not found."""
    state: bytes
    """The emulator's state of the thread, from the first general register on: it is what is restored."""
    tls: int
    areas: list[Mapping]
    pages: list[PageRun]
    files: list[OpenFile]
    descriptors: list[Descriptor]
    locks: list[FileLock] = []
    cwd: str
    umask: int
    actions: list[Action]
    blocked: int
    """Signals that the thread does not let through; bit 0 is signal 1."""
    heap: tuple[int, int]
    """Begin and end, brk(2)."""
    auxv: list[int]
    threads: list[Thread] = []
    """The others, by their ids."""
    pipes: dict[int, bytes]
    """Pipe -> what is in it."""
    pipe_sizes: dict[int, int] = {}
    """Pipe -> how many bytes it can hold."""
    queues: dict[int, list[bytes]] = {}
    """End of a pair -> the messages that it has not read."""
