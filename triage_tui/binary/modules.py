"""Which module and function an address of a frozen guest belongs to."""

from __future__ import annotations

import bisect
import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import msgspec

from triage_tui.binary.cfi import Row
from triage_tui.binary.symbols import MAX_FILE, ElfImage, Symbol, parse_image
from triage_tui.runs.process_model import Mapping

_MAX_LINKS = 40
_ENTRY_CODE = 0x60
"""Bytes of entry code (_start) where no symbol gives its size; the C libraries' are no longer."""


class Module(msgspec.Struct, frozen=True):
    """One file that the guest has mapped. Run-time address = file address + `bias`."""

    path: str
    name: str
    bias: int
    image: ElfImage


class Location(msgspec.Struct, frozen=True):
    """Where an address lies."""

    module: Module
    vaddr: int
    """Address in the module's own terms (as in its ELF file)."""
    symbol: Symbol | None
    """The function or object that holds it, if the file says."""
    stub: str | None = None
    """The imported function whose PLT entry this is."""

    @property
    def name(self) -> str | None:
        """The function's or object's name, or None."""
        return self.stub or (self.symbol.name if self.symbol else None)

    @property
    def offset(self) -> int | None:
        """Bytes from the start of the symbol, or None without one and in a PLT entry."""
        if self.stub is not None or self.symbol is None:
            return None
        return self.vaddr - self.symbol.start


def read_guest_file(
    root: Path | None, path: str, limit: int = MAX_FILE, *, part: bool = False
) -> bytes | None:
    """Return the content of the regular file `path` as the guest sees it under `root`; None if it has none.

    A file of more than `limit` bytes is none, or with `part` its beginning is returned.

    Links are followed inside `root` only (an absolute link starts at `root` again), devices and FIFOs are
    never opened for reading. Without `root` the path is a host path.
    """
    handle: int | None = None
    try:
        handle = _open_under(root, path) if root is not None else _open_file(None, path)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or (status.st_size > limit and not part):
            return None
        with os.fdopen(handle, "rb") as stream:
            handle = None
            return stream.read(limit)
    except (OSError, ValueError):
        return None
    finally:
        if handle is not None:
            os.close(handle)


def _open_file(directory: int | None, name: str) -> int:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if directory is not None else 0)
    return os.open(name, flags, dir_fd=directory)


def _open_under(root: Path, path: str) -> int:
    """Open `path` below `root` component by component, so that no link leads out.

    Raises:
        OSError: it does not exist, or the links never end.
    """
    base = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened = [base]
    parts = [part for part in PurePosixPath(path).parts if part != "/"][::-1]
    links = 0
    try:
        while parts:
            part = parts.pop()
            if part == "..":
                if len(opened) > 1:
                    os.close(opened.pop())
                continue
            mode = os.lstat(part, dir_fd=opened[-1]).st_mode
            if stat.S_ISLNK(mode):
                links += 1
                target = os.readlink(part, dir_fd=opened[-1])
                if links > _MAX_LINKS:
                    raise OSError("too many links")
                if target.startswith("/"):
                    while len(opened) > 1:
                        os.close(opened.pop())
                parts += [piece for piece in PurePosixPath(target).parts if piece != "/"][::-1]
            elif parts:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                opened.append(os.open(part, flags, dir_fd=opened[-1]))
            else:
                return _open_file(opened[-1], part)
        raise OSError("no file name")
    finally:
        for handle in opened:
            os.close(handle)


class ModuleMap:
    """The modules of a frozen guest, found through its mappings; files are read when first asked for."""

    def __init__(
        self, maps: Sequence[Mapping], root: Path | None, read: Callable[[str], bytes | None] | None = None
    ) -> None:
        """`read` returns the content of a file by its guest path; by default it is read below `root`."""
        self._maps = sorted((m for m in maps if m.path.startswith("/")), key=lambda m: m.start)
        self._read = read if read is not None else partial(read_guest_file, root)
        self._images: dict[str, ElfImage | None] = {}
        self._starts = [mapping.start for mapping in self._maps]
        self._first: dict[str, Mapping] = {}
        for mapping in self._maps:
            self._first.setdefault(mapping.path, mapping)

    def _image(self, path: str) -> ElfImage | None:
        if path not in self._images:
            data = self._read(path)
            image = parse_image(data) if data is not None and data[:4] == b"\x7fELF" else None
            self._images[path] = image
        return self._images[path]

    def mapping(self, addr: int) -> Mapping | None:
        """Return the file mapping that holds `addr`, or None."""
        index = bisect.bisect_right(self._starts, addr) - 1
        return self._maps[index] if index >= 0 and addr < self._maps[index].end else None

    def _bias(self, path: str, image: ElfImage) -> int | None:
        """Return run-time minus file addresses of a module, from the lowest of its mappings."""
        first = self._first[path]
        vaddr = image.vaddr_of_offset(first.offset)
        return None if vaddr is None else first.start - vaddr

    def module_at(self, addr: int) -> Module | None:
        """Return the module that is mapped at `addr`, or None for anonymous memory and unreadable files."""
        mapping = self.mapping(addr)
        image = self._image(mapping.path) if mapping else None
        bias = self._bias(mapping.path, image) if mapping and image else None
        if mapping is None or image is None or bias is None or image.segment_at(addr - bias) is None:
            return None
        return Module(mapping.path, PurePosixPath(mapping.path).name, bias, image)

    def module_of(self, path: str) -> Module | None:
        """Return the module that a mapped file is, or None for what is no readable program file."""
        first = self._first.get(path)
        return self.module_at(first.start) if first is not None else None

    def locate(self, addr: int) -> Location | None:
        """Return module, file address and symbol of `addr`, or None if no module holds it."""
        module = self.module_at(addr)
        if module is None:
            return None
        vaddr = addr - module.bias
        return Location(module, vaddr, module.image.symbol_at(vaddr), module.image.linkage.stubs.get(vaddr))

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of all mapped files, in the order of their addresses."""
        return tuple(self._first)

    def path_at(self, addr: int) -> str | None:
        """Return the path of the file mapped at `addr`, readable or not."""
        mapping = self.mapping(addr)
        return mapping.path if mapping else None

    def function_start(self, addr: int) -> int | None:
        """Return the run-time start of the function at `addr` where a symbol or an unwind table gives it."""
        location = self.locate(addr)
        if location is None:
            return None
        if location.symbol is not None and location.symbol.is_function:
            return location.symbol.start + location.module.bias
        start = location.module.image.unwind.start_of(location.vaddr)
        return None if start is None else start + location.module.bias

    def unwind_row(self, addr: int) -> Row | None:
        """Return the call frame information of the instruction at `addr`, or None if no file has it."""
        module = self.module_at(addr)
        return module.image.unwind.row(addr - module.bias) if module else None

    def exception_code(self, addr: int) -> bytes | None:
        """Return the EHABI unwind instructions of the ARM function at `addr`, or None."""
        module = self.module_at(addr)
        return module.image.unwind.exception_code(addr - module.bias) if module else None

    def is_entry(self, addr: int) -> bool | None:
        """Say whether `addr` lies in the entry code of its module, which nothing calls.

        None means that it may: it lies shortly behind the entry and nothing says where the entry code ends.
        """
        location = self.locate(addr)
        if location is None:
            return False
        image = location.module.image
        if not 0 <= location.vaddr - image.entry < _ENTRY_CODE:
            return False
        start = location.symbol.start if location.symbol else image.unwind.start_of(location.vaddr)
        return None if start is None else start == image.entry

    def permissions(self, mapping: Mapping) -> str:
        """Return the permissions of a mapping with the execute bit that the module's file asks for.

        The emulator maps guest code without it.
        """
        module = self.module_at(mapping.start)
        segment = module.image.segment_at(mapping.start - module.bias) if module else None
        if segment is None or not segment.executable or len(mapping.perms) < 3:
            return mapping.perms
        return mapping.perms[:2] + "x" + mapping.perms[3:]

    def is_code(self, addr: int) -> bool | None:
        """Say whether a module's file loads code at `addr`; None if no module holds it."""
        module = self.module_at(addr)
        return None if module is None else module.image.is_executable(addr - module.bias)
