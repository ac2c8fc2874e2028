"""The private state of apt: real apt, an archive of our own, nothing of the host touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.setup.conftest import Archive
from triage_tui.errors import TriageError
from triage_tui.setup import apt as apt_module
from triage_tui.setup.apt import Apt, NotOfferedError


def test_download_fetches_the_lists_by_itself(archive: Archive, tmp_path: Path) -> None:
    archive.add("hello", {"bin/hello": b"#!/bin/sh\n"})
    lines: list[str] = []
    apt = Apt(tmp_path / "apt", [archive.architecture], archive.source)
    [file] = apt.download(["hello"], tmp_path, lines.append)
    assert file.name == f"hello_1.0_{archive.architecture}.deb"
    assert file.read_bytes() == (archive.directory / file.name).read_bytes()
    assert any("downloading hello" in line for line in lines)


def test_foreign_architectures_need_nothing_of_the_host(archive: Archive, tmp_path: Path) -> None:
    archive.add("hello", {"bin/hello": b""}, architecture="mipsel")
    apt = Apt(tmp_path / "apt", [archive.architecture, "mipsel"], archive.source)
    [file] = apt.download(["hello:mipsel"], tmp_path)
    assert file.name == "hello_1.0_mipsel.deb"


def test_a_newer_version_in_the_archive_is_found_after_a_failed_download(
    archive: Archive, tmp_path: Path
) -> None:
    old = archive.add("hello", {"bin/hello": b"old"})
    apt = Apt(tmp_path / "apt", [archive.architecture], archive.source)
    apt.update()
    old.unlink()
    (archive.directory / "Packages").write_text("")
    archive.add("hello", {"bin/hello": b"new"}, version="2.0")
    [file] = apt.download(["hello"], tmp_path)
    assert "_2.0_" in file.name


def test_a_wrong_checksum_is_refused(archive: Archive, tmp_path: Path) -> None:
    deb = archive.add("hello", {"bin/hello": b"good"})
    deb.write_bytes(deb.read_bytes().replace(b"good", b"evil"))
    apt = Apt(tmp_path / "apt", [archive.architecture], archive.source)
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(TriageError, match=r"(?i)hash sum mismatch"):
        apt.download(["hello"], into)
    assert not list(into.glob("*.deb"))


def test_a_package_nobody_offers_is_named(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(NotOfferedError, match="nosuchthing"):
        Apt(tmp_path / "apt", [archive.architecture], archive.source).download(["nosuchthing"], tmp_path)


def test_an_unreachable_archive_is_one_sentence(tmp_path: Path) -> None:
    source = "deb [trusted=yes] http://127.0.0.1:9/debian stable main\n"
    with pytest.raises(
        TriageError, match=r"127\.0\.0\.1.*check the network, the proxy and the apt sources"
    ) as failure:
        Apt(tmp_path / "apt", ["amd64"], source).download(["hello"], tmp_path)
    assert "\n" not in str(failure.value)


def test_an_interrupt_is_no_word_on_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = Apt(tmp_path / "apt", ["amd64"], "deb [trusted=yes] http://127.0.0.1:9/debian stable main\n")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "apt-get"
    program.write_text("#!/bin/sh\nkill -INT $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(TriageError, match="fetching packages was interrupted"):
        apt.download(["hello"], tmp_path)


def test_apt_writes_below_its_directory_only_and_runs_no_hooks(archive: Archive, tmp_path: Path) -> None:
    Apt(tmp_path / "apt", [archive.architecture, "armel"], archive.source)
    dump = subprocess.run(
        ["apt-config", "dump"],
        env=os.environ | {"APT_CONFIG": str(tmp_path / "apt" / "apt.conf")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    settings = dict(line.rstrip(";").split(" ", 1) for line in dump.splitlines())
    for name in ("Dir::State", "Dir::State::status", "Dir::Cache", "Dir::Etc::sourcelist", "Dir::Etc::parts"):
        assert settings[name].startswith(f'"{tmp_path}')
    assert not [name for name in settings if "Invoke" in name]
    assert 'APT::Architectures:: "armel";' in dump.splitlines()


def test_without_apt_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TriageError, match=r"apt-get, .*install.*qemu-user-static"):
        apt_module.require_apt()
