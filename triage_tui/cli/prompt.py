"""`triage-tui prompt`: which prompts there are, and what a model would be sent."""

from __future__ import annotations

import argparse

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.text import safe_block, safe_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "what",
        choices=("list", "show"),
        help="list: the prompt files and where each comes from; show: exactly what a phase would begin with",
    )
    parser.add_argument(
        "phase", nargs="?", help="for show: classify, collect, hypothesize, propose, refine or repair"
    )
    parser.add_argument("--run", help="with the data of this run, masked; without: our words alone")
    parser.add_argument("--keep-secrets", action="store_true", help="mask nothing of the data")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with the tools")


def run(args: argparse.Namespace) -> int:
    """List or show."""
    _tell_problems()
    if args.what == "show":
        if args.phase is None:
            raise TriageError("say which phase: `triage-tui prompt show classify`, for instance")
        return _show(args)
    if args.phase is not None or args.run is not None:
        raise TriageError("`prompt list` takes no phase and no run: `prompt show` does")
    return _list(args)


def _tell_problems() -> None:
    from triage_tui.analyst.briefing import prompt_values
    from triage_tui.analyst.prompts import Prompts
    from triage_tui.analyst.settings import prompt_directories

    for problem in Prompts(prompt_directories()).check(prompt_values()):
        say(problem)


def _list(args: argparse.Namespace) -> int:
    from triage_tui.analyst.prompts import Prompts
    from triage_tui.analyst.settings import prompt_directories

    files = sorted(Prompts(prompt_directories()).files.values(), key=lambda one: one.name)
    if args.json:
        told = [
            {
                "name": one.name,
                "path": str(one.path),
                "shipped": one.shipped,
                "replaces": str(one.replaces) if one.replaces else None,
                "applies": sorted(one.applies),
            }
            for one in files
        ]
        print_json({"prompts": told})
        return 0
    rows = []
    for one in files:
        origin = "shipped" if one.shipped else str(one.path)
        words = "" if one.name.startswith("base/") else " ".join(sorted(one.applies))
        rows.append([one.name, origin + (", in place of the shipped one" if one.replaces else ""), words])
    print_table(["prompt", "from", "applies to"], rows)
    return 0


def _show(args: argparse.Namespace) -> int:
    from triage_tui.analyst.preview import preview, system_alone
    from triage_tui.analyst.settings import prompt_directories
    from triage_tui.runs.redaction import Redaction

    directories = prompt_directories()
    if args.run is None:
        if args.keep_secrets:
            raise TriageError("--keep-secrets is about the data of a run: name one with --run")
        text, files = system_alone(args.phase, directories)
        if args.json:
            print_json({"phase": args.phase, "files": files, "system": text})
        else:
            print(f"from {', '.join(files)}:\n\n{safe_block(text)}")
        return 0
    record = Workspace.at(args.workspace).load(args.run)
    found = preview(record, args.phase, directories, Redaction.of(record, off=args.keep_secrets))
    if args.json:
        print_json(found)
        return 0
    for message in found.messages:
        print(f"--- {message['role']}\n{safe_block(message['content'])}\n")
    names = [tool["function"]["name"] for tool in found.tools]
    if names:
        print(f"--- tools\n{safe_line(' '.join(names), 2000)}\n")
    print(f"from {', '.join(found.files)}; about {found.tokens} tokens, prompt {found.digest[:12]}")
    return 0
