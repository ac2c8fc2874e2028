"""The order in which a root starts its programs: which init it has, and what that reads in turn."""

from __future__ import annotations

import posixpath
import re
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from triage_tui.campaign.discovery import android, inetd, inittab, openwrt, own_init, supervised, systemd
from triage_tui.campaign.discovery.found import Finds, LeftOut, Start
from triage_tui.campaign.discovery.programs import DESCRIBING
from triage_tui.campaign.discovery.root_view import MAX_STEPS, LongScriptError, RootView, TooMuchError
from triage_tui.campaign.discovery.shell.commands import ExitShell, LeaveLoop, ReturnFunction
from triage_tui.campaign.discovery.shell.follow import MAX_SCRIPT_STEPS, Follower
from triage_tui.campaign.discovery.shell.state import ShellState, Value
from triage_tui.campaign.discovery.shell.syntax import parse
from triage_tui.campaign.model import Target

_KERNEL = {"HOME": "/", "TERM": "linux"}
"""What Linux gives init (init/main.c, envp_init)."""
_INIT = {
    "systemd": {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
    "procd": {**_KERNEL, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    "busybox": {**_KERNEL, "PATH": "/sbin:/usr/sbin:/bin:/usr/bin", "SHELL": "/bin/sh", "USER": "root"},
    "sysvinit": {**_KERNEL, "PATH": "/sbin:/usr/sbin:/bin:/usr/bin", "SHELL": "/bin/sh"},
    "android": {"PATH": "/sbin:/system/sbin:/system/bin:/system/xbin:/vendor/bin"},
    "": {**_KERNEL, "PATH": "/sbin:/usr/sbin:/bin:/usr/bin:/usr/local/sbin:/usr/local/bin"},
}
"""The environment in which each init starts programs: systemd.exec(5), Android's init.rc, procd's
initd/init.c, busybox's init/init.c, sysvinit's init.c. "": none of these is in the root."""
_INIT_PROGRAMS = ("/sbin/init", "/init", "/bin/init", "/usr/sbin/init", "/linuxrc")
_SYSVINIT = frozenset(("init", "sysvinit", "init.sysvinit"))
_SCRIPTS = (
    "/etc/preinit",
    "/etc/rc.sysinit",
    "/etc/rc.d/rc.sysinit",
    "/etc/rcS",
    "/etc/init.d/rcS",
    "/etc/rc.d/rcS",
    "/etc/rc",
    "/etc/rc.d/rc",
    "/etc/rc.sh",
    "/etc_ro/rcS",
    "/etc_ro/rc.local",
    "/etc/init.sh",
    "/etc/rc.local",
    "/etc/rc.d/rc.local",
    "/etc/init.d/rc.local",
)
"""Start scripts that vendors have, in the order in which they are usual."""
_SCRIPT_DIRECTORIES = ("/etc/init.d", "/etc/rc.d/init.d")
_RC_CONF = ("/etc/rc.conf", "/etc/rc.d/rc.conf")
_NO_SERVICE_NAMES = """
rc rcS rc.local functions README skeleton halt reboot single sendsigs umountfs umountroot umountnfs.sh
killprocs bootlogs rcK functions.sh
"""
_NO_SERVICE = frozenset(_NO_SERVICE_NAMES.split())
_LEVELS = "2345"
"""The runlevels of a running system, the usual default first."""


_OF_OPENRC = """
[ "$supervisor" = supervise-daemon ] && command_args_background="$command_args_foreground"
start-stop-daemon --start --exec "$command" --chuid "$command_user" --chdir "${directory:-/}" \\
    -- $command_args $command_args_background
"""
"""sh/start-stop-daemon.sh and sh/supervise-daemon.sh of OpenRC."""
_OF_OPENRC_NAMES = (
    *("supervisor", "command_user", "directory"),
    *("command_args", "command_args_background", "command_args_foreground"),
)
_OF_DEBIAN = 'start-stop-daemon --start --exec "$DAEMON" -- $DAEMON_ARGS'


class Found(msgspec.Struct, kw_only=True):
    """What one root would start."""

    targets: list[Target]
    """In the order in which the device would start them; without ids and hashes."""
    left_out: list[LeftOut]
    init: str
    """"systemd", "android", "procd", "busybox", "sysvinit", or "" where none was recognised."""


def discover(
    root: Path,
    *,
    group: str = "",
    progress: Callable[[str], None] | None = None,
    cancel: threading.Event | None = None,
) -> Found:
    """Find what a root file system starts. Nothing of it is executed or changed.

    Raises:
        TriageError: it is no directory.
        Stopped: a person cancelled.
    """
    view = RootView(root, progress, cancel)
    finds = Finds(view, group)
    init = init_of(view)
    try:
        _Boot(finds, init).find()
    except TooMuchError:
        finds.leave_out(
            "the rest of the root",
            f"the search ended after {MAX_STEPS} files and commands: name the rest in a target file",
        )
    return Found(targets=finds.targets, left_out=finds.left_out, init=init)


def init_of(view: RootView) -> str:
    """Return which init a root has; see `Found`."""
    if any(view.is_file(path) for path in android.BEGINNINGS):
        return "android"
    places = [real for path in _INIT_PROGRAMS if (real := view.canonical(path)) is not None]
    names = {posixpath.basename(place) for place in places}
    if "systemd" in names or any(view.is_file(f"{place}/systemd/systemd") for place in ("/lib", "/usr/lib")):
        return "systemd"
    if view.is_file("/sbin/procd") or view.is_file("/etc/rc.common"):
        return "procd"
    if "busybox" in names:
        return "busybox"
    if names & _SYSVINIT and view.head("/sbin/init", 2) != b"#!":
        if view.is_file("/bin/busybox") and not _has_runlevels(view):
            return "busybox"
        # sysvinit does nothing without one.
        return "sysvinit" if view.is_file("/etc/inittab") or _has_runlevels(view) else ""
    return ""


def _has_runlevels(view: RootView) -> bool:
    return any(
        view.is_directory(f"{place}{level}.d") for place in ("/etc/rc", "/etc/rc.d/rc") for level in "S2345"
    )


class _Boot:
    def __init__(self, finds: Finds, init: str) -> None:
        self._finds = finds
        self._view = finds.view
        self._init = init
        self._environment = _INIT[init]
        self._follower = Follower(finds, self._environment, self._runlevel)
        self._levels: set[str] = set()
        self._began = False
        """Whether anything was found that starts scripts."""

    def find(self) -> None:
        """Go through everything in order."""
        units: set[str] = set()
        if self._init == "systemd" or (not self._init and systemd.has_units(self._view)):
            units = systemd.find(self._finds, self._environment, self._of_unit)
            self._began = bool(units)
        elif systemd.has_units(self._view):
            self._finds.leave_out("the units of systemd", "this root has another init", "/lib/systemd/system")
        if self._init == "android":
            android.find(self._finds)
            self._began = True
        for path in ("/linuxrc", "/init", *supervised.STAGES):
            # Of an initial RAM disk, these come before init.
            self._follow(path)
        if not self._init:
            own_init.find_any(self._finds, (*_INIT_PROGRAMS, "/sbin/preinit"), self._environment)
        if self._init != "systemd":
            self._inittab()
        if self._init == "procd":
            self._openwrt()
        self._runlevels(units)
        if self._init != "systemd":
            self._vendor_scripts()
        self._rc_conf()
        began = self._began
        supervised.find(self._finds, lambda path, cwd: self._follow(path, cwd=cwd), bool(self._init))
        self._unreached(units, began)
        inetd.find(self._finds, self._environment)

    def _of_unit(self, text: str, start: Start) -> None:
        """Follow what a unit gives to `sh -c`."""
        path, _, line = start.origin.rpartition(" line ")
        number = int(line) - 1 if line.isdecimal() else 0
        script = parse(path or start.origin, text.encode("utf-8", "surrogateescape"), number)
        if script is None:
            return
        shell = self._follower.shell(script, environment=start.env)
        shell.cwd, shell.conditions = start.cwd, start.notes
        try:
            self._follower.statements(shell, script.root.children)
        except (ExitShell, ReturnFunction, LeaveLoop, RecursionError):
            return

    def _inittab(self) -> None:
        found = inittab.entries(self._view)
        for entry in found:
            origin = f"{entry.path} line {entry.line}"
            if entry.left_out:
                self._finds.leave_out(entry.process, entry.left_out, origin)
                continue
            script = parse(entry.path, entry.process.encode("utf-8", "surrogateescape"), entry.line - 1)
            if script is None:
                continue
            shell = self._follower.shell(script)
            self._began = True
            try:
                with self._view.at_most(MAX_SCRIPT_STEPS):
                    for node in script.root.named_children:
                        self._follower.statement(shell, node, entry.stays)
            except (ExitShell, ReturnFunction, LeaveLoop):
                continue
            except LongScriptError:
                why = f"only its first {MAX_SCRIPT_STEPS} steps were followed"
                self._finds.leave_out(entry.process, why, origin)
            except RecursionError:
                self._finds.leave_out(entry.process, "it nests deeper than can be followed", origin)
        if not found and self._init == "busybox":
            self._follow(inittab.BUSYBOX_DEFAULT)

    def _follow(
        self,
        path: str,
        *arguments: str,
        cwd: str = "/",
        before: Callable[[ShellState], None] | None = None,
    ) -> None:
        """Follow a script that was not followed yet; the first line says whose it is."""
        real = self._view.canonical(path)
        if real is None or real in self._follower.followed or not self._view.is_file(path):
            return
        if not self._finds.programs.is_shell_script(path) and not openwrt.is_script(self._view.head(path)):
            return
        self._began = True
        self._finds.reached(" ".join((path, *arguments)))
        if openwrt.is_script(self._view.head(path)):
            openwrt.follow(self._follower, path, arguments[0] if arguments else "start", path)
        else:
            given = [Value(one) for one in arguments]
            self._follower.follow_file(path, given, None, path, self._described(path), cwd, before)

    def _runlevel(self, level: str) -> None:
        """Follow the scripts of a runlevel, as /etc/init.d/rc does."""
        level = "S" if level == "s" else level
        if level in self._levels:
            return
        self._levels.add(level)
        for one in supervised.openrc_levels(self._view, level):
            self._began = True
            for name in supervised.openrc_order(self._view, one):
                self._follow(
                    f"/etc/init.d/{name}", "start", before=supervised.openrc_settings(self._follower, name)
                )
        for place in (f"/etc/rc{level}.d", f"/etc/rc.d/rc{level}.d"):
            for name in self._view.names(place):
                if name.startswith("S"):
                    self._follow(posixpath.join(place, name), "start")

    def _runlevels(self, units: set[str]) -> None:
        """Follow the runlevels that nothing handed over to: the first ones, and one of a running system."""
        if self._init == "systemd":
            # systemd-sysv-generator(8): scripts of a runlevel that have no unit of their name.
            for level in _LEVELS:
                for name in self._view.names(f"/etc/rc{level}.d"):
                    service = re.sub(r"^S[0-9]*", "", name)
                    if name.startswith("S") and f"{service.removesuffix('.sh')}.service" not in units:
                        self._follow(f"/etc/rc{level}.d/{name}", "start")
            return
        if not self._levels & set(supervised.openrc_levels(self._view)):
            for level in supervised.openrc_levels(self._view):
                self._runlevel(level)
        self._runlevel("S")
        if not self._levels & set(_LEVELS):
            for level in _LEVELS:
                if any(self._view.is_directory(f"{place}{level}.d") for place in ("/etc/rc", "/etc/rc.d/rc")):
                    self._runlevel(level)
                    break

    def _openwrt(self) -> None:
        """Follow the scripts of /etc/rc.d, or those of /etc/init.d by their START where nothing links."""
        if self._view.is_file("/sbin/ubusd"):
            # procd starts it itself, before any script: state.c, STATE_UBUS.
            user = any(line.startswith("ubus:") for line in self._view.lines("/etc/passwd"))
            self._finds.add(
                Start(
                    program="/sbin/ubusd",
                    argv=["/sbin/ubusd"],
                    env=self._environment,
                    user="ubus" if user else "",
                    origin="/sbin/procd",
                )
            )
        links = [name for name in self._view.names("/etc/rc.d") if re.match(r"S[0-9]", name)]
        if links:
            for name in links:
                self._follow(f"/etc/rc.d/{name}", "boot")
            return
        ordered = []
        for name in self._view.names("/etc/init.d"):
            number = openwrt.place_in_order(self._view.text(f"/etc/init.d/{name}") or b"")
            if number is not None:
                ordered.append((number, name))
        for _, name in sorted(ordered):
            self._follow(f"/etc/init.d/{name}", "boot")

    def _vendor_scripts(self) -> None:
        for path in (*_INIT_PROGRAMS, *_SCRIPTS):
            self._follow(path)
        for name in self._view.names("/etc/rc.d"):
            if re.match(r"S[0-9]", name):
                self._follow(f"/etc/rc.d/{name}", "start")
        if not self._began:
            for name in self._view.names("/etc/init.d"):
                if re.match(r"S[0-9]", name):
                    self._follow(f"/etc/init.d/{name}", "start")

    def _rc_conf(self) -> None:
        """Follow the services that a list names: `cfg_services="..."`, `DAEMONS="..."`, `NAME_enable=YES`."""
        for path in _RC_CONF:
            real = self._view.canonical(path)
            if real is None or real in self._follower.followed:
                continue
            names: list[str] = []

            def listed(shell: ShellState, names: list[str] = names) -> None:
                for variable in ("cfg_services", "all_services", "DAEMONS"):
                    names += (shell.get(variable).text or "").split()
                for variable, value in shell.variables.items():
                    if variable.endswith("_enable") and (value.text or "").upper() == "YES":
                        names.append(variable.removesuffix("_enable"))

            self._follower.follow_file(path, (), None, path, listed)
            for name in names[:500]:
                name = name.lstrip("@!")
                for place in ("/etc/rc.d/init.d", "/etc/rc.d", "/etc/init.d"):
                    if "/" not in name and self._view.is_file(f"{place}/{name}"):
                        self._follow(f"{place}/{name}", "start")
                        break

    def _described(self, path: str) -> Callable[[ShellState], None] | None:
        """Return what starts a script whose variables say what to start, None for other scripts.

        openrc-run(8) of OpenRC, and init-d-script(5) of Debian.
        """
        interpreter = self._finds.programs.interpreter(path)
        if interpreter not in DESCRIBING:
            return None
        call = self._follower.call

        def begin(shell: ShellState) -> None:
            if interpreter == "init-d-script":
                call(shell, "do_start_prepare", [])
                own, text = "do_start_override", _OF_DEBIAN
            else:
                own, text = "start", _OF_OPENRC
                for name in _OF_OPENRC_NAMES:
                    if name not in shell.variables:
                        shell.set(name, Value(""))
            if own in shell.functions:
                call(shell, own, [])
            elif shell.get("command").text or shell.get("DAEMON").text:
                self._follower.follow_text(shell, text)

        return begin

    def _unreached(self, units: set[str], began: bool) -> None:
        """Follow the scripts that nothing starts where nothing starts any; else say so of each."""
        for place in _SCRIPT_DIRECTORIES:
            for name in self._view.names(place):
                path = posixpath.join(place, name)
                real = self._view.canonical(path)
                if real is None or real in self._follower.followed or not self._view.is_file(path):
                    continue
                if name in _NO_SERVICE or name.startswith("K"):
                    continue
                if f"{name.removesuffix('.sh')}.service" in units:
                    self._finds.leave_out(path, "the unit of systemd of the same name is taken", path)
                elif began:
                    self._finds.leave_out(path, "nothing starts this script at boot", path)
                else:
                    self._follow(path, "start")
