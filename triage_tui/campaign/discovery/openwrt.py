"""OpenWrt's start scripts: /etc/rc.common, procd's instances, and the functions that read settings.

A script names itself by `#!/bin/sh /etc/rc.common`, its place by START, and with USE_PROCD it describes its
programs to procd instead of starting them (OpenWrt wiki, "procd init scripts"; package/base-files).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from triage_tui.campaign.discovery.found import Start
from triage_tui.campaign.discovery.settings import FALSE, TRUE
from triage_tui.campaign.discovery.shell.answers import Answer
from triage_tui.campaign.discovery.shell.state import ShellState, Value

if TYPE_CHECKING:
    from triage_tui.campaign.discovery.shell.follow import Follower

_START = re.compile(rb"^START=['\"]?([0-9]{1,3})", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_NOTHING_NAMES = """
extra_command procd_open_trigger procd_close_trigger procd_add_reload_trigger
procd_add_config_trigger procd_add_jail
procd_add_jail_mount procd_add_jail_mount_rw procd_open_service procd_close_service procd_add_mdns
procd_add_interface_trigger procd_add_reload_interface_trigger procd_open_data procd_close_data
procd_add_validation procd_add_raw_trigger procd_set_config_changed procd_open_validate
procd_close_validate procd_kill procd_send_signal service_stop service_reload service_check json_init
json_load json_add_object json_close_object json_add_array json_close_array json_add_string json_add_int
json_add_boolean json_select config_cb reset_cb include uci_commit uci_set uci_toggle_state
uci_revert_state user_add group_add user_add_group network_flush_cache network_find_wan
"""
_NOTHING = frozenset(_NOTHING_NAMES.split())
_KNOWN_NAMES = """
procd_open_instance procd_set_param procd_append_param procd_close_instance rc_procd config_load
config_get config_get_bool config_foreach config_list_foreach config_set append uci_load_validate
uci_validate_section json_get_var json_get_vars json_get_values json_is_a list_contains network_get_ipaddrs
network_get_subnet network_find_wan6 network_get_ipaddr network_get_device network_get_physdev network_is_up
"""
_KNOWN = _NOTHING | frozenset(_KNOWN_NAMES.split())


class Instance(msgspec.Struct):
    """What a script has told procd so far."""

    command: list[Value] = []
    env: list[Value] = []
    user: str = ""
    place: str = ""
    notes: tuple[str, ...] = ()

    def copy(self) -> Instance:
        """Return one that can be changed without changing this one."""
        return msgspec.structs.replace(self)

    def learn(self, other: Instance | None, condition: str) -> None:
        """Note what a branch told that may be taken or not."""
        if other is None or other.place != self.place:
            return
        more = other.command[len(self.command) :]
        if other.command[: len(self.command)] == self.command and more:
            shown = " ".join(word.text if word.text is not None else "?" for word in more)
            self.notes += (f"`{shown}` is added to its arguments {condition.removeprefix('only ')}",)
        elif (other.command, other.env, other.user) != (self.command, self.env, self.user):
            self.notes += (f"it is started in another way {condition.removeprefix('only ')}",)


def knows(name: str) -> bool:
    """Tell whether it is a function of OpenWrt whose work is done here."""
    return name in _KNOWN


def is_script(head: bytes) -> bool:
    """Tell from its beginning whether a file is a start script of OpenWrt."""
    return head.startswith(b"#!") and b"rc.common" in head.split(b"\n")[0]


def place_in_order(source: bytes) -> int | None:
    """Return the script's START, None where it is not started at boot."""
    found = _START.search(source)
    return int(found[1]) if found else None


def follow(follower: Follower, path: str, action: str, origin: str = "") -> None:
    """Follow a start script as rc.common does for `boot` or `start`."""

    def begin(shell: ShellState) -> None:
        uses_procd = bool(shell.get("USE_PROCD").text)
        wanted = "boot" if action == "boot" and "boot" in shell.functions else "start"
        if wanted == "start" and "start" not in shell.functions and uses_procd:
            wanted = "start_service"
        follower.call(shell, wanted, [])

    follower.follow_file(path, [Value(action)], None, origin, begin)


def command(
    follower: Follower, shell: ShellState, name: str, words: list[Value], place: str
) -> tuple[bool, Answer]:
    """Do what a function of OpenWrt does; tell whether `name` is one, and its status."""
    if name not in _KNOWN:
        if name == "start" and "start_service" in shell.functions:
            follower.call(shell, "start_service", words)
            return True, True
        return False, None
    settings = follower.settings
    texts = [word.text or "" for word in words]
    match name:
        case "procd_open_instance":
            follower.instance = Instance(place=place)
        case "procd_set_param" | "procd_append_param":
            if follower.instance is not None and words:
                _tell(follower.instance, words, name == "procd_append_param")
        case "procd_close_instance":
            _close(follower, shell)
        case "rc_procd":
            follower.call(shell, texts[0] if texts else "", words[1:])
        case "config_load":
            return True, _load(follower, shell, texts[0] if texts else "")
        case "config_get" | "config_get_bool" if len(words) >= 3:
            found = settings.get(texts[1], texts[2], texts[3] if len(texts) > 3 else "")
            if name == "config_get_bool":
                found = (
                    "1" if found in TRUE else "0" if found in FALSE else texts[3] if len(texts) > 3 else ""
                )
            if _NAME.fullmatch(texts[0]):
                shell.set(texts[0], Value(found))
        case "config_set" if len(texts) >= 3:
            for section in settings.sections:
                if section.name == texts[0]:
                    section.options[texts[1]] = texts[2]
        case "config_foreach" if texts:
            wanted = texts[1] if len(texts) > 1 else ""
            for section in list(settings.sections):
                if not wanted or section.type == wanted:
                    follower.call(shell, texts[0], [Value(section.name), *words[2:]])
        case "config_list_foreach" if len(texts) >= 3:
            for value in settings.words(texts[0], texts[1]):
                follower.call(shell, texts[2], [Value(value), *words[3:]])
        case "append" if len(words) >= 2 and _NAME.fullmatch(texts[0]):
            before, added = shell.get(texts[0]), words[1]
            between = texts[2] if len(texts) > 2 else " "
            if before.text is None or added.text is None:
                shell.set(texts[0], before if before.text is None else added)
            else:
                shell.set(texts[0], Value(f"{before.text}{between if before.text else ''}{added.text}"))
        case "uci_validate_section" if len(texts) >= 3:
            _validate(follower, shell, texts[0], texts[2], texts[3:])
        case "uci_load_validate" if len(texts) >= 4:
            _validate(follower, shell, texts[0], texts[2], texts[4:])
            follower.call(shell, texts[3], [words[2], Value("0")])
        case "json_get_var" | "network_get_ipaddr" | "network_get_device" | "network_get_physdev" if texts:
            if _NAME.fullmatch(texts[0]):
                shell.set(texts[0], Value(None, f"{texts[0]} comes from {name} on the running device"))
            return True, None
        case "list_contains" if len(texts) > 1:
            listed = shell.get(texts[0]).text
            return True, None if listed is None else texts[1] in listed.split()
        case "json_get_vars" | "network_get_ipaddrs" | "network_get_subnet" | "json_get_values":
            for text in texts:
                variable = text.partition(":")[0]
                if _NAME.fullmatch(variable):
                    shell.set(variable, Value(None, f"{variable} comes from {name} on the running device"))
            return True, None
        case "network_is_up" | "json_is_a" | "network_find_wan6":
            return True, None
    return True, True


def _load(follower: Follower, shell: ShellState, package: str) -> bool:
    """Read a file of settings, and call what the script wants to be called for each of its lines."""
    loaded = follower.settings.load(package)
    wanted = [name for name in ("config_cb", "option_cb", "list_cb") if name in shell.functions]
    if not wanted or shell.functions[wanted[0]].script.path.startswith("/lib/"):
        return loaded
    for section in list(follower.settings.sections):
        follower.call(shell, "config_cb", [Value(section.type), Value(section.name)])
        shell.set("CONFIG_SECTION", Value(section.name))
        for name, given in section.options.items():
            if isinstance(given, str):
                follower.call(shell, "option_cb", [Value(name), Value(given)])
            else:
                for one in given:
                    follower.call(shell, "list_cb", [Value(name), Value(one)])
    if loaded:
        follower.call(shell, "config_cb", [])
    return loaded


def _validate(follower: Follower, shell: ShellState, package: str, section: str, rules: list[str]) -> None:
    """Set the variables that `NAME:TYPE:DEFAULT` name from a section, as validate_data prints them."""
    sections = follower.settings.file(package)
    options = next((one.options for one in sections if one.name == section), {})
    for rule in rules:
        name, _, rest = rule.partition(":")
        if not _NAME.fullmatch(name):
            continue
        kind = re.match(r"(?:[^:(']|\([^)]*\)|'[^']*')*", rest)
        default = rest[kind.end() + 1 :] if kind is not None else ""
        found = options.get(name)
        text = (
            default.strip("'\"") if found is None else " ".join(found) if isinstance(found, list) else found
        )
        if rest.startswith("bool") and text:
            text = "1" if text in TRUE else "0"
        shell.set(name, Value(text))


def _tell(instance: Instance, words: list[Value], more: bool) -> None:
    match words[0].text:
        case "command":
            instance.command = [*(instance.command if more else []), *words[1:]]
        case "env":
            instance.env = [*(instance.env if more else []), *words[1:]]
        case "user" if len(words) > 1:
            instance.user = words[1].text or ""


def _close(follower: Follower, shell: ShellState) -> None:
    """Add what was described, or say why not."""
    instance, follower.instance = follower.instance, None
    if instance is None or not instance.command:
        return
    shown = " ".join(word.text if word.text is not None else "?" for word in instance.command)
    unknown = next((word for word in (*instance.command, *instance.env) if word.text is None), None)
    if unknown is not None or shell.dead:
        why = shell.dead or (unknown.why if unknown is not None else "")
        follower.finds.leave_out(shown, why, instance.place)
        return
    words = [word.text or "" for word in instance.command]
    path = follower.find(shell, words[0])
    if path is None:
        follower.finds.leave_out(shown, f"there is no program {words[0]} in the root", instance.place)
        return
    given = dict(pair for word in instance.env if (pair := _pair(word.text or ""))[0])
    follower.finds.add(
        Start(
            program=path,
            argv=words,
            # procd starts it: what the script exports does not reach it.
            env={**follower.environment, **given},
            user=instance.user,
            origin=instance.place,
            notes=(*instance.notes, *shell.conditions),
        )
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
