"""Take runs of SFEmu in as records of ours, beside its own; nothing of SFEmu's is changed.

What was taken in is known by a stamp of its files, so that doing it again is free as long as nothing changed.
When something did (SFEmu goes on writing its log, its tool adds rules), the record is made anew, and what was
decided, edited and noted on it here stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from triage_tui import __version__
from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.errors import TriageError
from triage_tui.rulebook import patches
from triage_tui.runs.events import append_event
from triage_tui.runs.files import can_be_made_again, read_bounded, write_atomic
from triage_tui.runs.form import MAX_SNAPSHOT_BYTES, SNAPSHOT_FILE
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.model import Snapshot, Unavailable
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import RunWriter, encode_json
from triage_tui.sfemu import adopted
from triage_tui.sfemu.adopted import Adopted, read_adopted
from triage_tui.sfemu.analysis_results import results_of
from triage_tui.sfemu.contexts import contexts_beside, contexts_in, loop_report
from triage_tui.sfemu.explaining import explain
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.sfemu.snapshot import SfemuSnapshot, read_snapshot
from triage_tui.sfemu.target import target_id
from triage_tui.sfemu.their_logs import CALLS_LOG, MAX_LOG, RETRY_LOG, logs_of
from triage_tui.sfemu.their_rules import TheirRule, exported, proposal_of, rules_of, stable_of
from triage_tui.sfemu.translating import Material, write_record
from triage_tui.text import safe_line

ACTOR = "SFEmu"
"""Who captured an adopted run."""
_MAX_STAMPED = 4096
_MAX_DEPTH = 3
"""SFEmu's own lie at rules_patch/fix/syscall/."""
_WAIT_S, _POLL_S = 30.0, 0.05
_LOOK_FOR_RESULTS_S = 2.0
"""How long what is known of SFAnalysis results counts, when many runs are looked at."""


def adopt(rules: RulesDirectory, source: Path) -> Path:
    """Take in SFEmu's run in the directory `source`, or what changed of it, and return the record of ours.

    Raises:
        TriageError: it cannot be read, or our record cannot be written; nothing is left of it then.
    """
    if not is_run_id(source.name):
        raise TriageError(f"{safe_line(source.name, 80)} is no name of a run, so it was not taken in")
    runs_dir = rules.home / "ai_runs"
    target = runs_dir / source.name
    known = read_adopted(target)
    stamp = stamp_of(rules, source)
    if (
        known is not None
        and (known.stamp, known.schema_version) == (stamp, adopted.FORM)
        and _is_whole(target)
    ):
        return target
    if known is None and os.path.lexists(target / "snapshot.json"):
        raise TriageError(f"run {source.name} was made here: SFEmu's of the same name was not taken in")
    found = read_snapshot(source)
    try:
        writer = RunWriter(runs_dir, source.name)
    except BlockingIOError:
        return _made_by_another(target, stamp)
    except OSError as error:
        raise TriageError(f"{safe_line(str(runs_dir))} cannot be written: {error.strerror}") from error
    try:
        with can_be_made_again():
            _write(rules, source, found, writer, target, known, stamp)
    except OSError as error:
        raise TriageError(f"run {source.name} cannot be written: {error.strerror}") from error
    finally:
        writer.discard()
    return target


def _is_whole(target: Path) -> bool:
    """Tell whether the machine did not crash before the record was on the disk, which leaves empty files."""
    try:
        return all((target / name).stat().st_size for name in ("snapshot.json", "diagnosis.json"))
    except OSError:
        return False


def stamp_of(rules: RulesDirectory, source: Path) -> str:
    """Return what changes whenever something of SFEmu's run changes: names, sizes and times of its files.

    SFAnalysis results that were made since, or changed, are part of it: they name frames. So is what says
    about which calls SFEmu asks rules, and which version of this product looked.
    """
    digest = hashlib.sha256(_stamp_of_results(rules.home, int(time.monotonic() / _LOOK_FOR_RESULTS_S)))
    seq = source.name.rpartition("_")[2].lstrip("0")
    digest.update(__version__.encode())
    beside = [rules.root / "entry.lua", source.parent.parent / f"deadloop_{seq:0>8}.log"]
    beside += [directory / source.name / "manifest.json" for directory in rules.stable_dirs]
    for path in (*_below(source), *beside):
        with contextlib.suppress(OSError):
            found = path.lstat()
            name = os.fsencode(path.relative_to(rules.root))
            digest.update(b"%s\0%d %d %d\n" % (name, found.st_size, found.st_mtime_ns, found.st_mode))
    return digest.hexdigest()


@lru_cache(maxsize=4)
def _stamp_of_results(home: Path, _when: int) -> bytes:
    directory = results_of(home)
    with contextlib.suppress(OSError):
        if directory is not None:
            return b"%s\0%d\n" % (os.fsencode(directory), directory.stat().st_mtime_ns)
    return b""


def _below(source: Path) -> Iterator[Path]:
    """Yield the files below a run, bounded in number and depth, links not followed."""
    left, places = _MAX_STAMPED, [(source, 0)]
    while places:
        place, depth = places.pop(0)
        try:
            with os.scandir(place) as entries:
                found = sorted((one.name, one.is_dir(follow_symlinks=False)) for one in islice(entries, left))
        except OSError:
            continue
        left -= len(found)
        for name, is_directory in found:
            if not is_directory:
                yield place / name
            elif depth < _MAX_DEPTH:
                places.append((place / name, depth + 1))


def _made_by_another(target: Path, stamp: str) -> Path:
    """Wait for another process that takes in the same run.

    Raises:
        TriageError: it did not come to an end.
    """
    end = time.monotonic() + _WAIT_S
    while time.monotonic() < end:
        known = read_adopted(target)
        if known is not None and known.stamp == stamp:
            return target
        time.sleep(_POLL_S)
    raise TriageError(f"run {target.name} is being taken in by another process: try again")


def _write(
    rules: RulesDirectory,
    source: Path,
    found: SfemuSnapshot,
    writer: RunWriter,
    target: Path,
    known: Adopted | None,
    stamp: str,
) -> None:
    problems: list[str] = []
    calls = [*found.calls, found.trigger] if found.trigger.num >= 0 else found.calls
    contexts = contexts_beside(source.parent.parent, calls)
    if not contexts:
        with contextlib.suppress(TriageError):
            # By now the next start of the program has written over them.
            earlier = read_bounded(target / "logs" / CALLS_LOG, MAX_LOG)
            contexts = contexts_in(earlier.decode("utf-8", "backslashreplace"), calls)
    report = loop_report(source.parent.parent, found.trigger.seq)
    logs = logs_of(source, contexts, report, problems)
    their_rules = rules_of(source, problems)
    material = Material(
        source,
        found,
        contexts,
        report,
        target_id(rules),
        f"{rules.root}/",
        _results(rules),
        _versions(source, found),
    )
    snapshot = write_record(material, writer)
    snapshot.unavailable += [Unavailable(what="files of SFEmu", why=why) for why in problems[:32]]
    manifest = stable_of(rules, source.name)
    if manifest is not None:
        logs["sfemu-stable.log"] = encode_json(manifest)
    for name, text in logs.items():
        writer.add_log(name, text)
    if known is not None:
        _carry_over(target, snapshot)
    writer.write_snapshot(snapshot)
    kept = _rules_to_write(target, their_rules, known)
    about = Adopted(
        source=source.relative_to(rules.root).as_posix(),
        versions=material.versions,
        stamp="",
        files={
            SNAPSHOT_FILE: _digest_of(source / SNAPSHOT_FILE),
            **{f"logs/{name}": hashlib.sha256(text).hexdigest() for name, text in logs.items()},
        },
        rules={rule.name: hashlib.sha256(rule.text).hexdigest() for rule in their_rules},
    )
    if known is None:
        for rule in kept:
            patches.write_rule(writer.dir, rule.name, rule.text)
        # From its first moment on it is one of SFEmu's.
        write_atomic(writer.dir / adopted.FILE, encode_json(about))
        writer.publish()
        append_event(target, "captured", {"reason": snapshot.reason, "recorded_by": "SFEmu"}, ACTOR)
    else:
        for rule in kept:
            patches.write_rule(target, rule.name, rule.text)
        _move_over(writer.dir, target)
    retry_log = logs.get(RETRY_LOG, b"").decode("utf-8", "backslashreplace")
    stable = exported(manifest)
    explain(target, [proposal_of(rule, rules, retry_log, stable) for rule in their_rules])
    # Last: whatever ends this before, it is done again.
    about.stamp = stamp
    write_atomic(target / adopted.FILE, encode_json(about))


def _results(rules: RulesDirectory) -> SfAnalysis | None:
    """Return the SFAnalysis results of the firmware, read once for many runs; None where there are none."""
    directory = results_of(rules.home)
    try:
        return _read_results(directory, directory.stat().st_mtime_ns) if directory is not None else None
    except (TriageError, OSError):
        # The app says what is wrong with them.
        return None


@lru_cache(maxsize=1)
def _read_results(directory: Path, _changed: int) -> SfAnalysis:
    return SfAnalysis(directory)


def _digest_of(path: Path) -> str:
    """Return the SHA-256 of a snapshot of SFEmu's, "" where it cannot be read any more."""
    try:
        return hashlib.sha256(read_bounded(path, MAX_SNAPSHOT_BYTES)).hexdigest()
    except TriageError:
        return ""


def _rules_to_write(target: Path, found: list[TheirRule], known: Adopted | None) -> list[TheirRule]:
    """Return the rules whose text in our record may be replaced: nobody edited it since it was taken in."""
    if known is None:
        return found
    kept = []
    for rule in found:
        try:
            now = hashlib.sha256(patches.read_rule(target, rule.name)).hexdigest()
        except TriageError:
            kept.append(rule)
            continue
        if now == known.rules.get(rule.name):
            kept.append(rule)
    return kept


def _carry_over(target: Path, snapshot: Snapshot) -> None:
    """Keep what was added to our record since: code of frames from another source."""
    try:
        before = load_run(target).snapshot.backtrace
    except TriageError:
        return
    names = {ref.file for ref in snapshot.backtrace.pseudocode_index}
    added = [ref for ref in before.pseudocode_index if ref.file not in names]
    snapshot.backtrace.pseudocode_index = [*added, *snapshot.backtrace.pseudocode_index]


def _move_over(staging: Path, target: Path) -> None:
    """Put the files of a record that was made anew in the place of the older ones, the snapshot last."""
    files = [path for path in sorted(staging.rglob("*")) if path.is_file() and not path.is_symlink()]
    for path in sorted(files, key=lambda path: path.name == "snapshot.json"):
        place = target / path.relative_to(staging)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, place)
    shutil.rmtree(staging, ignore_errors=True)


def _versions(source: Path, found: SfemuSnapshot) -> str:
    """Say which versions of SFEmu may have written a run, by where it lies and what only some of them do."""
    if source.parent.parent.name == "data":
        return "2 or 3" if (source / "backup_syscall").exists() else "1 to 3"
    patch = source / "rules_patch"
    newest = found.reason == "sleep_loop" or (patch / "ai_result_meta.json").exists()
    return "6" if newest else "4 to 6"
