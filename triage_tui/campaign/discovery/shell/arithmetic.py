"""Whole numbers as the shell counts with them: POSIX.1-2017, 2.6.4, and C's operators in their precedence."""

from __future__ import annotations

import re
from collections.abc import Callable

from triage_tui.campaign.discovery.shell.state import ShellState, Value

MAX_TEXT = 1000
MAX_DEPTH = 40
"""Expressions inside of each other."""
_TOKEN = re.compile(
    r"\s*(?:(0[xX][0-9a-fA-F]+|[0-9]+)|([A-Za-z_][A-Za-z0-9_]*)"
    r"|(<<=|>>=|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&^|]=|[-+*/%<>=!~&^|?:(),]))"
)
_LEVELS = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", "<=", ">", ">="),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
"""Operators of two sides, those that bind least first."""
_ASSIGNING = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "^=", "|=", "<<=", ">>="))
_RESULT: dict[str, Callable[[int, int], int]] = {
    "||": lambda a, b: int(bool(a or b)),
    "&&": lambda a, b: int(bool(a and b)),
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
    "<<": lambda a, b: a << (b & 63),
    ">>": lambda a, b: a >> (b & 63),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


class NoNumberError(Exception):
    """It is no expression, or a part of it is known on the device alone; the text says why."""


def evaluate(shell: ShellState, text: str) -> Value:
    """Return the value of an expression whose `$` are expanded, as a decimal text; it may set variables."""
    try:
        return Value(str(_Reader(shell, text).whole()))
    except NoNumberError as error:
        return Value(None, str(error))


class _Reader:
    def __init__(self, shell: ShellState, text: str) -> None:
        self._shell = shell
        self._text = text[:60]
        self._tokens: list[str] = []
        self._at = 0
        self._depth = 0
        at = 0
        text = text.rstrip()
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None or len(text) > MAX_TEXT:
                raise self._error()
            self._tokens.append(token[0].strip())
            at = token.end()

    def whole(self) -> int:
        """Read the whole text; an empty one is 0."""
        if not self._tokens:
            return 0
        value = self._list()
        if self._at < len(self._tokens):
            raise self._error()
        return value

    def _error(self) -> NoNumberError:
        return NoNumberError(f"the value of $(({self._text})) is not known")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        token = self._peek()
        if token not in wanted:
            return ""
        self._at += 1
        return token

    def _list(self) -> int:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error()
        value = self._assignment()
        while self._take(","):
            value = self._assignment()
        self._depth -= 1
        return value

    def _assignment(self) -> int:
        name = self._peek()
        operator = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else ""
        if operator not in _ASSIGNING or not _is_name(name):
            return self._choice()
        self._at += 2
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error()
        value = self._assignment()
        self._depth -= 1
        if operator != "=":
            value = self._result(operator[:-1], self._variable(name), value)
        return self._set(name, value)

    def _choice(self) -> int:
        asked = self._binary(0)
        if not self._take("?"):
            return asked
        one = self._list()
        if not self._take(":"):
            raise self._error()
        other = self._list()
        return one if asked else other

    def _binary(self, level: int) -> int:
        if level == len(_LEVELS):
            return self._unary()
        value = self._binary(level + 1)
        while operator := self._take(*_LEVELS[level]):
            value = self._result(operator, value, self._binary(level + 1))
        return value

    def _result(self, operator: str, one: int, other: int) -> int:
        if operator in "/%":
            if other == 0:
                raise self._error()
            # C cuts towards zero.
            quotient = abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)
            return _wrapped(quotient if operator == "/" else one - quotient * other)
        return _wrapped(_RESULT[operator](one, other))

    def _unary(self) -> int:
        signs = []
        while operator := self._take("-", "+", "!", "~", "++", "--"):
            signs.append(operator)
        if signs and signs[-1] in ("++", "--") and _is_name(self._peek()):
            name = self._peek()
            self._at += 1
            value = self._set(name, self._variable(name) + (1 if signs.pop() == "++" else -1))
        else:
            value = self._primary()
        for operator in reversed(signs):
            value = {"-": -value, "!": int(not value), "~": ~value}.get(operator, value)
        return value

    def _primary(self) -> int:
        token = self._peek()
        self._at += 1
        if token == "(":
            value = self._list()
            if not self._take(")"):
                raise self._error()
            return value
        if _is_name(token):
            value = self._variable(token)
            if step := self._take("++", "--"):
                self._set(token, value + (1 if step == "++" else -1))
            return value
        return self._number(token)

    def _variable(self, name: str) -> int:
        value = self._shell.get(name)
        if value.text is None:
            raise NoNumberError(value.why)
        return self._number(value.text.strip() or "0")

    def _number(self, text: str) -> int:
        sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text)
        if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}", digits):
            raise self._error()
        if digits[:2] in ("0x", "0X"):
            return sign * int(digits, 16)
        octal = len(digits) > 1 and digits[0] == "0"
        if octal and not re.fullmatch("[0-7]+", digits):
            raise self._error()
        return _wrapped(sign * int(digits, 8 if octal else 10))

    def _set(self, name: str, value: int) -> int:
        value = _wrapped(value)
        self._shell.set(name, Value(str(value)))
        return value


def _is_name(token: str) -> bool:
    return token[:1].isalpha() or token[:1] == "_"


def _wrapped(value: int) -> int:
    """Return a number as it is in 64 bits, as shells of today count."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
