"""What travels between the process of a campaign and its workers: an order for a target, and the answer.

Both are MessagePack of these types and nothing else: a worker's answer is read as data, and is not believed
before it was checked (see `taking_in`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from triage_tui import __version__
from triage_tui.campaign.model import Options, Outcome, Target
from triage_tui.errors import TriageError
from triage_tui.runs.record import Record
from triage_tui.text import safe_line

VERSION = f"{__version__}/1"
"""Of what travels: an order is played, and an answer read, by the same version alone."""
MAX_ANSWER_BYTES = 2 << 30
MAX_SECONDS = 1e9
"""More than this, and what is no number, is not believed of a worker."""

AnswerKind = Literal["finished", "refused", "root", "died", "stopped", "no room", "version", "failed"]
"""`finished`: it was played; `refused`: it cannot be run; `root`: the worker lacks the root file system;
`died`: the process that played it was killed; `stopped`: it was asked to stop, or took too long; `no room`:
the worker's disk is full; `version`: the worker has another version; `failed`: the worker could not do it,
for a reason of its own."""


GivenFile = Literal["stdin", "policy"]
"""What the program gets on its standard input, and the written policy."""


class Order(Record, kw_only=True):
    """A target to be played."""

    version: str = VERSION
    campaign: str
    target: Target
    options: Options
    attempt: int = 1
    first: int = 1
    """Number at which the ids of its runs begin, so that runs of many workers can lie in one workspace."""
    rules: dict[str, bytes] = {}
    """Files of the rulebook that it starts with, by their path in it; for the pointer of a target what it
    leads to."""
    vouched: list[str] = []
    """SHA-256 of those of its rules that a rollout brought from another program."""
    given: dict[GivenFile, bytes] = {}
    """Files of the campaign's machine that the target needs, where it is played elsewhere."""
    place: str = ""
    """Directory in which it is played, on the machine of the campaign; "" for a worker elsewhere."""


class Answer(Record, kw_only=True):
    """What came of an order."""

    version: str = VERSION
    target: str
    kind: AnswerKind
    error: str = ""
    """Why it is not finished, one sentence."""
    outcome: Outcome | None = None
    seconds: float = 0.0
    emulators: dict[str, str] = {}
    """Architecture -> version line of its emulator."""
    worker: str = ""
    """Address of the worker."""
    parcel: bytes = b""
    """The runs and the rules, packed (`parcel`); empty where they lie in the order's place."""


def encode(value: Order | Answer) -> bytes:
    """Return an order or an answer as it travels."""
    return msgspec.msgpack.encode(value)


def decode_order(raw: bytes) -> Order:
    """Read an order.

    Raises:
        TriageError: it is none.
    """
    try:
        return msgspec.msgpack.decode(raw, type=Order)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TriageError(f"this is no order for a target: {safe_line(str(error), 120)}") from None


def decode_answer(raw: object) -> Answer:
    """Read the answer of a worker.

    Raises:
        TriageError: it is none, or too large.
    """
    if not isinstance(raw, bytes) or len(raw) > MAX_ANSWER_BYTES:
        raise TriageError("a worker answered something that is no answer")
    try:
        answer = msgspec.msgpack.decode(raw, type=Answer)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TriageError(
            f"a worker answered something that cannot be read: {safe_line(str(error), 120)}"
        ) from None
    answer.seconds = answer.seconds if 0 <= answer.seconds < MAX_SECONDS else 0.0
    return answer
