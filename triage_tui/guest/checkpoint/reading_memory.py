"""Read the mappings and pages of a checkpoint from its images, and check that they fit together."""

from __future__ import annotations

from pathlib import Path

from triage_tui.guest.arch import Arch
from triage_tui.guest.checkpoint import messages
from triage_tui.guest.checkpoint.image_files import MAX_PAGES, open_private, read_image
from triage_tui.guest.checkpoint.model import PAGE, PageRun
from triage_tui.guest.checkpoint.wire import Damaged, Message
from triage_tui.guest.checkpoint.writing import PAGES_FILE
from triage_tui.runs.process_model import Mapping

MAX_AREAS, MAX_RUNS = 65_536, 1 << 18
_LOWEST, _HIGHEST_64 = 0x1000, 1 << 47


def top_of(arch: Arch) -> int:
    """Return the end of the address space of a guest."""
    return 1 << 32 if arch.word == 4 else _HIGHEST_64


def read_areas(memory: Message, paths: dict[int, str], arch: Arch) -> list[Mapping]:
    """Return the mappings of the memory image, by address; `paths` names files by their ids."""
    found: list[Mapping] = []
    end = _LOWEST
    if len(memory["vmas"]) > MAX_AREAS:
        raise Damaged(f"it has more than {MAX_AREAS} mappings")
    for entry in memory["vmas"]:
        start = entry["start"]
        if start % PAGE or entry["end"] % PAGE or entry["pgoff"] % PAGE or entry["pgoff"] >= 1 << 47:
            raise Damaged("a mapping is not of whole pages")
        if not start < entry["end"] <= top_of(arch):
            raise Damaged(f"the mapping at 0x{start:x} does not fit into the address space")
        if start < end:
            raise Damaged(f"the mapping at 0x{start:x} overlaps the one before it")
        end = entry["end"]
        status = entry["status"]
        of_file = status & (messages.FILE_PRIVATE | messages.FILE_SHARED)
        path = paths.get(entry["shmid"], "") if of_file else ""
        if of_file and not path:
            raise Damaged(f"the mapping at 0x{start:x} is of no file")
        perms = "".join(
            letter if entry["prot"] & bit else "-" for letter, bit in zip("rwx", (1, 2, 4), strict=True)
        )
        shared = status & (messages.FILE_SHARED | messages.ANONYMOUS_SHARED)
        names = (
            (messages.AREA_STACK, "[stack]"),
            (messages.AREA_HEAP, "[heap]"),
            (messages.AREA_VDSO, "[vdso]"),
        )
        found.append(
            Mapping(
                start=start,
                end=end,
                perms=perms + ("s" if shared else "p"),
                offset=entry["pgoff"],
                path=path,
                name=next((name for bit, name in names if status & bit), ""),
            )
        )
    return found


def read_pages(directory: Path, pid: int, areas: list[Mapping]) -> list[PageRun]:
    """Return the runs of pages that are kept, each in one of `areas`, or in several without a gap."""
    entries = read_image(directory, f"pagemap-{pid}.img", MAX_RUNS + 1)
    if not entries or entries[0][0].get("pages_id") != 1:
        raise Damaged(f"pagemap-{pid}.img does not say where its pages are")
    fd, size = open_private(directory / PAGES_FILE, MAX_PAGES)
    with open(fd, "rb"):
        pass
    found: list[PageRun] = []
    offset, end, index = 0, 0, 0
    for entry, _raw in entries[1:]:
        start, count = entry["vaddr"], entry["nr_pages"]
        if start % PAGE or count < 1 or start < end or count > size // PAGE:
            raise Damaged(f"pagemap-{pid}.img holds pages that cannot be")
        end = start + count * PAGE
        at = start
        while at < end:
            while index < len(areas) and areas[index].end <= at:
                index += 1
            if index == len(areas) or areas[index].start > at:
                raise Damaged(f"the page at 0x{at:x} lies in no mapping")
            at = areas[index].end
        found.append(PageRun(start, count, offset))
        offset += count * PAGE
    if offset != size:
        raise Damaged(f"{PAGES_FILE} has {size} bytes and should have {offset}")
    return found
