"""`triage-tui campaign --list`: what would be run, and what was left out and why. Nothing is run."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.campaign.discovery.found import LeftOut
from triage_tui.campaign.gathering import Gathered, gather, look
from triage_tui.campaign.model import Target
from triage_tui.campaign.yaml_nodes import BadFileError
from triage_tui.cli.output import print_json, print_line, print_wrapped, say
from triage_tui.cli.rounds import SignalEvent, cancelled_by_signals
from triage_tui.errors import Interrupted, Stopped, TriageError
from triage_tui.exit_codes import DONE
from triage_tui.text import number_of, safe_line

_USUAL_VARIABLES = frozenset(("PATH", "HOME", "TERM", "SHELL", "USER"))
"""What every init gives; not worth a line."""

ListedTarget = msgspec.defstruct(
    "ListedTarget",
    [
        ("kind", Literal["target"]),
        *(
            (field.name, field.type, field.default)
            for field in msgspec.structs.fields(Target)
            if not field.required
        ),
        *((field.name, field.type) for field in msgspec.structs.fields(Target) if field.required),
    ],
    kw_only=True,
)
"""A line of `campaign --list --json` about something that would be run."""
ListedLeftOut = msgspec.defstruct(
    "ListedLeftOut",
    [("kind", Literal["left_out"]), *((field.name, str) for field in msgspec.structs.fields(LeftOut))],
    kw_only=True,
)
"""The same about something that would not."""


def list_targets(files: Sequence[Path], roots: Sequence[Path], as_json: bool) -> int:
    """Print what target files and roots ask for, and what was left out.

    Raises:
        TriageError: a file has mistakes, a root is no directory, or there is nothing to run.
    """
    if not files and not roots:
        raise TriageError("nothing to list: name a file of targets, or root file systems with --rootfs DIR")
    with cancelled_by_signals() as cancel, _told(cancel):
        found = look(files, roots, progress=say, cancel=cancel)
    if as_json:
        _print_json(found)
    else:
        _print(found)
    if found.problem:
        raise TriageError(found.problem)
    return DONE


def gathered(files: Sequence[Path], roots: Sequence[Path], cancel: SignalEvent) -> Gathered:
    """Return the targets that a campaign is begun with; mistakes of a file are told one by one.

    Raises:
        TriageError: a file has mistakes, a root is no directory, or there is nothing to run.
        Interrupted: a signal came.
    """
    with _told(cancel):
        found = gather(files, roots, progress=say, cancel=cancel)
    if found.left_out:
        count = number_of(len(found.left_out), "thing was", "things were")
        say(f"{count} left out; --list says which and why")
    return found


@contextmanager
def _told(cancel: SignalEvent) -> Iterator[None]:
    """Within, the mistakes of a target file are printed one by one before its error goes on.

    Raises:
        Interrupted: in place of `Stopped`.
    """
    try:
        yield
    except Stopped:
        raise Interrupted(cancel.number or signal.SIGINT) from None
    except BadFileError as error:
        if error.count > 1:
            for mistake in error.mistakes:
                say(f"{error.name}: {mistake.sentence()}")
        if error.rest:
            say(error.rest)
        raise


def _print_json(found: Gathered) -> None:
    for target in found.targets:
        print_json({"kind": "target", **msgspec.structs.asdict(target)})
    for one in found.left_out:
        print_json({"kind": "left_out", **msgspec.structs.asdict(one)})


def _print(found: Gathered) -> None:
    roots = dict.fromkeys([target.root for target in found.targets] + [one.root for one in found.left_out])
    by_root: dict[str, list[Target]] = {root: [] for root in roots}
    left: dict[str, list[LeftOut]] = {root: [] for root in roots}
    for target in found.targets:
        by_root[target.root].append(target)
    for one in found.left_out:
        left[one.root].append(one)
    for root in roots:
        print_line(f"{safe_line(root, 300)}: {number_of(len(by_root[root]), 'target')}")
        for target in by_root[root]:
            _print_target(target)
        if left[root]:
            print_line("  left out:")
        for one in left[root]:
            origin = f" [{one.origin}]" if one.origin else ""
            print_wrapped(f"{one.what}: {one.why}{origin}", "    - ", "      ")
        print_line()


def _print_target(target: Target) -> None:
    words = shlex.join(target.argv)
    print_wrapped(f"{target.name} ({target.arch}): {words}", f"  {target.order:>3} ", "      ")
    told = []
    if target.argv and target.argv[0] != target.program:
        told.append(target.program)
    if target.cwd != "/":
        told.append(f"in {target.cwd}")
    if target.user:
        told.append(f"user {target.user}")
    told += [
        shlex.quote(f"{name}={text}") for name, text in target.env.items() if name not in _USUAL_VARIABLES
    ]
    told.append(f"[{target.origin}]")
    print_wrapped(" ".join(told), "      ")
    for note in target.notes:
        print_wrapped(note, "      note: ", "            ")
