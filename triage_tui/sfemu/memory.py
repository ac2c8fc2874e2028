"""The pieces of memory that SFEmu kept of a stop, as memory objects of ours: what they are and hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.arch.contents import recognise
from triage_tui.guest.arch.structures import FieldText, fields_of, structure_of, structure_size, title_of
from triage_tui.guest.state.pointers import pointer_arguments
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.memory_model import Blob, MemoryField, MemoryObject
from triage_tui.runs.model import Syscall
from triage_tui.runs.writer import fnv1a32
from triage_tui.sfemu.calls import TAG
from triage_tui.sfemu.snapshot import MemoryPiece
from triage_tui.text import safe_line, safe_name

MAX_PIECE = 1 << 20
"""Bytes of one piece: SFEmu's own limit."""
_MAX_FIELDS = 64
_HOW = "read by SFEmu at the stop"


def bytes_of_pieces(run_dir: Path, pieces: list[MemoryPiece], problems: list[str]) -> dict[int, bytes]:
    """Return address -> bytes of the pieces whose files can be read; what cannot goes to `problems`."""
    found: dict[int, bytes] = {}
    for piece in pieces:
        if not piece.file or piece.addr in found:
            continue
        try:
            data = read_bounded(inside(run_dir, f"memory/{piece.file}"), MAX_PIECE, whole=True)
        except TriageError as error:
            problems.append(f"memory at 0x{piece.addr:x}: {error}")
            continue
        if piece.fnv1a32 and piece.fnv1a32 != f"0x{fnv1a32(data):08x}":
            name = safe_line(piece.file, 100)
            problems.append(f"memory at 0x{piece.addr:x}: memory/{name} was changed after it was recorded")
            continue
        found[piece.addr] = data
    return found


def objects_of(
    pieces: list[MemoryPiece],
    data: Mapping[int, bytes],
    arch: Arch | None,
    calls: Mapping[str, Syscall],
    keep: Callable[[str, int, bytes], Blob],
) -> list[MemoryObject]:
    """Return the pieces as memory objects; an address is described once.

    `calls` gives the call that "trigger" and "last_err" are about; `keep` writes bytes into the record.
    """
    done: dict[int, MemoryObject] = {}
    identities: set[str] = set()
    for number, piece in enumerate(pieces):
        if piece.addr in done:
            continue
        found = TAG.match(piece.tag)
        call = calls.get(piece.source)
        index = int(found[2]) - 1 if found else -1
        stack = found is None and "_reg_sp_" in piece.tag
        ident = f"{piece.source}_arg{index}" if found else "reg_sp" if stack else safe_name(piece.tag)
        if ident in identities:
            ident = f"m{number}"
        identities.add(ident)
        entry = MemoryObject(
            id=ident,
            tag="stack" if stack else "argument",
            source=safe_line(piece.source, 20) or "trigger",
            addr=piece.addr,
            addr_hex=f"0x{piece.addr:x}",
            purpose="innermost stack frame" if stack else "what an argument points to",
            how=f"{_HOW}: {safe_line(piece.tag, 80)}",
        )
        if piece.string is not None:
            entry.string = piece.string.decode("utf-8", "backslashreplace")
        if (known := data.get(piece.addr)) is not None:
            entry.blob = keep(piece.file, piece.addr, known)
        else:
            entry.blob_err = safe_line(piece.blob_err, 200) or "its file cannot be read"
        if found and call is not None:
            _describe(entry, call, index, arch, known)
        elif arch is not None and known:
            _recognise(entry, arch, known)
        done[piece.addr] = entry
    return list(done.values())


def _describe(entry: MemoryObject, call: Syscall, index: int, arch: Arch | None, data: bytes | None) -> None:
    """Say which argument of which call it is, and decode it."""
    entry.seq = call.seq
    entry.purpose = f"argument {index} of {call.name} (syscall {call.seq})"
    if arch is None:
        return
    argument = next(
        (one for one in pointer_arguments(arch, call.name, call.args) if one.index == index), None
    )
    if argument is None:
        entry.purpose += ", which is no pointer there"
        return
    entry.purpose = f"{argument.what} of {call.name} (syscall {call.seq})"
    entry.tag = "string" if argument.size is None else argument.what
    if argument.size is None or not data:
        return
    entry.string = None if argument.what != "data" else entry.string
    structure = structure_of(arch, call.name, call.args, index, call.request)
    if structure is None:
        _recognise(entry, arch, data[: argument.size])
        return
    data = data[: structure_size(arch, structure) * structure.elements]
    entry.kind = title_of(structure, arch, data)
    _note(entry, fields_of(arch, structure, data))


def _recognise(entry: MemoryObject, arch: Arch, data: bytes) -> None:
    found = recognise(arch, data)
    if found is not None:
        entry.kind = found.kind
        _note(entry, found.fields)


def _note(entry: MemoryObject, fields: list[FieldText]) -> None:
    entry.fields = [
        MemoryField(name=one.name, offset=one.offset, size=one.size, text=one.text)
        for one in fields[:_MAX_FIELDS]
    ]
