"""The name of a host that a program could not resolve, from what it said."""

from __future__ import annotations

import ipaddress
import re

from triage_tui.runs.reader import Run

_SAID = re.compile(
    r"(?i)resolv|unknown host|bad address|name or service|lookup|no address associated|host not found"
)
_NAME = re.compile(
    r"(?<![\w./-])(?=[\w.-]*[a-z])[a-z0-9_](?:[\w-]*[a-z0-9])?(?:\.[a-z0-9][\w-]*)+(?![\w/-])", re.I
)
_MAX_OUTPUT = 16 << 10
_FILES = re.compile(r"(?i)\.(conf|cfg|c|cc|cpp|h|go|py|log|so|sh|txt)\Z")


def unresolved_name(run: Run) -> str:
    """Return the host name in the program's complaint about names, "" where it names none.

    A name that is among the program's arguments comes before others.
    """
    output = run.text_file(run.snapshot.guest_output, _MAX_OUTPUT, tail=True)
    lines = [line for line in output.splitlines() if _SAID.search(line)]
    named = [name for line in lines for name in _NAME.findall(line) if _is_host(name)]
    arguments = " ".join(run.snapshot.target.argv[1:])
    return next((name for name in named if name in arguments), named[0] if named else "")


def _is_host(name: str) -> bool:
    if len(name) > 253 or _FILES.search(name):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return not name.replace(".", "").isdigit()
    return False
