"""The case that nobody wrote for us: a static program fails for a missing file, traced here and now."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.diagnosis.recorded import parse_trace, write_run
from triage_tui.diagnosis.report import diagnose

PROGRAMS = [("busybox-armel", "arm"), ("busybox-mipsel", "mipsel"), ("busybox-arm64", "aarch64")]
APPLETS = [
    ["cat", "{}"],
    ["head", "-n", "1", "{}"],
    ["md5sum", "{}"],
    ["sha256sum", "{}"],
    ["wc", "{}"],
    ["sort", "{}"],
    ["hexdump", "{}"],
    ["gunzip", "-c", "{}.gz"],
    ["tar", "tf", "{}"],
    ["sh", "{}"],
    ["awk", "-f", "{}"],
    ["grep", "x", "{}"],
]


@pytest.mark.parametrize(("program", "arch"), PROGRAMS)
@pytest.mark.parametrize("applet", APPLETS, ids=lambda words: words[0])
def test_the_missing_file_is_named_with_path_and_errno(
    applet: list[str],
    program: str,
    arch: str,
    qemu_dir: Path,
    rootfs: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    missing = str(tmp_path / "not" / "there")
    words = [word.format(missing) for word in applet]
    busybox = rootfs(program) / "bin" / "busybox"
    log = tmp_path / "trace"
    done = subprocess.run(
        [str(qemu_dir / f"qemu-{arch}-static"), "-strace", "-D", str(log), str(busybox), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    run = write_run(
        tmp_path / "runs",
        parse_trace(log.read_bytes()),
        reason="exit",
        argv=["/bin/busybox", *words],
        output=done.stdout,
        code=done.returncode,
        arch=arch,
    )
    diagnosis = diagnose(run)
    best = diagnosis.hypotheses[0]
    wanted = missing + (".gz" if applet[0] == "gunzip" else "")
    assert (best.cause, best.parameters["path"], best.parameters["errno"]) == (
        "missing_file",
        wanted,
        "ENOENT",
    )
    assert wanted in diagnosis.headline
    assert best.confidence > 0.8
