"""Which directories of the rulebook are whose.

rulebook/<target id>/               generations of one target, see `generations`
rulebook/shared/                    generations that act for every target
rulebook/own/<kind>/*.lua           a person's own files, for every target; never written by triage-tui
rulebook/own/<target id>/<kind>/    the same for one target
"""

from __future__ import annotations

from pathlib import Path

from triage_tui.text import safe_name

SHARED, OWN = "shared", "own"
STABLE_DIR = ".stable"
"""Of the stable sets that are watched for; no target's directory can begin with a dot."""


def target_directory(rulebook: Path, target_id: str) -> Path:
    """Return the directory of a target's generations: none of the others, whatever a record calls itself."""
    name = safe_name(target_id)
    return rulebook / (f"_{name}" if name in (SHARED, OWN) else name)


def shared_directory(rulebook: Path) -> Path:
    """Return the directory of the generations that act for every target."""
    return rulebook / SHARED


def own_directories(rulebook: Path, target_id: str) -> tuple[Path, ...]:
    """Return where a person's own files for a target lie, the first before the second."""
    own = rulebook / OWN
    return (own / safe_name(target_id), own) if target_id else (own,)
