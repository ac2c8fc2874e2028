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


def test_debian_is_trusted_by_its_keyring_alone() -> None:
    line = sources.debian_source(Path("/keys/debian.gpg"), "http://mirror.example.org/debian")
    assert line == "deb [signed-by=/keys/debian.gpg] http://mirror.example.org/debian bookworm main\n"


def test_the_mirror_is_what_the_distribution_says(tmp_path: Path) -> None:
    templates = tmp_path / "Debian.info"
    templates.write_text(
        "ChangelogURI: https://changes.example.org/\n\nBaseURI: https://mirror.example.org/debian/\n"
    )
    assert sources.debian_mirror(templates) == "http://mirror.example.org/debian"
    templates.write_text("Suite: bookworm\n")
    with pytest.raises(TriageError, match="TRIAGE_TUI_DEBIAN_MIRROR"):
        sources.debian_mirror(templates)


def test_another_distribution_gets_foreign_programs_from_debian(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIAGE_TUI_DEBIAN_MIRROR", raising=False)
    # The one thing that is replaced: what this system says of itself.
    monkeypatch.setattr(sources, "_os_release", lambda: {"ID": "ubuntu", "VERSION_CODENAME": "noble"})
    (tmp_path / "into").mkdir()
    files = sources.fetch(["busybox-static:mipsel"], tmp_path / "cache", tmp_path / "into")
    assert files["busybox-static:mipsel"].name.endswith("_mipsel.deb")


def test_unpack_gives_the_files_and_runs_nothing(archive: Archive, tmp_path: Path) -> None:
    deb = archive.add("hello", {"usr/bin/hello": b"content"})
    sources.unpack(deb, tmp_path / "tree")
    assert (tmp_path / "tree" / "usr" / "bin" / "hello").read_bytes() == b"content"
    assert not (tmp_path / "tree" / "DEBIAN").exists()


def test_a_broken_package_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken_1_all.deb").write_bytes(b"not a package")
    with pytest.raises(TriageError, match=r"Cannot unpack broken_1_all\.deb"):
        sources.unpack(tmp_path / "broken_1_all.deb", tmp_path / "tree")
