"""`triage-tui sfemu`: what SFEmu needs of this program, and what it has to offer to it."""

from __future__ import annotations

import argparse
from pathlib import Path

from triage_tui.cli.output import print_json, say
from triage_tui.cli.results import Said, tell
from triage_tui.cli.subcommands import subcommand
from triage_tui.errors import TriageError
from triage_tui.text import safe_line

PLUGIN = Path("plugins", "triage_tui", "decide.lua")
"""Where the plugin is put, below a rule directory."""
_MAX_ENTRY = 4 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the commands of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    plugin = subcommand(
        actions, "plugin", "put the plugin that has pauses decided here into a rule directory"
    )
    plugin.add_argument(
        "rules", nargs="?", help="rule directory of SFEmu (default: only say where the plugin lies)"
    )
    ask = subcommand(actions, "ask", "have a tool of SFEmu's look at a run, and propose the rules it writes")
    ask.add_argument("run", help="run id, a unique ending of it, or `last`")
    ask.add_argument("cmd", help="shell command of the tool, as in SFEMU_AI_CMD")
    ask.add_argument(
        "--timeout", type=float, default=600, metavar="SECONDS", help="longest time of the tool (default 600)"
    )
    ask.add_argument(
        "--env", metavar="FILE", help="settings that the tool is given, SFEmu's config/env (default: none)"
    )
    ask.add_argument("--keep-secrets", action="store_true", help="mask nothing of what the tool is given")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    return _ask(args) if args.action == "ask" else _plugin(args)


def _plugin(args: argparse.Namespace) -> int:
    """Copy the plugin, and say which line SFEmu's entry script needs."""
    from triage_tui.resources import shipped
    from triage_tui.runs.files import write_atomic
    from triage_tui.sfemu import rules_dir

    source = shipped("rules") / "lua" / "sfemu" / "decide.lua"
    line = f'dofile(rules_dir .. "{PLUGIN}")'
    if args.rules is None:
        said = [
            f"the plugin is {source}",
            f"SFEmu's entry.lua loads a copy in its rule directory with {line}",
        ]
    else:
        found = rules_dir.find(Path(args.rules).absolute())
        if found is None:
            raise TriageError(
                f"{safe_line(args.rules, 200)} is no rule directory of SFEmu: it has no entry.lua"
            )
        path = found.root / PLUGIN
        try:
            if path.parent.resolve() != (found.root.resolve() / PLUGIN).parent:
                raise TriageError(
                    f"{safe_line(str(path.parent), 200)} is reached by a link: nothing was written"
                )
            write_atomic(path, source.read_bytes())
        except OSError as error:
            raise TriageError(f"{safe_line(str(path), 200)} cannot be written: {error.strerror}") from error
        loaded = _loads_it(found.root / "entry.lua")
        said = [f"the plugin is in {safe_line(str(path), 200)}"]
        said += [] if loaded else [f"add this line to entry.lua, behind the one that sets rules_dir: {line}"]
    if args.json:
        print_json(Said(said=said))
        return 0
    for sentence in said:
        print(safe_line(sentence, 600))
    return 0


def _loads_it(entry: Path) -> bool:
    """Tell whether an entry script names the plugin; one that cannot be read does not."""
    from triage_tui.runs.files import read_bounded

    try:
        return PLUGIN.name.encode() in read_bounded(entry, _MAX_ENTRY)
    except TriageError:
        return False


def _ask(args: argparse.Namespace) -> int:
    """Ask a tool, and say what it proposes."""
    from triage_tui.cli.rounds import cancelled_by_signals
    from triage_tui.retry.sharing.tool_proposals import ask_tool
    from triage_tui.retry.workspace import Workspace

    if not 0 < args.timeout < 1e6:
        raise TriageError(f"--timeout takes a number of seconds above 0, not {args.timeout:g}")
    if args.env is not None and not Path(args.env).is_file():
        raise TriageError(f"{safe_line(args.env, 200)} is no file: --env names the settings of the tool")
    workspace = Workspace.at(args.workspace)
    run_id = workspace.run_dir(args.run).name
    with cancelled_by_signals() as cancel:
        said = ask_tool(
            workspace,
            run_id,
            args.cmd,
            seconds=args.timeout,
            cancel=cancel,
            tell=lambda line: say(f"tool: {line}"),
            keep_secrets=args.keep_secrets,
            env=Path(args.env).absolute() if args.env is not None else None,
        )
    tell(args, Said(said=[said]))
    return 0
