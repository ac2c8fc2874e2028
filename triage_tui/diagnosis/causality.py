"""Which failed call led to the end: not the last error, but the one that the trace ties to it.

Weighed are nearness to the end (in calls that mean something), the program's own message naming the object or
the error, being repeated in the loop, being the last failure that is no noise, retries, and the ties of
`ties`: results, descriptors, directories and the stack.
Against it speak known noise (rules/causality.yaml) and a later success for the same object. The weights were
set on recorded failures; the reasons are kept in words so that a person can judge them.
"""

from __future__ import annotations

import errno as errno_names
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from triage_tui.diagnosis.facts import End, FailedCall, Message
from triage_tui.diagnosis.ties import FACTORS, Tie

NEAR = 6.0
"""Calls between failure and end at which nearness counts half."""

LATE_LINES = 25
"""Messages further from the last one than this name nothing that matters for the end."""

RETRIES = 3

LAST_WORDS = 0.8
"""Factor for a failure named by another process than the one whose last words speak of another failure."""
PASSED_OVER = 0.9
"""Factor for one that a process named and went on after, when its own last words speak of a later failure."""
NAMED = 0.35
"""From this weight on a message counts as one that names the object of a failure."""

_DIRECTORY_WORD = re.compile(r"(?i)(?<!or )(?<!/)\b(director(?:y|ies)|dir|folder)\b(?!\s*(?:or\b|/))")
"""A word for a directory, but not that of "No such file or directory" or of "file/directory"."""

_OPTION_HELP = re.compile(r"^(-\w|--\w[\w-]*)\b")
"""A line that explains an option, "-t TAG  Log with TAG (defaults to user name)", complains of no user."""


class Noise(msgspec.Struct, frozen=True):
    """One kind of failure that programs live with."""

    why: str
    weight: float
    operations: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    errnos: frozenset[str] = frozenset()
    path: Any = None
    origin: Any = None
    request: Any = None

    def matches(self, fact: FailedCall) -> bool:
        """Tell whether `fact` is of this kind."""
        return (
            (not self.operations or fact.operation in self.operations)
            and (not self.names or fact.name in self.names)
            and (not self.errnos or fact.errno in self.errnos)
            and (self.path is None or self.path.search(fact.path) is not None)
            and (self.origin is None or self.origin.search(fact.origin) is not None)
            and (self.request is None or self.request.search(fact.request) is not None)
        )


class Hint(msgspec.Struct, frozen=True):
    """Words in a message that point to an object, a path or an ioctl request, or to an error."""

    message: Any
    path: Any = None
    request: Any = None
    errno: Any = None

    def points_to(self, fact: FailedCall, text: str) -> bool:
        """Tell whether message `text` speaks of what `fact` is about."""
        asked = ((self.path, fact.path), (self.request, fact.request), (self.errno, fact.errno))
        named = any(wanted is not None and found and wanted.search(found) for wanted, found in asked)
        return bool(named) and self.message.search(text) is not None


class Causality(msgspec.Struct, frozen=True):
    """The content of rules/causality.yaml."""

    noise: tuple[Noise, ...] = ()
    hints: tuple[Hint, ...] = ()
    ties: Mapping[str, float] = msgspec.field(default_factory=dict)
    """Weight of each tie of `ties.NAMES`; one that is missing weighs nothing."""

    def noise_of(self, fact: FailedCall) -> Noise | None:
        """Return the first kind of noise that `fact` is, None for one of weight 1, which is none."""
        found = next((entry for entry in self.noise if entry.matches(fact)), None)
        return found if found is not None and found.weight < 1 else None


def strerror(name: str) -> str:
    """Return the C library's text for a symbolic error name, "" when it has none."""
    number = getattr(errno_names, name, None)
    return os.strerror(number) if isinstance(number, int) else ""


def _names_word(text: str, word: str) -> bool:
    """Tell whether `word` stands in `text` on its own, not as part of a longer word."""
    if len(word) < 2 or word.lower() not in text.lower():
        return False
    pattern = r"(?<![\w.])" + re.escape(word) + r"(?![\w])"
    return re.search(pattern, text, re.IGNORECASE) is not None


def own_names(program: str, argv: list[str]) -> frozenset[str]:
    """Return the names by which a program speaks of itself: its file's, argv[0]'s, and an applet's."""
    names = [posixpath.basename(program), *(posixpath.basename(word).lstrip("-") for word in argv[:1])]
    names += [word for word in argv[1:2] if re.fullmatch(r"[a-z][\w-]*", word)]
    return frozenset(name for name in names if name)


def without_own_name(text: str, names: frozenset[str]) -> str:
    """Return a message without the program's name in front, "tool[7]: x", "tool v1.2: x" or "[tool] x"."""
    for name in names:
        found = re.match(r"\W{0,2}" + re.escape(name) + r"(?:\[\d+\])?(?: v?[\d.]+\S*)?\s*[]:>]\s*", text)
        if found:
            return text[found.end() :]
    return text


def _mention(fact: FailedCall, text: str, hints: tuple[Hint, ...]) -> tuple[float, str]:
    """Return how strongly one message points to `fact`'s object, and in which way."""
    if fact.path and len(fact.path) > 3 and fact.path in text:
        return 0.5, "a message of the program names its path"
    if fact.interface and _names_word(text, fact.interface):
        return 0.45, "a message of the program names the interface"
    if fact.peer and (fact.peer in text or _peer_named(fact.peer, text)):
        return 0.45, "a message of the program names the peer"
    if fact.base and (len(fact.base) > 3 or fact.resource == "device") and _names_file(text, fact.base):
        return 0.42, "a message of the program names the file"
    if not _OPTION_HELP.search(text) and any(hint.points_to(fact, text) for hint in hints):
        return 0.38, "a message of the program speaks of what this is for"
    return 0.0, ""


_COMMON = re.compile(r"[A-Za-z]{2,5}\Z")
"""Names of files that are words of everyday messages, too: stat, tty, self, group."""
_OF_FILES = re.compile(
    r"\b(?:open|read|writ|access|find|found|load|creat|mount|file|director|device|exist|missing|no such|lock"
    r"|path)",
    re.IGNORECASE,
)
_LONG = 300
"""Characters from which on a line is a banner or a list rather than a complaint."""


def _names_file(text: str, base: str) -> bool:
    """Tell whether `text` speaks of a file called `base`; of a common word it takes more than the word."""
    if not _names_word(text, base):
        return False
    if not _COMMON.match(base) or f"/{base}" in text:
        return True
    rest = re.sub(r"(?<![\w.])" + re.escape(base) + r"(?![\w])", " ", text, flags=re.IGNORECASE)
    return len(text) < _LONG and _OF_FILES.search(rest) is not None


def _peer_named(peer: str, text: str) -> bool:
    port = peer.rpartition(":")[2]
    return port.isdecimal() and len(port) > 1 and _names_word(text, port)


def _best_mention(
    fact: FailedCall,
    messages: list[Message],
    hints: tuple[Hint, ...],
    latest: dict[str, int],
    names: frozenset[str],
) -> tuple[float, str, Message | None]:
    best: tuple[float, str, Message | None] = (0.0, "", None)
    reason = strerror(fact.errno)
    for message in messages:
        if 0 <= message.seq < fact.first_seq or not message.text:
            continue
        weight, why = _mention(fact, without_own_name(message.text, names), hints)
        # strerror() gives the last error only: an earlier failure with the same errno is not meant.
        if reason and reason in message.text and latest.get(fact.errno) == fact.seq:
            said = _names_word(message.text, fact.operation) or _names_word(message.text, fact.name)
            strong = weight > 0 or said
            weight, why = 0.5 if strong else 0.35, why or "a message of the program gives its error"
        if not message.error:
            weight *= 0.6
        weight *= 1.0 - 0.02 * message.from_last
        if weight > best[0]:
            best = (weight, why, message)
    return best


def _spoken_of_last(
    failed: Sequence[FailedCall],
    noises: Sequence[Noise | None],
    messages: Sequence[Message],
    hints: tuple[Hint, ...],
    names: frozenset[str],
) -> set[int]:
    """Return the failures, by their last call, that the last line which the program wrote speaks of."""
    last = next((message for message in messages if message.from_last == 0 and message.text), None)
    if last is None or not last.error:
        return set()
    text = without_own_name(last.text, names)
    return {
        fact.seq
        for fact, noise in zip(failed, noises, strict=True)
        if noise is None and not fact.later_ok and _mention(fact, text, hints)[0]
    }


def weigh(
    failed: list[FailedCall],
    messages: list[Message],
    end: End,
    knowledge: Causality,
    names: frozenset[str] = frozenset(),
    ties: Mapping[int, Sequence[Tie]] | None = None,
) -> list[FailedCall]:
    """Return `failed` with relevance, reasons, noise and mentions filled in.

    `names` are those by which the program speaks of itself; `ties` are those of `ties_of`.
    """
    noises = [knowledge.noise_of(fact) for fact in failed]
    hard = [fact for fact, noise in zip(failed, noises, strict=True) if noise is None and not fact.later_ok]
    last_hard = max((fact.seq for fact in hard if not fact.child), default=-1)
    latest: dict[str, int] = {}
    for fact, noise in zip(failed, noises, strict=True):
        if noise is None or noise.weight > 0.1:
            latest[fact.errno] = max(latest.get(fact.errno, -1), fact.seq)
    late = [message for message in messages if message.from_last < LATE_LINES]
    spoken_of = _spoken_of_last(failed, noises, late, knowledge.hints, names)
    weighed = []
    for fact, noise in zip(failed, noises, strict=True):
        mention, why, witness = _best_mention(fact, late, knowledge.hints, latest, names)
        score, reasons = _score(fact, end, is_last=fact.seq == last_hard)
        score += mention
        if why:
            reasons.append(why)
        # One process may print its lines in any order; what another one says last is its verdict on them.
        if spoken_of and fact.seq not in spoken_of and witness is not None and witness.pid != late[-1].pid:
            score *= LAST_WORDS
        elif spoken_of and fact.seq < min(spoken_of) and witness is not None and witness.from_last:
            score *= PASSED_OVER
        for tie in (ties or {}).get(fact.seq, ()):
            weight = knowledge.ties.get(tie.name, 0.0)
            if tie.name in FACTORS:
                # A message that names the object says more than what the last branch looked at.
                score *= 1.0 if tie.name == "other_result" and mention >= NAMED else weight or 1.0
            elif weight:
                score += weight * tie.share
                reasons.append(tie.says)
        if noise is not None:
            # A message that names the object outweighs the general experience that it does not matter.
            score *= max(noise.weight, 0.7) if mention >= NAMED and noise.weight > 0.1 else noise.weight
        if fact.later_ok:
            score *= 0.15
        elif fact.went_on and not fact.in_loop:
            score *= 0.65
        weighed.append(
            msgspec.structs.replace(
                fact,
                relevance=round(max(0.0, min(1.0, score)), 3),
                reasons=tuple(reasons),
                noise=noise.why if noise else "",
                mentioned=mention > 0.3,
                named_by=witness,
                named_in=witness.text if witness is not None else "",
                directory=fact.directory or _called_directory(fact, late),
            )
        )
    return weighed


def _called_directory(fact: FailedCall, messages: list[Message]) -> bool:
    """Tell whether a message calls the path that `fact` looked for a directory."""
    if len(fact.path) < 2 or fact.creates or fact.operation not in ("open", "stat", "access"):
        return False
    ends = (message.text.partition(fact.path) for message in messages if message.seq > fact.first_seq)
    return any(found and _DIRECTORY_WORD.search(before[-60:]) for before, found, _ in ends)


def _score(fact: FailedCall, end: End, *, is_last: bool) -> tuple[float, list[str]]:
    """Return the weight of nearness, loop and retries, with its reasons."""
    nearness = 1.0 / (1.0 + (fact.steps / NEAR) ** 1.5)
    reasons = []
    score = 0.0
    if end.reason in ("exit", "signal"):
        score += 0.4 * nearness
        if nearness > 0.4:
            reasons.append("it comes shortly before the end")
    elif end.reason in ("loop", "sleep_loop", "time_limit"):
        if fact.in_loop:
            score += 0.65
            reasons.append("it is repeated in the loop")
        else:
            score += 0.1 * nearness
    else:
        score += 0.25 * nearness
    if is_last:
        score += 0.15
        reasons.append("no other unusual failure of its process comes after it")
    if fact.count >= RETRIES:
        score += 0.05
        reasons.append(f"it was tried {fact.count} times")
    if fact.child:
        score *= 0.7
    return score, reasons
