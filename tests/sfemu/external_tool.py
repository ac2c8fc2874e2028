"""A tool as SFEmu calls it: reads the snapshot strictly by the interface, and writes rules for what failed.

    python external_tool.py <snapshot.json> <rules_patch dir> <env path>

Ends with 2 where it is called otherwise and 3 where the snapshot is not as the interface says.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

REASONS = ("exit", "deadloop", "sleep_loop", "idle_deadloop", "syscall_error")


def want(true: bool, what: str) -> None:
    if not true:
        print(f"not by the interface: {what}")
        sys.exit(3)


def is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63


def fields(
    value: Any, where: str, needed: Sequence[tuple[str, type]], optional: Sequence[tuple[str, type]] = ()
) -> None:
    """Check names and types of an object; unknown names are passed over, as Lua and Python tools do."""
    want(isinstance(value, dict), f"{where} is no object")
    for name, _ in needed:
        want(name in value, f"{where} has no {name}")
    for name, kind in (*needed, *optional):
        if name in value:
            good = is_int(value[name]) if kind is int else isinstance(value[name], kind)
            want(good, f"{where}.{name} is {value[name]!r}")


def words(values: Any, where: str, count: int) -> None:
    want(isinstance(values, list) and len(values) == count, f"{where} has not {count} arguments")
    want(all(map(is_int, values)), f"{where} holds what is no number")


def fnv1a32(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def read(path: str) -> bytes:
    want(os.path.isfile(path), f"there is no file {path}")
    with open(path, "rb") as stream:
        return stream.read()


def check(snapshot: dict[str, Any], run_dir: str) -> None:
    fields(snapshot, "snapshot", [(name, str) for name in ("run_id", "reason", "created_at", "rules_dir")])
    want(snapshot["run_id"] == os.path.basename(run_dir), "run_id is another than the directory")
    want(snapshot["reason"] in REASONS, f"reason {snapshot['reason']}")
    want(snapshot["rules_dir"].endswith("/"), "rules_dir has no / at its end")
    trigger = snapshot["trigger"]
    fields(trigger, "trigger", [("seq", int), ("syscall_name", str), ("syscall_num", int), ("args", list)])
    words(trigger["args"], "trigger", 4 if trigger["syscall_name"] == "idle" else 8)
    for name in ("regs_txt", "backtrace_txt", "diagnosis_md", "retry_log"):
        want(read(snapshot["outputs"][name]) is not None, name)
    for one in snapshot["regs"]:
        fields(one, "register", [("num", int), ("name", str), ("feature", str), ("size", int), ("rc", int)])
        value = one.get("value", 0)
        want(is_int(value) or value.startswith("hex:"), f"value of {one['name']}")
    numbers = [one["num"] for one in snapshot["regs"]]
    want(all(number >= 0 for number in numbers), "a register without a number")
    want(len(set(numbers)) == len(numbers), "a number of two registers")
    trace = snapshot["backtrace"]
    want(all(one.startswith("0x") for one in trace["raw"]), "raw addresses")
    for number, one in enumerate(trace["frames"], 1):
        fields(
            one,
            "frame",
            [("idx", int), ("addr", int), ("addr_hex", str), ("rc", int)],
            [("module_name", str), ("func_name", str), ("pseudocode_path", str)],
        )
        want(one["idx"] == number, "frames are counted from 1")
    for one in trace["pseudocode_index"]:
        fields(one, "code", [("frame", int), ("addr_hex", str), ("file", str), ("truncated", bool)])
        read(one["file"])
    for one in snapshot["memory"]:
        fields(one, "memory", [("tag", str), ("source", str), ("addr", int), ("addr_hex", str)])
        want(("string" in one) != ("string_err" in one), f"string of {one['tag']}")
        want(("blob" in one) != ("blob_err" in one), f"blob of {one['tag']}")
        if "blob" in one:
            data = read(one["blob"]["file"])
            want(len(data) == one["blob"]["size"], "size of a blob")
            want(one["blob"]["fnv1a32"] == f"0x{fnv1a32(data):08x}", "checksum of a blob")
            want(os.path.basename(one["blob"]["file"]) == f"{one['tag']}.bin", "name of a blob")
        if "string" in one:
            want(all(ord(letter) < 256 for letter in one["string"]), "a string that is not bytes")
    recent = snapshot["recent_syscalls"]
    want(0 < len(recent) <= 64, "recent_syscalls")
    for one in recent:
        fields(one, "call", [("seq", int), ("name", str), ("num", int), ("args", list)], [("ret", int)])
        words(one["args"], one["name"], 8)
    if trigger["syscall_name"] == "idle":
        want(trigger["seq"] // 100_000 == recent[-1]["seq"], "a silence is counted apart")
    else:
        want("ret" not in recent[-1], "the last call has returned")


def main() -> int:
    if len(sys.argv) != 4:
        return 2
    path, patch_dir, env = sys.argv[1:]
    run_dir = os.path.dirname(os.path.abspath(patch_dir))
    want(os.path.isfile(env), "there is no env")
    raw = read(path)
    want(all(byte < 0x80 for byte in raw), "the snapshot is not ASCII")
    snapshot = json.loads(raw)
    check(snapshot, run_dir)
    failed = [one for one in snapshot["recent_syscalls"] if one.get("ret", 0) < 0]
    name = failed[-1]["name"] if failed else snapshot["trigger"]["syscall_name"]
    for kind in ("fix", "observe"):
        text = f"function do_syscall(num)\n  c_log('{kind} {name}')\n  return 0, 0\nend\n"
        with open(os.path.join(patch_dir, kind, "syscall", f"{name}.lua"), "w") as stream:
            stream.write(text)
    with open(os.path.join(patch_dir, "ai_explain.md"), "w") as stream:
        stream.write(f"{name} failed \x1b]52;c;AAAA\x07 here\n")
    # What nobody should take: another place, a link, a name that is none.
    os.symlink("/etc/passwd", os.path.join(patch_dir, "fix", "syscall", "open.lua"))
    with open(os.path.join(patch_dir, "fix", "syscall", "Bad Name.lua"), "w") as stream:
        stream.write("function do_syscall() end\n")
    print(f"read {snapshot['run_id']} strictly")
    return 0


if __name__ == "__main__":
    sys.exit(main())
