"""`triage-tui pack`: hand rules on as one signed file, and take those of others as proposals."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Any

from triage_tui.cli.output import print_json
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.text import number_of, safe_line, safe_name

PASSWORD_VARIABLE = "TRIAGE_TUI_KEY_PASSWORD"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the commands and their options."""
    from triage_tui.cli.subcommands import subcommand

    actions = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")
    export = subcommand(actions, "export", "write the active rules of a run's target as a signed pack")
    export.add_argument("run", help="run id, a unique ending of it, or `last`")
    export.add_argument("--name", default="", help="name of the pack (default: that of the program)")
    export.add_argument("--description", default="", metavar="TEXT", help="what it is good for")
    export.add_argument(
        "--rule", action="append", default=[], metavar="WORD", help="only rules named like this"
    )
    export.add_argument(
        "-o", "--output", default="", metavar="FILE", help="file or directory (default: here)"
    )
    export.add_argument("--unsigned", action="store_true", help="without a signature")
    export.add_argument("--force", action="store_true", help="replace a file that is there")

    verify = subcommand(actions, "verify", "check a pack and its signature, and say what it holds")
    verify.add_argument(
        "--key", default="", metavar="KEY", help="public key or its file, instead of trusted ones"
    )
    take = subcommand(actions, "import", "verify a pack and keep it; its rules can then be proposed")
    take.add_argument("--run", default="", metavar="RUN", help="propose its rules on this run, too")
    for one in (verify, take):
        one.add_argument("file", help="the pack")
        one.add_argument("--signature", metavar="FILE", help="its signature (default: FILE.minisig)")
        one.add_argument("--unsigned", action="store_true", help="take it without a signature")
    propose = subcommand(actions, "propose", "propose the rules of an imported pack on a run")
    propose.add_argument("name", help="name of the pack")
    propose.add_argument("run", help="run id, a unique ending of it, or `last`")
    subcommand(actions, "list", "list the imported packs, each checked anew")
    key = subcommand(actions, "key", "make one's own key, and say which keys of others are trusted")
    key.add_argument("what", choices=("new", "list", "trust", "distrust"), help="what to do")
    key.add_argument("which", nargs="?", default="", metavar="KEY", help="public key, its file, id or name")
    key.add_argument("--name", default="", help="trust: under which name")
    key.add_argument("--password", action="store_true", help="new: ask for a password")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    workspace = Workspace.at(args.workspace)
    match args.action:
        case "export":
            return _export(args, workspace)
        case "verify":
            return _verify(args)
        case "import":
            return _import(args, workspace)
        case "propose":
            return _propose(args, workspace)
        case "list":
            return _list(args, workspace)
        case _:
            return _key(args, workspace)


def _export(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.retry.sharing.pack_files import export_pack

    record = workspace.load(args.run)
    program = os.path.basename(record.snapshot.target.program).lower()
    name = args.name or safe_name(program, 40).replace(".", "-").lower()
    password = "" if args.unsigned else password_of_key()
    written = export_pack(
        workspace,
        record,
        name=name,
        description=args.description,
        words=args.rule,
        output=Path(args.output) if args.output else None,
        signed=not args.unsigned,
        password=password,
        force=args.force,
    )
    if args.json:
        print_json(written)
    else:
        print(
            safe_line(
                f"{written['file']}  ({number_of(written['rules'], 'rule')}, sha256 {written['sha256']})"
            )
        )
        if written["signature"]:
            print(safe_line(f"{written['signature']}  (signed by {written['key']})"))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from triage_tui.rulebook.packs import imported as packs
    from triage_tui.rulebook.packs import keys as pack_keys

    keys = [pack_keys.read_key(args.key)] if args.key else None
    if args.unsigned:
        if args.key or args.signature:
            raise TriageError("--unsigned checks no signature: leave --key and --signature out")
        pack, key = packs.read_file(Path(args.file)), None
    else:
        signature = Path(args.signature) if args.signature else None
        pack, key, _ = packs.verified(Path(args.file), signature, keys)
    if args.json:
        print_json({"sha256": pack.sha256, "key": key.id if key else "", "manifest": pack.manifest})
        return 0
    manifest = pack.manifest
    by = f"signed by {key.id} {key.name}".rstrip() if key else "not signed"
    print(safe_line(f"pack {manifest.name}: {number_of(manifest.count, 'rule')}, {by}"))
    for label, value in (
        ("description", manifest.description),
        ("sha256", pack.sha256),
        ("written by", f"triage-tui {manifest.engine_version}"),
        ("machines", ", ".join(manifest.architectures) or "not known"),
    ):
        if value:
            print(safe_line(f"  {label:<12} {value}", 400))
    for rule in manifest.rules:
        errnos = f", {' '.join(rule.conditions.errnos)}" if rule.conditions.errnos else ""
        arch = f" ({rule.conditions.arch}{errnos})" if rule.conditions.arch else ""
        print(
            safe_line(f"  {rule.id}  risk {rule.risk or 'not told'}  {rule.match or rule.syscall}{arch}", 400)
        )
        if rule.side_effects:
            print(safe_line(f"    effect: {rule.side_effects}", 400))
    return 0


def _import(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.rulebook.packs.imported import import_pack

    if args.unsigned and args.signature:
        raise TriageError("--unsigned checks no signature: leave --signature out")
    # Before anything is kept: a run that is not there is a mistake.
    run_id = workspace.run_dir(args.run).name if args.run else ""
    kept = import_pack(
        workspace.rulebook,
        Path(args.file),
        signature=Path(args.signature) if args.signature else None,
        unsigned=args.unsigned,
    )
    assert kept.pack is not None
    rules = number_of(kept.pack.manifest.count, "rule")
    said = [f"pack {kept.name} is kept: {rules}, {kept.signed}; none is active"]
    if kept.replaced:
        said.append(f"it takes the place of {kept.replaced}")
    if run_id:
        from triage_tui.retry.sharing.pack_proposals import propose_pack

        try:
            said.append(propose_pack(workspace, kept.name, run_id))
        except TriageError as error:
            raise type(error)(f"{said[0]}; {error}") from error
    _say(args, said, {"name": kept.name, "sha256": kept.pack.sha256, "key": kept.key})
    return 0


def _propose(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.retry.sharing.pack_proposals import propose_pack

    run_id = workspace.run_dir(args.run).name
    _say(args, [propose_pack(workspace, args.name, run_id)], {"name": args.name, "run_id": run_id})
    return 0


def _list(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.rulebook.packs.imported import all_kept

    found = all_kept(workspace.rulebook)
    for kept in found:
        sha = kept.pack.sha256 if kept.pack else ""
        count = kept.pack.manifest.count if kept.pack else 0
        if args.json:
            fields = {
                "name": kept.name,
                "sha256": sha,
                "rules": count,
                "key": kept.key,
                "problem": kept.problem,
            }
            print_json(fields)
            continue
        told = kept.problem or f"{number_of(count, 'rule')}, {kept.signed}, sha256 {sha[:12]}"
        print(safe_line(f"{kept.name}  {told}", 400))
    if not found and not args.json:
        print("No pack was imported into this workspace.")
    return 1 if any(kept.problem for kept in found) else 0


def _key(args: argparse.Namespace, workspace: Workspace) -> int:
    from triage_tui.rulebook.packs import keys as pack_keys

    if args.what in ("trust", "distrust") and not args.which:
        raise TriageError(f"say which key: `triage-tui pack key {args.what} KEY`")
    match args.what:
        case "new":
            key = pack_keys.new_key(_new_password() if args.password else "")
            line = key.public.to_base64().decode()
            said = [
                f"key {key.id} is made: {pack_keys.keys_dir()}/own.key (secret), own.pub (for others): {line}"
            ]
            _say(args, said, {"key": key.id, "public": line})
        case "list":
            for key in pack_keys.known_keys():
                line = key.public.to_base64().decode()
                fields = {"key": key.id, "name": key.name, "own": key.own, "public": line}
                print_json(fields) if args.json else print(safe_line(f"{key.id}  {key.name}  {line}"))
        case _:
            from triage_tui.retry.sharing.pack_files import change_trust

            trusted = args.what == "trust"
            key = change_trust(workspace, args.which, trusted=trusted, name=args.name)
            said = [f"key {key.id} ({key.name}) is {'trusted now' if trusted else 'not trusted any more'}"]
            _say(args, said, {"key": key.id, "name": key.name})
    return 0


def password_of_key() -> str:
    """Return the password of one's own key, asking for it where there is a terminal; "" where it has none."""
    from triage_tui.rulebook.packs import keys as pack_keys

    if (given := os.environ.get(PASSWORD_VARIABLE)) is not None:
        return given
    if pack_keys.own_is_encrypted() and sys.stdin.isatty():
        return getpass.getpass("Password of your key: ")
    return ""


def _new_password() -> str:
    if (given := os.environ.get(PASSWORD_VARIABLE)) is not None:
        return given
    if not sys.stdin.isatty():
        raise TriageError(f"there is no terminal to ask for a password: set ${PASSWORD_VARIABLE}")
    first = getpass.getpass("Password of the new key: ")
    if first != getpass.getpass("Once more: "):
        raise TriageError("the two passwords differ, so no key was made")
    return first


def _say(args: argparse.Namespace, said: list[str], fields: dict[str, Any]) -> None:
    print_json({**fields, "said": said}) if args.json else print(safe_line("; ".join(said), 600))
