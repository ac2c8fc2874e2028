"""The process pane: descriptors, mappings, what the guest printed, rule hits and what could not be had."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from itertools import chain, repeat
from typing import ClassVar, NamedTuple

from rich.cells import cell_len

from triage_tui.runs.completeness import SFEMU
from triage_tui.runs.evidence import Link
from triage_tui.runs.model import Syscall
from triage_tui.runs.process_model import Descriptor, Mapping, Process
from triage_tui.runs.rule_account import rule_account
from triage_tui.text import number_of, safe_line
from triage_tui.ui.log_rows import log_pieces
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.pieces import Piece, PieceRows, all_rows, blank, join
from triage_tui.ui.rows import Part, Row, Rows, clip, field, fit, heading, short, wrapped
from triage_tui.ui.run_view import RunView
from triage_tui.ui.words import place
from triage_tui.ui.wrapping import Breaking

_PERMS = {"x": "accent", "w": "warn"}


def _target(view: RunView, width: int) -> list[Row]:
    snapshot = view.snapshot
    target, engine = snapshot.target, snapshot.engine
    rows = [heading("Target", width)]
    rows += field("program", safe_line(target.program, 400), width, "strong")
    if target.argv:
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
        rows.append(Row(((head, "number"), (shown, "strong" if entry.looked_at else "")), whole=command))
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


def _environment(view: RunView) -> list[Piece]:
    """Return the environment of the process that is looked at, secrets masked."""
    if not view.environment:
        return []
    count = str(len(view.environment))
    pieces = [Piece(lambda width: [heading("Environment", width, count)], 1)]
    for entry in view.environment:
        name, _, value = entry.partition("=")
        column = max(10, min(len(name) + 2, 24))
        variable = _Variable(short(name, 30), Breaking(safe_line(value, 400)), column)
        pieces.append(Piece(variable.rows, variable.takes))
    return pieces


class _Variable(NamedTuple):
    """A variable of the environment: its name in a column, its value beside it."""

    name: str
    value: Breaking
    column: int

    def _room(self, width: int) -> int:
        return max(8, width - self.column - 1)

    def takes(self, width: int) -> int:
        return self.value.count(self._room(width))

    def rows(self, width: int) -> list[Row]:
        heads = chain([fit(" " + self.name, self.column)], repeat(" " * self.column))
        lines = self.value.lines(self._room(width))
        return [Row(((head + " ", "muted"), (line, ""))) for head, line in zip(heads, lines, strict=False)]


def _descriptors(view: RunView) -> list[Piece]:
    pieces = _descriptor_pieces(view, "Descriptors", view.snapshot.fds[:1024], "fd")
    for process in view.snapshot.processes[:64]:
        if process.fds:
            title = f"Descriptors of process {process.pid}"
            pieces += [blank(), *_descriptor_pieces(view, title, process.fds[:256], "")]
    return pieces


def _descriptor_pieces(view: RunView, title: str, fds: list[Descriptor], kind: str) -> list[Piece]:
    """Return one or two rows for each descriptor; `kind` makes them findable as evidence."""
    count = str(len(fds))
    pieces = [Piece(lambda width: [heading(title, width, count)], 1)] if fds else []
    for entry in fds:
        target = (kind, entry.fd) if kind else None
        rows = 1 + (_origin(view, entry) is not None or bool(_opened(entry)))
        pieces.append(Piece(partial(_descriptor_rows, view, entry, target), rows, target))
    return pieces


def _descriptor_rows(view: RunView, entry: Descriptor, target: object, width: int) -> list[Row]:
    name = safe_line(entry.target, 400)
    parts = [
        (f" {entry.fd:>5}  ", "number"),
        (fit(short(entry.kind, 9), 10), "muted"),
        (clip(name, max(10, width - 30)), ""),
    ]
    if entry.state:
        parts.append(("  " + short(entry.state, 80), "info"))
    return [Row(tuple(parts), target, whole=name), *_opened_rows(view, entry, width, target)]


def _origin(view: RunView, entry: Descriptor) -> Syscall | None:
    """Return the call that made a descriptor, when the record has it."""
    return view.run.syscall(entry.origin_seq) if entry.origin_seq is not None else None


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
    indent, opened, origin = 18, _opened(entry), _origin(view, entry)
    more = safe_line(opened, 300)
    if origin is None:
        if not opened:
            return []
        shown = clip(more, max(10, width - indent - 2))
        return [Row(((" " * indent, ""), (shown, "muted")), target, whole=more)]
    made = f"{short(origin.name, 24)}, syscall {origin.seq}"
    shown = clip(more, max(10, width - indent - len(made) - 8))
    lead = f"{shown}, from " if shown else "from "
    first = indent + cell_len(lead)
    link = (first, first + cell_len(made), f"ev:syscall/{origin.seq}")
    return [Row(((" " * indent, ""), (lead, "muted"), (made, "link")), target, links=(link,), whole=more)]


def _mappings(view: RunView) -> list[Piece]:
    """Return the mappings; those of which bytes were recorded lead to them."""
    maps = view.snapshot.maps[:4096]
    count, recorded = str(len(maps)), _Recorded(view)
    pieces = [Piece(lambda width: [heading("Mappings", width, count)], 1)] if maps else []
    for index, entry in enumerate(maps):
        pieces.append(Piece(partial(_mapping_rows, recorded, index, entry), 1, ("map", index)))
    return pieces


def _mapping_rows(recorded: _Recorded, index: int, entry: Mapping, width: int) -> list[Row]:
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
    return [Row(tuple(parts), ("map", index), links=links, whole=name)]


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
    told = {one.rule: one.says for one in view.snapshot.start_settings[:256]}
    for hit in hits:
        hits_of = f"{hit.hits} of {hit.limit} hits" if hit.limit else number_of(hit.hits, "hit")
        parts = [
            (f" {hits_of:>10}  ", "number"),
            (short(hit.rule, 80), "good"),
            ("  " + short(hit.syscall, 40), "muted"),
        ]
        if hit.rule in told:
            parts.append(("  " + safe_line(told[hit.rule], 200), ""))
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
        detail = safe_line(probe.detail or probe.target, 400)
        parts = [
            (f" {fit(short(probe.outcome, 9), 10)}", _OUTCOMES.get(probe.outcome, "bad")),
            (clip(detail, max(10, width - 12)), ""),
        ]
        rows.append(Row(tuple(parts), ("probe", index), whole=detail))
    return rows


def _unavailable(view: RunView, width: int) -> list[Row]:
    missing = view.snapshot.unavailable[:64]
    rows = [heading("Not available", width)] if missing else []
    for entry in missing:
        rows += wrapped(f"{safe_line(entry.what, 100)}: {safe_line(entry.why, 300)}", width, "warn", 2)
    return rows


def _whole(section: Callable[[RunView, int], list[Row]], view: RunView) -> list[Piece]:
    """Return a short section as one piece, nothing when it is empty at whatever width."""
    return [Piece(partial(section, view))] if section(view, 80) else []


def section_rows(view: RunView, kind: str, width: int) -> list[Row]:
    """Return the section that holds evidence of a kind, none for other kinds."""
    match kind:
        case "fd":
            return all_rows(PieceRows(_descriptors(view)), width)
        case "map":
            return all_rows(PieceRows(_mappings(view)), width)
        case "rule":
            return _rules(view, width)
        case "probe":
            return _probes(view, width)
    return []


def process_pieces(view: RunView) -> PieceRows:
    """Return all sections as rows that are made when they are drawn."""
    missing = _whole(_unavailable, view)
    # What SFEmu does not record is most of what stands here for others, and its logs are long.
    first = view.snapshot.engine.name == SFEMU
    return PieceRows(
        join(
            (
                _whole(_target, view),
                *([missing] if first else []),
                log_pieces(view),
                _whole(_processes, view),
                _descriptors(view),
                _environment(view),
                _whole(_probes, view),
                _whole(_rules, view),
                *([] if first else [missing]),
                _mappings(view),
            )
        )
    )


def process_rows(view: RunView, width: int) -> list[Row]:
    """Return all sections."""
    return all_rows(process_pieces(view), width)


class ProcessPane(Pane):
    """What the guest had open, mapped and printed."""

    NAME: ClassVar[str] = "process"
    KINDS: ClassVar[tuple[str, ...]] = ("fd", "map", "log", "rule", "probe")
    EMPTY: ClassVar[str] = "Nothing was recorded."

    def build(self, view: RunView) -> Rows:
        """Return the sections as rows."""
        return process_pieces(view)

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
        index = self.rows.place(wanted)
        if index is None:
            return False
        count = 1
        while index + count < len(self.rows) and self.rows.row(index + count).target == wanted:
            count += 1
        self.mark(index, rows=count)
        return True
