"""Which stream each write of a guest went to: its stdout or stderr, or a file that it opened for writing.

Descriptors are followed through open, dup, fcntl, close, fork and execve, process by process.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import msgspec

from triage_tui.guest.log.descriptor_makers import NAMES, DescriptorMakers
from triage_tui.runs.model import Syscall

_OPENS = frozenset(("open", "openat", "openat2", "creat"))
_DUPLICATES = frozenset(("dup", "dup2", "dup3", "fcntl", "fcntl64"))
_FORKS = frozenset(("fork", "vfork", "clone", "clone3"))
_EXECUTES = frozenset(("execve", "execveat"))
_CHDIRS = frozenset(("chdir", "fchdir"))
_WRITES = frozenset(("write", "writev", "sendfile", "sendfile64"))
_ELSEWHERE = frozenset(
    str.split(
        "pwrite64 pwritev pwritev2 lseek _llseek llseek ftruncate ftruncate64 truncate truncate64 "
        "copy_file_range splice fallocate mmap mmap2"
    )
)
"""Calls after which the bytes of a file need not be those of its writes, one after the other."""
_WRITABLE = ("O_WRONLY", "O_RDWR")
_STANDARD = {1: "stdout", 2: "stderr"}


class WrittenFile(msgspec.Struct):
    """A file that the guest opened for writing."""

    path: str
    """As the guest's root has it: absolute, without "." and ".."."""
    writes: list[Syscall] = msgspec.field(default_factory=list)
    """The calls that put bytes there, in order."""
    appended: bool = False
    """It was opened for appending, which a log is."""
    emptied: bool = False
    """It was emptied, or made anew, when it was first opened."""
    unclear: str = ""
    """Why it is not known which call wrote which bytes, "" when it is."""

    @property
    def size(self) -> int:
        """Bytes that these calls wrote."""
        return sum(call.ret or 0 for call in self.writes)


class Written(msgspec.Struct):
    """Where the writes of a run went."""

    files: dict[str, WrittenFile]
    """By path, in the order of their first opening."""
    printed: dict[int, str]
    """Number of a call that printed -> "stdout" or "stderr", the stream as it was when the guest started."""


class _Process(msgspec.Struct):
    makers: DescriptorMakers = msgspec.field(default_factory=DescriptorMakers)
    cwd: str = "/"

    def copy(self) -> _Process:
        return _Process(self.makers.copy(), self.cwd)


def written_by(calls: Sequence[Syscall], cwd: str = "/", left_out: int = 0) -> Written:
    """Follow `calls`, oldest first, of a guest that was started in the directory `cwd`.

    Where some are `left_out` it is known which files there are, not who wrote what.
    """
    found = _Walk(cwd).take(calls)
    if left_out:
        found.printed.clear()
        for file in found.files.values():
            file.unclear = f"at least {left_out} syscalls in between were not kept"
    return found


class _Walk:
    def __init__(self, cwd: str) -> None:
        self._first = _Process(cwd=posixpath.normpath(posixpath.join("/", cwd)))
        self._processes: dict[int, _Process] = {}
        self._targets: dict[int, str] = {}
        """Number of the call that made a descriptor -> what it leads to: a path, or "stdout", "stderr"."""
        self._found = Written({}, {})

    def take(self, calls: Sequence[Syscall]) -> Written:
        for call in calls:
            self._note(call)
        return self._found

    def _note(self, call: Syscall) -> None:
        known = self._processes.get(call.pid)
        if known is None:
            known = self._processes[call.pid] = self._first
            self._first = _Process(cwd=self._first.cwd)
        if call.ret is None or call.errno is not None or call.ret < 0:
            return
        name = call.name
        if name in _WRITES:
            self._write(known, call)
        elif name in _FORKS:
            if call.ret:
                self._processes.setdefault(call.ret, known.copy())
        elif name in _EXECUTES:
            known.makers.begin_program()
        elif name in _CHDIRS:
            where = call.path if name == "chdir" else self._target(known, _number(call, 0))
            if where:
                known.cwd = posixpath.normpath(posixpath.join(known.cwd, where))
        elif name in NAMES:
            if name in _DUPLICATES and (target := self._target(known, _number(call, 0))):
                self._targets[call.seq] = target
            elif name in _OPENS:
                self._open(known, call)
            known.makers.note(call)
        elif name in _ELSEWHERE:
            numbers = (_number(call, 4),) if name.startswith("mmap") else (_number(call, 0), _number(call, 2))
            for fd in numbers:
                file = self._found.files.get(self._target(known, fd))
                if file is not None and not _is_harmless(call):
                    file.unclear = f"{name} changed it, or where it is written"

    def _open(self, known: _Process, call: Syscall) -> None:
        path = call.path or ""
        if not path:
            return
        base = known.cwd
        if call.name in ("openat", "openat2") and call.arguments[:1] != ["AT_FDCWD"]:
            base = self._target(known, _number(call, 0)) or base
        path = posixpath.normpath("/" + posixpath.join(base, path).lstrip("/"))
        self._targets[call.seq] = path
        flags = " ".join(text for text in call.arguments if not text.startswith('"'))
        if call.name != "creat" and not any(word in flags for word in _WRITABLE):
            return
        if "O_DIRECTORY" in flags:
            return
        emptied = call.name == "creat" or "O_TRUNC" in flags or "O_EXCL" in flags
        file = self._found.files.get(path)
        if file is None:
            file = self._found.files[path] = WrittenFile(path, emptied=emptied)
        elif emptied and file.writes:
            # What came before is gone.
            file.writes.clear()
            file.emptied, file.unclear = True, ""
        elif file.writes and "O_APPEND" not in flags:
            file.unclear = "it was opened again and written from its beginning"
        file.appended |= "O_APPEND" in flags

    def _write(self, known: _Process, call: Syscall) -> None:
        target = self._target(known, _number(call, 0))
        if not target or not call.ret:
            return
        if target in _STANDARD.values():
            self._found.printed[call.seq] = target
        elif (file := self._found.files.get(target)) is not None:
            file.writes.append(call)

    def _target(self, known: _Process, fd: int | None) -> str:
        if fd is None:
            return ""
        seq = known.makers.maker(fd)
        return _STANDARD.get(fd, "") if seq is None else self._targets.get(seq, "")


def _is_harmless(call: Syscall) -> bool:
    """Tell whether a call only asks where a file is at, or goes to its end, or maps it to be read."""
    if call.name.startswith("mmap"):
        return "PROT_WRITE" not in "".join(call.arguments) or "MAP_PRIVATE" in "".join(call.arguments)
    if "seek" in call.name:
        text = ",".join(call.arguments)
        return "SEEK_END" in text or ("SEEK_CUR" in text and "0" in call.arguments[1:3])
    return False


def _number(call: Syscall, index: int) -> int | None:
    try:
        return int(call.arguments[index], 0)
    except (IndexError, ValueError):
        return None
