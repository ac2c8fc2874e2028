"""The command `triage-tui`: find the command's module, let it parse, run it, turn errors into one sentence.

Nothing but argparse is imported until a command is known, so that `--help` and `--version` are as quick as
the interpreter allows.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from triage_tui import __version__
from triage_tui.cli.streams import narrate, open_missing, silence_broken
from triage_tui.errors import Interrupted, TriageError
from triage_tui.exit_codes import CONFLICT, CRASH, DONE, REFUSED, SIGNALLED

COMMANDS: dict[str, tuple[str, str]] = {
    "ui": ("triage_tui.cli.ui", "open the terminal app on the workspace (the default command)"),
    "serve": ("triage_tui.cli.serve", "open the app in a browser on this machine"),
    "run": ("triage_tui.cli.run", "run a program under supervision until it exits or spins, and explain why"),
    "list": ("triage_tui.cli.list", "list the runs"),
    "show": ("triage_tui.cli.show", "show one run: what happened, why, and what is proposed"),
    "trace": (
        "triage_tui.cli.trace",
        "show the way of a run, a rule or a story: evidence, decisions, what came of them",
    ),
    "memory": (
        "triage_tui.cli.memory",
        "show the memory that was kept of a run, or more of a frozen guest's",
    ),
    "add-log": (
        "triage_tui.cli.add_log",
        "put a log from elsewhere beside a run, lined up with its calls by time or content",
    ),
    "report": ("triage_tui.cli.report", "write the diagnosis of a run as a report, in English or Chinese"),
    "export": ("triage_tui.cli.export", "write runs as Markdown, HTML or a bundle, for others to read"),
    "import": ("triage_tui.cli.import_bundle", "take the run of a bundle into this workspace"),
    "analyze": (
        "triage_tui.cli.analyze",
        "ask a model for a second opinion on a run; needs one to be set up",
    ),
    "prompt": ("triage_tui.cli.prompt", "list the prompts of the model, and show what would be sent"),
    "code": ("triage_tui.cli.code", "show the code of a frame; decompile it if asked to"),
    "binary": ("triage_tui.cli.binary", "say what is known of a program file: functions, calls, strings"),
    "mcp": ("triage_tui.cli.mcp", "offer the tools to outside agents over the Model Context Protocol"),
    "tool": ("triage_tui.cli.tool", "ask about a run with one of the tools that a model gets"),
    "approve": ("triage_tui.cli.approve", "approve proposed rules and make them active"),
    "edit": ("triage_tui.cli.edit", "change the text of a proposed rule, in an editor or from a file"),
    "reject": ("triage_tui.cli.reject", "reject what a run proposes"),
    "rollback": ("triage_tui.cli.rollback", "take back the rules that a run made active"),
    "audit": ("triage_tui.cli.audit", "say who decided what on rules, and whether that record is whole"),
    "rollout": (
        "triage_tui.cli.rollout",
        "let a rule act for more targets stage by stage, and stop it where it does harm",
    ),
    "policy": (
        "triage_tui.cli.policy",
        "show and check the written policy by which rules are approved without a person",
    ),
    "pack": ("triage_tui.cli.pack", "hand rules on as one signed file, and take those of others"),
    "stable": (
        "triage_tui.cli.stable",
        "hand on the rules that a target needs, tested, and watch for what they mended",
    ),
    "decide": ("triage_tui.cli.decide", "tell a frozen guest to resume, to start again, or to end"),
    "freeze": ("triage_tui.cli.freeze", "freeze a guest that runs, and record what it is doing"),
    "retry": ("triage_tui.cli.retry", "run a target again with the active rules and judge the result"),
    "resume": ("triage_tui.cli.resume", "go on with a run from exactly where it stands"),
    "diagnose": (
        "triage_tui.cli.diagnose",
        "diagnose recorded runs again, with the knowledge base as it is now",
    ),
    "experiment": (
        "triage_tui.cli.experiment",
        "try what would make the cause surer, and say what was learnt",
    ),
    "counterfactual": (
        "triage_tui.cli.counterfactual",
        "run the same start without and with a proposed rule, and show both futures",
    ),
    "minimise": (
        "triage_tui.cli.minimise",
        "find out which active rules a run needs, and propose the smaller set",
    ),
    "bisect": (
        "triage_tui.cli.bisect",
        "find the change of rules that made a run get less far",
    ),
    "watch": ("triage_tui.cli.watch", "print what happens to runs as it happens, and wait for something"),
    "campaign": (
        "triage_tui.cli.campaign",
        "play many targets, on this machine or on many, and say what came of them",
    ),
    "demo": ("triage_tui.cli.demo", "fetch real foreign programs and play all rounds on them"),
    "setup": ("triage_tui.cli.setup", "fetch QEMU and the demo's programs, without root"),
    "bench": ("triage_tui.cli.bench", "play labelled failures end to end and say how far the rules get"),
    "eval": ("triage_tui.cli.eval", "run labelled failures and say how often the diagnosis is right"),
    "kb": ("triage_tui.cli.kb", "check, try, explain and measure the knowledge base"),
    "golden": ("triage_tui.cli.golden", "replay recorded runs and compare with what is expected of them"),
    "rules": ("triage_tui.cli.rules", "check and explain rules, try them on recorded runs, compare them"),
    "sfemu": ("triage_tui.cli.sfemu", "have SFEmu's pauses decided here, and its tools asked about runs"),
    "sfemu-ai": ("triage_tui.cli.sfemu_ai", "diagnose a stop for SFEmu: what SFEMU_AI_CMD is set to"),
    "doctor": ("triage_tui.cli.doctor", "say what this machine can do and what is missing"),
    "completion": (
        "triage_tui.cli.completion",
        "print what makes bash, zsh or fish complete commands, runs and rules",
    ),
    "schema": (
        "triage_tui.cli.schema",
        "print the JSON Schema of a file of a run, of the knowledge base, or of what a command prints",
    ),
}

SECOND_WORDS: dict[str, dict[str, str]] = {
    "campaign": {
        "list": "triage_tui.cli.campaign_list",
        "show": "triage_tui.cli.campaign_show",
        "report": "triage_tui.cli.campaign_report",
    }
}
"""Commands that take names of files, and whose first word may be one of these instead: each has a module."""

_FILE_TROUBLE = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG)
)
"""What is wrong with a place, not with the program."""


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return (
        "usage: triage-tui [--version] [--help] [COMMAND] [ARGUMENTS...]\n\n"
        "Freeze a firmware program at the moment it fails under QEMU user mode, explain the failure,\n"
        "propose a reversible rule, retry, and judge whether it got further.\n\n"
        "commands:\n" + "\n".join(lines) + "\n\n"
        "Each command tells its own options with --help. All take -C DIR (or $TRIAGE_TUI_WORKSPACE): the\n"
        "directory that holds ai_runs/ and rulebook/, by default the current one.\n\n"
        "exit codes: 0 done, or yes; 1 done, and the answer is no; 2 not done; 3 not done: somebody else\n"
        "decided first; 4 a person must decide; 70 an error of this program; 128+N ended by signal N\n"
    )


class _WrongUse(SystemExit):
    """A command line that no command takes; its usage and the sentence are printed."""

    def __init__(self, message: str) -> None:
        super().__init__(REFUSED)
        self.message = message


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        from triage_tui.text import safe_line

        message = safe_line(message)
        self.print_usage(sys.stderr)
        narrate(f"{self.prog}: error: {message}")
        raise _WrongUse(message)


def _second_word(name: str, rest: list[str]) -> int | None:
    """Return where the second word of a command stands that has a module of its own, None for none."""
    words = SECOND_WORDS.get(name, {})
    for index, word in enumerate(rest):
        if not word.startswith("-") and (not index or rest[index - 1] not in ("-C", "--workspace")):
            return index if word in words else None
    return None


def _parser(name: str, second: str = "", about: str = "") -> argparse.ArgumentParser:
    text = about.partition("`: ")[2].partition("\n")[0].rstrip(".") if second else COMMANDS[name][1]
    # Short forms of options would be looked for among the arguments of a program to run as well.
    parser = _Parser(
        prog=f"triage-tui {name} {second}".strip(),
        description=f"{text[:1].upper()}{text[1:]}.",
        allow_abbrev=False,
    )
    _add_workspace(parser)
    return parser


def _add_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-C", "--workspace", metavar="DIR", help="directory of ai_runs/ and rulebook/ (default: here)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    if "_ARGCOMPLETE" in os.environ:
        # A shell asks what can follow; its answer goes to descriptor 8, which must not be taken.
        from triage_tui.cli.completing import complete

        complete(COMMANDS, SECOND_WORDS, _add_workspace)
    open_missing()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ("--version", "-V"):
        print(f"triage-tui {__version__}")
        return DONE
    if arguments and arguments[0] in ("--help", "-h", "help"):
        print(_overview(), end="")
        return DONE
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in COMMANDS):
        arguments.insert(0, "ui")
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else "`triage-tui --help` lists the commands"
        narrate(f"triage-tui: there is no command {name[:60]!a}; {hint}")
        return REFUSED
    return _run(name, rest)


def _run(name: str, rest: list[str]) -> int:
    # What follows `--` belongs to a program. Known before the rest is parsed, which may fail.
    as_json = "--json" in (rest[: rest.index("--")] if "--" in rest else rest)
    try:
        second = _second_word(name, rest)
        if second is None:
            module = importlib.import_module(COMMANDS[name][0])
            parser = _parser(name)
        else:
            word = rest[second]
            module = importlib.import_module(SECOND_WORDS[name][word])
            parser = _parser(name, word, module.__doc__ or "")
            rest = [*rest[:second], *rest[second + 1 :]]
        module.add_arguments(parser)
        args = parser.parse_args(rest)
        as_json = getattr(args, "json", False) is True
        code = module.run(args)
        sys.stdout.flush()
        return int(code)
    except _WrongUse as error:
        _failed(name, "usage", error.message, REFUSED, as_json, said=True)
        raise
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error.
        silence_broken()
        return DONE
    except (Exception, KeyboardInterrupt) as error:
        kind, message, code = _trouble(name, error)
        return _failed(name, kind, message, code, as_json)


def _trouble(name: str, error: BaseException) -> tuple[str, str, int]:
    """Return the kind of what ended a command, one sentence of it, and the exit code."""
    from triage_tui.text import safe_line

    match error:
        case TriageError():
            # It may name what comes from a program's file.
            kind = "conflict" if error.exit_code == CONFLICT else "refused"
            return kind, safe_line(str(error)), error.exit_code
        case Interrupted():
            signal_name = signal.Signals(error.number).name
            by = "interrupted" if signal_name == "SIGINT" else f"ended by {signal_name}"
            return "interrupted", by, SIGNALLED + error.number
        case KeyboardInterrupt():
            return "interrupted", "interrupted", SIGNALLED + signal.SIGINT
        case OSError() if error.errno in _FILE_TROUBLE:
            silence_broken()
            where = safe_line(os.fsdecode(error.filename), 200) if error.filename else "a file"
            return "refused", f"{where} cannot be written or read: {error.strerror}", REFUSED
        case ImportError() | SyntaxError() if missing := _lacking(name):
            return "refused", missing, REFUSED
        case _:
            from triage_tui.cli.crash import sentence

            silence_broken()
            return "internal", sentence(name, error), CRASH


def _failed(name: str, kind: str, message: str, code: int, as_json: bool, said: bool = False) -> int:
    """Say what ended a command, as the last line of its output too where that is JSON; return `code`."""
    if not said:
        narrate(f"triage-tui: {message}")
    if as_json:
        import json

        told = {"error": {"kind": kind, "message": message, "exit_code": code, "command": name}}
        try:
            print(json.dumps(told).replace("\x7f", "\\u007f"), flush=True)
        except OSError:
            silence_broken()
    return code


def _lacking(name: str) -> str:
    """Return which Python package is not there or broken, in one sentence; "" when all are well."""
    from triage_tui.telemetry.dependencies import lacking
    from triage_tui.text import safe_line

    found = lacking()
    if not found:
        return ""
    # Those without which nothing is run come first: they are what a command failed of.
    first = max(found, key=lambda one: one.dependency.needed)
    why = "is missing" if first.why == "none" else f"is broken ({first.why})"
    text = f"the Python package {first.dependency.package} {why}, so `{name}` cannot work: {first.mend}"
    more = "; `triage-tui doctor` names the others" if len(found) > 1 else ""
    return f"{safe_line(text, 400)}{more}"
