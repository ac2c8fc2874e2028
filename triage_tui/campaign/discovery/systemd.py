"""What systemd would start in a root: its enabled services, in their order, with what each of them needs."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable

from triage_tui.campaign.discovery.found import Finds, Start
from triage_tui.campaign.discovery.root_view import RootView
from triage_tui.campaign.discovery.shell.answers import Answer, negated, test
from triage_tui.campaign.discovery.shell.state import Value
from triage_tui.campaign.discovery.tools import CONSOLES, INIT, SHELLS, no_service
from triage_tui.campaign.discovery.unit_commands import (
    Command,
    NotKnown,
    assignments,
    commands,
    file_assignments,
    with_specifiers,
)
from triage_tui.campaign.discovery.unit_files import DIRECTORIES, Unit, UnitFiles
from triage_tui.campaign.discovery.unit_graph import SERVICE, Boot, in_order

_PATH_CONDITIONS = {
    "PathExists": "-e",
    "PathIsDirectory": "-d",
    "PathIsSymbolicLink": "-L",
    "FileNotEmpty": "-s",
    "FileIsExecutable": "-x",
}
_VOLATILE = ("/run/", "/var/run/", "/tmp/", "/dev/", "/proc/", "/sys/")
"""Where programs make files while the system runs."""
_RC_LOCAL = "rc-local.service"
_DIRECTORIES = {
    "RuntimeDirectory": ("RUNTIME_DIRECTORY", "/run"),
    "StateDirectory": ("STATE_DIRECTORY", "/var/lib"),
    "CacheDirectory": ("CACHE_DIRECTORY", "/var/cache"),
    "LogsDirectory": ("LOGS_DIRECTORY", "/var/log"),
    "ConfigurationDirectory": ("CONFIGURATION_DIRECTORY", "/etc"),
}
"""Settings -> the variable that tells a service its directories, and where these are; systemd.exec(5)."""
_OF_SYSTEMD = ("/lib/systemd/", "/usr/lib/systemd/", "/bin/systemd-", "/usr/bin/systemd-")
_OTHER_ROOTS = ("RootDirectory", "RootImage")


def has_units(view: RootView) -> bool:
    """Tell whether a root has services of systemd."""
    return any(name.endswith(SERVICE) for place in DIRECTORIES for name in view.names(place))


Shell = Callable[[str, Start], None]
"""Follows a text of the shell that a unit gives to `sh -c`, and adds what it starts."""


def find(finds: Finds, environment: dict[str, str], shell: Shell) -> set[str]:
    """Add the services that systemd starts; return the names of all services that have a unit."""
    files = UnitFiles(finds.view)
    boot = Boot(files)
    names = {*files.names(SERVICE), *(name for name in boot.reached if name.endswith(SERVICE))}
    activated = _activated(boot)
    selected: list[Unit] = []
    notes: dict[str, list[str]] = {}
    for name in sorted(name for name in names if not files.alias_of(name)):
        if files.masked(name):
            finds.leave_out(name, "it is masked: a link to /dev/null, or an empty file")
            continue
        unit = files.load(name)
        if unit is None:
            if name in files.wanted:
                finds.leave_out(name, "a link starts it, and its file is not in the root")
            continue
        told = notes[name] = [activated[name]] if name in activated else []
        why = _not_started(finds.view, unit, boot, activated) or _conditions(finds.view, unit, told)
        if why:
            finds.leave_out(name, why, unit.path)
        else:
            selected += _instances(unit, files)
    for unit in in_order(selected, files):
        _add(finds, unit, environment, notes.get(unit.name, []), shell)
    return set(files.names(SERVICE))


def _instances(unit: Unit, files: UnitFiles) -> list[Unit]:
    """Return a unit, or what its template is started as."""
    if not unit.name.endswith(f"@{SERVICE}"):
        return [unit]
    default = unit.last("Install", "DefaultInstance")
    loaded = files.load(unit.name.replace("@.", f"@{default}.")) if default else None
    return [unit if loaded is None else loaded]


def _activated(boot: Boot) -> dict[str, str]:
    """Return the services that a socket, a timer or a path of the boot starts -> what that means for them."""
    found: dict[str, str] = {}
    for name in boot.files.names(".socket"):
        unit = boot.unit(name)
        if unit is None or boot.why_not(unit):
            continue
        base = name.removesuffix(".socket")
        if unit.last("Socket", "Accept").lower() in ("yes", "true", "on", "1"):
            found[f"{base}@{SERVICE}"] = (
                "it needs a connected socket as its standard input, as systemd gives it"
            )
        else:
            service = unit.last("Socket", "Service", f"{base}{SERVICE}")
            found[service] = "systemd may hand it listening sockets (LISTEN_FDS), which are not there"
    for suffix, kind in ((".timer", "Timer"), (".path", "Path")):
        for name in boot.files.names(suffix):
            unit = boot.unit(name)
            if unit is not None and not boot.why_not(unit):
                service = unit.last(kind, "Unit", name.removesuffix(suffix) + SERVICE)
                found.setdefault(service, f"the {kind.lower()} {name} starts it, not the boot itself")
    return found


def _not_started(view: RootView, unit: Unit, boot: Boot, activated: dict[str, str]) -> str:
    """Return why systemd does not start a unit, "" where it does."""
    if not unit.all("Service", "ExecStart"):
        return "it has no ExecStart"
    if unit.name == _RC_LOCAL:
        # systemd-rc-local-generator(8)
        status = view.status("/etc/rc.local")
        runs = status is not None and bool(status.st_mode & 0o111)
        return "" if runs else "/etc/rc.local is not there, or not executable"
    bus = unit.last("Service", "BusName") and unit.last("Service", "Type") == "dbus"
    template = unit.name.endswith(f"@{SERVICE}") and unit.name not in activated
    if template and not unit.last("Install", "DefaultInstance"):
        return "it is a template, and nothing in the root names an instance"
    if unit.name in activated or bus:
        return ""
    return boot.why_not(unit)


def _conditions(view: RootView, unit: Unit, notes: list[str]) -> str:
    """Return which condition of a unit does not hold, "" where all do; note those that the device knows."""
    chosen: list[Answer] = []
    for (section, key), given in unit.settings.items():
        if section != "Unit" or not key.startswith(("Condition", "Assert")):
            continue
        for value, _, _ in given:
            answer = _condition(
                view, unit, key.removeprefix("Condition").removeprefix("Assert"), value.lstrip("|")
            )
            if value.startswith("|"):
                chosen.append(answer)
            elif answer is False:
                return f"its condition {key}={value} does not hold in this root"
            elif answer is None:
                notes.append(f"only where its condition {key}={value} holds")
    if chosen and all(answer is False for answer in chosen):
        return "none of its conditions that begin with | holds in this root"
    return ""


def _condition(view: RootView, unit: Unit, key: str, value: str) -> Answer:
    opposite, value = value.startswith("!"), value.lstrip("!").strip()
    try:
        value = with_specifiers(unit, value)
    except NotKnown:
        return None
    answer: Answer = None
    volatile = value.startswith(_VOLATILE)
    if key in _PATH_CONDITIONS:
        answer = test(view, "/", [Value(_PATH_CONDITIONS[key]), Value(value)])
        answer = None if answer is False and volatile else answer
    elif key == "PathExistsGlob" and not volatile:
        answer = bool(view.glob(value))
    elif key == "DirectoryNotEmpty" and not volatile:
        answer = bool(view.names(value))
    elif key in ("Virtualization", "User", "Group"):
        # A device is no virtual machine, and the manager is root's.
        answer = value in ("no", "false", "0", "root", "@system")
    return negated(answer) if opposite else answer


def _add(finds: Finds, unit: Unit, manager: dict[str, str], notes: list[str], shell: Shell) -> None:
    origin = unit.origin("Service", "ExecStart")
    for key in _OTHER_ROOTS:
        if unit.all("Service", key):
            finds.leave_out(
                unit.name, f"it runs inside another root ({key}={unit.last('Service', key)})", origin
            )
            return
    try:
        environment = _environment(finds.view, unit, manager, notes)
        cwd = _directory(unit, notes, finds.view)
        found = [
            one for line in unit.all("Service", "ExecStart") for one in commands(unit, line, environment)
        ]
    except NotKnown as error:
        finds.leave_out(unit.name, str(error), origin)
        return
    kind = unit.last("Service", "Type")
    one_shot = kind == "oneshot"
    if one_shot:
        notes.append("it does its work and ends (Type=oneshot)")
    stdin = "null"
    if unit.last("Service", "StandardInput").startswith("socket") or any(
        "connected socket" in note for note in notes
    ):
        stdin = "open"
    elif unit.last("Service", "StandardInput").startswith("tty"):
        finds.leave_out(unit.name, "it waits for a person at a terminal", origin)
        return
    for command in found:
        _start(
            finds,
            command,
            Start(
                program="",
                argv=command.argv,
                cwd=cwd,
                env=environment,
                user=unit.last("Service", "User"),
                stdin=stdin,
                origin=origin,
                name=unit.name.removesuffix(SERVICE),
                notes=tuple(notes),
            ),
            kind,
            shell,
        )


def _start(finds: Finds, command: Command, start: Start, kind: str, shell: Shell) -> None:
    one_shot = kind == "oneshot"
    program, argv = command.program, " ".join(command.argv)
    if not program.startswith("/"):
        # Since systemd 239 a name alone is looked for.
        found = finds.view.which(program, start.env.get("PATH", "")) if "/" not in program else None
        if found is None:
            finds.leave_out(argv, f"there is no program {program} in the root", start.origin)
            return
        program = found
    name = posixpath.basename(program)
    why = no_service(name)
    if why and (name in CONSOLES or name in INIT or (one_shot and name not in SHELLS) or "kernel" in why):
        finds.leave_out(argv, why, start.origin)
        return
    start.program = posixpath.normpath(program)
    if one_shot and start.program.startswith(_OF_SYSTEMD):
        finds.leave_out(argv, "a helper of systemd, which does its work and ends", start.origin)
        return
    text = command.argv[2] if name in SHELLS and command.argv[1:2] == ["-c"] and len(command.argv) > 2 else ""
    if kind in ("oneshot", "forking") and finds.programs.is_shell_script(start.program):
        # The script ends, and what it has started stays.
        text = shlex.join([start.program, *command.argv[1:]])
    if text:
        before = len(finds.targets)
        shell(text, start)
        if len(finds.targets) > before:
            return
    finds.add(start)


def _environment(view: RootView, unit: Unit, manager: dict[str, str], notes: list[str]) -> dict[str, str]:
    found = {"PATH": manager["PATH"]}
    user = unit.last("Service", "User")
    if user:
        found |= {"USER": user, "LOGNAME": user}
        fields = _account(view, user)
        found |= {"HOME": fields[5], "SHELL": fields[6] or "/bin/sh"} if len(fields) > 6 else {}
    for key, (variable, place) in _DIRECTORIES.items():
        names = " ".join(unit.all("Service", key)).split()
        if names:
            found[variable] = ":".join(
                posixpath.join(place, with_specifiers(unit, name.partition(":")[0])) for name in names
            )
    for value in unit.all("Service", "Environment"):
        found |= assignments(with_specifiers(unit, value))
    for value in unit.all("Service", "EnvironmentFile"):
        path = with_specifiers(unit, value.lstrip("-"))
        names = view.glob(path) if set("*?[") & set(path) else [path]
        for name in names:
            if view.text(name) is None and not value.startswith("-"):
                notes.append(f"its EnvironmentFile {name} is not in the root")
            found |= file_assignments(view.lines(name))
    for name in " ".join(unit.all("Service", "UnsetEnvironment")).split():
        found.pop(name, None)
    return found


def _directory(unit: Unit, notes: list[str], view: RootView) -> str:
    text = unit.last("Service", "WorkingDirectory")
    if not text:
        return "/"
    optional, text = text.startswith("-"), text.lstrip("-")
    path = _home(view, unit.last("Service", "User")) if text == "~" else with_specifiers(unit, text)
    if optional and not view.is_directory(path):
        return "/"
    return posixpath.normpath(path) if path.startswith("/") else "/"


def _home(view: RootView, user: str) -> str:
    fields = _account(view, user or "root")
    return fields[5] if len(fields) > 5 else "/root"


def _account(view: RootView, user: str) -> list[str]:
    """Return the fields of passwd(5) of a user by name or number, none where there is no such user."""
    lines = [line.split(":") for line in view.lines("/etc/passwd")[:4096]]
    return next((fields for fields in lines if len(fields) > 2 and user in (fields[0], fields[2])), [])
