"""Take secrets out of what leaves the machine: reports and bundles of a run.

Secret is what the environment and the arguments of the guest's processes name as such (see `secrets`),
wherever in the record it stands, and every NAME=value, `--option value`, HTTP header or URL that tells of
one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run
from triage_tui.runs.secrets import MASK, is_secret_name, masked

MIN_VALUE = 6
"""Characters from which a secret is looked for everywhere: "1" would be found in each line."""
_MAX_VALUES = 256

_ASSIGNED = re.compile(
    r"(?<![\w-])(?P<name>-{0,2}[A-Za-z_][\w-]{0,63})=(?P<quote>[\"']?)(?P<value>[^\s\"',;&)\]}\\]+)"
)
_OPTION = re.compile(
    r"(?<!\S)(?P<name>--?[A-Za-z][\w-]{1,63}) +(?P<quote>[\"']?)(?P<value>[^\s\"'-][^\s\"']*)"
)
_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization|\b(?:set-)?cookie|\bx-api-key)\s*:\s*(?P<value>[^\r\n\"\\]+)",
    re.IGNORECASE,
)
_URL = re.compile(r"(?<=://)[^/@\s:\"]*:[^/@\s\"]*(?=@)")
_OPTION_NAME = re.compile(r"--?[A-Za-z][\w-]{1,63}\Z")
_OPTION_IN_JSON = re.compile(r"\"(--?[A-Za-z][\w-]{1,63})\"\s*,")


def _names_secret(name: str) -> bool:
    return is_secret_name(name.lstrip("-").replace("-", "_"))


class Redaction:
    """Masks secrets in text, in JSON values and tells of bytes that hold some.

    `values` are masked wherever they stand; with `off`, nothing is masked at all.
    """

    def __init__(self, values: Iterable[str] = (), *, off: bool = False) -> None:
        self.off = off
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
            values += [match["value"] for word in argv for match in _secrets_in(word)]
        try:
            environments = run.environments()
        except TriageError:
            environments = {}
        for entries in environments.values():
            for entry in entries:
                if masked(entry) != entry:
                    name, _, value = entry.partition("=")
                    values += [value] if is_secret_name(name) else _URL.findall(value)
        return cls(values)

    def text(self, text: str) -> str:
        """Return `text` with its secrets masked."""
        if self.off or not text:
            return text
        if self._known is not None:
            text, found = self._known.subn(MASK, text)
            self.count += found
        for pattern in (_ASSIGNED, _OPTION, _HEADER):
            text = pattern.sub(self._mask, text)
        text, found = _URL.subn(MASK, text)
        self.count += found
        return text

    def _mask(self, match: re.Match[str]) -> str:
        secret = match.re is _HEADER or _names_secret(match["name"])
        if not secret or match["value"] == MASK:
            return match[0]
        self.count += 1
        start = match.start("value") - match.start()
        return match[0][:start] + MASK

    def found_in(self, text: str) -> bool:
        """Tell whether `text` holds a secret; JSON text may be asked too."""
        if self.off:
            return False
        before = self.count
        changed = self.text(text) != text
        self.count = before
        return changed or any(_names_secret(match[1]) for match in _OPTION_IN_JSON.finditer(text))

    def found_in_bytes(self, data: bytes) -> bool:
        """Tell whether bytes of memory hold a secret as text."""
        return self.found_in(data.decode("latin-1"))

    def value(self, value: Any) -> Any:
        """Return a decoded JSON value with the secrets in its texts masked.

        Raises:
            RecursionError: it is nested too deeply.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self.value(item) for name, item in value.items()}
        if isinstance(value, list):
            hidden = set() if self.off else {index for index, _ in _option_values(value)}
            self.count += len(hidden)
            return [MASK if index in hidden else self.value(item) for index, item in enumerate(value)]
        return value


def _option_values(words: Sequence[object]) -> list[tuple[int, str]]:
    """Return places and texts of words that an option such as --password comes before."""
    found = []
    for index in range(1, len(words)):
        option, value = words[index - 1], words[index]
        if not (isinstance(option, str) and isinstance(value, str)) or value == MASK:
            continue
        if _OPTION_NAME.match(option) and _names_secret(option) and not value.startswith("-"):
            found.append((index, value))
    return found


def _secrets_in(word: str) -> list[re.Match[str]]:
    return [match for match in _ASSIGNED.finditer(word) if _names_secret(match["name"])]
