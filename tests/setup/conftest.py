"""A package archive of our own: real .deb files and a real index, read by the real apt."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from triage_tui.setup.apt import native_architecture


@dataclass
class Archive:
    """A flat archive (sources.list(5)) in a directory."""

    directory: Path
    architecture: str

    @property
    def source(self) -> str:
        """The line of sources.list for it."""
        return f"deb [trusted=yes] copy:{self.directory} ./\n"

    def add(
        self, name: str, files: dict[str, bytes], version: str = "1.0", architecture: str | None = None
    ) -> Path:
        """Put a package with these files into the archive and return its .deb."""
        architecture = architecture or self.architecture
        tree = self.directory / "trees" / f"{name}-{version}-{architecture}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
        control += "Maintainer: nobody <nobody@example.org>\nDescription: for a test\n"
        (tree / "DEBIAN" / "control").write_text(control)
        for path, content in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
            (tree / path).chmod(0o755)
        deb = self.directory / f"{name}_{version}_{architecture}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, deb], check=True, capture_output=True
        )
        self._index(control, deb)
        return deb

    def _index(self, control: str, deb: Path) -> None:
        data = deb.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        entry = f"{control}Filename: ./{deb.name}\nSize: {len(data)}\nSHA256: {digest}\n\n"
        with (self.directory / "Packages").open("a") as index:
            index.write(entry)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    directory = tmp_path / "archive"
    directory.mkdir()
    (directory / "Packages").touch()
    return Archive(directory, native_architecture())
