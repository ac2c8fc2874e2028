"""Words of data between ARM instructions: literal pools, told from what loads them or from mapping symbols.

Decoded as instructions they would be branches that do not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from triage_tui.binary.disassembly import Instruction

Marks = Sequence[tuple[int, str]]
"""Mapping symbols (address, "a" | "t" | "d"), ordered."""


def literal_words(insns: Sequence[Instruction], marks: Marks, low: int, high: int) -> set[int]:
    """Return the addresses of the literal words in [low, high).

    A load by the pc says where one is; loads within such words are none. Literals lie behind their loads.
    """
    words = {at & ~3 for begin, end in _marked(marks, low, high) for at in range(begin, end, 2)}
    for insn in insns:
        slot = insn.loaded_from
        if slot is None or "[pc" not in insn.operands or insn.address & ~3 in words:
            continue
        if insn.mnemonic.startswith(("ldr", "vldr")) and insn.address < slot < high:
            words.add(slot & ~3)
            if insn.mnemonic.startswith(("ldrd", "vldr")):
                words.add((slot & ~3) + 4)
    return {word for word in words if low <= word and word + 4 <= high}


def _marked(marks: Marks, low: int, high: int) -> list[tuple[int, int]]:
    """Return the ranges that mapping symbols call data."""
    found = []
    for index, (at, kind) in enumerate(marks):
        end = marks[index + 1][0] if index + 1 < len(marks) else high
        if kind == "d" and end > low and at < high:
            found.append((max(at, low), min(end, high)))
    return found


def with_literals(
    insns: Sequence[Instruction],
    words: set[int],
    low: int,
    code: bytes,
    *,
    little: bool,
    decode: Callable[[int, int], list[Instruction]],
) -> list[Instruction]:
    """Return `insns`, with data for what stands at `words`; `decode` decodes [from, to) behind one anew."""
    result: list[Instruction] = []
    at, high = low, low + len(code)
    for word in [*sorted(words), high]:
        if at < word:
            # What was decoded is right until a word that is none of it.
            part = [one for one in insns if at <= one.address < word] if at == low else decode(at, word)
            result += [one for one in part if one.address + len(one.data) <= word]
        if word < high:
            raw = code[word - low : word - low + 4]
            value = int.from_bytes(raw, "little" if little else "big")
            result.append(Instruction(word, raw, ".word", f"0x{value:08x}"))
            at = word + 4
    return result


def own_part(insns: list[Instruction], point: int) -> list[Instruction]:
    """Cut what lies behind the literals at the end of the function around the address `point`.

    It ends there unless one of its branches leads across them.
    """
    for index in range(1, len(insns)):
        if insns[index - 1].mnemonic != ".word" or insns[index].mnemonic == ".word":
            continue
        behind = insns[index].address
        if behind <= point:
            continue
        crossed = any(
            one.target is not None and behind <= one.target < behind + 4096
            for one in insns[:index]
            if one.is_jump and not one.is_call
        )
        if not crossed:
            return insns[:index]
    return insns
