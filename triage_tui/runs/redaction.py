"""Take secrets out of what leaves the machine: reports and bundles of a run.

Secret is what the environment and the arguments of the guest's processes name as such (see `secrets`),
wherever in the record it stands, and every NAME=value, `--option value`, HTTP header or URL that tells of
one; also private keys, hashes of passwords, and `user:password` where a program or a URL takes that (see
`secret_forms`). What the guest printed in such a form is masked wherever else it stands, too. Keys of
services and random words are found by detect-secrets (see `secret_scan`).

This is the one door: reports, bundles, what tools answer and what a model is sent pass through a `Redaction`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.runs.reader import Run
from triage_tui.runs.secret_forms import (
    FORMS,
    assigned_in,
    hinted_lines,
    is_user_password,
    looks_secret,
    named_in,
    nameless_in,
    names_secret,
    passwords_in_urls,
)
from triage_tui.runs.secret_scan import OWN_HASHES, Span, is_random_word, keys_in, random_words_in
from triage_tui.runs.secrets import MASK, is_secret_name, masked

MIN_VALUE = 6
"""Characters from which a secret is looked for everywhere: "1" would be found in each line."""
_MAX_VALUES = 256
_LEARNED_BYTES = 256 << 10
"""Bytes at the end of each log in which values are looked for."""
_LEARNED_LOGS = 40
_USER_OPTIONS = ("-u", "-U", "--user", "--proxy-user")
_OPTION_NAME = re.compile(r"--?[A-Za-z][\w-]{1,63}\Z")
_OPTION_IN_JSON = re.compile(r"\"(--?[A-Za-z][\w-]{0,63})\"\s*,")


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
        self._values: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.learn(values)

    @property
    def values(self) -> frozenset[str]:
        """What is masked wherever it stands."""
        return frozenset(self._values)

    def learn(self, values: Iterable[str]) -> None:
        """Mask these values, too, wherever they stand."""
        self._values |= {value for value in values if len(value) >= MIN_VALUE and set(value) != {"*"}}
        known = sorted(self._values, key=lambda v: (-len(v), v))
        forms = [form for value in known[:_MAX_VALUES] for form in _forms(value)]
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
            values += [value for word in argv for value in assigned_in(word)]
        try:
            environments = run.environments()
        except TriageError:
            environments = {}
        for entries in environments.values():
            for entry in entries:
                if masked(entry) != entry:
                    name, _, value = entry.partition("=")
                    values += [value] if is_secret_name(name) else passwords_in_urls(value)
        return cls([*values, *_printed(run)], public=_own_words(run))

    def text(self, text: str) -> str:
        """Return `text` with its secrets masked; it keeps its lines."""
        return text if self.off or not text else self._covered(text, _mask)

    def masked_bytes(self, data: bytes) -> tuple[bytes, list[Span]]:
        """Return bytes of memory with their secrets overwritten by as many `*`, and where these stand.

        The places are (offset, end). What is no text stays as it is.

        Raises:
            TriageError: there is a secret that cannot be taken out in this way.
        """
        if self.off:
            return data, []
        # A character for each byte.
        text = data.decode("latin-1")
        before = self.count
        covered = self._known.sub(lambda found: "*" * len(found[0]), text) if self._known else text
        covered = self._covered(covered.replace("\0", "\n"), lambda secret: "*" * len(secret))
        words = covered.split("\n")
        for index in {index for index, _ in _option_values(words)}:
            words[index] = "*" * len(words[index])
        covered = "\n".join(words)
        self.count = before
        if covered == text.replace("\0", "\n"):
            if self.found_in_bytes(data):
                raise TriageError("it holds what looks like a secret, and cannot be masked in place")
            return data, []
        spans = [
            match.span()
            for match in re.finditer(r"\*+", covered)
            if text[match.start() : match.end()] != match[0]
        ]
        hidden = bytearray(data)
        for first, last in spans:
            hidden[first:last] = b"*" * (last - first)
        if self.found_in_bytes(bytes(hidden)):
            raise TriageError("it holds what looks like a secret, and cannot be masked in place")
        self.count += len(spans)
        return bytes(hidden), spans

    def _covered(self, text: str, cover: Callable[[str], str]) -> str:
        """Return `text` with `cover` in the place of each secret."""
        if self._known is not None:
            text = self._hidden(text, (match.span() for match in self._known.finditer(text)), cover)
        pieces: list[str] = []
        at = 0
        for start, end in hinted_lines(text):
            line = text[start:end]
            for form in range(FORMS):
                line = self._hidden(line, named_in(line, form), cover)
            pieces += [text[at:start], line]
            at = end
        text = "".join((*pieces, text[at:]))
        text = self._hidden(text, sorted(nameless_in(text)), cover)
        return self._scanned(text, cover)

    def _hidden(self, text: str, spans: Iterable[Span], cover: Callable[[str], str]) -> str:
        """Return `text` with `cover` in the place of each of `spans`, which stand in order."""
        pieces: list[str] = []
        at = 0
        for first, last in spans:
            if first >= at and not _is_covered(text[first:last]):
                pieces += [text[at:first], cover(text[first:last])]
                at = last
                self.count += 1
        return "".join((*pieces, text[at:])) if pieces else text

    def _scanned(self, text: str, cover: Callable[[str], str]) -> str:
        """Mask what detect-secrets finds."""
        end = len(text)
        for first, last in sorted({*keys_in(text), *random_words_in(text)}, reverse=True):
            if last <= end and text[first:last] not in self._public and not _is_covered(text[first:last]):
                text = text[:first] + cover(text[first:last]) + text[last:]
                self.count += 1
                end = first
        return text

    def found_in(self, text: str) -> bool:
        """Tell whether `text` holds a secret; JSON text may be asked too."""
        if self.off:
            return False
        before = self.count
        changed = self.text(text) != text
        self.count = before
        return changed or any(
            match[1] in _USER_OPTIONS or names_secret(match[1]) for match in _OPTION_IN_JSON.finditer(text)
        )

    def found_in_bytes(self, data: bytes) -> bool:
        """Tell whether bytes of memory hold a secret as text."""
        # A text in memory ends with a zero; patterns know lines only.
        return self.found_in(data.decode("latin-1").replace("\0", "\n"))

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


def _is_covered(text: str) -> bool:
    return set(text) <= set("*\r\n")


def _mask(secret: str) -> str:
    """Return what stands for a secret: a mask on each of its lines, so that lines keep their numbers."""
    return "\n".join(MASK if line.strip() else "" for line in secret.split("\n"))


def _printed(run: Run) -> list[str]:
    """Return the secrets that the program printed in one of the known forms."""
    found: dict[str, None] = {}
    directory = run.dir / "logs"
    logs = sorted(path.name for path in directory.glob("*.log")) if directory.is_dir() else []
    # What the program printed itself comes first: a person may have added many.
    logs.sort(key=lambda name: name.startswith("added-"))
    for name in logs[:_LEARNED_LOGS]:
        try:
            text = run.text_file(f"logs/{name}", _LEARNED_BYTES, tail=True)
        except TriageError:
            continue
        values = [text[first:last] for first, last in nameless_in(text)]
        for line in (text[start:end] for start, end in hinted_lines(text)):
            values += [line[first:last] for form in range(FORMS) for first, last in named_in(line, form)]
        # Each line of a key by itself: a part of it may be quoted elsewhere.
        words = (word.strip() for value in values for word in value.split("\n"))
        found |= dict.fromkeys(word for word in words if looks_secret(word) or len(word) >= 16)
    return list(found)


def _forms(value: str) -> Iterable[str]:
    """Return how a value may stand in a text: as it is, with the escapes of JSON, a character per byte."""
    as_bytes = value.encode("utf-8", "surrogatepass").decode("latin-1")
    return dict.fromkeys((value, json.dumps(value)[1:-1], as_bytes))


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
        if not (isinstance(option, str) and isinstance(value, str)) or _is_covered(value):
            continue
        named = _OPTION_NAME.match(option) and names_secret(option) and not value.startswith("-")
        if named or (option in _USER_OPTIONS and is_user_password(f"{option} {value}")):
            found.append((index, value))
    return found
