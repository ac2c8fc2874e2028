"""What a program was started with: arguments, environment and auxiliary vector, on its first stack.

The layout is that of the System V ABI, "process initialization": argc, the argument pointers, 0, the
environment pointers, 0, pairs of the auxiliary vector, (0, 0). It is read as it stands now: the program may
have changed it since, as those do that set their own title.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Mapping

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.runs.process_model import AuxiliaryValue

MAX_STRINGS = 8192
"""Arguments, or environment variables, that are read."""
MAX_BYTES = 256 << 10
"""Bytes of all arguments, or of the whole environment, that are read."""
MAX_POINTERS = 1 << 20
"""Words of a start block that are gone through."""
_MAX_STRINGS_SIZE = 8 << 20
"""Bytes that all strings of a start block may fill: QEMU's stack has no more by default."""
_NEAR = 4096
"""Bytes below AT_RANDOM in which the vector is looked for."""

# <elf.h>
AUXILIARY = {
    2: "AT_EXECFD", 3: "AT_PHDR", 4: "AT_PHENT", 5: "AT_PHNUM", 6: "AT_PAGESZ", 7: "AT_BASE", 8: "AT_FLAGS",
    9: "AT_ENTRY", 11: "AT_UID", 12: "AT_EUID", 13: "AT_GID", 14: "AT_EGID", 15: "AT_PLATFORM",
    16: "AT_HWCAP", 17: "AT_CLKTCK", 19: "AT_DCACHEBSIZE", 20: "AT_ICACHEBSIZE", 21: "AT_UCACHEBSIZE",
    22: "AT_IGNOREPPC", 23: "AT_SECURE", 24: "AT_BASE_PLATFORM", 25: "AT_RANDOM", 26: "AT_HWCAP2",
    31: "AT_EXECFN", 32: "AT_SYSINFO", 33: "AT_SYSINFO_EHDR", 51: "AT_MINSIGSTKSZ",
}  # fmt: skip
_AT_PLATFORM, _AT_RANDOM, _AT_EXECFN = 15, 25, 31
_STRINGS = frozenset((_AT_PLATFORM, 24, _AT_EXECFN))

Reader = Callable[[int, int], bytes]
"""Returns up to so many bytes at a guest address; raises TriageError where nothing is readable."""


class InitialStack(msgspec.Struct):
    """What was found; strings are raw bytes."""

    argv: list[bytes] = msgspec.field(default_factory=list)
    env: list[bytes] = msgspec.field(default_factory=list)
    auxv: list[AuxiliaryValue] = msgspec.field(default_factory=list)
    program: bytes = b""
    """AT_EXECFN."""
    left_out: int = 0
    """Arguments and environment variables beyond the bounds, or unreadable."""


def read_initial_stack(read: Reader, arch: Arch, auxv: Mapping[int, int]) -> InitialStack:
    """Read the start block of a program whose auxiliary vector is `auxv`, in the vector's own order.

    Raises:
        TriageError: it is not there (any more).
    """
    words = _Words(read, arch)
    at = _find_vector(read, arch, auxv)
    # Backwards from the vector: 0, environment, 0, arguments, argc.
    end = words.back_to(at - 2 * arch.word, lambda value, _count: value == 0)
    begin = _find_count(words, end - arch.word, arch.word, auxv[_AT_RANDOM])
    strings = _Strings(read)
    result = InitialStack()
    arguments = words.between(begin + arch.word, end)
    environment = words.between(end + arch.word, at - arch.word)
    titled = _titled(read, arguments, [*environment, auxv.get(_AT_EXECFN, 0)])
    result.argv = strings.take(arguments) if titled is None else titled
    result.env = strings.take(environment)
    result.left_out = strings.left_out
    result.auxv = [_auxiliary(read, key, value) for key, value in auxv.items()]
    if _AT_EXECFN in auxv:
        result.program = _string(read, auxv[_AT_EXECFN], 4096) or b""
    return result


def _find_vector(read: Reader, arch: Arch, auxv: Mapping[int, int]) -> int:
    """Return the guest address of the auxiliary vector: QEMU puts it right below the bytes of AT_RANDOM."""
    layout = ("<" if arch.endian == "little" else ">") + f"{2 * len(auxv)}{'I' if arch.word == 4 else 'Q'}"
    random = auxv.get(_AT_RANDOM, 0)
    if random > _NEAR:
        # The program's own copies, if it has any, lie below.
        vector = struct.pack(layout, *(number for pair in auxv.items() for number in pair))
        data = read(random - _NEAR, _NEAR)
        found = data.rfind(vector)
        if found >= 0:
            # PowerPC's vector begins with the same entry twice.
            pair = vector[: 2 * arch.word]
            while found >= len(pair) and data[found - len(pair) : found] == pair:
                found -= len(pair)
            return random - _NEAR + found
    raise TriageError("the start block was not found on the program's stack")


def _find_count(words: _Words, last: int, size: int, lowest: int) -> int:
    """Return the address of argc; `last` is that of the last argument's pointer, strings are above `lowest`.

    A program may have put 0 in place of pointers; and start code may have used argc's place for something
    else, then it is the highest word that points to no string.

    Raises:
        TriageError: the block was overwritten.
    """

    def is_string(value: int) -> bool:
        return lowest < value < lowest + _MAX_STRINGS_SIZE

    with contextlib.suppress(TriageError):
        found = words.back_to(last, lambda value, _count: value != 0 and not is_string(value))
        if any(map(is_string, words.between(found + size, found + 2 * size))):
            return found
    return words.back_to(last, lambda value, count: value == count or not is_string(value))


def _titled(read: Reader, pointers: list[int], above: list[int]) -> list[bytes] | None:
    """Return the arguments as /proc/PID/cmdline shows them where a title was written over them, else None.

    See setproctitle(3bsd): the title fills the place of the strings, through the borders between them, and
    some who write one put 0 in place of the pointers. `above` are the pointers to what lay behind.
    """
    if not pointers or not pointers[0]:
        return None
    start = pointers[0]
    try:
        is_covered = any(read(at - 1, 1) != b"\0" for at in pointers if at > start)
    except TriageError:
        return None
    if all(pointers) and not is_covered:
        return None
    found: list[bytes] = []
    stop = min((at for at in above if at > max(pointers)), default=start + 1)
    while start < stop and len(found) < min(len(pointers), MAX_STRINGS):
        text = _string(read, start, MAX_BYTES)
        if text is None or (is_covered and not text):
            break
        found.append(text)
        start += len(text) + 1
        if is_covered and start > max(pointers):
            break
    while len(found) > 1 and not found[-1]:
        # What the title left of the place is filled up with zeros.
        found.pop()
    return found or None


class _Words:
    """Machine words of guest memory, read in large pieces from high addresses to low ones."""

    def __init__(self, read: Reader, arch: Arch) -> None:
        self._read = read
        self._size = arch.word
        self._order = "<" if arch.endian == "little" else ">"
        self._letter = "I" if arch.word == 4 else "Q"

    def between(self, start: int, end: int) -> list[int]:
        """Return the words from `start` to `end`, at most MAX_STRINGS + 1 of them."""
        count = min((end - start) // self._size, MAX_STRINGS + 1)
        data = self._read(start, count * self._size) if count > 0 else b""
        return list(struct.unpack(f"{self._order}{len(data) // self._size}{self._letter}", data))

    def back_to(self, at: int, is_end: Callable[[int, int], bool]) -> int:
        """Return the highest address up to `at` whose word ends a list; `is_end` gets word and count so far.

        Raises:
            TriageError: there is none within MAX_POINTERS words.
        """
        count = 0
        while count < MAX_POINTERS:
            piece = min(_NEAR, at + self._size)
            start = at + self._size - piece
            data = self._read(start, piece)
            if len(data) < piece or piece < self._size:
                break
            for word in reversed(struct.unpack(f"{self._order}{piece // self._size}{self._letter}", data)):
                if is_end(word, count):
                    return at
                count += 1
                at -= self._size
        raise TriageError("the start block on the program's stack was overwritten")


class _Strings:
    """C strings of guest memory, bounded together."""

    def __init__(self, read: Reader) -> None:
        self._read = read
        self.left_out = 0

    def take(self, pointers: list[int]) -> list[bytes]:
        """Return the strings that `pointers` point to, up to MAX_STRINGS and MAX_BYTES."""
        found: list[bytes] = []
        room = MAX_BYTES
        for pointer in pointers[:MAX_STRINGS]:
            text = _string(self._read, pointer, room)
            if text is None:
                self.left_out += 1
                continue
            found.append(text)
            room -= len(text)
        self.left_out += max(0, len(pointers) - MAX_STRINGS)
        return found


def _string(read: Reader, address: int, limit: int) -> bytes | None:
    """Return the C string at `address`; None when it is unreadable or longer than `limit` bytes."""
    text = b""
    while len(text) < limit:
        # Never across a page border in one go: the string may end on the last mapped page.
        size = 4096 - (address + len(text)) % 4096
        try:
            piece = read(address + len(text), size)
        except TriageError:
            return None
        end = piece.find(b"\0")
        if end >= 0:
            text += piece[:end]
            return text if len(text) <= limit else None
        text += piece
    return None


def _auxiliary(read: Reader, key: int, value: int) -> AuxiliaryValue:
    entry = AuxiliaryValue(type=key, name=AUXILIARY.get(key, f"AT_{key}"), value=value)
    if key in _STRINGS and value:
        entry.text = (_string(read, value, 4096) or b"").decode("utf-8", "backslashreplace")
    elif key == _AT_RANDOM and value:
        try:
            entry.text = read(value, 16).hex()
        except TriageError:
            entry.text = ""
    return entry
