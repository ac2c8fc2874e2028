"""What is to be run; checks that it can be run at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.arch import EF_MIPS_ABI2, Arch, for_elf
from triage_tui.guest.arch.tables import EM_MIPS
from triage_tui.guest.emulator.elf import ElfInfo, FileBytes, check_entry, check_whole, is_elf, read_elf
from triage_tui.guest.freezing.triggers import TriggerLimits as TriggerLimits
from triage_tui.guest.host.tree_memory import machine_memory
from triage_tui.runs.model import Target
from triage_tui.text import recordable, safe_line

_MAX_LINKS = 40
_HEADER_BYTES = 1 << 16
"""How much of an interpreter is read: its headers."""
MAX_PROGRAM = 1 << 30
"""Bytes that a program may have; it is read as a whole once, for its hash."""
_PIECE = 1 << 20
_ELF_MACHINES = {2: "SPARC", 20: "PowerPC", 21: "PowerPC 64", 22: "S/390", 42: "SuperH", 50: "IA-64"} | {
    62: "x86-64",
    243: "RISC-V",
    258: "LoongArch",
}

CARRIER_VARIABLE = "TRIAGE_TUI_CARRIER"
CARRIERS = ("auto", "notify", "trace")
DEFAULT_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


def carrier_of_environment() -> str:
    """Return the carrier that TRIAGE_TUI_CARRIER asks for, "auto" where it does not say.

    Raises:
        TriageError: there is no such carrier.
    """
    carrier = os.environ.get(CARRIER_VARIABLE) or "auto"
    if carrier not in CARRIERS:
        raise TriageError(
            f"{CARRIER_VARIABLE} must be one of {', '.join(CARRIERS)}, not {safe_line(carrier, 40)!r}"
        )
    return carrier


class ResourceLimits(msgspec.Struct, frozen=True):
    """What one guest may use of the host."""

    processes: int = 256
    """Processes and threads together, the emulators' own threads included."""
    memory_bytes: int = 4 << 30
    """Writable private memory of one process, its emulator included."""
    tree_memory_bytes: int = msgspec.field(default_factory=lambda: machine_memory() // 2)
    """Memory in use by all processes together, their emulators included: half of the machine's."""
    disk_bytes: int = 512 << 20
    """All that it writes into its root (kept in memory)."""
    open_files: int = 1024
    output_bytes: int = 1 << 20
    """Its stdout and stderr that are kept: the first half and the last half of this."""
    history: int = 4096
    """Syscalls kept in memory."""
    trace: int = 50_000
    """Syscalls kept for trace.jsonl in all."""
    full_trace_bytes: int = 256 << 20
    """Size of the compressed full trace, where one is kept."""


class LaunchSpec(msgspec.Struct, frozen=True):
    """How to start the guest.

    `program` is a guest path when `rootfs` is given, else a host path of a static program. `argv` is the
    whole vector, argv[0] included; empty means [program]. `env` is the guest's whole environment.
    """

    program: str
    argv: list[str] = msgspec.field(default_factory=list)
    rootfs: Path | None = None
    cwd: str = "/"
    env: dict[str, str] = msgspec.field(default_factory=lambda: dict(DEFAULT_ENVIRONMENT))
    stdin: Literal["null", "open"] | Path = "null"
    target_id: str = ""
    """The name of the target, where it does not follow from program and arguments."""
    allow_root: bool = False
    """Let the guest's root be the host's root where it cannot be mapped to an unprivileged id."""
    user: int = 0
    """User and group id that the guest starts with, as it sees them; 0 is root."""
    interfaces: list[str] = msgspec.field(default_factory=list)
    """Network interfaces besides `lo`: each a bridge without ports that is up and has an address."""
    qemu_args: list[str] = msgspec.field(default_factory=list)
    processor: str = ""
    """Model of the processor; empty for what `qemu_args` or the emulator choose."""
    seed: int = 0
    """What the emulator's pseudo-random numbers follow from (AT_RANDOM and the like); 0: the host's."""
    qemu_dir: Path | None = None
    triggers: TriggerLimits = msgspec.field(default_factory=TriggerLimits)
    limits: ResourceLimits = msgspec.field(default_factory=ResourceLimits)
    observe: Literal["full", "watched"] = "full"
    """Every syscall, or, at the emulator's own speed, only those that rules may hook."""
    exec_policy: Literal["emulate", "refuse"] = "emulate"
    """What an execve of a program that the host's processor does not run gets: its emulator, or ENOEXEC, as
    from a kernel without binfmt_misc."""
    full_trace: bool = False
    """Keep the text of all calls, compressed, in a temporary file and in each run record."""
    carrier: str = msgspec.field(default_factory=carrier_of_environment)
    """How watched calls are held, one of `CARRIERS`: "auto" by notification wherever that is to be had, else
    by ptrace."""
    checkpoint: bool = False
    """Prepare for checkpoints: find what they need that only shows at the start."""
    also_notify: frozenset[str] = frozenset()
    """Guest syscalls beyond the usual ones that rules may want to hook later in this run ("read")."""

    @property
    def emulator_options(self) -> list[str]:
        """What the emulator of the program, and of those of its architecture that it executes, is given."""
        # Of two models or seeds QEMU takes the last.
        seed = ["-seed", str(self.seed)] if self.seed else []
        return [*seed, *self.qemu_args, *(["-cpu", self.processor] if self.processor else [])]


def open_in_root(root: Path, path: str) -> int:
    """Open the regular file `path` as a process inside `root` would, links included; return the descriptor.

    Raises:
        OSError: there is no such file, it is of another kind, or its links lead nowhere inside the root.
    """
    found = find_in_root(root, path)
    try:
        kind = os.fstat(found).st_mode & 0o170000
        if kind != 0o100000:
            # Merely opening a device or a FIFO can have effects.
            number = errno.EISDIR if kind == 0o040000 else errno.EINVAL
            raise OSError(number, "Is a directory" if kind == 0o040000 else "Not a regular file", path)
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(found)


def find_in_root(root: Path, path: str) -> int:
    """Find `path` as a process inside `root` would, links included; return a descriptor that only names it.

    Raises:
        OSError: there is nothing, or its links lead nowhere inside the root.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")][::-1]
    stack = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    links = 0
    try:
        while parts:
            part = parts.pop()
            if part == "..":
                if len(stack) > 1:
                    os.close(stack.pop())
                continue
            fd = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stack[-1])
            try:
                target = os.readlink("", dir_fd=fd)
            except OSError:
                stack.append(fd)
                continue
            os.close(fd)
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                while len(stack) > 1:
                    os.close(stack.pop())
            parts += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
        return stack.pop()
    finally:
        for fd in stack:
            os.close(fd)


@contextlib.contextmanager
def _open_program(spec: LaunchSpec) -> Iterator[int]:
    """Open the program, a regular file of at most MAX_PROGRAM bytes; it is closed at the end.

    Raises:
        TriageError: there is no such file, or reading from it fails.
    """
    where = f"{spec.program} in {spec.rootfs}" if spec.rootfs else spec.program
    if "\0" in f"{spec.program}{spec.rootfs}":
        raise TriageError("the program's path must not hold NUL bytes")
    try:
        if spec.rootfs is not None:
            if not spec.rootfs.is_dir():
                raise TriageError(f"the root file system {spec.rootfs} is no directory")
            if not spec.program.startswith("/"):
                raise TriageError(
                    f"{spec.program} is no absolute path: in a root file system the program is named as the "
                    "guest sees it"
                )
            fd = open_in_root(spec.rootfs, spec.program)
        else:
            fd = os.open(spec.program, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if (status.st_mode & 0o170000) != 0o100000:
                raise TriageError(f"{where} is no regular file")
            if status.st_size > MAX_PROGRAM:
                raise TriageError(
                    f"{where} is too large for a program: it has {status.st_size >> 20} MiB, and at most "
                    f"{MAX_PROGRAM >> 20} MiB are read"
                )
            yield fd
        finally:
            os.close(fd)
    except OSError as error:
        raise TriageError(f"cannot read the program {where}: {error.strerror}") from error


def _digest(fd: int) -> str:
    """Return the SHA-256 of an open file, read from its start in pieces, of MAX_PROGRAM bytes at most."""
    digest, at = hashlib.sha256(), 0
    while at < MAX_PROGRAM and (piece := os.pread(fd, _PIECE, at)):
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest()


def resolve_target(spec: LaunchSpec) -> tuple[Target, ElfInfo]:
    """Return what will be run, identified by its bytes, and its ELF header.

    Raises:
        TriageError: no such program, not an ELF executable, an architecture nobody emulates here, a
            dynamic program without its root file system or its interpreter, a file that is cut off, one that
            begins outside of itself, or one that nobody may execute.
    """
    with _open_program(spec) as fd:
        mode = os.fstat(fd).st_mode
        data = FileBytes(fd)
        elf = read_elf(data, spec.program)
        check_whole(elf, len(data), spec.program)
        check_entry(elf, spec.program)
        arch = architecture_of(elf, spec.program)
        digest = _digest(fd)
    if elf.interpreter is not None:
        if spec.rootfs is None:
            raise TriageError(
                f"{spec.program} is dynamically linked (it needs {elf.interpreter}): give its root file "
                "system with --rootfs"
            )
        try:
            with open(open_in_root(spec.rootfs, elf.interpreter), "rb") as file:
                head, size = file.read(_HEADER_BYTES), os.fstat(file.fileno()).st_size
        except OSError as error:
            raise TriageError(
                f"{spec.program} needs the interpreter {elf.interpreter}, which {spec.rootfs} does not have "
                f"({error.strerror}): unpack the package that holds it"
            ) from error
        if is_elf(head):
            name = f"the interpreter {elf.interpreter}"
            check_whole(read_elf(head, name), size, name)
    if not mode & 0o111:
        raise TriageError(f"{spec.program} has no execute permission: give it one (chmod +x)")
    argv = list(spec.argv) or [spec.program]
    identity = hashlib.sha256(digest.encode() + b"\0" + "\0".join(argv).encode("utf-8", "surrogateescape"))
    target = Target(
        program=recordable(spec.program),
        argv=[recordable(argument) for argument in argv],
        arch=arch.name,
        program_sha256=digest,
        target_id=spec.target_id or identity.hexdigest()[:16],
        cwd=recordable(spec.cwd),
        env_keys=sorted(map(recordable, spec.env)),
        rootfs=recordable(str(spec.rootfs)) if spec.rootfs else None,
        interpreter=recordable(elf.interpreter) if elf.interpreter is not None else None,
    )
    return target, elf


def architecture_of(elf: ElfInfo, name: str) -> Arch:
    """Return the architecture of an ELF file.

    Raises:
        TriageError: none that is known here.
    """
    arch = for_elf(elf.machine, elf.bits, elf.little_endian, elf.flags)
    if arch is None and elf.machine == EM_MIPS and elf.flags & EF_MIPS_ABI2:
        raise TriageError(f"{name} is for the n32 ABI of MIPS, which is not supported (o32 and n64 are)")
    if arch is None:
        machine = _ELF_MACHINES.get(elf.machine, f"machine {elf.machine}")
        order = "little" if elf.little_endian else "big"
        raise TriageError(
            f"{name} is for an architecture that is not supported: {elf.bits}-bit {order}-endian {machine}"
        )
    return arch
