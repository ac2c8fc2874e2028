"""What commands that decide print with `--json`, as types; `command_schemas` makes JSON Schemas of them.

Fields are added, never renamed or removed: scripts rely on them.
"""

from __future__ import annotations

import argparse
from typing import Literal

import msgspec

from triage_tui.cli.output import print_json
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_line


class Said(msgspec.Struct, kw_only=True):
    """What a command did that changes no run: sentences for people."""

    said: list[str]


class Decided(Said, kw_only=True):
    """What was decided on a run, and the state that it led to."""

    run_id: str
    state: str


class Approved(Decided, kw_only=True):
    """An approval: the rule files of the run that are active now."""

    files: list[str]


class Moved(Said, kw_only=True):
    """A move to a chosen generation of a target, or of the shared rules."""

    target: str


class Trouble(msgspec.Struct, kw_only=True):
    """Why a command did not do what was asked: one sentence, and what the command ends with."""

    kind: Literal["usage", "refused", "conflict", "interrupted", "internal"]
    message: str
    exit_code: int
    command: str


class Undiagnosed(msgspec.Struct, kw_only=True):
    """One of several runs that could not be diagnosed."""

    run_id: str
    error: Trouble


class Failed(msgspec.Struct, kw_only=True):
    """The last line of a command with `--json` that was not carried out."""

    error: Trouble


def tell(args: argparse.Namespace, result: Said) -> None:
    """Print what was done: as JSON where that was asked for, else its sentences on one line."""
    print_json(result) if args.json else print(safe_line("; ".join(result.said), 1000))


def state_of(workspace: Workspace, run_id: str) -> str:
    """Return the state of a run after a decision; "removed" where it went meanwhile."""
    from triage_tui.runs.events import derive_state, read_events

    run_dir = workspace.runs_dir / run_id
    return derive_state(read_events(run_dir)[0]) if run_dir.is_dir() else "removed"
