"""The scene of a run in words: how it stopped, and what kind of trouble that is.

This is the cheap first sorting: it reads the end, the loop and the waits, before any cause is named.
"""

from __future__ import annotations

from triage_tui.diagnosis.facts import Child, Facts, LoopFact, Sleep, Wait

TROUBLES = {
    "missing_file": "missing resource",
    "missing_dir": "missing resource",
    "missing_device": "missing resource",
    "missing_interface": "missing resource",
    "missing_library": "missing resource",
    "mtd_flash": "missing resource",
    "nvram_key": "missing resource",
    "ifindex_procnet": "missing resource",
    "readonly_fs": "missing resource",
    "missing_peer": "missing peer",
    "bind_address": "network setting",
    "permission": "permission",
    "device_ioctl": "unsupported call",
    "netlink": "unsupported call",
    "unsupported_syscall": "unsupported call",
    "helper_exec": "helper program",
    "config_error": "configuration",
    "arguments": "start arguments",
    "cwd_webroot": "start arguments",
    "crash_signal": "crash",
    "resource_limit": "resource limit",
    "watchdog_reboot": "reboot",
    "time_rtc": "clock",
    "fd_hygiene": "descriptors",
}
"""Cause -> kind of trouble."""


LONG_S = 5.0
"""Seconds of a sleep that is no step of a loop but the time until the next job."""

SCENES = (
    "exit 0",
    "exit 0, a child goes on",
    "exit with an error code",
    "fatal signal",
    "failure of the emulator",
    "stopped by a signal",
    "wait loop by the clock",
    "long sleep",
    "blocked wait, reachable",
    "blocked wait",
    "spin in user space",
    "syscall loop",
    "still running",
)
"""All that `scene_of` returns."""


def scene_of(facts: Facts) -> str:
    """Return how the run stopped, in words."""
    end = facts.end
    if end.reason == "exit":
        if end.code == 0:
            alive = any(isinstance(fact, Child) and fact.alive for fact in facts.of("child"))
            return "exit 0, a child goes on" if alive else "exit 0"
        return "exit with an error code"
    if end.reason == "signal":
        return "fatal signal"
    if end.reason == "emulator":
        return "failure of the emulator"
    wait = next((fact for fact in facts.of("wait") if isinstance(fact, Wait)), None)
    if end.stopped:
        return "stopped by a signal"
    if end.blocked_in == "sleep" or end.reason == "sleep_loop":
        return "long sleep" if _sleeps_once(facts) else "wait loop by the clock"
    if end.blocked_in:
        return "blocked wait, reachable" if wait and wait.listening else "blocked wait"
    if end.spinning:
        return "spin in user space"
    loop = next((fact for fact in facts.of("loop") if isinstance(fact, LoopFact)), None)
    if loop is not None:
        return "wait loop by the clock" if loop.sleeps else "syscall loop"
    return "still running"


def _sleeps_once(facts: Facts) -> bool:
    """Tell whether it waits for a time that was set once: nothing is repeated, and nothing tested."""
    if facts.of("loop") or facts.end.reason == "sleep_loop":
        return False
    last = next((fact for fact in facts.of("sleep") if isinstance(fact, Sleep)), None)
    return last is None or last.count == 1 or last.seconds >= LONG_S


def full_scene(facts: Facts, cause: str) -> str:
    """Return the scene with the kind of trouble, "exit with an error code: missing resource"."""
    trouble = TROUBLES.get(cause)
    scene = scene_of(facts)
    return f"{scene}: {trouble}" if trouble else scene


def proximate_of(facts: Facts, cause: str) -> str:
    """Return what the end itself shows, as a taxonomy cause; the root cause where the end adds nothing."""
    end = facts.end
    if end.reason == "signal":
        return "crash_signal"
    if cause in ("network_wait", "normal_exit", "spin_or_lock", "unsupported_syscall", "unknown"):
        return cause
    scene = scene_of(facts)
    if scene in ("wait loop by the clock", "long sleep"):
        waits = [fact for fact in facts.of("wait") if isinstance(fact, Wait)]
        return "network_wait" if waits and waits[-1].timed_out and not facts.of("sleep") else "sleep_loop"
    return cause
