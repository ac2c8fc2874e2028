"""What a shell offers behind TAB: commands, options, and what lies in the workspace.

The shell starts the command with _ARGCOMPLETE in its environment (see the documentation of argcomplete); only
then is this imported. Nothing is written and no run is read: names of directories and small files are enough.
What is offered comes from a workspace that may be hostile: what no terminal can show as it is, is left out,
and argcomplete quotes the rest for the shell.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from argcomplete.completers import SuppressCompleter
from argcomplete.finders import CompletionFinder
from argcomplete.lexers import split_line

from triage_tui.errors import TriageError
from triage_tui.retry.workspace import ENVIRONMENT_VARIABLE, Workspace
from triage_tui.runs.files import read_bounded
from triage_tui.runs.form import MAX_SNAPSHOT_BYTES
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.listing import DIAGNOSIS_FILE, run_dirs, summarize
from triage_tui.sfemu import rules_dir
from triage_tui.text import safe_line

MAX_NAMES = 200
_MAX_RUNS = 1000
_READ_RUNS = 60
"""Runs that are read for the causes in them; the newest ones."""

Completer = Callable[..., Iterable[str]]


class _Proposal(msgspec.Struct):
    id: str = ""
    files: list[str] = []


class _Proposals(msgspec.Struct):
    proposals: list[_Proposal] = []


_proposals = msgspec.json.Decoder(_Proposals)


def complete(
    commands: dict[str, tuple[str, str]],
    second_words: Mapping[str, Mapping[str, str]],
    add_workspace: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Answer the shell on descriptor 8, and end the process.

    `commands` are those of the command line, `second_words` the modules of words that may stand behind some
    of them in place of a file, and `add_workspace` adds the option that all have.
    """
    line, point = os.environ.get("COMP_LINE", ""), os.environ.get("COMP_POINT", "0")
    words = split_line(line, int(point) if point.isdecimal() else len(line))[3]
    chosen = next((word for word in words[1:] if not word.startswith("-")), "")
    top = argparse.ArgumentParser(prog="triage-tui", allow_abbrev=False)
    top.add_argument("--version", "-V", action="store_true", help="print the version")
    actions = top.add_subparsers(dest="command")
    for name, (module, text) in commands.items():
        parser = actions.add_parser(name, help=text, allow_abbrev=False)
        if name == chosen:
            add_workspace(parser)
            seconds = second_words.get(name, {})
            second = next((word for word in _behind(words, name) if not word.startswith("-")), "")
            if second in seconds:
                more = parser.add_subparsers().add_parser(second, allow_abbrev=False)
                add_workspace(more)
                importlib.import_module(seconds[second]).add_arguments(more)
            else:
                importlib.import_module(module).add_arguments(parser)
            for action in _actions(parser):
                action.completer = _completer_of(name, action)  # type: ignore[attr-defined]
                if seconds and not second and not action.option_strings:
                    action.completer = _also(seconds, action.completer)  # type: ignore[attr-defined]
    finder = CompletionFinder()
    finder(top, always_complete_options=False, validator=_fits, default_completer=SuppressCompleter())


def _behind(words: Sequence[str], name: str) -> list[str]:
    """Return the words behind a command, without the directory of the workspace."""
    rest = list(words[words.index(name) + 1 :])
    return [
        word for before, word in zip(["", *rest], rest, strict=False) if before not in ("-C", "--workspace")
    ]


def _also(names: Iterable[str], completer: Completer) -> Completer:
    def completed(prefix: str, **more: Any) -> Iterable[str]:
        return [*names, *completer(prefix, **more)]

    return completed


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield what a parser and its commands take, choices and flags left out."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in set(action.choices.values()):
                yield from _actions(one)
        elif action.choices is None and action.nargs != 0:
            yield action


def _fits(name: str, prefix: str) -> bool:
    """Tell whether a name is offered for what was typed: also for the ending of a run id."""
    shown = len(name) <= MAX_NAMES and safe_line(name) == name
    return shown and (name.startswith(prefix) or (bool(prefix) and is_run_id(name) and name.endswith(prefix)))


def _completer_of(command: str, action: argparse.Action) -> Completer:
    """Return what completes an argument, by its name."""
    name = str(action.metavar or action.dest).lower()
    if name in ("id", "name") and not action.option_strings:
        # `rollout stop ID`, `pack propose NAME`: what the command is about.
        name = command
    elif action.dest in ("until", "cause"):
        name = action.dest
    return _guarded(_COMPLETERS.get(_SAME.get(name, name), _nothing))


def _guarded(completer: Completer) -> Completer:
    def completed(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
        try:
            return list(completer(_workspace(parsed_args), prefix, parsed_args))
        except (TriageError, OSError, ValueError, msgspec.MsgspecError):
            return []

    return completed


def _workspace(args: argparse.Namespace) -> Workspace:
    """Return the workspace as `Workspace.at` does, which settles what is left there: TAB changes nothing."""
    named = getattr(args, "workspace", None) or os.environ.get(ENVIRONMENT_VARIABLE) or "."
    root = Path(named).expanduser().absolute()
    rules = rules_dir.find(root)
    return Workspace(root if rules is None else rules.home)


def _nothing(*_: object) -> Iterable[str]:
    return ()


def _runs(workspace: Workspace, *_: object) -> Iterable[str]:
    found = [path.name for path in run_dirs(workspace.runs_dir)[:_MAX_RUNS]]
    return ["last", *found] if found else []


def _proposals_of(workspace: Workspace, _prefix: str, args: argparse.Namespace) -> Iterable[str]:
    """Return the proposals of the run that stands before, and their files."""
    run_dir = workspace.run_dir(str(getattr(args, "run", None) or "last"))
    diagnosis = _proposals.decode(read_bounded(run_dir / DIAGNOSIS_FILE, MAX_SNAPSHOT_BYTES, whole=True))
    return [name for one in diagnosis.proposals for name in (one.id, *one.files)]


def _hunks(workspace: Workspace, prefix: str, args: argparse.Namespace) -> Iterable[str]:
    files = {name for name in _proposals_of(workspace, prefix, args) if "/" in name}
    return [f"{name}:" for name in sorted(files)]


def _targets(workspace: Workspace, *_: object) -> Iterable[str]:
    from triage_tui.retry.rules.named_rules import targets

    return [*targets(workspace), *_runs(workspace)]


def _rules(workspace: Workspace, prefix: str, *_: object) -> Iterable[str]:
    """Return what names rules: runs, what is active, and the rules that are, by their ids."""
    from triage_tui.retry.rules.named_rules import targets

    names = ["active", *(f"active:{target}" for target in targets(workspace)), *_runs(workspace)]
    return [*names, *_rule_ids(workspace), *_files(workspace, prefix)]


def _rule_ids(workspace: Workspace, *_: object) -> Iterable[str]:
    from triage_tui.retry.rules.named_rules import targets
    from triage_tui.rulebook.generations import current

    files = []
    for target in targets(workspace):
        active = current(workspace.rulebook_dir(target))
        files += list(active.files) if active is not None else []
    ids = (name.rpartition("/")[2].removesuffix(".lua") for name in files)
    return sorted({ident.partition("@")[2] or ident for ident in ids})


def _campaigns(workspace: Workspace, *_: object) -> Iterable[str]:
    from triage_tui.campaign.record import campaign_ids

    found = campaign_ids(workspace.root)[:MAX_NAMES]
    return ["last", *found] if found else []


def _causes(workspace: Workspace, *_: object) -> Iterable[str]:
    newest = run_dirs(workspace.runs_dir)[:_READ_RUNS]
    return sorted({cause for path in newest if (cause := summarize(path).cause)})


def _rollouts(workspace: Workspace, *_: object) -> Iterable[str]:
    from triage_tui.retry.sharing.rollout import rollouts

    return [one.id for one, _ in rollouts(workspace, lambda text: None)]


def _packs(workspace: Workspace, *_: object) -> Iterable[str]:
    from triage_tui.rulebook.packs.imported import all_kept

    return [kept.name for kept in all_kept(workspace.rulebook)]


def _schemas(*_: object) -> Iterable[str]:
    from triage_tui.cli.command_schemas import COMMANDS, PREFIX
    from triage_tui.cli.schema import FILES

    return [*FILES, *(f"{PREFIX}{name}" for name in COMMANDS)]


def _tools(*_: object) -> Iterable[str]:
    from triage_tui.analyst.tools import all_tools

    return [tool.name for tool in all_tools()]


def _until(workspace: Workspace, prefix: str, *_: object) -> Iterable[str]:
    from triage_tui.cli.watch import conditions

    before = prefix[: prefix.rfind(",") + 1]
    return [before + word for word in conditions()]


def _frozen(workspace: Workspace, *_: object) -> Iterable[str]:
    """Return the supervisors of guests that run and can be frozen."""
    from triage_tui.retry.freezing import running_guests

    return [str(mark.pid) for mark in running_guests(workspace.running_dir) if mark.freezes]


def _files(_workspace: Workspace, prefix: str, *_: object) -> Iterable[str]:
    yield from _entries(prefix, directories_only=False)


def _directories(_workspace: Workspace, prefix: str, *_: object) -> Iterable[str]:
    yield from _entries(prefix, directories_only=True)


def _entries(prefix: str, *, directories_only: bool) -> Iterator[str]:
    """Yield the paths that begin with `prefix`; directories with a slash at their end."""
    head, _, tail = prefix.rpartition("/")
    place = f"{head}/" if "/" in prefix else ""
    with os.scandir(os.path.expanduser(place) or ".") as entries:
        for entry in entries:
            if entry.name.startswith(tail) and (tail or not entry.name.startswith(".")):
                if entry.is_dir():
                    yield f"{place}{entry.name}/"
                elif not directories_only:
                    yield f"{place}{entry.name}"


_COMPLETERS: dict[str, Completer] = {
    "run": _runs,
    "what": _proposals_of,
    "file:n": _hunks,
    "target": _targets,
    "rule": _rules,
    "word": _rule_ids,
    "campaign": _campaigns,
    "cause": _causes,
    "rollout": _rollouts,
    "pack": _packs,
    "schema": _schemas,
    "tool": _tools,
    "until": _until,
    "pid": _frozen,
    "file": _files,
    "program": _files,
    "dir": _directories,
}
"""By the name of an argument as its help shows it."""
_SAME = {
    "runs": "run",
    "old": "rule",
    "new": "rule",
    "bundle": "file",
    "corpus.yaml": "file",
    "targets.yaml": "file",
    "file|dir": "file",
}
