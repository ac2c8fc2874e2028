"""What start scripts have made of a root so far: files they wrote, copied or linked, places they mounted.

Many roots of vendors are not what runs: `cp -a /etc_ro/* /etc`, `mount --bind`, `echo ... > /tmp/httpd.conf`.
Nothing is written; it is only known, for the scripts and tests that follow.
"""

from __future__ import annotations

import posixpath

import msgspec

MAX_MADE = 4000
"""Paths that are kept in all."""
MAX_TEXT = 64 << 10


class Made(msgspec.Struct, kw_only=True):
    """Guest paths, each without links in its directory."""

    copies: dict[str, str] = {}
    """A copy, a link or a mounted directory -> the guest path that it shows."""
    texts: dict[str, bytes | None] = {}
    """A file that was written -> its text, None where that is known on the device alone."""
    directories: set[str] = set()
    links: set[str] = set()
    """Those of `copies` that are symbolic links."""
    gone: set[str] = set()
    unknown: set[str] = set()
    """Directories into which a device, a server or an archive brings what no root tells."""
    doubtful: set[str] = set()
    """Paths that are there only where something holds that nobody knows."""
    origins: dict[str, str] = {}
    """A file or directory that was made -> where."""
    below: dict[str, set[str]] = {}
    """A directory -> the names that were made in it."""

    def has(self, path: str) -> bool:
        """Tell whether a file or directory was made there that is no copy."""
        return path in self.texts or path in self.directories

    def _add(self, path: str, sure: bool) -> bool:
        if len(self.below) + len(self.origins) > MAX_MADE:
            return False
        parent, name = posixpath.split(path)
        names = self.below.setdefault(parent, set())
        if len(names) > MAX_MADE:
            return False
        names.add(name)
        if sure:
            self.doubtful.discard(path)
            self.gone.discard(path)
        else:
            self.doubtful.add(path)
        return True

    def copy(self, source: str, path: str, origin: str, sure: bool, *, link: bool = False) -> None:
        """Let `path` show what `source` is."""
        if path in ("/", source) or path.startswith(f"{source.rstrip('/')}/"):
            return
        self.directory(posixpath.dirname(path), origin, True)
        if not self._add(path, sure):
            return
        self.copies[path] = source
        self.texts.pop(path, None)
        if link:
            self.links.add(path)

    def write(self, path: str, text: bytes | None, origin: str, sure: bool) -> None:
        """Let a file be there with a text."""
        self.directory(posixpath.dirname(path), origin, True)
        if not self._add(path, sure):
            return
        self.texts[path] = text if text is None or len(text) <= MAX_TEXT else None
        self.origins.setdefault(path, origin)
        self.copies.pop(path, None)

    def directory(self, path: str, origin: str, sure: bool) -> None:
        """Let a directory be there, with those above it."""
        while path not in ("", "/") and path not in self.directories and self._add(path, sure):
            self.origins.setdefault(path, origin)
            self.directories.add(path)
            path = posixpath.dirname(path)

    def remove(self, path: str, sure: bool) -> None:
        """Let a path be gone; of what may be gone, only that is noted."""
        if not sure:
            self.doubtful.add(path)
            return
        made = path in self.copies or self.has(path)
        self.copies.pop(path, None)
        self.texts.pop(path, None)
        self.directories.discard(path)
        self.links.discard(path)
        self.below.get(posixpath.dirname(path), set()).discard(posixpath.basename(path))
        if not made and len(self.gone) < MAX_MADE:
            self.gone.add(path)

    def is_doubtful(self, path: str) -> bool:
        """Tell whether nobody knows if something is at `path`, where nothing of it is known."""
        return path in self.doubtful or any(
            path == place or path.startswith(f"{place}/") for place in self.unknown
        )
