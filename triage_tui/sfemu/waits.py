"""Programs that SFEmu stopped and that wait for a decision: the files by which its Lua side and ours meet.

The plugin `rules/lua/sfemu/decide.lua` writes `waiting/<run>.txt` into our workspace beside SFEmu's records,
looks for `decisions/<run>.txt`, and says in `decided/<run>.txt` how the wait ended. Each file is lines
`key=value` of printable ASCII, replaced as a whole; the last line, `end=<bytes before it>`, tells a torn one.
A wait has a number that no other one has (`nonce`), so that a decision counts for one wait only. Where two
processes recorded under one name the second one is `<run>.2.txt`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.events import RENEWED_S, process_start
from triage_tui.runs.files import read_bounded, refuse_link, write_atomic

WAITING, DECISIONS, DECIDED = "waiting", "decisions", "decided"
WAIT_FORMAT, DECISION_FORMAT, DECIDED_FORMAT = "sfemu-wait-1", "sfemu-decision-1", "sfemu-decided-1"
MAX_BYTES = 8192
MAX_FILES = 256
"""Files of each kind that are looked at, newest runs first; more were planted."""
ACTIONS = ("resume", "retry", "end")

_NAME = re.compile(r"([0-9]{8}_[0-9]{6}_[0-9]{8,12})(\.[2-9])?\.txt\Z")
_LINE = re.compile(r"([a-z_]+)=([\x20-\x7e]*)\Z")
_NONCE = re.compile(r"[0-9a-f]{8,80}\Z")


class Wait(msgspec.Struct, frozen=True):
    """One stopped program that announced itself."""

    name: str
    """Name of its file, and of the one with the decision."""
    run_id: str
    nonce: str
    pid: int
    """In the namespace of its process; 0 where it could not tell."""
    reason: str
    deadline: int
    """Unix time at which the default is done, 0 for never."""
    default: str
    can: tuple[str, ...]
    """What can be decided."""
    why_not: str
    """Why it cannot be started again; "" where it can."""
    process: tuple[int, int] | None
    """Its number here and its start time; None where it cannot be seen from here, or is gone."""
    alive: bool
    owner: int
    """Numeric id of the user that wrote the announcement."""


class Over(msgspec.Struct, frozen=True):
    """How a wait ended, as the plugin tells."""

    path: Path
    run_id: str
    nonce: str
    how: str
    """decision, deadline, interrupt (Ctrl-C), or prompt: SFEmu asks at its terminal."""
    action: str


def waits(home: Path, only: str = "") -> list[Wait]:
    """Return the announced waits of a workspace, or of one run; files of another form are passed over."""
    found = []
    elsewhere = functools.cache(_by_own_number)
    for name, run_id in _names(home / WAITING, only):
        path = home / WAITING / name
        with contextlib.suppress(TriageError, OSError, ValueError):
            fields = _read(path, WAIT_FORMAT, run_id)
            found.append(_wait(name, fields, path.stat(follow_symlinks=False), elsewhere))
    return found


def over(home: Path) -> list[Over]:
    """Return how waits ended of which that was not taken yet."""
    found = []
    for name, run_id in _names(home / DECIDED):
        path = home / DECIDED / name
        with contextlib.suppress(TriageError):
            fields = _read(path, DECIDED_FORMAT, run_id)
            action = fields.get("action", "")
            how = fields.get("how", "")[:20]
            found.append(Over(path, run_id, fields["nonce"], how, action if action in ACTIONS else ""))
    return found


def is_decided(home: Path, wait: Wait) -> bool:
    """Tell whether a decision lies there that its process has not taken yet."""
    try:
        return _read(home / DECISIONS / wait.name, DECISION_FORMAT, wait.run_id)["nonce"] == wait.nonce
    except TriageError:
        return False


def write_decision(home: Path, wait: Wait, action: str, actor: str, rules: list[str]) -> None:
    """Write the decision on a wait; `rules` are syscalls whose rules its process is to load again.

    Raises:
        TriageError: it cannot be written; the sentence says where and what to do.
    """
    fields = {
        "format": DECISION_FORMAT,
        "run_id": wait.run_id,
        "nonce": wait.nonce,
        "action": action,
        "actor": actor,
        "at": str(int(time.time())),
        "rules": ",".join(rules),
    }
    path = home / DECISIONS / wait.name
    # The plugin follows none.
    refuse_link(path.parent)
    try:
        write_atomic(path, compose(fields))
        if wait.owner != os.geteuid():
            # The plugin opens it for writing too, by which it tells a file from a FIFO.
            os.chown(path, wait.owner, -1, follow_symlinks=False)
    except PermissionError as error:
        raise TriageError(
            f"the decision cannot be left in {path.parent} for the process of user {wait.owner}:"
            f" {error.strerror}; decide as that user, or as root"
        ) from error
    except OSError as error:
        raise TriageError(f"the decision cannot be written in {path.parent}: {error.strerror}") from error


def remove(home: Path, wait: Wait) -> None:
    """Take away what is left of a wait whose process is gone, as far as that is allowed."""
    for place in (WAITING, DECISIONS):
        with contextlib.suppress(OSError):
            (home / place / wait.name).unlink(missing_ok=True)


def compose(fields: Mapping[str, str]) -> bytes:
    """Return the lines of a file; bytes that it cannot hold become question marks."""
    lines = "".join(f"{key}={re.sub(r'[^ -~]', '?', value)}\n" for key, value in fields.items())
    return f"{lines}end={len(lines)}\n".encode("ascii")


def parse(raw: bytes) -> dict[str, str]:
    """Return the fields of a file.

    Raises:
        TriageError: it is not whole, or of another form.
    """
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise TriageError("it holds bytes that no file of this kind has") from None
    lines, mark, count = text.rpartition("end=")
    if not mark or count != f"{len(lines)}\n" or not lines.endswith("\n"):
        raise TriageError("it is not whole")
    fields: dict[str, str] = {}
    for line in lines[:-1].split("\n"):
        found = _LINE.match(line)
        if found is None or found[1] in fields:
            raise TriageError("it is of another form")
        fields[found[1]] = found[2]
    return fields


def _names(directory: Path, only: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names of files of our form in a directory that is no link, with the run that they name."""
    if directory.is_symlink():
        return
    try:
        names = os.listdir(directory)
    except OSError:
        return
    found = [(name, known[1]) for name in names if (known := _NAME.match(name))]
    yield from sorted(one for one in found if only in ("", one[1]))[-MAX_FILES:]


def _read(path: Path, form: str, run_id: str) -> dict[str, str]:
    fields = parse(read_bounded(path, MAX_BYTES, whole=True))
    if fields.get("format") != form or fields.get("run_id") != run_id:
        raise TriageError("it is of another form")
    if not _NONCE.match(fields.get("nonce", "")):
        raise TriageError("it names no wait")
    return fields


_Elsewhere = Callable[[], Mapping[tuple[int, int], int]]


def _wait(name: str, fields: dict[str, str], status: os.stat_result, elsewhere: _Elsewhere) -> Wait:
    process = _process_here(fields, elsewhere)
    fresh = abs(time.time() - status.st_mtime) < RENEWED_S
    can = tuple(action for action in ACTIONS if action in fields.get("can", "").split(","))
    return Wait(
        name=name,
        run_id=fields["run_id"],
        nonce=fields["nonce"],
        pid=_number(fields, "pid"),
        reason=fields.get("reason", ""),
        deadline=_number(fields, "deadline"),
        default=fields.get("default", ""),
        can=can,
        why_not=fields.get("why_not", ""),
        process=process,
        alive=process is not None or (fresh and not _is_of_this_namespace(fields)),
        owner=status.st_uid,
    )


def _number(fields: Mapping[str, str], name: str) -> int:
    text = fields.get(name, "")
    return int(text) if text.isdigit() and len(text) < 19 else 0


def _is_of_this_namespace(fields: Mapping[str, str]) -> bool:
    """Tell whether the process numbers of an announcement are ours: of the same boot, under the same init."""
    boot = b""
    with contextlib.suppress(TriageError):
        boot = read_bounded(Path("/proc/sys/kernel/random/boot_id"), 64).strip()
    init = _number(fields, "init")
    same = boot != b"" and boot == fields.get("boot", "").encode()
    return same and init != 0 and process_start(1) == init and _number(fields, "pid") > 0


def _process_here(fields: Mapping[str, str], elsewhere: _Elsewhere) -> tuple[int, int] | None:
    """Return number and start time of the announced process as they are here, None where it is not seen.

    A process of a container has another number outside, and the same start time.
    """
    pid, start = _number(fields, "pid"), _number(fields, "start")
    if not pid or not start:
        return None
    if process_start(pid) == start:
        return pid, start
    if _is_of_this_namespace(fields):
        return None
    outside = elsewhere().get((start, pid))
    return (outside, start) if outside is not None else None


def _by_own_number() -> dict[tuple[int, int], int]:
    """Return the numbers of all processes by start time and the number that each has for itself.

    The latter is the last one of the line `NSpid` of proc_pid_status(5).
    """
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (start := process_start(int(name))) is not None:
            found[start, _innermost(int(name))] = int(name)
    return found


def _innermost(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0
