"""Put the arguments of a call together again that the emulator's log shows as six raw registers.

A 64-bit argument takes two registers on a 32-bit machine, and on some begins at an even one (syscall(2)
"Architecture-specific requirements"; QEMU's `regpairs_aligned` in linux-user/syscall.c). The others hold what
was in the registers that the call does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from triage_tui.guest.arch import Arch

_LAYOUTS = {
    name: layout
    for layout, names in (
        ("dpuL", "pread64 pwrite64"),
        ("dLu", "readahead"),
        ("dLud", "fadvise64"),
        ("ddLL", "arm_fadvise64_64 sync_file_range2"),
        ("dLLd", "fadvise64_64 sync_file_range"),
        ("dpuO", "preadv pwritev"),
        ("dpuOd", "preadv2 pwritev2"),
        ("dpd", "recvmsg sendmsg"),
        ("ddpu", "sendfile sendfile64"),
        ("pdd", "chown32 lchown32"),
        ("ddd", "fchown32"),
        ("dpudpu", "sendto"),
        ("dpudpp", "recvfrom"),
        ("dp", "arch_prctl"),
        ("dd", "flock"),
    )
    for name in names.split()
}  # fmt: skip
"""Call -> its arguments: d a number, p an address, u a size, L a 64-bit number, O a file offset that is given
as its low and its high word, in this order on every machine (preadv(2))."""
_LAYOUTS_64 = {"fadvise64": "dLLd"}
LAID_OUT = frozenset(_LAYOUTS)
"""The calls that `whole_arguments` knows."""


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def whole_arguments(arch: Arch, name: str, texts: Sequence[str]) -> list[str] | None:
    """Return the arguments of the call `name` of which `texts` are the registers, None if they are not that.

    What does not fit into the registers that are known is left out.
    """
    try:
        words = [int(text) for text in texts]
    except ValueError:
        return None
    layout = _LAYOUTS[name]
    if arch.bits == 64 or (name == "fadvise64" and arch.name.startswith("mips")):
        layout = _LAYOUTS_64.get(name, layout)
    # Once put together they are fewer: then there is nothing to do.
    if len(words) < 6:
        return None
    aligned = arch.bits == 32 and arch.name.startswith(("arm", "mips", "ppc"))
    made: list[str] = []
    at = 0
    for kind in layout:
        wide = arch.bits == 32 and kind in "LO"
        if wide and kind == "L" and aligned:
            at += at & 1
        if at + wide >= len(words):
            break
        made.append(_SHOWN[kind](arch, words[at : at + 1 + wide]))
        # The high word of an offset is a register of its own on 64-bit machines too; it is not used.
        at += 2 if kind == "O" else 1 + wide
    return made


def _wide(arch: Arch, words: Sequence[int]) -> str:
    if len(words) == 1:
        return str(words[0])
    first, second = (word & 0xFFFFFFFF for word in words)
    high, low = (first, second) if arch.endian == "big" else (second, first)
    return str(_signed(high << 32 | low, 64))


def _offset(arch: Arch, words: Sequence[int]) -> str:
    if len(words) == 1:
        return str(words[0])
    return str(_signed((words[1] & 0xFFFFFFFF) << 32 | words[0] & 0xFFFFFFFF, 64))


_SHOWN: dict[str, Callable[[Arch, Sequence[int]], str]] = {
    "d": lambda _arch, words: str(_signed(words[0] & 0xFFFFFFFF, 32)),
    "p": lambda arch, words: hex(words[0] & arch.word_mask) if words[0] else "NULL",
    "u": lambda arch, words: str(words[0] & arch.word_mask),
    "L": _wide,
    "O": _offset,
}
