"""Write what SFEmu keeps of a stop, for each of its versions, byte by byte as its Lua scripts do.

From the public interface: files, fields, texts of logs and the ways of its JSON encoder (keys in any order,
bytes that are no ASCII as \\u00XX, an empty object as `[]`, absent instead of null).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tests.sfemu.scenes import HTTPD, LIBC, Call, Scene

VERSIONS = (1, 2, 3, 4, 5, 6)
ELSEWHERE = "/home/analyst/SFEmu/rules_examples/"
"""The rule directory as the machine that recorded named it; nothing of the kind is here."""
BYTES_OF_MEMORY = 256
CREATED = "2026-01-31 02:00:07"


def records_name(version: int) -> str:
    """Return the directory of recorded things."""
    return "data" if version <= 3 else "cache"


def rules_directory(root: Path, version: int = 6, config: str = "") -> Path:
    """Make an empty rule directory."""
    for name in ("base", "config", "syscall", "plugins", f"{records_name(version)}/ai_runs"):
        (root / name).mkdir(parents=True, exist_ok=True)
    if version >= 2:
        (root / "syscall_override").mkdir(exist_ok=True)
    (root / "entry.lua").write_text("function entry(name, num)\n  return false, 0\nend\n")
    (root / "finish.lua").write_text("function finish(name, num, ret)\nend\n")
    (root / "config" / "env").write_text(config)
    return root


def run_id_of(scene: Scene, number: int = 0) -> str:
    """Return the name of a run: the time, and the number of the call at which it stopped."""
    return f"20260131_0200{7 + number:02d}_{trigger_seq(scene):08d}"


def trigger_seq(scene: Scene) -> int:
    """Return the number of the call at which SFEmu stopped."""
    return scene.trigger_seq or scene.first_seq + len(scene.calls) - 1


def write_run(
    rules: Path,
    scene: Scene,
    version: int = 6,
    *,
    number: int = 0,
    rules_dir: str = ELSEWHERE,
    seed: int = 1,
) -> Path:
    """Record a stop below `rules`, and return the directory of its run.

    `number` is the second at which it happened, `rules_dir` what SFEmu was started with.
    """
    records = rules / records_name(version)
    run_id = run_id_of(scene, number)
    run_dir = records / "ai_runs" / run_id
    named = f"{rules_dir}{records_name(version)}/ai_runs/{run_id}"
    for name in ("pseudocode", "memory", *(f"rules_patch/{one}" for one in _PATCHES)):
        (run_dir / name).mkdir(parents=True, exist_ok=True)
    snapshot = _snapshot(scene, run_dir, run_id, named, rules_dir)
    encoded = lua_json(snapshot, random.Random(seed))
    (run_dir / "snapshot.json").write_bytes(encoded.encode("ascii") + b"\n")
    (run_dir / "regs.txt").write_text(_regs_text(snapshot["regs"]))
    (run_dir / "backtrace.txt").write_text(_backtrace_text(snapshot["backtrace"]["frames"]))
    (run_dir / "diagnosis.md").write_text(_diagnosis_text(scene, run_id))
    _write_rules(rules, scene, version, run_dir, run_id, named)
    _write_contexts(records, scene)
    if scene.loop:
        _write_deadloop(records, scene)
    return run_dir


_PATCHES = ("fix/syscall", "observe/syscall", "syscall")


def lua_json(value: Any, order: random.Random) -> str:
    """Return `value` as SFEmu's encoder writes it; bytes are Lua strings, None is left out of an object."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str | bytes):
        raw = value if isinstance(value, bytes) else value.encode()
        return '"' + "".join(map(_escaped, raw)) + '"'
    if isinstance(value, dict):
        pairs = [(key, one) for key, one in value.items() if one is not None]
        order.shuffle(pairs)
        inside = ",".join(f"{lua_json(key, order)}:{lua_json(one, order)}" for key, one in pairs)
        return f"{{{inside}}}" if pairs else "[]"
    return "[" + ",".join(lua_json(one, order) for one in value) + "]"


_PLAIN = {0x5C: "\\\\", 0x22: '\\"', 8: "\\b", 12: "\\f", 10: "\\n", 13: "\\r", 9: "\\t"}


def _escaped(byte: int) -> str:
    if byte in _PLAIN:
        return _PLAIN[byte]
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\u{byte:04x}"


def _call(call: Call, seq: int, *, last: bool) -> dict[str, Any]:
    return {
        "seq": seq,
        "name": call.name,
        "num": call.num,
        "args": list(call.args) if call.num < 0 else call.eight,
        "ret": call.ret if not last or call.intercepted else None,
        "intercepted": call.intercepted if call.intercepted is not None or last else False,
    }


def _snapshot(scene: Scene, run_dir: Path, run_id: str, named: str, rules_dir: str) -> dict[str, Any]:
    calls = [
        _call(call, scene.first_seq + index, last=call is scene.calls[-1])
        for index, call in enumerate(scene.calls)
    ]
    trigger = scene.calls[-1]
    if scene.trigger_seq is not None:
        # The silence of an idle program is no call of the history.
        calls.pop()
    return {
        "run_id": run_id,
        "reason": scene.reason,
        "created_at": CREATED,
        "rules_dir": rules_dir,
        "trigger": {
            "seq": trigger_seq(scene),
            "syscall_name": trigger.name,
            "syscall_num": trigger.num,
            "args": list(trigger.args) if trigger.num < 0 else trigger.eight,
            "ts_sec": 1769824807,
            "ts_nsec": 5_000_000,
            "ret": trigger.ret,
            "intercepted": trigger.intercepted,
        },
        "outputs": {
            "regs_txt": f"{named}/regs.txt",
            "backtrace_txt": f"{named}/backtrace.txt",
            "diagnosis_md": f"{named}/diagnosis.md",
            "retry_log": f"{named}/retry.log",
        },
        "regs": [
            {
                "num": num,
                "name": name,
                "feature": f"org.gnu.gdb.{scene.machine}.{'core' if size <= 8 else 'vector'}",
                "size": size,
                "rc": 0,
                "value": f"hex:{value}" if isinstance(value, str) else value,
            }
            for num, (name, value, size) in enumerate(scene.registers)
        ],
        "backtrace": _backtrace(scene, run_dir, named),
        "memory": _memory(scene, run_dir, named),
        "recent_syscalls": calls[-64:],
    }


def _backtrace(scene: Scene, run_dir: Path, named: str) -> dict[str, Any]:
    frames, index = [], []
    for number, frame in enumerate(scene.frames, 1):
        entry: dict[str, Any] = {
            "idx": number,
            "addr": frame.addr,
            "addr_hex": f"0x{frame.addr:x}",
            "rc": 0 if frame.module else -2,
            "module_name": frame.module and frame.module.rpartition("/")[2],
            "module_real_path": frame.module,
            "func_name": frame.func,
            "prototype": frame.prototype,
        }
        if frame.pseudocode:
            name = f"pseudocode/frame{number:02d}_0x{frame.addr:x}.txt"
            (run_dir / name).write_text(frame.pseudocode)
            entry |= {
                "pseudocode_truncated": False,
                "pseudocode_file": f"/home/analyst/fw/rootfs/out_httpd/{frame.func}.c",
                "pseudocode_path": f"{named}/{name}",
            }
            index.append(
                {
                    "frame": number,
                    "addr_hex": f"0x{frame.addr:x}",
                    "file": f"{named}/{name}",
                    "truncated": False,
                }
            )
        frames.append(entry)
    return {"raw": [f"0x{one.addr:x}" for one in scene.frames], "frames": frames, "pseudocode_index": index}


def _memory(scene: Scene, run_dir: Path, named: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    failed = [call for call in scene.calls if call.ret is not None and call.ret < 0]
    # The names that SFEmu looks for: of other machines it keeps no stack.
    stack = next((value for name, value, _ in scene.registers if name in ("sp", "rsp", "esp")), None)
    for source, call in (("trigger", scene.calls[-1]), ("last_err", failed[-1] if failed else None)):
        if call is None:
            continue
        args = call.args if call.num < 0 else call.eight
        pointers = [(f"arg{number}", value) for number, value in enumerate(args, 1)]
        for what, value in [*pointers, *([("reg_sp", stack)] if isinstance(stack, int) else [])]:
            if value >= 4096:
                # Of a negative one, as a high address of a 32-bit target is, nothing is read.
                found.append(_object(scene, run_dir, named, source, f"{source}_{what}_0x{value:x}", value))
    return found[:32]


def _object(scene: Scene, run_dir: Path, named: str, source: str, tag: str, address: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"tag": tag, "source": source, "addr": address, "addr_hex": f"0x{address:x}"}
    data = scene.memory.get(address)
    if data is None:
        return {**entry, "string_err": "read rc=-14", "blob_err": "read rc=-14"}
    data = data.ljust(BYTES_OF_MEMORY, b"\0")[:BYTES_OF_MEMORY]
    text = data.partition(b"\0")[0]
    if text:
        (run_dir / "memory" / f"{tag}_str.txt").write_bytes(text + b"\n")
        entry |= {"string": text, "string_file": f"{named}/memory/{tag}_str.txt"}
    else:
        entry["string_err"] = "empty"
    (run_dir / "memory" / f"{tag}.bin").write_bytes(data)
    entry["blob"] = {
        "addr": address,
        "addr_hex": f"0x{address:x}",
        "size": len(data),
        "file": f"{named}/memory/{tag}.bin",
        "fnv1a32": f"0x{_fnv1a32(data):08x}",
    }
    return entry


def _fnv1a32(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def _regs_text(regs: list[dict[str, Any]]) -> str:
    lines = (f"{r['name']}({r['num']}) size={r['size']} rc={r['rc']} value={r['value']}" for r in regs)
    return "\n".join(lines) + "\n"


def _backtrace_text(frames: list[dict[str, Any]]) -> str:
    lines = []
    for one in frames:
        known = one["module_name"] or one["func_name"]
        names = f"  {one['module_name'] or '(unknown)'} :: {one['func_name'] or '(unknown)'}"
        lines.append(f"#{one['idx']:02d} {one['addr_hex']}{names if known else ''}")
    return "\n".join(lines) + "\n"


def _diagnosis_text(scene: Scene, run_id: str) -> str:
    trigger = scene.calls[-1]
    loop = f"- deadloop: seq_len={scene.loop[0]} repeats={scene.loop[1]}\n" if scene.loop else ""
    return (
        f"# 诊断报告\n\n- run_id: `{run_id}`\n- reason: `{scene.reason}`\n"
        f"- trigger syscall: `{trigger.name}` ({trigger.num})\n{loop}\n"
    )


def _write_rules(rules: Path, scene: Scene, version: int, run_dir: Path, run_id: str, named: str) -> None:
    patch = run_dir / "rules_patch"
    log = [f"run_id={run_id} reason={scene.reason}"]
    if scene.fixes:
        log += [
            "ai_cmd: python3 '/home/analyst/SFEmu/tools/ai_mcp_openai.py'",
            f"snapshot_path={named}/snapshot.json",
            f"patch_dir={named}/rules_patch",
            f"env_path={ELSEWHERE}config/env",
            "ai_cmd_done: r1=true r2=exit r3=0",
        ]
    for name in {scene.calls[-1].name, *scene.fixes} - {None, "idle"}:
        text = f"-- 自动生成的观测规则\nfunction do_syscall(num)\n  c_log('{name}')\n  return 0, 0\nend\n"
        (patch / "observe" / "syscall" / f"{name}.lua").write_text(text)
    where = "syscall" if version == 1 else "syscall_override"
    for name, text in scene.fixes.items():
        # The older interface of its tools is still read by the newer ones.
        place = "syscall" if version == 1 else "fix/syscall"
        (patch / place / f"{name}.lua").write_text(text)
        active = rules / where / f"{name}.lua"
        if active.exists() and version >= 2:
            backup = run_dir / "backup_syscall" / f"{name}__override.lua"
            backup.parent.mkdir(exist_ok=True)
            backup.write_bytes(active.read_bytes())
            log.append(f"backup: {ELSEWHERE}{where}/{name}.lua -> {named}/backup_syscall/{backup.name}")
        if active.exists() and version == 1:
            log.append(f"skip apply (exists): {name} kind=fix")
            continue
        active.parent.mkdir(exist_ok=True)
        active.write_text(text)
        log.append(f"applied: {name} kind=fix" + (f" dst={where}" if version >= 2 else ""))
    if version >= 4 and scene.fixes:
        log.append("actions_applied: 1")
        (patch / "ai_actions_applied.txt").write_text("1\n")
    if version == 6 and scene.fixes:
        (patch / "ai_explain.md").write_text("The program needs \x1b[31m/dev/nvram\x1b[0m.\n")
        (patch / "ai_result_meta.json").write_text(
            '{"generated_at": "2026-01-31T02:00:09", "fix_files": 1, "observe_files": 1}'
        )
        (patch / "ai_actions.json").write_text(
            '{"mutations_applied": 1, "actions": [{"tool": "fs_mkdir_p", "ok": true,'
            ' "args": {"path": "/var/run"}, "result": "made"}]}'
        )
    (patch / "README.md").write_text(f"# rules_patch\n\n- run_id: `{run_id}`\n")
    if scene.fixes:
        log.append(f"verify_start: start_seq={trigger_seq(scene)} verify_syscalls=2048 stable_root=stable")
    (run_dir / "retry.log").write_text("\n".join(log) + "\n")


def _write_contexts(records: Path, scene: Scene) -> None:
    for index, call in enumerate(scene.calls):
        seq = scene.first_seq + index
        trigger = call is scene.calls[-1]
        if trigger and scene.trigger_seq is not None:
            continue
        text = _context(scene, call, seq, index) + "".join(
            f"  #{number:02d} 0x{frame.addr:x}\n" for number, frame in enumerate(scene.frames, 1)
        )
        if not trigger or call.intercepted:
            text += f"ret: {call.ret}\nintercepted: {'true' if call.intercepted else 'false'}\n"
        (records / f"syscall_ctx_{seq:08d}_{call.name or 'nil'}.txt").write_text(text)


def _context(scene: Scene, call: Call, seq: int, index: int) -> str:
    ago = (len(scene.calls) - 1 - index) * 1_000_000
    return (
        f"seq: {seq}\nts: 1769824807.{5_000_000 - ago if ago <= 5_000_000 else 0:09d}\n"
        f"syscall: {call.name or 'nil'} ({call.num})\nargs: {', '.join(map(str, call.eight))}\nbacktrace:\n"
    )


def _write_deadloop(records: Path, scene: Scene) -> None:
    assert scene.loop is not None
    length, rounds = scene.loop
    text = f"deadloop: seq_len={length} repeats={rounds}\nnote: 由规则脚本生成\n\n"
    first = len(scene.calls) - length * rounds
    for number, index in enumerate(range(first, len(scene.calls)), 1):
        call, seq = scene.calls[index], scene.first_seq + index
        text += (
            f"== ctx #{number} (global_seq={seq}) ==\n" + _context(scene, call, seq, index).partition("\n")[2]
        )
        for place, frame in enumerate(scene.frames[:8], 1):
            text += f"  #{place:02d} 0x{frame.addr:x}\n"
            if frame.module:
                text += f"        {frame.module.rpartition('/')[2]} :: {frame.func or '(unknown)'}\n"
        text += "\n"
    (records / f"deadloop_{trigger_seq(scene):08d}.log").write_text(text)


def write_stable(rules: Path, run_dir: Path, scene: Scene, version: int = 6) -> Path:
    """Export the fixes of a run as SFEmu does once enough calls were made since; return the directory."""
    where = "syscall" if version == 1 else "syscall_override"
    stable = rules / records_name(version) / "stable_rules" / run_dir.name
    (stable / where).mkdir(parents=True)
    for name, text in scene.fixes.items():
        (stable / where / f"{name}.lua").write_text(text)
    manifest = {
        "run_id": run_dir.name,
        "reason": scene.reason,
        "created_at": "2026-01-31 02:03:00",
        "rules_dir": ELSEWHERE,
        "start_seq": trigger_seq(scene),
        "verify_syscalls": 2048,
        "applied_fix_syscalls": list(scene.fixes),
        "exported": [{"syscall": name, "kind": "fix", "file": f"{where}/{name}.lua"} for name in scene.fixes],
    }
    (stable / "manifest.json").write_text(lua_json(manifest, random.Random(2)) + "\n")
    (stable / "README.md").write_text("# stable_rules\n")
    return stable


def write_results(directory: Path) -> Path:
    """Write SFAnalysis results for the modules of the scenes, as its producer does: one file per program."""
    directory.mkdir(parents=True)
    root = "/home/analyst/fw/rootfs"
    programs = {
        HTTPD: [("main", 0x12E00, 0x300), ("nvram_init", 0x1A380, 0x90), ("lan_ifname", 0x1AFC0, 0x80)],
        LIBC: [("exit", 0x2F380, 0x40), ("__uClibc_main", 0x51C00, 0x1200), ("close", 0x30000, 0)],
    }
    for path, functions in programs.items():
        name = path.rpartition("/")[2]
        (directory / name).mkdir()
        entries: list[Any] = [{"name": "no place"}, {"entry": {"offset": 1}}, 7]
        for function, start, size in functions:
            (directory / name / f"{function}.c").write_text(f"void {function}(void)\n{{\n}}\n")
            entries.append(
                {
                    "name": function,
                    "entry": {"offset": start},
                    "size": size,
                    "prototype": f"void {function}(void)",
                    "pseudocode_file": f"{root}/{directory.name}/{name}/{function}.c",
                }
            )
        file = {"name": name, "real_path": path, "fs_root": root}
        (directory / f"{name}.json").write_text(json.dumps({"file": file, "functions": entries}))
    return directory
