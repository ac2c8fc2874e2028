"""Answer SFEmu as its external tool: the files that it looks for in a run's `rules_patch/`.

    fix/syscall/<name>.lua      SFEmu makes them active where SFEMU_AI_APPLY_RULES is on, as it is by itself
    observe/syscall/<name>.lua  SFEmu applies them where SFEMU_AI_APPLY_OBSERVE is on
    ai_explain.md               for people
    ai_result_meta.json         {generated_at, fix_files, observe_files}
    ai_actions.json             {mutations_applied, actions: [{tool, ok, args, result or deny_reason}]}
    ai_actions_applied.txt      an integer; above 0 SFEmu starts the program again

Names of files are syscalls and nothing else, and no directory on the way may be a link: what a run or a model
says never becomes a path.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook.kinds import SYSCALL_NAME
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.files import refuse_link, write_atomic
from triage_tui.text import safe_line


class WriteFailed(TriageError):
    """The answer cannot be written."""


class Refused(msgspec.Struct, frozen=True):
    """A proposed rule file that SFEmu is not given, and why."""

    file: str
    why: str


class Answer(msgspec.Struct, frozen=True):
    """What SFEmu is told about a run."""

    explanation: str
    """Markdown."""
    fix: Mapping[str, bytes] = {}
    """Syscall to the text of a file that SFEmu can load."""
    observe: Mapping[str, bytes] = {}
    refused: tuple[Refused, ...] = ()


def write_answer(patch_dir: Path, answer: Answer) -> None:
    """Write an answer into a `rules_patch/`. Of observing rules those that lie there stay as they are.

    Raises:
        WriteFailed: it cannot be written; says where and why.
    """
    try:
        refuse_link(patch_dir)
        counts = [
            _write_rules(patch_dir / "fix", answer.fix, keep=False),
            _write_rules(patch_dir / "observe", answer.observe, keep=True),
        ]
        _write(patch_dir / "ai_explain.md", answer.explanation.rstrip() + "\n")
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        meta = {"generated_at": now, "fix_files": counts[0], "observe_files": counts[1]}
        _write(patch_dir / "ai_result_meta.json", _json(meta))
        actions = [
            {"tool": "rule", "ok": False, "args": {"file": one.file}, "deny_reason": one.why}
            for one in answer.refused
        ]
        _write(patch_dir / "ai_actions.json", _json({"mutations_applied": 0, "actions": actions}))
        _write(patch_dir / "ai_actions_applied.txt", "0\n")
    except (OSError, TriageError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise WriteFailed(
            f"the answer cannot be written in {safe_line(str(patch_dir), 200)}: {why}"
        ) from error


def _write_rules(directory: Path, rules: Mapping[str, bytes], *, keep: bool) -> int:
    place = directory / "syscall"
    refuse_link(directory, place)
    place.mkdir(parents=True, exist_ok=True)
    count = 0
    for syscall, text in rules.items():
        if not SYSCALL_NAME.fullmatch(syscall):
            raise TriageError(f"{safe_line(syscall, 60)!r} is no name of a syscall")
        path = place / f"{syscall}.lua"
        if keep and os.path.lexists(path):
            continue
        _write(path, text)
        count += 1
    return count


def _write(path: Path, data: bytes | str) -> None:
    """Replace a file; a link of that name is replaced, and not followed."""
    write_atomic(path, data)


def _json(value: Any) -> bytes:
    return msgspec.json.format(encode_line(value), indent=2) + b"\n"
