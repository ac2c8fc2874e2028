"""What happens when a guest executes a program: which program it is, and under which emulator it runs.

The emulator passes execve to the host's kernel, which is never asked: it would run a program of the host's
own architecture natively, outside the emulation, and knows nothing of the others. Whatever program the guest
names, the host's architecture included, runs under the emulator for its architecture
(`triage_tui.guest.processes.execution`). What execve(2) would refuse is answered with its error here. "#!"
lines are followed as the kernel follows them (fs/binfmt_script.c).

A run may also be told to answer as a host's kernel without binfmt_misc does, to which a program for another
processor is none (ENOEXEC, fs/binfmt_elf.c); then only programs for the host's own are run.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.cell.policy import Refusal
from triage_tui.guest.emulator.elf import ElfInfo, read_elf
from triage_tui.guest.host import host_memory, process
from triage_tui.guest.host.descriptor_reserve import is_exhausted
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.spec import architecture_of, open_in_root
from triage_tui.runs.model import NOT_STARTED
from triage_tui.text import recordable

_MAX_INTERPRETERS = 5
_LINE_SIZE = 256
"""How much of a file is looked at for a "#!" line (BINPRM_BUF_SIZE)."""
_HEADER_SIZE = 1 << 16
_AT_FDCWD, _AT_EMPTY_PATH = 0xFFFFFF9C, 0x1000
_OWN_PROGRAM = re.compile(r"/proc/(self|thread-self|\d+)/exe")
_DESCRIPTOR = re.compile(r"/(?:proc/(?:thread-)?self|dev)/fd/(\d+)")
_OWN_DIRECTORY = re.compile(r"/proc/(?:thread-)?self/(root|cwd)/")
_NATIVE = {"x86_64": frozenset(("x86_64", "i386")), "aarch64": frozenset(("aarch64", "arm"))}
"""Machine of a host -> architectures of the programs that its kernel executes by itself."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A program that can be executed."""

    requested: str
    """What the guest asked for: the program, or a script."""
    path: str
    """Where it lies, as the guest names it; what the emulator is to open."""
    arch: Arch
    elf: ElfInfo
    argv0: str | None = None
    """argv[0] of the program, None for the one that the guest gives."""
    inserted: tuple[str, ...] = ()
    """Arguments between argv[0] and the rest of the guest's: those of "#!" lines."""
    descriptor: int | None = field(default=None, compare=False)
    """Our descriptor of a program that has no path; the caller closes it."""


def requested_path(name: str, notification: Notification) -> str:
    """Return what the host call `name` (execve or execveat) is to execute, as a path for `plan_execution`.

    Raises:
        OSError: the path is not readable.
    """
    tid, args = notification.tid, notification.args
    if name == "execve":
        return os.fsdecode(host_memory.read_string(tid, args[0]))
    path = os.fsdecode(host_memory.read_string(tid, args[1]))
    directory = args[0] & 0xFFFFFFFF
    if path.startswith("/") or directory == _AT_FDCWD or (not path and not args[4] & _AT_EMPTY_PATH):
        return path
    return os.path.join(f"/proc/self/fd/{directory}", path).removesuffix("/")


def plan_execution(
    root: Path, pid: int, path: str, program_of: Callable[[str], str | None], *, foreign: bool = True
) -> Execution | Refusal:
    """Return what executing `path` executes, or how it is answered when it cannot be.

    `root` is the guest's root as the host sees it, `pid` the process that executes, for relative paths.
    `program_of` gives the path of the program of a process ("self" or an id as the guest knows it).
    `foreign`: programs that the host's processor does not run are executed too.

    Raises:
        OSError: we have no descriptor left to look at it.
    """
    argv0: str | None = None
    inserted: tuple[str, ...] = ()
    requested = path
    for _ in range(_MAX_INTERPRETERS):
        if found := _OWN_PROGRAM.fullmatch(path):
            path = program_of(found[1]) or path
        try:
            fd, inside = _open_program(root, pid, path)
        except OSError as error:
            if is_exhausted(error):
                raise
            return Refusal(-(error.errno or errno.EACCES), "")
        keep = False
        try:
            data = os.pread(fd, _HEADER_SIZE, 0)
            if not data.startswith(b"#!"):
                plan = _judge_elf(root, data, inside or path, foreign)
                if isinstance(plan, Refusal):
                    return plan
                keep = inside is None
                arch, elf = plan
                # A path that begins with "-" would be an option.
                name = inside or path
                name = f"./{name}" if name.startswith("-") else name
                return Execution(requested, name, arch, elf, argv0, inserted, fd if keep else None)
        finally:
            if not keep:
                os.close(fd)
        if inside is None and _closes(pid, path):
            return Refusal(-errno.ENOENT, "")
        words = _interpreter(data)
        if words is None:
            return Refusal(-errno.ENOEXEC, "")
        inserted = (*words[1:], path, *inserted)
        path = argv0 = words[0]
    return Refusal(-errno.ELOOP, "refused by containment: too many interpreters")


def is_foreign(arch: Arch) -> bool:
    """Return whether the kernel of this host needs binfmt_misc to execute programs of `arch`."""
    return arch.name not in _NATIVE.get(os.uname().machine, ())


def _judge_elf(root: Path, data: bytes, name: str, foreign: bool) -> tuple[Arch, ElfInfo] | Refusal:
    try:
        elf = read_elf(data, name)
    except TriageError:
        return Refusal(-errno.ENOEXEC, "")
    try:
        arch = architecture_of(elf, name)
    except TriageError as error:
        return Refusal(-errno.ENOEXEC, recordable(f"not executed: {error}"))
    if not foreign and is_foreign(arch):
        # Before its interpreter is looked for, as the kernel does.
        return Refusal(-errno.ENOEXEC, f"not executed: a program for {arch.name}, {NOT_STARTED}")
    if elf.interpreter is not None:
        try:
            os.close(open_in_root(root, elf.interpreter))
        except OSError as error:
            if is_exhausted(error):
                raise
            why = f"its interpreter {recordable(elf.interpreter)} is missing"
            return Refusal(-(error.errno or errno.ENOENT), why)
    return arch, elf


def _interpreter(data: bytes) -> list[str] | None:
    """Return interpreter and argument, if any, of a "#!" line; None for a line without one."""
    line, newline, _ = data[2:_LINE_SIZE].partition(b"\n")
    line = line.split(b"\0")[0].strip(b" \t")
    name = re.split(rb"[ \t]", line, maxsplit=1)[0]
    if not name or (not newline and name == line and len(data) >= _LINE_SIZE):
        # Without an end the name may be cut off.
        return None
    rest = line[len(name) :].strip(b" \t")
    return [os.fsdecode(name), *([os.fsdecode(rest)] if rest else [])]


def _open_program(root: Path, pid: int, path: str) -> tuple[int, str | None]:
    """Open an executable regular file; return (descriptor, its path or None if it has none).

    Raises:
        OSError: it is none, with the number that execve(2) gives.
    """
    if not path:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if found := _OWN_DIRECTORY.match(path):
        # Only the guest's kernel may follow these links: for us they would lead to our own directories.
        start = _inside(root, pid, "cwd") if found[1] == "cwd" else "/"
        path = os.path.join(start, path[found.end() :].lstrip("/"))
    inside: str | None = path
    if found := _DESCRIPTOR.match(path):
        number, rest = found[1], path[found.end() :].lstrip("/")
        link = f"fd/{number}"
        if rest:
            inside = os.path.join(_inside(root, pid, link), rest)
            fd = open_in_root(root, inside)
        else:
            fd = _open_descriptor(pid, number)
            try:
                inside = _path_of(root, pid, link, fd)
            except OSError:
                os.close(fd)
                raise
    else:
        if not path.startswith("/"):
            path = os.path.join(_inside(root, pid, "cwd"), path)
        try:
            fd = open_in_root(root, path)
        except OSError as error:
            if error.errno in (errno.EISDIR, errno.EINVAL):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES)) from error
            raise
    if not os.fstat(fd).st_mode & 0o111:
        os.close(fd)
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return fd, inside


def _path_of(root: Path, pid: int, link: str, fd: int) -> str | None:
    """Return the path under which the open file `fd` can be found in the guest's root, None if nowhere."""
    inside = _inside(root, pid, link)
    try:
        again = open_in_root(root, inside)
    except OSError as error:
        if is_exhausted(error):
            raise
        return None
    try:
        return inside if os.path.sameopenfile(again, fd) else None
    finally:
        os.close(again)


def _closes(pid: int, path: str) -> bool:
    """Return whether `path` is a descriptor that executing closes, so that no interpreter could open it."""
    found = _DESCRIPTOR.fullmatch(path)
    return found is not None and bool(process.descriptor_flags(pid, int(found[1])) & os.O_CLOEXEC)


def _open_descriptor(pid: int, number: str) -> int:
    """Open the regular file behind a descriptor of the guest once more."""
    link = f"/proc/{pid}/fd/{number}"
    if os.stat(link).st_mode & 0o170000 != 0o100000:
        # Merely opening a device or a FIFO can have effects.
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return os.open(link, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _inside(root: Path, pid: int, link: str) -> str:
    """Return what is behind a link of /proc/<pid> as the guest names it."""
    target = os.readlink(f"/proc/{pid}/{link}")
    inside = os.readlink(root)
    if inside != "/" and target.startswith(inside):
        target = target[len(inside) :]
    return target or "/"
