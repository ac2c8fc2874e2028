"""Android's init: services of *.rc files, and what the triggers of a boot do with them.

The language: system/core/init/README.md of AOSP. The order of a boot: early-init, init, late-init, and the
triggers that late-init names; of properties, only those are known that build.prop and the like set.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable

import msgspec

from triage_tui.campaign.discovery.found import Finds, Start
from triage_tui.campaign.discovery.tools import no_service

BEGINNINGS = ("/init.rc", "/system/etc/init/hw/init.rc")
_DIRECTORIES = tuple(f"/{place}/etc/init" for place in ("system", "system_ext", "vendor", "odm", "product"))
_PROPERTIES = (
    "/default.prop",
    "/prop.default",
    "/system/etc/prop.default",
    "/system/build.prop",
    "/vendor/default.prop",
    "/vendor/build.prop",
    "/product/build.prop",
    "/odm/build.prop",
)
_MAX_FILES = 400
_MAX_LINES = 20_000
_MAX_DEPTH = 8
_PATH = "/sbin:/product/bin:/system/sbin:/system/bin:/system/xbin:/odm/bin:/vendor/bin:/vendor/xbin"
_BOOT = ("early-init", "init", "late-init")
_USUAL = (
    *("early-fs", "fs", "post-fs", "late-fs", "post-fs-data", "zygote-start", "early-boot", "boot"),
    "nonencrypted",
)
"""What late-init triggers where its file is not there, and vold after the data is there."""
_NUMBERS = """
root 0 system 1000 radio 1001 bluetooth 1002 graphics 1003 audio 1005 camera 1006 log 1007 wifi 1010 adb 1011
install 1012 media 1013 dhcp 1014 vpn 1016 keystore 1017 drm 1019 mdnsr 1020 gps 1021 nfc 1027 clat 1029
logd 1036 audioserver 1041 cameraserver 1047 webserv 1052 tombstoned 1058 statsd 1066 incidentd 1067
shell 2000 nobody 9999
"""
_USERS = dict(zip(_NUMBERS.split()[::2], _NUMBERS.split()[1::2], strict=True))
"""android_filesystem_config.h: there is no passwd(5)."""


class _Service(msgspec.Struct):
    name: str
    words: list[str]
    origin: str
    classes: list[str]
    user: str = "root"
    disabled: bool = False
    once: bool = False
    env: dict[str, str] = {}
    sockets: list[str] = []


class _Action(msgspec.Struct):
    trigger: str
    conditions: list[str]
    commands: list[tuple[list[str], str]]


def find(finds: Finds) -> None:
    """Add what a boot starts, and tell of what waits for something else."""
    _Init(finds).run()


class _Init:
    def __init__(self, finds: Finds) -> None:
        self._finds = finds
        self._view = finds.view
        self._properties: dict[str, str] = {}
        self._services: dict[str, _Service] = {}
        self._actions: list[_Action] = []
        self._read: set[str] = set()
        self._lines = 0
        self._env = {"PATH": _PATH}
        self._started: set[str] = set()
        self._done: set[str] = set()
        for path in _PROPERTIES:
            for line in self._view.lines(path)[:4000]:
                name, equals, value = line.strip().partition("=")
                if equals and not name.startswith("#"):
                    self._properties.setdefault(name.strip(), value.strip())

    def run(self) -> None:
        """Read all files, and do what a boot does."""
        for path in BEGINNINGS:
            self._file(path, 0)
        for place in _DIRECTORIES:
            for name in self._view.names(place):
                if name.endswith(".rc"):
                    self._file(posixpath.join(place, name), 0)
        queue: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in _BOOT]
        named: set[str] = set()
        while queue:
            trigger, notes = queue.pop(0)
            if trigger in named:
                continue
            named.add(trigger)
            queue += self._trigger(trigger, notes)
            if trigger == "late-init":
                queue += [(name, ()) for name in _USUAL if name not in named]
        for action in self._actions:
            if action.trigger == "" and (answer := self._holds(action)) is not False:
                said = " and ".join(action.conditions)
                self._carry_out(action, () if answer else (f"only where the property {said} is set",))
        for service in self._services.values():
            if service.name not in self._started:
                why = "it is disabled, and nothing in the boot starts it"
                why = why if service.disabled else f"nothing starts its class {' or '.join(service.classes)}"
                self._finds.leave_out(" ".join(service.words), why, service.origin)

    def _file(self, path: str, depth: int) -> None:
        real = self._view.canonical(path)
        if real is None or real in self._read or len(self._read) >= _MAX_FILES or depth > _MAX_DEPTH:
            return
        self._read.add(real)
        section: _Service | _Action | None = None
        imports: list[tuple[str, str]] = []
        for first, text in _joined(self._view.lines(path)):
            self._lines += 1
            self._view.step()
            origin = f"{path} line {first}"
            if self._lines > _MAX_LINES:
                self._finds.leave_out(path, f"only {_MAX_LINES} lines of *.rc files were read", origin)
                break
            words = _words(text)
            if not words:
                continue
            match words[0]:
                case "import" if len(words) > 1:
                    section = None
                    imports.append((words[1], origin))
                case "service" if len(words) > 2:
                    section = self._service(words, origin)
                case "on" if len(words) > 1:
                    section = _action(words[1:])
                    self._actions.append(section)
                case _ if isinstance(section, _Service):
                    _option(section, words)
                case _ if isinstance(section, _Action):
                    section.commands.append((words, origin))
        for name, origin in imports:
            self._import(name, origin, depth + 1)

    def _service(self, words: list[str], origin: str) -> _Service:
        service = _Service(name=words[1], words=words[2:], origin=origin, classes=["default"])
        # The first one counts, unless the later says `override`.
        if words[1] not in self._services:
            self._services[words[1]] = service
        return service

    def _import(self, name: str, origin: str, depth: int) -> None:
        path = self._expanded(name)
        if path is None:
            found = self._view.glob(re.sub(r"\$\{[^}]*\}", "*", name))
            if len(found) != 1:
                self._finds.leave_out(f"import {name}", "its property is known on the device alone", origin)
                return
            path = found[0]
        if self._view.is_directory(path):
            for one in self._view.names(path):
                self._file(posixpath.join(path, one), depth)
        elif self._view.is_file(path):
            self._file(path, depth)
        else:
            self._finds.leave_out(f"import {name}", f"there is no file {path} in the root", origin)

    def _expanded(self, text: str) -> str | None:
        """Return a text with its properties, None where one is not known."""
        unknown = False

        def replaced(match: re.Match[str]) -> str:
            nonlocal unknown
            name, _, default = match[1].partition(":-")
            value = self._properties.get(name, default)
            unknown = unknown or not value
            return value

        found = re.sub(r"\$\{([^}]*)\}", replaced, text)
        return None if unknown else found

    def _holds(self, action: _Action) -> bool | None:
        """Tell whether the properties are as an action wants them, None where nobody knows."""
        answer: bool | None = True
        for condition in action.conditions:
            name, _, wanted = condition.partition("=")
            value = self._properties.get(name)
            if value is None:
                answer = None
            elif wanted not in ("*", value):
                return False
        return answer

    def _trigger(self, trigger: str, notes: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
        found: list[tuple[str, tuple[str, ...]]] = []
        for action in self._actions:
            if action.trigger == trigger and (answer := self._holds(action)) is not False:
                said = " and ".join(action.conditions)
                more = () if answer else (f"only where the property {said} is set",)
                found += self._carry_out(action, (*notes, *more))
        return found

    def _carry_out(self, action: _Action, notes: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
        found: list[tuple[str, tuple[str, ...]]] = []
        for words, origin in action.commands:
            name, given = words[0], words[1:]
            if name == "trigger" and given:
                found.append((given[0], notes))
            elif name == "export" and len(given) > 1 and not notes:
                self._env[given[0]] = given[1]
            elif name == "symlink" and len(given) > 1 and not notes:
                if self._view.status(given[1]) is None and given[0].startswith("/"):
                    self._view.made.copy(given[0], posixpath.normpath(given[1]), origin, True, link=True)
            elif name == "setprop" and len(given) > 1 and not notes:
                self._properties[given[0]] = given[1]
            elif name in ("start", "exec_start", "restart") and given:
                service = self._services.get(given[0])
                if service is None:
                    self._finds.leave_out(f"start {given[0]}", "no service has that name", origin)
                else:
                    self._start(service, notes)
            elif name == "enable" and given and given[0] in self._services:
                self._services[given[0]].disabled = False
            elif name == "class_start" and given:
                for service in list(self._services.values()):
                    if given[0] in service.classes and not service.disabled:
                        self._start(service, notes)
        return found

    def _start(self, service: _Service, notes: tuple[str, ...]) -> None:
        if service.name in self._started:
            return
        self._started.add(service.name)
        told = list(notes)
        words = [self._expanded(word) for word in service.words]
        shown = " ".join(service.words)
        if None in words:
            self._finds.leave_out(shown, "a property in it is known on the device alone", service.origin)
            return
        argv = [word for word in words if word is not None]
        why = no_service(posixpath.basename(argv[0]))
        why = why if argv[0].startswith("/") else f"its program {argv[0]} is no absolute path"
        if why:
            self._finds.leave_out(shown, why, service.origin)
            return
        if service.once:
            told.append("it does its work and ends (oneshot)")
        if service.sockets:
            told.append(f"init hands it the sockets {', '.join(service.sockets)}, which are not there")
        self._finds.add(
            Start(
                program=posixpath.normpath(argv[0]),
                argv=argv,
                env={**self._env, **service.env},
                user=_USERS.get(service.user, service.user),
                origin=service.origin,
                name=service.name,
                notes=tuple(told),
            )
        )


def _joined(lines: Iterable[str]) -> list[tuple[int, str]]:
    """Return (line, text) with lines joined that end with a backslash, without comments."""
    found: list[tuple[int, str]] = []
    held, first = "", 0
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not held and (not text or text.startswith("#")):
            continue
        first = first if held else number
        if text.endswith("\\"):
            held = f"{held}{text[:-1]} "
            continue
        found.append((first, held + text))
        held = ""
    return found


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=False)
    except ValueError:
        return text.split()


def _action(words: list[str]) -> _Action:
    """`on boot && property:a=b`: at most one event, and properties."""
    parts = [part for part in words if part != "&&"]
    events = [part for part in parts if not part.startswith("property:")]
    conditions = [part.removeprefix("property:") for part in parts if part.startswith("property:")]
    return _Action(trigger=events[0] if events else "", conditions=conditions, commands=[])


def _option(service: _Service, words: list[str]) -> None:
    match words[0]:
        case "class" if len(words) > 1:
            service.classes = words[1:]
        case "user" if len(words) > 1:
            service.user = words[1]
        case "disabled":
            service.disabled = True
        case "oneshot":
            service.once = True
        case "setenv" if len(words) > 2:
            service.env[words[1]] = words[2]
        case "socket" if len(words) > 1:
            service.sockets.append(words[1])
