"""Whether a checkpoint fits what is about to be started: the same program, under the same emulator."""

from __future__ import annotations

import os
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.checkpoint.image_files import MAX_PAGES, open_private, sha256_of
from triage_tui.guest.checkpoint.model import Checkpoint
from triage_tui.guest.checkpoint.obstacles import START_OVER
from triage_tui.guest.checkpoint.writing import CHANGED_FILE
from triage_tui.guest.emulator.qemu import find_qemu, qemu_version
from triage_tui.guest.spec import LaunchSpec, open_in_root
from triage_tui.runs.model import Target
from triage_tui.text import safe_line


class DoesNotFit(TriageError):
    """The checkpoint is of something else than what would be started."""


def check_fits(checkpoint: Checkpoint, spec: LaunchSpec, target: Target) -> None:
    """Check that a checkpoint is of the program and the emulator that `spec` starts.

    Raises:
        DoesNotFit: it is not; one sentence says what differs and what to do.
    """
    facts = checkpoint.facts
    if target.program_sha256 != facts.program_sha256:
        raise DoesNotFit(
            f"{safe_line(target.program, 200)} is another file than the one of the checkpoint: {START_OVER}"
        )
    if target.arch != facts.arch:
        raise DoesNotFit(f"the checkpoint is of a program for {facts.arch}, this is one for {target.arch}")
    emulator = find_qemu(by_name(facts.arch), spec.qemu_dir)
    if sha256_of(emulator) != facts.emulator_sha256:
        now, then = qemu_version(emulator), safe_line(facts.emulator_version, 40)
        how = f"QEMU {then}, and this is {now}" if now != then else f"another build of QEMU {then}"
        raise DoesNotFit(
            f"the checkpoint was taken under {how}: {START_OVER}, or name the emulator of then "
            "(TRIAGE_TUI_QEMU_DIR)"
        )
    if spec.emulator_options != facts.emulator_options:
        then = safe_line(" ".join(facts.emulator_options), 100) or "none"
        raise DoesNotFit(
            f"the emulator would get other options than when the checkpoint was taken ({then}): {START_OVER}"
        )
    for path, digest in facts.mapped.items():
        found = target.program_sha256 if spec.rootfs is None else _digest_in(spec.rootfs, path)
        if found != digest:
            raise DoesNotFit(
                f"{safe_line(path, 200)}, which the program had mapped, is another file now: {START_OVER}"
            )


def _digest_in(root: Path, path: str) -> str:
    try:
        return sha256_of(open_in_root(root, path))
    except OSError:
        return ""


def open_changed(directory: Path) -> int:
    """Return a descriptor of the image of the changed files.

    Raises:
        TriageError: it cannot be read.
    """
    fd, _size = open_private(directory / CHANGED_FILE, MAX_PAGES)
    os.set_inheritable(fd, False)
    return fd
