"""The rule packs that were imported into a workspace: verified, kept whole, and never active by themselves.

    rulebook/.packs/NAME/<16 digits of the SHA-256>-<4 digits>/pack        the file as it came, read-only
                                                               signature   of minisign, where it had one
    rulebook/.packs/NAME/current                                           link to the one in force

A new version takes the place of an old one by moving the link, after everything about it was verified: when
that fails, the old one stays in force.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.changing import cannot_write
from triage_tui.rulebook.check import lint
from triage_tui.rulebook.lock import locked
from triage_tui.rulebook.packs import keys as pack_keys
from triage_tui.rulebook.packs.format import MAX_PACK_BYTES, PACK_NAME, SIGNATURE_SUFFIX, Pack, read_pack
from triage_tui.runs.events import default_actor
from triage_tui.runs.files import read_bounded, refuse_link, sync_directory, write_atomic
from triage_tui.text import number_of, safe_line

PACKS_DIR = ".packs"
"""In the rulebook; no target's directory can begin with a dot."""
IMPORT_STEPS = ("written", "renamed", "noted", "linked", "pointed")
"""Names of the durable steps of an import, in order; the new pack is in force from "pointed" on."""

_VERSION = re.compile(r"[0-9a-f]{16}-[0-9a-f]{4}")

Step = Callable[[str], None]


class Kept(msgspec.Struct, frozen=True):
    """A pack in the workspace.

    `key` is the id of the key that signed it, "" for none; `problem` is what is wrong with it. `replaced` is
    the pack whose place it took just now, in a few words that are safe to show, "" for none.
    """

    name: str
    pack: Pack | None
    key: str
    key_name: str
    problem: str = ""
    replaced: str = ""

    @property
    def signed(self) -> str:
        """Who signed it, in words."""
        return f"signed by {self.key} ({self.key_name})" if self.key else "not signed"

    @property
    def origin(self) -> str:
        """What stands in the header of its rules as who proposed them."""
        assert self.pack is not None
        by = f"signed by {self.key}" if self.key else "not signed"
        return f"pack {self.name} {self.pack.sha256[:12]} {by}"


class Verified(NamedTuple):
    """A pack, the trusted key that signed it, and the very signature that was checked."""

    pack: Pack
    key: pack_keys.Key
    signature: bytes


def verified(path: Path, signature: Path | None, keys: list[pack_keys.Key] | None = None) -> Verified:
    """Read a pack and check its signature, by default the file beside it.

    Raises:
        TriageError: it is no pack, is not signed, or not by a trusted key.
    """
    shown = safe_line(str(path), 300)
    beside = signature or Path(f"{path}{SIGNATURE_SUFFIX}")
    raw = read_bounded(path, MAX_PACK_BYTES, whole=True)
    if not beside.exists():
        raise TriageError(
            f"{shown} has no signature beside it ({safe_line(beside.name, 120)}): get it from its maker, or"
            " import the pack with --unsigned after reading it"
        )
    signed = read_bounded(beside, pack_keys.MAX_SIGNATURE_BYTES, whole=True)
    key = pack_keys.signer(raw, signed, shown, keys)
    return Verified(read_pack(raw, shown), key, signed)


def read_file(path: Path) -> Pack:
    """Read a pack without looking for a signature.

    Raises:
        TriageError: it is no pack.
    """
    return read_pack(read_bounded(path, MAX_PACK_BYTES, whole=True), safe_line(str(path), 300))


class LookedAt(NamedTuple):
    """A pack as it is before it is imported; `key` signed it, None where there is no signature."""

    pack: Pack
    key: pack_keys.Key | None

    @property
    def says(self) -> str:
        """What it is, in a few words that are safe to show."""
        found = self.pack.manifest
        by = f"signed by {self.key.name} ({self.key.id})" if self.key is not None else "NOT signed"
        rules = number_of(found.count, "rule")
        return safe_line(f"pack {found.name}, {rules}, {by}, sha256 {self.pack.sha256[:12]}", 200)


def looked_at(path: Path) -> LookedAt:
    """Return what a pack is, its signature checked where it has one; nothing is kept.

    Raises:
        TriageError: it is no pack, a rule of it cannot run, or its signature is not that of a trusted key.
    """
    if os.path.lexists(f"{path}{SIGNATURE_SUFFIX}"):
        pack, key, _ = verified(path, None)
        found = LookedAt(pack, key)
    else:
        found = LookedAt(read_file(path), None)
    _check_rules(found.pack, safe_line(str(path), 300))
    return found


def import_pack(
    rulebook: Path,
    path: Path,
    *,
    signature: Path | None = None,
    unsigned: bool = False,
    sha256: str = "",
    actor: str = "",
    step: Step = lambda name: None,
) -> Kept:
    """Verify a pack and put it in force; nothing of it becomes active.

    `unsigned` takes a pack without looking for a signature; `sha256` is that of the pack that the person saw,
    "" for none. `step` is called with each name of
    `IMPORT_STEPS` after that step is durable.

    Raises:
        Conflict: this very pack is in force.
        TriageError: it is not what it should be; the pack of before, if there is one, stays in force.
    """
    pack, key, signed = (read_file(path), None, None) if unsigned else verified(path, signature)
    shown = safe_line(str(path), 300)
    if sha256 not in ("", pack.sha256):
        raise Conflict(f"{shown} is another pack now than the one that was shown, so nothing was imported")
    _check_rules(pack, shown)
    name = pack.manifest.name
    place = rulebook / PACKS_DIR / name
    refuse_link(rulebook / PACKS_DIR, place)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(place, error) from error
    with locked(place):
        _remove_leftovers(place)
        replaced = ""
        if _current(place) is not None:
            before = kept(rulebook, name)
            replaced = _in_words(before)
            if (
                before.pack is not None
                and before.pack.raw == pack.raw
                and before.key == (key.id if key else "")
            ):
                raise Conflict(f"this pack {name} is in force already ({pack.sha256[:12]})")
        # Never the name of one that is there: that one may be damaged, and in force until this one is.
        goal = place / f"{pack.sha256[:16]}-{secrets.token_hex(2)}"
        new = place / f".new-{goal.name}"
        try:
            new.mkdir()
            write_atomic(new / "pack", pack.raw, mode=0o444)
            if signed is not None:
                write_atomic(new / "signature", signed, mode=0o444)
            sync_directory(new)
            step("written")
            os.rename(new, goal)
            sync_directory(place)
            step("renamed")
            entry = audit_log.Entry(
                kind="imported",
                actor=actor or default_actor(),
                says=f"pack {name}, {pack.manifest.count} rules, "
                + (f"signed by {key.id} ({key.name})" if key else "not signed")
                + (f", in place of {replaced}" if replaced else ""),
                rules={rule.file: rule.sha256 for rule in pack.manifest.rules},
                digest=pack.sha256,
            )
            audit_log.append(rulebook, entry)
            step("noted")
        except (OSError, TriageError) as error:
            for made in (new, goal):
                shutil.rmtree(made, ignore_errors=True)
            if isinstance(error, OSError):
                raise cannot_write(place, error) from error
            raise
        link = place / ".current.new"
        os.symlink(goal.name, link)
        step("linked")
        os.replace(link, place / "current")
        sync_directory(place)
        step("pointed")
        _remove_leftovers(place)
    return Kept(name, pack, key.id if key else "", key.name if key else "", replaced=replaced)


def _in_words(old: Kept) -> str:
    if old.pack is None:
        return safe_line(f"one that could not be used ({old.problem})", 200)
    return safe_line(f"{old.pack.sha256[:12]}, {old.problem or old.signed}", 200)


def kept(rulebook: Path, name: str) -> Kept:
    """Return the pack of a name that is in force, checked anew.

    Raises:
        TriageError: there is none.
    """
    place = rulebook / PACKS_DIR / name
    if not PACK_NAME.fullmatch(name) or not place.is_dir() or (current := _current(place)) is None:
        raise TriageError(f"there is no pack {safe_line(name, 60)!r}: `triage-tui pack list` names them")
    shown = f"pack {name}"
    try:
        raw = read_bounded(place / current / "pack", MAX_PACK_BYTES, whole=True)
        pack = read_pack(raw, shown)
        if pack.sha256[:16] != current[:16] or pack.manifest.name != name:
            raise TriageError(f"{shown} is another than the one that was imported")
    except TriageError as error:
        return Kept(name, None, "", "", str(error))
    signature = place / current / "signature"
    if not os.path.lexists(signature):
        return Kept(name, pack, "", "")
    try:
        signed = read_bounded(signature, pack_keys.MAX_SIGNATURE_BYTES, whole=True)
        key = pack_keys.signer(raw, signed, shown)
    except TriageError as error:
        return Kept(name, pack, "", "", str(error))
    return Kept(name, pack, key.id, key.name)


def all_kept(rulebook: Path) -> list[Kept]:
    """Return the packs that are in force, by name."""
    try:
        names = sorted(os.listdir(rulebook / PACKS_DIR))
    except OSError:
        return []
    found = []
    for name in names:
        with contextlib.suppress(TriageError):
            found.append(kept(rulebook, name))
    return found


def _current(place: Path) -> str | None:
    try:
        name = os.readlink(place / "current")
    except OSError:
        return None
    return name if _VERSION.fullmatch(name) else None


def _check_rules(pack: Pack, shown: str) -> None:
    """Refuse a pack with a rule that cannot run."""
    for name, findings in lint.lint_all(dict(pack.rules)).items():
        for finding in findings:
            if finding.severity == "error":
                raise TriageError(
                    f"{name} in {shown} cannot run (line {finding.line}: {safe_line(finding.message, 200)}),"
                    " so nothing was imported"
                )


def _remove_leftovers(place: Path) -> None:
    """Remove what a killed import left, and packs that are not in force any more."""
    current = _current(place)
    for entry in list(place.iterdir()):
        if entry.name in ("current", ".lock", current):
            continue
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
        elif current is not None or entry.name.startswith("."):
            shutil.rmtree(entry)
