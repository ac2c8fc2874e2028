"""The plugins that are shipped, by name. Their modules are imported when they are asked for."""

from __future__ import annotations

import importlib
from functools import cache
from typing import cast

from triage_tui.resources import shipped
from triage_tui.rulebook.plugins.configuration import Configuration

PLUGINS = ("clock", "devices", "fakefile", "netif", "nvram", "unixpeer")
"""Each is a module of this package; the class of that name, capitalized, is its `Configuration`."""


def configuration_of(name: str) -> type[Configuration] | None:
    """Return what the configuration of the plugin `name` is, None when there is no such plugin."""
    if name not in PLUGINS:
        return None
    module = importlib.import_module(f"{__package__}.{name}")
    return cast("type[Configuration]", getattr(module, name.capitalize()))


@cache
def lua_of(name: str) -> bytes:
    """Return the Lua text of the plugin `name`, behind what all plugins share.

    Raises:
        OSError: it cannot be read, so the installation is incomplete.
    """
    directory = shipped("rules") / "lua"
    return b"\n".join((directory / f"{part}.lua").read_bytes() for part in ("common", name))
