"""A rule directory of SFEmu: how it is recognised, what lies where, and where our own records go.

Layout (SFEmu's public documentation, all versions): `entry.lua`, `finish.lua`, `base/`, `config/env`,
`syscall/`, override directories, `plugins/`; what was recorded is in `data/` (versions 1 to 3) or `cache/`
(from 4 on).
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded, refuse_link, write_atomic
from triage_tui.runs.foreign import HOME as HOME
from triage_tui.runs.foreign import RECORD_DIRECTORIES as RECORD_DIRECTORIES
from triage_tui.runs.foreign import RULES_FILE, home_away, rules_root
from triage_tui.runs.foreign import RUNS as RUNS
from triage_tui.sfemu.asked import BY_ARM_NUMBER, names_in
from triage_tui.text import safe_line

OVERRIDE_SETTING = "SFEMU_RULES_OVERRIDE_DIR"
OVERRIDES = "syscall_override_user:syscall_override"
"""Its default."""
BASELINE = "syscall"
MAX_CONFIG_BYTES = 1 << 20

TRUST = (
    "its Lua runs in the guest's cell, reads and changes all of the guest, and writes files in its own"
    " cache/ and data/ on this machine with your rights"
)
"""What trusting a rule directory means."""


@dataclass(frozen=True)
class RulesDirectory:
    """One rule directory of SFEmu. Nothing in it is believed: all of it may have been written by a guest."""

    root: Path
    settings: Mapping[str, str] = field(repr=False)
    """What `config/env` sets, as text; keys of a model may be among it."""

    @property
    def records(self) -> list[Path]:
        """The directories of recorded things that are there, newest version first."""
        return [path for name in RECORD_DIRECTORIES if _is_directory(path := self.root / name)]

    @property
    def runs_dirs(self) -> list[Path]:
        """The directories of runs that are there, newest version first."""
        return [path for records in self.records if _is_directory(path := records / "ai_runs")]

    @property
    def stable_dirs(self) -> list[Path]:
        """The directories of rule sets that SFEmu took for stable."""
        return [path for records in self.records if _is_directory(path := records / "stable_rules")]

    @property
    def home(self) -> Path:
        """Our workspace beside its records: nothing that SFEmu reads or writes lies there."""
        homes = [path / HOME for path in self.records]
        # SFEmu may have become a newer version since ours was made.
        made = next((home for home in homes if _is_directory(home)), None)
        if made is not None:
            return made
        with contextlib.suppress(TriageError):
            if (away := home_away(self.root)).is_dir() and rules_root(away) == self.root:
                return away
        return (homes or [self.root / RECORD_DIRECTORIES[0] / HOME])[0]

    @property
    def override_dirs(self) -> list[Path]:
        """The directories that are asked before the baseline, first one first.

        Those that its settings name outside of the rule directory are left out: see `foreign_overrides`.
        """
        return [path for path in self._overrides() if path.is_relative_to(self.root)]

    @property
    def foreign_overrides(self) -> list[Path]:
        """Override directories outside of the rule directory, which may be of another machine."""
        return [path for path in self._overrides() if not path.is_relative_to(self.root)]

    @property
    def baseline_dir(self) -> Path:
        """The directory that is asked last."""
        return self.root / BASELINE

    @property
    def lookup_dirs(self) -> list[Path]:
        """All directories in which SFEmu looks for the rule of a syscall, in its order."""
        return list(dict.fromkeys([*self._overrides(), self.baseline_dir]))

    @property
    def named_by_number(self) -> Mapping[int, str] | None:
        """The calls that its entry script names by number, None where it is not known to.

        Without the script it is that of the newest version.
        """
        try:
            return names_in(read_bounded(self.root / "entry.lua", MAX_CONFIG_BYTES))
        except TriageError:
            return BY_ARM_NUMBER

    def _overrides(self) -> list[Path]:
        named = self.settings.get(OVERRIDE_SETTING) or OVERRIDES
        known = self._known_overrides()
        if known is not None and (not known or not self.settings.get(OVERRIDE_SETTING)):
            named = ":".join(known)
        names = [name.strip() for name in named.split(":")]
        return [Path(os.path.normpath(self.root / name)) for name in names if name]

    def _known_overrides(self) -> list[str] | None:
        """Return the override directories that the entry script knows; None where it does not say.

        Version 1 has none, version 2 that of its model. A script that names none and stands beside such a
        directory is not SFEmu's own, and is taken for one that knows them.
        """
        try:
            script = read_bounded(self.root / "entry.lua", MAX_CONFIG_BYTES)
        except TriageError:
            return None
        every = OVERRIDES.split(":")
        known = [name for name in every if re.search(rb"\b" + name.encode() + rb"\b", script)]
        if known or OVERRIDE_SETTING.encode() in script:
            return known or None
        old = not any(_is_directory(self.root / name) for name in (RECORD_DIRECTORIES[0], *every))
        return [] if old else None


def find(directory: Path) -> RulesDirectory | None:
    """Return the rule directory that `directory` is, or whose `cache/`, `data/` or `ai_runs/` it is.

    None for any other. A workspace of ours is none, also where SFEmu's `entry.lua` lies beside it.
    """
    if directory.name == RUNS and directory.parent.name in RECORD_DIRECTORIES:
        directory = directory.parent
    if directory.name in RECORD_DIRECTORIES and _is_rules_directory(directory.parent):
        directory = directory.parent
    elif _is_directory(directory / "rulebook") or not _is_rules_directory(directory):
        return None
    return RulesDirectory(directory, read_settings(directory / "config" / "env"))


def around(home: Path) -> RulesDirectory | None:
    """Return the rule directory whose workspace of ours is `home`, None for any other directory."""
    if home.name != HOME or home.parent.name not in RECORD_DIRECTORIES:
        return None
    found = find(rules_root(home))
    return found if found is not None and found.home == home else None


def _is_rules_directory(directory: Path) -> bool:
    """Tell it by its entry script, or by rules and records of SFEmu that lie side by side."""
    if (directory / "entry.lua").is_file():
        return True
    recorded = any((directory / name / "ai_runs").is_dir() for name in RECORD_DIRECTORIES)
    return recorded and not (directory / "ai_runs").exists()


def read_settings(path: Path) -> dict[str, str]:
    """Return what a `config/env` sets: `KEY=VALUE` lines with an optional `export`, quotes and comments.

    Later lines win. Lines of another form are passed over, as SFEmu does. A file that is not there, or
    cannot be read, sets nothing.
    """
    try:
        raw = read_bounded(path, MAX_CONFIG_BYTES)
    except TriageError:
        return {}
    settings: dict[str, str] = {}
    for line in raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", "backslashreplace").split("\n"):
        name, equals, value = line.strip().partition("=")
        if "\0" in line:
            # No name of a file and no text for the system's calls.
            continue
        name = re.sub(r"^export\s+", "", name).strip()
        if equals and name.replace("_", "a").isalnum() and name.isascii() and not name[0].isdigit():
            settings[name] = _unquoted(value.strip())
    return settings


def _unquoted(value: str) -> str:
    """Return a value without the quotes around all of it, or without the comment behind it, as SFEmu does."""
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    for mark in (" #", "\t#", " ;", "\t;"):
        value = value.partition(mark)[0]
    return value.strip()


def is_on(value: str | None, default: bool) -> bool:
    """Return what a setting says of yes and no; `default` where it says neither."""
    word = (value or "").strip().lower()
    if word in ("1", "true", "on", "yes"):
        return True
    return False if word in ("0", "false", "off", "no") else default


def made_home(rules: RulesDirectory) -> Path:
    """Make our workspace in a rule directory, else in the user's cache, and return it.

    Raises:
        TriageError: it cannot be made.
    """
    beside = (rules.records or [rules.root / RECORD_DIRECTORIES[0]])[0] / HOME
    home = rules.home if rules.home.is_relative_to(rules.root) else beside
    try:
        if os.path.realpath(home) != os.path.join(os.path.realpath(rules.root), home.relative_to(rules.root)):
            shown = safe_line(str(home), 200)
            raise TriageError(f"{shown} is reached by a link: put a directory there, ours is made in it")
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise TriageError(_not_made(rules.root, home, error)) from error
        return _made_away(rules.root)
    return home


def _made_away(root: Path) -> Path:
    home = home_away(root)
    try:
        refuse_link(home, home.parent, home.parent.parent)
        home.mkdir(parents=True, exist_ok=True)
        if rules_root(home) != root:
            write_atomic(home / RULES_FILE, os.fsencode(root))
    except OSError as error:
        raise TriageError(_not_made(root, home, error)) from error
    return home


def _not_made(root: Path, home: Path, error: OSError) -> str:
    return (
        f"{safe_line(str(root), 200)} is a rule directory of SFEmu, but our records cannot be written in"
        f" {safe_line(str(home), 200)}: {error.strerror}; make it writable, or copy it"
    )


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
