"""Take secrets out of what leaves the machine: reports and bundles of a run.

Secret is what the environment and the arguments of the guest's processes name as such (see `secrets`),
wherever in the record it stands, and every NAME=value, `--option value`, HTTP header or URL that tells of
one; also private keys, hashes of passwords, and `user:password` where a program or a URL takes that. Keys of
services and random words are found by detect-secrets (see `secret_scan`).

This is the one door: reports, bundles, what tools answer and what a model is sent pass through a `Redaction`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run
from triage_tui.runs.secret_scan import OWN_HASHES, is_random_word, keys_in, random_words_in
from triage_tui.runs.secrets import MASK, is_secret_name, masked

MIN_VALUE = 6
"""Characters from which a secret is looked for everywhere: "1" would be found in each line."""
_MAX_VALUES = 256

_QUOTED = r"(?P<quote>\\{0,3}[\"'])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,4096})(?P=quote)"
"""A quoted value; in the text of a JSON file its quotes are escaped."""
_ASSIGNED = re.compile(
    rf"(?<![\w-])(?P<name>-{{0,2}}[A-Za-z_][\w-]{{0,63}})=(?:{_QUOTED}|[\"']?(?P<value>[^\s\0\"',;&)\]}}\\]+))"
)
_OPTION = re.compile(
    rf"(?<!\S)(?P<name>--?[A-Za-z][\w-]{{1,63}}) +(?:{_QUOTED}|[\"']?(?P<value>[^\s\"'-][^\s\"']*))"
)
_FIELD = re.compile(
    r"(?<![\w.-])(?P<around>(?:\\{0,3}[\"'])?)(?P<name>[A-Za-z_][\w.-]{0,63})(?P=around)"
    rf"[ \t]{{0,8}}:(?!:|//)[ \t]{{0,8}}(?:{_QUOTED}|(?P<value>[^\s\"',;{{}}()\[\]\\]++)(?!\())"
)
"""name: value, as headers, YAML and JSON have it."""
_WHOLE_LINE = re.compile(
    r"^[ \t]*(?P<name>[\w-]{0,40}(?:passphrase|psk))(?:[ \t]*=[ \t]*|[ \t]+(?=\S{8}))"
    r"(?P<value>[^\s\"'=][^\r\n\"'=]*)$",
    re.MULTILINE | re.IGNORECASE,
)
"""A line of the configuration of a wireless network: the passphrase may hold spaces."""
_USER = re.compile(
    r"(?<!\S)(?P<name>-u|-U|--user|--proxy-user)[ =]+(?P<opened>[\"'])?[^\s:\"'/]+:"
    r"(?P<value>(?!\d+(?![^\s\"'])|//)(?(opened)[^\r\n\"']+|[^\s\"']+))"
)
_USER_ATTACHED = re.compile(
    r"(?<!\S)(?P<name>-[uU])(?!(?:nix|dp|rl|ri|id|ser|tf-?8|sb|p)\b)(?P<opened>[\"'])?[^\s:\"'/=-][^\s:\"'/=]*:"
    r"(?P<value>(?!\d+(?![^\s\"'])|[/:])(?(opened)[^\r\n\"']+|[^\s\"']+))"
)
"""The user right behind the option, `-uadmin:pw`, as curl and wget take it."""
_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization|\b(?:set-)?cookie|\bx-[\w-]{0,40}(?:auth|key|token|secret))\s*:\s*(?P<value>[^\r\n\"\\]+)",
    re.IGNORECASE,
)
_URL = re.compile(r"(?<=://)[^/@\s:\"]*:[^/?#\s\"]*(?=@)")
_PRIVATE_KEY = re.compile(
    r"(?<=PRIVATE KEY-----)(?!-)[A-Za-z0-9+/=\s\\:,-]{16,}?(?=-----END|[^A-Za-z0-9+/=\s\\:,-]|\Z)"
)
_CRYPT = re.compile(
    r"\$(?:1|5|6|7|y|gy|apr1|md5|2[abxy])\$(?:[^\s$:\"'\\]{1,64}\$){0,3}[./A-Za-z0-9]{20,}"
    r"|(?<=:)[./0-9A-Za-z]{13}(?=:\d{0,6}:\d{0,6}:)"
)
"""Hashes of passwords, as in /etc/shadow; the last form is the oldest, in a line of /etc/passwd."""
_WITHOUT_NAME = (_URL, _PRIVATE_KEY, _CRYPT)
_NO_SECRET = re.compile(
    r"(?:true|false|yes|no|on|off|none|null|nil|empty|required|optional|missing|invalid|incorrect|wrong|expired|ok|"
    r"failed|failure|error|accepted|rejected|denied|unknown|set|unset|not|is|for|string|str|int|bool|char|number|text|"
    r"return|break)[.!?]*|\d{1,2}|[%$<].*|\*+",
    re.IGNORECASE,
)
"""Values that tell of a secret and are none: words, small numbers, formats, variables."""
_USER_OPTIONS = ("-u", "-U", "--user", "--proxy-user")
_OPTION_NAME = re.compile(r"--?[A-Za-z][\w-]{1,63}\Z")
_OPTION_IN_JSON = re.compile(r"\"(--?[A-Za-z][\w-]{0,63})\"\s*,")


def _names_secret(name: str) -> bool:
    return is_secret_name(name.lstrip("-").replace("-", "_"))


def _field_is_secret(match: re.Match[str]) -> bool:
    """Tell whether `name: value` tells of a secret. Much that is none has this form: reports, memory maps."""
    name = match["name"].lower()
    if not _names_secret(name) or _NO_SECRET.fullmatch(match["quoted"] or match["value"]):
        return False
    quoted = bool(match["around"] or match["quote"])
    return quoted or not (name == "pass" or (name.startswith("private") and not name.endswith("key")))


class Redaction:
    """Masks secrets in text, in JSON values and tells of bytes that hold some.

    `values` are masked wherever they stand; with `off`, nothing is masked at all.
    """

    def __init__(self, values: Iterable[str] = (), *, off: bool = False, public: Iterable[str] = ()) -> None:
        """`public` words are never taken for random ones: hashes and names that a record is made of."""
        self.off = off
        self._public = frozenset(public)
        self.count = 0
        """How many places were masked so far."""
        known = sorted({value for value in values if len(value) >= MIN_VALUE}, key=lambda v: (-len(v), v))
        # In the text of a JSON file a value stands with its escapes.
        forms = [
            form for value in known[:_MAX_VALUES] for form in dict.fromkeys((value, json.dumps(value)[1:-1]))
        ]
        self._known = re.compile("|".join(map(re.escape, forms))) if forms else None

    @classmethod
    def of(cls, run: Run, *, off: bool = False) -> Redaction:
        """Return what masks the secrets of `run`."""
        if off:
            return cls(off=True)
        snapshot = run.snapshot
        values: list[str] = []
        for argv in (snapshot.target.argv, *(process.argv for process in snapshot.processes)):
            values += [value for _, value in _option_values(argv)]
            values += [match["quoted"] or match["value"] for word in argv for match in _secrets_in(word)]
        try:
            environments = run.environments()
        except TriageError:
            environments = {}
        for entries in environments.values():
            for entry in entries:
                if masked(entry) != entry:
                    name, _, value = entry.partition("=")
                    values += [value] if is_secret_name(name) else _URL.findall(value)
        return cls(values, public=_own_words(run))

    def text(self, text: str) -> str:
        """Return `text` with its secrets masked."""
        if self.off or not text:
            return text
        if self._known is not None:
            text, found = self._known.subn(MASK, text)
            self.count += found
        for pattern in (_WHOLE_LINE, _ASSIGNED, _OPTION, _HEADER, _USER, _USER_ATTACHED, _FIELD):
            text = pattern.sub(self._mask, text)
        for pattern in _WITHOUT_NAME:
            text, found = pattern.subn(MASK, text)
            self.count += found
        return self._scanned(text)

    def _scanned(self, text: str) -> str:
        """Mask what detect-secrets finds."""
        end = len(text)
        for first, last in sorted({*keys_in(text), *random_words_in(text)}, reverse=True):
            if last <= end and text[first:last] not in self._public:
                text = text[:first] + MASK + text[last:]
                self.count += 1
                end = first
        return text

    def _mask(self, match: re.Match[str]) -> str:
        group = "quoted" if "quoted" in match.re.groupindex and match["quoted"] else "value"
        if match.re is _FIELD:
            secret = _field_is_secret(match)
        else:
            secret = match.re in (_HEADER, _USER, _USER_ATTACHED, _WHOLE_LINE) or _names_secret(match["name"])
        if not secret or match[group] == MASK:
            return match[0]
        self.count += 1
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return match[0][:start] + MASK + match[0][end:]

    def found_in(self, text: str) -> bool:
        """Tell whether `text` holds a secret; JSON text may be asked too."""
        if self.off:
            return False
        before = self.count
        changed = self.text(text) != text
        self.count = before
        return changed or any(
            match[1] in _USER_OPTIONS or _names_secret(match[1]) for match in _OPTION_IN_JSON.finditer(text)
        )

    def found_in_bytes(self, data: bytes) -> bool:
        """Tell whether bytes of memory hold a secret as text."""
        return self.found_in(data.decode("latin-1"))

    def value(self, value: Any) -> Any:
        """Return a decoded JSON value with the secrets in its texts masked.

        Raises:
            RecursionError: it is nested too deeply.
        """
        if isinstance(value, str):
            masked = self.text(value)
            if masked == value and not self.off and value not in self._public and is_random_word(value):
                self.count += 1
                return MASK
            return masked
        if isinstance(value, dict):
            return {
                name: item if isinstance(item, str) and _is_own(name, item) else self.value(item)
                for name, item in value.items()
            }
        if isinstance(value, list):
            hidden = set() if self.off else {index for index, _ in _option_values(value)}
            self.count += len(hidden)
            return [MASK if index in hidden else self.value(item) for index, item in enumerate(value)]
        return value


_OWN_VALUE = re.compile(r"[A-Za-z0-9_.:/-]{0,80}\Z")


def _is_own(name: object, value: str) -> bool:
    """Tell whether a field of a record is one of ours that holds a hash or a name."""
    return name in OWN_HASHES and _OWN_VALUE.match(value) is not None and value.lower() == value


def _own_words(run: Run) -> list[str]:
    """Return words of the record itself that are drawn by lot, or look as if they were."""
    snapshot = run.snapshot
    blobs = [entry.blob for entry in snapshot.memory if entry.blob is not None]
    return [
        run.run_id,
        snapshot.target.program_sha256,
        snapshot.target.target_id,
        *(blob.sha256 for blob in blobs),
    ]


def _option_values(words: Sequence[object]) -> list[tuple[int, str]]:
    """Return places and texts of words that an option such as --password comes before."""
    found = []
    for index in range(1, len(words)):
        option, value = words[index - 1], words[index]
        if not (isinstance(option, str) and isinstance(value, str)) or value == MASK:
            continue
        named = _OPTION_NAME.match(option) and _names_secret(option) and not value.startswith("-")
        if named or (option in _USER_OPTIONS and _USER.fullmatch(f"{option} {value}")):
            found.append((index, value))
    return found


def _secrets_in(word: str) -> list[re.Match[str]]:
    return [match for match in _ASSIGNED.finditer(word) if _names_secret(match["name"])]
