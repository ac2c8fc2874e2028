"""Headless Chromium for the tests: Debian's packages, unpacked into the user's cache, 115 MB to fetch once.

Nothing is installed and no root is needed: the libraries that Debian's `chromium-headless-shell` asks for lie
beside it and are named in LD_LIBRARY_PATH; the C library is the host's. The packages are Debian bookworm's on
any host, so their names and what they ask for of each other never change.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from triage_tui.resources import cache_dir
from triage_tui.setup.apt import native_architecture
from triage_tui.setup.cache import exclusive, publish, staging
from triage_tui.setup.sources import fetch, unpack

_MULTIARCH = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
# What `ldd` finds of the program, what NSS loads on its own, one family of fonts.
_PACKAGES = (
    *("chromium-headless-shell", "chromium-common", "fonts-dejavu-core", "fontconfig-config"),
    *("libasound2", "libasyncns0", "libatk1.0-0", "libatspi2.0-0", "libblkid1", "libbrotli1", "libbsd0"),
    *("libcap2", "libdav1d6", "libdbus-1-3", "libdouble-conversion3", "libdrm2", "libexpat1", "libffi8"),
    *("libflac12", "libfontconfig1", "libfreetype6", "libgbm1", "libgcc-s1", "libgcrypt20"),
    *("libglib2.0-0", "libgpg-error0", "libgraphite2-3", "libharfbuzz-subset0", "libharfbuzz0b"),
    *("libjpeg62-turbo", "liblcms2-2", "liblz4-1", "liblzma5", "libmd0", "libminizip1", "libmount1"),
    *("libmp3lame0", "libmpg123-0", "libnspr4", "libnss3", "libogg0", "libopenh264-7", "libopenjp2-7"),
    *("libopus0", "libpcre2-8-0", "libpng16-16", "libpulse0", "libselinux1", "libsndfile1"),
    *("libsqlite3-0", "libstdc++6", "libsystemd0", "libudev1", "libvorbis0a", "libvorbisenc2"),
    *("libwayland-server0", "libx11-6", "libxau6", "libxcb1", "libxcomposite1", "libxdamage1", "libxdmcp6"),
    *("libxext6", "libxfixes3", "libxi6", "libxkbcommon0", "libxnvctrl0", "libxrandr2", "libxrender1"),
    *("libzstd1", "zlib1g"),
)
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
<dir prefix="relative">../usr/share/fonts</dir><cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""
ARGUMENTS = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@dataclass(frozen=True)
class Chromium:
    """An unpacked browser: its program, and the variables that it needs."""

    program: Path
    environment: dict[str, str]


def ensure_chromium() -> Chromium:
    """Return the browser, fetching it if needed.

    Raises:
        TriageError: it cannot be fetched.
    """
    architecture = native_architecture()
    key = hashlib.sha256(" ".join((architecture, *_PACKAGES, _FONTS)).encode()).hexdigest()[:12]
    place = cache_dir() / "chromium" / key
    if not place.is_dir():
        with exclusive() as cache, staging(cache) as work:
            if not place.is_dir():
                files = fetch(_PACKAGES, cache, work, of_debian=True)
                for file in files.values():
                    unpack(file, work / "tree")
                (work / "tree" / "fonts").mkdir()
                (work / "tree" / "fonts" / "fonts.conf").write_text(_FONTS)
                publish(work / "tree", place)
    libraries = [
        place / base / _MULTIARCH[architecture] / below
        for base in ("usr/lib", "lib")
        for below in ("", "pulseaudio", "nss")
    ]
    return Chromium(
        place / "usr/lib/chromium/chromium-headless-shell",
        {
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "FONTCONFIG_FILE": str(place / "fonts" / "fonts.conf"),
        },
    )
