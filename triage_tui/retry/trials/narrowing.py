"""Narrower texts of a rule, from the calls at which it acted: fewer hits, and only the recorded arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from triage_tui.diagnosis.calls import PATH_ARGUMENT
from triage_tui.proposals.lua import guest_bytes
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.check.explain import Match, parse_match
from triage_tui.rulebook.kinds import FILE_NAME, kind_of
from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run
from triage_tui.text import number_of, safe_line

MAX_VALUES = 8
"""Different paths or requests that a narrowed rule names."""
MAX_HITS = 100_000

_GUARD = """

-- Only the calls at which it acted in the runs that it was tried in.
local wanted_calls = {{ {values} }}

local function is_wanted(a1, a2, a3)
{test}
end
"""
_WRAPPED = """
local whole_{name} = {name}

function {name}({before}a1, a2, a3, a4, a5, a6, a7, a8)
  if not is_wanted(a1, a2, a3) then
    return 0, 0
  end
  return whole_{name}({before}a1, a2, a3, a4, a5, a6, a7, a8)
end
"""
_ENTRIES = {"do_syscall": "num, ", "after_syscall": "num, ret, "}
"""Functions of a rule -> what stands before the arguments of the call."""
_PATH_TEST = """\
  for _, window in ipairs({{ 4096, 1024, 256, 64 }}) do
    local text, rc = c_read_string(a{place}, window)
    if rc == 0 then
      return wanted_calls[text] == true
    end
  end
  return false"""
_REQUEST_TEST = "  return wanted_calls[a2 & 0xffffffff] == true"


class Narrower(msgspec.Struct, frozen=True):
    """A narrower text of a rule, and what is narrower in words."""

    text: bytes
    says: str


def narrower(file: str, text: bytes, runs: Sequence[Run], sha256: str) -> Iterator[Narrower]:
    """Yield what can be narrowed of a rule, each by itself.

    `runs` had the rule as it is active, with the digest `sha256`; `text` may be narrower by now. A text
    without header is a person's own, and a rule that did not act, or not equally often in all runs, shows
    nothing of what it is for.
    """
    rule = rulefile.parse(text)
    if not rule.has_header or kind_of(file) == "start":
        return
    acted = [_acted(run, rule.header.id) for run in runs]
    if kind_of(file) == "syscall" and all(acted) and (guard := _guard(file, rule, acted[0])) is not None:
        again = _guard(file, rule, acted[-1])
        if again is not None and again.text == guard.text:
            yield guard
    counts = {_hits(run, sha256) for run in runs}
    if len(counts) == 1 and 0 < (count := counts.pop()) <= MAX_HITS:
        limit = rule.header.hit_limit
        if limit is None or count < limit:
            was = "no limit" if limit is None else f"a limit of {limit}"
            yield Narrower(
                rulefile.with_header(rule, hit_limit=count),
                f"at most {number_of(count, 'hit')}, as often as it acted; before it had {was}",
            )


def _acted(run: Run, rule: str) -> list[Syscall]:
    return [call for call in run.trace() if call.rule == rule]


def _hits(run: Run, sha256: str) -> int:
    return sum(hit.hits for hit in run.snapshot.rule_hits if hit.sha256 == sha256)


def _guard(file: str, rule: rulefile.RuleFile, acted: Sequence[Syscall]) -> Narrower | None:
    """Return the rule for the recorded paths or requests only, None where its match names them already."""
    found = FILE_NAME.fullmatch(file.rpartition("/")[2])
    syscall = found["syscall"] if found is not None else ""
    match = parse_match(rule.header.match)
    fields = match.fields if match is not None and match.syscall == syscall else {}
    if syscall in PATH_ARGUMENT and not fields.keys() & {"path", "peer"}:
        paths = {call.path for call in acted}
        if None in paths or not 0 < len(paths) <= MAX_VALUES:
            return None
        texts = sorted(path for path in paths if path is not None)
        values = ", ".join(f"[{lua_string(guest_bytes(path))}] = true" for path in texts)
        test = _PATH_TEST.format(place=PATH_ARGUMENT[syscall] + 1)
        return _guarded(rule, values, test, "path", texts, syscall)
    if syscall == "ioctl" and "request" not in fields:
        requests = {call.args[1] & 0xFFFFFFFF if len(call.args) > 1 else None for call in acted}
        if None in requests or not 0 < len(requests) <= MAX_VALUES:
            return None
        numbers = sorted(number for number in requests if number is not None)
        values = ", ".join(f"[{number:#x}] = true" for number in numbers)
        names = sorted({call.request or hex(call.args[1]) for call in acted})
        return _guarded(rule, values, _REQUEST_TEST, "request", names, syscall)
    return None


def _guarded(
    rule: rulefile.RuleFile, values: str, test: str, field: str, names: list[str], syscall: str
) -> Narrower:
    changes: dict[str, str] = {}
    match = parse_match(rule.header.match) or Match(syscall, {})
    if field == "request" or len(names) == 1:
        fields = {**match.fields, field: " or ".join(safe_line(name, 200) for name in names)}
        changes["match"] = " ".join([syscall, *(f"{name}={value}" for name, value in fields.items())])
    added = _GUARD.format(values=values, test=test)
    for name, before in _ENTRIES.items():
        if name.encode() in rule.body:
            added += _WRAPPED.format(name=name, before=before)
    body = rule.body.rstrip(b"\n") + added.encode()
    header = msgspec.structs.replace(rule.header, **changes) if changes else rule.header
    told = ", ".join(safe_line(name, 100) for name in names)
    return Narrower(
        rulefile.format_header(header).encode() + body, f"only for {told}; before for every {syscall}"
    )
