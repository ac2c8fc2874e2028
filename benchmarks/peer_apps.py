"""Other terminal apps to compare with, each in a virtual environment of its own in the user's cache."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from triage_tui.resources import cache_dir

_INSTALL_S = 900


@dataclass(frozen=True, slots=True)
class Peer:
    """An app of the package index."""

    name: str
    requirements: tuple[str, ...]
    usable: str
    """A text that is on its screen when a person can begin."""
    arguments: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Where its environment is, or will be."""
        return cache_dir() / "peers" / self.name

    @property
    def command(self) -> list[str]:
        """What starts it."""
        return [str(self.directory / "bin" / self.name), *self.arguments]


PEERS = (
    # Tree-sitter 0.26 ends posting with a segmentation fault when it draws its first text area.
    Peer("posting", ("posting", "tree-sitter<0.26"), "Collection is empty"),
    Peer("harlequin", ("harlequin",), "Run Query"),
)


def prepare(peer: Peer) -> str:
    """Install an app if it is not there; returns its name and version.

    Raises:
        RuntimeError: it cannot be installed; the text says why in one line.
    """
    python = peer.directory / "bin" / "python"
    ready = peer.directory / "installed"
    try:
        if not ready.exists():
            print(f"installing {peer.name} below {peer.directory}", flush=True)
            _run(sys.executable, "-m", "venv", "--clear", str(peer.directory))
            _run(str(python), "-m", "pip", "install", "--quiet", *peer.requirements)
            ready.touch()
        version = f"import importlib.metadata; print(importlib.metadata.version({peer.name!r}))"
        return f"{peer.name} {_run(str(python), '-c', version)}"
    except (OSError, subprocess.SubprocessError) as error:
        text = (getattr(error, "stderr", None) or "").strip() or str(error)
        raise RuntimeError(text.splitlines()[-1]) from error


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    return done.stdout.strip()
