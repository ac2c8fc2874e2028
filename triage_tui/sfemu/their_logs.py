"""The texts that SFEmu keeps of a stop, as logs of a record of ours: bounded, under names of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.runs.files import inside, read_bounded
from triage_tui.sfemu.contexts import Context, LoopReport
from triage_tui.text import safe_line

MAX_LOG = 1 << 20
"""Bytes kept of one, the last ones."""
CALLS_LOG = "sfemu-calls.log"
RETRY_LOG = "sfemu-retry.log"
_WHOLE = (("retry.log", RETRY_LOG), ("diagnosis.md", "sfemu-diagnosis.md"))
_OF_THE_TOOL = ("ai_explain.md", "ai_result_meta.json", "ai_actions.json", "ai_raw_response.txt")
_MAX_BACKUPS = 64
_MAX_RULE = 64 << 10


def logs_of(
    run_dir: Path, contexts: Mapping[int, Context], report: LoopReport | None, problems: list[str]
) -> dict[str, bytes]:
    """Return name below `logs/` -> text; what cannot be read goes to `problems`."""
    found: dict[str, bytes] = {}
    for name, ours in _WHOLE:
        if (text := _text(run_dir, name, problems)) is not None:
            found[ours] = text
    if contexts:
        told = "\n".join(contexts[seq].text.rstrip("\n") + "\n" for seq in sorted(contexts))
        found[CALLS_LOG] = told.encode("utf-8", "surrogatepass")
    if report is not None:
        found["sfemu-deadloop.log"] = report.text
    parts = [
        f"== {name} ==\n".encode() + text.rstrip(b"\n") + b"\n"
        for name in _OF_THE_TOOL
        if (text := _text(run_dir, f"rules_patch/{name}", problems)) is not None
    ]
    if parts:
        found["sfemu-tool.log"] = b"\n".join(parts)
    if replaced := _backups(run_dir, problems):
        found["sfemu-replaced-rules.log"] = replaced
    return found


def _text(run_dir: Path, name: str, problems: list[str]) -> bytes | None:
    try:
        path = inside(run_dir, name)
        return read_bounded(path, MAX_LOG, tail=True) if os.path.lexists(run_dir / name) else None
    except TriageError as error:
        problems.append(f"{safe_line(name, 80)}: {error}")
        return None


def _backups(run_dir: Path, problems: list[str]) -> bytes:
    """Return the rules that SFEmu replaced when it applied its own, one after the other."""
    try:
        directory = inside(run_dir, "backup_syscall")
        names = sorted(os.listdir(directory))[:_MAX_BACKUPS]
    except (OSError, TriageError):
        return b""
    parts = []
    for name in names:
        try:
            text = read_bounded(inside(directory, name), _MAX_RULE)
        except TriageError as error:
            problems.append(f"replaced rule {safe_line(name, 80)}: {error}")
            continue
        parts.append(f"== {safe_line(name, 100)} ==\n".encode() + text.rstrip(b"\n") + b"\n")
    return b"\n".join(parts)
