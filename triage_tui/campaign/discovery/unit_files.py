"""Unit files of systemd as data: systemd.syntax(7), systemd.unit(5): places, drop-ins, templates, links."""

from __future__ import annotations

import posixpath
import re

import msgspec

from triage_tui.campaign.discovery.root_view import RootView

DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
"""Where units are, the strongest first."""
MAX_UNITS = 3000
_MAX_LINES = 4000
_ENABLED_KINDS = frozenset(("service", "socket", "timer", "path"))
_WANTED_BY = re.compile(r".+\.(wants|requires|upholds)")


class Unit(msgspec.Struct, kw_only=True):
    """A unit with its drop-ins. `settings` are (value, file, line), by section and name."""

    name: str
    path: str
    settings: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    wanted: bool = False
    """Whether a link in a directory of another unit starts it."""

    def all(self, section: str, key: str) -> list[str]:
        """Return all values of a setting; an empty one has taken away those before it."""
        return [value for value, _, _ in self.settings.get((section, key), [])]

    def last(self, section: str, key: str, default: str = "") -> str:
        """Return the value of a setting that counts where it can be given once."""
        values = self.all(section, key)
        return values[-1] if values else default

    def origin(self, section: str, key: str) -> str:
        """Return where a setting stands."""
        found = self.settings.get((section, key))
        return f"{found[-1][1]} line {found[-1][2]}" if found else self.path

    @property
    def instance(self) -> str:
        """What stands between @ and the suffix of an instance's name."""
        _, at, rest = self.name.rpartition("@") if "@" in self.name else ("", "", "")
        return rest.rpartition(".")[0] if at else ""

    @property
    def prefix(self) -> str:
        """The name before @, or without its suffix."""
        return self.name.partition("@")[0] if "@" in self.name else self.name.rpartition(".")[0]


class UnitFiles:
    """The units of one root."""

    def __init__(self, view: RootView) -> None:
        self._view = view
        self._files: dict[str, str] = {}
        self.wanted: set[str] = set()
        """Names of units that a link in a directory of another unit starts."""
        self.enabled = False
        """Whether a person or a build has enabled services: links of /etc/systemd/system say which."""
        self._aliases: dict[str, set[str]] | None = None
        self.wants: dict[str, set[str]] = {}
        """Unit -> the names of those that links in its directories start with it."""
        for place in DIRECTORIES:
            real = view.canonical(place)
            if real is None:
                continue
            for name in view.names(real):
                if _WANTED_BY.fullmatch(name):
                    wanted = set(view.names(posixpath.join(real, name)))
                    self.wanted |= wanted
                    kinds = {one.rpartition(".")[2] for one in wanted}
                    self.enabled |= place == DIRECTORIES[0] and bool(kinds & _ENABLED_KINDS)
                    self.wants.setdefault(name.rpartition(".")[0], set()).update(wanted)
                elif len(self._files) < MAX_UNITS:
                    self._files.setdefault(name, posixpath.join(real, name))

    def names(self, suffix: str) -> list[str]:
        """Return the names of all units of a kind, those that only a link names among them."""
        return sorted({name for name in (*self._files, *self.wanted) if name.endswith(suffix)})

    def masked(self, name: str) -> bool:
        """Tell whether a unit may not be started: a link to /dev/null, or an empty file."""
        path = self._files.get(name)
        if path is None:
            return False
        if self._view.is_link(path) and posixpath.normpath(self._view.link_target(path)) == "/dev/null":
            return True
        status = self._view.status(path)
        return status is not None and status.st_size == 0

    def alias_of(self, name: str) -> str:
        """Return the name of the unit that a unit's file is a link to, "" where it is none."""
        path = self._files.get(name)
        if path is None or not self._view.is_link(path):
            return ""
        target = posixpath.basename(self._view.link_target(path))
        return target if target != name and target in self._files else ""

    def aliases_of(self, name: str) -> set[str]:
        """Return the names under which a unit is known too."""
        if self._aliases is None:
            self._aliases = {}
            for one in self._files:
                if target := self.alias_of(one):
                    self._aliases.setdefault(target, set()).add(one)
        return self._aliases.get(name, set())

    def load(self, name: str) -> Unit | None:
        """Return a unit, an instance by its template; None where there is no file of it."""
        template = re.sub(r"@.*\.", "@.", name)
        path = self._files.get(name) or self._files.get(template)
        if path is None:
            return None
        unit = Unit(name=name, path=path, settings={}, wanted=name in self.wanted)
        if not self._read(unit, path):
            return None
        names = dict.fromkeys((f"{name.rpartition('.')[2]}.d", f"{template}.d", f"{name}.d"))
        extra: dict[str, str] = {}
        for place in DIRECTORIES:
            for directory in names:
                for file in self._view.names(f"{place}/{directory}"):
                    if file.endswith(".conf"):
                        extra.setdefault(file, f"{place}/{directory}/{file}")
        for file in sorted(extra)[:100]:
            self._read(unit, extra[file])
        return unit

    def _read(self, unit: Unit, path: str) -> bool:
        if self._view.text(path) is None:
            return False
        section = ""
        held = ""
        first = 0
        for number, line in enumerate(self._view.lines(path)[:_MAX_LINES], 1):
            text = line.strip()
            if held == "" and (not text or text[0] in "#;"):
                continue
            if held and text[:1] in ("#", ";"):
                continue
            first = first if held else number
            text = held + text
            if text.endswith("\\"):
                held = text[:-1] + " "
                continue
            held = ""
            if text.startswith("[") and text.endswith("]"):
                section = text[1:-1]
                continue
            key, equals, value = text.partition("=")
            if not equals or not section:
                continue
            place = (section, key.strip())
            if value.strip():
                unit.settings.setdefault(place, []).append((value.strip(), path, first))
            else:
                unit.settings[place] = []
        return True
