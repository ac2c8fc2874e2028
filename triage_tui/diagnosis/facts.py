"""The typed facts that a diagnosis is made of.

A fact is something the run record shows, never a guess: it names the place in the record that shows it
(`Source`), one sentence that says what it shows, and fields that the conditions of the knowledge base test.
The field names are part of the knowledge base's format (docs/knowledge-base.md); renaming one is a change
of that format.
"""

from __future__ import annotations

from functools import cache
from typing import get_type_hints

import msgspec

from triage_tui.runs.evidence import Kind

NEVER = 1_000_000
"""`steps` of a fact whose distance to the end is not known."""


class Source(msgspec.Struct, frozen=True):
    """Where in the run record a fact can be seen: the parts of an evidence link."""

    kind: Kind
    id: str
    line: int | None = None
    part: tuple[int, int] | None = None
    """Of memory: offset and length of the bytes that show it."""


def syscall_source(seq: int) -> Source:
    """Return the source of what the syscall `seq` shows."""
    return Source(kind="syscall", id=str(seq))


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What all facts share."""

    source: Source | None
    says: str
    """One sentence without a final full stop; raw guest text in it, so show it through `triage_tui.text`."""
    cite: str
    """The short text that stands for the fact inside a sentence: `open("/etc/x") = ENOENT`."""
    seq: int = -1
    """Sequence number of the syscall it belongs to, -1 when there is none."""
    pid: int = 0
    steps: int = NEVER
    """Calls that mean something (not close, munmap, write...) between it and the end, same process."""
    behind: int = -1
    """All calls of the same process between it and the end, -1 where that was not counted."""
    in_loop: bool = False
    """It happens in each round of the loop that the run was frozen in."""


class End(Fact, frozen=True, kw_only=True):
    """How the run ended: exactly one per run."""

    reason: str
    """"exit", "signal", "loop", "sleep_loop", "idle", "syscall", "requested", "time_limit", "emulator" or
    "unknown"."""
    code: int = -1
    """Exit code, -1 when it did not exit."""
    signal: str = ""
    killed_by: int = 0
    """Process that sent the signal which killed it where it was, 0 for a signal of its own making."""
    stopped: str = ""
    """The signal that stopped it before it was frozen, "a signal" for an unknown one, "" when none did."""
    blocked_in: str = ""
    """Operation of the call that it waited in ("accept", "sleep"), "" when it was in none for long."""
    background: bool = False
    """The process that was started has ended with code 0 before; this is a process that it left behind."""
    spinning: bool = False
    """It made no call and was in none: user-space code ran."""


class FailedCall(Fact, frozen=True, kw_only=True):
    """One failed request, however often and through however many syscalls it was made."""

    operation: str
    """What the call is for: "open", "stat", "connect", ... (see `calls.OPERATIONS`)."""
    name: str
    """The syscall's own name in the trace; the last one used."""
    names: str
    """All syscalls that failed in this way for this object, comma-separated."""
    errno: str
    path: str = ""
    base: str = ""
    """Last part of the path."""
    parent: str = ""
    """Directory of the path, absolute."""
    absolute: str = ""
    """The path with the process's working directory put in front where it was relative."""
    resource: str = ""
    """What the path stands for: "device", "library", "mtd", "nvram", "procnet", "proc", "runtime", "file"."""
    request: str = ""
    number: int = 0
    """Number of an ioctl request, 0 when it is not known."""
    first_argument: str = ""
    interface: str = ""
    peer: str = ""
    whom: str = ""
    """The peer, or the path of one that has no other name."""
    detail: str = ""
    """The remaining arguments that tell such calls apart, as text: socket family and protocol, option."""
    origin: str = ""
    """Path or kind of socket behind the descriptor that the call works on."""
    count: int = 1
    first_seq: int = -1
    creates: bool = False
    """The call would have made the object (O_CREAT, mkdir, mknod, bind)."""
    exclusive: bool = False
    """O_EXCL was given."""
    directory: bool = False
    """The call is for a directory (O_DIRECTORY, chdir)."""
    nonblocking: bool = False
    """An open that does not wait for the other end (O_NONBLOCK)."""
    writes: bool = False
    """Opened for writing."""
    child: bool = False
    """Made by another process than the one that ended."""
    refused: bool = False
    """Refused by the run itself, its containment or one of its limits: a device would not have done so."""
    containment: str = ""
    """What the engine keeps from the guest by refusing this call, in words, "" for what it did not refuse."""
    lifted_by: str = ""
    """The name with which `run --allow` lets such calls through, "" where nothing does."""
    option: str = ""
    """The option of `run` that sets the limit which it met, "" for any other refusal."""
    limit: str = ""
    """The limit of this run that it met, in words, "" for none that is known."""
    startable: bool = False
    """An execve of a foreign program that only this run refused (`run --exec refuse`)."""
    later_ok: bool = False
    """The same object, or one of the same name elsewhere, was reached later."""
    went_on: int = 0
    """Files, sockets and peers that the same process reached between it and the end."""
    mentioned: bool = False
    """A later message of the program names it or its error."""
    noise: str = ""
    """Why such a failure rarely matters, "" when nothing is known against it."""
    relevance: float = 0.0
    """0..1: how likely this failure led to the end (see `causality`)."""
    named_by: Fact | None = None
    """The message that names it."""
    named_in: str = ""
    """The text of that message."""
    reasons: tuple[str, ...] = ()
    """What speaks for its relevance, in words."""


class Message(Fact, frozen=True, kw_only=True):
    """One line that the program wrote, or an attempt to log whose text was not seen."""

    text: str
    stream: str
    """"output"; "syslog", also where another way found it; "log", a file of the program's own."""
    error: bool = False
    """It reads like a complaint."""
    from_last: int = 0
    """Lines after this one."""
    account: str = ""
    """The user or group that it says does not exist, "" where it speaks of none."""


class LogLine(Fact, frozen=True, kw_only=True):
    """A line of a log from elsewhere that a person put beside the run, of the time of the run."""

    text: str
    """Without colours, and without what stands before the words."""
    log: str
    """Name of the log, without its directory."""
    error: bool = False
    """It reads like a complaint."""
    by_content: bool = False
    """It was lined up by what it says, not by its time."""


class LoopFact(Fact, frozen=True, kw_only=True):
    """The repeated sequence: at most one per run."""

    period: int
    repeats: int
    sleeps: bool
    names: str


class LoopCall(Fact, frozen=True, kw_only=True):
    """One call of the loop's last round, failed or not."""

    operation: str
    name: str
    ret: int
    """Return value; -1 on failure or when it had not returned."""
    errno: str = ""
    path: str = ""
    detail: str = ""
    origin: str = ""
    listening: bool = False
    """Its descriptor, or one that it can watch, accepts connections."""
    opened_by: str = ""
    """The call that made its descriptor, where that was a file's path."""


class Sleep(Fact, frozen=True, kw_only=True):
    """Sleeping by the clock; `count` calls in all."""

    name: str
    count: int
    seconds: float = -1.0
    """How long the last one was to take, -1 where that is not known."""


class Wait(Fact, frozen=True, kw_only=True):
    """The last wait for something outside: accept, poll, select, epoll, read, recv, wait, lock."""

    operation: str
    name: str
    blocked: bool
    """The call had not returned when the run was frozen."""
    timed_out: int = 0
    """How many such calls returned 0: nothing came."""
    listening: bool = False
    """The program listens or has a bound datagram socket, so clients can reach it."""
    origin: str = ""
    """What it waits for: path or kind of the descriptor ("stdin", "socket", path), "" when not known."""
    sent: bool = False
    """It sent something before waiting: it waits for an answer."""
    watching: bool = False
    """It is told when files change: inotify, fanotify."""


class Listening(Fact, frozen=True, kw_only=True):
    """A socket that clients can reach."""

    address: str
    datagram: bool = False


class Identity(Fact, frozen=True, kw_only=True):
    """The program asked who it is and the answer was not root."""

    name: str
    names: str
    value: int


class Child(Fact, frozen=True, kw_only=True):
    """A forked process."""

    alive: bool
    """It was still running at the end."""
    crashed: str = ""
    """The signal of a fault of its own that it died of, "" when it did not."""
    daemon: bool = False
    """It became leader of a session of its own: the usual way into the background."""
    runs: str = ""
    """The program that it executed, "" while it runs the one that forked it."""
    process: int = 0
    """Its process id."""


class ProcessEnd(Fact, frozen=True, kw_only=True):
    """A process that ended by itself, other than the one that the run is about."""

    process: int
    code: int
    first: bool = False
    """It is the process that was started, of which all others come."""


class Opened(Fact, frozen=True, kw_only=True):
    """A file that could be opened: what the program did have."""

    path: str
    base: str
    resource: str
    mentioned: bool = False
    empty: bool = False
    """The first read from it gave nothing."""
    supplied: str = ""
    """Id of the rule that made this open succeed; empty when the file was there by itself."""


class ProbeFact(Fact, frozen=True, kw_only=True):
    """A question put to the service from outside before the freeze, and what came of it."""

    target: str
    outcome: str
    """"answered", "accepted", "wrong", "silent", "refused" or "failed" (see `runs.model.ProbeOutcome`)."""
    ok: bool
    """The service did what the probe wanted."""
    asked: bool
    """A person named the probe; else it was made because the program listens there."""
    status: int = -1
    """HTTP status or exit code, -1 when there is none."""
    received: int = 0


class Computing(Fact, frozen=True, kw_only=True):
    """A thread that computed for a while up to the freeze and made no call, whatever others did."""

    tid: int
    seconds: float
    processor_seconds: float
    threads: int
    """How many threads did so."""


class Decision(Fact, frozen=True, kw_only=True):
    """The branch in the program's own code that led to the end; at most one per run."""

    function: str
    """The function that it is in, or its address."""
    frame: int
    calls: str = ""
    """The function that it led to ("exit"), "" for one without a name."""
    compared: str = ""
    """The functions whose results are looked at there ("strcmp,getenv"), comma-separated; "" for none."""


class Fault(Fact, frozen=True, kw_only=True):
    """The instruction that a fault ended the program at; at most one per run."""

    address: int
    """What it reached for; of an illegal instruction, where it stands."""
    base: str = ""
    """The register, with its value, that led there; "" of an illegal instruction."""
    near_null: bool = False
    """It used a pointer that is zero, or a field of what such a pointer points to."""


class MemoryFact(Fact, frozen=True, kw_only=True):
    """What a recorded piece of memory shows. `seq` is that of the call which it belongs to."""

    object: str
    """Id of the memory object."""
    what: str
    """What it was recognised as: "struct ifreq for SIOCGIFINDEX", "http request", "string"."""
    text: str
    frame: int = -1
    """The frame whose code names it, -1 for none."""


class RuledCall(Fact, frozen=True, kw_only=True):
    """Calls that one rule answered in place of the emulator, as one fact per rule and syscall."""

    rule: str
    operation: str
    name: str
    ret: int
    """What the rule let the last of them return; negative on failure."""
    path: str = ""
    request: str = ""
    origin: str = ""
    count: int = 1


class Polled(Fact, frozen=True, kw_only=True):
    """The word that a loop without calls and stores reads again and again; at most one per run."""

    address: int
    value: int = -1
    """What the record holds there, -1 where it has not the bytes."""
    where: str = ""
    """Name or path of the mapping that it lies in."""
    module: str = ""
    """The program file whose data it is part of, "" for the heap, a stack or what else belongs to none."""
    offset: int = -1
    """Bytes from the lowest address at which that file is mapped."""
    sha256: str = ""
    """Of that file, "" where it was not recorded."""
    size: int = 4
    """Bytes that the loop reads."""
    ends: int = -1
    """A value with which the loop ends, -1 where the code does not say it for certain."""
    call: str = ""
    """The last call before the loop, or the one in it."""
    nth: int = 1
    """The how manieth of that name it is in its process; 1 for one in the loop."""
    sleeps: bool = False
    """The loop holds a sleep."""


FACT_KINDS: dict[str, type[Fact]] = {
    "end": End,
    "failed_call": FailedCall,
    "message": Message,
    "log_line": LogLine,
    "loop": LoopFact,
    "loop_call": LoopCall,
    "sleep": Sleep,
    "wait": Wait,
    "listening": Listening,
    "identity": Identity,
    "child": Child,
    "process_end": ProcessEnd,
    "opened": Opened,
    "probe": ProbeFact,
    "computing": Computing,
    "ruled_call": RuledCall,
    "decision": Decision,
    "fault": Fault,
    "polled": Polled,
    "memory": MemoryFact,
}
"""The names by which the knowledge base asks for facts."""

FieldValue = str | int | float | bool


@cache
def field_types(kind: str) -> dict[str, type]:
    """Return the testable fields of fact kind `kind` and their types (str, int, float or bool)."""
    hints = get_type_hints(FACT_KINDS[kind])
    usable = (str, int, float, bool)
    return {name: hints[name] for name in FACT_KINDS[kind].__struct_fields__ if hints[name] in usable}


class Facts(msgspec.Struct):
    """All facts of one run, per kind, oldest first."""

    by_kind: dict[str, list[Fact]] = msgspec.field(default_factory=dict)

    def add(self, kind: str, fact: Fact) -> None:
        """Add one fact of `kind`."""
        self.by_kind.setdefault(kind, []).append(fact)

    def of(self, kind: str) -> list[Fact]:
        """Return the facts of `kind`."""
        return self.by_kind.get(kind, [])

    @property
    def end(self) -> End:
        """The one fact that says how the run ended."""
        fact = self.by_kind["end"][0]
        assert isinstance(fact, End)
        return fact

    @property
    def failed(self) -> list[FailedCall]:
        """The failed calls, most relevant first."""
        found = [fact for fact in self.of("failed_call") if isinstance(fact, FailedCall)]
        return sorted(found, key=lambda fact: (-fact.relevance, -fact.seq))

    @property
    def messages(self) -> list[Message]:
        """The program's messages, oldest first."""
        return [fact for fact in self.of("message") if isinstance(fact, Message)]
