"""The process pane: descriptors, mappings, what the guest printed, rule hits and what could not be had."""

from __future__ import annotations

from bisect import bisect_left
from typing import ClassVar

from rich.cells import cell_len

from triage_tui.errors import TriageError
from triage_tui.runs.evidence import Link, parse_link
from triage_tui.runs.process_model import Descriptor, Mapping, Process
from triage_tui.runs.rule_account import rule_account
from triage_tui.text import safe_line
from triage_tui.ui.loading import RunView
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.rows import (
    BLANK,
    ListRows,
    Part,
    Row,
    Rows,
    clip,
    field,
    fit,
    heading,
    join,
    short,
    wrap_parts,
    wrapped,
)
from triage_tui.ui.words import place

MAX_FIRST, MAX_LAST, AROUND = 200, 1800, 10
"""Lines laid out of one log: its first, its last, and those around a line that is cited as evidence."""
LEAST_LINES = 100
"""Lines laid out of each log where many logs share these."""

MAX_LINE = 600
"""Characters laid out of one line of a log."""

_PERMS = {"x": "accent", "w": "warn"}


def _target(view: RunView, width: int) -> list[Row]:
    snapshot = view.snapshot
    target, engine = snapshot.target, snapshot.engine
    rows = [heading("Target", width)]
    rows += field("program", safe_line(target.program, 400), width, "strong")
    rows += field("command", safe_line(" ".join(target.argv), 1000), width)
    rows += field("arch", short(target.arch, 40), width)
    if target.rootfs:
        rows += field("root", place(target.rootfs), width, "muted")
    emulator = f"{engine.emulator} {engine.emulator_version}".strip()
    if emulator:
        rows += field("engine", safe_line(f"{engine.name} {engine.version}, {emulator}", 200), width, "muted")
    rows += field(
        "contained",
        safe_line(", ".join(engine.contained), 400) or "no",
        width,
        "good" if engine.contained else "bad",
    )
    if snapshot.recorded:
        rows += field("recorded", safe_line(snapshot.recorded, 300), width, "info")
    return rows


def _output(view: RunView, width: int) -> list[Row]:
    rows: list[Row] = []
    cited = _cited_lines(view)
    most = max(LEAST_LINES, (MAX_FIRST + MAX_LAST) // max(1, len(view.logs)))
    for name, lines in view.logs.items():
        title = "Guest output" if f"logs/{name}" == view.snapshot.guest_output else f"Log {short(name, 60)}"
        rows += [heading(title, width, f"{len(lines)} lines", target=("log", name, 0))]
        last = 0
        for number in _lines_to_show(len(lines), cited.get(name, set()), most):
            if number > last + 1:
                rows += wrapped(f"… {number - last - 1} lines are left out here", width, "muted", 8)
            last = number
            rows += _log_line(name, number, lines[number - 1], width)
        if name in view.log_notes:
            rows += wrapped(view.log_notes[name], width, "warn", 8)
    return rows


def _log_line(name: str, number: int, line: str, width: int) -> list[Row]:
    head = f" {number:>5}  "
    target = ("log", name, number)
    if len(line) < width - len(head) and line.isascii():
        return [Row(((head, "faint"), (line, "")), target)]
    lines = wrap_parts([(safe_line(line, MAX_LINE), "")], width, head, " " * len(head))
    (_, *parts), *more = lines
    return [Row(((head, "faint"), *parts), target), *(Row(parts, target) for parts in more)]


def _lines_to_show(count: int, cited: set[int], most: int) -> list[int]:
    if count <= most:
        return list(range(1, count + 1))
    first = most * MAX_FIRST // (MAX_FIRST + MAX_LAST)
    shown = {*range(1, first + 1), *range(count - (most - first) + 1, count + 1)}
    for line in cited:
        shown.update(range(max(1, line - AROUND), min(count, line + AROUND) + 1))
    return sorted(shown)


def _cited_lines(view: RunView) -> dict[str, set[int]]:
    """Return the lines of each log that the diagnosis cites."""
    found: dict[str, set[int]] = {}
    for hypothesis in view.diagnosis.hypotheses[:20] if view.diagnosis else []:
        for entry in (*hypothesis.evidence[:50], *hypothesis.contrary[:50]):
            try:
                link = parse_link(entry.link)
            except TriageError:
                continue
            if link.kind == "log" and link.line:
                found.setdefault(link.id, set()).add(link.line)
    return found


def _processes(view: RunView, width: int) -> list[Row]:
    """Return the tree of processes, with what each has of its own."""
    processes = view.snapshot.processes[:256]
    rows = [heading("Processes", width, str(len(view.snapshot.processes)))] if processes else []
    depth: dict[int, int] = {}
    for entry in processes:
        depth[entry.pid] = min(depth.get(entry.parent, -1) + 1, 12)
        command = safe_line(" ".join(entry.argv[:64]) or entry.program or "?", 400)
        head = f"{' ' * (1 + 2 * depth[entry.pid])}{entry.pid:>5}  "
        shown = clip(command, max(10, width - len(head)))
        rows.append(Row(((head, "number"), (shown, "strong" if entry.looked_at else ""))))
        for fact in _facts(entry):
            rows += wrapped(safe_line(fact, 400), width, "muted", len(head))
    return rows


def _facts(entry: Process) -> list[str]:
    if entry.ended is not None:
        return [entry.ended]
    umask = "" if entry.umask is None else f", umask {entry.umask:03o}"
    threads = "1 thread" if len(entry.threads) == 1 else f"{len(entry.threads)} threads"
    facts = [f"{threads}, in {entry.cwd or '?'}{umask}"]
    for what, names in (("ignores", entry.ignored_signals), ("pending", entry.pending_signals)):
        if names:
            facts.append(f"{what} {' '.join(names)}")
    return facts


def _environment(view: RunView, width: int) -> list[Row]:
    """Return the environment of the process that is looked at, secrets masked."""
    rows = [heading("Environment", width, str(len(view.environment)))] if view.environment else []
    for entry in view.environment:
        name, _, value = entry.partition("=")
        rows += field(short(name, 30), safe_line(value, 400), width, column=max(10, min(len(name) + 2, 24)))
    return rows


def _descriptors(view: RunView, width: int) -> list[Row]:
    rows = _descriptor_rows(view, "Descriptors", view.snapshot.fds[:1024], width, "fd")
    for process in view.snapshot.processes[:64]:
        if process.fds:
            title = f"Descriptors of process {process.pid}"
            rows += [BLANK, *_descriptor_rows(view, title, process.fds[:256], width, "")]
    return rows


def _descriptor_rows(view: RunView, title: str, fds: list[Descriptor], width: int, kind: str) -> list[Row]:
    """Return one or two rows for each descriptor; `kind` makes them findable as evidence."""
    rows = [heading(title, width, str(len(fds)))] if fds else []
    for entry in fds:
        parts = [
            (f" {entry.fd:>5}  ", "number"),
            (fit(short(entry.kind, 9), 10), "muted"),
            (clip(safe_line(entry.target, 400), max(10, width - 30)), ""),
        ]
        if entry.state:
            parts.append(("  " + short(entry.state, 80), "info"))
        target = (kind, entry.fd) if kind else None
        rows.append(Row(tuple(parts), target=target))
        rows += _opened_rows(view, entry, width, target)
    return rows


def _opened(entry: Descriptor) -> str:
    """Say how a descriptor was opened, where it stands and what it holds."""
    words = [" ".join(entry.flag_names)] if entry.flag_names else []
    if entry.offset is not None and entry.kind == "file":
        words.append(f"at {entry.offset}" + ("" if entry.size is None else f" of {entry.size}"))
    if entry.detail:
        words.append(entry.detail)
    return ", ".join(words)


def _opened_rows(view: RunView, entry: Descriptor, width: int, target: object) -> list[Row]:
    """Return how a descriptor was opened, with the call that made it as a link."""
    indent, more = 18, safe_line(_opened(entry), 300)
    origin = view.run.syscall(entry.origin_seq) if entry.origin_seq is not None else None
    if origin is None:
        if not more:
            return []
        return [Row(((" " * indent, ""), (clip(more, max(10, width - indent - 2)), "muted")), target)]
    made = f"{short(origin.name, 24)}, syscall {origin.seq}"
    more = clip(more, max(10, width - indent - len(made) - 8))
    lead = f"{more}, from " if more else "from "
    first = indent + cell_len(lead)
    link = (first, first + cell_len(made), f"ev:syscall/{origin.seq}")
    return [Row(((" " * indent, ""), (lead, "muted"), (made, "link")), target, links=(link,))]


def _mappings(view: RunView, width: int) -> list[Row]:
    """Return the mappings; those of which bytes were recorded lead to them."""
    maps = view.snapshot.maps[:4096]
    rows = [heading("Mappings", width, str(len(maps)))] if maps else []
    recorded = _Recorded(view)
    for index, entry in enumerate(maps):
        perms = short(entry.perms, 6)
        role = next((role for sign, role in _PERMS.items() if sign in perms), "muted")
        name = safe_line(entry.path or entry.name, 400)
        says, link = recorded.of(entry)
        where = f"{entry.start:08x}-{entry.end:08x}"
        room = max(10, width - len(where) - 8 - (len(says) + 2 if says else 0))
        parts: list[Part] = [
            (" ", ""),
            (where, "link" if link else "address"),
            (" ", ""),
            (fit(perms, 5), role),
            (fit(name, room) if says else clip(name, room), "" if name else "muted"),
        ]
        if says:
            parts += [("  ", ""), (says, "muted")]
        links = ((1, 1 + len(where), link),) if link else ()
        rows.append(Row(tuple(parts), ("map", index), links=links))
    return rows


class _Recorded:
    """Of which mappings of the process that is looked at the record holds bytes."""

    def __init__(self, view: RunView) -> None:
        self._objects = sorted((item.entry.addr, item.entry.id) for item in view.memory if item.data)
        self._starts = [address for address, _ in self._objects]
        looked_at = next((one.pid for one in view.snapshot.processes if one.looked_at), 0)
        regions = (one for one in view.snapshot.memory_regions if one.pid == looked_at and not one.missing)
        self._regions = {one.start for one in regions}

    def of(self, mapping: Mapping) -> tuple[str, str]:
        """Return what is recorded of a mapping, in words, and the link to it; "" and "" for nothing."""
        if mapping.start in self._regions:
            return "kept", f"ev:mem/0x{mapping.start:x}+0:1"
        first = bisect_left(self._starts, mapping.start)
        count = bisect_left(self._starts, mapping.end) - first
        if not count:
            return "", ""
        address = self._starts[first]
        return f"{count} object{'s' * (count != 1)}", f"ev:mem/0x{address:x}+0:1"


def _rules(view: RunView, width: int) -> list[Row]:
    hits = view.snapshot.rule_hits[:256]
    rows = [heading("Rules that were active", width)] if hits else []
    for hit in hits:
        limit = f" of {hit.limit}" if hit.limit else ""
        parts = [
            (f" {hit.hits:>5}{limit} hits  ", "number"),
            (short(hit.rule, 80), "good"),
            ("  " + short(hit.syscall, 40), "muted"),
        ]
        if hit.disabled:
            parts.append(("  switched off: " + safe_line(hit.disabled, 200), "bad"))
        rows.append(Row(tuple(parts), target=("rule", hit.rule)))
        if account := rule_account(hit):
            rows += wrapped(account, width, "muted", 7)
    return rows


_OUTCOMES = {"answered": "good", "accepted": "info"}


def _probes(view: RunView, width: int) -> list[Row]:
    probes = view.snapshot.probes[:64]
    rows = [heading("What its service was asked", width)] if probes else []
    for index, probe in enumerate(probes):
        parts = [
            (f" {fit(short(probe.outcome, 9), 10)}", _OUTCOMES.get(probe.outcome, "bad")),
            (clip(safe_line(probe.detail or probe.target, 400), max(10, width - 12)), ""),
        ]
        rows.append(Row(tuple(parts), target=("probe", index)))
    return rows


def _unavailable(view: RunView, width: int) -> list[Row]:
    missing = view.snapshot.unavailable[:64]
    rows = [heading("Not available", width)] if missing else []
    for entry in missing:
        rows += wrapped(f"{safe_line(entry.what, 100)}: {safe_line(entry.why, 300)}", width, "warn", 2)
    return rows


_SECTIONS = {"fd": _descriptors, "map": _mappings, "rule": _rules, "probe": _probes}


def section_rows(view: RunView, kind: str, width: int) -> list[Row]:
    """Return the section that holds evidence of a kind, none for other kinds."""
    section = _SECTIONS.get(kind)
    return section(view, width) if section is not None else []


def process_rows(view: RunView, width: int) -> list[Row]:
    """Return all sections."""
    sections = (_target, _output, _processes, _descriptors, _environment)
    parts = (*sections, _probes, _rules, _unavailable, _mappings)
    return join([part(view, width) for part in parts])


class ProcessPane(Pane):
    """What the guest had open, mapped and printed."""

    NAME: ClassVar[str] = "process"
    KINDS: ClassVar[tuple[str, ...]] = ("fd", "map", "log", "rule", "probe")
    EMPTY: ClassVar[str] = "Nothing was recorded."

    def build(self, view: RunView) -> Rows:
        """Return the sections as rows."""
        return ListRows(lambda width: process_rows(view, width))

    def reveal(self, link: Link) -> bool:
        """Go to a descriptor, mapping, log line or rule."""
        wanted: tuple[object, ...]
        if link.kind == "log":
            # An empty log has its heading alone.
            empty = not self.view or not self.view.logs.get(link.id)
            wanted = ("log", link.id, 0 if empty and (link.line or 1) == 1 else link.line or 1)
        elif link.kind == "rule":
            wanted = ("rule", link.id)
        else:
            wanted = (link.kind, int(link.id) if link.id.isdecimal() else -1)
        index = self.rows.find(lambda row: row.target == wanted)
        if index is None:
            return False
        count = 1
        while index + count < len(self.rows) and self.rows.row(index + count).target == wanted:
            count += 1
        self.mark(index, rows=count)
        return True
