"""What templates need to know of a wait: the condition that ends it, where the program's own text says it."""

from __future__ import annotations

from triage_tui.proposals.shell_tests import awaited
from triage_tui.rulebook.lua.literals import lua_string
from triage_tui.runs.diagnosis_model import Hypothesis
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
