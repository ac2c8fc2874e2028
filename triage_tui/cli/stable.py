"""`triage-tui stable`: the rules that a target needs as a tested set, and the watch for what they mended."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec

from triage_tui.cli.output import print_json, print_line, print_table, print_wrapped, say
from triage_tui.cli.results import Said, tell
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.packs.format import Pack, PackManifest
from triage_tui.text import number_of, safe_name


class StableExported(msgspec.Struct, kw_only=True):
    """A set that was exported: its files, what it mends, and the run that proves it."""

    name: str
    file: str
    signature: str
    key: str
    rules: int
    sha256: str
    mends: list[str]
    proof: str
    proved: str
    cases: int
    tests: int
    left_out: list[str]


class StableListed(msgspec.Struct, kw_only=True):
    """A set that is watched for; `reopened_by` are the runs that show again what it mended, newest first."""

    name: str
    argv: list[str] = []
    arch: str = ""
    rules: int = 0
    mends: list[str] = []
    proof: str = ""
    since: str = ""
    reopened_by: list[str] = []
    problem: str = ""


class StableShown(msgspec.Struct, kw_only=True):
    """All that a set says of itself."""

    sha256: str
    manifest: PackManifest


class StableTested(msgspec.Struct, kw_only=True):
    """One test of a set."""

    what: str
    good: bool
    why: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the commands and their options."""
    from triage_tui.cli.subcommands import subcommand

    actions = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    export = subcommand(actions, "export", "write the rules that a run's target needs to be well, with tests")
    export.add_argument("run", help="run id, a unique ending of it, or `last`")
    export.add_argument("--name", default="", help="name of the set (default: that of the program)")
    export.add_argument("--description", default="", metavar="TEXT", help="what it is good for")
    export.add_argument(
        "-o", "--output", default="", metavar="FILE", help="file or directory (default: here)"
    )
    export.add_argument("--unsigned", action="store_true", help="without a signature")
    export.add_argument("--force", action="store_true", help="replace a set or file of the same name")
    subcommand(actions, "list", "list the sets whose failures are watched for, and what is back")
    show = subcommand(actions, "show", "say what a set holds: rules, conditions, side effects, tests")
    test = subcommand(actions, "test", "diagnose its cases and run its rules over their calls")
    drop = subcommand(actions, "drop", "watch no more for what a set mended")
    for one in (show, test):
        one.add_argument("set", help="name of a set, or the file of one")
    drop.add_argument("set", help="name of a set")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 where a test fails, or a mended failure is back."""
    workspace = Workspace.at(args.workspace)
    match args.action:
        case "export":
            return _export(args, workspace)
        case "list":
            return _list(args, workspace)
        case "show":
            return _show(args, _pack(workspace, args.set))
        case "test":
            return _test(args, _pack(workspace, args.set))
        case _:
            from triage_tui.retry.sharing.stable import drop_set

            drop_set(workspace.rulebook, args.set)
            told = f"what {args.set} mended is not watched for any more; its file stays where it was exported"
            tell(args, Said(said=[told]))
            return 0


def _export(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.cli.pack import password_of_key
    from triage_tui.retry.sharing.stable import export_stable

    record = workspace.load(args.run)
    program = os.path.basename(record.snapshot.target.program).lower()
    written = export_stable(
        workspace,
        record,
        name=args.name or safe_name(program, 40).replace(".", "-").lower(),
        description=args.description,
        output=Path(args.output) if args.output else None,
        signed=not args.unsigned,
        password="" if args.unsigned else password_of_key(),
        force=args.force,
    )
    if args.json:
        print_json(StableExported(**written))
        return 0
    rules, cases = number_of(written["rules"], "rule"), number_of(written["cases"], "case")
    print_line(f"{written['file']}  ({rules}, {cases}, sha256 {written['sha256']})")
    if written["signature"]:
        print_line(f"{written['signature']}  (signed by {written['key']})")
    say(f"well in run {written['proof']}: {written['proved']}")
    for text in written["mends"]:
        say(f"mends, and is watched for: {text}")
    for text in written["left_out"]:
        say(f"left out: {text}")
    return 0


def _list(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.retry.sharing.stable import kept_sets
    from triage_tui.runs.listing import list_runs

    back: dict[str, list[str]] = {}
    for one in list_runs(workspace.runs_dir):
        if one.reopened:
            back.setdefault(one.reopened, []).append(one.run_id)
    rows = []
    bad = False
    for kept in kept_sets(workspace.rulebook):
        stable, runs = kept.stable, back.get(kept.name, [])
        bad = bad or bool(runs) or bool(kept.problem)
        listed = StableListed(name=kept.name, reopened_by=runs, problem=kept.problem)
        if stable is not None and kept.pack is not None:
            listed.argv, listed.arch, listed.mends = stable.argv, stable.arch, stable.mends
            listed.proof, listed.since = stable.proof, stable.since
            listed.rules = kept.pack.manifest.count
        if args.json:
            print_json(listed)
            continue
        command = " ".join(listed.argv)[:48]
        shown = f"reopened by {runs[0]}" if runs else kept.problem or "mended"
        rows.append([kept.name, command, str(listed.rules), shown, "; ".join(listed.mends)])
    if rows:
        print_table(["SET", "PROGRAM", "RULES", "STATE", "MENDS"], rows)
    elif not args.json:
        say("no stable set is watched for: `triage-tui stable export RUN` makes one")
    return 1 if bad else 0


def _show(args: argparse.Namespace, pack: Pack) -> int:
    manifest = pack.manifest
    stable = manifest.stable
    assert stable is not None
    if args.json:
        print_json(StableShown(sha256=pack.sha256, manifest=manifest))
        return 0
    print_line(f"stable set {manifest.name}: {number_of(manifest.count, 'rule')}, sha256 {pack.sha256}")
    for label, value in (
        ("description", manifest.description),
        ("program", f"{' '.join(stable.argv)}  ({stable.arch})"),
        ("root", stable.rootfs),
        ("well in", f"run {stable.proof}: {stable.proved}, {stable.since}"),
        *(("mends", signature) for signature in stable.mends),
        *(("left out", text) for text in stable.left_out),
    ):
        if value:
            print_wrapped(value, f"  {label:<12} ")
    for rule in manifest.rules:
        print_line(f"  {rule.file}")
        known = rule.conditions
        limit = f", at most {rule.hit_limit} times" if rule.hit_limit is not None else ""
        where = " ".join(part for part in (known.arch, *known.errnos) if part)
        for label, value in (
            ("intent", rule.intent),
            ("when", f"{rule.match or rule.syscall}{limit}" + (f" ({where})" if where else "")),
            ("program", known.binary_sha256),
            ("effect", rule.side_effects),
            ("risk", rule.risk),
            ("undone by", rule.inverse),
        ):
            if value:
                print_wrapped(value, f"    {label:<10} ")
    for case in stable.cases:
        print_wrapped(f"{case.signature}{' (well)' if case.healthy else ''}", f"  {case.file}  ", "    ")
    print_line(f"  {number_of(len(stable.tests), 'test')} of rules: `triage-tui stable test {manifest.name}`")
    return 0


def _test(args: argparse.Namespace, pack: Pack) -> int:
    from triage_tui.retry.sharing.stable_tests import try_set

    wrong = total = 0
    for one in try_set(pack):
        total += 1
        wrong += bool(one.why)
        if args.json:
            print_json(StableTested(what=one.what, good=not one.why, why=one.why))
        else:
            print_line(f"{'WRONG' if one.why else 'ok   '}  {one.what}{': ' if one.why else ''}{one.why}")
    say(f"{number_of(total, 'test')}: {wrong} wrong")
    return 1 if wrong else 0


def _pack(workspace: Workspace, which: str) -> Pack:
    """Return a set by its name, or by its file."""
    from triage_tui.retry.sharing.stable import kept_set
    from triage_tui.rulebook.packs.format import SUFFIX
    from triage_tui.rulebook.packs.imported import read_file

    if which.endswith(SUFFIX) or "/" in which:
        pack = read_file(Path(which))
        if pack.manifest.stable is None:
            raise TriageError(f"{pack.manifest.name} is a rule pack without tests, and no stable set")
        return pack
    kept = kept_set(workspace.rulebook, which)
    if kept.pack is None:
        raise TriageError(kept.problem)
    return kept.pack
