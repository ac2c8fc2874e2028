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

COMMANDS: dict[str, tuple[str, str]] = {
    "ui": ("triage_tui.cli.ui", "open the terminal app on the workspace (the default command)"),
    "serve": ("triage_tui.cli.serve", "open the app in a browser on this machine"),
    "run": ("triage_tui.cli.run", "run a program under supervision until it exits or spins, and explain why"),
    "list": ("triage_tui.cli.list", "list the runs"),
    "show": ("triage_tui.cli.show", "show one run: what happened, why, and what is proposed"),
    "memory": (
        "triage_tui.cli.memory",
        "show the memory that was kept of a run, or more of a frozen guest's",
    ),
    "add-log": (
        "triage_tui.cli.add_log",
        "put a log from elsewhere beside a run, lined up with its calls by time stamps",
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
    "reject": ("triage_tui.cli.reject", "reject what a run proposes"),
    "rollback": ("triage_tui.cli.rollback", "take back the rules that a run made active"),
    "audit": ("triage_tui.cli.audit", "say who decided what on rules, and whether that record is whole"),
    "rollout": (
        "triage_tui.cli.rollout",
        "let a rule act for more targets stage by stage, and stop it where it does harm",
    ),
    "pack": ("triage_tui.cli.pack", "hand rules on as one signed file, and take those of others"),
    "decide": ("triage_tui.cli.decide", "tell a frozen guest to resume, to start again, or to end"),
    "freeze": ("triage_tui.cli.freeze", "freeze a guest that runs, and record what it is doing"),
    "retry": ("triage_tui.cli.retry", "run a target again with the active rules and judge the result"),
    "diagnose": (
        "triage_tui.cli.diagnose",
        "diagnose recorded runs again, with the knowledge base as it is now",
    ),
    "experiment": (
        "triage_tui.cli.experiment",
        "try what would make the cause surer, and say what was learnt",
    ),
    "watch": ("triage_tui.cli.watch", "print runs as they appear and change"),
    "demo": ("triage_tui.cli.demo", "fetch real foreign programs and play the whole story on them"),
    "setup": ("triage_tui.cli.setup", "fetch QEMU and the demo's programs, without root"),
    "bench": ("triage_tui.cli.bench", "play labelled failures end to end and say how far the rules get"),
    "eval": ("triage_tui.cli.eval", "run labelled failures and say how often the diagnosis is right"),
    "kb": ("triage_tui.cli.kb", "check, try, explain and measure the knowledge base"),
    "golden": ("triage_tui.cli.golden", "replay recorded runs and compare with what is expected of them"),
    "rules": ("triage_tui.cli.rules", "check and explain rules, try them on recorded runs, compare them"),
    "doctor": ("triage_tui.cli.doctor", "say what this machine can do and what is missing"),
    "schema": (
        "triage_tui.cli.schema",
        "print the JSON Schema of a file of a run or of the knowledge base",
    ),
}

EXIT_SIGNALLED = 128
"""Plus the number of the signal, as a shell has it."""
EXIT_INTERRUPTED = EXIT_SIGNALLED + signal.SIGINT
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
        "directory that holds ai_runs/ and rulebook/, by default the current one.\n"
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        from triage_tui.text import safe_line

        super().error(safe_line(message))


def _parser(name: str) -> argparse.ArgumentParser:
    text = COMMANDS[name][1]
    # Short forms of options would be looked for among the arguments of a program to run as well.
    parser = _Parser(
        prog=f"triage-tui {name}", description=f"{text[:1].upper()}{text[1:]}.", allow_abbrev=False
    )
    parser.add_argument(
        "-C", "--workspace", metavar="DIR", help="directory of ai_runs/ and rulebook/ (default: here)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    open_missing()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ("--version", "-V"):
        print(f"triage-tui {__version__}")
        return 0
    if arguments and arguments[0] in ("--help", "-h", "help"):
        print(_overview(), end="")
        return 0
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in COMMANDS):
        arguments.insert(0, "ui")
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else "`triage-tui --help` lists the commands"
        narrate(f"triage-tui: there is no command {name[:60]!a}; {hint}")
        return 2
    return _run(name, rest)


def _run(name: str, rest: list[str]) -> int:
    try:
        module = importlib.import_module(COMMANDS[name][0])
        parser = _parser(name)
        module.add_arguments(parser)
        code = module.run(parser.parse_args(rest))
        sys.stdout.flush()
        return int(code)
    except TriageError as error:
        from triage_tui.text import safe_line

        # It may name what comes from a program's file.
        narrate(f"triage-tui: {safe_line(str(error))}")
        return error.exit_code
    except Interrupted as error:
        name = signal.Signals(error.number).name
        by = "interrupted" if name == "SIGINT" else f"ended by {name}"
        narrate(f"triage-tui: {by}")
        return EXIT_SIGNALLED + error.number
    except KeyboardInterrupt:
        narrate("triage-tui: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error.
        silence_broken()
        return 0
    except OSError as error:
        silence_broken()
        if error.errno not in _FILE_TROUBLE:
            return _crashed(name, error)
        from triage_tui.text import safe_line

        where = safe_line(os.fsdecode(error.filename), 200) if error.filename else "a file"
        narrate(f"triage-tui: {where} cannot be written or read: {error.strerror}")
        return TriageError.exit_code
    except (ImportError, SyntaxError) as error:
        return _lacking(name) or _crashed(name, error)
    except Exception as error:
        return _crashed(name, error)


def _lacking(name: str) -> int:
    """Say which Python package is not there or broken, and return the exit code; 0 when all are well."""
    from triage_tui.telemetry.dependencies import lacking
    from triage_tui.text import safe_line

    found = lacking()
    if not found:
        return 0
    # Those without which nothing is run come first: they are what a command failed of.
    first = max(found, key=lambda one: one.dependency.needed)
    why = "is missing" if first.why == "none" else f"is broken ({first.why})"
    text = f"the Python package {first.dependency.package} {why}, so `{name}` cannot work: {first.mend}"
    more = "; `triage-tui doctor` names the others" if len(found) > 1 else ""
    narrate(f"triage-tui: {safe_line(text, 400)}{more}")
    return TriageError.exit_code


def _crashed(name: str, error: Exception) -> int:
    from triage_tui.cli.crash import report

    return report(name, error)
