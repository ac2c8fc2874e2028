"""The code around an address as text: whole function, resolved names, the line in question marked."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable

import msgspec

from triage_tui.binary.constants import follow
from triage_tui.binary.disassembly import Instruction, supports
from triage_tui.binary.jumps import Jump, jump_at, table_register
from triage_tui.binary.literal_pools import literal_words, own_part, with_literals
from triage_tui.binary.modules import Location, ModuleMap
from triage_tui.binary.syscall_sites import syscall_number
from triage_tui.text import safe_line

MAX_LINES = 400
"""Instructions shown of one function."""
UNKNOWN_BEFORE = 256
"""Bytes looked at in front of the address when no symbol tells where the function starts."""
UNKNOWN_AFTER = 160
"""Bytes shown behind it at most in that case."""
_MAX_STRING = 60


class Listing(msgspec.Struct):
    """A disassembly as text."""

    lines: list[str] = msgspec.field(default_factory=list)
    marked: int | None = None
    """Index of the marked line in `lines`."""
    truncated: bool = False
    """True if the function goes on outside the lines."""
    refers: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """Addresses of data that the code names, each with the index of the line that does."""

    @property
    def text(self) -> str:
        """All lines, each ended."""
        return "".join(line + "\n" for line in self.lines)


_TEXT = re.compile(rb"[\x20-\x7e\t\n\r]*")


class CodeReader:
    """Disassembles a frozen guest.

    `read` returns the readable guest bytes at an address (fewer than asked for at a hole, never an error);
    `syscall_name` names a syscall number.
    """

    def __init__(
        self,
        arch: str,
        word: int,
        little_endian: bool,
        read: Callable[[int, int], bytes],
        modules: ModuleMap,
        syscall_name: Callable[[int], str | None] = lambda _number: None,
    ) -> None:
        self.arch = arch
        self._word = word
        self._little = little_endian
        self._read = read
        self._modules = modules
        self._syscall_name = syscall_name
        self._stubs: dict[tuple[int, int | None], str | None] = {}

    def read_word(self, addr: int) -> int | None:
        """Return the machine word at `addr`, or None."""
        data = self._read(addr, self._word)
        if len(data) < self._word:
            return None
        return int.from_bytes(data, "little" if self._little else "big")

    def name(self, addr: int) -> str | None:
        """Return "function", "function+0x10" or "import" for an address, or None."""
        location = self._modules.locate(addr & ~1 if self.arch.startswith("arm") else addr)
        if location is None or location.name is None:
            return None
        offset = location.offset
        return safe_line(f"{location.name}+0x{offset:x}" if offset else location.name, 120)

    def imported(self, addr: int) -> str | None:
        """Return the name of the imported function whose GOT word lies at `addr`, or None."""
        module = self._modules.module_at(addr)
        name = module.image.linkage.got.get(addr - module.bias) if module else None
        return safe_line(name, 120) if name else None

    def _called(self, insn: Instruction, thumb: bool) -> str | None:
        """Return the name of what a direct call or jump leads to, through a linkage stub too."""
        target = insn.target or 0
        location = self._modules.locate(target & ~1 if self.arch.startswith("arm") else target)
        if location is not None and location.stub is None and location.offset != 0:
            key = (target, insn.base)
            if key not in self._stubs:
                mode = thumb != (insn.mnemonic == "blx")
                self._stubs[key] = self._through(
                    jump_at(
                        self.arch, self._read, self.read_word, target, self._known(location, insn.base), mode
                    )
                )
            if self._stubs[key] is not None:
                return self._stubs[key]
            if self.arch == "ppc64le" and location.offset == 8:
                # The entry for callers within the module (ELFv2 ABI, 3.4.1).
                target -= 8
        return self.name(target)

    def _through(self, jump: Jump | None) -> str | None:
        """Return the name of where an indirect jump goes, by the word it comes from or by itself."""
        if jump is None:
            return None
        name = self.imported(jump.loaded_from)
        return name or (self.name(jump.goes_to) if jump.goes_to is not None else None)

    def _known(self, location: Location | None, base: int | None = None) -> dict[str, int]:
        """Return the registers whose values the module gives, or that have the value `base` at a stub."""
        if location is None:
            return {}
        linkage, bias = location.module.image.linkage, location.module.bias
        known = {} if linkage.gp is None else {"gp": linkage.gp + bias}
        if base is None and linkage.table is not None:
            base = linkage.table + bias
        register = table_register(self.arch)
        return known | ({register: base} if register and base is not None else {})

    def string(self, addr: int) -> str | None:
        """Return the text at `addr` in quotes if it looks like one, or None."""
        data = self._read(addr, 256)
        text = data[: data.find(0)] if 0 in data else data
        good = _TEXT.match(text)
        # A string that runs on beyond what was read is shown cut.
        if good is None or good.end() < 3 or good.end() < len(text):
            return None
        return '"' + safe_line(text, _MAX_STRING) + '"'

    def comment(self, insn: Instruction, thumb: bool = False) -> str:
        """Return what is known of the addresses in an instruction, or an empty text."""
        if insn.target is not None:
            name = self._called(insn, thumb)
            return f"<{name}>" if name else ""
        if insn.called is not None:
            got = insn.loaded_from
            name = (self.imported(got) if got is not None else None) or self.name(insn.called)
            return f"<{name}>" if name else f"0x{insn.called:x}"
        if insn.loaded_from is not None:
            name = self.imported(insn.loaded_from)
            if name:
                return f"[{name}]"
        if insn.refers is not None:
            name = self.imported(insn.refers) or self.name(insn.refers)
            return f"[{name}]" if name else ""
        if insn.constant is None or insn.constant < 0x1000:
            return ""
        value = insn.constant
        if self._modules.mapping(value) is None:
            return f"0x{value:x}" if insn.loaded_from is not None else ""
        found = self.imported(value) or self.string(value) or self.name(value)
        return f"0x{value:x} {found}" if found else f"0x{value:x}"

    def _is_data(self, addr: int) -> bool:
        """Tell whether an address is that of a mapped byte which is neither code nor a linkage word."""
        if addr < 0x1000 or self._modules.mapping(addr) is None or self.imported(addr) is not None:
            return False
        location = self._modules.locate(addr)
        symbol = location.symbol if location is not None else None
        return symbol is None or not symbol.is_function

    def _syscall(self, insns: list[Instruction], index: int) -> str:
        """Return the name of the syscall that an instruction makes, or nothing where its number varies."""
        number = syscall_number(self.arch, insns, index)
        if number is None:
            return ""
        return f"syscall {self._syscall_name(number) or number}"

    def listing(
        self,
        addr: int,
        *,
        thumb: bool = False,
        is_return: bool = False,
        start: int | None = None,
        end: int | None = None,
    ) -> Listing:
        """Disassemble the function that holds `addr`.

        Args:
            addr: a program counter, or a return address when `is_return` is set.
            thumb: the code is Thumb code.
            is_return: the line marked is then the one to which the call returns ("<-"), and the call is the
                instruction in front of it; a call that ends its function is marked itself. Otherwise it is
                the current one ("=>").
            start: where the function starts by other evidence; used where no symbol says it.
            end: where it ends, by the same evidence.
        """
        # Behind a call that does not return another function may begin.
        inside = addr - 1 if is_return else addr
        location = self._modules.locate(inside)
        if not supports(self.arch):
            return Listing([f"; {self.arch} code cannot be disassembled"])
        low, high, known = self._range(addr, location, thumb)
        if not known and start is not None and inside - 8 * MAX_LINES < start <= inside:
            low = start
            if end is not None and end > inside:
                high, known = min(end, addr + 8 * MAX_LINES), True
        if end is not None and inside < end < high:
            high = end
        code = self._read(low, high - low)
        if len(code) < 2 or low + len(code) <= inside:
            return Listing([f"; no readable memory at 0x{addr:x}"])
        values = {} if self.arch == "i386" else self._known(location)
        if self.arch.startswith("mips") and known:
            values["t9"] = low
        insns = follow(self.arch, code, low, self.read_word, thumb=thumb, known=values)
        if self.arch.startswith("arm"):
            insns = self._without_literals(insns, code, low, location, thumb)
        if not known:
            insns = _own_function(insns, inside, low == start)
        if end is None:
            # Hand-written code has symbols without a size, which then reach to the next symbol.
            insns = own_part(insns, inside)
        return self._render(insns, addr, self._header(addr, location, thumb, known), is_return, thumb)

    def _without_literals(
        self, insns: list[Instruction], code: bytes, low: int, location: Location | None, thumb: bool
    ) -> list[Instruction]:
        """Return ARM instructions with words of data for the literals between them."""
        high = low + len(code)
        marks: list[tuple[int, str]] = []
        if location is not None:
            module = location.module
            every = module.image.thumb_marks
            first = max(bisect.bisect_right(every, (low - module.bias, "~")) - 1, 0)
            last = bisect.bisect_left(every, (high - module.bias, ""))
            marks = [(at + module.bias, kind) for at, kind in every[first : last + 1]]
        words = literal_words(insns, marks, low, high)

        def decode(begin: int, end: int) -> list[Instruction]:
            return follow(self.arch, code[begin - low : end - low], begin, self.read_word, thumb=thumb)

        return with_literals(insns, words, low, code, little=self._little, decode=decode) if words else insns

    def _range(self, addr: int, location: Location | None, thumb: bool) -> tuple[int, int, bool]:
        if location is not None and location.symbol is not None and location.symbol.is_function:
            bias = location.module.bias
            start, end = location.symbol.start + bias, location.symbol.end + bias
            # Far away from the point nothing is shown: do not decode it.
            if self.arch not in ("x86_64", "i386", "s390x", "riscv64"):
                start = max(start, (addr - 8 * MAX_LINES) & ~3 if addr - start > 8 * MAX_LINES else start)
            return start, min(end, addr + 8 * MAX_LINES), True
        unit = 1 if self.arch in ("x86_64", "i386") else 2 if thumb else 4
        before = 0 if unit == 1 else UNKNOWN_BEFORE
        return max(addr - before, 0), addr + UNKNOWN_AFTER, False

    def _header(self, addr: int, location: Location | None, thumb: bool, known: bool) -> list[str]:
        mode = f"{self.arch} thumb" if thumb else self.arch
        if location is None:
            path = self._modules.path_at(addr)
            where = safe_line(path, 200) if path else "anonymous memory"
            return [f"; 0x{addr:x} in {where} ({mode})"]
        name, offset = location.name, location.offset
        if name is not None:
            # Where the function itself was looked for is the call in front of a return address.
            past = None if offset is None else offset + addr - location.module.bias - location.vaddr
            name = safe_line(f"{name}+0x{past:x}" if past else name, 120)
        what = f"{name} of {location.module.name}" if name else location.module.name
        lines = [
            f"; 0x{addr:x} in {safe_line(what, 200)}, file address 0x{addr - location.module.bias:x} ({mode})"
        ]
        if not known:
            lines.append("; no symbol here: the start of the function is a guess")
        return lines

    def _render(
        self, insns: list[Instruction], addr: int, header: list[str], is_return: bool, thumb: bool
    ) -> Listing:
        point = next((i for i, insn in enumerate(insns) if insn.address >= addr), len(insns) - 1)
        low = max(0, min(point - MAX_LINES // 2, len(insns) - MAX_LINES))
        shown = insns[low : low + MAX_LINES]
        listing = Listing(list(header), truncated=len(shown) < len(insns))
        # The call itself, where it is the last of the function (on MIPS with its delay slot).
        ends = is_return and len(shown) > 1 and shown[-1].address < addr
        last = shown[-2 if self.arch.startswith("mips") else -1].address if ends else None
        for index, insn in enumerate(shown, low):
            mark = "  "
            if insn.address in (addr, last):
                mark = "<-" if is_return and insn.address == addr else "=>"
                listing.marked = len(listing.lines)
            text = f"{insn.mnemonic:<8} {insn.operands}".rstrip()
            comment = self._syscall(insns, index) or self.comment(insn, thumb)
            refers = insn.constant if insn.constant is not None else insn.refers
            if refers is not None and self._is_data(refers):
                listing.refers.append((refers, len(listing.lines)))
            line = f"{mark} 0x{insn.address:08x}  {insn.data.hex():<8}  {text}"
            listing.lines.append(f"{line:<60} ; {comment}" if comment else line)
        return listing


def _allocates(insn: Instruction) -> bool:
    """Say whether the instruction looks like the start of a function's prologue."""
    text = f"{insn.mnemonic} {insn.operands}"
    if insn.mnemonic.startswith(("push", "stmdb", "str")) and "lr" in insn.operands.replace("lr, [r", ""):
        return insn.mnemonic.startswith(("push", "stmdb")) or "[sp, #-4]!" in insn.operands
    if text.startswith("addiu $sp, $sp, -"):
        return True
    return (insn.mnemonic == "stp" and "[sp, #-" in text) or text.startswith("sub sp, sp, #")


def _own_function(insns: list[Instruction], addr: int, starts_here: bool) -> list[Instruction]:
    """Cut the instructions to what most likely is the function around `addr`.

    It starts at the nearest prologue before the point (or where the first one stands, if that is known) and
    ends with the first return after the point that is followed by a prologue, or at the end of what was read.
    """
    point = next((i - 1 for i, insn in enumerate(insns) if insn.address > addr), len(insns) - 1)
    start = 0
    for i in range(0 if starts_here else point, -1, -1):
        if _allocates(insns[i]):
            start = i
            break
    end = len(insns)
    for i in range(max(0, point), len(insns) - 1):
        if insns[i].is_return and any(_allocates(insn) for insn in insns[i + 1 : i + 4]):
            # MIPS: the delay slot belongs to the return.
            slot = 1 if insns[i].mnemonic == "jr" else 0
            end = i + 1 + slot
            break
    return insns[start:end]
