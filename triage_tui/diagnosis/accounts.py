"""The user or group that a message says does not exist, by its name."""

from __future__ import annotations

import re2

# Names of accounts are in small letters: passwd(5), useradd(8).
_NAME = r"[`'\"(<]{0,2}([a-z_][a-z0-9_.-]{0,31})[`'\")>]{0,2}"
_GONE = r"\b(?:not (?:exist|found|known|be found|there)|n.t exist|unknown|missing|invalid)\b"
_SEARCH = (
    r"no such|unknown|invalid|illegal|bad|can ?n?.t (?:find|get)|cannot (?:find|get)|(?:could|did) not find"
)
_WHAT = r"(?:user|group|account|uid|gid)(?: ?(?:name|id))?"
_ACCOUNT = tuple(
    re2.compile(text)
    for text in (
        # "Privilege separation user sshd does not exist", "Group 'x' not found"
        rf"\b(?:[Uu]ser|[Gg]roup|[Aa]ccount)(?: ?[Nn]ame)?:? {_NAME}(?: \w+)?.{{0,12}}{_GONE}",
        # "no such user: x", "unknown user x", "can't find group x", "invalid user: `x:y'"
        rf"(?i:\b(?:{_SEARCH})(?: the)?(?: system)? {_WHAT}\b(?: for)?)[: ]{{1,3}}{_NAME}",
        # "getpwnam("x") failed"
        rf"\bget(?:pw|gr)nam(?:_r)?\({_NAME}",
    )
)
_NO_NAMES = frozenset(
    ("to", "the", "in", "for", "of", "and", "or", "is", "was", "not", "does", "with", "name", "id")
)


def account_in(text: str) -> str:
    """Return the user or group that a line says does not exist, "" where it speaks of none."""
    for expression in _ACCOUNT:
        found = expression.search(text)
        if found is not None and found[1] not in _NO_NAMES:
            return str(found[1]).rstrip(".")
    return ""
