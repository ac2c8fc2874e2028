"""The user's keys: `keys.yaml` maps action names to keys; what it says is checked and told in words."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from textual.keys import _character_to_key

from triage_tui.errors import TriageError
from triage_tui.text import safe_line
from triage_tui.ui.actions import ACTIONS, BY_ID
from triage_tui.ui.actions.model import Action, key_text
from triage_tui.ui.yaml_files import read_yaml

_EVERYWHERE = ("app", "main", "list")
"""Scopes of keys that work in every pane."""
_NAMED = {
    *("backspace", "tab", "enter", "escape", "space", "up", "down", "left", "right", "home", "end"),
    *("insert", "delete", "pageup", "pagedown", "colon", "comma", "slash", "question_mark"),
    *(f"f{number}" for number in range(1, 25)),
}
_MODIFIERS = ("ctrl+", "shift+", "alt+", "super+")


class KeyMap(msgspec.Struct):
    """What the user changed."""

    keys: dict[str, str] = msgspec.field(default_factory=dict)
    """Action to Textual's names of its keys, comma separated; "" takes the keys from the action."""

    @property
    def for_textual(self) -> dict[str, str]:
        """Return the map for `App.set_keymap`, in which an action has always a key: one that never comes."""
        return {name: keys or f"none_{name}" for name, keys in self.keys.items()}

    @property
    def shown(self) -> dict[str, str]:
        """Return the first key of each changed action as people write it; "" when it has none."""
        return {name: key_text(keys.split(",")[0]) for name, keys in self.keys.items()}


def load_keymap(directory: Path) -> tuple[KeyMap, list[str]]:
    """Return the key map in a configuration directory, and one sentence for each thing that is wrong.

    Raises:
        TriageError: the file cannot be used at all.
    """
    path = directory / "keys.yaml"
    if not os.path.lexists(path):
        return KeyMap(), []
    name = safe_line(str(path), 200)
    data = read_yaml(path)
    if data is None:
        return KeyMap(), []
    if not isinstance(data, dict):
        raise TriageError(f"{name} must map action names to keys")
    problems: list[str] = []
    unknown = [safe_line(str(action), 40) for action in data if action not in BY_ID]
    if unknown:
        problems.append(f"{name} names unknown actions: {', '.join(unknown[:8])}")
    keys: dict[str, str] = {}
    for action, value in data.items():
        if action in BY_ID:
            try:
                keys[action] = ",".join(_key(one) for one in _values(value))
            except ValueError as error:
                problems.append(f"{name}: {action} keeps its keys, because {error}")
    return KeyMap(_without_conflicts(keys, problems)), problems


def _values(value: Any) -> Iterable[str]:
    """Return the keys that a value names.

    Raises:
        ValueError: it is neither text nor a list of texts; the text says so.
    """
    if value is None or value is False or value == "":
        return []
    if isinstance(value, list):
        return [_text(one) for one in value]
    text = _text(value)
    return [text] if text == "," else text.split(",")


def _text(value: Any) -> str:
    # A digit is a key too, and `y` and `n` are read as what they stand for in YAML.
    if not isinstance(value, str | int | float):
        raise ValueError("it names neither a key nor a list of keys")
    return str(value)


def _key(text: str) -> str:
    """Return Textual's name of a key.

    Raises:
        ValueError: there is no such key; the text says so.
    """
    key = text.strip() or text
    base = key
    while base.startswith(_MODIFIERS) and len(base) > base.index("+") + 1:
        base = base.partition("+")[2]
    modifiers = key[: len(key) - len(base)]
    if len(base) == 1 and base.isprintable():
        return modifiers + _character_to_key(base)
    if base in _NAMED or any(base in action.keys.split(",") for action in ACTIONS):
        return key
    raise ValueError(f"{safe_line(key, 30)!r} is no key")


def _keys_of(action: Action, keys: dict[str, str]) -> list[str]:
    return [key for key in keys.get(action.id, action.keys).split(",") if key]


def _meet(one: Action, other: Action) -> bool:
    """Tell whether both could be meant by the same key."""
    return one.scope == other.scope or one.scope in _EVERYWHERE or other.scope in _EVERYWHERE


def _without_conflicts(keys: dict[str, str], problems: list[str]) -> dict[str, str]:
    """Give a key that two actions have to the one that the user named (first), and say so."""
    found = dict(keys)
    for number, name in enumerate(keys):
        for other in ACTIONS:
            earlier = other.id in list(keys)[:number]
            if other.id == name or earlier or not _meet(BY_ID[name], other):
                continue
            shared = set(_keys_of(BY_ID[name], found)) & set(_keys_of(other, found))
            for key in sorted(shared):
                found[other.id] = ",".join(one for one in _keys_of(other, found) if one != key)
                left = found[other.id]
                rest = f"has {key_text(left.split(',')[0])}" if left else "has no key now"
                problems.append(
                    f"keys.yaml: {key_text(key)} is {name} now; {other.id}, which had it too, {rest}"
                )
    return found
