"""Services in a directory each, of runit(8), s6 and daemontools, and those of OpenRC's runlevels."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from triage_tui.campaign.discovery.found import Finds
from triage_tui.campaign.discovery.root_view import RootView
from triage_tui.campaign.discovery.shell.state import ShellState, Value

if TYPE_CHECKING:
    from triage_tui.campaign.discovery.shell.follow import Follower

RUNLEVELS = "/etc/runlevels"
_LEVELS = ("sysinit", "boot", "default")
"""Of OpenRC, in the order in which /etc/inittab or openrc-init asks for them."""
_ENABLED = (
    "/etc/service",
    "/var/service",
    "/service",
    "/etc/runit/runsvdir/current",
    "/etc/runit/runsvdir/default",
)
_AVAILABLE = "/etc/sv"
_ALWAYS = (
    *("/etc/s6", "/etc/s6/services", "/etc/services.d", "/etc/s6-overlay/s6-rc.d"),
    *("/etc/s6-rc/source", "/etc/s6/sv"),
)
STAGES = ("/etc/runit/1", "/etc/runit/2")
"""Scripts of runit-init: the first sets the system up, the second starts runsvdir."""
_MOST = 500
_DEPENDS = re.compile(
    rb"^[ \t]*(?:depend\(\)[ \t]*\{[ \t]*)?(need|use|want|after|before)[ \t]+([^;\n}]*)", re.MULTILINE
)

Follow = Callable[[str, str], None]
"""Follows a script in a directory."""


def find(finds: Finds, follow: Follow, has_init: bool) -> None:
    """Follow the `run` scripts of all supervised services, and tell of those that are not started.

    Of a root without an init, as of loose packages, those are taken too that nothing enables."""
    view = finds.view
    enabled = next((place for place in _ENABLED if view.names(place)), "")
    started: set[str] = set()
    available = [] if has_init else [_AVAILABLE]
    for place in (*([enabled] if enabled else available), *_ALWAYS):
        for name in view.names(place)[:_MOST]:
            directory = posixpath.join(place, name)
            started.add(view.canonical(directory) or directory)
            _service(finds, directory, follow)
    if enabled or has_init:
        where = enabled or " or ".join(_ENABLED[:2])
        for name in view.names(_AVAILABLE)[:_MOST]:
            path = posixpath.join(_AVAILABLE, name, "run")
            if view.is_file(path) and view.canonical(posixpath.dirname(path)) not in started:
                finds.leave_out(path, f"it is not enabled: nothing in {where} links to it", path)


def _service(finds: Finds, directory: str, follow: Follow) -> None:
    for path in (posixpath.join(directory, "run"), posixpath.join(directory, "log", "run")):
        if not finds.view.is_file(path):
            continue
        if finds.view.is_file(posixpath.join(directory, "down")):
            finds.leave_out(path, "a file `down` beside it says that it is not started", path)
        elif finds.programs.is_shell_script(path):
            # runsv(8) and s6-supervise start it in its directory.
            follow(path, posixpath.dirname(path))
        else:
            interpreter = finds.programs.interpreter(path) or "no interpreter"
            why = f"it is a script of {interpreter}, which is not followed: name its program in a target file"
            finds.leave_out(path, why, path)


def openrc_levels(view: RootView, level: str = "") -> list[str]:
    """Return the runlevels of OpenRC in the order of a boot, or `level` where it is one; else none."""
    there = view.names(RUNLEVELS)
    return [one for one in ((level,) if level else _LEVELS) if one in there]


def openrc_order(view: RootView, level: str) -> list[str]:
    """Return the scripts of a runlevel by name, each behind those that its depend() names."""
    names = [
        name for name in view.names(posixpath.join(RUNLEVELS, level)) if view.is_file(f"/etc/init.d/{name}")
    ]
    before: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        for word, given in _DEPENDS.findall((view.text(f"/etc/init.d/{name}") or b"")[:16_000]):
            for other in given.decode("utf-8", "surrogateescape").split():
                if word == b"before" and other in before:
                    before[other].add(name)
                elif other in before:
                    before[name].add(other)
    done: list[str] = []
    while names:
        ready = next((name for name in names if before[name] <= set(done)), names[0])
        done.append(ready)
        names.remove(ready)
    return done


def openrc_settings(follower: Follower, name: str) -> Callable[[ShellState], None]:
    """Return what OpenRC reads in before the script of a service."""

    def read(shell: ShellState) -> None:
        shell.set("RC_SVCNAME", Value(name))
        shell.set("SVCNAME", Value(name))
        for path in ("/etc/rc.conf", f"/etc/conf.d/{name}"):
            if follower.view.is_file(path):
                follower.read_in(shell, [Value(path)])

    return read
