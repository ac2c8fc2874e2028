"""Services of inetd(8) and xinetd(8): programs that are started for each connection.

inetd.conf(5): service, socket type, protocol, wait or nowait, user, program, argv. xinetd.conf(5): blocks of
`service NAME { key = value }`, a file each below /etc/xinetd.d.
"""

from __future__ import annotations

import posixpath
import re
import shlex

from triage_tui.campaign.discovery.found import Finds, Start

CONFIGURATIONS = ("/etc/inetd.conf", "/etc/inet/inetd.conf")
XINETD = "/etc/xinetd.conf"
XINETD_DIRECTORY = "/etc/xinetd.d"
MAX_SERVICES = 500
_TYPES = frozenset(("stream", "dgram", "raw", "seqpacket", "rdm"))
_WRAPPERS = frozenset(("tcpd", "in.tcpd"))
_INETDS = frozenset(("inetd", "xinetd", "rlinetd", "in.inetd", "openbsd-inetd"))
_INTERNAL = "inetd answers it itself"


def find(finds: Finds, environment: dict[str, str]) -> None:
    """Add the services of both."""
    for path in CONFIGURATIONS:
        for number, line in enumerate(finds.view.lines(path)[:MAX_SERVICES], 1):
            _line(finds, environment, line, f"{path} line {number}")
    main = finds.view.lines(XINETD)
    directories = [
        words[1] for line in main if (words := line.split())[:1] == ["includedir"] and len(words) > 1
    ]
    files = [XINETD]
    for place in dict.fromkeys((*directories, XINETD_DIRECTORY)):
        files += [posixpath.join(place, name) for name in finds.view.names(place)]
    defaults = next((values for _, name, values in _blocks(main) if not name), {})
    for path in files[:MAX_SERVICES]:
        for number, name, values in _blocks(finds.view.lines(path)):
            if name:
                _block(
                    finds,
                    environment,
                    name,
                    {**values, "": _listed(defaults, name, values)},
                    f"{path} line {number}",
                )


def _listed(defaults: dict[str, str], name: str, values: dict[str, str]) -> str:
    """Return how `disabled` or `enabled` of xinetd's defaults switch a service off, "" where they do not."""
    names = {name, values.get("id", name)}
    if names & set(defaults.get("disabled", "").split()):
        return "it is disabled (disabled = ... in the defaults)"
    if "enabled" in defaults and not names & set(defaults["enabled"].split()):
        return "it is not among those that are enabled in the defaults"
    return ""


def need(kind: str, waits: bool) -> str:
    """Return what such a program needs, as a sentence without its end."""
    if kind == "stream":
        socket = "a listening socket" if waits else "a connected socket"
    else:
        socket = f"a bound {kind} socket" if kind != "dgram" else "a bound datagram socket"
    return f"it needs {socket} as its standard input and output, as inetd gives it"


def _line(finds: Finds, environment: dict[str, str], line: str, origin: str) -> None:
    words = line.split()
    if len(words) < 6 or words[0].startswith("#") or words[1] not in _TYPES:
        return
    name, kind, _, wait, user, program, *argv = words
    if program == "internal":
        finds.leave_out(f"{name} (inetd)", _INTERNAL, origin)
        return
    if posixpath.basename(program) in _WRAPPERS and argv:
        # tcpd(8) looks at the address, then executes what its own first argument names.
        program = argv[0] if argv[0].startswith("/") else posixpath.join(posixpath.dirname(program), argv[0])
    _add(
        finds,
        environment,
        name,
        program,
        argv or [posixpath.basename(program)],
        user,
        origin,
        need(kind, wait.startswith("wait")),
    )


def _is_started(finds: Finds) -> bool:
    return any(posixpath.basename(word) in _INETDS for target in finds.targets for word in target.argv[:2])


def _add(
    finds: Finds,
    environment: dict[str, str],
    name: str,
    program: str,
    argv: list[str],
    user: str,
    origin: str,
    note: str,
) -> None:
    if not program.startswith("/"):
        finds.leave_out(" ".join(argv), f"its program {program} is no absolute path", origin)
        return
    finds.add(
        Start(
            program=posixpath.normpath(program),
            argv=argv,
            env=environment,
            user=user,
            stdin="open",
            origin=origin,
            name=re.sub(r"^.*/", "", name) or "",
            notes=(note,) if _is_started(finds) else (note, "nothing that was found starts inetd or xinetd"),
        )
    )


def _blocks(lines: list[str]) -> list[tuple[int, str, dict[str, str]]]:
    """Return (line, name, values) of the services of a file of xinetd."""
    found: list[tuple[int, str, dict[str, str]]] = []
    inside: dict[str, str] | None = None
    waiting: tuple[int, str] | None = None
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        head = re.match(r"service\s+(\S+)\s*(\{)?$|(defaults)\s*(\{)?$", text)
        if inside is None and head is not None:
            waiting = (number, head[1] or "")
        if inside is None and waiting is not None and text.endswith("{"):
            inside = {}
        elif inside is not None and text.startswith("}"):
            if waiting is not None and len(found) < MAX_SERVICES:
                found.append((*waiting, inside))
            inside = waiting = None
        elif inside is not None:
            key, operator, value = (
                re.split(r"\s*([+-]?=)\s*", f"{text} ", maxsplit=1) if "=" in text else (text, "", "")
            )
            value = value.strip()
            inside[key] = f"{inside[key]} {value}" if operator == "+=" and key in inside else value
    return found


def _block(finds: Finds, environment: dict[str, str], name: str, values: dict[str, str], origin: str) -> None:
    shown = f"{name} (xinetd)"
    if values.get("disable", "").lower() == "yes":
        finds.leave_out(shown, "it is disabled (disable = yes)", origin)
        return
    if values[""]:
        finds.leave_out(shown, values[""], origin)
        return
    if "INTERNAL" in values.get("type", "").split():
        finds.leave_out(shown, _INTERNAL, origin)
        return
    program = values.get("server", "")
    if not program:
        finds.leave_out(shown, "it names no server", origin)
        return
    try:
        arguments = shlex.split(values.get("server_args", ""))
    except ValueError:
        arguments = values.get("server_args", "").split()
    named = "NAMEINARGS" in values.get("flags", "").split()
    argv = arguments if named and arguments else [posixpath.basename(program), *arguments]
    given = dict(pair.split("=", 1) for pair in values.get("env", "").split() if "=" in pair)
    note = need(values.get("socket_type", "stream"), values.get("wait", "no").lower() == "yes")
    _add(finds, {**environment, **given}, name, program, argv, values.get("user", ""), origin, note)
