"""Calls that the engine itself refused: its answer says nothing about the device.

The supervisor notes at such a call what it keeps from the guest; `triage-tui run --allow NAME` lifts many of
these refusals, by the name of the host's call or of the request.
"""

from __future__ import annotations

import re

from triage_tui.runs.model import Syscall

_NOTE = re.compile(r"refused by (?:containment|the cell): (.+)", re.DOTALL)
_REQUEST = re.compile(r"\((SIOC\w+|TIOC\w+)\)\Z")
"""The name of a refused ioctl request at the end of the note."""
_FOR_EVER = frozenset(("kill", "tkill", "tgkill", "prctl", "prlimit64", "execve", "execveat", "ioctl"))
"""Host calls of which only those that reach the engine's own processes are refused: nothing lifts that."""
_OWN_DESCRIPTOR = "a descriptor of the emulator"


def refusal_of(call: Syscall) -> tuple[str, str]:
    """Return what the engine keeps from the guest in refusing `call`, and the name that `--allow` takes.

    Both are "" for a call that it did not refuse; the second alone where no option lets the call through.
    """
    found = _NOTE.match(call.note or "")
    if found is None:
        return "", ""
    what = found[1].strip()
    request = _REQUEST.search(what)
    if request is not None:
        return what, request[1]
    lifted = (call.note or "").startswith("refused by containment") and what != _OWN_DESCRIPTOR
    name = call.host or ""
    return what, name if lifted and name not in _FOR_EVER else ""
