"""What systemd would start in a root: its enabled services, in their order, with what each of them needs."""

from __future__ import annotations

import posixpath
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

_SERVICE = ".service"
_PATH_CONDITIONS = {
    "ConditionPathExists": "-e",
    "ConditionPathIsDirectory": "-d",
    "ConditionPathIsSymbolicLink": "-L",
    "ConditionFileNotEmpty": "-s",
    "ConditionFileIsExecutable": "-x",
    "AssertPathExists": "-e",
}
_OF_SYSTEMD = ("/lib/systemd/", "/usr/lib/systemd/", "/bin/systemd-", "/usr/bin/systemd-")
_OTHER_ROOTS = ("RootDirectory", "RootImage")


def has_units(view: RootView) -> bool:
    """Tell whether a root has services of systemd."""
    return any(name.endswith(_SERVICE) for place in DIRECTORIES for name in view.names(place))


Shell = Callable[[str, Start], None]
"""Follows a text of the shell that a unit gives to `sh -c`, and adds what it starts."""


def find(finds: Finds, environment: dict[str, str], shell: Shell) -> set[str]:
    """Add the services that systemd starts; return the names of all services that have a unit."""
    files = UnitFiles(finds.view)
    names = [name for name in files.names(_SERVICE) if not files.alias_of(name)]
    activated = _activated(files)
    selected: list[Unit] = []
    for name in names:
        if files.masked(name):
            finds.leave_out(name, "it is masked: a link to /dev/null, or an empty file")
            continue
        unit = files.load(name)
        if unit is None:
            finds.leave_out(name, "a link starts it, and its file is not in the root")
            continue
        why = _not_started(finds.view, unit, activated)
        if why:
            finds.leave_out(name, why, unit.path)
        else:
            selected += _instances(unit, files)
    for unit in _in_order(selected, files):
        _add(finds, unit, environment, activated.get(unit.name, ""), shell)
    return set(files.names(_SERVICE))


def _instances(unit: Unit, files: UnitFiles) -> list[Unit]:
    """Return a unit, or what its template is started as."""
    if not unit.name.endswith(f"@{_SERVICE}"):
        return [unit]
    default = unit.last("Install", "DefaultInstance")
    loaded = files.load(unit.name.replace("@.", f"@{default}.")) if default else None
    return [unit if loaded is None else loaded]


def _activated(files: UnitFiles) -> dict[str, str]:
    """Return the services that a socket, a timer, a path or the bus starts -> what that means for them."""
    found: dict[str, str] = {}
    for name in files.names(".socket"):
        unit = None if files.masked(name) else files.load(name)
        if unit is None:
            continue
        base = name.removesuffix(".socket")
        if unit.last("Socket", "Accept").lower() in ("yes", "true", "on", "1"):
            found[f"{base}@{_SERVICE}"] = (
                "it needs a connected socket as its standard input, as systemd gives it"
            )
        else:
            service = unit.last("Socket", "Service", f"{base}{_SERVICE}")
            found[service] = "systemd may hand it listening sockets (LISTEN_FDS), which are not there"
    for suffix, kind in ((".timer", "Timer"), (".path", "Path")):
        for name in files.names(suffix):
            unit = None if files.masked(name) else files.load(name)
            if unit is not None:
                service = unit.last(kind, "Unit", name.removesuffix(suffix) + _SERVICE)
                found.setdefault(service, f"the {kind.lower()} {name} starts it, not the boot itself")
    return found


def _not_started(view: RootView, unit: Unit, activated: dict[str, str]) -> str:
    """Return why systemd does not start a unit, "" where it does."""
    if not unit.all("Service", "ExecStart"):
        return "it has no ExecStart"
    install = any(unit.all("Install", key) for key in ("WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"))
    bus = unit.last("Service", "BusName") and unit.last("Service", "Type") == "dbus"
    if not unit.wanted and not install and unit.name not in activated and not bus:
        return "nothing starts this unit: it has no [Install], and no other unit wants it"
    template = unit.name.endswith(f"@{_SERVICE}") and unit.name not in activated
    if template and not unit.last("Install", "DefaultInstance"):
        return "it is a template, and nothing in the root names an instance"
    for key, operator in _PATH_CONDITIONS.items():
        for value in unit.all("Unit", key):
            text = value.lstrip("|")
            try:
                path = with_specifiers(unit, text.lstrip("!"))
            except NotKnown:
                continue
            answer: Answer = test(view, "/", [Value(operator), Value(path)])
            if text.startswith("!"):
                answer = negated(answer)
            if answer is False and not value.startswith("|"):
                return f"its condition {key}={value} does not hold in this root"
    return ""


def _in_order(units: list[Unit], files: UnitFiles) -> list[Unit]:
    """Return units in the order of their start; circles are cut.

    Each follows those that it names with After=, also by way of targets, which follow what they want, and
    basic.target, unless it says DefaultDependencies=no (systemd.service(5), systemd.target(5)).
    """
    by_name = {unit.name: unit for unit in units}
    nodes = dict(by_name)
    for suffix in (".target", ".socket"):
        for name in files.names(suffix):
            if (unit := files.load(name)) is not None:
                nodes[name] = unit
    before: dict[str, set[str]] = {name: set() for name in nodes}
    for name, unit in nodes.items():
        before[name] |= {other for other in _named(unit, "After") if other in nodes}
        for other in _named(unit, "Before"):
            if other in nodes:
                before[other].add(name)
        if unit.last("Unit", "DefaultDependencies").lower() in ("no", "false", "off", "0"):
            continue
        if name in by_name and "basic.target" in nodes:
            before[name].add("basic.target")
        elif name.endswith(".target"):
            wanted = {*files.wants.get(name, ()), *_named(unit, "Wants"), *_named(unit, "Requires")}
            before[name] |= {other for other in wanted if other in nodes and name not in before[other]}
    done: list[Unit] = []
    placed: set[str] = set()
    waiting = sorted(nodes)
    while waiting:
        ready = [name for name in waiting if before[name] <= placed] or waiting[:1]
        done += [by_name[name] for name in ready if name in by_name]
        placed |= set(ready)
        waiting = [name for name in waiting if name not in placed]
    return done


def _named(unit: Unit, key: str) -> list[str]:
    return " ".join(unit.all("Unit", key)).split()


def _add(finds: Finds, unit: Unit, manager: dict[str, str], activation: str, shell: Shell) -> None:
    origin = unit.origin("Service", "ExecStart")
    for key in _OTHER_ROOTS:
        if unit.all("Service", key):
            finds.leave_out(
                unit.name, f"it runs inside another root ({key}={unit.last('Service', key)})", origin
            )
            return
    notes = [activation] if activation else []
    try:
        environment = _environment(finds.view, unit, manager, notes)
        cwd = _directory(unit, notes, finds.view)
        found = [
            one for line in unit.all("Service", "ExecStart") for one in commands(unit, line, environment)
        ]
    except NotKnown as error:
        finds.leave_out(unit.name, str(error), origin)
        return
    one_shot = unit.last("Service", "Type") == "oneshot"
    if one_shot:
        notes.append("it does its work and ends (Type=oneshot)")
    stdin = "null"
    if unit.last("Service", "StandardInput").startswith("socket") or "connected socket" in activation:
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
                name=unit.name.removesuffix(_SERVICE),
                notes=tuple(notes),
            ),
            one_shot,
            shell,
        )


def _start(finds: Finds, command: Command, start: Start, one_shot: bool, shell: Shell) -> None:
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
    if name in SHELLS and command.argv[1:2] == ["-c"] and len(command.argv) > 2:
        before = len(finds.targets)
        shell(command.argv[2], start)
        if len(finds.targets) > before:
            return
    finds.add(start)


def _environment(view: RootView, unit: Unit, manager: dict[str, str], notes: list[str]) -> dict[str, str]:
    found = {"PATH": manager["PATH"]}
    user = unit.last("Service", "User")
    if user:
        found |= {"USER": user, "LOGNAME": user}
    for value in unit.all("Service", "Environment"):
        found |= assignments(with_specifiers(unit, value))
    for value in unit.all("Service", "EnvironmentFile"):
        path = with_specifiers(unit, value.lstrip("-"))
        names = view.glob(path) if set("*?[") & set(path) else [path]
        for name in names:
            if view.text(name) is None and not value.startswith("-"):
                notes.append(f"its EnvironmentFile {name} is not in the root")
            found |= file_assignments(view.lines(name))
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
    for line in view.lines("/etc/passwd"):
        fields = line.split(":")
        if len(fields) >= 6 and fields[0] == (user or "root"):
            return fields[5]
    return "/root"
