"""Whom the shared rules reach although somebody took the rule of a rollout back there."""

from __future__ import annotations

from pathlib import Path

from triage_tui.rulebook.layers import LayeredRule, acting, layered
from triage_tui.rulebook.places import OWN, own_directories, target_directory
from triage_tui.rulebook.rollouts.record import Rollout, has_rule, taken_back
from triage_tui.text import safe_line


def reached_again(rulebook: Path, rollout: Rollout) -> list[str]:
    """Return the targets that took the rule back, and on which it acts as soon as it is shared.

    A target on which another rule hides it, a person's own file above all, is none of them.

    Raises:
        TriageError: the rules of a target cannot be read.
    """
    away = {*rollout.left, *taken_back(rulebook, rollout)}
    found = []
    for target in rollout.candidates:
        directory = target_directory(rulebook, target)
        if (
            directory.name in away
            and not has_rule(directory, rollout)
            and not _hidden(rulebook, target, rollout)
        ):
            found.append(target)
    return found


def switched_off_by(rulebook: Path, target: str, rollout: Rollout) -> str:
    """Return the path of the own file, below the workspace, that would keep the rule from a target."""
    return safe_line(f"{rulebook.name}/{OWN}/{own_directories(rulebook, target)[0].name}/{rollout.file}", 200)


def _hidden(rulebook: Path, target: str, rollout: Rollout) -> bool:
    shared = LayeredRule("shared", rollout.file, b"", rollout.rule, Path())
    return any(
        rule.layer != "shared" and rule.keys & shared.keys and rule.sha256 != rollout.sha256
        for rule in acting(layered(rulebook, target))
    )
