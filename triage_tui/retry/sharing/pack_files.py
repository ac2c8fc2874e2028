"""Writing a rule pack of a run's target, and trusting keys, both with a line in the audit log."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.packs import keys as pack_keys
from triage_tui.rulebook.packs.format import SIGNATURE_SUFFIX, SUFFIX, read_pack
from triage_tui.rulebook.packs.making import pack_of
from triage_tui.runs.events import default_actor
from triage_tui.runs.files import write_atomic
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line


def export_pack(
    workspace: Workspace,
    run: Run,
    *,
    name: str,
    description: str = "",
    words: Sequence[str] = (),
    output: Path | None = None,
    signed: bool = True,
    password: str = "",
    force: bool = False,
) -> dict[str, Any]:
    """Write the active rules of a run's target as a pack; return what was written.

    `output` is a file or a directory, by default the current one. Without `force` no file is replaced.

    Raises:
        TriageError: no rule is active, there is no key to sign with, or the file cannot be written.
    """
    target = run.snapshot.target.target_id
    active = generations.current(workspace.rulebook_dir(target))
    if active is None or not active.files:
        raise TriageError(
            f"no rule is active for the target of run {run.run_id}, so there is nothing to export"
        )
    raw = pack_of(active, target, workspace.runs_dir, name, description, words)
    return place_pack(workspace, run, raw, output=output, signed=signed, password=password, force=force)


def place_pack(
    workspace: Workspace,
    run: Run,
    raw: bytes,
    *,
    output: Path | None,
    signed: bool,
    password: str,
    force: bool,
    what: str = "pack",
) -> dict[str, Any]:
    """Write a pack and its signature, with a line in the audit log; return what was written.

    `what` is what the log calls it.

    Raises:
        TriageError: there is no key to sign with, or the file cannot be written.
    """
    secret = pack_keys.own_secret(password) if signed else None
    pack = read_pack(raw, what)
    name = pack.manifest.name
    path = output or Path()
    path = path / f"{name}{SUFFIX}" if path.is_dir() else path
    beside = Path(f"{path}{SIGNATURE_SUFFIX}")
    for one in (path, beside):
        if os.path.lexists(one) and (one.is_symlink() or not one.is_file()):
            raise TriageError(f"{safe_line(str(one))} is no regular file, so it is not replaced")
        if os.path.lexists(one) and not force:
            raise TriageError(f"{safe_line(str(one))} is there already: choose another name, or say --force")
    key = pack_keys.key_id(secret.get_public_key()) if secret is not None else ""
    try:
        # An older signature beside it would not fit.
        beside.unlink(missing_ok=True)
        write_atomic(path, raw)
        if secret is not None:
            write_atomic(beside, pack_keys.sign(raw, secret, path.name))
    except OSError as error:
        raise TriageError(f"{safe_line(str(path))} cannot be written: {error.strerror or error}") from error
    entry = audit_log.Entry(
        kind="exported",
        actor=default_actor(),
        says=f"{what} {name}, {f'signed by {key}' if key else 'not signed'}",
        run=run.run_id,
        target=run.snapshot.target.target_id,
        rules={rule.file: rule.sha256 for rule in pack.manifest.rules},
        digest=pack.sha256,
    )
    audit_log.append(workspace.rulebook, entry)
    return {
        "file": str(path),
        "signature": str(beside) if key else "",
        "key": key,
        "rules": pack.manifest.count,
        "sha256": pack.sha256,
    }


def change_trust(workspace: Workspace, which: str, *, trusted: bool, name: str = "") -> pack_keys.Key:
    """Trust a public key, or trust it no more.

    Raises:
        TriageError: it is no key, or none that is trusted.
    """
    key = pack_keys.trust(which, name) if trusted else pack_keys.distrust(which)
    if workspace.rulebook.is_dir():
        entry = audit_log.Entry(
            kind="trusted" if trusted else "distrusted",
            actor=default_actor(),
            says=f"key {key.id} ({key.name})",
        )
        # The key is one of the person's, for all workspaces: here it is only told.
        with contextlib.suppress(TriageError):
            audit_log.append(workspace.rulebook, entry)
    return key
