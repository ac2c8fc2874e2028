"""The evidence that a rule was born from, in its header, and whether a recorded run still bears it out.

    -- evidence: binary=9b89dbeb... errno=ENOENT module=51c2a0f4... site=/lib/libc.so.0+0x1a2f4

`binary` is the SHA-256 of the program that made the failing call, `errno` how the call failed. `site` is the
place that made it: a file of the guest and an offset in that file, which do not depend on where the file is
loaded; `module` is the SHA-256 of that file, left out where it is the program itself. `site` comes last and
takes the rest of the line, because paths may hold spaces. Any of them may be missing: what is not known is
never held against a rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from triage_tui.rulebook.check.explain import Match
from triage_tui.runs.model import Snapshot, Syscall
from triage_tui.runs.process_model import Mapping
from triage_tui.text import safe_line

EVIDENCE = "evidence"
"""Header key of the line."""

_FORM = re.compile(
    r"(?:binary=(?P<binary>[0-9a-f]{64}) ?)?(?:errno=(?P<errno>E[A-Z0-9]{1,20}) ?)?"
    r"(?:module=(?P<module>[0-9a-f]{64}) ?)?(?:site=(?P<path>/.{0,400})\+0x(?P<offset>[0-9a-f]{1,16}))?"
)


class Site(msgspec.Struct, frozen=True):
    """A place in a file of the guest: its guest path and an offset in the file, in bytes."""

    path: str
    offset: int

    def __str__(self) -> str:
        return f"{self.path}+{self.offset:#x}"


class Evidence(msgspec.Struct, frozen=True):
    """What a rule was born from; empty strings and None are not known."""

    binary: str = ""
    errno: str = ""
    module: str = ""
    site: Site | None = None


Part = Literal["binary", "site", "errno"]


class Gone(NamedTuple):
    """A part of the evidence that is not so any more, and what is so now, in words."""

    part: Part
    why: str


def parse_evidence(text: str) -> Evidence:
    """Read the line; what has not its form says nothing."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return Evidence()
    path, offset = found["path"], found["offset"]
    site = Site(path, int(offset, 16)) if path and offset else None
    return Evidence(found["binary"] or "", found["errno"] or "", found["module"] or "", site)


def evidence_text(evidence: Evidence) -> str:
    """Return the line's value, "" where nothing is known."""
    parts = [
        f"{name}={value}"
        for name, value in (
            ("binary", evidence.binary),
            ("errno", evidence.errno),
            ("module", evidence.module),
            ("site", str(evidence.site) if evidence.site is not None else ""),
        )
        if value
    ]
    text = " ".join(parts)
    return text if parse_evidence(text) == evidence and safe_line(text, 1000) == text else ""


def site_of(call: Syscall, maps: Sequence[Mapping]) -> Site | None:
    """Return the place that a recorded call returns to outside of the system call's own stub, else the stub.

    `maps` are those of the process that made it.
    """
    for address in (call.return_address, call.pc):
        if address is None:
            continue
        for one in maps:
            if one.start <= address < one.end and "x" in one.perms and one.path.startswith("/"):
                return Site(one.path, address - one.start + one.offset)
    return None


def maps_of(snapshot: Snapshot, call: Syscall) -> Sequence[Mapping]:
    """Return the mappings of the process that made a call; none where they are not recorded."""
    pid = snapshot.trigger.pid
    return snapshot.maps if not pid or not call.pid or call.pid == pid else ()


def contradiction(
    evidence: Evidence,
    match: Match | None,
    snapshot: Snapshot,
    calls: Iterable[Syscall],
    *,
    absent: bool = False,
) -> Gone | None:
    """Return in what a recorded run of the same program speaks against a rule's evidence, None for nothing.

    Only calls that the rule's match is about count, up to the first that a rule acted on: what comes after it
    is not as it was without rules. `absent` says that the file of the match is not there now, so that a call
    that found it tells of what was.
    """
    if match is None:
        return None
    ends: dict[str, int] = {}
    sites: list[Site] = []
    for call in calls:
        if not match.holds(call):
            continue
        site = site_of(call, maps_of(snapshot, call))
        if site is not None:
            sites.append(site)
        if call.rule is not None or call.intercepted:
            break
        if call.ret is not None:
            end = call.errno or "success"
            ends[end] = call.seq
    if absent:
        ends.pop("success", None)
    if evidence.errno and ends and evidence.errno not in ends:
        end, seq = next(iter(ends.items()))
        return Gone("errno", f"{match.syscall} ended with {end} in call {seq}, not with {evidence.errno}")
    if evidence.site is not None and sites and evidence.site not in sites:
        return Gone("site", f"{match.syscall} is called from {sites[0]} now, not from {evidence.site}")
    return None
