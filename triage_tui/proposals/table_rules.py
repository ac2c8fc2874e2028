"""Rule files that hold a table of constants: settings of the start, and configurations of plugins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from triage_tui.proposals.template_form import PLACEHOLDER
from triage_tui.proposals.templates import Template
from triage_tui.rulebook.placeholders import unfilled
from triage_tui.rulebook.start_settings import SINGLE


class TableText(msgspec.Struct, frozen=True):
    """One rule in the making: `name` below `rules_patch/`, its id, and the text below its header."""

    name: str
    identity: str
    body: str

    @property
    def wanted(self) -> str:
        """What a person must fill in, "" for nothing."""
        return "; ".join(dict.fromkeys(wanted for _, wanted in unfilled(self.body.encode())))


def start_names(template: Template) -> set[str]:
    """Return the names that a template for the start needs or must not have."""
    if not template.start:
        return set()
    held = {match[1] for text in template.start.values() for match in PLACEHOLDER.finditer(text)}
    return held.union(template.parameters, template.unless)


def start_texts(template: Template, code: Mapping[str, str]) -> list[TableText] | None:
    """Return the rules of a template for the start; None where it needs a literal that is not known."""
    return _texts("start", template.start, code, _start_identity)


def plugin_texts(template: Template, code: Mapping[str, str]) -> list[TableText] | None:
    """Return the rules of a template that configure plugins; None as above.

    What is for a peer that was silent in this run takes that one's place: it has its id.
    """
    same_peer = template.id == "silent_peer" or "peer_connected" in code

    def identity(name: str, body: str) -> str:
        of_peer = same_peer and "@peer_at@" in template.plugin[name]
        return f"fix-{name}-{_digest(code['peer_at'] if of_peer else body)}"

    return _texts("plugin", template.plugin, code, identity)


def _texts(
    kind: str, texts: Mapping[Any, str], code: Mapping[str, str], identify: Callable[[str, str], str]
) -> list[TableText] | None:
    found = []
    for name, text in texts.items():
        if any(match[1] not in code for match in PLACEHOLDER.finditer(text)):
            return None
        body = PLACEHOLDER.sub(lambda match: code[match[1]], text).strip() + "\n"
        identity = identify(name, body)
        found.append(TableText(f"fix/{kind}/{name}@{identity}.lua", identity, body))
    return found


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _start_identity(setting: str, body: str) -> str:
    """Return the id of a rule: of what a start has only one, the next rule replaces the one before."""
    return f"start-{setting}" if setting in SINGLE else f"start-{setting}-{_digest(body)}"
