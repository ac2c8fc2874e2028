"""/etc/inittab: what init starts. inittab(5) of sysvinit, and the form of busybox's init (init/init.c)."""

from __future__ import annotations

import re

import msgspec

from triage_tui.campaign.discovery.root_view import RootView

PATHS = ("/etc/inittab", "/etc_ro/inittab")
"""Where inittab is: the second in the SDK of Ralink, whose /etc is made at boot."""
MAX_ENTRIES = 500
BUSYBOX_DEFAULT = "/etc/init.d/rcS"
"""What busybox's init starts where there is no inittab."""
_NEVER = {
    "ctrlaltdel": "only when Ctrl-Alt-Del is pressed",
    "shutdown": "only when the device shuts down",
    "restart": "only when init is restarted",
    "powerfail": "only when the power fails",
    "powerwait": "only when the power fails",
    "powerfailnow": "only when the power fails",
    "powerokwait": "only when the power comes back",
    "kbrequest": "only on a special key",
    "ondemand": "only in an ondemand runlevel",
    "off": "switched off",
}
_FIRST = ("sysinit", "boot", "bootwait")
_AT_START = (*_FIRST, "wait", "once", "respawn", "askfirst", "askconsole", "respawnlate", "askconsolelate")


class Entry(msgspec.Struct, frozen=True):
    """One line: what is started, and how."""

    path: str
    line: int
    action: str
    process: str
    left_out: str = ""
    """Why it is not started at boot, "" where it is."""

    @property
    def stays(self) -> bool:
        """Whether init holds it as a service, and does not wait for its end."""
        return self.action in ("respawn", "once", "respawnlate")


def entries(view: RootView) -> list[Entry]:
    """Return the entries in the order in which init takes them."""
    found: list[tuple[str, Entry]] = []
    default = ""
    path = next((path for path in PATHS if view.is_file(path)), PATHS[0])
    for number, line in enumerate(view.lines(path), 1):
        text = line.strip()
        if not text or text.startswith("#") or len(found) >= MAX_ENTRIES:
            continue
        parts = text.split(":", 3)
        if len(parts) < 4:
            if len(parts) == 3 and parts[2] == "initdefault":
                default = parts[1]
            continue
        _, levels, action, process = (part.strip() for part in parts)
        if action == "initdefault":
            default = levels
            continue
        process = process.lstrip("-+@").strip()
        why = _NEVER.get(action, "")
        if not why and action not in _AT_START:
            why = f"init knows no action {action[:20]!r}"
        if not why and action.startswith("ask"):
            why = "it waits for a person at a terminal"
        if process:
            found.append((levels, Entry(path, number, action, process, why)))
    return sorted((_in_level(levels, entry, default) for levels, entry in found), key=_turn)


def _in_level(levels: str, entry: Entry, default: str) -> Entry:
    if not default or not levels or entry.left_out or entry.action in _FIRST or default[0] in levels:
        return entry
    shown = re.sub(r"[^0-9A-Za-z]", "", levels)[:12]
    return Entry(
        entry.path,
        entry.line,
        entry.action,
        entry.process,
        f"only in runlevel {shown}, and the default is {default[0]}",
    )


def _turn(entry: Entry) -> int:
    return _FIRST.index(entry.action) if entry.action in _FIRST else len(_FIRST) + (entry.action != "wait")
