"""The filter of the syscalls: words and `key:value` terms, all of which must hold; `!` in front negates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from triage_tui.diagnosis.calls import descriptor
from triage_tui.runs.model import Syscall
from triage_tui.text import safe_line

Test = Callable[[Syscall], bool]

_TERM = re.compile(r'(!?)((?:[a-z_]+:)?(?:"[^"]*"?|\S+))', re.IGNORECASE)
_KEYED = re.compile(r"([a-z_]{2,}):([^/\d].*)?\Z")
_RANGE = re.compile(r"(\d{1,15})(?:(-)(\d{1,15})?)?\Z")
NUMBERS = ("fd", "tid", "pid")
KEYS = ("name", "errno", "path", *NUMBERS, "seq", "rule", "pc")
"""Keys that a term may begin with."""
FLAGS = ("failed", "rule", "printed", "noted")
"""Words that stand for a property of a call."""
HINT = "text  name:open*  errno:ENOENT  path:/etc  fd:3  tid:5  seq:10-20  failed  rule  printed  !not"


class CallFilter(NamedTuple):
    """A filter that was read."""

    test: Test | None
    """None lets every call pass."""
    problem: str = ""
    """What is wrong with a term, one sentence; "" when all are understood."""


def compile_filter(text: str, printed: Mapping[int, Sequence[str]] | None = None) -> CallFilter:
    """Read a filter: `name:open* errno:ENOENT !path:/usr failed`.

    Values of `name` and `errno` match from their beginning, and may have `*` and `?`; `path` and plain words
    match anywhere. `printed` has the lines that calls printed, where plain words are looked for too. A term
    that means nothing is told, and is left out; an unknown key is taken as a plain word, and told too.
    """
    tests: list[Test] = []
    problem = ""
    for sign, term in _TERM.findall(text):
        try:
            test = _term(term.lower(), printed or {})
        except ValueError as error:
            problem = problem or str(error)
            continue
        key = _KEYED.match(term.lower())
        if key is not None and key[1] not in KEYS:
            known = " ".join(f"{name}:" for name in KEYS)
            problem = problem or f"{safe_line(key[1], 20)}: is no term, so it is looked for as text ({known})"
        if test is not None:
            tests.append(_negated(test) if sign else test)
    if not tests:
        return CallFilter(None, problem)
    only = tests[0]
    return CallFilter(only if len(tests) == 1 else lambda call: all(one(call) for one in tests), problem)


def _negated(test: Test) -> Test:
    return lambda call: not test(call)


def haystack(call: Syscall) -> str:
    """Return the text that plain words are looked for in: what the row of the call shows."""
    result = call.errno or ("" if call.ret is None else str(call.ret))
    arguments = call.arguments or [f"{value:#x}" for value in call.args]
    rest = (call.path or "", call.peer or "", call.interface or "", call.rule or "", call.note or "")
    text = " ".join((str(call.seq), call.name, *arguments, result, *rest))
    return (text if text.isascii() and text.isprintable() else safe_line(text)).lower()


def _term(term: str, printed: Mapping[int, Sequence[str]]) -> Test | None:
    """Return the test of a term in lower case; None while its value is not typed yet.

    Raises:
        ValueError: it has a value that means nothing; the text says why.
    """
    key, colon, value = term.partition(":")
    value = value.strip('"')
    if colon and key in KEYS:
        return _keyed(key, value) if value else None
    if term in FLAGS:
        return _flag(term, printed)
    word = term.strip('"')
    if not word:
        return None
    said = {seq for seq, lines in printed.items() if any(word in line.lower() for line in lines)}
    return lambda call: call.seq in said or word in haystack(call)


def _flag(word: str, printed: Mapping[int, Sequence[str]]) -> Test:
    match word:
        case "failed":
            return lambda call: call.errno is not None
        case "rule":
            return lambda call: call.rule is not None
        case "printed":
            return lambda call: call.seq in printed
        case _:
            return lambda call: call.note is not None


def _keyed(key: str, value: str) -> Test:
    match key:
        case "name":
            return lambda call: _matches(call.name.lower(), value)
        case "errno":
            return lambda call: call.errno is not None and _matches(call.errno.lower(), value)
        case "rule":
            return lambda call: call.rule is not None and _matches(call.rule.lower(), value)
        case "path":
            if "*" in value or "?" in value:
                return lambda call: call.path is not None and fnmatchcase(call.path.lower(), value)
            return lambda call: call.path is not None and value in call.path.lower()
        case "fd":
            number = _number(key, value)
            return lambda call: descriptor(call) == number or _made(call) == number
        case "pid":
            number = _number(key, value)
            return lambda call: call.pid == number
        case "tid":
            number = _number(key, value)
            return lambda call: (call.tid or call.pid) == number
        case "pc":
            address = _hex(value)
            return lambda call: call.pc == address
        case _:
            first, last = _range(value)
            return lambda call: first <= call.seq <= last


def _matches(text: str, pattern: str) -> bool:
    return fnmatchcase(text, pattern) if "*" in pattern or "?" in pattern else text.startswith(pattern)


_MAKERS = frozenset(
    str.split(
        "open openat openat2 creat socket accept accept4 dup dup2 dup3 eventfd eventfd2 epoll_create "
        "epoll_create1 timerfd_create signalfd signalfd4 inotify_init inotify_init1 memfd_create"
    )
)


def _made(call: Syscall) -> int | None:
    """Return the descriptor that a call opened."""
    return call.ret if call.name in _MAKERS and call.errno is None else None


def _number(key: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 15:
        raise ValueError(f"{key}: wants a number, as in {key}:3")
    return int(value)


def _hex(value: str) -> int:
    try:
        return int(value, 16)
    except ValueError:
        raise ValueError("pc: wants an address in hex, as in pc:400d10") from None


def _range(value: str) -> tuple[int, int]:
    found = _RANGE.match(value)
    if found is None:
        raise ValueError("seq: wants a number or a range, as in seq:10-20")
    first = int(found[1])
    return first, int(found[3]) if found[3] else 1 << 62 if found[2] else first
