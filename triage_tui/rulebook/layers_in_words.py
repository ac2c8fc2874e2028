"""Layers in words, for people; names of files are raw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.layers import LayeredRule, acting


def started_in_words(rules: Sequence[LayeredRule]) -> list[str]:
    """Return what a guest is started with, one line each: rules that act, what is hidden, what is broken."""
    parts = []
    for layer in ("own", "target", "shared"):
        of_layer = [rule for rule in acting(rules) if rule.layer == layer]
        if of_layer:
            names = ", ".join(rule.known_as for rule in of_layer)
            number = of_layer[0].generation
            parts.append(
                {
                    "own": f"your own files: {names}",
                    "target": f"generation {number} of rules: {names}",
                    "shared": f"generation {number} of the shared rules: {names}",
                }[layer]
            )
    lines = [f"started with {'; '.join(parts)}" if parts else "started without rules"]
    lines += [f"{rule.place} is hidden by {rule.hidden_by}" for rule in rules if rule.hidden_by]
    lines += [f"{rule.place} does not act: {rule.problem}" for rule in rules if rule.problem]
    return lines


def layer_words(rule: LayeredRule) -> str:
    """Return whose rule it is: "your own", "generation 3", "shared, generation 1"."""
    match rule.layer:
        case "own":
            return "your own, for all" if rule.for_all else "your own"
        case "target":
            return f"generation {rule.generation}"
        case "shared":
            return f"shared, generation {rule.generation}"


def in_order(rules: Sequence[LayeredRule]) -> Iterator[tuple[str, LayeredRule, str]]:
    """Yield each rule with its place in the order in which they are asked, and why it does not act.

    The place is "" for a rule that does not act, and so is the reason for one that does; it is "start" for
    a setting of the program's start.
    """
    number = 0
    for rule in rules:
        if rule.hidden_by:
            yield "", rule, f"hidden by {rule.hidden_by}"
        elif rule.problem:
            yield "", rule, f"does not act: {rule.problem}"
        elif kind_of(rule.name) == "start":
            yield "start", rule, ""
        else:
            number += 1
            yield str(number), rule, ""
