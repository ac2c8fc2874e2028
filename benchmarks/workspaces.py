"""Workspaces of any size, made of the recorded runs of real programs that ship with the product."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.resources import recorded_runs
from triage_tui.runs.memory_files import BLOCK

CALLS = 100_000
MEMORY_BYTES = 1 << 30
HEAP = 0x7000_0000_0000
_TARGETS = 2_500
"""Different targets among many runs: most failed several times for the same cause."""
_NEWEST = datetime(2026, 11, 20, 12, tzinfo=UTC)
_BETWEEN = timedelta(seconds=97)
_OWN = ("snapshot.json", "diagnosis.json")
"""Files in which runs of the same recording differ; the others are the same file under more names."""
_MAGIC = 7919
"""A prime, so that pages of the large memory differ without a pattern."""


def _directories() -> list[Path]:
    found = recorded_runs()
    if not found:
        raise RuntimeError("the recorded runs are missing: reinstall triage-tui")
    return found


def _names(count: int) -> Iterator[tuple[str, str]]:
    """Yield run id and time of each run, newest first."""
    for number in range(count):
        when = _NEWEST - number * _BETWEEN
        yield f"{when:%Y%m%d_%H%M%S}_{count - number:08d}", when.isoformat()


def _copy(source: Path, run_dir: Path) -> None:
    """Copy a run; its files get another name where that is possible, so ten thousand take little disk."""
    for place, directories, files in os.walk(source):
        there = run_dir / os.path.relpath(place, source)
        there.mkdir(parents=True, exist_ok=True)
        for name in files:
            if name not in _OWN:
                os.link(os.path.join(place, name), there / name)
        directories.sort()


def make_workspace(root: Path, runs: int) -> Path:
    """Return a workspace with `runs` runs below `root`, made anew unless it is there already."""
    workspace = root / f"{runs}-runs"
    if (workspace / "complete").exists():
        return workspace
    shutil.rmtree(workspace, ignore_errors=True)
    runs_dir = workspace / "ai_runs"
    runs_dir.mkdir(parents=True)
    originals = [_original(root, directory) for directory in _directories()]
    for number, (run_id, created_at) in enumerate(_names(runs)):
        directory, contents = originals[number % len(originals)]
        write_variant(directory, contents, runs_dir / run_id, created_at, number % _TARGETS)
    (workspace / "complete").touch()
    return workspace


def _original(root: Path, directory: Path) -> tuple[Path, dict[str, Any]]:
    """Copy a recorded run beside the workspaces, where its files can have more names."""
    copy = root / "recorded" / directory.name
    if not copy.exists():
        shutil.copytree(directory, copy)
    return copy, {name: msgspec.json.decode((copy / name).read_bytes()) for name in _OWN}


def write_variant(
    directory: Path, contents: dict[str, Any], run_dir: Path, created_at: str, target: int
) -> None:
    """Write a run like the recorded one in `directory`, of another target and time."""
    _copy(directory, run_dir)
    snapshot, diagnosis = dict(contents["snapshot.json"]), dict(contents["diagnosis.json"])
    program = f"{snapshot['target']['program']}-{target:04d}"
    identity = f"{snapshot['target']['target_id']}-{target:04d}"
    snapshot["target"] = snapshot["target"] | {"program": program, "target_id": identity}
    snapshot |= {"run_id": run_dir.name, "created_at": created_at, "parent_run": None, "round": 0}
    diagnosis["run_id"] = run_dir.name
    (run_dir / "snapshot.json").write_bytes(msgspec.json.encode(snapshot))
    (run_dir / "diagnosis.json").write_bytes(msgspec.json.encode(diagnosis))


# --- one run that is large ---------------------------------------------------------------------------------


def make_large_workspace(root: Path) -> Path:
    """Return a workspace whose only run has `CALLS` calls and `MEMORY_BYTES` of memory."""
    workspace = root / "large-run"
    if (workspace / "complete").exists():
        return workspace
    shutil.rmtree(workspace, ignore_errors=True)
    ((run_id, created_at),) = _names(1)
    run_dir = workspace / "ai_runs" / run_id
    # The recording of most calls; it ends in a loop.
    recorded = max(_directories(), key=lambda one: (one / "trace.jsonl").stat().st_size)
    write_variant(*_original(root, recorded), run_dir, created_at, 0)
    _lengthen_trace(run_dir, CALLS)
    _keep_memory(run_dir)
    (workspace / "complete").touch()
    return workspace


def _lengthen_trace(run_dir: Path, count: int) -> None:
    """Repeat the calls of a run until there are `count`."""
    path = run_dir / "trace.jsonl"
    calls = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    path.unlink()  # Its other names keep what they have.
    begin = calls[0]["ts_mono_ns"]
    with path.open("wb") as output:
        for seq in range(1, count + 1):
            call = calls[(seq - 1) % len(calls)] | {"seq": seq, "ts_mono_ns": begin + seq * 10_000}
            output.write(msgspec.json.encode(call) + b"\n")
    snapshot = msgspec.json.decode((run_dir / "snapshot.json").read_bytes())
    snapshot["trigger"]["seq"] = count
    if loop := snapshot.get("loop"):
        moved = count - loop["last_seq"]
        loop |= {"first_seq": loop["first_seq"] + moved, "last_seq": count}
        loop["round_seqs"] = [seq + moved for seq in loop.get("round_seqs", [])]
    (run_dir / "snapshot.json").write_bytes(msgspec.json.encode(snapshot))


def _keep_memory(run_dir: Path) -> None:
    """Add a region of memory whose file is mostly a hole, but whose every MiB is another."""
    snapshot = msgspec.json.decode((run_dir / "snapshot.json").read_bytes())
    name = "memory/heap.mem"
    hashes = []
    with (run_dir / name).open("wb") as output:
        output.truncate(MEMORY_BYTES)
        for number in range(MEMORY_BYTES // BLOCK):
            mark = f"block {number}\0".encode() + bytes((number * _MAGIC + at) & 0xFF for at in range(64))
            os.pwrite(output.fileno(), mark, number * BLOCK)
            hashes.append(hashlib.sha256(mark.ljust(BLOCK, b"\0")).hexdigest())
    pid = next((one["pid"] for one in snapshot.get("processes", []) if one.get("looked_at")), 0)
    snapshot["memory_regions"] = [
        {
            "pid": pid,
            "start": HEAP,
            "end": HEAP + MEMORY_BYTES,
            "perms": "rw-",
            "name": "[heap]",
            "file": name,
            "size": MEMORY_BYTES,
            "hashes": hashes,
            "extents": [{"addr": HEAP, "size": MEMORY_BYTES, "offset": 0}],
        }
    ]
    (run_dir / "snapshot.json").write_bytes(msgspec.json.encode(snapshot))


# --- one run at the limits of what is read -----------------------------------------------------------------


def make_huge_workspace(root: Path) -> Path:
    """Return a workspace of two runs: a usual one, and below it one whose every part is at its limit."""
    workspace = root / "huge-run"
    if (workspace / "complete").exists():
        return workspace
    shutil.rmtree(workspace, ignore_errors=True)
    usual, huge = _names(2)
    runs_dir = workspace / "ai_runs"
    directory, contents = _original(root, _directories()[0])
    write_variant(directory, contents, runs_dir / usual[0], usual[1], 0)
    write_variant(directory, contents, runs_dir / huge[0], huge[1], 1)
    _fill(runs_dir / huge[0])
    (workspace / "complete").touch()
    return workspace


def _fill(run_dir: Path) -> None:
    _lengthen_trace(run_dir, 240_000)
    line = b"0123456789 the daemon says something of no interest, again and again\n"
    for number in range(16):
        (run_dir / f"logs/part-{number:02d}.log").write_bytes(line * ((1 << 20) // len(line) + 1))
    rules = run_dir / "rules_patch/many/syscall"
    rules.mkdir(parents=True)
    original = next((run_dir / "rules_patch").rglob("*.lua")).read_text()
    for number in range(250):
        text = original.replace("-- id: ", f"-- id: n{number}-", 1)
        (rules / f"rule-{number:03d}.lua").write_text(text + "-- a remark\n" * 1500)
    _fill_snapshot(run_dir)
    _fill_diagnosis(run_dir)


def _fill_snapshot(run_dir: Path) -> None:
    snapshot = msgspec.json.decode((run_dir / "snapshot.json").read_bytes())
    code = "int function_{0}(int a) {{ return a * {0}; /* what a decompiler writes */ }}\n"
    frames = snapshot["backtrace"]["frames"]
    snapshot["backtrace"]["frames"] = [frames[0] | {"idx": number} for number in range(512)]
    index = snapshot["backtrace"]["pseudocode_index"]
    for number in range(64):
        name = f"pseudocode/large_{number:02d}.c"
        (run_dir / name).write_text("".join(code.format(line) for line in range(4000)))
        index.append(index[0] | {"frame": number, "file": name, "kind": "pseudocode"})
    mapping = snapshot["maps"][0]
    size = mapping["end"] - mapping["start"]
    snapshot["maps"] += [
        mapping | {"start": HEAP + number * size, "end": HEAP + (number + 1) * size}
        for number in range(60_000)
    ]
    (run_dir / "snapshot.json").write_bytes(msgspec.json.encode(snapshot))


def _fill_diagnosis(run_dir: Path) -> None:
    diagnosis = msgspec.json.decode((run_dir / "diagnosis.json").read_bytes())
    best = diagnosis["hypotheses"][0]
    evidence = (best["evidence"] * 400)[:400]
    diagnosis["hypotheses"] += [best | {"evidence": evidence, "confidence": 0.1}] * 60
    proposal = diagnosis["proposals"][0]
    names = [f"many/syscall/rule-{number:03d}.lua" for number in range(250)]
    diagnosis["proposals"] += [
        proposal | {"id": f"many-{n}", "files": [name]} for n, name in enumerate(names)
    ]
    (run_dir / "diagnosis.json").write_bytes(msgspec.json.encode(diagnosis))


def add_run(workspace: Path) -> Path:
    """Add one more run, newer than the others, in one step as a writer does; returns its directory."""
    runs_dir = workspace / "ai_runs"
    directory, contents = _original(workspace.parent, _directories()[0])
    when = _NEWEST + _BETWEEN
    run_id = f"{when:%Y%m%d_%H%M%S}_00010001"
    staged = runs_dir / f".{run_id}.staged"
    shutil.rmtree(staged, ignore_errors=True)
    write_variant(directory, contents, staged, when.isoformat(), 1)
    return staged.rename(runs_dir / run_id)
