"""The messages between the rule host process and its client.

Each message is a little-endian 32-bit length and a msgpack array (msgspec, tagged) on a stream socket. The
host process counts as hostile as soon as a rule has run in it: lengths are checked before anything is
read, and every message is decoded into exactly the types below.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

import msgspec

LENGTH = struct.Struct("<I")
MAX_MESSAGE = 4 << 20
"""Longest message in bytes, larger than any request or rule that `Limits` and the client let through."""
MAX_SOURCE = MAX_MESSAGE - (1 << 16)
"""Longest text of one rule in bytes: what goes with it in a message needs room too."""

Value: TypeAlias = int | bytes | None


class Message(msgspec.Struct, array_like=True):
    """Base of all messages."""


class Setup(Message, tag="setup"):
    """Client to host, first message: limits of the process and of every rule in it."""

    parent: int
    process_bytes: int
    cpu_seconds: int
    memory_bytes: int
    instructions: int
    requests: int
    request_bytes: int
    log_lines: int
    log_line_bytes: int
    enosys: int


class Check(Message, tag="check"):
    """Client to host: compile this text, run nothing. Answered by `Done`."""

    name: str
    source: bytes


class Load(Message, tag="load"):
    """Client to host: give this rule a Lua state of its own and run its top level. Answered by `Done`."""

    index: int
    name: str
    syscall: str
    rules_dir: bytes
    source: bytes
    instructions: int
    memory_bytes: int
    clock: int
    """What the rule's clock shows, nanoseconds of CLOCK_REALTIME; each reading advances it by one."""


class Run(Message, tag="run"):
    """Client to host: call do_syscall of rule `index`, or after_syscall with the result `ret`.

    Answered by `Done`.
    """

    index: int
    num: int
    args: tuple[int, ...]
    clock: int
    """As in `Load`."""
    ret: int | None = None
    syscall: str = ""
    """Name of the call, for rules that hook several."""


class Reply(Message, tag="reply"):
    """Client to host: what an `Ask` gave; `rc` is 0, a positive result or a negative target errno."""

    rc: int
    values: tuple[Value, ...] = ()


class Hello(Message, tag="hello"):
    """Host to client, once, after the process has been closed in."""

    lua: str
    guards: list[str]
    missing: list[str]


class Ask(Message, tag="ask"):
    """Host to client, while a rule runs: something only the supervisor can do. Answered by `Reply`."""

    method: str
    args: tuple[int | bytes, ...]


class Log(Message, tag="log"):
    """Host to client, one way: a line that a rule wrote."""

    line: bytes


class Done(Message, tag="done"):
    """Host to client: the end of a check, load or run. `kind` is "", "error", "budget" or "memory".

    After a load `ret` tells which functions the rule defines: 1 do_syscall, 2 after_syscall, 3 both.
    """

    kind: str
    message: str = ""
    intercept: bool = False
    ret: int = 0


ToHost: TypeAlias = Setup | Check | Load | Run | Reply
ToClient: TypeAlias = Hello | Ask | Log | Done

_encoder = msgspec.msgpack.Encoder()
to_host: msgspec.msgpack.Decoder[ToHost] = msgspec.msgpack.Decoder(ToHost)
to_client: msgspec.msgpack.Decoder[ToClient] = msgspec.msgpack.Decoder(ToClient)


def frame(message: Message) -> bytes:
    """Return the bytes of one message, length first."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body
