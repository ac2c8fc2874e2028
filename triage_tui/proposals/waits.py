"""What templates need to know of a wait: the condition that ends it, where the program's own text says it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.proposals.lua import guest_bytes
from triage_tui.proposals.shell_tests import awaited
from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.runs.build_id import MAPPED_HEAD, MAX_FILE, build_id
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.reader import Run

_LOOKS = frozenset(("open", "stat", "access"))
_KINDS = {
    "d": ("0x4000", "a directory"),
    "S": ("0xc000", "a socket"),
    "c": ("0x2000", "a character device"),
    "b": ("0x6000", "a block device"),
    "p": ("0x1000", "a FIFO"),
    "f": ("0x8000", "a regular file"),
}
"""Letter of test(1) -> type bits of st_mode, inode(7), the same on every architecture; in words."""


def wait_literals(run: Run, hypothesis: Hypothesis) -> tuple[dict[str, str], dict[str, str]]:
    """Return (Lua literals, words) that say what ends the wait for the path of a hypothesis.

    `may_go`: the wait may be for the path to disappear; `wants_directory`: it is for a directory; `kind_bits`
    and, in words, `kind`: for a path of that kind (the type bits of st_mode, inode(7)); `may_be_empty`: for a
    file that is not empty; `awaited_text`: for that text in it; `text_unknown`: the file is read, for what is
    not known. What surely does not apply is left out.
    """
    given = hypothesis.parameters
    path = given.get("absolute", "")
    if not path or given.get("operation") not in _LOOKS:
        return {}, {}
    wish = awaited(run, path)
    if wish is None:
        guesses = {"kind_bits": _KINDS["d"][0], "may_be_empty": "true", "text_unknown": "true"}
        return guesses | ({} if _supplied(run, path) else {"may_go": "true"}), {"kind": _KINDS["d"][1]}
    if not wish.test:
        known = {"awaited_text": lua_string(wish.text.encode() + b"\n")}
        return (known if wish.text else {"text_unknown": "true"}), {}
    if not wish.holds:
        return {"may_go": "true"}, {}
    if wish.test == "s":
        # Any content makes a file one that is not empty.
        return {"may_be_empty": "true", "content": lua_string(b"\n")}, {}
    if wish.test not in _KINDS:
        return {}, {}
    bits, kind = _KINDS[wish.test]
    return {"kind_bits": bits} | ({"wants_directory": "true"} if wish.test == "d" else {}), {"kind": kind}


def _supplied(run: Run, path: str) -> bool:
    """Tell whether a rule of this run put the path there: the wait was for it to appear."""
    return any(call.rule and call.path == path for call in run.snapshot.recent_syscalls) or any(
        call.rule and call.path == path for call in run.trace()
    )


_INTEGERS = {1: "I1", 2: "I2", 4: "I4", 8: "I8"}
"""Size in bytes -> its letter for string.pack, lua(1)."""


def variable_literals(run: Run, hypothesis: Hypothesis, order: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return (Lua literals, words) of the variable that a loop reads; nothing where it is in no program file.

    `variable_file`, `variable_offset` and `variable_build` say where it is in which build, `variable_format`
    how it is laid out (`order` is "<" or ">"), `variable_value` what ends the loop (`value_unknown` where the
    code does not say it) and `variable_from` from which call of the hooked name on it may be written.
    """
    given = hypothesis.parameters
    path, layout = given.get("variable_file", ""), _INTEGERS.get(_number(given.get("variable_size", "")))
    build = _build(run, path, given.get("variable_file_sha256", "")) if path else ""
    if not build or layout is None or not given.get("variable_offset", "").isdecimal():
        return {}, {}
    value = given.get("variable_value", "")
    code = {
        "variable_file": lua_string(guest_bytes(path)),
        "variable_build": lua_string(build.encode()),
        "variable_offset": f"0x{int(given['variable_offset']):x}",
        "variable_format": lua_string(f"{order}{layout}".encode()),
        "variable_from": str(max(1, _number(given.get("variable_from", "1")))),
        **({"variable_value": value} if value.isdecimal() else {"value_unknown": "true"}),
    }
    return code, {"variable_build": build, "variable_offset": code["variable_offset"]}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _build(run: Run, path: str, sha256: str) -> str:
    """Return "build-id:HEX" of a program file if it is the recorded one and has an id, else its hash."""
    if not sha256:
        return ""
    rootfs = run.snapshot.target.rootfs
    try:
        data = read_bounded(inside(Path(rootfs), path.lstrip("/")), MAX_FILE) if rootfs else b""
    except (TriageError, OSError, ValueError):
        data = b""
    found = build_id(data[:MAPPED_HEAD]) if hashlib.sha256(data).hexdigest() == sha256 else ""
    return f"build-id:{found}" if found else f"sha256:{sha256}"
