"""A private state of apt: package lists and downloads below the cache, nothing of the host is touched.

apt reads the file named by APT_CONFIG before all others (apt.conf(5)), so that file can move every directory
apt writes to, and can keep apt from reading the host's configuration parts: those may hold hooks that clean
the host's own caches. What is needed of the host's configuration (proxies, certificates, sources, trusted
keys) is copied over from `apt-config dump`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.setup.cache import Progress, quiet
from triage_tui.setup.child import ends_with_us

_KEPT = re.compile(r"(?:Acquire|Dir::Etc)::")
_DROPPED = re.compile(
    r"Acquire::(?:IndexTargets|Languages|GzipIndexes|Changelogs|cdrom)\b|Dir::Etc::(?:main|parts)\b"
)
_OFFER = re.compile(r"'[^']+' (?P<file>\S+) (?P<size>\d+)")
_LACKING = re.compile(
    r"^E: (?:Unable to locate package|Can't select candidate version from package) (\S+)", re.MULTILINE
)
_UNREACHABLE = re.compile(r"connect|resolv|timed out|unreachable", re.IGNORECASE)
_NEEDED = ("apt-get", "apt-config", "dpkg", "dpkg-deb")


_INTERRUPTED = (-signal.SIGINT, 128 + signal.SIGINT)


class ArchiveError(TriageError):
    """Packages cannot be had; `missing` are those that the lists do not offer, as far as apt names them."""

    missing: frozenset[str] = frozenset()


class NotOfferedError(ArchiveError):
    """The archive was reached but has no such package."""


@dataclass(frozen=True)
class Package:
    """One package as the archive offers it now; `file` holds version and architecture, `size` is in bytes."""

    file: str
    size: int


def require_apt() -> None:
    """Check that this host has apt and dpkg.

    Raises:
        TriageError: it has not; the sentence says how to go on without.
    """
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        raise TriageError(
            f"Cannot fetch packages without {', '.join(missing)} (neither Debian nor Ubuntu?): install "
            "QEMU's static user-mode emulators (package qemu-user-static, elsewhere qemu-user-static-bin or "
            "qemu-linux-user), and start programs of your own with `triage-tui run --rootfs DIRECTORY`."
        )


def native_architecture() -> str:
    """Return dpkg's name of the host's architecture, such as "amd64"."""
    return subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()


class Apt:
    """apt-get with a state of its own in `directory`.

    `architectures` are dpkg's names; `sources` is the text of a sources.list(5), None for the host's own.
    """

    def __init__(self, directory: Path, architectures: Collection[str], sources: str | None = None) -> None:
        self._directory = directory
        self._architectures = list(dict.fromkeys(architectures))
        self._sources = sources
        self._complaint = ""
        self._missing: frozenset[str] = frozenset()
        self._config = self._write_configuration()

    def update(self, progress: Progress = quiet) -> None:
        """Fetch the package lists.

        A list that fails is tried once more (mirrors disagree with themselves while they synchronise) and
        then left out: what matters is whether the wanted packages are offered.
        """
        progress(f"fetching package lists for {', '.join(self._architectures)}")
        for last_try in (False, True):
            # Without "any" apt-get calls it a success when nothing at all could be fetched.
            result = self._run("update", "-o", "APT::Update::Error-Mode=any")
            self._complaint = "" if result.returncode == 0 else _first_error(result)
            if not self._complaint:
                return
            if _UNREACHABLE.search(self._complaint):
                break
            if not last_try:
                progress("some package lists could not be fetched: trying once more")
        progress(f"going on without some package lists ({self._complaint})")

    def offers(self, specs: Collection[str]) -> list[Package] | None:
        """Return what the lists offer for `specs` ("name[:architecture]"), None unless they have all."""
        result = self._run("download", "--print-uris", *specs)
        self._missing = frozenset(_LACKING.findall(result.stderr))
        found = [
            Package(match["file"], int(match["size"]))
            for match in map(_OFFER.match, result.stdout.splitlines())
            if match
        ]
        return found if result.returncode == 0 and len(found) == len(set(specs)) else None

    def download(self, specs: Collection[str], into: Path, progress: Progress = quiet) -> list[Path]:
        """Download `specs` into the directory `into`; apt checks each file against the signed lists.

        Lists that are missing or older than the archive are fetched again, once.

        Raises:
            NotOfferedError: the archive has no such package.
            ArchiveError: the archive cannot be reached, or a download failed its checks.
        """
        reason = ""
        for last_try in (False, True):
            if last_try:
                self.update(progress)
            offered = self.offers(specs)
            if offered is None:
                reason = self._complaint
                continue
            megabytes = sum(package.size for package in offered) / 1e6
            progress(f"downloading {', '.join(specs)} ({megabytes:.1f} MB)")
            result = self._run("download", *specs, cwd=into)
            if result.returncode == 0:
                return [into / package.file for package in offered]
            reason = _first_error(result)
        error: ArchiveError
        if reason:
            error = ArchiveError(
                f"The package archive could not be used ({reason}): "
                "check the network, the proxy and the apt sources, then try again."
            )
        else:
            error = NotOfferedError(
                f"The package archive does not offer all of {', '.join(specs)}: "
                "check the apt sources of this system."
            )
        error.missing = self._missing
        raise error

    def _run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            ["apt-get", "-q", *arguments],
            cwd=cwd,
            env=os.environ
            | {"APT_CONFIG": str(self._config), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            preexec_fn=ends_with_us(),
            text=True,
            errors="replace",
            check=False,
        )
        if result.returncode in _INTERRUPTED:
            # Ctrl-C is for the whole terminal: what was not fetched then says nothing of the archive.
            raise ArchiveError("fetching packages was interrupted")
        return result

    def _write_configuration(self) -> Path:
        directory = self._directory
        for name in ("state/lists/partial", "cache/archives/partial", "empty"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "state" / "status").touch()
        settings = {
            "Dir::State": directory / "state",
            "Dir::State::status": directory / "state" / "status",
            "Dir::Cache": directory / "cache",
            "Dir::Cache::srcpkgcache": "",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": directory / "empty",
            "Acquire::Languages": "none",
            "Acquire::GzipIndexes": "true",
            "APT::Get::List-Cleanup": "false",
            "Acquire::Retries": "1",
            "Acquire::http::Timeout": "20",
            "Acquire::https::Timeout": "20",
        }
        if os.geteuid() == 0:
            # apt would drop its rights to the user _apt, who cannot write below somebody's home directory.
            settings["APT::Sandbox::User"] = "root"
        if self._sources is not None:
            source_list = directory / "sources.list"
            source_list.write_text(self._sources)
            settings |= {"Dir::Etc::sourcelist": source_list, "Dir::Etc::sourceparts": directory / "empty"}
        lines = _host_settings()
        lines += [f'{name} "{value}";' for name, value in settings.items()]
        lines += [f'APT::Architectures:: "{architecture}";' for architecture in self._architectures]
        config = directory / "apt.conf"
        config.write_text("\n".join(lines) + "\n")
        return config


def _host_settings() -> list[str]:
    """The host's settings that say where and how to fetch, as lines of apt.conf(5)."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    return [line for line in dump.stdout.splitlines() if _KEPT.match(line) and not _DROPPED.match(line)]


def _first_error(result: subprocess.CompletedProcess[str]) -> str:
    """What apt-get says went wrong, on one line."""
    errors = [line[3:].strip() for line in result.stderr.splitlines() if line.startswith("E: ")]
    if not errors:
        return f"apt-get ended with code {result.returncode}"
    return re.sub(r"\s+", " ", errors[0]).rstrip(".")
