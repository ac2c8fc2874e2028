"""The header of a rule file: what the rule is, in a form that programs and people can read.

A rule file is Lua text. Files that triage-tui writes begin with a header, one `-- key: value` line each:

    -- triage-rule: 1
    -- id: fix-openat-3f2a91c0
    -- run: 20260131_020000_00000001
    -- target: 5f0c...
    -- intent: give the program the file it reads at start
    -- match: openat path=/etc/config
    -- hit-limit: 3
    -- budget: instructions=100000 memory-kb=4096 wall-ms=500 calls-per-second=100
    -- on-failure: open
    -- effect: an empty file appears in the guest's copy of the root
    -- risk: low
    -- inverse: roll back the generation; the file was never in the real root
    -- template: missing-file

    function do_syscall(num, a1, a2, a3, a4, a5, a6, a7, a8) ...

Grammar: the first line is `-- triage-rule: 1`; the header goes on while lines have the form `-- key: value`
(key: small letters and hyphens) and ends before the first line that has not. `id` is required, no key may
come twice, values are one line without control characters. Keys that are not known are kept. Everything
after the header is the body and is never changed. A file without this first line is a plain SFEmu rule: it
has no limits of its own and is named after the hash of its text.

`budget` names any of the four; what it leaves out, and what is above the limits of the person who runs the
guest, is theirs. `on-failure` says what the guest gets when the rule fails: `open` lets the call go on,
`closed` answers it with EPERM.
"""

from __future__ import annotations

import hashlib
import re
from typing import cast

import msgspec
from msgspec.structs import replace

from triage_tui.errors import TriageError
from triage_tui.rulebook.kinds import FILE_NAME, RULE_ID
from triage_tui.rulehost.sources import Budget, OnFailure, RuleSource
from triage_tui.text import safe_line

VERSION = 1
MAX_RULE_BYTES = 256 << 10
MAX_VALUE = 1000
"""Characters of one header value."""

PLUGIN = "plugin "
"""What stands before a plugin's name where the syscall of a rule is named."""

PROPOSED_BY = "proposed-by"
"""Header key that says whose idea a rule is, where that is not the knowledge base's: "model NAME"."""

RISKS = ("low", "medium", "high")
_TEXT_KEYS = ("run", "target", "intent", "match", "effect", "inverse", "template")
_ORDER = (
    *("id", "run", "target", "intent", "match", "hit-limit", "budget", "on-failure"),
    *("effect", "risk", "inverse", "template"),
)
_BUDGETS = ("instructions", "memory-kb", "wall-ms", "calls-per-second")
_FIRST_LINE = f"-- triage-rule: {VERSION}"
_MARK = re.compile(rb"--[ \t]*triage-rule:[ \t]*(\d{1,9})[ \t]*\r?\n?\Z")
_MEANT = re.compile(rb"--[ \t]*triage-rule\b", re.IGNORECASE)
"""A first line that is meant to be that of a header: without it the limits of the rule would be lost."""
_LINE = re.compile(rb"--[ \t]*([a-z][a-z-]{0,30}):(?:[ \t]+(.*?))?[ \t]*\r?\n?\Z", re.DOTALL)


class RuleHeader(msgspec.Struct, frozen=True):
    """What the header says. Empty strings are keys that the file does not have.

    `hit_limit` None (`hit-limit: none`) is without limit; `risk` is one of `RISKS` or empty.
    """

    id: str
    run: str = ""
    target: str = ""
    intent: str = ""
    match: str = ""
    hit_limit: int | None = None
    effect: str = ""
    risk: str = ""
    inverse: str = ""
    template: str = ""
    budget: Budget = msgspec.field(default_factory=Budget)
    extra: dict[str, str] = msgspec.field(default_factory=dict)


class RuleFile(msgspec.Struct, frozen=True):
    """One rule file. `source` is the whole text as it is on disk, `body` what follows the header.

    `has_header` is False for a plain SFEmu rule; its header then only holds an id made from the text.
    """

    header: RuleHeader
    body: bytes
    source: bytes
    has_header: bool = True


def parse(source: bytes) -> RuleFile:
    """Read one rule file.

    Raises:
        TriageError: the text is too long, or it has a header that breaks the grammar; names the line.
    """
    if len(source) > MAX_RULE_BYTES:
        raise TriageError(f"a rule of {len(source)} bytes is longer than the {MAX_RULE_BYTES} allowed")
    lines = source.splitlines(keepends=True)
    mark = _MARK.match(lines[0]) if lines else None
    if mark is None:
        if lines and _MEANT.match(lines[0]):
            raise TriageError(f"line 1: a rule header begins with {_FIRST_LINE!r} and nothing else")
        header = RuleHeader(id=f"plain-{hashlib.sha256(source).hexdigest()[:8]}")
        return RuleFile(header, source, source, has_header=False)
    if int(mark[1]) != VERSION:
        raise TriageError(f"line 1: rule header version {int(mark[1])} is not known, only {VERSION} is")
    values, count = _header_values(lines)
    header = _header(values)
    return RuleFile(header, b"".join(lines[count:]), source)


def _header_values(lines: list[bytes]) -> tuple[dict[str, tuple[int, str]], int]:
    values: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines[1:], 2):
        found = _LINE.match(line)
        if found is None:
            return values, number - 1
        key = found[1].decode("ascii")
        try:
            value = (found[2] or b"").decode("utf-8")
        except UnicodeDecodeError:
            raise TriageError(f"line {number}: the value of {key} is not UTF-8 text") from None
        if key in values:
            raise TriageError(f"line {number}: the header has {key} twice")
        if len(value) > MAX_VALUE:
            raise TriageError(f"line {number}: the value of {key} is longer than {MAX_VALUE} characters")
        if _clean(value) != value:
            raise TriageError(f"line {number}: the value of {key} has characters that cannot be shown")
        values[key] = number, value
    return values, len(lines)


def _header(values: dict[str, tuple[int, str]]) -> RuleHeader:
    if "id" not in values:
        raise TriageError("line 1: the rule header has no id")
    number, identity = values["id"]
    if not RULE_ID.fullmatch(identity):
        raise TriageError(f"line {number}: {identity!r} is no rule id ({RULE_ID.pattern})")
    texts = {key: values[key][1] for key in _TEXT_KEYS if key in values}
    number, risk = values.get("risk", (0, ""))
    if risk and risk not in RISKS:
        raise TriageError(f"line {number}: the risk is {risk!r}, not one of {', '.join(RISKS)}")
    extra = {key: value for key, (_, value) in values.items() if key not in _ORDER}
    limit = _hit_limit(*values.get("hit-limit", (0, "none")))
    budget = _budget(*values.get("budget", (0, "")), *values.get("on-failure", (0, "")))
    return RuleHeader(id=identity, hit_limit=limit, risk=risk, extra=extra, budget=budget, **texts)


def _budget(number: int, value: str, failure_number: int, failure: str) -> Budget:
    found: dict[str, int] = {}
    for word in value.split():
        name, _, amount = word.partition("=")
        if name not in _BUDGETS or name in found or not re.fullmatch(r"[1-9][0-9]{0,8}", amount):
            raise TriageError(
                f"line {number}: the budget has {word!r}, not a positive number for one of "
                + ", ".join(_BUDGETS)
            )
        found[name] = int(amount)
    if failure not in ("", "open", "closed"):
        raise TriageError(f"line {failure_number}: on-failure is {failure!r}, not open or closed")
    memory, wall = found.get("memory-kb"), found.get("wall-ms")
    return Budget(
        instructions=found.get("instructions"),
        memory_bytes=memory << 10 if memory else None,
        wall_seconds=wall / 1000 if wall else None,
        calls_per_second=found.get("calls-per-second"),
        on_failure=cast("OnFailure | None", failure or None),
    )


def budget_text(budget: Budget) -> str:
    """Return a budget as the header has it, without `on-failure`; "" for none."""
    amounts = (
        budget.instructions,
        budget.memory_bytes and budget.memory_bytes >> 10,
        budget.wall_seconds and round(budget.wall_seconds * 1000),
        budget.calls_per_second,
    )
    return " ".join(f"{name}={amount}" for name, amount in zip(_BUDGETS, amounts, strict=True) if amount)


def _hit_limit(number: int, value: str) -> int | None:
    if value == "none":
        return None
    if re.fullmatch(r"[1-9][0-9]{9,}", value):
        raise TriageError(f"line {number}: the hit-limit has more than nine digits; write none for no limit")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise TriageError(f"line {number}: the hit-limit is {value!r}, not a positive number or none")
    return int(value)


def format_header(header: RuleHeader) -> str:
    """Return the header as text, keys in their fixed order, ending in a newline.

    Values may hold guest text: characters that cannot be shown are written as visible escapes.

    Raises:
        TriageError: id, risk, hit limit or an extra key is not allowed.
    """
    values: dict[str, str] = {
        "id": header.id,
        "hit-limit": "none" if header.hit_limit is None else str(header.hit_limit),
        "risk": header.risk,
        "budget": budget_text(header.budget),
        "on-failure": header.budget.on_failure or "",
        **{key: _clean(str(getattr(header, key))) for key in _TEXT_KEYS},
    }
    lines = [_FIRST_LINE, *(f"-- {key}: {values[key]}" for key in _ORDER if values[key])]
    lines += [f"-- {key}: {_clean(value)}" for key, value in header.extra.items()]
    text = "\n".join(lines) + "\n"
    if parse(text.encode()).header.extra.keys() != header.extra.keys():
        raise TriageError("a rule header has an extra key that is not made of small letters and hyphens")
    return text


def compose(header: RuleHeader, body: bytes) -> bytes:
    """Return a rule file: the header, then the body unchanged (an empty line keeps comments apart)."""
    separator = b"" if body.startswith((b"\n", b"\r\n")) else b"\n"
    return format_header(header).encode() + separator + body


def with_header(rule: RuleFile, **changes: str | int | Budget | None) -> bytes:
    """Return the rule's text with some header fields replaced (names of `RuleHeader`); same body."""
    return format_header(replace(rule.header, **changes)).encode() + rule.body


def is_models(source: bytes) -> bool:
    """Tell whether the header of a rule says that a model proposed it."""
    try:
        header = parse(source).header
    except TriageError:
        return False
    return header.template == "model" or header.extra.get(PROPOSED_BY, "").split(" ")[0] == "model"


def to_source(name: str, source: bytes, rules_dir: str = "") -> RuleSource:
    """Return what the rule host needs of the rule file `name` ("openat@x.lua", also below directories).

    In a directory `plugin` it is the configuration of a plugin ("plugin/nvram@x.lua").

    Raises:
        TriageError: the name is not that of a rule file, or the header is broken.
    """
    found = FILE_NAME.fullmatch(name.rpartition("/")[2])
    if found is None:
        raise TriageError(f"{safe_line(name, 80)} is not named like a rule (syscall.lua or syscall@id.lua)")
    if re.split(r"[/:]", name)[-2:-1] == ["plugin"]:
        # Only who has one needs the reading of Lua, which loads tree-sitter.
        from triage_tui.rulebook.plugins.loading import plugin_source

        return plugin_source(found["syscall"], source, rules_dir)
    header = parse(source).header
    digest = hashlib.sha256(source).hexdigest()
    return RuleSource(
        header.id,
        found["syscall"],
        source,
        header.hit_limit,
        rules_dir,
        header.budget,
        sha256=digest,
        template=header.template,
    )


def _clean(value: str) -> str:
    """Return `value` stripped and, only where it cannot be shown as it is, with visible escapes."""
    return safe_line(value.strip(), MAX_VALUE)
