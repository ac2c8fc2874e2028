"""A rule directory of SFEmu that is about to be run: what has to be known before, and what starts it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.emulator.qemu import find_qemu
from triage_tui.guest.host.sealed import open_sealed
from triage_tui.guest.spec import LaunchSpec
from triage_tui.guest.state.views import FrozenViews
from triage_tui.sfemu import waits
from triage_tui.sfemu.rules_dir import RECORD_DIRECTORIES, RulesDirectory, made_home
from triage_tui.sfemu.running import entering, messages
from triage_tui.sfemu.running.answers import AddressBook
from triage_tui.sfemu.running.connection import FirstProcess
from triage_tui.text import safe_line

_MEMORY_BYTES = 1 << 30
"""What one process may map beyond what it does at its start."""
_FILE_BYTES = 256 << 20
_OVERLAY_BYTES = 64 << 20
"""What the Lua may write in the rule directory outside of what is recorded; it goes with the guest."""
_EXCHANGED = (waits.WAITING, waits.DECISIONS, waits.DECIDED)
"""What its Lua sees of our workspace: by these the plugin and we meet."""
_MOST_FILES, _MOST_BYTES = 4096, 64 << 20
"""Of a rule directory that are hashed."""


@dataclass
class Opened:
    """A rule directory, and how it is run."""

    rules: RulesDirectory
    arch: Arch
    spec: LaunchSpec
    idle_ms: int = 5000
    """SFEmu's -rules-idle-ms."""
    keep: int = 256
    """SFEmu's -rules-ctx-keep."""
    has_stack: bool = False
    """SFEmu's -shadowstack."""
    book: AddressBook | None = None
    sha256: str = ""
    has_finish: bool = False
    """Whether calls are to be shown when they have ended."""
    environment: Mapping[str, str] = field(default_factory=dict)
    cancelled: Callable[[], bool] = lambda: False
    """Whether a person wants all of it to end."""

    @classmethod
    def of(
        cls, rules: RulesDirectory, arch: Arch, spec: LaunchSpec, *, idle_ms: int, keep: int, has_stack: bool
    ) -> Opened:
        """Look at a rule directory; it gets a `cache/` where it has nothing to record in.

        Raises:
            TriageError: it has no `entry.lua`, cannot be read or written, or our workspace is not in the
                first of its directories of records.
        """
        shown = safe_line(str(rules.root), 200)
        if not (rules.root / "entry.lua").is_file():
            raise TriageError(f"{shown} has no entry.lua: name a whole rule directory of SFEmu")
        try:
            if not rules.records:
                (rules.root / RECORD_DIRECTORIES[0]).mkdir()
        except OSError as error:
            raise TriageError(
                f"{shown} cannot be recorded in: cache/ cannot be made ({error.strerror})"
            ) from error
        first, *others = rules.records
        if rules.home.parent in others:
            # Its Lua could make one in the first of them, which would then be taken for ours.
            where, there = rules.home.relative_to(rules.root), first.relative_to(rules.root)
            raise TriageError(
                f"{shown} records in {there}/, and our workspace beside its older records is {where}/:"
                f" move it to {there}/{where.name}/ before the directory is run here"
            )
        try:
            home = made_home(rules)
        except TriageError:
            # Where nothing can be made its Lua makes nothing either, as the same user.
            if os.path.lexists(rules.home):
                raise
        else:
            for name in _EXCHANGED:
                with contextlib.suppress(OSError):
                    (home / name).mkdir(exist_ok=True)
        return cls(
            rules,
            arch,
            spec,
            idle_ms,
            keep,
            has_stack,
            sha256=directory_digest(rules.root),
            has_finish=(rules.root / "finish.lua").is_file(),
            environment=spec.env,
        )

    @property
    def name(self) -> str:
        """What it is called where it acted."""
        return f"sfemu:{self.rules.root.name}"

    @property
    def logs_calls(self) -> bool:
        """Whether the emulator logs the guest's calls."""
        return self.spec.observe == "full"

    def start(self, views: FrozenViews, single_id: bool, enosys: int) -> FirstProcess:
        """Start the first process in the cell of the process that is looked at.

        Raises:
            TriageError: it cannot be started.
        """
        root, home = self.rules.root, self.rules.home
        recorded = [path.name for path in self.rules.records]
        emulator = [views.arch.name, "-L", "/", *self.spec.emulator_options, "-0", "sh", "/bin/sh", "-c"]
        setup = messages.Setup(
            rules_path=self._path_in_root(),
            recorded=recorded,
            covered=str(home.relative_to(root)) if home.is_dir() and home.is_relative_to(root) else "",
            exchanged=list(_EXCHANGED),
            cwd=self.spec.cwd,
            single_id=single_id,
            memory_bytes=_MEMORY_BYTES,
            file_bytes=_FILE_BYTES,
            overlay_bytes=_OVERLAY_BYTES,
            environment=dict(self.environment),
            shell=[f"qemu-{emulator[0]}", *emulator[1:]],
            numbers={"SFEMU_SYSCALL_CTX_KEEP": self.keep, "SFEMU_RULES_IDLE_MS": self.idle_ms},
            enosys=enosys,
        )
        with contextlib.ExitStack() as stack:
            fds: list[int] = []
            try:
                places = [f"/proc/{views.pid}/ns/{name}" for name in entering.NAMESPACES]
                for place in places:
                    fds.append(os.open(place, os.O_RDONLY | os.O_CLOEXEC))
                    stack.callback(os.close, fds[-1])
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                fds.append(os.open(self.rules.root, flags))
                stack.callback(os.close, fds[-1])
                fds.append(open_sealed(str(find_qemu(views.arch, self.spec.qemu_dir))))
                stack.callback(os.close, fds[-1])
            except OSError as error:
                raise TriageError(
                    f"the Lua of the rule directory cannot be started beside the guest: {error.strerror}"
                ) from error
            return FirstProcess(setup, fds, self.cancelled)

    def _path_in_root(self) -> str:
        """Return the path by which the Lua knows the directory: that in the guest's root if it lies there.

        SFEmu's emulator runs in the guest's root, and has the directory there.
        """
        root = self.rules.root.resolve()
        inside = self.spec.rootfs.resolve() if self.spec.rootfs is not None else None
        if inside is not None and root.is_relative_to(inside):
            return f"/{root.relative_to(inside)}"
        return str(root)


def directory_digest(root: Path) -> str:
    """Return a SHA-256 over names and contents of a rule directory's files, but for what is recorded in it.

    Raises:
        TriageError: it cannot be read, or is too large.
    """
    digest, count, total = hashlib.sha256(), 0, 0
    try:
        for directory, names, files in os.walk(root):
            if Path(directory) == root:
                names[:] = [name for name in names if name not in RECORD_DIRECTORIES]
            names.sort()
            for name in sorted(files):
                path = Path(directory, name)
                if not path.is_file():
                    continue
                data = path.read_bytes()
                count, total = count + 1, total + len(data)
                if count > _MOST_FILES or total > _MOST_BYTES:
                    shown = safe_line(str(root), 200)
                    raise TriageError(
                        f"{shown} is too large for a rule directory: leave logs and programs out of it"
                    )
                digest.update(os.fsencode(path.relative_to(root)) + b"\0")
                digest.update(hashlib.sha256(data).digest())
    except OSError as error:
        raise TriageError(f"{safe_line(str(root), 200)} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
