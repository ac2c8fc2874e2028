"""The rules that each target of a campaign starts with: those that were active when the campaign began.

A copy of the rulebook as it was then lies in `rulebook/` of the campaign. So what comes of a target does not
depend on which others were played before it, nor on when a campaign was resumed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from triage_tui.campaign.model import Target
from triage_tui.campaign.place import POINTER
from triage_tui.errors import TriageError
from triage_tui.guest.spec import LaunchSpec, resolve_target
from triage_tui.rulebook import changing
from triage_tui.rulebook.places import OWN, SHARED, target_directory
from triage_tui.rulebook.targets import target_dirs
from triage_tui.runs.files import read_bounded, real_path, write_atomic
from triage_tui.text import safe_line

RULEBOOK = "rulebook"
POLICY = "policy.yaml"
"""The written policy that was in force when the campaign began."""
MAX_FILE_BYTES = 1 << 20
MAX_RULES_BYTES = 32 << 20
"""Of the rules of one order."""


def copy_rulebook(rulebook: Path, directory: Path) -> str:
    """Copy the rules of a workspace into a campaign; return a hash of them, "" where there are none.

    Raises:
        TriageError: they cannot be read.
        OSError: they cannot be written.
    """
    goal = directory / RULEBOOK
    shutil.rmtree(goal, ignore_errors=True)
    told = hashlib.sha256()
    found = False
    for source in (rulebook / SHARED, rulebook / OWN, *target_dirs(rulebook)):
        if not source.is_dir() or source.is_symlink():
            continue
        for name, data in rule_files(source):
            found = True
            told.update(f"{source.name}/{name}".encode("utf-8", "surrogateescape") + b"\0" + data + b"\0")
            path = goal / source.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return told.hexdigest() if found else ""


def rules_of(directory: Path, target: Target) -> dict[str, bytes]:
    """Return the files of the rulebook with which a target of the campaign in `directory` starts.

    Raises:
        TriageError: they cannot be read, or are too many.
    """
    rulebook = directory / RULEBOOK
    if not rulebook.is_dir():
        return {}
    names = [SHARED, OWN]
    if any(path.name not in names for path in rulebook.iterdir()):
        names.append(target_directory(rulebook, rulebook_target(target)).name)
    found = {f"{name}/{file}": data for name in names for file, data in rule_files(rulebook / name)}
    if sum(map(len, found.values())) > MAX_RULES_BYTES:
        raise TriageError(f"the rules that are active for a target have more than {MAX_RULES_BYTES} bytes")
    return found


def keep_policy(directory: Path, policy_file: str) -> None:
    """Copy the written policy into a campaign; "" is the shipped one, of which there is no copy.

    Raises:
        TriageError: it cannot be read.
        OSError: it cannot be written.
    """
    if policy_file:
        write_atomic(
            directory / POLICY, read_bounded(real_path(Path(policy_file)), MAX_FILE_BYTES, whole=True)
        )


def kept_policy(directory: Path) -> str:
    """Return the written policy of a campaign, "" for the shipped one."""
    path = directory / POLICY
    return str(path) if path.is_file() else ""


def rulebook_target(target: Target) -> str:
    """Return the id under which the rulebook has the rules of a target.

    Raises:
        TriageError: it cannot be run.
    """
    spec = LaunchSpec(
        program=target.program,
        argv=list(target.argv) or [target.program],
        rootfs=Path(target.root),
        cwd=target.cwd,
    )
    return resolve_target(spec)[0].target_id


def standing(target_dir: Path) -> tuple[int, list[int]]:
    """Return the active generation of a target's rules, 0 for none, and all that there are."""
    return changing.pointer(target_dir) or 0, changing.numbers(target_dir)


def base_standing(directory: Path, target_id: str) -> tuple[int, list[int]]:
    """Return the same of a target as the campaign in `directory` began."""
    target_dir = target_directory(directory / RULEBOOK, target_id)
    try:
        link = (target_dir / POINTER).read_text("ascii", "replace")
    except OSError:
        link = ""
    return int(link.rpartition("/")[2]) if link else 0, changing.numbers(target_dir)


def rule_files(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a directory of rules by their paths in it, sorted; of the pointer what it leads to.

    Hidden files (locks, what a change is about to do) are left out.
    """
    for where, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if name[0] != ".")
        links = [name for name in directories if os.path.islink(os.path.join(where, name))]
        for name in sorted({*names, *links}):
            path = Path(where, name)
            if name[0] == ".":
                continue
            if path.is_symlink():
                if path == directory / POINTER:
                    yield POINTER, os.fsencode(os.readlink(path))
                continue
            if path.stat().st_size > MAX_FILE_BYTES:
                raise TriageError(f"the rule file {safe_line(str(path), 200)} is too large")
            yield str(path.relative_to(directory)), read_bounded(path, MAX_FILE_BYTES)
