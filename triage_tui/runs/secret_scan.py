"""Keys of services, and words of high entropy, found by detect-secrets.

Its plugins are asked for what they know, on text: no file is opened, and nothing is ever verified over a
network. They take milliseconds a line, so a text is looked through for hints first, in linear time, and the
plugins see only what is around these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import re2

Span = tuple[int, int]

_HINTS = {
    "ArtifactoryDetector": r"\bAKC[A-Za-z0-9]{10}|\bAP[0-9A-F][A-Za-z0-9]{8}",
    "AWSKeyDetector": r"\b(?:A3T|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}|(?i:aws.{0,20}(?:key|pw|pass|token))",
    "AzureStorageKeyDetector": r"AccountKey=",
    "DiscordBotTokenDetector": r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",
    "GitHubTokenDetector": r"gh[pousr]_[A-Za-z0-9]{30}",
    "GitLabTokenDetector": r"\bgl[a-z]{2,5}-[A-Za-z0-9_-]{20}|GR1348941",
    "JwtTokenDetector": r"\beyJ[A-Za-z0-9_=-]{8}",
    "MailchimpDetector": r"[0-9a-z]{32}-us[0-9]",
    "NpmDetector": r":_authToken=",
    "OpenAIDetector": r"T3BlbkFJ",
    "PypiTokenDetector": r"pypi-Ag",
    "SendGridDetector": r"\bSG\.[A-Za-z0-9_-]{22}\.",
    "SlackDetector": r"\bxox[abposr]-|hooks\.slack\.com",
    "SquareOAuthDetector": r"sq0csp-",
    "StripeDetector": r"[rs]k_live_",
    "TelegramBotTokenDetector": r"\b[0-9]{8,10}:[A-Za-z0-9_-]{35}",
    "TwilioKeyDetector": r"\b(?:AC|SK)[a-z0-9]{32}",
}
"""Plugin -> what is in every text in which it finds something."""
_NOT_ASKED = frozenset(
    (
        # Addresses are no secrets; names of secrets, users in URLs and blocks of keys are known here by forms
        # that programs on devices use; the plugins of cloud services that look for `key = value` add none.
        "IPPublicDetector", "KeywordDetector", "BasicAuthDetector", "PrivateKeyDetector", "CloudantDetector",
        "IbmCloudIamDetector", "IbmCosHmacDetector", "SoftlayerDetector",
        # Asked for its measure only, below.
        "Base64HighEntropyString", "HexHighEntropyString",
    )
)  # fmt: skip
_BEFORE, _BEHIND = 160, 2048
"""Characters around a hint that plugins see."""
_LEAST_ENTROPY = 3.0
"""Bits a character: less is a word, or a pattern of digits."""
_SHORTEST = 16
"""Characters of the shortest key that any plugin finds."""
_WORD = re.compile(r"[A-Za-z0-9_+/=-]*(?:\.[A-Za-z0-9_+/=-]{20,})*")
"""The rest of a token: its parts have dots between them."""
_hint = re2.compile("|".join(f"(?:{pattern})" for pattern in _HINTS.values()).encode())

OWN_HASHES = frozenset(
    (
        "sha256", "program_sha256", "kb_sha256", "fnv1a32", "hashes", "prev", "target_id", "build_id", "hash",
        "id", "run_id", "run", "file", "files", "link", "what", "rules_hash", "approved", "before",
    )
)  # fmt: skip
"""Fields of our own record that hold hashes, names and links: they are to stay readable."""
_QUOTED = re.compile(r"(?P<quote>[\"'])(?P<value>[A-Za-z0-9+/_-]{20,512}={0,2})(?P=quote)")
_FIELD_BEFORE = re.compile(r"\"(?P<field>[a-z_0-9]{1,24})\\?\"\s{0,2}:\s{0,2}\[?\Z")
_FIELD_CELLS = 24 + 9
"""The most characters of a field's name with what stands around it."""
_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_MANGLED = re.compile(r"(?:_Z|_R|\?)[A-Za-z0-9]")
"""Names of C++ and Rust symbols."""


def keys_in(text: str) -> list[Span]:
    """Return where keys and tokens of services stand in `text`."""
    if len(text) < _SHORTEST:
        return []
    # One byte for each character, so that places are the same.
    data = text.encode("ascii", "replace")
    found: set[Span] = set()
    at = 0
    while (hint := _hint.search(data, at)) is not None:
        start, end = max(0, hint.start() - _BEFORE), min(len(text), hint.start() + _BEHIND)
        for first, last in _asked(text[start:end]):
            # A plugin may stop at a part of a token that it knows; the rest of the word is no less secret.
            rest = _WORD.match(text, start + last)
            found.add((start + first, rest.end() if rest else start + last))
        at = max(hint.start() + 1, end - _BEFORE)
    return sorted(found)


def _asked(piece: str) -> Iterator[Span]:
    """Yield what the plugins find in a short piece of text."""
    for expression, is_valid in _plugins():
        for match in expression.finditer(piece):
            # Groups are either the secret itself or a mark of its kind.
            group = max(range(len(match.groups()) + 1), key=lambda one: (one > 0) * len(match[one] or ""))
            first, last = match.span(group) if len(match[group] or "") >= _SHORTEST else match.span()
            if is_valid(piece[first:last]):
                yield first, last


@cache
def _plugins() -> tuple[tuple[re.Pattern[str], Any], ...]:
    """Return the expressions of the plugins, each with what tells whether a match is one."""
    # Importing these imports an HTTP client, which is never used here.
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString

    measure = Base64HighEntropyString().calculate_shannon_entropy

    def is_random(value: str) -> bool:
        return any(map(str.isdigit, value)) and measure(value) >= _LEAST_ENTROPY

    found: list[tuple[re.Pattern[str], Any]] = []
    plugins: dict[str, Any] = dict(get_mapping_from_secret_type_to_class())
    for plugin in plugins.values():
        if plugin.__name__ in _NOT_ASKED:
            continue
        one = plugin()
        is_valid = getattr(one, "is_formally_valid", is_random)
        found += [(expression, is_valid) for expression in getattr(one, "denylist", ())]
    return tuple(found)


def random_words_in(text: str) -> list[Span]:
    """Return where quoted words stand that look as if they were drawn by lot; hashes of ours are none."""
    return [
        match.span("value")
        for match in _QUOTED.finditer(text)
        if is_random_word(match["value"]) and _field_before(text, match.start()) not in OWN_HASHES
    ]


def _field_before(text: str, place: int) -> str:
    """Return the name of the JSON field whose value begins at `place`, "" if there is none."""
    found = _FIELD_BEFORE.search(text, max(0, place - _FIELD_CELLS), place)
    return found["field"] if found else ""


def is_random_word(value: str) -> bool:
    """Tell whether a word of letters and digits has the entropy of a key, by the measure of detect-secrets.

    Hexadecimal ones are hashes and addresses far more often than keys: those have to be named by what stands
    before them.
    """
    if not 20 <= len(value) <= 512 or _HEX.match(value) or _MANGLED.match(value):
        return False
    kinds = (str.isdigit, str.isupper, str.islower)
    if not all(any(map(kind, value)) for kind in kinds) or _is_path(value):
        return False
    return _measured(value)


def _is_path(value: str) -> bool:
    """Tell whether a word looks like a path or a name put together from words."""
    parts = re.split(r"[/_-]", value)
    return len(parts) > 2 and max(map(len, parts)) < 16


def _measured(value: str) -> bool:
    from detect_secrets.filters import heuristic
    from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString

    plugin: Any = Base64HighEntropyString()
    return bool(
        plugin.calculate_shannon_entropy(value) > min(plugin.entropy_limit, _possible(len(value)))
        and not heuristic.is_potential_uuid(value)
        and not heuristic.is_sequential_string(value)
    )


def _possible(length: int) -> float:
    """Return the entropy that a random word of this length has at least, most of the time.

    No word of 20 characters can have more than log2(20), 4.3 bits; short ones would never pass the limit.
    """
    return 4.0 if length < 24 else 4.2 if length < 32 else 4.5
