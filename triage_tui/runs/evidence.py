"""Evidence links: `ev:<kind>/<id>[+off:len][#L<line>][~<hash>]`, made, parsed and resolved.

The hash is the first 12 hex digits of the SHA-256 of what the link points to, in a canonical form, so that a
checker can prove that the evidence exists and still says what it said when the claim was made.

Kinds: `syscall/<seq>`, `reg/<name>`, `frame/<idx>`, `code/<frame idx>#L<line>`, `mem/<object id>[+off:len]`,
`mem/[<pid>@]0x<address>+off:len` (of kept memory), `map/<index>`, `fd/<n>`, `log/<file>#L<line>`,
`rule/<id>`, `probe/<index>`, `event/<number>`.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, get_args

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.memory_files import MAX_READ
from triage_tui.runs.memory_model import Blob
from triage_tui.runs.model import UNLOGGED, Register, Syscall
from triage_tui.runs.reader import Run
from triage_tui.runs.record import Record
from triage_tui.text import number_of

Kind = Literal["syscall", "reg", "frame", "code", "mem", "map", "fd", "log", "rule", "probe", "event"]

_LINK = re.compile(
    r"ev:(?P<kind>[a-z]+)/(?P<id>[^#+~\s()\[\]]+)(?:\+(?P<off>\d+):(?P<len>\d+))?(?:#L(?P<line>\d+))?(?:~(?P<hash>[0-9a-f]{12}))?\Z"
)
IN_TEXT = re.compile(
    r"\[(?P<text>(?:[^\[\]\n]|\[[^\[\]\n]{0,400}\](?!\()){1,400})\]\((?P<link>ev:[^)\s]{1,300})\)"
)
"""A markdown link to evidence inside an explanation; its text may hold brackets in pairs, `bind([::]:80)`."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed link."""

    kind: Kind
    id: str
    offset: int | None = None
    length: int | None = None
    line: int | None = None
    hash: str | None = None

    def __str__(self) -> str:
        """Return the link's text form."""
        span = f"+{self.offset}:{self.length}" if self.offset is not None else ""
        line = f"#L{self.line}" if self.line is not None else ""
        digest = f"~{self.hash}" if self.hash else ""
        return f"ev:{self.kind}/{self.id}{span}{line}{digest}"


class Resolved(Record):
    """What a link points to. `text` is raw: pass it through `triage_tui.text` before showing it."""

    link: Link
    exists: bool
    hash_ok: bool
    title: str
    text: str
    left_out: str = ""
    """Why an export left it out on purpose; then it does not exist here, and cannot be checked."""

    @property
    def holds(self) -> bool:
        """Whether it is there and is what the link was made for."""
        return self.exists and self.hash_ok

    @property
    def stands(self) -> bool:
        """Whether it holds, or was left out on purpose: that is no invention."""
        return self.holds or bool(self.left_out)


def parse_link(text: str) -> Link:
    """Parse the text form of a link.

    Raises:
        TriageError: it is no evidence link.
    """
    match = _LINK.match(text)
    if match is None or match["kind"] not in get_args(Kind):
        raise TriageError(f"{text[:80]!r} is no evidence link (ev:<kind>/<id>)")
    number = {name: int(match[name]) if match[name] else None for name in ("off", "len", "line")}
    return Link(
        kind=match["kind"],  # type: ignore[arg-type]
        id=match["id"],
        offset=number["off"],
        length=number["len"],
        line=number["line"],
        hash=match["hash"],
    )


def links_in(text: str) -> list[tuple[str, str]]:
    """Return the (shown text, link) pairs in an explanation."""
    return [(match["text"], match["link"]) for match in IN_TEXT.finditer(text)]


def make_link(
    run: Run,
    kind: Kind,
    id: object,
    *,
    offset: int | None = None,
    length: int | None = None,
    line: int | None = None,
) -> str:
    """Return a link with the hash of what it points to now.

    Raises:
        TriageError: there is no such evidence in `run`.
    """
    link = Link(kind=kind, id=str(id), offset=offset, length=length, line=line)
    found = _look_up(run, link)
    if found is None:
        raise TriageError(f"run {run.run_id} has no {kind} {id} to cite")
    return str(msgspec.structs.replace(link, hash=digest(found[1])))


def resolve(run: Run, link: Link | str) -> Resolved:
    """Find what `link` points to in `run` and check its hash. Never raises for a bad link."""
    if isinstance(link, str):
        try:
            link = parse_link(link)
        except TriageError as error:
            nothing = Link(kind="log", id="?")
            return Resolved(link=nothing, exists=False, hash_ok=False, title="no link", text=str(error))
    found = _look_up(run, link)
    if found is None:
        why = _left_out(run, link)
        return Resolved(
            link=link,
            exists=False,
            hash_ok=False,
            title=f"{link.kind} {link.id}",
            text=f"left out of this bundle ({why})" if why else "not in this run",
            left_out=why,
        )
    title, text = found
    return Resolved(link=link, exists=True, hash_ok=link.hash in (None, digest(text)), title=title, text=text)


def describe_syscall(call: Syscall) -> str:
    """Return one syscall in the way strace(1) writes it; raw text."""
    shown = ", ".join(call.arguments) if call.arguments else ", ".join(f"0x{arg:x}" for arg in call.args)
    if call.ret is None:
        result = " = ?" if UNLOGGED in (call.note or "") else ""
    elif call.errno:
        result = f" = -1 {call.errno}"
    else:
        result = f" = {call.ret}" if abs(call.ret) < 0x10000 else f" = 0x{call.ret & (1 << 64) - 1:x}"
    # Without the log the arguments are numbers, and the path stands nowhere else.
    path = f'"{call.path}"' if call.path is not None and not call.arguments else None
    extra = "".join(
        f"  [{part}]" for part in (path, call.peer, call.note, call.rule and f"rule {call.rule}") if part
    )
    return f"{call.name}({shown}){result}{extra}"


def describe_frame(frame: Frame) -> str:
    """Return one frame as text: address, module and function."""
    where = frame.module_name or "(unknown)"
    name = frame.func_name or "(unknown)"
    plus = f"+0x{frame.func_offset:x}" if frame.func_offset else ""
    return f"#{frame.idx:02d} 0x{frame.addr:x}  {where} :: {name}{plus}"


def describe_register(register: Register) -> str:
    """Return one register as `name = value`."""
    value = register.value
    return f"{register.name} = {value if isinstance(value, str) else f'0x{value:0{register.size * 2}x}'}"


def digest(text: str) -> str:
    """Return the hash of a canonical text, as links carry it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _line_of(text: str, line: int) -> str | None:
    lines = text.split("\n")
    return lines[line - 1] if 0 < line <= len(lines) else None


def _look_up(run: Run, link: Link) -> tuple[str, str] | None:
    """Return (title, canonical text) of what a link points to."""
    try:
        return _LOOK_UP[link.kind](run, link)
    except TriageError:
        return None


def _left_out(run: Run, link: Link) -> str:
    """Return why the file that a link needs was left out of the run by an export, "" when it was not.

    Only of what the record itself names: a link that somebody made up is none that was left out.
    """
    if link.kind == "log":
        return run.left_out.get(f"logs/{link.id}", "")
    if link.kind == "code":
        files = [one.file for one in run.snapshot.backtrace.pseudocode_index if one.frame == _number(link.id)]
        return next((why for name in files if (why := run.left_out.get(name))), "")
    if link.kind == "syscall":
        return run.left_out.get("trace.jsonl", "")
    if link.kind != "mem":
        return ""
    place = _ADDRESS.match(link.id)
    if place is None:
        entry = run.memory_object(link.id)
        return _blob_left_out(run, entry.blob) if entry is not None else ""
    first = int(place[2], 16) + (link.offset or 0)
    last = first + (link.length or 1) - 1
    for region in run.snapshot.memory_regions:
        if region.start <= first <= last < region.end:
            return run.left_out.get(region.file, "")
    blobs = [entry.blob for entry in run.snapshot.memory if entry.blob is not None]
    inside = (blob for blob in blobs if blob.addr <= first <= last < blob.addr + blob.size)
    return next((why for blob in inside if (why := _blob_left_out(run, blob))), "")


def _blob_left_out(run: Run, blob: Blob | None) -> str:
    if blob is None:
        return ""
    if (why := run.left_out.get(blob.file)) is not None:
        return why
    # Bundles of older versions do not say what they left out; memory is all or nothing then.
    return "" if (run.dir / "memory").exists() else "it has no memory"


def _syscall(run: Run, link: Link) -> tuple[str, str] | None:
    seq = _number(link.id)
    call = run.syscall(seq) if seq is not None else None
    return (f"syscall {seq}", describe_syscall(call)) if call else None


def _register(run: Run, link: Link) -> tuple[str, str] | None:
    register = next((entry for entry in run.snapshot.regs if entry.name == link.id), None)
    return (f"register {link.id}", describe_register(register)) if register else None


def _frame(run: Run, link: Link) -> tuple[str, str] | None:
    frame = next((entry for entry in run.snapshot.backtrace.frames if entry.idx == _number(link.id)), None)
    return (f"frame {link.id}", describe_frame(frame)) if frame else None


def _code(run: Run, link: Link) -> tuple[str, str] | None:
    """Return the code of a frame: of its sources the one that is meant by the hash, else the best."""
    found: list[tuple[str, str]] = []
    for entry in run.snapshot.backtrace.pseudocode_index:
        if entry.frame != _number(link.id):
            continue
        text = run.text_file(entry.file)
        if link.line is None:
            found.append((f"code of frame {link.id}", text))
        elif (line := _line_of(text, link.line)) is not None:
            found.append((f"code of frame {link.id}, line {link.line}", line))
    # Sources that are added later come first in the index, and must not make older evidence untrue.
    return next((one for one in found if digest(one[1]) == link.hash), found[0] if found else None)


_ADDRESS = re.compile(r"(?:(\d{1,9})@)?0x([0-9a-f]{1,16})\Z")


def parse_address(text: str) -> tuple[int | None, int] | None:
    """Return process (None: the one that is looked at) and address of the id of a link to kept memory."""
    place = _ADDRESS.match(text)
    return (int(place[1]) if place[1] else None, int(place[2], 16)) if place is not None else None


def _memory(run: Run, link: Link) -> tuple[str, str] | None:
    place = _ADDRESS.match(link.id)
    if place is not None and link.length is not None and link.length <= MAX_READ:
        start = int(place[2], 16) + (link.offset or 0)
        data = run.read_memory(start, link.length, int(place[1]) if place[1] else None)
        return f"memory at {start:#x}", data.hex(" ")
    data = run.memory_bytes(link.id)
    if link.offset is not None and link.length is not None:
        if link.offset + link.length > len(data):
            return None
        data = data[link.offset : link.offset + link.length]
    return f"memory {link.id}", data.hex(" ")


def _mapping(run: Run, link: Link) -> tuple[str, str] | None:
    index = _number(link.id)
    if index is None or index >= len(run.snapshot.maps):
        return None
    mapping = run.snapshot.maps[index]
    return (
        f"mapping {index}",
        f"{mapping.start:x}-{mapping.end:x} {mapping.perms} {mapping.path or mapping.name}",
    )


def _descriptor(run: Run, link: Link) -> tuple[str, str] | None:
    found = next((entry for entry in run.snapshot.fds if entry.fd == _number(link.id)), None)
    return (f"descriptor {link.id}", f"{found.fd} -> {found.target}") if found else None


def _log(run: Run, link: Link) -> tuple[str, str] | None:
    text = run.text_file(f"logs/{link.id}")
    if link.line is None:
        return f"log {link.id}", text
    line = _line_of(text, link.line)
    return None if line is None else (f"log {link.id}, line {link.line}", line)


def _rule(run: Run, link: Link) -> tuple[str, str] | None:
    hit = next((entry for entry in run.snapshot.rule_hits if entry.rule == link.id), None)
    return (f"rule {link.id}", f"{hit.rule}: {number_of(hit.hits, 'hit')} on {hit.syscall}") if hit else None


def _probe(run: Run, link: Link) -> tuple[str, str] | None:
    index = _number(link.id)
    if index is None or index >= len(run.snapshot.probes):
        return None
    probe = run.snapshot.probes[index]
    reply = f"\n{probe.reply}" if probe.reply else ""
    return f"probe {index}", f"{probe.target}: {probe.outcome}, {probe.detail}{reply}"


def _event(run: Run, link: Link) -> tuple[str, str] | None:
    found = next((event for event in run.events if event.event_id == _number(link.id)), None)
    return (f"event {link.id}", encode_line(found).decode()) if found is not None else None


_LOOK_UP = {
    "syscall": _syscall,
    "reg": _register,
    "frame": _frame,
    "code": _code,
    "mem": _memory,
    "map": _mapping,
    "fd": _descriptor,
    "log": _log,
    "rule": _rule,
    "probe": _probe,
    "event": _event,
}
