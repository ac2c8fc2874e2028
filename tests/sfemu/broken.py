"""Break a run directory of SFEmu in one way: by a full disk, an old machine, or somebody's intent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

ESCAPES = "\x1b]0;title\x07\x1b[31mred\x1b[0m\u202e"


def _edit(run_dir: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = run_dir / "snapshot.json"
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data) + "\n")


def truncated(run_dir: Path) -> None:
    """The disk was full in the middle of the snapshot."""
    path = run_dir / "snapshot.json"
    path.write_bytes(path.read_bytes()[:-400])


def empty(run_dir: Path) -> None:
    """Nothing but the name of the file was written."""
    (run_dir / "snapshot.json").write_bytes(b"")


def no_snapshot(run_dir: Path) -> None:
    """It is still being written."""
    (run_dir / "snapshot.json").unlink()


def other_types(run_dir: Path) -> None:
    """Each field has another type than it should."""

    def change(data: dict[str, Any]) -> None:
        data["trigger"] |= {"seq": "many", "args": {"1": "x"}, "ts_sec": None, "syscall_name": 7}
        data["regs"] = [1, "r0", None, {"name": 3, "value": {}}, {"name": "pc", "value": 1.5}]
        data["memory"] = [{"addr": "0x10", "blob": []}, 4, {"addr": -1 << 70, "string": 3}]
        data["backtrace"] = {"raw": "0x1", "frames": [[], {"addr": "x"}], "pseudocode_index": 3}
        data["recent_syscalls"] = {"a": 1}
        data["created_at"] = ["now"]

    _edit(run_dir, change)


def empty_objects(run_dir: Path) -> None:
    """What its encoder makes of tables without an entry."""
    _edit(run_dir, lambda data: data.update(trigger=[], outputs=[], backtrace=[], memory=[], regs=[]))


def missing_keys(run_dir: Path) -> None:
    """Only what cannot be absent is there."""

    def change(data: dict[str, Any]) -> None:
        for name in set(data) - {"run_id", "rules_dir"}:
            del data[name]

    _edit(run_dir, change)


def numbers_out_of_range(run_dir: Path) -> None:
    """Numbers that no register holds, and twice the same."""

    def change(data: dict[str, Any]) -> None:
        data["trigger"]["seq"] = 1 << 80
        for call in data["recent_syscalls"]:
            call |= {"seq": 5, "num": 1 << 70, "args": [-(1 << 90)] * 40, "ret": 1e300}
        for frame in data["backtrace"]["frames"]:
            frame |= {"addr": -(1 << 65), "idx": -3}

    _edit(run_dir, change)


def nested(run_dir: Path) -> None:
    """Deeper than any reader follows."""
    (run_dir / "snapshot.json").write_text('{"run_id":' + "[" * 200_000 + "]" * 200_000 + "}")


def no_object(run_dir: Path) -> None:
    """Valid JSON of another kind."""
    (run_dir / "snapshot.json").write_text("[]\n")


def linked(run_dir: Path) -> None:
    """Links to what its reader must not open."""
    secret = run_dir.parents[2] / "secret.txt"
    secret.write_text("root:secret\n")
    for name in ("retry.log", "diagnosis.md"):
        (run_dir / name).unlink()
        (run_dir / name).symlink_to(secret)
    for path in (run_dir / "memory").iterdir():
        path.unlink()
        path.symlink_to(secret)
    for path in (run_dir / "rules_patch" / "observe" / "syscall").iterdir():
        path.unlink()
        path.symlink_to(secret)


def pipes(run_dir: Path) -> None:
    """FIFOs, at which a reader would wait for ever."""
    for path in (run_dir / "retry.log", *(run_dir / "memory").iterdir(), *(run_dir / "pseudocode").iterdir()):
        path.unlink()
        os.mkfifo(path)


def outside(run_dir: Path) -> None:
    """Paths that lead out of the run."""
    secret = run_dir.parents[2] / "secret.txt"
    secret.write_text("root:secret\n")

    def change(data: dict[str, Any]) -> None:
        for entry in data["memory"]:
            entry["string_file"] = str(secret)
            if "blob" in entry:
                entry["blob"]["file"] = "../../../secret.txt"
        for entry in data["backtrace"]["pseudocode_index"]:
            entry["file"] = f"{run_dir}/pseudocode/../../../../secret.txt"

    _edit(run_dir, change)


def huge(run_dir: Path) -> None:
    """Files of gigabytes, which take no room."""
    for path in (run_dir / "retry.log", run_dir / "diagnosis.md", *(run_dir / "memory").iterdir()):
        os.truncate(path, 8 << 30)


def escapes(run_dir: Path) -> None:
    """Sequences for the terminal wherever there is text."""

    def change(data: dict[str, Any]) -> None:
        data["created_at"] = data["rules_dir"] = ESCAPES
        data["trigger"]["syscall_name"] = f"open{ESCAPES}"
        for frame in data["backtrace"]["frames"]:
            frame |= {"func_name": ESCAPES, "module_name": ESCAPES, "prototype": ESCAPES}
        for entry in data["memory"]:
            entry |= {"tag": ESCAPES, "string": ESCAPES}
        for call in data["recent_syscalls"]:
            call["name"] = f"open{ESCAPES}"

    _edit(run_dir, change)
    for name in ("retry.log", "diagnosis.md"):
        (run_dir / name).write_text(ESCAPES + "\n")


BREAKS: dict[str, Callable[[Path], None]] = {
    one.__name__: one
    for one in (
        truncated,
        empty,
        no_snapshot,
        other_types,
        empty_objects,
        missing_keys,
        numbers_out_of_range,
        nested,
        no_object,
        linked,
        pipes,
        outside,
        huge,
        escapes,
    )
}
"""Every way, by name."""
UNREADABLE = frozenset(("truncated", "empty", "no_snapshot", "nested", "no_object"))
"""After which there is no snapshot to show."""
