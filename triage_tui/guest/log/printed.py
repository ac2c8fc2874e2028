"""Tell which call printed which bytes: line up the guest's writes with its stdout and stderr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from triage_tui.runs.model import Printed, Syscall

STREAMS = {"1": "stdout", "2": "stderr"}
"""Descriptor, as the log shows it -> the stream that it is when a program starts."""
_WRITES = frozenset(("write", "writev", "sendfile", "sendfile64"))


def line_up(
    calls: Sequence[Syscall],
    totals: Mapping[str, int],
    left_out: int,
    emulator: int = 0,
    printed: Mapping[int, str] | None = None,
) -> str | None:
    """Give each call that printed something its part of the stream; return why not, if that cannot be done.

    `calls` are those of the run, oldest first, of which `left_out` are missing; `totals` says how many bytes
    came out of each stream. What a call printed follows what the calls before it printed. A guest that has
    turned its descriptors to something else is found out by its totals. `emulator` is how many bytes at the
    end of stderr read like the emulator's own: where the program's writes do not hold them, they are.
    `printed` says of each call (by number) which stream it wrote to, as far as its descriptors were followed
    (`written_files`); where that does not agree with the totals, the descriptors' numbers are asked.
    """
    if left_out:
        return f"at least {left_out} syscalls in between were not kept"
    if printed:
        followed: dict[str, list[Syscall]] = {name: [] for name in STREAMS.values()}
        for call in calls:
            if stream := printed.get(call.seq):
                followed[stream].append(call)
        if _place(followed, totals, emulator) is None:
            return None
    found: dict[str, list[Syscall]] = {name: [] for name in STREAMS.values()}
    for call in calls:
        if call.name in _WRITES and call.arguments and (call.ret or 0) > 0:
            stream = STREAMS.get(call.arguments[0])
            if stream is not None:
                found[stream].append(call)
    return _place(found, totals, emulator)


def _place(found: Mapping[str, Sequence[Syscall]], totals: Mapping[str, int], emulator: int) -> str | None:
    """Give the calls of each stream their parts of it, if their sizes add up; return why not."""
    for stream, writers in found.items():
        written = sum(call.ret or 0 for call in writers)
        printed = {totals.get(stream, 0)} | (
            {totals.get(stream, 0) - emulator} if stream == "stderr" else set()
        )
        if written not in printed:
            return f"{written} bytes were written to {stream}, {totals.get(stream, 0)} came out of it"
    for stream, writers in found.items():
        offset = 0
        for call in writers:
            size = call.ret or 0
            call.printed = Printed(stream=stream, offset=offset, size=size)
            offset += size
    return None
