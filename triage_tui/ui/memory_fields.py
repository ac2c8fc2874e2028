"""What the bytes of a recorded object mean: the fields of a structure, or the pointers and strings in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from triage_tui.errors import TriageError
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.telescope import Chain, string_in
from triage_tui.text import safe_line
from triage_tui.ui.pointers import Pointers, chain_parts
from triage_tui.ui.rows import Part, Row, clip, fit, short

if TYPE_CHECKING:
    from triage_tui.guest.arch.structures import Structure
    from triage_tui.ui.run_view import MemoryText, RunView

MAX_FIELDS, MAX_ALL_FIELDS = 256, 4096
"""Fields, or recognised words, that are shown of one object, and of all."""
MAX_WORD_BYTES = 4096
"""Bytes that are looked through for pointers and strings."""
MAX_SEARCHED, MAX_ALL_SEARCHED = 16 << 10, 256 << 10
"""Bytes of one object, and of all, in which secrets are looked for."""
_TEXT = re.compile(rb"[\x20-\x7e]{6}")
LEAST_TEXT = 6
"""Characters of a string among bytes of which nothing is known."""

_LATER = ("window", "asked")
"""Tags of objects that were read after the stop."""
_CALL = re.compile(r"\(syscall (\d{1,12})\)\Z")
_ARGUMENT = re.compile(r"_arg(\d)\Z")
_LINKABLE = re.compile(r"[^#+~\s()\[\]]+\Z")


class Decoded(NamedTuple):
    """One field or word: `size` bytes at `offset` of the object. Text is raw."""

    name: str
    offset: int
    size: int
    text: str
    role: str = ""
    chain: Chain | None = None


class Meaning(NamedTuple):
    """What is known of an object."""

    title: str = ""
    fields: Sequence[Decoded] = ()


def meaning_of(view: RunView, item: MemoryText, pointers: Pointers) -> Meaning:
    """Return what the bytes of a recorded object mean."""
    if not item.data:
        return Meaning()
    found = _structure(view, item.entry)
    if found is not None:
        from triage_tui.guest.arch import by_name
        from triage_tui.guest.arch.structures import fields_of, title_of

        try:
            arch = by_name(view.snapshot.target.arch)
        except TriageError:
            return Meaning()
        decoded = [
            Decoded(one.name, one.offset, one.size, one.text, "", _followed(pointers, one.pointer))
            for one in fields_of(arch, found, item.data)[:MAX_FIELDS]
        ]
        return Meaning(title_of(found, arch, item.data), decoded)
    if item.entry.string is not None and item.entry.tag == "string":
        return Meaning()
    if (contents := _contents(view, item)) is not None:
        return contents
    words = _words(item.data[:MAX_WORD_BYTES], pointers)
    return Meaning("pointers and strings in it", words) if words else Meaning()


def _contents(view: RunView, item: MemoryText) -> Meaning | None:
    """Return what was recognised when the object was recorded; of what was read later, what it is now."""
    entry = item.entry
    if entry.fields:
        fields = [Decoded(one.name, one.offset, one.size, one.text) for one in entry.fields[:MAX_FIELDS]]
        return Meaning(entry.kind or "what it holds", fields)
    if entry.tag not in _LATER:
        return None
    from triage_tui.guest.arch import by_name
    from triage_tui.guest.arch.contents import recognise

    try:
        found = recognise(by_name(view.snapshot.target.arch), item.data)
    except TriageError:
        return None
    if found is None:
        return None
    fields = [Decoded(one.name, one.offset, one.size, one.text) for one in found.fields[:MAX_FIELDS]]
    return Meaning(found.kind, fields)


def _followed(pointers: Pointers, value: int | None) -> Chain | None:
    return pointers.follow(value) if value is not None else None


def _structure(view: RunView, entry: MemoryObject) -> Structure | None:
    """Return the structure that an object is: an argument of a call that the record has."""
    from triage_tui.guest.arch import by_name, layouts
    from triage_tui.guest.arch.structures import Structure, structure_of

    if entry.tag.removeprefix("struct ") in layouts.NAMES and entry.tag.startswith("struct "):
        return Structure(entry.tag.removeprefix("struct "))
    call_match, argument = _CALL.search(entry.purpose), _ARGUMENT.search(entry.id)
    call = view.run.syscall(int(call_match[1])) if call_match else None
    if call is None or argument is None:
        return None
    index = int(argument[1])
    if index >= len(call.args) or call.args[index] != entry.addr:
        return None
    try:
        arch = by_name(call.arch or view.snapshot.target.arch)
    except TriageError:
        return None
    return structure_of(arch, call.name, call.args, index, call.request)


def _words(data: bytes, pointers: Pointers) -> list[Decoded]:
    """Return the words that are addresses of something mapped, and the strings, of unknown bytes."""
    machine = pointers.machine
    if machine is None:
        return []
    found: list[Decoded] = []
    at = 0
    while at + machine.word <= len(data) and len(found) < MAX_FIELDS:
        value = int.from_bytes(data[at : at + machine.word], machine.endian)
        chain = pointers.follow(value)
        if chain is not None:
            found.append(Decoded("", at, machine.word, f"{value:#x}", "number", chain))
        elif (text := string_in(data[at : at + 400], LEAST_TEXT)) is not None and text[1] >= LEAST_TEXT:
            found.append(Decoded("", at, text[1], f'"{text[0]}"{"…" if text[2] else ""}', "string"))
            at += text[1] // machine.word * machine.word
        at += machine.word
    return found


class Explanation:
    """What an object's bytes mean, as rows: a title, then one for each field; each made when it is drawn."""

    def __init__(
        self, entry: MemoryObject, meaning: Meaning, pointers: Pointers, *, secret: bool = False
    ) -> None:
        self._entry, self._meaning, self._pointers = entry, meaning, pointers
        self.secret = secret
        """The object holds what looks like a secret."""
        self._names = min(26, max((len(one.name) for one in meaning.fields), default=0))

    def __len__(self) -> int:
        return len(self._meaning.fields) + 1 if self._meaning.fields else 0

    @property
    def fields(self) -> dict[int, Decoded]:
        """The fields of the structure, by their addresses."""
        return {self._entry.addr + one.offset: one for one in self._meaning.fields if one.name}

    def row(self, index: int, width: int) -> Row:
        """Return the title (0) or a field: offset, name, value, and where an address leads."""
        if index == 0:
            title = clip(short(self._meaning.title, 80), max(8, width - 4))
            return Row((("   ", ""), (title, "heading")), (self._entry.id, 0))
        return _field_row(self._entry, self._meaning.fields[index - 1], self._names, self._pointers, width)


def explanations_of(view: RunView) -> list[Explanation]:
    """Return what the bytes of each object of a run mean, their pointers followed through kept memory too.

    With many objects that takes a while.
    """
    owner = next((one for one in view.snapshot.processes if one.looked_at), None)
    pointers = Pointers(view, owner, view.snapshot.maps)
    pointers.with_regions()
    found: list[Explanation] = []
    left = MAX_ALL_FIELDS
    redaction = Redaction.of(view.run)
    looked_at = 0
    for item in view.memory:
        meaning = meaning_of(view, item, pointers) if left > 0 else Meaning()
        left -= len(meaning.fields)
        piece = item.data[: max(0, min(MAX_SEARCHED, MAX_ALL_SEARCHED - looked_at))]
        looked_at += len(piece)
        secret = _TEXT.search(piece) is not None and redaction.found_in_bytes(piece)
        found.append(Explanation(item.entry, meaning, pointers, secret=secret))
    return found


def _field_row(entry: MemoryObject, one: Decoded, names: int, pointers: Pointers, width: int) -> Row:
    place = f"+{one.offset:#05x}"
    name = fit(short(one.name, 40), names) + " " if names else ""
    parts: list[Part] = [("   ", ""), (place, "address"), (" ", ""), (name, "register")]
    used = sum(len(text) for text, _ in parts)
    text = clip(safe_line(one.text, 200), max(6, width - used - 1))
    parts.append((text, one.role))
    links: list[tuple[int, int, str]] = []
    if _LINKABLE.match(entry.id):
        links.append((3, 3 + len(place), f"ev:mem/{entry.id}+{one.offset}:{max(1, one.size)}"))
    used = sum(cell_len(part) for part, _ in parts)
    if one.chain is not None and width - used > 10:
        links.append((used - cell_len(text), used, pointers.link(one.chain.hops[0])))
        led = chain_parts(pointers, one.chain, width - used - 3)
        parts += [("  ", ""), *led.parts]
        links += [(used + 2 + first, used + 2 + end, link) for first, end, link in led.links]
    return Row(tuple(parts), (entry.id, one.offset), links=tuple(links))
