"""Whom a program talks to, and what it said: literals for rules that put a scripted peer there.

What a peer answers only a person knows. What the program says to it may have been told already, by a silent
peer of the run before (`rules.log`): each message then has its own place for an answer.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from triage_tui.diagnosis.calls import operation
from triage_tui.errors import TriageError
from triage_tui.proposals.lua import guest_bytes
from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.rulebook.placeholders import placeholder
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import RULES_LOG
from triage_tui.text import safe_line

_TOLD = re.compile(r"""(?P<peer>.{1,200}) got \d+ bytes (?P<text>'.*'|".*")(?P<cut>\.\.\.)?: no reply fits""")
"""As a scripted peer tells it, see `guest.calls.conversation`."""
_CONNECTED = re.compile(r"connected to (\S{1,200}), result 0\Z")
"""As the plugin unixpeer says it."""
_MAX_LOG = 1 << 20
_MAX_MESSAGES = 8
_INET = re.compile(r"inet:(\d{1,3}(?:\.\d{1,3}){3}:\d{1,5})")
_LONGEST_NAME = 107
_TALKS = ("connect", "send")


def peer_literals(
    run: Run, given: Mapping[str, str], seen: Sequence[Syscall]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return literals (`peer_at`, `peer_replies`, `peer_greeting`) and words (`peer_name`) about a peer.

    `given` are its parameters, `seen` the calls up to its own. Both are empty where no peer is known.
    """
    peer = given.get("peer", "")
    if not peer and given.get("operation") in _TALKS and given.get("path"):
        peer = f"unix:{given['path']}"
    connected, said = _told(run)
    if not peer:
        called = (call for call in reversed(seen) if operation(call) in _TALKS and (call.peer or call.path))
        last = next(called, None)
        peer = (last.peer or f"unix:{last.path}") if last is not None else ""
    where = _setting(peer)
    if where is None:
        return {}, {}
    setting, name = where
    code = {
        "peer_at": f"{setting} = {lua_string(guest_bytes(name))}",
        "peer_replies": "\n".join(_steps(name, said.get(name, []))),
    }
    if name in connected:
        code["peer_connected"] = "true"
    if name in connected and name not in said:
        # It waits, and has said nothing: the other side speaks first.
        wanted = placeholder(f"what {name} says first on the device, before it is asked anything")
        code["peer_greeting"] = lua_string(wanted.encode())
    return code, {"peer_name": safe_line(name, 160)}


def _setting(peer: str) -> tuple[str, str] | None:
    """Return the setting of the plugin for a peer's address, and its value."""
    if found := _INET.fullmatch(peer):
        return "address", found[1]
    kind, _, name = peer.partition(":")
    if kind != "unix" or not 0 < len(name) <= _LONGEST_NAME or ".." in name.split("/"):
        return None
    if name.startswith("@") and len(name) > 1:
        return "abstract", name[1:]
    return ("path", name) if name.startswith("/") and not name.endswith("/") else None


def _told(run: Run) -> tuple[set[str], dict[str, list[tuple[bytes, bool]]]]:
    """Return the peers that were connected to, and what each was told and did not answer.

    That is (what, whether it is only the beginning of it), by peer.
    """
    try:
        log = read_bounded(inside(run.dir, f"logs/{RULES_LOG}"), _MAX_LOG).decode("utf-8", "replace")
    except (TriageError, OSError):
        return set(), {}
    connected: set[str] = set()
    found: dict[str, list[tuple[bytes, bool]]] = {}
    for line in log.splitlines():
        if "connected to " in line and (joined := _CONNECTED.search(line)):
            connected.add(joined[1])
        # A line that is none of these may be a million characters long.
        told = _TOLD.search(line) if ": no reply fits" in line else None
        if told is None:
            continue
        try:
            message = ast.literal_eval(f"b{told['text']}")
        except (ValueError, SyntaxError):
            continue
        peer = told["peer"].rpartition(" ")[2]
        one = (message, told["cut"] is not None)
        if one not in found.setdefault(peer, []):
            found[peer].append(one)
    return connected, found


def _steps(name: str, messages: Sequence[tuple[bytes, bool]]) -> list[str]:
    """Return the lines of a script whose answers a person must fill in."""
    if not messages:
        wanted = placeholder(f"what {name} answers on the device; a silent peer shows what it is asked")
        return [f"    {{ reply = {lua_string(wanted.encode())} }},"]
    lines = []
    for message, is_cut in messages[:_MAX_MESSAGES]:
        wanted = placeholder(f"what {name} answers to this on the device")
        fit = "starts" if is_cut else "equals"
        lines.append(f"    {{ {fit} = {lua_string(message)}, reply = {lua_string(wanted.encode())} }},")
    return lines
