"""The sections of a report that show the record: calls, frames, code, registers, memory, output."""

from __future__ import annotations

from collections.abc import Collection

from triage_tui.errors import TriageError
from triage_tui.export.citing import Citing, place
from triage_tui.export.document import (
    Block,
    Bullets,
    Line,
    Listing,
    Paragraph,
    Section,
    Span,
    Table,
    TableRow,
    anchor,
)
from triage_tui.runs.evidence import describe_syscall, resolve
from triage_tui.runs.masked_memory import masked_object
from triage_tui.runs.reader import MAX_TEXT_BYTES
from triage_tui.runs.rule_account import rule_account
from triage_tui.text import number_of

MAX_FAILED = 40
LAST_CALLS = 20
MAX_FRAMES = 64
MAX_REGISTERS = 256
AROUND = 6
"""Lines around a cited one."""
OUTPUT_LINES = 60
TAIL_BYTES = 64 << 10
MAX_CITED_MEMORY = 16
MAX_MISSING = 100


def gaps(
    numbers: Collection[int], lines: list[str], named: dict[int, str], width: int = 5
) -> tuple[Line, ...]:
    """Return the lines with these numbers (from 1), and how many are left out between them.

    `named` holds the anchors of cited lines, by number.
    """
    shown: list[Line] = []
    before = 0
    for number in sorted(number for number in set(numbers) if 0 < number <= len(lines)):
        if number > before + 1:
            shown.append(Line(f"… {_lines(number - before - 1)} left out", number=" " * width))
        shown.append(Line(lines[number - 1], named.get(number, ""), number in named, f"{number:>{width}}"))
        before = number
    if before < len(lines) and shown:
        shown.append(Line(f"… {_lines(len(lines) - before)} left out", number=" " * width))
    return tuple(shown)


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def calls_section(citing: Citing) -> Section:
    """Return the calls that failed or were answered, those that are cited, and the last ones."""
    run = citing.run
    calls = run.trace()
    cited = {link.id for link in citing.of_kind("syscall")}
    failed = [call.seq for call in calls if call.errno or call.rule or call.note]
    wanted = {str(seq) for seq in failed[-MAX_FAILED:]} | cited | {str(c.seq) for c in calls[-LAST_CALLS:]}
    rows: list[Line] = []
    left, known = 0, set()
    trigger = run.snapshot.trigger.seq
    for call in calls:
        name = str(call.seq)
        if name not in wanted or name in known:
            left += 1
            continue
        if left:
            rows.append(Line(f"… {left} {'call' if left == 1 else 'calls'} left out", number=" " * 7))
            left = 0
        known.add(name)
        here = "  <- frozen here" if call.seq == trigger else ""
        rows.append(
            Line(
                citing.line(describe_syscall(call), 600) + here,
                anchor("syscall", name),
                name in cited,
                f"{name:>7}",
            )
        )
    if not rows:
        return Section("System calls", "calls", (Paragraph((Span("No system call is on record."),)),))
    there = number_of(len(calls), "call is", "calls are")
    said = f"{there} on record. These failed, were answered by a rule, are cited, or came last."
    loop = run.snapshot.loop
    blocks: list[Block] = [Paragraph((Span(said),))]
    if loop is not None:
        names = citing.line(", ".join(loop.names), 400)
        blocks.append(
            Paragraph(
                (
                    Span(
                        f"A loop: {number_of(loop.period, 'call')}, {number_of(loop.repeats, 'round')}, "
                        f"from call {loop.first_seq} on: "
                    ),
                    Span(names, True),
                )
            )
        )
    return Section("System calls", "calls", (*blocks, Listing(tuple(rows))))


def backtrace_section(citing: Citing) -> Section:
    """Return the frames of the thread that was frozen."""
    backtrace = citing.run.snapshot.backtrace
    cited = {link.id for link in citing.of_kind("frame")}
    rows = []
    for frame in backtrace.frames[:MAX_FRAMES]:
        plus = f"+0x{frame.func_offset:x}" if frame.func_offset else ""
        rows.append(
            TableRow(
                (
                    f"{frame.idx}",
                    f"0x{frame.addr:x}",
                    citing.line(frame.module_name or "?", 120),
                    citing.line(frame.func_name or "?", 120) + plus,
                    frame.method.replace("_", " "),
                    frame.confidence or "",
                ),
                anchor("frame", frame.idx),
                str(frame.idx) in cited,
            )
        )
    blocks: list[Block] = []
    if rows:
        blocks.append(Table(("frame", "address", "module", "function", "found by", "sure"), tuple(rows)))
    else:
        blocks.append(Paragraph((Span("No frame is on record."),)))
    if backtrace.truncated or len(backtrace.frames) > MAX_FRAMES:
        blocks.append(Paragraph((Span("There are more frames than are shown here."),)))
    return Section("Backtrace", "backtrace", tuple(blocks))


def code_section(citing: Citing) -> Section | None:
    """Return the code that is cited, with a few lines around."""
    blocks: list[Block] = []
    frames = list(dict.fromkeys(link.id for link in citing.of_kind("code")))
    for frame in frames[:8]:
        links = [link for link in citing.of_kind("code") if link.id == frame]
        entries = [e for e in citing.run.snapshot.backtrace.pseudocode_index if str(e.frame) == frame]
        for entry in entries[:1]:
            try:
                lines = citing.block(citing.run.text_file(entry.file), 20_000, 300)
            except TriageError as error:
                blocks.append(Paragraph((Span(citing.line(f"Frame {frame}: {error}.", 300)),)))
                continue
            named = {link.line: place(link) for link in links if link.line is not None}
            numbers = {n + d for n in named for d in range(-AROUND, AROUND + 1)} or set(range(1, 41))
            caption = f"Frame {entry.frame}: {citing.line(entry.provenance or entry.kind, 120)}"
            blocks.append(Listing(gaps(numbers, lines, named), caption))
    return Section("Code that is cited", "code", tuple(blocks)) if blocks else None


def registers_section(citing: Citing) -> Section:
    """Return the registers of the thread that was frozen, and what they were at the stop before."""
    snapshot = citing.run.snapshot
    before = {register.name: register.value for register in snapshot.previous_regs}
    cited = {link.id for link in citing.of_kind("reg")}
    rows = []
    for register in snapshot.regs[:MAX_REGISTERS]:
        old = before.get(register.name)
        change = _value(citing, old, register.size) if old is not None and old != register.value else ""
        rows.append(
            TableRow(
                (citing.line(register.name, 40), _value(citing, register.value, register.size), change),
                anchor("reg", register.name),
                register.name in cited,
            )
        )
    if not rows:
        return Section("Registers", "registers", (Paragraph((Span("No register is on record."),)),))
    return Section("Registers", "registers", (Table(("register", "value", "before"), tuple(rows)),))


def _value(citing: Citing, value: int | str, size: int) -> str:
    return citing.line(value, 140) if isinstance(value, str) else f"0x{value:0{min(size, 64) * 2}x}"


def memory_section(citing: Citing) -> Section | None:
    """Return the memory that is cited."""
    blocks: list[Block] = []
    for object_id in list(dict.fromkeys(link.id for link in citing.of_kind("mem")))[:MAX_CITED_MEMORY]:
        link = next(link for link in citing.of_kind("mem") if link.id == object_id)
        entry = citing.run.memory_object(object_id)
        try:
            data, hidden = masked_object(citing.run, object_id, citing.redaction) if entry else (b"", [])
        except TriageError as error:
            blocks.append(Paragraph((Span(citing.line(str(error), 300)),)))
            continue
        if entry is None:
            # Of kept memory the quote beside the claim is all that is cited.
            continue
        where = f"{citing.line(object_id, 80)} at {citing.line(entry.addr_hex, 40)}"
        caption = f"{where}: {citing.line(entry.purpose, 200)}"
        rows = citing.hex_lines(data, hidden, 0, 32)
        lines = tuple(Line(row, place(link) if n == 0 else "", n == 0) for n, row in enumerate(rows))
        blocks.append(Listing(lines, caption))
    return Section("Memory that is cited", "memory", tuple(blocks)) if blocks else None


def output_section(citing: Citing) -> Section:
    """Return the end of what the guest printed, and the lines of other logs that are cited."""
    blocks: list[Block] = []
    main = citing.run.snapshot.guest_output
    names = [main.removeprefix("logs/")] if main.startswith("logs/") else []
    names += [name for name in dict.fromkeys(link.id for link in citing.of_kind("log")) if name not in names]
    for name in names[:16]:
        try:
            text = citing.run.text_file(f"logs/{name}", MAX_TEXT_BYTES)
        except TriageError as error:
            blocks.append(Paragraph((Span(citing.line(str(error), 300)),)))
            continue
        lines = citing.block(text, 1 << 20, 600) if text else []
        if f"logs/{name}" == main and len(text) >= MAX_TEXT_BYTES:
            # What was read is the beginning; the end has no numbers.
            end = citing.run.text_file(main, TAIL_BYTES, tail=True)
            ends = citing.block(end, 1 << 20, 600)[-OUTPUT_LINES:]
            caption = f"The end of logs/{citing.line(name, 120)}"
            blocks.append(Listing(tuple(Line(line) for line in ends), caption))
        links = [link for link in citing.of_kind("log") if link.id == name and link.line is not None]
        named = {link.line: place(link) for link in links if link.line is not None}
        numbers = {n + d for n in named for d in range(-2, 3)}
        if f"logs/{name}" == main and len(text) < MAX_TEXT_BYTES:
            numbers |= set(range(len(lines) - OUTPUT_LINES + 1, len(lines) + 1))
        shown = gaps(numbers, lines, named)
        if shown:
            blocks.append(Listing(shown, f"logs/{citing.line(name, 120)}"))
        elif not text:
            blocks.append(Paragraph((Span(f"logs/{citing.line(name, 120)} is empty."),)))
    if not blocks:
        blocks.append(Paragraph((Span("No output is on record."),)))
    return Section("What the guest printed", "output", tuple(blocks))


def details_section(citing: Citing) -> Section | None:
    """Return what else is cited: mappings, descriptors, rules, probes."""
    rows = []
    for link in citing.links:
        if link.kind in ("map", "fd", "rule", "probe") and (found := resolve(citing.run, link)).exists:
            rows.append(
                TableRow((citing.line(found.title, 80), citing.line(found.text, 400)), place(link), True)
            )
    if not rows:
        return None
    return Section("What else is cited", "details", (Table(("what", "on record"), tuple(rows)),))


def rules_section(citing: Citing) -> Section | None:
    """Return the rules that were active, and what they did."""
    items = []
    for hit in citing.run.snapshot.rule_hits[:100]:
        limit = f" of {hit.limit}" if hit.limit else ""
        account = rule_account(hit)
        off = f", switched off: {hit.disabled}" if hit.disabled else ""
        words = f": {hit.hits}{limit} hits on {hit.syscall}{off}{'; ' + account if account else ''}"
        items.append((Span(citing.line(hit.rule, 120), True), Span(citing.line(words, 400))))
    return Section("Rules that were active", "rules", (Bullets(tuple(items)),)) if items else None


def missing_section(citing: Citing) -> Section:
    """Return what could not be had, and what was wrong with the record itself."""
    items = []
    for entry in citing.run.snapshot.unavailable[:MAX_MISSING]:
        items.append((Span(citing.line(entry.what, 200), True), Span(": " + citing.line(entry.why, 400))))
    for problem in citing.run.problems[:MAX_MISSING]:
        items.append((Span("the record itself: "), Span(citing.line(problem, 400))))
    if not items:
        return Section("What could not be had", "missing", (Paragraph((Span("Nothing is missing."),)),))
    return Section("What could not be had", "missing", (Bullets(tuple(items)),))
