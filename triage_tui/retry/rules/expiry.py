"""Rules whose evidence is not so any more are set aside before a program starts.

A rule was approved because of something that a run showed: this program, this call, from this place, failed
in this way. Before the first round, that is held against the program as it is now, against its root file
system, and against the newest run of it. What no longer agrees leaves the active generation; its text is
kept, and `triage-tui rules renew` makes it active again, see `renewal`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.guest.spec import open_in_root, resolve_target
from triage_tui.retry import pending
from triage_tui.retry.guests import launch_spec
from triage_tui.retry.pending import Step, no_step
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, manifest, rulefile
from triage_tui.rulebook.check.explain import Match, parse_match
from triage_tui.rulebook.evidence import (
    EVIDENCE,
    Evidence,
    Gone,
    contradiction,
    parse_evidence,
)
from triage_tui.rulebook.generations import Generation, SetAside
from triage_tui.rulebook.plugins.configuration import OPENS
from triage_tui.rulebook.rollouts.vouching import vouched
from triage_tui.rulebook.targets import describe, described, description, target_dirs
from triage_tui.runs.files import real_path
from triage_tui.runs.listing import run_dirs, summarize
from triage_tui.runs.model import Target
from triage_tui.runs.reader import Run, load_run
from triage_tui.text import number_of, safe_line

EXPIRY_ACTOR = "policy:expiry"
EXPERIMENT = "experiment on run "
"""How the reason of a generation begins that an experiment made for a moment."""

EXPIRE_STEPS = ("begun", *generations.ACTIVATE_STEPS, "ended")
"""Names of the durable steps of setting rules aside, and of renewing them."""

MAX_RUNS = 50
"""Runs among which the newest of a target is looked for."""
_SHOWN = 12
"""Hex digits of a digest."""
_Kind = Literal["directory", "other", "nothing"]
_KINDS: Mapping[int, _Kind] = {
    errno.ENOENT: "nothing",
    errno.ENOTDIR: "nothing",
    errno.EISDIR: "directory",
    errno.EINVAL: "other",
}
"""What is there where `open_in_root` fails in this way; another failure tells nothing."""
_FAILS_AT: Mapping[str, tuple[_Kind, ...]] = {"ENOENT": ("nothing",), "EISDIR": ("directory", "nothing")}
"""Where calls may fail so; a directory can be one that the program made by itself. ENOTDIR and ELOOP are not
here: flags of the call (O_DIRECTORY, O_NOFOLLOW) are as good a reason."""
_MORE_THAN_A_PATH = frozenset(
    [
        "execve", "execveat", "link", "linkat", "mount", "pivot_root", "rename", "renameat", "renameat2",
        "symlink", "symlinkat",
    ]
)  # fmt: skip
"""Calls that fail with ENOENT because of another file, too: an interpreter, or their second path."""
_OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/", "/tmp/", "/run/", "/var/run/")
"""Where a guest finds files that are not in its root file system."""


def expire(
    workspace: Workspace, start: Start, tell: Callable[[str], None], step: Step = no_step
) -> Generation | None:
    """Set the rules aside whose evidence is not so any more; return the new generation if any were.

    `tell` is told of each, and of those that were set aside before: why that is so now, or how to renew what
    has its evidence again.

    Raises:
        Conflict: somebody else changed the rules of the target at this moment.
        TriageError: the program or its rules cannot be read, or the rulebook cannot be written.
    """
    target, _ = resolve_target(launch_spec(start))
    target_dir = workspace.rulebook_dir(target.target_id)
    active = generations.current(target_dir)
    if active is not None and active.reason.startswith(EXPERIMENT):
        return None
    ground = Ground(workspace, target)
    if active is None and not generations.history(target_dir):
        gone = _of_another_build(workspace, target)
    else:
        gone = _not_so_any_more(ground, active) if active is not None else {}
    made = _set_aside(workspace, target, active, gone, step) if gone else None
    now = made or active
    aside = now.set_aside if now is not None else {}
    for name in gone:
        tell(f"set aside: {name}: {aside[name].why}")
    earlier = {name: one for name, one in aside.items() if name not in gone}
    for name, why in _looked_again(ground, earlier).items():
        if why is not None:
            tell(f"still set aside: {name}: {why}")
            continue
        renewing = f"triage-tui rules renew -C {workspace.root} {target.target_id} {name}"
        tell(f"set aside, but its evidence is so again: {name}: {renewing}")
    if made is not None:
        tell(f"to use them anyway: triage-tui rules renew -C {workspace.root} {target.target_id}")
    return made


def _set_aside(
    workspace: Workspace, target: Target, active: Generation | None, gone: dict[str, SetAside], step: Step
) -> Generation:
    target_dir = workspace.rulebook_dir(target.target_id)
    describe(target_dir, target)
    decision = pending.pending_for(target.target_id, "expire", EXPIRY_ACTOR)
    whys = list(dict.fromkeys(one.why for one in gone.values()))
    with pending.begun(workspace.root, decision, step) as held:
        return generations.activate(
            target_dir,
            add={},
            remove=[name for name in gone if active is not None and name in active.files],
            actor=EXPIRY_ACTOR,
            reason=safe_line(f"{number_of(len(gone), 'rule')} set aside: {'; '.join(whys)}", 900),
            change=decision.change,
            expect=active.number if active is not None else 0,
            kind="expired",
            set_aside=gone,
            ready=held.ready,
            step=step,
        )


def _of_another_build(workspace: Workspace, target: Target) -> dict[str, SetAside]:
    """Return the active rules of the program that was in this program's place before."""
    now = described(target)
    before: Generation | None = None
    owner, was = "", ""
    for directory in target_dirs(workspace.rulebook):
        other = description(directory)
        if other is None or other.place != now.place or other.program_sha256 == now.program_sha256:
            continue
        with contextlib.suppress(TriageError):
            found = generations.current(directory)
            if found is not None and found.files and (before is None or found.created > before.created):
                before, owner, was = found, directory.name, other.program_sha256
    if before is None:
        return {}
    why = (
        f"the program is another one now: SHA-256 {safe_line(now.program_sha256[:_SHOWN])},"
        f" it was {safe_line(was[:_SHOWN])}"
    )
    return {
        name: SetAside(sha256=digest, target=owner, generation=before.number, why=why)
        for name, digest in before.files.items()
    }


def aside_now(workspace: Workspace, target_id: str) -> dict[str, SetAside]:
    """Return what is set aside for a target, by paths, and why that is so by now.

    Raises:
        TriageError: the rules of the target cannot be read.
    """
    active = generations.current(workspace.rulebook_dir(target_id))
    aside = active.set_aside if active is not None else {}
    run = newest_run(workspace, target_id) if aside else None
    if run is None:
        return dict(aside)
    found = {}
    for name, why in _looked_again(Ground(workspace, run.snapshot.target, run), aside).items():
        so_again = f"its evidence is so again; it was set aside because {aside[name].why}"
        found[name] = msgspec.structs.replace(aside[name], why=so_again if why is None else why)
    return found


def kept_text(rulebook: Path, name: str, one: SetAside) -> bytes:
    """Return the text of a rule that was set aside, proved by its hash.

    Raises:
        Conflict: it is another text.
        TriageError: it cannot be read, or lies elsewhere.
    """
    where = rulebook / one.target / "generations" / f"{one.generation:04}"
    if real_path(where).parent.parent.parent != real_path(rulebook):
        raise TriageError(f"{safe_line(name)} does not lie in this rulebook, so it was not renewed")
    text = manifest.read_file(manifest.load(where), name)
    if hashlib.sha256(text).hexdigest() != one.sha256:
        raise Conflict(f"{safe_line(name)} is not the text that was set aside, so it was not renewed")
    return text


def _looked_again(ground: Ground, aside: Mapping[str, SetAside]) -> dict[str, str | None]:
    """Return why rules that were set aside are so now, None for those whose evidence is so again."""
    found: dict[str, str | None] = {}
    for name, one in aside.items():
        found[name] = one.why
        with contextlib.suppress(TriageError):
            text = kept_text(ground.rulebook, name, one)
            evidence = parse_evidence(rulefile.parse(text).header.extra.get(EVIDENCE, ""))
            if one.gone == "binary" and not evidence.binary:
                continue  # It went with its program, and nothing in it tells which that was.
            now = ground.lost(text, again=True)
            found[name] = safe_line(now.why, 300) if now is not None else None
    return found


def _not_so_any_more(ground: Ground, active: Generation) -> dict[str, SetAside]:
    found: dict[str, SetAside] = {}
    for name, digest in active.files.items():
        gone = ground.lost(manifest.read_file(active, name))
        if gone is not None:
            found[name] = SetAside(
                sha256=digest,
                target=ground.directory_name,
                generation=active.number,
                why=safe_line(gone.why, 300),
                gone=gone.part,
            )
    return found


class Ground:
    """What is so now of a program, its root file system and its newest run: read once, for several rules."""

    def __init__(self, workspace: Workspace, target: Target, newest: Run | None = None) -> None:
        """`newest` is the newest run of the target where that is known; else it is looked for when needed."""
        self._workspace = workspace
        self._target = target
        self.rulebook = workspace.rulebook
        self.directory_name = workspace.rulebook_dir(target.target_id).name
        self._widened = vouched(workspace.rulebook)
        self._newest: list[Run | None] = [newest] if newest is not None else []
        self._digests: dict[str, str | None] = {}

    def lost(self, text: bytes, *, again: bool = False) -> Gone | None:
        """Return what of a rule's evidence is not so any more.

        With `again` a file that is not there any more counts for more than a run that had found it.

        Raises:
            TriageError: it is no rule, or the newest run cannot be read.
        """
        header = rulefile.parse(text).header
        evidence = parse_evidence(header.extra.get(EVIDENCE, ""))
        match = parse_match(header.match)
        foreign = evidence.binary not in ("", self._target.program_sha256)
        if foreign and (hashlib.sha256(text).hexdigest(), self.directory_name) in self._widened:
            # A rollout brought it here from another program, and watches what it does.
            evidence = msgspec.structs.replace(evidence, binary="", module="", site=None)
        if (gone := _program_or_module(evidence, self._target, self._digests)) is not None:
            return gone
        path = _path_alone(evidence, match)
        kind = _kind_in_root(self._target, path) if path else None
        there = kind != "nothing" if kind is not None else None
        if kind is not None and kind not in _FAILS_AT[evidence.errno]:
            now = f"{path} is no directory" if evidence.errno == "EISDIR" else f"{path} is"
            why = f"{now} in the root file system now: the call does not fail with {evidence.errno} any more"
            return Gone("errno", why)
        if not evidence.errno and evidence.site is None:
            return None
        if not self._newest:
            self._newest.append(newest_run(self._workspace, self._target.target_id))
        run = self._newest[0]
        if run is None:
            return None
        absent = again and there is False
        told = contradiction(evidence, match, run.snapshot, run.trace(), absent=absent)
        return Gone(told.part, f"in run {run.run_id} {told.why}") if told is not None else None


def _program_or_module(evidence: Evidence, target: Target, digests: dict[str, str | None]) -> Gone | None:
    if evidence.binary and evidence.binary != target.program_sha256:
        return Gone(
            "binary",
            f"the program is another one now: SHA-256 {target.program_sha256[:_SHOWN]},"
            f" the rule is from {evidence.binary[:_SHOWN]}",
        )
    if not evidence.module or evidence.site is None or target.rootfs is None:
        return None
    path = evidence.site.path
    if path not in digests:
        digests[path] = _digest_in_root(target.rootfs, path)
    now = digests[path]
    if now is None or now == evidence.module:
        return None
    return Gone("site", f"{path}, from which the call came, is {'another file now' if now else 'gone'}")


def _digest_in_root(rootfs: str, path: str) -> str | None:
    """Return the SHA-256 of a file of the guest, "" where it is not there, None where that cannot be told."""
    try:
        handle = open_in_root(Path(rootfs), path)
    except OSError as error:
        return "" if error.errno == errno.ENOENT and "\\" not in path else None
    with os.fdopen(handle, "rb") as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError:
            return None


def _path_alone(evidence: Evidence, match: Match | None) -> str:
    """Return the path of which a rule's failing call depends on nothing but what it leads to, "" for none."""
    if match is None or evidence.errno not in _FAILS_AT or match.syscall in _MORE_THAN_A_PATH:
        return ""
    if evidence.errno == "EISDIR" and match.syscall not in OPENS:
        return ""
    path = match.fields.get("path", "")
    outside = not path.startswith("/") or f"{path}/".startswith(_OF_THE_KERNEL)
    return "" if outside or "\\" in path else path


def _kind_in_root(target: Target, path: str) -> _Kind | None:
    """Return what is at a guest path in its root file system, None where that cannot be told."""
    if not target.rootfs:
        return None
    try:
        os.close(open_in_root(Path(target.rootfs), path))
    except OSError as error:
        return _KINDS.get(error.errno or 0)
    except ValueError:
        return None
    return "other"


def newest_run(workspace: Workspace, target_id: str) -> Run | None:
    """Return the newest run of a target that can be read, None where there is none."""
    for directory in run_dirs(workspace.runs_dir)[:MAX_RUNS]:
        if summarize(directory).target_id == target_id:
            with contextlib.suppress(TriageError):
                return load_run(directory)
    return None
