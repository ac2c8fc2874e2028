"""OpenWrt's settings: the files below /etc/config, and what its shell functions read from them.

The form: `config TYPE 'NAME'`, then `option NAME 'VALUE'` and `list NAME 'VALUE'` (OpenWrt wiki, "The UCI
system"; libuci's file.c). Sections without a name are asked for as @TYPE[NUMBER], and called cfgNNHHHH.
"""

from __future__ import annotations

import re
import shlex

import msgspec

from triage_tui.campaign.discovery.root_view import RootView

MAX_SECTIONS = 500
MAX_OPTIONS = 2000
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
TRUE = frozenset(("1", "on", "true", "yes", "enabled"))
FALSE = frozenset(("0", "off", "false", "no", "disabled"))


class Section(msgspec.Struct):
    """One section of a file."""

    type: str
    name: str
    options: dict[str, str | list[str]] = {}


class Settings:
    """The settings of one root; `load` chooses the file that the following questions are about."""

    def __init__(self, view: RootView) -> None:
        self._view = view
        self._files: dict[str, list[Section]] = {}
        self.sections: list[Section] = []

    def load(self, package: str) -> bool:
        """Read /etc/config/PACKAGE; tell whether it is there."""
        self.sections = self.file(package)
        return bool(self.sections)

    def file(self, package: str) -> list[Section]:
        """Return the sections of a file, none where it is not there."""
        if not _NAME.fullmatch(package):
            return []
        if package not in self._files:
            self._files[package] = _sections(self._view.lines(f"/etc/config/{package}"))
        return self._files[package]

    def get(self, section: str, option: str, default: str = "") -> str:
        """Return an option of a section of the loaded file; of a list, all words."""
        return _of(self.sections, section, option, default)

    def words(self, section: str, option: str) -> list[str]:
        """Return the words of a list of a section of the loaded file."""
        found = next((one.options.get(option) for one in self.sections if one.name == section), None)
        return found if isinstance(found, list) else (found or "").split()

    def asked(self, words: list[str]) -> str | None:
        """Return what `uci WORDS` prints, None where that is not known."""
        plain = [word for word in words if not word.startswith("-")]
        if len(plain) != 2 or plain[0] != "get":
            return None
        parts = plain[1].split(".", 2)
        if len(parts) < 2:
            return None
        sections = self.file(parts[0])
        wanted = re.fullmatch(r"@([A-Za-z0-9_-]+)\[([0-9]{1,4})\]", parts[1])
        if wanted is not None:
            of_type = [one for one in sections if one.type == wanted[1]]
            name = of_type[int(wanted[2])].name if int(wanted[2]) < len(of_type) else ""
        else:
            name = parts[1]
        if len(parts) == 2:
            return next((one.type for one in sections if one.name == name), "")
        return _of(sections, name, parts[2], "")


def _of(sections: list[Section], section: str, option: str, default: str) -> str:
    for one in sections:
        if one.name == section:
            if option == "TYPE":
                return one.type
            found = one.options.get(option)
            return default if found is None else " ".join(found) if isinstance(found, list) else found
    return default


def _made_up_name(kind: str, number: int) -> str:
    """Return how libuci calls a section without a name: list.c, uci_fixup_section, with Bernstein's hash."""
    code = 5381
    for byte in kind.encode("utf-8", "surrogateescape"):
        code = (code * 33 + byte) & 0xFFFFFFFF
    return f"cfg{number:02x}{code & 0xFFFF:04x}"


def _sections(lines: list[str]) -> list[Section]:
    found: list[Section] = []
    options = 0
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        if len(words) >= 2 and words[0] == "config" and len(found) < MAX_SECTIONS:
            name = words[2] if len(words) > 2 and words[2] else _made_up_name(words[1], len(found) + 1)
            found.append(Section(words[1], name, {}))
        elif len(words) >= 3 and found and options < MAX_OPTIONS:
            options += 1
            known = found[-1].options.get(words[1])
            if words[0] == "option":
                found[-1].options[words[1]] = words[2]
            elif words[0] == "list":
                found[-1].options[words[1]] = [*(known if isinstance(known, list) else []), words[2]]
    return found
