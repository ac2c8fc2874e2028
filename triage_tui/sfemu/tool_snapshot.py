"""Write a run of ours as SFEmu gives one to a tool: `<cmd> <snapshot.json> <rules_patch dir> <env path>`.

Fields, files and forms are SFEmu's (its public documentation, newest version): eight signed arguments, texts
as bytes in \\u00XX, frames counted from 1, an object without keys as `[]`, absent instead of null, paths as
the tool is given them. What only our record knows is under one key of its own, `triage_tui`. The directory is
a whole rule directory with nothing in it but the run, so that a tool that looks around finds what it expects.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs import guest_abi
from triage_tui.runs.files import write_atomic
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.model import Register, Syscall
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.writer import fnv1a32
from triage_tui.text import safe_line

ARGUMENTS = 8
RECENT = 64
MAX_BLOB = 256
"""Bytes of a memory object: what SFEmu keeps of one, unless it is told otherwise."""
MAX_MEMORY = 32
MAX_HEX = 64
_REASONS = {
    "loop": "deadloop",
    "sleep_loop": "sleep_loop",
    "idle": "idle_deadloop",
    "time_limit": "idle_deadloop",
    "requested": "idle_deadloop",
    "syscall": "syscall_error",
}
"""SFEmu's word for our reason; the program's end by itself or by a signal is an exit to it, and so is what it
has no word for."""
_NUMBER = re.compile(r"-?(0x[0-9a-f]+|[0-9]+)\Z")
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,80}\Z")
_KNOWN = {"AT_FDCWD": -100, "NULL": 0}


class ToolRun(msgspec.Struct, frozen=True):
    """The three paths that a tool is given, in its order."""

    snapshot: Path
    patch_dir: Path
    env: Path


def write_tool_run(run: Run, root: Path, redaction: Redaction) -> ToolRun:
    """Write a run below the empty directory `root`, its secrets masked as `redaction` says.

    Raises:
        OSError: it cannot be written.
    """
    run_dir = root / "cache" / "ai_runs" / run.run_id
    for name in ("pseudocode", "memory", "rules_patch/fix/syscall", "rules_patch/observe/syscall"):
        (run_dir / name).mkdir(parents=True)
    for name in ("config", "syscall"):
        (root / name).mkdir()
    env = root / "config" / "env"
    env.touch()
    texts = {
        "regs.txt": _regs_text(run.snapshot.regs),
        "backtrace.txt": _backtrace_text(run.snapshot.backtrace.frames),
        "diagnosis.md": _text_of(run, run.snapshot.outputs.diagnosis_md),
        "retry.log": f"run_id={run.run_id} reason={_reason(run)}\n",
    }
    for name, text in texts.items():
        write_atomic(run_dir / name, redaction.text(text))
    snapshot = _snapshot(run, root, run_dir, redaction)
    write_atomic(run_dir / "snapshot.json", encode(snapshot) + "\n")
    return ToolRun(run_dir / "snapshot.json", run_dir / "rules_patch", env)


def encode(value: Any) -> str:
    """Return JSON as SFEmu's encoder writes it: ASCII, a byte each, no nulls in objects, `[]` for {}."""
    return json.dumps(_plain(value), ensure_ascii=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("latin-1")
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if one is not None} or []
    return value


def _snapshot(run: Run, root: Path, run_dir: Path, redaction: Redaction) -> dict[str, Any]:
    ours = run.snapshot
    word = guest_abi.word(ours.target.arch)
    calls = list(ours.recent_syscalls[-RECENT:])
    is_idle = _reason(run) == "idle_deadloop"
    trigger = _trigger(run, word)
    frames, index = _frames(run, run_dir, redaction)
    return {
        "run_id": run.run_id,
        "reason": _reason(run),
        "created_at": ours.created_at[:19].replace("T", " "),
        "rules_dir": f"{root}/",
        "trigger": trigger,
        "outputs": {
            "regs_txt": str(run_dir / "regs.txt"),
            "backtrace_txt": str(run_dir / "backtrace.txt"),
            "diagnosis_md": str(run_dir / "diagnosis.md"),
            "retry_log": str(run_dir / "retry.log"),
        },
        "regs": _registers(ours.regs),
        "backtrace": {
            "raw": [f"0x{frame.addr:x}" for frame in ours.backtrace.frames],
            "frames": frames,
            "pseudocode_index": index,
        },
        "memory": list(_memory(run, run_dir, word, redaction)),
        "recent_syscalls": [
            _call(run, call, word, redaction, pending=number == len(calls) and not is_idle)
            for number, call in enumerate(calls, 1)
        ],
        "triage_tui": {
            "reason": ours.reason,
            "detail": redaction.text(ours.trigger.detail),
            "arch": ours.target.arch,
            "program": ours.target.program,
            "program_sha256": ours.target.program_sha256,
            "unavailable": [f"{one.what}: {one.why}" for one in ours.unavailable],
        },
    }


def _reason(run: Run) -> str:
    return _REASONS.get(run.snapshot.reason, "exit")


def _trigger(run: Run, word: int) -> dict[str, Any]:
    ours = run.snapshot.trigger
    told: dict[str, Any] = {"seq": ours.seq, "ts_sec": ours.ts_sec, "ts_nsec": ours.ts_nsec}
    if _reason(run) == "idle_deadloop":
        # SFEmu's watchdog has no call: a program counter, and three counts of its own sampling.
        pc = next((one.value for one in run.snapshot.regs if one.name in _PROGRAM_COUNTERS), 0)
        args = [pc if isinstance(pc, int) else 0, 0, 0, 0]
        # It counts the silences of a program apart.
        told["seq"] = max(ours.seq, 0) * _SILENCES + 1
        return {**told, "syscall_name": "idle", "syscall_num": -1, "args": args}
    args = [_signed(value, word) for value in ours.args[:ARGUMENTS]]
    args += [0] * (ARGUMENTS - len(args))
    return {**told, "syscall_name": ours.syscall_name, "syscall_num": ours.syscall_num, "args": args}


_SILENCES = 100_000
_PROGRAM_COUNTERS = ("pc", "rip", "eip", "nip")


def _signed(value: int, word: int) -> int:
    """Return a register as SFEmu's scripts see it: a signed number of the guest's word."""
    value &= (1 << 8 * word) - 1
    return value - (1 << 8 * word) if value >> (8 * word - 1) else value


def _call(run: Run, call: Syscall, word: int, redaction: Redaction, *, pending: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "seq": call.seq,
        "name": call.name,
        "num": call.num,
        "args": _arguments(run, call, word),
        "ret": None if pending else call.ret,
        "intercepted": call.intercepted,
    }
    # A tool that knows more than SFEmu's form may read them; the numbers above may lack pointers.
    return {**told, "arguments": [redaction.text(one) for one in call.arguments]}


def _arguments(run: Run, call: Syscall, word: int) -> list[int]:
    """Return eight arguments; of a call that only the emulator's log has, those numbers that it tells.

    Where memory of the call was kept, the address of that is the argument.
    """
    found = [_signed(value, word) for value in call.args[:ARGUMENTS]]
    if not found:
        found = [_number(text) for text in call.arguments[:ARGUMENTS]]
        if call is _last_failed(run):
            for entry in run.snapshot.memory:
                if (place := _PLACE.match(_tag(entry))) and int(place[1]) <= len(found):
                    found[int(place[1]) - 1] = _signed(entry.addr, word)
    return found + [0] * (ARGUMENTS - len(found))


_PLACE = re.compile(r"last_err_arg([1-8])_")


def _last_failed(run: Run) -> Syscall | None:
    calls = run.snapshot.recent_syscalls
    return next((one for one in reversed(calls) if one.ret is not None and one.ret < 0), None)


def _number(text: str) -> int:
    if text in _KNOWN:
        return _KNOWN[text]
    return int(text, 0) if _NUMBER.match(text) and not re.match(r"-?0[0-9]", text) else 0


def _register(one: Register) -> dict[str, Any]:
    value = one.value
    if isinstance(value, str) and len(value) > len("hex:") + 2 * MAX_HEX:
        value = f"{value[: len('hex:') + 2 * MAX_HEX]}...(trunc {MAX_HEX}/{one.size})"
    elif isinstance(value, int) and one.size == 8:
        value = _signed(value, 8)
    return {
        "num": one.num,
        "name": one.name,
        "feature": one.feature,
        "size": one.size,
        "rc": one.rc,
        "value": value if one.rc == 0 else None,
    }


def _registers(regs: list[Register]) -> list[dict[str, Any]]:
    """Return registers, each with a number: those unknown to QEMU's gdb stub come behind the others."""
    told = [_register(one) for one in regs]
    behind = 1 + max((one["num"] for one in told), default=-1)
    for one in told:
        if one["num"] < 0:
            one["num"], behind = behind, behind + 1
    return told


def _regs_text(regs: list[Register]) -> str:
    told = _registers(regs)
    lines = [
        f"{one['name']}({one['num']}) size={one['size']} rc={one['rc']} value={one['value']}" for one in told
    ]
    return "\n".join(lines) + "\n"


def _backtrace_text(frames: list[Frame]) -> str:
    lines = []
    for number, frame in enumerate(frames, 1):
        known = frame.module_name or frame.func_name
        names = f"  {frame.module_name or '(unknown)'} :: {frame.func_name or '(unknown)'}"
        lines.append(f"#{number:02d} 0x{frame.addr:x}{names if known else ''}")
    return "\n".join(lines) + "\n"


def _frames(
    run: Run, run_dir: Path, redaction: Redaction
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write the code of frames, and return the frames and which file holds the code of which."""
    codes = {one.frame: one for one in reversed(run.snapshot.backtrace.pseudocode_index)}
    frames, index = [], []
    for number, frame in enumerate(run.snapshot.backtrace.frames, 1):
        told: dict[str, Any] = {
            "idx": number,
            "addr": frame.addr,
            "addr_hex": f"0x{frame.addr:x}",
            "rc": frame.rc,
            "module_name": frame.module_name,
            "module_real_path": frame.module_real_path,
            "func_name": frame.func_name,
            "prototype": frame.prototype,
        }
        code = codes.get(frame.idx)
        text = _text_of(run, code.file) if code is not None else ""
        if code is not None and text:
            path = run_dir / "pseudocode" / f"frame{number:02d}_0x{frame.addr:x}.txt"
            write_atomic(path, redaction.text(text))
            told |= {
                "pseudocode_truncated": code.truncated,
                "pseudocode_file": code.file,
                "pseudocode_path": str(path),
            }
            index.append(
                {
                    "frame": number,
                    "addr_hex": told["addr_hex"],
                    "file": str(path),
                    "truncated": code.truncated,
                }
            )
        frames.append(told)
    return frames, index


def _text_of(run: Run, name: str) -> str:
    with contextlib.suppress(TriageError):
        return run.text_file(name)
    return ""


def _tag(entry: MemoryObject) -> str:
    """Return SFEmu's name of a memory object: `last_err_arg2_0x4080090c`."""
    stem = Path(entry.blob.file).stem.removesuffix("_str") if entry.blob is not None else ""
    return stem if _TAG.match(stem) else f"memory_{safe_line(entry.id, 40)}_0x{entry.addr:x}"


def _memory(run: Run, run_dir: Path, word: int, redaction: Redaction) -> Iterator[dict[str, Any]]:
    """Write memory objects, and yield what a snapshot says of them."""
    taken: set[str] = set()
    for entry in run.snapshot.memory:
        tag = re.sub(r"[^A-Za-z0-9_.-]", "_", _tag(entry))
        if tag in taken or len(taken) == MAX_MEMORY:
            continue
        taken.add(tag)
        address = _signed(entry.addr, word)
        told: dict[str, Any] = {
            "tag": tag,
            "source": "last_err" if tag.startswith("last_err_") else "trigger",
            "addr": address,
            "addr_hex": f"0x{entry.addr:x}",
        }
        try:
            data = redaction.masked_bytes(run.memory_bytes(entry.id))[0][:MAX_BLOB]
        except TriageError as error:
            yield {**told, "string_err": "empty", "blob_err": safe_line(str(error), 200)}
            continue
        text = data.partition(b"\0")[0]
        if text:
            path = run_dir / "memory" / f"{tag}_str.txt"
            write_atomic(path, text + b"\n")
            told |= {"string": text, "string_file": str(path)}
        else:
            told["string_err"] = "empty"
        path = run_dir / "memory" / f"{tag}.bin"
        write_atomic(path, data)
        told["blob"] = {
            "addr": address,
            "addr_hex": told["addr_hex"],
            "size": len(data),
            "file": str(path),
            "fnv1a32": f"0x{fnv1a32(data):08x}",
        }
        yield told
