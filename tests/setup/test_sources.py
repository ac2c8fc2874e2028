"""Which archive gives which package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.setup.conftest import Archive
from triage_tui.errors import TriageError
from triage_tui.setup import sources


@pytest.mark.parametrize(
    ("os_release", "expected"),
    [
        ({"ID": "debian", "VERSION_CODENAME": "bookworm"}, True),
        ({"ID": "debian", "VERSION_CODENAME": "trixie"}, False),
        ({"ID": "ubuntu", "VERSION_CODENAME": "noble"}, False),
        ({}, False),
    ],
)
def test_only_older_debian_has_all_architectures(os_release: dict[str, str], expected: bool) -> None:
    assert sources.host_archive_has_all(os_release) is expected


def test_debian_is_trusted_by_its_keyring_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAGE_TUI_DEBIAN_MIRROR", raising=False)
    line = sources.debian_source(Path("/keys/debian.gpg"))
    assert line.startswith("deb [signed-by=/keys/debian.gpg] http")
    monkeypatch.setenv("TRIAGE_TUI_DEBIAN_MIRROR", "https://mirror.example.org/debian")
    assert " https://mirror.example.org/debian " in sources.debian_source(Path("/keys/debian.gpg"))


def test_unpack_gives_the_files_and_runs_nothing(archive: Archive, tmp_path: Path) -> None:
    deb = archive.add("hello", {"usr/bin/hello": b"content"})
    sources.unpack(deb, tmp_path / "tree")
    assert (tmp_path / "tree" / "usr" / "bin" / "hello").read_bytes() == b"content"
    assert not (tmp_path / "tree" / "DEBIAN").exists()


def test_a_broken_package_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken_1_all.deb").write_bytes(b"not a package")
    with pytest.raises(TriageError, match=r"Cannot unpack broken_1_all\.deb"):
        sources.unpack(tmp_path / "broken_1_all.deb", tmp_path / "tree")
