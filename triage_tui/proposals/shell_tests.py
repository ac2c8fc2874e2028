"""What a shell script waits for: the test of its loop, found in the command line or in the script's text.

A shell asks the kernel the same question (statx, stat) for `[ -e`, `[ -d` and `[ -s`, so the calls of a loop
do not tell what answer would end it. Its text does. The text is the guest's and only ever searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.reader import Run

MAX_SCRIPT = 64 << 10
"""Bytes of a script that are searched."""
MAX_SCRIPTS = 4
MAX_TEXT = 200
"""Characters of a text that a loop looks for."""

_LOOP = re.compile(r"\b(while|until)\b")
_WORD = r"[A-Za-z0-9_.:=/+-]+"


class Awaited(msgspec.Struct, frozen=True):
    """What ends a loop, of a path that it tests.

    `test` is the letter of test(1), as "d" for a directory, "" where the loop reads the file instead.
    `holds` tells whether the loop ends when the test holds, or when it does not. `text` is what the file must
    say, "" where that is not known.
    """

    test: str
    holds: bool
    text: str = ""


def awaited(run: Run, path: str) -> Awaited | None:
    """Return what the run's scripts wait for of the guest path `path`, None where none says."""
    if not path:
        return None
    for text in _texts(run):
        found = _in_text(text, path)
        if found is not None:
            return found
    return None


def _texts(run: Run) -> Iterator[str]:
    target = run.snapshot.target
    words = target.argv[1:]
    yield from (word[:MAX_SCRIPT] for word in words)
    if not target.rootfs:
        return
    names = [word for word in (target.program, *words) if "/" in word and "\n" not in word]
    for name in names[:MAX_SCRIPTS]:
        place = name if name.startswith("/") else f"{target.cwd}/{name}"
        try:
            data = read_bounded(inside(Path(target.rootfs), place.lstrip("/")), MAX_SCRIPT)
        except (TriageError, OSError, ValueError):
            continue
        if b"\0" not in data:
            yield data.decode("utf-8", "replace")


def _in_text(text: str, path: str) -> Awaited | None:
    quoted = f"[\"']?{re.escape(path)}[\"']?"
    test = re.compile(
        rf"(?P<outer>!\s*)?(?:\[\[?|test)\s+(?P<inner>!\s*)?-(?P<test>[a-zA-Z])\s+{quoted}(?=\s|;|\]|$)"
    )
    for match in test.finditer(text):
        loop = _loop_before(text, match.start())
        if loop is not None:
            negated = bool(match["outer"]) != bool(match["inner"])
            return Awaited(match["test"], (loop == "until") != negated)
    command = rf"[\"']?(?:\$\(|`)\s*(?:cat|head -n? ?1)\s+{quoted}\s*(?:\)|`)[\"']?"
    searches = (
        rf"(?P<outer>!\s*)?grep\s+(?:-[a-zA-Z]+\s+)*[\"']?(?P<text>{_WORD})[\"']?\s+{quoted}(?=\s|;|$)",
        rf"(?P<outer>!\s*)?(?:\[\[?|test)\s+{command}\s*(?P<equal>!?==?)\s*[\"']?(?P<text>{_WORD})[\"']?"
        r"(?=\s|;|\]|$)",
    )
    for match in (match for form in searches for match in re.finditer(form, text)):
        loop = _loop_before(text, match.start())
        if loop is not None and len(match["text"]) <= MAX_TEXT:
            differs = match.groupdict().get("equal", "").startswith("!")
            holds = (loop == "until") != (bool(match["outer"]) != differs)
            return Awaited("", holds, match["text"] if holds else "")
    return None


def _loop_before(text: str, at: int) -> str | None:
    """Return the keyword of the loop in whose condition `at` lies."""
    loops = list(_LOOP.finditer(text, max(0, at - 400), at))
    if not loops or re.search(r"\bdo\b", text[loops[-1].end() : at]):
        return None
    return loops[-1][1]
