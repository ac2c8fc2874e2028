"""Make of a plugin's rule file what the rule host runs: the shipped Lua behind the table of constants.

The table is written anew from what was read and checked, so that what runs is what was shown: constants only.
Every setting is there, also those that were left out.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook.lua.constants import NotConstant
from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.rulebook.plugins.reading import BadConfiguration, read_plugin
from triage_tui.rulebook.plugins.shipped import lua_of
from triage_tui.rulebook.rulefile import PLUGIN, parse
from triage_tui.rulehost.sources import RuleSource


def plugin_source(plugin: str, source: bytes, rules_dir: str = "") -> RuleSource:
    """Return what the rule host needs of a rule file that configures `plugin`.

    Raises:
        TriageError: the header is broken, or the table is not what the plugin takes; names the line.
    """
    header = parse(source).header
    try:
        found = read_plugin(plugin, source)
    except (NotConstant, BadConfiguration) as error:
        raise TriageError(f"line {error.line}: {error}") from None
    configuration = found.configuration
    table = _literal(msgspec.to_builtins(configuration))
    text = b"local config = " + table.encode("ascii") + b"\n" + lua_of(plugin)
    return RuleSource(
        header.id,
        f"{PLUGIN}{plugin}",
        text,
        header.hit_limit,
        rules_dir,
        header.budget,
        hooks=configuration.hooks(),
        after=configuration.after(),
        sha256=hashlib.sha256(source).hexdigest(),
        template=header.template,
    )


def _literal(value: Any) -> str:
    """Return a constant as Lua text of one line."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return lua_string(value.encode("latin-1"))
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, int):
        # Beyond the largest integer Lua reads a decimal number as a float.
        return str(value) if abs(value) < 1 << 63 else f"{value & ((1 << 64) - 1):#x}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{_literal(key)}] = {_literal(one)}" for key, one in value.items()) + "}"
    return "{" + ", ".join(map(_literal, value)) + "}"
