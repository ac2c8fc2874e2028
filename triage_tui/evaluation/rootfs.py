"""The root file system of one case: packages unpacked, nothing of them executed, then the case's own steps.

Steps come from a file that somebody wrote, and packages bring links that point anywhere: every path is walked
part by part inside the root, and no link leads out of it.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.setup.sources import unpack
from triage_tui.text import safe_line

_MAX_LINKS = 40


def build_root(root: Path, packages: Iterable[Path], steps: Iterable[dict[str, Any]]) -> None:
    """Unpack `packages` into the new directory `root` and apply `steps`.

    Raises:
        TriageError: a package cannot be unpacked, or a step cannot be done.
    """
    for package in packages:
        unpack(package, root)
    # A package may bring its own mode for the top directory.
    root.chmod(0o755)
    for step in steps:
        apply_step(root, step)


def apply_step(root: Path, step: dict[str, Any]) -> None:
    """Do one step, whose first key is what is to be done and whose value is the path (see `corpus`).

    Raises:
        TriageError: it cannot be done; one sentence.
    """
    action = next(iter(step))
    told = f"{action} {safe_line(step[action], 200)}"
    try:
        _apply(root, action, step)
    except PermissionError as error:
        need = "" if os.geteuid() == 0 else ": this needs root"
        raise TriageError(f"the step {told} cannot be done ({error.strerror}){need}") from error
    except (OSError, shutil.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TriageError(f"the step {told} cannot be done: {safe_line(reason, 200)}") from error
    except binascii.Error as error:
        raise TriageError(f"the step {told} cannot be done: b64 is not base64") from error


def _apply(root: Path, action: str, step: dict[str, Any]) -> None:
    path = place_of(root, step[action], follow=action not in ("symlink", "remove", "fifo", "device"))
    if action in ("file", "fifo", "device", "copy", "symlink"):
        path.parent.mkdir(parents=True, exist_ok=True)
    if action == "mkdir":
        path.mkdir(parents=True, exist_ok=True)
    elif action == "file":
        data = step.get("text", "").encode()
        if "b64" in step:
            data = base64.b64decode("".join(step["b64"].split()), validate=True)
        with path.open("wb") as file:
            file.write(data)
            if "size" in step:
                file.truncate(step["size"])
    elif action == "copy":
        source = place_of(root, step["from"], follow=True)
        if not source.is_file():
            raise TriageError(f"the step copy needs a file at {safe_line(step['from'], 200)}")
        shutil.copy2(source, path)
    elif action == "symlink":
        path.unlink(missing_ok=True)
        path.symlink_to(step["to"])
        return
    elif action == "fifo":
        os.mkfifo(path)
    elif action == "device":
        kind = stat.S_IFBLK if step["type"] == "b" else stat.S_IFCHR
        os.mknod(path, kind | 0o666, os.makedev(step["major"], step["minor"]))
        path.chmod(0o666)
    elif action == "remove":
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    if "mode" in step:
        path.chmod(int(str(step["mode"]), 8))
    if "owner" in step:
        uid, _, gid = str(step["owner"]).partition(":")
        os.chown(path, int(uid), int(gid or uid), follow_symlinks=False)


def place_of(root: Path, path: str, *, follow: bool) -> Path:
    """Return the host path of the guest path `path`; its links are followed as inside the root.

    The last part is followed only with `follow`. Parts that do not exist are taken as they are.

    Raises:
        TriageError: too many links.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")][::-1]
    found: list[str] = []
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            del found[-1:]
            continue
        place = root.joinpath(*found, part)
        if (parts or follow) and place.is_symlink():
            links += 1
            if links > _MAX_LINKS:
                raise TriageError(f"{safe_line(path, 200)} goes through too many links")
            target = os.readlink(place)
            if target.startswith("/"):
                found = []
            parts += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
            continue
        found.append(part)
    return root.joinpath(*found)
