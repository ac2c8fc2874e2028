"""Start the rule directory of SFEmu that a start names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from triage_tui.errors import TriageError
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.guest.spec import LaunchSpec, resolve_target
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.sfemu import rules_dir, target
from triage_tui.text import safe_line

if TYPE_CHECKING:
    from triage_tui.sfemu.running.directory import DirectoryHost

_AFTER_IDLE_S = 2.0


def patient(start: Start) -> TriggerLimits:
    """Return the triggers of a start: an idle guest is left to the rule directory's own `idle` first."""
    rules, triggers = start.sfemu, start.triggers
    if rules is None or not rules.idle_ms:
        return triggers
    return structs.replace(triggers, idle_s=max(triggers.idle_s, 1.3 * rules.idle_ms / 1000 + _AFTER_IDLE_S))


def published_start(start: Start, workspace: Workspace) -> tuple[Start, str]:
    """Return a start whose runs belong to its rule directory, and what is to be told of that, "" for nothing.

    What is approved on them is published there then. That is so in our workspace of the directory only.
    """
    rules = start.sfemu
    found = rules_dir.find(Path(rules.directory)) if rules is not None else None
    if rules is None or found is None:
        return start, ""
    if found.home != workspace.root:
        shown = safe_line(str(found.root), 200)
        return start, f"rules that are approved in this workspace do not act: {shown} has one of its own"
    named = structs.replace(rules, target_id=target.target_id(found))
    return structs.replace(start, sfemu=named), ""


def sfemu_host(
    start: Start,
    spec: LaunchSpec,
    access: RuleAccess,
    asks_person: bool,
    narrate: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> DirectoryHost | None:
    """Return what runs the rule directory of a start, None for a start without one.

    A hook of it that does not come back is waited for until `cancelled`, at most.

    Raises:
        TriageError: it cannot be run.
    """
    wanted = start.sfemu
    if wanted is None:
        return None
    # Only here: few starts name one.
    from triage_tui.sfemu.running.book import address_book
    from triage_tui.sfemu.running.directory import DirectoryHost
    from triage_tui.sfemu.running.opened import Opened

    found = rules_dir.find(Path(wanted.directory))
    if found is None:
        shown = safe_line(wanted.directory, 200)
        raise TriageError(f"{shown} is no rule directory of SFEmu: it has no entry.lua")
    program, _ = resolve_target(spec)
    opened = Opened.of(
        found,
        by_name(program.arch),
        spec,
        idle_ms=wanted.idle_ms,
        keep=wanted.keep,
        has_stack=wanted.shadow_stack,
    )
    opened.cancelled = cancelled
    if start.sfanalysis is not None:
        try:
            opened.book = address_book(Path(start.sfanalysis))
        except TriageError as error:
            narrate(f"the rule directory has no pseudocode: {error}")
    narrate(f"rule directory of SFEmu {found.root} (sha256 {opened.sha256[:16]}): every call is held for it")
    return DirectoryHost(opened, access, asks_person=asks_person)
