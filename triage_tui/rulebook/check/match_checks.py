"""Whether the body of a rule is for the calls that its header says it is for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from triage_tui.rulebook.check.body import Act, Body, Comparison, comparisons
from triage_tui.rulebook.check.explain import Match, parse_match
from triage_tui.rulebook.check.findings import Finding
from triage_tui.rulebook.lua.forms import Call, Constant, Table
from triage_tui.rulebook.lua.values import RESULT, arguments_in, constant, parts
from triage_tui.rulebook.rulefile import RuleFile
from triage_tui.text import safe_line

_TEXT_FIELDS = ("path", "interface")


class Looked(msgspec.Struct, frozen=True):
    """What an act looks at: the numbers of arguments, and the texts and numbers they are compared with.

    `open` is True where it looks at arguments in a way that is not a comparison with something known.
    """

    arguments: frozenset[int]
    texts: frozenset[bytes]
    numbers: frozenset[int]
    open: bool


def looked_at(act: Act) -> Looked:
    """Return what an act of a rule looks at before it is done."""
    arguments: set[int] = set()
    texts: set[bytes] = set()
    numbers: set[int] = set()
    unknown = False
    for one in comparisons(act.conditions):
        for side, other in ((one.left, one.right), (one.right, one.left)):
            found = arguments_in(side, one.scope) - {0, RESULT}
            if not found:
                continue
            arguments |= found
            known = constant(other, one.scope)
            if known is not None and isinstance(known.value, bytes) and one.operator == "==":
                texts.add(known.value)
            elif known is not None and type(known.value) is int and one.operator == "==":
                numbers.add(known.value)
            elif not _is_check_of_result(one, other, known):
                unknown = True
    return Looked(frozenset(arguments), frozenset(texts), frozenset(numbers), unknown)


def _is_check_of_result(one: Comparison, other: object, known: Constant | None) -> bool:
    """Whether it is `rc ~= 0`, `text ~= nil` and the like: about the reading, not about what was read."""
    return known is not None and (known.value in (None, 0, True, False)) and one.operator in ("~=", "==")


def check_match(rule: RuleFile, body: Body, syscall: str) -> Iterator[Finding]:
    """Yield where the header's match and the body are for different calls."""
    if not rule.header.match:
        return
    line = _line_of(rule, "match")
    match = parse_match(rule.header.match)
    if match is None:
        told = "the match is not of the form SYSCALL NAME=VALUE, so it is held against no recorded call"
        yield Finding(line, "warning", "match-form", told)
        return
    if syscall and match.syscall != syscall:
        told = f"the header says {match.syscall}, the file is for {syscall}, which it is asked about"
        yield Finding(line, "warning", "match-syscall", told)
        return
    if not match.fields:
        return
    if "from" in match.fields and b"c_called_from" not in rule.body and b"c_callers" not in rule.body:
        told = (
            f"the header says from={safe_line(match.fields['from'], 100)}, but the body asks for no callers"
        )
        yield Finding(line, "warning", "match-wider", told)
    for act in body.acts:
        yield from _act(act, match, body)


def _act(act: Act, match: Match, body: Body) -> Iterator[Finding]:
    looked = looked_at(act)
    shown = safe_line(" ".join(f"{name}={value}" for name, value in match.fields.items()), 120)
    if not looked.arguments:
        if not _comes_from_arguments(act):
            told = f"the header says {shown}, but this is done at every {match.syscall}"
            yield Finding(act.line, "warning", "match-wider", told)
        return
    for name in _TEXT_FIELDS:
        wanted = match.fields.get(name)
        if wanted is None or not looked.texts or looked.open:
            continue
        if not any(_same_text(text, wanted) for text in looked.texts | _texts_of(body, wanted)):
            other = safe_line(min(looked.texts), 100)
            told = f"the header says {name}={safe_line(wanted, 100)}, but the body looks for {other}"
            yield Finding(act.line, "error", "match-other", told)


def _comes_from_arguments(act: Act) -> bool:
    """Whether an act in a condition-free place still hangs on a table or function of the rule."""
    return any(
        isinstance(part, (Table, Call)) and arguments_in(side, one.scope)
        for one in comparisons(act.conditions)
        for side in (one.left, one.right)
        for part in parts(side, one.scope)
    )


def _texts_of(body: Body, wanted: str) -> set[bytes]:
    """Return the constants of the body that are the wanted text: it may be looked for in a way of its own."""
    return {text for text in body.strings if _same_text(text, wanted)}


def _same_text(text: bytes, wanted: str) -> bool:
    # The header holds a value as it is shown, cut at 200 characters.
    return text.rstrip(b"\0") == wanted.encode("utf-8", "surrogateescape") or safe_line(text, 200) == wanted


def _line_of(rule: RuleFile, key: str) -> int:
    """Return the line of a key in the header, 1 where it is not found."""
    for number, line in enumerate(rule.source[: len(rule.source) - len(rule.body)].splitlines(), 1):
        if line[2:].strip().startswith(key.encode() + b":"):
            return number
    return 1
