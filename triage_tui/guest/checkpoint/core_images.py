"""The core image of a thread: its registers as CRIU has them for each architecture."""

from __future__ import annotations

from triage_tui.guest.arch import Arch, by_name
from triage_tui.guest.checkpoint import messages
from triage_tui.guest.checkpoint.model import Checkpoint, Thread
from triage_tui.guest.checkpoint.wire import Message

_LOW = (1 << 64) - 1
_MAX_NAME = 15
"""Bytes of a thread's name, prctl(2)."""


def core_entry(checkpoint: Checkpoint) -> Message:
    """Return the core image's entry.

    An architecture for which CRIU has no registers gets none: the emulator's own state has them in any case.
    """
    arch = by_name(checkpoint.facts.arch)
    ids = {"vm_id": 1, "files_id": 1, "fs_id": 1, "sighand_id": 1}
    actions = {action.number: action for action in checkpoint.actions}
    last = max([64, *actions])
    # Two signals have no action, and no place in the image.
    numbers = [number for number in range(1, last + 1) if number not in _without_action(arch)]
    entry: Message = {
        "mtype": 0,
        "tc": {
            "task_state": messages.TASK_ALIVE,
            "exit_code": 0,
            "personality": 0,
            "flags": 0,
            "blk_sigset": checkpoint.blocked,
            "comm": _shown(checkpoint.name),
            "sigactions": [
                {
                    "sigaction": actions[number].handler if number in actions else 0,
                    "flags": actions[number].flags if number in actions else 0,
                    "restorer": actions[number].restorer if number in actions else 0,
                    "mask": actions[number].mask & _LOW if number in actions else 0,
                }
                for number in numbers
            ],
        },
        "ids": ids,
        "thread_core": _thread_core(_first_thread(checkpoint)),
    }
    return entry | _thread_info(_first_thread(checkpoint), arch)


def thread_entry(checkpoint: Checkpoint, thread: Thread) -> Message:
    """Return the core image's entry of a thread other than the first."""
    return {"mtype": 0, "thread_core": _thread_core(thread)} | _thread_info(
        thread, by_name(checkpoint.facts.arch)
    )


def _first_thread(checkpoint: Checkpoint) -> Thread:
    return Thread(
        tid=checkpoint.pid,
        registers=checkpoint.registers,
        floats=checkpoint.floats,
        state=checkpoint.state,
        tls=checkpoint.tls,
        blocked=checkpoint.blocked,
        clear_tid=checkpoint.facts.clear_tid,
        name=checkpoint.name,
        call=checkpoint.facts.first_call,
    )


def _thread_core(thread: Thread) -> Message:
    return {
        "futex_rla": 0,
        "futex_rla_len": 0,
        "blk_sigset": thread.blocked,
        "comm": _shown(thread.name),
    }


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape")[:_MAX_NAME].decode("ascii", "replace")


def _thread_info(thread: Thread, arch: Arch) -> Message:
    """Return what an entry has of registers, nothing where CRIU has none."""
    found = _registers(thread, arch)
    return {} if found is None else {"mtype": found[0], found[1]: found[2]}


def _without_action(arch: Arch) -> frozenset[int]:
    """Return the numbers of SIGKILL and SIGSTOP."""
    return frozenset((9, 23) if arch.name.startswith("mips") else (9, 19))


def read_actions(arch: Arch, entries: list[Message]) -> list[tuple[int, Message]]:
    """Return the actions of a core image, each with its signal."""
    numbers = (number for number in range(1, 129) if number not in _without_action(arch))
    return list(zip(numbers, entries, strict=False))


def _halves(values: list[int]) -> list[int]:
    """Return 128-bit registers as pairs of 64-bit ones, the lower one first."""
    return [half for value in values for half in (value & _LOW, value >> 64)]


def _words(values: list[int]) -> list[int]:
    """Return 128-bit registers as 32-bit words, the lowest first."""
    return [value >> 32 * index & 0xFFFFFFFF for value in values for index in range(4)]


def _registers(thread: Thread, arch: Arch) -> tuple[int, str, Message] | None:
    r, floats = thread.registers, thread.floats
    info: Message = {"clear_tid_addr": thread.clear_tid}
    match arch.name:
        case "arm" | "armeb":
            general = {f"r{i}": r[f"r{i}"] for i in range(11)}
            general |= {"fp": r["r11"], "ip": r["r12"], "orig_r0": r["r0"]}
            general |= {name: r[name] for name in ("sp", "lr", "pc", "cpsr")}
            state = {"vfp_regs": floats, "fpscr": 0, "fpexc": 0, "fpinst": 0, "fpinst2": 0}
            return messages.ARM, "ti_arm", info | {"tls": thread.tls, "gpregs": general, "fpstate": state}
        case "aarch64":
            general = {"sp": r["sp"], "pc": r["pc"], "pstate": r.get("cpsr", 0)}
            general64: Message = general | {"regs": [r[f"x{i}"] for i in range(31)]}
            vectors = {"vregs": _halves(floats), "fpsr": 0, "fpcr": 0}
            return (
                messages.AARCH64,
                "ti_aarch64",
                info | {"tls": thread.tls, "gpregs": general64, "fpsimd": vectors},
            )
        case "mips" | "mipsel" | "mips64el":
            general = {f"r{i}": r.get(name, 0) for i, name in enumerate(arch.env_registers)}
            general |= {"lo": r.get("lo", 0), "hi": r.get("hi", 0), "cp0_epc": r["pc"]}
            general |= {"cp0_badvaddr": 0, "cp0_status": 0, "cp0_cause": 0}
            padded = [*floats, *(0,) * (32 - len(floats))]
            numbers = {f"r{i}": value & _LOW for i, value in enumerate(padded)}
            numbers |= {"lo": 0, "hi": 0, "fpu_fcr31": 0, "fpu_id": 0}
            return (
                messages.MIPS,
                "ti_mips",
                info | {"tls": thread.tls, "gpregs": general, "fpregs": numbers},
            )
        case "x86_64" | "i386":
            return messages.X86_64, "thread_info", info | _x86(arch, r, floats)
        case "ppc64le":
            general = {"nip": r["pc"], "msr": 0, "orig_gpr3": r["r3"], "ctr": r["ctr"], "link": r["lr"]}
            general |= {"xer": r.get("xer", 0), "ccr": r.get("cr", 0), "trap": 0}
            wide: Message = general | {"gpr": [r[f"r{i}"] for i in range(32)]}
            return messages.PPC64, "ti_ppc64", info | {"gpregs": wide, "fpstate": {"fpregs": floats}}
        case "s390x":
            zero: Message = {"psw_mask": 0, "psw_addr": r["pc"], "orig_gpr2": r["r2"], "system_call": 0}
            zero |= {"gprs": [r[f"r{i}"] for i in range(16)], "acrs": [0] * 16}
            return messages.S390, "ti_s390", info | {"gpregs": zero, "fpregs": {"fpc": 0, "fprs": floats}}
    return None


def _x86(arch: Arch, r: dict[str, int], floats: list[int]) -> Message:
    wide = arch.word == 8
    letter = "r" if wide else "e"
    general = {name: r[letter + name] for name in ("bp", "bx", "ax", "cx", "dx", "si", "di", "sp")}
    general |= {f"r{i}": r[f"r{i}"] if wide else 0 for i in range(8, 16)}
    general |= {"ip": r[arch.pc], "flags": r.get("eflags", 0), "orig_ax": r[letter + "ax"]}
    general |= {name: r.get(name, 0) for name in ("cs", "ss", "ds", "es", "fs", "gs", "fs_base", "gs_base")}
    general["mode"] = 1 if wide else 2
    state: Message = dict.fromkeys(("cwd", "swd", "twd", "fop", "rip", "rdp", "mxcsr", "mxcsr_mask"), 0)
    return {"gpregs": general, "fpregs": state | {"xmm_space": _words(floats)}}


def pc_of(entry: Message) -> int | None:
    """Return the program counter in a core image, None where it holds no registers."""
    for key, name in (("ti_arm", "pc"), ("ti_aarch64", "pc"), ("ti_mips", "cp0_epc"), ("thread_info", "ip")):
        if key in entry:
            return int(entry[key]["gpregs"][name])
    for key, name in (("ti_ppc64", "nip"), ("ti_s390", "psw_addr")):
        if key in entry:
            return int(entry[key]["gpregs"][name])
    return None
