"""Which archive gives which package: the host's own, or Debian's for what the host's does not have.

Ubuntu builds for fewer architectures than Debian and keeps some of them on another server; Debian itself
dropped 32-bit MIPS after bookworm. So on anything but older Debian the foreign programs come from Debian
bookworm, with signatures checked against Debian's keyring, which Debian and Ubuntu both package.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.setup.apt import Apt, native_architecture, require_apt
from triage_tui.setup.cache import Progress, publish, quiet, staging

_SUITE = "bookworm"
_RELEASES_WITH_ALL = ("bullseye", "bookworm")
_KEYRING_PACKAGE = "debian-archive-keyring"
_KEYRINGS = tuple(f"usr/share/keyrings/{_KEYRING_PACKAGE}{suffix}" for suffix in (".gpg", ".pgp"))
_MIRROR_VARIABLE = "TRIAGE_TUI_DEBIAN_MIRROR"
# What distributions tell their own tools about Debian's archive; both package it.
_TEMPLATES_PACKAGE = "python-apt-common"
_TEMPLATES = ("usr/share/python-apt/templates/Debian.info",)
_BASE_URI = re.compile(r"^BaseURI:\s*https?://(\S+?)/?\s*$", re.MULTILINE)


def fetch(
    specs: Collection[str],
    cache: Path,
    into: Path,
    progress: Progress = quiet,
    *,
    of_debian: bool = False,
) -> dict[str, Path]:
    """Download packages into the directory `into`.

    `specs` are "name" for the host's architecture or "name:architecture"; `cache` is the locked cache
    directory. `of_debian` takes those of the host's architecture from Debian's archive as well, for packages
    that others name differently or do not have. Returns the downloaded file of each spec.

    Raises:
        TriageError: apt or dpkg is missing, or the archive cannot be used.
    """
    require_apt()
    native = native_architecture()
    own = [spec for spec in specs if _architecture(spec, native) == native and not of_debian]
    foreign = [spec for spec in specs if spec not in own]
    files: list[Path] = []
    if host_archive_has_all(_os_release()):
        files += _host_archive(cache, [native, *_architectures(foreign, native)]).download(
            specs, into, progress
        )
    else:
        if own:
            files += _host_archive(cache, [native]).download(own, into, progress)
        if foreign:
            keyring = _shared_file(_KEYRING_PACKAGE, _KEYRINGS, cache, native, progress)
            mirror = os.environ.get(_MIRROR_VARIABLE) or debian_mirror(
                _shared_file(_TEMPLATES_PACKAGE, _TEMPLATES, cache, native, progress)
            )
            archive = Apt(
                cache / "apt" / "debian", _architectures(foreign, native), debian_source(keyring, mirror)
            )
            files += archive.download(foreign, into, progress)
    return {spec: _file_of(spec, native, files) for spec in specs}


def host_archive_has_all(os_release: dict[str, str]) -> bool:
    """Whether the host's own apt sources give all foreign architectures; `os_release` is os-release(5)."""
    return os_release.get("ID") == "debian" and os_release.get("VERSION_CODENAME") in _RELEASES_WITH_ALL


def debian_source(keyring: Path, mirror: str) -> str:
    """The sources.list(5) line for Debian's archive at `mirror`, trusted by `keyring` alone."""
    return f"deb [signed-by={keyring}] {mirror} {_SUITE} main\n"


def debian_mirror(templates: Path) -> str:
    """The address of Debian's archive, from the distribution's own description of Debian's releases.

    It is asked by plain HTTP, which needs no certificates on a bare machine: apt checks the signatures.

    Raises:
        TriageError: the description names none.
    """
    found = _BASE_URI.search(templates.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        raise TriageError(f"{templates} names no Debian archive: name one in {_MIRROR_VARIABLE}")
    return f"http://{found[1]}"


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _host_archive(cache: Path, architectures: Collection[str]) -> Apt:
    return Apt(cache / "apt" / "host", architectures)


def _shared_file(package: str, names: tuple[str, ...], cache: Path, native: str, progress: Progress) -> Path:
    """The host's copy of one of the files `names` of `package`, or one out of the host's own archive."""
    place = cache / "store" / package
    for root in (Path("/"), place):
        for name in names:
            if (root / name).is_file():
                return root / name
    with staging(cache) as work:
        [file] = _host_archive(cache, [native]).download([package], work, progress)
        unpack(file, work / "tree")
        publish(work / "tree", place)
    for name in names:
        if (place / name).is_file():
            return place / name
    raise TriageError(f"the package {package} of this system's archive does not hold {names[0]}")


def discard_lists(cache: Path) -> None:
    """Forget the package lists, some hundred megabytes that are out of date tomorrow."""
    shutil.rmtree(cache / "apt", ignore_errors=True)


def unpack(package: Path, into: Path) -> None:
    """Unpack the files of a .deb over the directory `into`; no maintainer script is run.

    Raises:
        TriageError: dpkg-deb could not unpack it, as when the disk is full.
    """
    into.mkdir(exist_ok=True)
    result = subprocess.run(
        ["dpkg-deb", "-x", str(package), str(into)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode != 0:
        reason = " ".join(result.stderr.split()) or f"dpkg-deb ended with code {result.returncode}"
        raise TriageError(
            f"Cannot unpack {package.name} below {into.parent} ({reason}): is there enough space?"
        )


def _architecture(spec: str, native: str) -> str:
    return spec.partition(":")[2] or native


def _architectures(specs: Collection[str], native: str) -> list[str]:
    return sorted({_architecture(spec, native) for spec in specs})


def _file_of(spec: str, native: str, files: Collection[Path]) -> Path:
    name = spec.partition(":")[0]
    for file in files:
        package, _, rest = file.name.partition("_")
        if package == name and rest.removesuffix(".deb").rsplit("_", 1)[-1] in (
            _architecture(spec, native),
            "all",
        ):
            return file
    raise TriageError(
        f"apt downloaded no file for {spec}: report this with the output of `apt-get --version`."
    )
