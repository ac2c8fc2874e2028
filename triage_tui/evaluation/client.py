"""A client of a case: say something to a port or a UNIX socket, and tell whether the answer is right.

`python -m triage_tui.evaluation.client JSON` is what a benchmark gives to `triage-tui run --probe cmd:...`,
which runs it in the guest's network. JSON is the `probe` of a case's `fix`: port or path, proto (tcp, udp),
send or hex, expect (a regular expression), wait (seconds).
"""

from __future__ import annotations

import json
import re
import shlex
import socket
import sys
from collections.abc import Mapping
from typing import Any

_MAX_REPLY = 1 << 16
_WAIT_S = 3.0


def command(probe: Mapping[str, Any], root: str) -> str:
    """Return the shell command that asks as `probe` says; paths of sockets lie in the file tree at `root`."""
    asked = dict(probe)
    if "path" in asked:
        asked["path"] = f"{root}{asked['path']}"
    return shlex.join([sys.executable, "-m", __name__, json.dumps(asked)])


def ask(probe: Mapping[str, Any]) -> bool:
    """Say what the probe says and return whether what comes back is what it expects.

    Raises:
        OSError: nobody is there, and nothing came back.
    """
    kind = socket.SOCK_DGRAM if probe.get("proto") == "udp" else socket.SOCK_STREAM
    family = socket.AF_UNIX if "path" in probe else socket.AF_INET
    address: Any = probe.get("path") or ("127.0.0.1", int(probe["port"]))
    expect = re.compile(str(probe.get("expect", "")).encode())
    reply = b""
    with socket.socket(family, kind) as connection:
        connection.settimeout(float(probe.get("wait", _WAIT_S)))
        connection.connect(address)
        if "hex" in probe:
            connection.sendall(bytes.fromhex(str(probe["hex"])))
        elif probe.get("send"):
            connection.sendall(str(probe["send"]).encode())
        try:
            while len(reply) < _MAX_REPLY and (data := connection.recv(_MAX_REPLY)):
                reply += data
                if expect.pattern and expect.search(reply):
                    break
        except OSError:
            if not reply and expect.pattern:
                raise
    sys.stdout.buffer.write(reply[:300])
    return bool(expect.search(reply))


def main() -> int:
    """Ask as the first argument says; 0 when the answer is right."""
    try:
        return 0 if ask(json.loads(sys.argv[1])) else 1
    except (OSError, ValueError, KeyError, IndexError, re.error) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
