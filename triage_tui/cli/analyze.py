"""`triage-tui analyze`: a model's second opinion on a run, added to its diagnosis."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from triage_tui.cli.output import print_json, print_table, say
from triage_tui.cli.rounds import cancelled_by_signals
from triage_tui.errors import Stopped
from triage_tui.exit_codes import SIGNALLED
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.encoding import encode_line
from triage_tui.text import safe_line

if TYPE_CHECKING:
    from triage_tui.runs.analysis_model import Progress
    from triage_tui.runs.reader import Run
    from triage_tui.runs.redaction import Redaction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run", help="run id, a unique ending of it, or `last`")
    add_model_arguments(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be sent first, and send nothing"
    )
    parser.add_argument(
        "--steps", action="store_true", help="print the steps of the latest analysis, and ask nothing"
    )
    parser.add_argument(
        "--keep-secrets",
        action="store_true",
        help="mask nothing of what is sent: only for a model of your own",
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object instead of words")
    parser.add_argument(
        "--progress",
        action="store_true",
        help="tell each second on standard error how far it is, as a line of JSON",
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which model is asked, and what it may take."""
    parser.add_argument("--model", metavar="NAME", help="model (default: $TRIAGE_TUI_MODEL, or model.yaml)")
    parser.add_argument(
        "--url", metavar="URL", help="an OpenAI-style server, such as http://127.0.0.1:8080/v1"
    )
    parser.add_argument(
        "--budget",
        metavar="LIMITS",
        help="tokens=N,money=N,seconds=N,steps=N, any of them (default tokens=120000,seconds=600,steps=40)",
    )


def _steps(record: Run, as_json: bool) -> int:
    """Print what the model was asked in the latest analysis, and what came of each step."""
    from triage_tui.analyst.journal import read_steps

    name, steps, empty = read_steps(record)
    if empty:
        say(f"{', '.join(empty)} of run {record.run_id}: ended before the first request")
    if as_json:
        print_json({"run_id": record.run_id, "analysis": name, "steps": steps})
        return 0
    rows = [
        [
            str(one.step),
            one.phase or one.kind,
            f"{one.tool} {one.arguments}" if one.kind == "tool" else one.prompt_sha256[:12],
            f"{one.tokens_in} + {one.tokens_out}" if one.tokens_in else "",
            f"{one.seconds:.1f}" if one.seconds else "",
            one.outcome,
        ]
        for one in steps
    ]
    print_table(["#", "phase", "prompt or tool", "tokens", "seconds", "outcome"], rows)
    print(safe_line(f"in {name} of run {record.run_id}", 200))
    return 0


def _dry_run(args: argparse.Namespace, record: Run, redaction: Redaction) -> int:
    """Say which requests would be sent first, and how large they are; what they hold is for `prompt show`."""
    from triage_tui.analyst.preview import preview
    from triage_tui.analyst.settings import NotConfigured, load_settings, prompt_directories
    from triage_tui.analyst.tried import told_rounds

    explain = "refine" if told_rounds(record, record.dir.parent) else "hypothesize"
    directories = prompt_directories()
    found = [preview(record, phase, directories, redaction) for phase in ("classify", "collect", explain)]
    try:
        settings = load_settings(model=args.model, url=args.url, budget=args.budget)
        whom = f"{settings.model} at {settings.url or 'its provider'}"
    except NotConfigured:
        whom = ""
    if args.json:
        print_json({"run_id": record.run_id, "to": whom or None, "requests": found})
        return 0
    rows = [
        [one.phase, one.digest[:12], str(one.tokens), str(len(one.tools)), " ".join(one.files)]
        for one in found
    ]
    print_table(["phase", "prompt", "about tokens", "tools", "from"], rows)
    print(safe_line(f"nothing was sent{f' to {whom}' if whom else ', and no model is set up'}", 400))
    print(f"`triage-tui prompt show PHASE --run {record.run_id}` prints one of them as it would be sent")
    return 0


def _say_progress(progress: Progress) -> None:
    say(encode_line(progress).decode())


def run(args: argparse.Namespace) -> int:
    """Ask the model, and print what it says."""
    from triage_tui.analyst.analysis import analyze, in_words
    from triage_tui.analyst.settings import load_settings
    from triage_tui.analyst.toolbox import CaseTools
    from triage_tui.retry.inspecting.cases import case_of
    from triage_tui.runs.redaction import Redaction

    workspace = Workspace.at(args.workspace)
    record = workspace.load(args.run)
    redaction = Redaction.of(record, off=args.keep_secrets)
    if args.steps:
        return _steps(record, args.json)
    if args.dry_run:
        return _dry_run(args, record, redaction)
    settings = load_settings(model=args.model, url=args.url, budget=args.budget)
    if settings.warning:
        say(f"warning: {settings.warning}")
    whom = f"{settings.model} at {settings.url}" if settings.url else settings.model
    say(f"asking {safe_line(whom, 200)}; the model library is loaded first")
    with cancelled_by_signals() as cancel:
        case = case_of(
            workspace,
            record,
            actor=f"model {settings.model}",
            redaction=redaction,
            progress=say,
            cancel=cancel,
        )
        try:
            outcome = analyze(
                record,
                settings,
                toolbox=CaseTools(case),
                redaction=redaction,
                tell=say,
                cancel=cancel,
                watch=_say_progress if args.progress else lambda progress: None,
            )
        except Stopped as stopped:
            say(f"triage-tui: {stopped}")
            return SIGNALLED + cancel.number
    if args.json:
        print_json(outcome)
        return 0
    rows = [
        [one.cause, f"{one.confidence:.2f}", str(sum(e.supported for e in one.evidence)), one.title]
        for one in outcome.hypotheses
    ]
    if rows:
        print_table(["cause", "confidence, capped", "evidence", "title"], rows)
    for proposal in outcome.proposals:
        print(safe_line(f"proposed: {proposal.title} ({', '.join(proposal.files) or 'no file'})"))
    for text in outcome.dropped:
        print(safe_line(text))
    print(safe_line(in_words(outcome), 600))
    if outcome.hypotheses:
        shown = f"`triage-tui show {record.run_id}` has both opinions"
        print(f"{shown}; nothing is active until a person approves it")
    else:
        print("the model gave no hypothesis that could be used, so the diagnosis is as it was")
    return 0
