"""What the supervisor and a process that holds the Lua of a rule directory say to each other.

Messages are framed as those of the rule host (`triage_tui.rulehost.wire`): a length and a msgpack array. The
process counts as hostile: lengths are checked first, and each message is decoded into exactly these types.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from triage_tui.rulehost.wire import Ask, Log, Message, Reply

MAX_MESSAGE = 20 << 20
"""Longest message in bytes: more than a helper may read or write at once."""
MOST_BYTES = 16 << 20
"""Most bytes of the guest's memory that one call of a helper reads or writes."""


class Setup(Message, tag="setup"):
    """To the first process, with descriptors: see `entering.Descriptors`."""

    rules_path: str
    """The rule directory as its Lua sees it."""
    recorded: list[str]
    """Names in it that are written through to this machine: `cache`, `data`."""
    covered: str
    """Our workspace in one of them, of which nothing is seen but the directories `exchanged`; "" for none."""
    exchanged: list[str]
    cwd: str
    single_id: bool
    memory_bytes: int
    file_bytes: int
    overlay_bytes: int
    environment: dict[str, str]
    shell: list[str]
    """Arguments of the emulator in front of a command for the guest's shell, empty where there is none."""
    numbers: dict[str, int]
    """Globals that SFEmu sets: `SFEMU_SYSCALL_CTX_KEEP`, `SFEMU_RULES_IDLE_MS`."""
    enosys: int


class Spawn(Message, tag="spawn"):
    """Make a process: of the first one, with a Lua state that nothing has run in; else with a copy of this.

    The descriptor of its socket comes with the next byte. Answered there by `Hello`.
    """

    environment: dict[str, str]
    """What the process has of its own besides `Setup.environment`."""


class Entry(Message, tag="entry"):
    """Call `entry`, loading `entry.lua` before the first time. Answered by `Done`."""

    name: str | None
    num: int
    args: tuple[int, ...]
    pid: int
    """The process as the guest numbers it."""


class Finish(Message, tag="finish"):
    """Call `finish`, loading `finish.lua` before the first time. Answered by `Done`."""

    name: str | None
    num: int
    ret: int
    intercepted: bool
    args: tuple[int, ...]


class Idle(Message, tag="idle"):
    """Call `idle`, if there is one. Answered by `Done`."""

    pc: int
    idle_ms: int
    seq_len: int
    repeats: int


class Hello(Message, tag="hello"):
    """From a new process, with a pidfd of it in the next byte."""

    guards: list[str]
    missing: list[str]


class Failed(Message, tag="failed"):
    """From the first process in place of `Hello`: why it could not be made."""

    why: str


class Done(Message, tag="done"):
    """The hook has returned.

    `error` is what was wrong with it, empty where nothing was. `again`: it asked for its program to be
    started again, with this tag.
    """

    intercept: bool = False
    ret: int = 0
    error: str = ""
    again: str | None = None
    exits: int | None = None
    """It called os.exit: the code. The process is gone behind this."""


ToProcess: TypeAlias = Setup | Spawn | Entry | Finish | Idle | Reply
FromProcess: TypeAlias = Hello | Failed | Done | Ask | Log

to_process: msgspec.msgpack.Decoder[ToProcess] = msgspec.msgpack.Decoder(ToProcess)
from_process: msgspec.msgpack.Decoder[FromProcess] = msgspec.msgpack.Decoder(FromProcess)
