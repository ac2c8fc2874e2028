"""Code of a recorded run that the record itself does not hold, from the program files that it was made from.

Nothing of the guest runs any more: its files are read again, from the root that the run was started with,
and only while they are what they were when the run was recorded.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from triage_tui.binary.code import CodeReader
from triage_tui.binary.disassembly import supports, word_size
from triage_tui.binary.modules import Location, Module, ModuleMap, read_guest_file
from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.retry.start import read_start
from triage_tui.runs.process_model import Mapping
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

KEPT_BYTES = 48 << 20
"""Content of files that is kept in memory, beside that of the latest."""
_THUMB_SYSCALL = b"\x00\xdf"
"""`svc 0` in Thumb code, whose symbols do not always say that it is."""
MAX_NAMED = 200
"""Files in which names are looked for."""


class ProgramCode(msgspec.Struct, frozen=True):
    """The code of one function of a program file, at the addresses of the run."""

    address: int
    """What was asked for; its line is marked."""
    text: str
    name: str
    """The function's name, else its address; safe to show."""
    provenance: str
    """Where it comes from, in words; safe to show."""


class RecordedCode:
    """Disassembles the program files of a run's process; for worker threads, one at a time."""

    def __init__(self, run: Run, pid: int | None = None) -> None:
        """`pid` is the process, the one that is looked at by default."""
        self._run = run
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self._problems: dict[str, str] = {}
        self._unproven: set[str] = set()
        self._functions: dict[str, dict[str, int]] = {}
        self._lock = threading.RLock()
        self._complete = False
        self._modules = ModuleMap(_maps(run, pid), None, self._content)
        self._arch = arch_of(run, pid)

    # --- files -----------------------------------------------------------------------------------------

    def _content(self, path: str) -> bytes | None:
        """Return a program file if it is the one of the run."""
        known = self._files.get(path)
        if known is not None:
            self._files.move_to_end(path)
            return known
        if path in self._problems:
            return None
        try:
            data = program_file(self._run, path)
        except TriageError as error:
            self._problems[path] = str(error)
            return None
        if not _recorded_hash(self._run, path):
            self._unproven.add(path)
        self._files[path] = data
        while len(self._files) > 1 and sum(map(len, self._files.values())) > KEPT_BYTES:
            self._files.popitem(last=False)
        return data

    def _bytes(self, addr: int, size: int) -> bytes:
        """Return what the file has at an address of the run, fewer bytes at the end of a segment."""
        module = self._modules.module_at(addr)
        data = self._content(module.path) if module is not None else None
        if module is None or data is None:
            return b""
        vaddr = addr - module.bias
        for segment in module.image.segments:
            if segment.vaddr <= vaddr < segment.vaddr + segment.file_size:
                at = segment.offset + vaddr - segment.vaddr
                return data[at : min(at + size, segment.offset + segment.file_size)]
        return b""

    # --- questions -------------------------------------------------------------------------------------

    def read_all(self) -> None:
        """Read all program files, so that the next two questions are answered without the disk."""
        with self._lock:
            for path in self._modules.paths[:MAX_NAMED]:
                if path not in self._functions:
                    module = self._modules.module_of(path)
                    self._functions[path] = _functions_of(module) if module is not None else {}
            self._complete = True

    def has_code(self, address: int) -> bool:
        """Tell whether a file at hand loads code at an address; False before all were read."""
        return self._complete and bool(self._modules.is_code(self._plain(address)))

    def address_of(self, name: str) -> int | None:
        """Return where the function `name` begins (odd for Thumb code), in the program or a library of it.

        None before all files were read.
        """
        if not self._complete:
            return None
        return next((found[name] for found in self._functions.values() if name in found), None)

    def function(self, address: int, *, is_return: bool = False) -> ProgramCode:
        """Return the function that holds an address; an odd one is Thumb code.

        `is_return` marks the instruction as the one to which the call or syscall in front of it returns.

        Raises:
            TriageError: no program file at hand has it; the text says why.
        """
        with self._lock:
            return self._function(address, is_return)

    def _plain(self, address: int) -> int:
        return address & ~1 if self._arch.startswith("arm") else address

    def _function(self, address: int, is_return: bool) -> ProgramCode:
        plain = self._plain(address)
        if not supports(self._arch):
            raise TriageError(f"{safe_line(self._arch, 20)} code cannot be disassembled")
        inside = plain - 1 if is_return else plain
        location = self._modules.locate(inside)
        if location is None:
            raise TriageError(self._why_not(plain))
        image = location.module.image
        if not image.is_executable(location.vaddr):
            raise TriageError(
                f"there is no code at {plain:#x}, only data of {safe_line(location.module.name, 80)}"
            )
        thumb = self._arch.startswith("arm") and self._is_thumb(address, plain, location, is_return)
        start = self._modules.function_start(inside)
        if start is None and not is_return:
            start = plain
        reader = CodeReader(
            self._arch,
            word_size(self._arch),
            image.little_endian,
            self._bytes,
            self._modules,
            self._syscall_name,
        )
        listing = reader.listing(plain, thumb=thumb, is_return=is_return, start=start)
        module = safe_line(location.module.name, 80)
        unproven = ", whose content was not recorded" if location.module.path in self._unproven else ""
        return ProgramCode(
            plain, listing.text, self._name(location, plain), f"disassembly of {module}{unproven}"
        )

    def _is_thumb(self, address: int, plain: int, location: Location, is_return: bool) -> bool:
        known = location.module.image.thumb_at(location.vaddr)
        if known is not None or address & 1 or plain & 2:
            return bool(known) if known is not None else True
        return is_return and self._bytes(plain - 2, 2) == _THUMB_SYSCALL

    def _name(self, location: Location, address: int) -> str:
        return safe_line(location.name, 120) if location.name else f"{address:#x}"

    def _syscall_name(self, number: int) -> str | None:
        try:
            return by_name(self._run.snapshot.target.arch).syscall_name(number)
        except TriageError:
            return None

    def _why_not(self, address: int) -> str:
        path = self._modules.path_at(address)
        if path is None:
            return f"no program file is mapped at {address:#x}"
        return self._problems.get(path) or f"{safe_line(path, 200)} is no program file that can be read"


def program_file(run: Run, path: str, recorded: str = "") -> bytes:
    """Return the content of a file that the guest had mapped; `recorded` is its hash where that is known.

    Raises:
        TriageError: it cannot be read any more, or it is another one now than when the run was recorded.
    """
    target = run.snapshot.target
    try:
        start = read_start(run.dir)
        rootfs, program = start.rootfs, start.program
    except TriageError:
        rootfs, program = target.rootfs, target.program
    root = Path(rootfs) if rootfs is not None else None
    data = read_guest_file(root, program if root is None and path == target.program else path)
    if data is None:
        raise TriageError(f"the program file {safe_line(path, 200)} of the run cannot be read any more")
    recorded = recorded or _recorded_hash(run, path)
    if recorded and hashlib.sha256(data).hexdigest() != recorded:
        raise TriageError(
            f"the program file {safe_line(path, 200)} is another one now than when the run was recorded, "
            "so its code says nothing of the run"
        )
    return data


def _recorded_hash(run: Run, path: str) -> str:
    """Return the hash that the record has of a file, "" without one."""
    target = run.snapshot.target
    if path == target.program and target.program_sha256:
        return target.program_sha256
    frames = run.snapshot.backtrace.frames
    return next(
        (one.module_sha256 for one in frames if one.module_real_path == path and one.module_sha256), ""
    )


def _maps(run: Run, pid: int | None) -> Sequence[Mapping]:
    process = next((one for one in run.snapshot.processes if one.pid == pid), None)
    return run.snapshot.maps if process is None or process.looked_at else process.maps


def arch_of(run: Run, pid: int | None = None) -> str:
    """Return the instruction set of a process, by default of the one that is looked at."""
    process = next((one for one in run.snapshot.processes if one.pid == pid), None)
    name = (process.arch if process is not None else "") or run.snapshot.target.arch
    try:
        return by_name(name).instruction_set
    except TriageError:
        return name


def _functions_of(module: Module) -> dict[str, int]:
    """Return the run-time address of each function of a module by its name; odd for Thumb code."""
    symbols = (symbol for symbol in module.image.symbols if symbol.is_function)
    return {symbol.name: (symbol.start | symbol.thumb) + module.bias for symbol in symbols}
