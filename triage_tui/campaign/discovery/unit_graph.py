"""Which units of systemd a boot starts, and in which order: systemd.unit(5), systemd.special(7), bootup(7).

From default.target on, what is wanted or required starts. Of a root in which nothing was enabled yet, as of
packages that were only unpacked, [Install] is taken as done, as `systemctl preset-all` does at a first boot.
"""

from __future__ import annotations

import re

from triage_tui.campaign.discovery.unit_files import Unit, UnitFiles

SERVICE = ".service"
_DEFAULT = "default.target"
_ALWAYS = ("basic.target", "sysinit.target")
"""What every service requires, unless it says DefaultDependencies=no."""
_PULLING = ("Wants", "Requires", "BindsTo", "Upholds")
_INSTALLED = ("WantedBy", "RequiredBy", "UpheldBy")
_NEVER = re.compile(
    r"(halt|reboot|poweroff|shutdown|kexec|soft-reboot|exit|final|umount|rescue|emergency|ctrl-alt-del|sleep|suspend"
    r"|hibernate|hybrid-sleep|suspend-then-hibernate|initrd.*|system-update.*|factory-reset.*|runlevel[016]"
    r"|storage-target-mode)\.target"
)
"""Targets that no boot reaches, where the root does not say which it reaches."""
_NO = ("no", "false", "off", "0")


class Boot:
    """What a boot starts of the units of one root."""

    def __init__(self, files: UnitFiles) -> None:
        self.files = files
        self.reached: set[str] = set()
        self._units: dict[str, Unit | None] = {}
        self._install: dict[str, set[str]] = {}
        """Unit -> those whose [Install] says that they start with it."""
        if not files.enabled:
            for name in files.names(""):
                unit = self.unit(name)
                for key in _INSTALLED if unit is not None else ():
                    for other in _named(unit, "Install", key):
                        self._install.setdefault(other, set()).add(name)
        self._reach()

    def unit(self, name: str) -> Unit | None:
        """Return a unit, None where it has no file, or is masked."""
        if name not in self._units:
            self._units[name] = None if self.files.masked(name) else self.files.load(name)
        return self._units[name]

    def _reach(self) -> None:
        targets = {
            *self.files.names(".target"),
            *(name for name in self.files.wants if name.endswith(".target")),
        }
        if self.unit(_DEFAULT) is not None:
            waiting = [_DEFAULT, *_ALWAYS]
        else:
            waiting = [name for name in sorted(targets) if not _NEVER.fullmatch(name)]
            waiting += [
                name for name in self._install if self.unit(name) is None and not _NEVER.fullmatch(name)
            ]
        while waiting:
            name = waiting.pop()
            if name in self.reached:
                continue
            self.reached.add(name)
            if alias := self.files.alias_of(name):
                waiting.append(alias)
            unit = self.unit(name)
            waiting += [*self.files.wants.get(name, ()), *self._install.get(name, ())]
            for key in _PULLING if unit is not None else ():
                waiting += _named(unit, "Unit", key)
            waiting += _named(unit, "Service", "Sockets") if unit is not None else []
            waiting += [alias for alias in self.files.aliases_of(name) if self._install.get(alias)]

    def why_not(self, unit: Unit) -> str:
        """Return why a boot does not start a unit, "" where it does."""
        names = (unit.name, *self.files.aliases_of(unit.name))
        if any(name in self.reached for name in names):
            return ""
        wanting = sorted(name for name, wanted in self.files.wants.items() if wanted & set(names))
        if wanting:
            return f"only {' and '.join(wanting[:3])} starts it, which this boot does not reach"
        given = [other for key in _INSTALLED for other in _named(unit, "Install", key)]
        if given and self.files.enabled:
            return "it is not enabled: no link starts it"
        if given:
            return f"only {' and '.join(given[:3])} starts it, which this boot does not reach"
        if unit.all("Install", "Alias") or unit.all("Install", "Also"):
            return "it is not enabled: no link starts it" if self.files.enabled else ""
        return "nothing starts this unit: it has no [Install], and no other unit wants it"


def in_order(units: list[Unit], files: UnitFiles) -> list[Unit]:
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
        before[name] |= {other for other in _named(unit, "Unit", "After") if other in nodes}
        for other in _named(unit, "Unit", "Before"):
            if other in nodes:
                before[other].add(name)
        if unit.last("Unit", "DefaultDependencies").lower() in _NO:
            continue
        if name in by_name and "basic.target" in nodes:
            before[name].add("basic.target")
        elif name.endswith(".target"):
            wanted = {
                *files.wants.get(name, ()),
                *_named(unit, "Unit", "Wants"),
                *_named(unit, "Unit", "Requires"),
            }
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


def _named(unit: Unit | None, section: str, key: str) -> list[str]:
    return [] if unit is None else " ".join(unit.all(section, key)).split()
