"""A root file system seen from inside: paths, links, texts and patterns. It is hostile and may be huge."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from triage_tui.campaign.discovery.made import Made
from triage_tui.errors import Stopped, TriageError
from triage_tui.guest.spec import open_in_root
from triage_tui.text import safe_line

MAX_TEXT = 256 << 10
"""Bytes of a script or a configuration file that are read."""
MAX_KEPT_BYTES = 32 << 20
"""Of all texts that are kept for a second look."""
MAX_NAMES = 4096
"""Names of one directory that are looked at."""
MAX_STEPS = 100_000
"""Files, directories and commands that are looked at for one root in all."""
_TOLD_STEPS = 10_000
"""After so many it is told how far the search is."""
_MAX_LINKS = 40
_MAX_MATCHES = 1000
_PATTERN = frozenset("*?[")


class TooMuchError(Exception):
    """The search of a root has used up its steps."""


class LongScriptError(Exception):
    """A script has used up its steps."""


class RootView:
    """One root. Guest paths are absolute texts; links lead where they would for a process inside."""

    def __init__(
        self,
        root: Path,
        progress: Callable[[str], None] | None = None,
        cancel: threading.Event | None = None,
        steps: int = MAX_STEPS,
    ) -> None:
        """Look into the directory `root`; after `steps` the search ends, 0 for never.

        Raises:
            TriageError: it is none.
        """
        if not root.is_dir():
            raise TriageError(
                f"the root file system {safe_line(str(root), 300)} is no directory: give the directory into"
                " which the firmware was unpacked"
            )
        self.root = root
        self._prefix = str(root).rstrip("/")
        self.made = Made()
        """What scripts have made of it so far."""
        self.cut: set[str] = set()
        """Texts that were longer than MAX_TEXT."""
        self._progress = progress
        self._cancel = cancel
        self._steps = 0
        self._most_steps = steps
        self._script_end = 0
        self._kept_bytes = 0
        self._texts: dict[str, bytes | None] = {}

    def step(self, count: int = 1) -> None:
        """Count something that was looked at.

        Raises:
            Stopped: a person cancelled.
            TooMuchError: it is more than is looked at.
            LongScriptError: it is more than a script may come to.
        """
        if self._cancel is not None and self._cancel.is_set():
            raise Stopped(f"the search of {safe_line(str(self.root), 200)} was cancelled")
        before, self._steps = self._steps, self._steps + count
        if self._steps > self._most_steps > 0:
            raise TooMuchError
        if self._steps > self._script_end > 0:
            raise LongScriptError
        if self._progress is not None and before // _TOLD_STEPS != self._steps // _TOLD_STEPS:
            self._progress(f"{safe_line(str(self.root), 200)}: {self._steps} files and commands looked at")

    @contextmanager
    def at_most(self, steps: int) -> Iterator[None]:
        """Within, end what takes more than `steps` by LongScriptError; outside, these steps do not count."""
        outer, begun = self._script_end, self._steps
        self._script_end = begun + steps
        try:
            yield
        finally:
            self._script_end = outer + self._steps - begun if outer else 0

    def canonical(self, path: str) -> str | None:
        """Return the guest path without links, None where it leads to nothing."""
        if not path or "\0" in path:
            return None
        parts = [part for part in path.split("/") if part not in ("", ".")][::-1]
        found: list[str] = []
        links = 0
        while parts:
            part = parts.pop()
            if part == "..":
                del found[-1:]
                continue
            guest = "/" + "/".join((*found, part))
            place = self._prefix + guest
            source = self.made.copies.get(guest)
            if source is not None:
                links += 1
                if links > _MAX_LINKS:
                    return None
                found = []
                parts += [piece for piece in source.split("/") if piece not in ("", ".")][::-1]
                continue
            if guest in self.made.gone:
                return None
            try:
                mode = os.lstat(place).st_mode
                if not stat.S_ISLNK(mode):
                    found.append(part)
                    continue
                links += 1
                target = os.readlink(place)
            except (OSError, ValueError):
                if not self.made.has(guest):
                    return None
                found.append(part)
                continue
            if links > _MAX_LINKS:
                return None
            if target.startswith("/"):
                found = []
            parts += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
        return "/" + "/".join(found)

    def status(self, path: str) -> os.stat_result | None:
        """Return what stat(2) tells of a guest path inside the root, None where there is nothing."""
        real = self.canonical(path)
        if real is None:
            return None
        try:
            return os.lstat(self._host(real))
        except (OSError, ValueError):
            text = self.made.texts.get(real)
            kind = stat.S_IFREG if real in self.made.texts else stat.S_IFDIR
            return os.stat_result((kind | 0o755, 0, 0, 1, 0, 0, 1 if text is None else len(text), 0, 0, 0))

    def made_at(self, path: str) -> str | None:
        """Return where a script makes what is at a guest path, as a sentence; None where no script does."""
        real = self.canonical(path)
        if real is None or not self.made.has(real) or os.path.lexists(self._host(real)):
            return None
        return f"it is made at boot ({self.made.origins.get(real, 'by a script')})"

    def in_image(self, path: str) -> str:
        """Return where the root itself has what scripts show at `path`; `path` where they show nothing."""
        made = self.made
        if not made.copies and not made.gone:
            return path
        self.made = Made()
        try:
            own = self.canonical(path)
        finally:
            self.made = made
        real = self.canonical(path)
        return path if real is None or own == real else real

    def is_directory(self, path: str) -> bool:
        """Tell whether it is a directory, or a link to one."""
        status = self.status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def is_file(self, path: str) -> bool:
        """Tell whether it is a regular file, or a link to one."""
        status = self.status(path)
        return status is not None and stat.S_ISREG(status.st_mode)

    def is_link(self, path: str) -> bool:
        """Tell whether its last part is a symbolic link."""
        parent = self.canonical(posixpath.dirname(path) or "/")
        if parent is not None and posixpath.join(parent, posixpath.basename(path)) in self.made.links:
            return True
        try:
            return parent is not None and os.path.islink(
                self._host(posixpath.join(parent, posixpath.basename(path)))
            )
        except (OSError, ValueError):
            return False

    def link_target(self, path: str) -> str:
        """Return what a symbolic link says, "" where it is none."""
        parent = self.canonical(posixpath.dirname(path) or "/")
        try:
            return (
                ""
                if parent is None
                else os.readlink(self._host(posixpath.join(parent, posixpath.basename(path))))
            )
        except (OSError, ValueError):
            return ""

    def text(self, path: str) -> bytes | None:
        """Return the text of a regular file, at most MAX_TEXT bytes of it; None where there is none.

        What holds NUL bytes is no text.
        """
        real = self.canonical(path)
        if real is None:
            return None
        if real in self.made.texts:
            return self.made.texts[real]
        if real in self._texts:
            return self._texts[real]
        self.step()
        found: bytes | None = None
        try:
            with open(open_in_root(self.root, real), "rb") as file:
                data = file.read(MAX_TEXT + 1)
            found = None if b"\0" in data else data[:MAX_TEXT]
            if len(data) > MAX_TEXT:
                self.cut.add(real)
        except (OSError, ValueError):
            pass
        self._kept_bytes += len(found or b"")
        if self._kept_bytes <= MAX_KEPT_BYTES:
            self._texts[real] = found
        return found

    def lines(self, path: str) -> list[str]:
        """Return the lines of a text, none where there is no such text."""
        return (self.text(path) or b"").decode("utf-8", "surrogateescape").splitlines()

    def head(self, path: str, size: int = 256) -> bytes:
        """Return the first bytes of a regular file, none where there is no such file."""
        self.step()
        real = self.canonical(path)
        if real is None or real in self.made.texts:
            return b"" if real is None else (self.made.texts[real] or b"")[:size]
        try:
            with open(open_in_root(self.root, real), "rb") as file:
                return file.read(size)
        except (OSError, ValueError):
            return b""

    def names(self, path: str) -> list[str]:
        """Return the names in a directory in the shell's order of the C locale, at most MAX_NAMES."""
        self.step()
        real = self.canonical(path)
        if real is None:
            return []
        found = []
        try:
            with os.scandir(self._host(real)) as entries:
                for entry in entries:
                    found.append(entry.name)
                    if len(found) >= MAX_NAMES:
                        break
        except (OSError, ValueError):
            if real not in self.made.directories:
                return []
        self.step(len(found) // 50)
        made = self.made
        if made.gone:
            found = [name for name in found if posixpath.join(real, name) not in made.gone]
        return sorted({*found, *made.below.get(real, ())})

    def glob(self, pattern: str, cwd: str = "/") -> list[str]:
        """Return the paths that a pattern of the shell stands for, none where it matches nothing."""
        absolute = pattern.startswith("/")
        found = ["/" if absolute else ""]
        for part in [part for part in pattern.split("/") if part]:
            further: list[str] = []
            for place in found:
                if not _PATTERN & set(part):
                    path = posixpath.join(place, part)
                    if self.status(posixpath.join(cwd, path)) is not None:
                        further.append(path)
                    continue
                for name in self.names(posixpath.join(cwd, place)):
                    if name.startswith(".") and not part.startswith("."):
                        continue
                    if fnmatch.fnmatchcase(name, part):
                        further.append(posixpath.join(place, name))
                if len(further) > _MAX_MATCHES:
                    break
            found = further[:_MAX_MATCHES]
        return sorted(found)

    def which(self, name: str, path: str) -> str | None:
        """Return the guest path of the command `name` along the search path, None where there is none."""
        for directory in path.split(":"):
            candidate = posixpath.join(directory or "/", name)
            if candidate.startswith("/") and self.is_file(candidate):
                return candidate
        return None

    def _host(self, real: str) -> str:
        return self._prefix + (real if real.startswith("/") else f"/{real}")


def has_pattern(text: str) -> bool:
    """Tell whether the shell would look for files by this text."""
    return bool(_PATTERN & set(text))
