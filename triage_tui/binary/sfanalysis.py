"""Read a directory of SFAnalysis results: names, prototypes and pseudocode of a firmware's functions.

Layout (the SFEmu emulator's linux-user/sfanalysis.c): one JSON file per program, `file` with `name`,
`real_path` and `fs_root`, `functions` with `name`, `entry.offset`, `size`, `prototype` and
`pseudocode_file`. The directory may come from anywhere: files are bounded, pseudocode is only read below the
directory, and what cannot be used is skipped with a sentence in `problems`.
"""

from __future__ import annotations

import bisect
import os
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from triage_tui.binary.code_source import CodePoint, FunctionCode
from triage_tui.binary.modules import read_guest_file
from triage_tui.errors import TriageError
from triage_tui.text import safe_line

MAX_FILES = 2000
MAX_JSON = 64 << 20
"""Largest JSON file read, in bytes."""
MAX_PSEUDOCODE = 1 << 20
"""Bytes of pseudocode read of one function; the rest is left out."""
MAX_PARTS = 32
"""Parts of the path of a pseudocode file that are looked for below the directory."""
PROVENANCE = "pseudocode from SFAnalysis"


_DELETED = " (deleted)"
"""What proc(5) puts behind the path of a mapped file that was removed."""


class _Function(msgspec.Struct):
    name: str
    start: int
    size: int = 0
    """0: only the entry itself is known."""
    prototype: str | None = None
    pseudocode_file: str | None = None


class _File(msgspec.Struct):
    name: str
    real_path: str
    fs_root: Any = ""


class _Analysis(msgspec.Struct):
    file: _File
    functions: list[Any]


class _Program(msgspec.Struct):
    """The functions of one analysed file, ordered by address."""

    file: _File
    functions: list[_Function]
    starts: list[int] = msgspec.field(default_factory=list)

    def at(self, vaddr: int) -> _Function | None:
        index = bisect.bisect_right(self.starts, vaddr) - 1
        if index < 0:
            return None
        found = self.functions[index]
        return found if vaddr < found.start + max(found.size, 1) else None

    @property
    def guest_path(self) -> str:
        """The path inside the firmware's root, from a slash on."""
        root = self.file.fs_root.rstrip("/") if isinstance(self.file.fs_root, str) else ""
        inside = root and self.file.real_path.startswith(root + "/")
        return self.file.real_path[len(root) :] if inside else self.file.real_path


class SfAnalysis:
    """A source of pseudocode."""

    def __init__(self, directory: Path) -> None:
        """Read all results in `directory`.

        Raises:
            TriageError: it is no directory, or none of its files can be used.
        """
        self._directory = directory
        self.problems: list[str] = []
        """One sentence for each file that was skipped."""
        self._programs: list[_Program] = []
        try:
            listed = sorted(os.listdir(directory))
        except OSError as error:
            where = safe_line(str(directory), 200)
            raise TriageError(f"SFAnalysis results in {where} cannot be read: {error.strerror}") from error
        names = [name for name in listed if name.endswith(".json") and not name.startswith(".")]
        if len(names) > MAX_FILES:
            self.problems.append(f"only the first {MAX_FILES} of {len(names)} SFAnalysis files were read")
        for name in names[:MAX_FILES]:
            self._read(name)
        if not self._programs:
            why = f": {self.problems[0]}" if self.problems else ": it holds no *.json file"
            where = safe_line(str(directory), 200)
            raise TriageError(f"{where} holds no usable SFAnalysis result{why}")

    def _read(self, name: str) -> None:
        shown = safe_line(name, 80)
        data = read_guest_file(self._directory, name, MAX_JSON)
        if data is None:
            self.problems.append(f"{shown} was skipped: no regular file, unreadable or larger than 64 MiB")
            return
        try:
            analysis = msgspec.json.decode(data, type=_Analysis)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            self.problems.append(f"{shown} was skipped: {safe_line(str(error), 120)}")
            return
        functions = sorted(filter(None, map(_function, analysis.functions)), key=lambda one: one.start)
        if not functions:
            self.problems.append(f"{shown} was skipped: it names no function")
            return
        starts = [one.start for one in functions]
        self._programs.append(_Program(analysis.file, functions, starts))

    def _program(self, path: str) -> _Program | None:
        """Return the analysis of the guest's file `path`: by its whole path, its end, at last its name.

        The order is SFEmu's. Where several have the name and no path fits it takes the first one; here none
        is, because a wrong name says less than no name.
        """
        path = path.removesuffix(_DELETED)
        for program in self._programs:
            if path in (program.file.real_path, program.guest_path):
                return program
        same = [p for p in self._programs if PurePosixPath(p.file.real_path).name == PurePosixPath(path).name]
        end = f"/{path.lstrip('/')}"
        fitting = [one for one in same if one.file.real_path.endswith(end)]
        if not fitting:
            # Of /sbin/httpd and /usr/sbin/httpd the longer one says more.
            within = [one for one in same if path.endswith(one.guest_path)]
            fitting = sorted(within, key=lambda one: len(one.guest_path))[-1:] or same
        paths = {one.file.real_path for one in fitting}
        return fitting[0] if len(paths) == 1 else None

    def function(self, point: CodePoint) -> FunctionCode | None:
        """Return name, prototype and pseudocode of the function at `point`; None without all of them.

        Raises:
            TriageError: the pseudocode file that the results name cannot be read.
        """
        location = point.location
        program = self._program(location.module.path) if location is not None else None
        found = program.at(location.vaddr) if program is not None and location is not None else None
        if found is None or location is None:
            return None
        return self._code(found, location.vaddr - found.start)

    def function_named(self, path: str, name: str) -> FunctionCode | None:
        """Return the same of a function of the file `path` by its name; None where it has none, or several.

        Raises:
            TriageError: the pseudocode file that the results name cannot be read.
        """
        found = self._named(path, name)
        return self._code(found[0], None) if len(found) == 1 else None

    def places(self, path: str, name: str) -> list[range]:
        """Return the file's own addresses of each function of that name whose size is known."""
        return [range(one.start, one.start + one.size) for one in self._named(path, name) if one.size]

    def name_at(self, path: str, vaddr: int) -> tuple[str, int, str | None] | None:
        """Return name, offset in it and prototype of the function at an address of a file; None for none."""
        program = self._program(path)
        found = program.at(vaddr) if program is not None else None
        return (found.name, vaddr - found.start, found.prototype) if found is not None else None

    def pseudocode_file_at(self, path: str, vaddr: int) -> str | None:
        """Return the pseudocode file of the function at an address of a file, as it is written."""
        program = self._program(path)
        found = program.at(vaddr) if program is not None else None
        return found.pseudocode_file if found is not None else None

    def _named(self, path: str, name: str) -> list[_Function]:
        program = self._program(path)
        return [one for one in program.functions if one.name == name] if program is not None else []

    def _code(self, found: _Function, offset: int | None) -> FunctionCode:
        text, cut = "", False
        if found.pseudocode_file:
            data = self._pseudocode(found.pseudocode_file)
            cut = len(data) > MAX_PSEUDOCODE
            text = data[:MAX_PSEUDOCODE].decode("utf-8", "backslashreplace")
        return FunctionCode(
            text,
            "pseudocode",
            PROVENANCE,
            name=found.name,
            prototype=found.prototype,
            offset=offset,
            truncated=cut,
        )

    def _pseudocode(self, name: str) -> bytes:
        """Return the start of a pseudocode file, which must lie below the directory of the results.

        SFEmu opens it as it is written, in the root file system of its guest. Results are often moved after
        they were made: the longest end of the path that there is below the directory counts.
        """
        parts = [part for part in PurePosixPath(name).parts if part != "/"]
        if ".." in parts:
            parts = parts[-1:]
        for first in range(min(len(parts), MAX_PARTS)):
            relative = "/".join(parts[first - min(len(parts), MAX_PARTS) :])
            data = read_guest_file(self._directory, relative, MAX_PSEUDOCODE + 1, part=True)
            if data is not None:
                return data
        raise TriageError(f"pseudocode file {safe_line(name, 120)} is not below the SFAnalysis directory")


def _function(entry: object) -> _Function | None:
    """Return one function, None for what names none: SFEmu passes over it and takes the others."""
    if not isinstance(entry, dict):
        return None
    name, place = entry.get("name"), entry.get("entry")
    start = place.get("offset") if isinstance(place, dict) else None
    if not isinstance(name, str) or not isinstance(start, int) or not 0 <= start < 1 << 64:
        return None
    size, prototype, file = entry.get("size"), entry.get("prototype"), entry.get("pseudocode_file")
    return _Function(
        name,
        start,
        size if isinstance(size, int) and 0 < size < 1 << 64 else 0,
        prototype if isinstance(prototype, str) else None,
        file if isinstance(file, str) else None,
    )
