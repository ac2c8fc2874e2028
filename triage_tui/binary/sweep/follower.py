"""What is noted while code is gone over, and what all instruction sets have in common."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Collection, Mapping
from typing import ClassVar

import msgspec

Handler = Callable[[int, int, str], None]
"""Takes address, bytes and operands of one instruction."""

_MAX_GAP = 256
"""Bytes between the end of a function and the next one that are looked at: literals and padding."""


class View(msgspec.Struct, frozen=True):
    """The file as the code sees it; addresses are the file's own."""

    word: Callable[[int], int | None]
    """Returns the machine word at an address as it is after relocation, or None."""
    read: Callable[[int, int], bytes]
    """Returns bytes at an address, fewer at the end of what is loaded."""
    low: int
    high: int
    """Bounds of what the file loads: other values are no addresses."""
    mask: int
    """Of a register."""
    little: bool = True
    """Whether data is little-endian."""
    table: int | None = None
    """MIPS: gp; ppc64le: r2; i386, PowerPC and ARM: the global offset table, where that is known."""
    table_registers: frozenset[str] = frozenset()
    """Registers that hold `table` all over the file, whatever seems to be put into them."""


class Notes(msgspec.Struct):
    """What was found, each with the address of the instruction."""

    calls: list[tuple[int, int, bool, int]] = msgspec.field(default_factory=list)
    """(site, target, Thumb, where it returns to; 0 for a jump) of direct calls."""
    jumps: list[tuple[int, int, bool]] = msgspec.field(default_factory=list)
    """The same of unconditional direct jumps: within the function, or to another in place of a call."""
    jumps_ahead: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(address behind, target) of those that lead to a higher address."""
    slot_calls: list[tuple[int, int, int]] = msgspec.field(default_factory=list)
    """(site, address of the word that the target comes from, where it returns to; 0 for a jump) of calls and
    jumps through a table."""
    indirect: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    """Sites of calls whose target is not known."""
    references: list[tuple[int, int] | None] = msgspec.field(default_factory=list)
    """(site, address that is made or loaded there); None where it was only a step to another."""
    loads: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(site, address of the word that is loaded)."""
    conditions: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    """Sites of conditional branches."""
    condition_targets: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    """Where each of them leads."""
    cases: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(site, where it may lead) of jumps by tables that were understood."""
    ways: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """(site, number of different places) of the same."""
    switches: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    """Sites of jumps that may go by a table which was not understood."""
    prologues: dict[int, bool] = msgspec.field(default_factory=dict)
    """Where code behind the end of a function looks like the beginning of another -> Thumb."""
    ends: array[int] = msgspec.field(default_factory=lambda: array("Q"))
    """Addresses behind instructions after which nothing goes on."""
    targets: set[int] = msgspec.field(default_factory=set)
    """Where branches lead: code there belongs to a function that is known already."""
    bases: dict[int, int] = msgspec.field(default_factory=dict)
    """Target of a call -> value then of the register with which a linkage stub finds its table."""
    literals: set[int] = msgspec.field(default_factory=set)
    """Words between the code."""
    instructions: int = 0


class Follower:
    """Follows register values through straight-line code. Each instruction set has its own."""

    clobbered: ClassVar[frozenset[str]] = frozenset()
    """Registers whose values do not survive a call."""

    anchors: ClassVar[frozenset[str]] = frozenset()
    """Registers that find the tables of the module in a whole function, each function with its own value."""
    callers: ClassVar[frozenset[str]] = frozenset()
    """Registers that jumps go through in place of calls, never by a table."""
    saved: ClassVar[frozenset[str]] = frozenset()
    """Registers that keep what functions put into them at their beginning."""

    def __init__(self, view: View, notes: Notes, *, thumb: bool = False) -> None:
        self.view = view
        self.notes = notes
        self.thumb = thumb
        self.values: dict[str, int] = {}
        self.slots: dict[str, int] = {}
        """Register -> address of the word that it was loaded from."""
        self.targets = notes.targets
        self._made: dict[str, int] = {}
        """Register -> its reference, by place in the notes."""
        self._ended = -1
        """The address behind an instruction after which nothing goes on."""
        self._called = -1
        """The address behind the last call: it may never return."""
        self.resume = 0
        """Where decoding goes on behind a table in the code; 0 where there was none."""
        self.handlers: dict[str, Handler] = self._handlers()

    def _handlers(self) -> dict[str, Handler]:
        """Return what is done at which mnemonic."""
        raise NotImplementedError

    def padding(self, data: bytes) -> int:
        """Return how many of the (up to four) bytes between functions are one unit of padding, 0 for none."""
        return 4 if data == bytes(4) else 0

    def begin(self) -> None:
        """Forget all registers: another function begins."""
        self.values.clear()
        self.slots.clear()
        self._made.clear()

    # --- registers -------------------------------------------------------------------------------------

    def value(self, name: str) -> int | None:
        """Return the value of a register, or None."""
        if name in self.view.table_registers:
            return self.view.table
        return self.values.get(name)

    def forget(self, name: str) -> None:
        """A register gets something that is not followed."""
        self.values.pop(name, None)
        self.slots.pop(name, None)
        self._made.pop(name, None)

    def step(self, name: str, value: int) -> None:
        """A register gets a value that is no address yet: a page, an upper half."""
        self.forget(name)
        self.values[name] = value & self.view.mask

    def make(self, address: int, name: str, value: int, *sources: str) -> None:
        """A register gets an address that was put together from `sources`."""
        value &= self.view.mask
        for source in sources:
            place = self._made.pop(source, None)
            if place is not None:
                self.notes.references[place] = None
        self.forget(name)
        self.values[name] = value
        if self.view.low <= value < self.view.high:
            self._made[name] = len(self.notes.references)
            self.notes.references.append((address, value))

    def load(self, address: int, name: str, slot: int) -> None:
        """A register gets the word at the address `slot`."""
        slot &= self.view.mask
        self.forget(name)
        if not self.view.low <= slot < self.view.high:
            return
        self.slots[name] = slot
        self.notes.loads.append((address, slot))
        value = self.view.word(slot)
        if value is not None:
            self.values[name] = value
            if self.view.low <= value < self.view.high:
                self._made[name] = len(self.notes.references)
                self.notes.references.append((address, value))

    def page(self, name: str) -> None:
        """What a register was given is only a step to an address."""
        self.slots.pop(name, None)
        place = self._made.pop(name, None)
        if place is not None:
            self.notes.references[place] = None

    def copy(self, name: str, source: str) -> None:
        """A register gets the value of another."""
        value, slot = self.value(source), self.slots.get(source)
        self.forget(name)
        if value is not None:
            self.values[name] = value
        if slot is not None:
            self.slots[name] = slot

    def copy_operands(self, _address: int, _size: int, operands: str) -> None:
        """An instruction with the operands `to, from` copies a register."""
        name, _, source = operands.partition(", ")
        self.copy(name, source)

    def load_operands(self, address: int, operands: str, place: re.Match[str] | None) -> None:
        """An instruction loads a word; `place` has its register, the offset and the base, where it is so."""
        start = self.values.get(place[3]) if place is not None else None
        if place is None or start is None:
            self.forget(operands.partition(",")[0])
        else:
            self.load(address, place[1], start + int(place[2], 0))

    def mention(self, address: int, value: int) -> None:
        """An instruction has an address as it is."""
        if self.view.low <= value < self.view.high:
            self.notes.references.append((address, value))

    # --- the way of control ----------------------------------------------------------------------------

    def call(self, address: int, end: int, target: int, *, thumb: bool | None = None) -> None:
        """A direct call; `end` is where it returns to."""
        self._called = end
        mode = self.thumb if thumb is None else thumb
        self.notes.calls.append((address, target & self.view.mask, mode, end))
        self.after_call()

    def call_register(self, address: int, end: int, name: str) -> None:
        """A call through a register."""
        self._called = end
        self._through(address, end, name, always=True)
        self.after_call()

    def jump_register(self, address: int, end: int, name: str) -> None:
        """A jump through a register: to another function, or by a table of the function's own."""
        if not self._through(address, end, name, always=False) and name not in self.callers:
            self.notes.switches.append(address)
        self.end(end)

    def _through(self, address: int, end: int, name: str, *, always: bool) -> bool:
        """Note where a register leads; return whether that is known."""
        slot = self.slots.get(name)
        value = self.value(name)
        place = self._made.pop(name, None)
        if place is not None:
            # It was taken only to go there.
            self.notes.references[place] = None
        if slot is not None:
            self.notes.slot_calls.append((address, slot, end if always else 0))
        elif value is not None:
            self.notes.calls.append((address, value, self.thumb, end if always else 0))
        elif always:
            self.notes.indirect.append(address)
        return slot is not None or value is not None

    def after_call(self) -> None:
        """Forget what a call may have changed."""
        if self.values or self.slots:
            for name in self.clobbered:
                self.forget(name)

    def jump(self, address: int, end: int, target: int) -> None:
        """An unconditional direct jump."""
        target &= self.view.mask
        self.notes.jumps.append((address, target, self.thumb))
        self.targets.add(target)
        if target > end:
            self.notes.jumps_ahead.append((end, target))
        self.end(end)

    def branch(self, address: int, target: int) -> None:
        """A conditional branch."""
        target &= self.view.mask
        self.notes.conditions.append(address)
        self.notes.condition_targets.append(target)
        self.targets.add(target)

    def lead(self, address: int, targets: Collection[int], ways: int = 0) -> None:
        """A jump by a table leads to one of `targets`, of which `ways` are different (0: all that are)."""
        if targets:
            self.notes.ways.append((address, ways or len(set(targets))))
        self.targets.update(targets)
        self.notes.cases += [(address, target) for target in targets]

    def end(self, end: int) -> None:
        """Nothing goes on at `end`, unless something jumps there."""
        self._ended = end
        self.notes.ends.append(end)
        # What finds the tables of the module stays good in the rest of the function, and so do most
        # functions that were put into a register to be called more than once.
        table = self.view.table
        values = {name: value for name, value in self.values.items() if value == table}
        slots = {name: slot for name, slot in self.slots.items() if name in self.saved}
        values |= {name: self.values[name] for name in slots if name in self.values}
        values |= {name: self.values[name] for name in self.anchors if name in self.values}
        self.begin()
        self.values.update(values)
        self.slots.update(slots)

    def prologue(self, address: int) -> None:
        """What functions begin with: another begins here if the one before has ended."""
        before = max(self._ended, self._called)
        gap = address - before
        if before < 0 or not 0 <= gap <= _MAX_GAP or address in self.targets:
            return
        if gap and not self._between(before, address):
            return
        self.notes.prologues[address] = self.thumb
        self._ended = self._called = -1
        self.begin()

    def _between(self, at: int, end: int) -> bool:
        """Say whether there are only literals and padding in a gap."""
        while at < end:
            if at & ~3 in self.notes.literals:
                at = (at & ~3) + 4
            elif size := self.padding(self.view.read(at, 4)):
                at += size
            else:
                return False
        return True


def number(text: str) -> int | None:
    """Return an immediate operand, None for a register."""
    digits = text.lstrip("#")
    if digits[:1] in "-0123456789" and digits:
        try:
            return int(digits, 0)
        except ValueError:
            return None
    return None


def named(handlers: Mapping[str, Handler], suffixes: tuple[str, ...]) -> dict[str, Handler]:
    """Return handlers under their names with each of `suffixes`."""
    return {name + suffix: handler for name, handler in handlers.items() for suffix in suffixes}
