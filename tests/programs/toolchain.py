"""Compile C programs for every architecture that guests may have.

The compiler is the clang of the development dependency `ziglang`, called directly, and the linker its lld.
The C library is Debian's glibc (packages libc6-dev-*-cross and libgcc-*-dev-*-cross, unpacked into the user's
cache without root), so that a program is what a distribution would ship: 0.04 s for a static one. Debian has
no big-endian ARM: that architecture gets the musl that comes with the compiler, which is built once, in half
a minute.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from triage_tui.resources import cache_dir
from triage_tui.setup.cache import exclusive, publish, staging
from triage_tui.setup.sources import fetch, unpack

_GCC = "12"
"""The version in the names of Debian's packages with libgcc."""
_COMMON = ("-O1", "-g", "-Wall", "-Werror", "-D_GNU_SOURCE")


@dataclass(frozen=True, slots=True)
class ToolTarget:
    """What programs are compiled for."""

    triple: str
    """GNU's name, which is also that of Debian's directories; the compiler's for one without `debian`."""
    debian: str = ""
    """Debian's name in package names, empty where Debian has none."""
    headers: str = ""
    """The compiler's directory of the kernel's headers."""
    flags: tuple[str, ...] = ()
    link_flags: tuple[str, ...] = ()


_EXECSTACK = ("-z", "execstack")
"""Debian's MIPS libraries ask for an executable stack, which the linker only grants when told."""

TARGETS = {
    "arm": ToolTarget("arm-linux-gnueabi", "armel", "arm", ("-march=armv5t", "-marm")),
    "thumb": ToolTarget("arm-linux-gnueabihf", "armhf", "arm", ("-march=armv7-a", "-mthumb")),
    "armeb": ToolTarget("armeb-linux-musleabi"),
    "aarch64": ToolTarget("aarch64-linux-gnu", "arm64", "aarch64"),
    "mips": ToolTarget("mips-linux-gnu", "mips", "mips", ("-mips32r2",), _EXECSTACK),
    "mipsel": ToolTarget("mipsel-linux-gnu", "mipsel", "mips", ("-mips32r2",), _EXECSTACK),
    "mips64el": ToolTarget("mips64el-linux-gnuabi64", "mips64el", "mips", ("-mips64r2",), _EXECSTACK),
    "ppc": ToolTarget("powerpc-linux-gnu", "powerpc", "powerpc"),
    "ppc64le": ToolTarget("powerpc64le-linux-gnu", "ppc64el", "powerpc"),
    "riscv64": ToolTarget("riscv64-linux-gnu", "riscv64", "riscv", ("-march=rv64gc", "-mabi=lp64d")),
    "s390x": ToolTarget("s390x-linux-gnu", "s390x", "s390x"),
    "i386": ToolTarget("i686-linux-gnu", "i386", "x86"),
    "x86_64": ToolTarget("x86_64-linux-gnu", "amd64", "x86"),
}
"""Name in tests -> target. `thumb` is ARM in Thumb-2 code; the others are QEMU's names."""


@cache
def _compiler() -> Path:
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise RuntimeError("the compiler is missing: pip install -e '.[dev]'")
    return Path(spec.origin).parent


def _packages(target: ToolTarget) -> tuple[str, str]:
    return (f"libc6-dev-{target.debian}-cross", f"libgcc-{_GCC}-dev-{target.debian}-cross")


def _sysroot(target: ToolTarget) -> Path:
    key = hashlib.sha256(" ".join(_packages(target)).encode()).hexdigest()[:8]
    return cache_dir() / "toolchain" / f"{target.triple}-{key}"


def fetch_libraries() -> None:
    """Fetch the C libraries of all architectures in one go, 30 MB; does nothing twice.

    Raises:
        TriageError: they cannot be fetched.
    """
    wanted = [target for target in TARGETS.values() if target.debian]
    if all(_sysroot(target).is_dir() for target in wanted):
        return
    with exclusive() as directory:
        missing = [target for target in wanted if not _sysroot(target).is_dir()]
        if not missing:
            return
        with staging(directory) as work:
            files = fetch([spec for target in missing for spec in _packages(target)], directory, work)
            for target in missing:
                tree = work / target.triple
                for spec in _packages(target):
                    unpack(files[spec], tree)
                (tree / "PACKAGES").write_text("\n".join(files[spec].name for spec in _packages(target)))
                publish(tree, _sysroot(target))


def _run(*words: Iterable[str | Path], environment: dict[str, str] | None = None) -> None:
    command = [str(word) for group in words for word in group]
    result = subprocess.run(
        command,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode != 0:
        raise RuntimeError(f"the compiler failed: {' '.join(command)}\n{result.stderr}")


def identity(arch: str, flags: tuple[str, ...]) -> str:
    """Return a text that changes when the same source would give another program."""
    target = TARGETS[arch]
    version = importlib.metadata.version("ziglang")
    libraries = (_sysroot(target) / "PACKAGES").read_text() if target.debian else ""
    return repr((version, target, _COMMON, flags, libraries))


def compile_static(source: Path, arch: str, output: Path, flags: tuple[str, ...] = ()) -> None:
    """Compile the C file `source` into the static program `output`; `fetch_libraries` comes first.

    Raises:
        RuntimeError: the compiler refuses the source; the text holds its messages.
    """
    target = TARGETS[arch]
    zig = _compiler()
    if not target.debian:
        own = str(cache_dir() / "zig")
        _run(
            (zig / "zig", "cc", "-target", target.triple, "-static", *_COMMON, *flags),
            (source, "-o", output),
            environment={"ZIG_GLOBAL_CACHE_DIR": own, "ZIG_LOCAL_CACHE_DIR": own},
        )
        return
    root = _sysroot(target) / "usr"
    libc = root / target.triple / "lib"
    gcc = root / "lib" / "gcc-cross" / target.triple / _GCC
    kernel = zig / "lib" / "libc" / "include"
    headers = [zig / "lib" / "include", root / target.triple / "include"]
    headers += [kernel / f"{target.headers}-linux-any", kernel / "any-linux-any"]
    unit = output.with_name(output.name + ".o")
    _run(
        (zig / "zig", "clang", f"--target={target.triple}", *target.flags, *_COMMON, "-fno-pic"),
        ("-Wno-option-ignored", "-nostdinc"),
        (word for directory in headers for word in ("-isystem", directory)),
        (*flags, "-c", source, "-o", unit),
    )
    _run(
        (zig / "zig", "ld.lld", "-static", "--no-warnings", *target.link_flags, "-o", output),
        (libc / "crt1.o", libc / "crti.o", gcc / "crtbeginT.o", unit, "-L", libc, "-L", gcc),
        ("--start-group", "-lc", "-lgcc", "-lgcc_eh", "--end-group", gcc / "crtend.o", libc / "crtn.o"),
    )
    unit.unlink()
