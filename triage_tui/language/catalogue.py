"""Our own sentences in another language: one YAML file a language, `rules/lang/<code>.yaml`.

A catalogue maps English sentences to others. `{name}` stands for what is filled in, and both sides have the
same of these. Reports are rendered from `diagnosis.json`, in which sentences are filled in already: such a
one is recognised by the English template, taken apart, and put together again. So text of the guest stays as
it is, runs of other versions are readable, and what the catalogue lacks is English.

`{name!}` on the other side says that what stands there is text of ours too, and is translated in its turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import re2

from triage_tui.errors import TriageError
from triage_tui.resources import shipped
from triage_tui.runs.evidence import IN_TEXT
from triage_tui.runs.files import read_bounded
from triage_tui.text import safe_line

ENGLISH = "en"
MAX_FILE_BYTES = 1 << 20
MAX_TEXT = 20_000
"""Characters of a text that is translated."""
_MAX_DEPTH = 8
_MAX_SENTENCES = 200
_MAX_STOPS = 12
"""Full stops that may stand inside one sentence, in a path or a version."""
_MAX_COMMAS = 3
"""Pieces between commas that one phrase may have."""
_LEAST_WORDS = 4
"""Characters beside the places that a sentence needs to be recognised."""

_HOLE = re.compile(r"\{([a-z_][a-z0-9_.]*)(!?)\}")
_ENDS = ("\u3002", "\uff01", "\uff1f")
"""Full stops that no space follows."""
_NUMBER = re.compile(r"n\d?")
"""Places of these names hold a whole number."""
_CODE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})?")
# Private characters: no text that may be shown holds any.
_OPEN, _CLOSE = "\ue000", "\ue001"
_TOKEN = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


class _Pattern(msgspec.Struct, frozen=True):
    """An English sentence with holes, and its translation."""

    expression: Any
    names: tuple[str, ...]
    begin: str
    end: str
    longest: str
    """What stands before the first hole, behind the last, and the longest piece: cheap to look for."""
    translation: str
    weight: int
    """Characters beside the places: the sentence with most of them is tried first."""

    def values(self, text: str) -> dict[str, str] | None:
        """Return what stands in the holes of `text`, None when it is another sentence."""
        if not (text.startswith(self.begin) and text.endswith(self.end) and self.longest in text):
            return None
        match = self.expression.fullmatch(text)
        if match is None:
            return None
        found: dict[str, str] = {}
        for name, value in zip(self.names, match.groups(), strict=True):
            if found.setdefault(name, value) != value:
                return None
        return found


class Catalogue:
    """One language."""

    def __init__(self, code: str, name: str, sections: Mapping[str, Mapping[str, str]]) -> None:
        self.code = code
        self.name = name
        """The language's name in itself."""
        self._exact: dict[str, str] = {}
        self._patterns: dict[str, list[_Pattern]] = {"": []}
        for section, texts in sections.items():
            # What only makes sense inside one kind of text is asked for there alone.
            scope = section if section in SCOPES else ""
            found = self._patterns.setdefault(scope, [])
            for english, other in texts.items():
                self._exact.setdefault(english, other)
                # Of a sentence that is little more than its places every text would be one.
                if _HOLE.search(english) and (scope or len(_HOLE.sub("", english)) >= _LEAST_WORDS):
                    found.append(_pattern(english, other))
        for found in self._patterns.values():
            found.sort(key=lambda one: -one.weight)

    def knows(self, template: str) -> bool:
        """Tell whether a sentence, with its holes as they are written, is translated."""
        return template in self._exact

    def fill(self, template: str, **words: object) -> str:
        """Return a sentence of ours in this language, `{name}` replaced by the words."""
        other = self._exact.get(template, template)
        return _HOLE.sub(lambda match: str(words.get(match[1], match[0])), other)

    def sentence(self, text: str, scope: str = "") -> str:
        """Return one sentence in this language, or as it is; evidence links in it stay."""
        if not self._exact or not text or len(text) > MAX_TEXT:
            return text
        return self._with_links(text, lambda bare: self._translated(bare, scope, 0) or bare)

    def paragraph(self, text: str) -> str:
        """Return several sentences in this language, those that are not known as they are."""
        if not self._exact or not text or len(text) > MAX_TEXT:
            return text
        return self._with_links(text, self._sentences)

    def listed(self, text: str) -> str:
        """Return phrases with commas between them in this language, or as they are."""
        return self._listed(text, "", 0) or self.sentence(text)

    def _with_links(self, text: str, translate: Callable[[str], str]) -> str:
        """Translate a text in which each evidence link is one thing that cannot be taken apart.

        The words of a link are translated by themselves.
        """
        if _OPEN in text or _CLOSE in text:
            return text
        links = [
            f"[{self._translated(match['text'], '', 0) or match['text']}]({match['link']})"
            for match in IN_TEXT.finditer(text)
        ]
        numbers = iter(range(len(links)))
        bare = IN_TEXT.sub(lambda match: f"{_OPEN}{next(numbers)}{_CLOSE}", text)
        other = translate(bare)
        if sorted(_TOKEN.findall(other)) != sorted(_TOKEN.findall(bare)):
            return text
        return _TOKEN.sub(lambda match: links[int(match[1])], other)

    def _sentences(self, text: str) -> str:
        done: list[str] = []
        begin = 0
        ends = [match.start() + 1 for match in re.finditer(r"\.(?= |\Z)", text)][:_MAX_SENTENCES]
        while begin < len(text):
            later = [*(end for end in ends if end > begin)][:_MAX_STOPS]
            later += [len(text)] if len(later) < _MAX_STOPS else []
            for end in later:
                found = self._translated(text[begin:end], "", 0)
                if found is not None:
                    break
            else:
                end, found = later[0], text[begin : later[0]]
            done.append(found)
            begin = end + 1
        return _joined(done)

    def _translated(self, text: str, scope: str, depth: int) -> str | None:
        known = self._exact.get(text)
        if known is not None and not _HOLE.search(text):
            return known
        for place in (scope, "") if scope else ("",):
            for pattern in self._patterns.get(place, ()):
                values = pattern.values(text)
                if values is not None:
                    return self._filled(pattern.translation, values, scope, depth)
        return None

    def _filled(self, translation: str, values: Mapping[str, str], scope: str, depth: int) -> str:
        def value(match: re.Match[str]) -> str:
            text = values[match[1]]
            if not match[2] or depth >= _MAX_DEPTH:
                return text
            # What is looked for in one kind of text only is too wide for pieces between commas.
            found = None if scope else self._listed(text, scope, depth + 1)
            return found or self._translated(text, scope, depth + 1) or text

        return _HOLE.sub(value, translation)

    def _listed(self, text: str, scope: str, depth: int) -> str | None:
        """Return a list of phrases, None where one of them is not known or there is only one."""
        parts = text.split(", ")
        if len(parts) < 2 or len(parts) > _MAX_SENTENCES:
            return None
        known: list[str] = []
        at = 0
        while at < len(parts):
            # A phrase may hold commas of its own.
            for end in range(at + 1, min(at + _MAX_COMMAS, len(parts)) + 1):
                found = self._translated(", ".join(parts[at:end]), scope, depth)
                if found is not None:
                    break
            else:
                return None
            known.append(found)
            at = end
        return self._exact.get(", ", ", ").join(known)


SCOPES = ("headline", "scene")
"""Sections whose patterns count in texts of that kind only: they are too wide for others."""


def _joined(sentences: list[str]) -> str:
    """Join sentences: with a space, but for one that ends as Chinese does."""
    text = ""
    for sentence in sentences:
        text += ("" if not text or text.endswith(_ENDS) else " ") + sentence
    return text


def _pattern(english: str, other: str) -> _Pattern:
    pieces: list[str] = []
    names: list[str] = []
    end = 0
    for match in _HOLE.finditer(english):
        pieces.append(english[end : match.start()])
        names.append(match[1])
        end = match.end()
    pieces.append(english[end:])
    expression = "(?s)" + re2.escape(pieces[0])
    for name, piece in zip(names, pieces[1:], strict=True):
        expression += (r"(-?\d+)" if _NUMBER.fullmatch(name) else "(.*?)") + re2.escape(piece)
    return _Pattern(
        re2.compile(expression),
        tuple(names),
        pieces[0],
        pieces[-1],
        max(pieces, key=len),
        other,
        sum(map(len, pieces)),
    )


def holes(text: str) -> set[str]:
    """Return the names in `{}` of a sentence."""
    return {match[1] for match in _HOLE.finditer(text)}


def read_catalogue(path: Path) -> Catalogue:
    """Read one language.

    Raises:
        TriageError: the file cannot be read or has a mistake; the sentence names it.
    """
    # Only here: those who read English need none of it.
    import yaml

    shown = safe_line(str(path), 200)
    loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document = yaml.load(read_bounded(path, MAX_FILE_BYTES, whole=True), loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TriageError(f"{shown} is no usable YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(document, dict) or document.get("schema") != 1:
        raise TriageError(f"{shown}, key schema: must be 1")
    code, name = document.get("language"), document.get("name")
    if not isinstance(code, str) or not _CODE.fullmatch(code) or not isinstance(name, str):
        raise TriageError(f'{shown}, keys language and name: needed, as in "zh" and "中文"')
    sections: dict[str, dict[str, str]] = {}
    for section, texts in document.items():
        if section in ("schema", "language", "name"):
            continue
        sections[str(section)] = dict(_checked(shown, section, texts))
    return Catalogue(code, safe_line(name, 40), sections)


def _checked(shown: str, section: object, texts: object) -> Iterator[tuple[str, str]]:
    if not isinstance(texts, dict):
        raise TriageError(f"{shown}, section {section}: needs English sentences with their translations")
    for english, other in texts.items():
        if not isinstance(english, str) or not isinstance(other, str):
            raise TriageError(f"{shown}, section {section}: {str(english)[:80]!r} is no text with a text")
        if holes(english) != holes(other):
            differ = ", ".join(sorted(holes(english) ^ holes(other)))
            raise TriageError(f"{shown}, {english[:80]!r}: both sides need the same places ({differ})")
        if other.replace("\n", "") != safe_line(other, len(other) + 1):
            raise TriageError(f"{shown}, {english[:80]!r}: its translation holds what cannot be shown")
        yield english, other


def languages(directories: tuple[str, ...] = ()) -> dict[str, Path]:
    """Return the languages that there are, by their codes: those shipped, and those of a person's own.

    `directories` are directories of a person's knowledge base; a later file replaces an earlier one.
    """
    found: dict[str, Path] = {}
    for directory in (shipped("rules"), *map(Path, directories)):
        for path in sorted((directory / "lang").glob("*.yaml")):
            found[path.stem] = path
    return found


@lru_cache(maxsize=8)
def _read(path: Path, _modified: int) -> Catalogue:
    return read_catalogue(path)


ENGLISH_CATALOGUE = Catalogue(ENGLISH, "English", {})
"""What changes nothing."""


def load_language(code: str, directories: tuple[str, ...] = ()) -> Catalogue:
    """Return the language `code`; English needs no file.

    Raises:
        TriageError: there is no such language, or its file has a mistake.
    """
    if code == ENGLISH:
        return ENGLISH_CATALOGUE
    known = languages(directories)
    path = known.get(code)
    if path is None:
        there = ", ".join(sorted({ENGLISH, *known}))
        raise TriageError(f"there is no language {safe_line(code, 40)!r}; known are {there}")
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise TriageError(f"{safe_line(str(path), 200)} cannot be read: {error.strerror}") from error
