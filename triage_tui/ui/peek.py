"""What a link points to, with what is around it, as rows: to be read without leaving the pane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text
from textual.content import Content

from triage_tui.errors import TriageError
from triage_tui.runs.evidence import Link, Resolved, resolve
from triage_tui.text import safe_block, safe_line, shown_line
from triage_tui.ui.code_links import ADDRESS
from triage_tui.ui.hex_rows import bytes_per_row, hex_row
from triage_tui.ui.roles import Roles
from triage_tui.ui.rows import Part, Row, clip, wrapped
from triage_tui.ui.run_view import RunView
from triage_tui.ui.words import call_words

if TYPE_CHECKING:
    from triage_tui.retry.inspecting.recorded_code import RecordedCode

HOVER_CELLS, HOVER_ROWS = 72, 9
"""Size of what is shown at the mouse."""
AROUND = 5
"""Calls, lines or frames that are shown before and behind what the link points to."""
MAX_BYTES, NEAR_BYTES = 256, 64
"""Bytes of memory that are shown, and of a pointer that says no length."""


def peek(view: RunView, text: str, programs: RecordedCode | None = None) -> Resolved:
    """Look up what a link points to; it may be read from the disk, so call it in a thread.

    `programs` are the program files of the run, for links to code at an address.
    """
    found = resolve(view.run, text)
    if found.link.kind == "reg" and found.exists and view.leads is None:
        # Following the pointers of all registers takes too long for the thread that draws.
        from triage_tui.ui.panes.registers import thread_pointers
        from triage_tui.ui.threads import threads_of

        view.leads = thread_pointers(view, threads_of(view.snapshot)[0])
    if found.exists or found.title == "no link":
        return found
    link = found.link
    if link.kind == "mem" and (data := bytes_at(view, link)):
        return _found(link, f"memory at {_address(link):#x}", data.hex(" "))
    if link.kind == "mem" and (why := next((m.problem for m in view.memory if m.entry.id == link.id), "")):
        return Resolved(link=link, exists=False, hash_ok=False, title=f"memory {link.id}", text=why)
    if link.kind == "code" and (recorded := _recorded_code(view, link)) is not None:
        return recorded
    if link.kind == "code" and link.id.startswith("0x") and programs is not None:
        try:
            code = programs.function(int(link.id, 16))
        except (TriageError, ValueError) as error:
            return Resolved(
                link=link, exists=False, hash_ok=False, title=f"code at {link.id}", text=str(error)
            )
        return _found(link, f"{code.name}, {code.provenance}", code.text)
    if link.kind == "syscall" and (calls := calls_made(view, link.id)):
        what = f"calls made before {link.id}" if link.id.startswith("0x") else f"calls of {link.id}"
        return _found(link, f"{len(calls)} {what}", "")
    return found


def _recorded_code(view: RunView, link: Link) -> Resolved | None:
    """Return the code of a frame that holds an address, from the record itself."""
    for frame, sources in view.code.items():
        for code in sources:
            if _line_at(code.lines, link.id) is not None:
                return _found(link, f"code of frame {frame} at {link.id}", "\n".join(code.lines))
    return None


def _line_at(lines: Sequence[str], place: str) -> int | None:
    """Return the number (from 1) of the line at an address of disassembly, odd for Thumb code."""
    try:
        address = int(place, 16)
    except ValueError:
        return None
    for number, line in enumerate(lines, 1):
        match = ADDRESS.match(line)
        if match is not None and int(match[1], 16) in (address, address & ~1):
            return number
    return None


def _found(link: Link, title: str, text: str) -> Resolved:
    return Resolved(link=link, exists=True, hash_ok=True, title=title, text=text)


def calls_made(view: RunView, name: str) -> list[int]:
    """Return the places of the calls that were made in front of an address, or of a name."""
    if name.startswith("0x"):
        return [n for n, call in enumerate(view.calls) if call.pc is not None and f"0x{call.pc:x}" == name]
    return [n for n, call in enumerate(view.calls) if call.name == name]


def _address(link: Link) -> int:
    place = link.id.rpartition("@")[2]
    return (int(place, 16) if place.startswith("0x") else 0) + (link.offset or 0)


def bytes_at(view: RunView, link: Link) -> bytes:
    """Return the recorded bytes from an address on, as many as there are up to `NEAR_BYTES`."""
    owner, _, place = link.id.rpartition("@")
    try:
        address = int(place, 16) + (link.offset or 0) if place.startswith("0x") else -1
        pid = int(owner) if owner else None
    except ValueError:
        return b""
    looked_at = next((one.pid for one in view.snapshot.processes if one.looked_at), None)
    size = min(link.length or NEAR_BYTES, MAX_BYTES)
    if pid in (None, looked_at):
        for item in view.memory:
            start = address - item.entry.addr
            if 0 <= start < len(item.data):
                return item.data[start : start + size]
    for region in view.run.region_readers():
        kept = region.region
        if kept.pid == (looked_at if pid is None else pid) and kept.start <= address < kept.end:
            try:
                return region.read(address, min(size, kept.end - address))
            except (TriageError, OSError):
                return b""
    return b""


def peek_rows(view: RunView, found: Resolved, width: int) -> list[Row]:
    """Return what was found as rows, the cited one marked; text of the guest is made safe."""
    if not found.exists:
        why = "" if found.text == "not in this run" else f": {found.text}"
        said = f"This evidence is not in the run{why}."
        if found.left_out:
            said = f"This evidence was left out of this bundle: {found.left_out}."
        if found.link.kind == "code" and found.link.id.startswith("0x"):
            said = f"{found.text[:1].upper()}{found.text[1:]}."
        return wrapped(safe_line(said, 400), width, "warn", 1)
    rows = _around(view, found, width) or _plain(found, width)
    if not found.hash_ok:
        rows += wrapped("It has changed since it was cited.", width, "bad", 1)
    return rows


def hover_content(view: RunView, found: Resolved, roles: Roles) -> Content:
    """Return what was found as a few lines for the sheet at the mouse."""
    text = Text(no_wrap=True)
    text.append(f"{title_of(found)}\n", roles.style("heading"))
    rows = peek_rows(view, found, HOVER_CELLS)
    here = next((n for n, row in enumerate(rows) if row.fill == "mark"), 0)
    first = max(0, min(here - HOVER_ROWS // 2, len(rows) - HOVER_ROWS))
    for row in rows[first : first + HOVER_ROWS]:
        fill = roles.fill(row.fill) if row.fill else None
        for part, role in row.parts:
            text.append(shown_line(part), roles.style(role) + fill if fill else roles.style(role))
        text.append("\n")
    text.rstrip()
    return Content.from_rich_text(text)


def title_of(found: Resolved) -> str:
    """Return what is peeked at, in words."""
    return safe_line(found.title[:1].upper() + found.title[1:], 80)


def _around(view: RunView, found: Resolved, width: int) -> list[Row]:
    link = found.link
    match link.kind:
        case "syscall" if not link.id.isdecimal():
            return [
                row for n in calls_made(view, link.id)[-2 * AROUND :] for row in _calls(view, n, width, 0)
            ]
        case "syscall":
            place = next((n for n, call in enumerate(view.calls) if str(call.seq) == link.id), None)
            return [] if place is None else _calls(view, place, width)
        case "code" if link.id.startswith("0x"):
            lines = safe_block(found.text.removesuffix("\n")).split("\n")
            return _lines(lines, _line_at(lines, link.id) or 1, width, numbered=False)
        case "code":
            return _lines(_cited(view, found), link.line, width)
        case "reg":
            return _register(view, link.id, width)
        case "fd" | "map" | "rule" | "probe":
            from triage_tui.ui.panes.process import section_rows

            return _near(section_rows(view, link.kind, width), _listed(link), width)
        case "log":
            return _lines(view.logs.get(link.id, []), link.line, width)
        case "frame":
            frames = view.snapshot.backtrace.frames
            texts = [
                safe_line(
                    f"#{one.idx:<3} {one.addr_hex}  {one.func_name or '?'}  {one.module_name or ''}", 200
                )
                for one in frames
            ]
            place = next((n for n, one in enumerate(frames) if str(one.idx) == link.id), None)
            return _lines(texts, None if place is None else place + 1, width, numbered=False)
        case _:
            return []


def _cited(view: RunView, found: Resolved) -> list[str]:
    """Return the lines of the source of code that has the cited one."""
    link = found.link
    if link.line is None or not link.id.isdecimal():
        return []
    for source in view.code.get(int(link.id), ()):
        if source.raw.split("\n")[link.line - 1 : link.line] == [found.text]:
            return source.lines
    return []


def _register(view: RunView, name: str, width: int) -> list[Row]:
    """Return a register of the frozen thread with what it points to, among its neighbours."""
    from triage_tui.ui.panes.registers import register_rows
    from triage_tui.ui.threads import threads_of

    threads = threads_of(view.snapshot)
    return _near(register_rows(view, threads[0], width, view.leads), name, width) if threads else []


def _listed(link: Link) -> tuple[str, object]:
    """Return what rows of the process pane stand for, by a link."""
    return link.kind, link.id if link.kind == "rule" else int(link.id)


def _near(rows: Sequence[Row], target: object, width: int) -> list[Row]:
    """Return the rows that stand for `target`, marked, and some around them."""
    places = [n for n, row in enumerate(rows) if row.target == target]
    if not places:
        return []
    near = rows[max(0, places[0] - AROUND) : places[-1] + AROUND + 1]
    return [Row(_cut(row.parts, width), fill="mark" if row.target == target else "") for row in near]


def _cut(parts: Sequence[Part], width: int) -> tuple[Part, ...]:
    """Return as much of a row as `width` cells hold."""
    kept: list[Part] = []
    for text, role in parts:
        kept.append((clip(text, max(0, width)), role))
        width -= cell_len(text)
        if width <= 0:
            break
    return tuple(kept)


def _calls(view: RunView, place: int, width: int, around: int = AROUND) -> list[Row]:
    rows = []
    for index in range(max(0, place - around), min(len(view.calls), place + around + 1)):
        call = view.calls[index]
        name, arguments, result = call_words(call)
        room = max(10, width - 9 - len(result) - 4)
        parts: tuple[Part, ...] = (
            (f" {call.seq:>6}  ", "faint"),
            (clip(f"{name}({arguments})", room), "failed" if call.errno else ""),
            (f" = {result}", "failed" if call.errno else "number"),
        )
        rows.append(Row(parts, call.seq, "mark" if index == place else ""))
    return rows


def _lines(lines: Sequence[str], number: int | None, width: int, numbered: bool = True) -> list[Row]:
    if number is None or not 1 <= number <= len(lines):
        return []
    rows = []
    for index in range(max(1, number - AROUND), min(len(lines), number + AROUND) + 1):
        head = f" {index:>5}  " if numbered else " "
        text = clip(safe_line(lines[index - 1], 400), max(10, width - len(head)))
        rows.append(Row(((head, "faint"), (text, "")), index, "mark" if index == number else ""))
    return rows


def _plain(found: Resolved, width: int) -> list[Row]:
    """Return bytes as a hex dump and anything else as text."""
    if found.link.kind == "mem":
        try:
            data = bytes.fromhex(found.text)[:MAX_BYTES]
        except ValueError:
            data = b""
        count = bytes_per_row(width)
        start = _address(found.link)
        return [hex_row(data, place, start, count) for place in range(0, len(data), count)]
    return [
        row for line in found.text.split("\n")[:40] for row in wrapped(safe_line(line, 600), width, "", 1)
    ]
