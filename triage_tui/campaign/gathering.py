"""The targets of a campaign, from target files and root file systems: found, hashed, each of them once."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from triage_tui.campaign.discovery.boot import discover
from triage_tui.campaign.discovery.found import LeftOut
from triage_tui.campaign.discovery.inner_root import inner_root
from triage_tui.campaign.model import Target
from triage_tui.campaign.root_walk import Tell
from triage_tui.campaign.roots import hash_root
from triage_tui.campaign.targets import SearchedRoot, read_targets, target_id
from triage_tui.errors import Stopped, TriageError
from triage_tui.runs.files import real_path
from triage_tui.text import number_of, safe_line

WHOLE_ROOT = "the whole root"


class Gathered(msgspec.Struct, kw_only=True):
    """What a campaign would run."""

    targets: list[Target] = []
    """Complete, root by root in the order in which each device starts them."""
    left_out: list[LeftOut] = []
    searched: list[str] = []
    """The roots in which services were looked for."""

    inner: str = ""
    """A directory inside of a root without services that looks like the root that was meant."""

    trouble: str = ""
    """Why the content of a root cannot be had, of the first such root."""

    @property
    def problem(self) -> str:
        """Why there is nothing to run, one sentence; "" where there is something."""
        if self.targets:
            return ""
        if self.trouble:
            return self.trouble
        if not self.searched:
            return "there is no target to run: name targets or roots in the file"
        where = safe_line(self.searched[0], 200)
        if len(self.searched) > 1:
            where = f"{where} and {number_of(len(self.searched) - 1, 'other root')}"
        count = sum(one.what != WHOLE_ROOT for one in self.left_out)
        told = f" ({number_of(count, 'thing')} left out, which `campaign --list` names)" if count else ""
        if self.inner:
            return (
                f"no service to run was found in {where}{told}, but {self.inner} looks like a root: name that"
            )
        return f"no service to run was found in {where}{told}: name its programs in a target file"


def gather(
    files: Sequence[Path],
    roots: Sequence[Path],
    *,
    progress: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Gathered:
    """Return what target files and roots ask for.

    Raises:
        TriageError: a file has mistakes, a root is no directory, or there is nothing to run.
        Stopped: a person cancelled.
    """
    found = look(files, roots, progress=progress, cancel=cancel)
    if found.problem:
        raise TriageError(found.problem)
    return found


def look(
    files: Sequence[Path],
    roots: Sequence[Path],
    *,
    progress: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Gathered:
    """Do as `gather`; nothing to run is no error here.

    Raises:
        TriageError: a file has mistakes, or a root is no directory.
        Stopped: a person cancelled.
    """
    found = Gathered(targets=[], left_out=[], searched=[])
    read = [read_targets(path) for path in files]
    searched = [root for one in read for root in one.roots]
    plain = Target(target="", name="", root="", program="")
    for path in roots:
        if not path.is_dir():
            what = "is no directory" if path.exists() else "does not exist"
            raise TriageError(
                f"the root file system {safe_line(str(path), 300)} {what}: give the directory into which the"
                " firmware was unpacked"
            )
        real = real_path(path)
        searched.append(SearchedRoot(root=real, group=real.name, defaults=plain))
    targets = [target for one in read for target in one.targets]
    for root in searched:
        found.searched.append(str(root.root))
        targets += _of_root(root, found, progress, cancel)
    _complete(targets, found, progress, cancel)
    return found


def _of_root(
    searched: SearchedRoot, found: Gathered, progress: Tell | None, cancel: threading.Event | None
) -> list[Target]:
    """Return the services of a root that are wanted, with the defaults of the file that names it."""
    if progress is not None:
        progress(f"looking for services in {safe_line(str(searched.root), 200)}")
    services = discover(searched.root, group=searched.group, progress=progress, cancel=cancel)
    found.left_out += services.left_out
    wanted = []
    for target in services.targets:
        if not _is_wanted(target.name, searched):
            found.left_out.append(
                LeftOut(
                    root=target.root,
                    what=safe_line(" ".join(target.argv), 300),
                    why=f"{searched.origin} leaves it out",
                    origin=target.origin,
                )
            )
            continue
        given = searched.defaults
        target.interfaces, target.qemu_args, target.probes = given.interfaces, given.qemu_args, given.probes
        target.time_limit_s = given.time_limit_s
        target.env = {**given.env, **target.env} if searched.origin else target.env
        wanted.append(target)
    if not services.targets:
        found.inner = found.inner or safe_line(inner_root(searched.root), 200)
        found.left_out.append(
            LeftOut(root=str(searched.root), what=WHOLE_ROOT, why="no service was found in it")
        )
    return wanted


def _is_wanted(name: str, searched: SearchedRoot) -> bool:
    if any(fnmatch.fnmatchcase(name, pattern) for pattern in searched.without):
        return False
    return not searched.only or any(fnmatch.fnmatchcase(name, pattern) for pattern in searched.only)


def _complete(
    targets: list[Target], found: Gathered, progress: Tell | None, cancel: threading.Event | None
) -> None:
    """Give targets the hash of their root and their id; leave out what is there twice or cannot be read."""
    hashes: dict[str, str] = {}
    troubles: dict[str, str] = {}
    seen: dict[str, str] = {}
    for target in targets:
        if target.root not in hashes and target.root not in troubles:
            try:
                hashes[target.root] = hash_root(Path(target.root), progress=progress, cancel=cancel).sha256
            except Stopped:
                raise
            except TriageError as error:
                troubles[target.root] = str(error)
                found.trouble = found.trouble or str(error)
        words = safe_line(" ".join(target.argv) or target.program, 300)
        if target.root in troubles:
            why = troubles[target.root]
            found.left_out.append(LeftOut(root=target.root, what=words, why=why, origin=target.origin))
            continue
        target.root_hash = hashes[target.root]
        target.target = target_id(target)
        if target.target in seen:
            why = f"the same start stands at {seen[target.target]}"
            found.left_out.append(LeftOut(root=target.root, what=words, why=why, origin=target.origin))
            continue
        seen[target.target] = f"{safe_line(target.root, 100)}, {target.origin}"
        found.targets.append(target)
