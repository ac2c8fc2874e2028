"""Read SFEmu's `snapshot.json`, whatever became of it, into one form.

Its encoder writes keys in any order, absent for nil, `[]` for an empty table, and every byte of a text that
is no printable ASCII as \\u00XX (Latin-1). There is no version in it. The file may come from anywhere: what
has another type than it should is left out and named, numbers are bounded, and nothing that it names is
opened here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.runs.foreign import is_being_written
from triage_tui.runs.form import MAX_SNAPSHOT_BYTES, SNAPSHOT_FILE
from triage_tui.text import safe_line

MAX_CALLS = 8192
"""SFEmu keeps up to 4096 when it is told to."""
MAX_FRAMES = 512
MAX_OBJECTS = 4096
MAX_REGISTERS = 1024
MAX_NAME = 256
MAX_PATH = 4096
MAX_STRING = 1 << 16
_MAX_SEQ = 1 << 53


@dataclass(frozen=True)
class Call:
    """One call as Lua saw it: arguments are signed, as wide as the target's words."""

    seq: int
    name: str
    """"" where SFEmu had none for the number."""
    num: int
    args: tuple[int, ...]
    ret: int | None = None
    intercepted: bool = False


@dataclass(frozen=True)
class Reg:
    """One register; a value wider than 8 bytes is "hex:...", and None where it could not be read."""

    num: int
    name: str
    feature: str
    size: int
    rc: int
    value: int | str | None


@dataclass(frozen=True)
class Return:
    """One return address of the shadow stack; `idx` counts from 1, innermost first."""

    idx: int
    addr: int
    module_name: str | None = None
    module_real_path: str | None = None
    func_name: str | None = None
    prototype: str | None = None
    file: str = ""
    """Base name of its pseudocode below `pseudocode/`, "" without one."""
    truncated: bool = False


@dataclass(frozen=True)
class MemoryPiece:
    """What an argument or the stack pointer pointed to."""

    tag: str
    """"trigger_arg1_0x54a10": arguments count from 1."""
    source: str
    addr: int
    string: bytes | None = None
    string_err: str = ""
    file: str = ""
    """Base name of its bytes below `memory/`, "" without any."""
    size: int = 0
    fnv1a32: str = ""
    blob_err: str = ""


@dataclass
class SfemuSnapshot:
    """A stop as SFEmu recorded it."""

    run_id: str = ""
    reason: str = ""
    created_at: str = ""
    rules_dir: str = ""
    trigger: Call = field(default_factory=lambda: Call(0, "", -1, ()))
    ts_ns: int = 0
    """The moment by the clock of the day, in nanoseconds since 1970; 0: not recorded."""
    regs: list[Reg] = field(default_factory=list)
    raw: list[int] = field(default_factory=list)
    """All return addresses, also those behind the frames that were looked up."""
    frames: list[Return] = field(default_factory=list)
    memory: list[MemoryPiece] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    """Oldest first; the last one is the trigger, unless the program was idle."""
    left_out: list[str] = field(default_factory=list)
    """Names of fields that have another type than they should, or are absent though they are always there."""


def bytes_of(text: str) -> bytes:
    """Return the bytes that a text of the snapshot stands for: Latin-1, as its encoder escapes them."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        # Written by another encoder.
        return text.encode("utf-8", "surrogatepass")


def text_of(text: str) -> str:
    """Return the same as a record of ours keeps text: UTF-8, anything else as backslash escapes."""
    return bytes_of(text).decode("utf-8", "backslashreplace")


def read_snapshot(run_dir: Path) -> SfemuSnapshot:
    """Read the snapshot in `run_dir`.

    Raises:
        TriageError: there is none, or it is no JSON object.
    """
    raw = read_bounded(run_dir / SNAPSHOT_FILE, MAX_SNAPSHOT_BYTES, whole=True)
    try:
        data: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        if is_being_written(run_dir / SNAPSHOT_FILE, raw):
            shown = safe_line(run_dir.name)
            raise TriageError(
                f"SFEmu is at writing {SNAPSHOT_FILE} of {shown}: look again in a moment"
            ) from None
        why = safe_line(str(error), 120)
        raise TriageError(f"{SNAPSHOT_FILE} of {safe_line(run_dir.name)} is not valid JSON ({why})") from None
    if not isinstance(data, dict):
        raise TriageError(f"{SNAPSHOT_FILE} of {safe_line(run_dir.name)} holds no object, so it is no run")
    return _Reader(data).read()


class _Reader:
    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data
        self._out = SfemuSnapshot()

    def read(self) -> SfemuSnapshot:
        data, out = self._data, self._out
        out.run_id = _text(data.get("run_id"), MAX_NAME)
        out.reason = _text(data.get("reason"), MAX_NAME)
        out.created_at = _text(data.get("created_at"), MAX_NAME)
        out.rules_dir = _text(data.get("rules_dir"), MAX_PATH)
        for name in ("run_id", "reason", "created_at", "rules_dir"):
            if not isinstance(data.get(name), str):
                out.left_out.append(name)
        trigger = self._object("trigger")
        out.trigger = Call(
            seq=_number(trigger.get("seq"), 0, _MAX_SEQ) or 0,
            name=_text(trigger.get("syscall_name"), MAX_NAME),
            num=_word(trigger.get("syscall_num"), -1),
            args=_arguments(trigger.get("args")),
            ret=_number(trigger.get("ret"), -(1 << 63), (1 << 64) - 1),
            intercepted=trigger.get("intercepted") is True,
        )
        seconds = _number(trigger.get("ts_sec"), 1, 1 << 33)
        if seconds is not None:
            out.ts_ns = seconds * 1_000_000_000 + (_number(trigger.get("ts_nsec"), 0, 999_999_999) or 0)
        out.regs = self._each("regs", _register, MAX_REGISTERS)
        self._backtrace()
        out.memory = self._each("memory", _piece, MAX_OBJECTS)
        out.calls = self._each("recent_syscalls", _call, MAX_CALLS)
        return out

    def _object(self, name: str) -> dict[str, Any]:
        found = self._data.get(name)
        if isinstance(found, dict):
            return found
        if found != []:
            self._out.left_out.append(name)
        return {}

    def _each(self, name: str, read: Any, limit: int, data: dict[str, Any] | None = None) -> list[Any]:
        entries = (self._data if data is None else data).get(name)
        if not isinstance(entries, list):
            self._out.left_out.append(name)
            return []
        found = [one for entry in entries[:limit] if isinstance(entry, dict) and (one := read(entry))]
        if lost := len(entries) - len(found):
            self._out.left_out.append(f"{lost} of {name}")
        return found

    def _backtrace(self) -> None:
        found = self._object("backtrace")
        if not found:
            return
        raw = found.get("raw")
        for text in raw[:MAX_FRAMES] if isinstance(raw, list) else []:
            if (address := _hexadecimal(text)) is not None:
                self._out.raw.append(address)
        self._out.frames = self._each("frames", _return, MAX_FRAMES, found)


def _text(value: object, limit: int) -> str:
    return text_of(value[:limit]) if isinstance(value, str) else ""


def _optional(value: object, limit: int) -> str | None:
    return _text(value, limit) or None


def _number(value: object, least: int, most: int) -> int | None:
    """Return an integer in these bounds; Lua writes some as `5.0`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        return None
    return value


def _word(value: object, otherwise: int = 0) -> int:
    found = _number(value, -(1 << 63), (1 << 64) - 1)
    return otherwise if found is None else found


def _arguments(value: object) -> tuple[int, ...]:
    """Return the arguments as far as they are numbers: what one that is none was is not made up."""
    found: list[int] = []
    for one in value[:8] if isinstance(value, list) else ():
        word = _number(one, -(1 << 63), (1 << 64) - 1)
        if word is None:
            break
        found.append(word)
    return tuple(found)


def _hexadecimal(text: object) -> int | None:
    if not isinstance(text, str) or not text.startswith("0x") or len(text) > 18:
        return None
    try:
        return int(text, 16)
    except ValueError:
        return None


def _call(entry: dict[str, Any]) -> Call | None:
    seq = _number(entry.get("seq"), 0, _MAX_SEQ)
    if seq is None:
        return None
    return Call(
        seq=seq,
        name=_text(entry.get("name"), MAX_NAME),
        num=_word(entry.get("num"), -1),
        args=_arguments(entry.get("args")),
        ret=_number(entry.get("ret"), -(1 << 63), (1 << 64) - 1),
        intercepted=entry.get("intercepted") is True,
    )


def _register(entry: dict[str, Any]) -> Reg | None:
    name = _text(entry.get("name"), MAX_NAME)
    if not name:
        return None
    value = entry.get("value")
    return Reg(
        num=_number(entry.get("num"), 0, 1 << 31) or 0,
        name=name,
        feature=_text(entry.get("feature"), MAX_NAME),
        size=_number(entry.get("size"), 0, 1 << 16) or 0,
        rc=_number(entry.get("rc"), -(1 << 31), 1 << 31) or 0,
        value=_text(value, MAX_NAME) if isinstance(value, str) else _number(value, -(1 << 63), (1 << 64) - 1),
    )


def _return(entry: dict[str, Any]) -> Return | None:
    address = _number(entry.get("addr"), -(1 << 63), (1 << 64) - 1)
    if address is None:
        address = _hexadecimal(entry.get("addr_hex"))
    idx = _number(entry.get("idx"), 1, 1 << 20)
    if address is None or idx is None:
        return None
    return Return(
        idx=idx,
        addr=address & ((1 << 64) - 1),
        module_name=_optional(entry.get("module_name"), MAX_NAME),
        module_real_path=_optional(entry.get("module_real_path"), MAX_PATH),
        func_name=_optional(entry.get("func_name"), MAX_NAME),
        prototype=_optional(entry.get("prototype"), MAX_PATH),
        file=_base(entry.get("pseudocode_path")),
        truncated=entry.get("pseudocode_truncated") is True,
    )


def _base(path: object) -> str:
    """Return the last part of a path of the machine that recorded: what it names lies below the run here."""
    return _text(path, MAX_PATH).replace("\0", "").rpartition("/")[2]


def _piece(entry: dict[str, Any]) -> MemoryPiece | None:
    address = _number(entry.get("addr"), 0, (1 << 64) - 1)
    if address is None:
        return None
    string = entry.get("string")
    found = entry.get("blob")
    blob: dict[str, Any] = found if isinstance(found, dict) else {}
    return MemoryPiece(
        tag=_text(entry.get("tag"), MAX_NAME),
        source=_text(entry.get("source"), MAX_NAME),
        addr=address,
        string=bytes_of(string[:MAX_STRING]) if isinstance(string, str) else None,
        string_err=_text(entry.get("string_err"), MAX_NAME),
        file=_base(blob.get("file")),
        size=_number(blob.get("size"), 0, 1 << 30) or 0,
        fnv1a32=_text(blob.get("fnv1a32"), 16),
        blob_err=_text(entry.get("blob_err"), MAX_NAME),
    )
