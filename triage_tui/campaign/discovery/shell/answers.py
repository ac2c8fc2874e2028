"""What a test of the shell gives in a root: yes, no, or None where only the device knows. test(1)."""

from __future__ import annotations

import posixpath
import stat

from triage_tui.campaign.discovery.root_view import RootView
from triage_tui.campaign.discovery.shell.state import Value

Answer = bool | None

_OF_KERNEL = ("/proc", "/sys", "/dev")
"""What the kernel fills, and a root is empty of."""
_UNARY = frozenset("abcdefghknprstuwxzLNOGS")
_NUMBERS = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}
_BINARY = frozenset(("=", "==", "!=", "=~", "<", ">", "-nt", "-ot", "-ef", *_NUMBERS))
MAX_WORDS = 200


def negated(answer: Answer) -> Answer:
    """Return the opposite, of which nothing is known where nothing is known of this."""
    return None if answer is None else not answer


def both(one: Answer, other: Answer) -> Answer:
    """Return whether both hold."""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def either(one: Answer, other: Answer) -> Answer:
    """Return whether one of them holds."""
    return negated(both(negated(one), negated(other)))


def test(view: RootView, cwd: str, words: list[Value]) -> Answer:
    """Return what `test WORDS` gives."""
    if len(words) > MAX_WORDS:
        return None
    reader = _Reader(view, cwd, words)
    answer = reader.expression()
    # What is no expression is an error, and an error is no.
    return answer if reader.at_end else False


class _Reader:
    def __init__(self, view: RootView, cwd: str, words: list[Value]) -> None:
        self._view = view
        self._cwd = cwd
        self._words = words
        self._at = 0

    @property
    def at_end(self) -> bool:
        """Whether all words were read."""
        return self._at >= len(self._words)

    def _peek(self, ahead: int = 0) -> str | None:
        at = self._at + ahead
        return self._words[at].text if at < len(self._words) else None

    def expression(self) -> Answer:
        answer = self._conjunction()
        while self._peek() in ("-o", "||"):
            self._at += 1
            answer = either(answer, self._conjunction())
        return answer

    def _conjunction(self) -> Answer:
        answer = self._primary()
        while self._peek() in ("-a", "&&"):
            self._at += 1
            answer = both(answer, self._primary())
        return answer

    def _primary(self) -> Answer:
        left = len(self._words) - self._at
        if left <= 0:
            return False
        first = self._peek()
        if left >= 3 and self._peek(1) in _BINARY:
            one, operator, other = self._words[self._at : self._at + 3]
            self._at += 3
            return _compared(one, operator.text or "", other)
        if first == "!" and left > 1:
            self._at += 1
            return negated(self._primary())
        if first == "(":
            self._at += 1
            answer = self.expression()
            self._at += 1
            return answer
        if first is not None and len(first) == 2 and first[0] == "-" and first[1] in _UNARY and left > 1:
            operand = self._words[self._at + 1]
            self._at += 2
            return self._of_one(first[1], operand)
        self._at += 1
        return None if first is None else first != ""

    def _of_one(self, operator: str, operand: Value) -> Answer:
        if operand.text is None:
            return None
        if operator in "nz":
            return (operand.text == "") == (operator == "z")
        if operator == "t":
            return False
        if operand.text == "":
            return False
        path = posixpath.normpath(posixpath.join(self._cwd, operand.text))
        if any(path == place or path.startswith(place + "/") for place in _OF_KERNEL):
            return None
        if self._view.made.is_doubtful(self._view.canonical(path) or path) and (
            path in self._view.made.doubtful or self._view.status(path) is None
        ):
            return None
        if operator in "hL":
            return self._view.is_link(path)
        status = self._view.status(path)
        if status is None:
            return False
        mode = status.st_mode
        match operator:
            case "f":
                return stat.S_ISREG(mode)
            case "d":
                return stat.S_ISDIR(mode)
            case "s":
                return status.st_size > 0
            case "x":
                return bool(mode & 0o111)
            case "b":
                return stat.S_ISBLK(mode)
            case "c":
                return stat.S_ISCHR(mode)
            case "p":
                return stat.S_ISFIFO(mode)
            case "S":
                return stat.S_ISSOCK(mode)
            case "e" | "a" | "r" | "w":
                return True
        return None


def _compared(one: Value, operator: str, other: Value) -> Answer:
    if one.text is None or other.text is None:
        return None
    if operator in ("=", "=="):
        return one.text == other.text
    if operator == "!=":
        return one.text != other.text
    if operator in _NUMBERS:
        try:
            return bool(_NUMBERS[operator](int(one.text[:20]), int(other.text[:20])))
        except ValueError:
            return None
    return None
