"""Small root file systems, written from a mapping of paths; their programs are ELF files of a few bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from triage_tui.campaign.discovery.boot import Found, discover
from triage_tui.campaign.model import Target

_EM = {"mipsel": 8, "arm": 40, "sparc": 2}


def elf(arch: str = "mipsel", interpreter: str = "") -> bytes:
    """The smallest program that can be loaded, of 32 bits, little-endian (System V gABI, chapter 4)."""
    name = interpreter.encode() + b"\0" if interpreter else b""
    count = 2 if interpreter else 1
    size = 52 + 32 * count + len(name)
    header = b"\x7fELF" + bytes((1, 1, 1)) + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, _EM[arch], 1, 0x10000, 52, 0, 0, 52, 32, count, 0, 0, 0)
    load = struct.pack("<IIIIIIII", 1, 0, 0x10000, 0x10000, size, size, 5, 0x1000)
    interp = struct.pack("<IIIIIIII", 3, 52 + 64, 0, 0, len(name), len(name), 4, 1) if interpreter else b""
    return header + load + interp + name


ELF = elf()
LINK = "-> "
"""What the text of a symbolic link begins with."""


def make_root(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files: bytes are programs and executable, texts are too where they are scripts."""
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
            path.chmod(0o755)
        elif content.startswith(LINK):
            path.symlink_to(content.removeprefix(LINK))
        else:
            path.write_text(content)
            path.chmod(0o755 if content.startswith("#!") else 0o644)
    root.mkdir(exist_ok=True)
    return root


def found_in(root: Path, files: Mapping[str, str | bytes]) -> Found:
    """Make a root and search it."""
    return discover(make_root(root, files))


def commands(found: Found) -> list[str]:
    """The command lines that would be run, in their order."""
    return [" ".join(target.argv) for target in found.targets]


def left_out(found: Found) -> dict[str, str]:
    """What was left out -> why."""
    return {one.what: one.why for one in found.left_out}


def of(found: Found, name: str) -> Target:
    """The target of that name."""
    return next(target for target in found.targets if target.name == name)
