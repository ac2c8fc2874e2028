"""All that is checked of a rule before it is approved, the same for the app and the commands."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.retry.rules.named_rules import NamedRule, active_of
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, manifest
from triage_tui.rulebook.check.body import read_body
from triage_tui.rulebook.check.conflicts import conflicts
from triage_tui.rulebook.check.findings import Finding, in_order
from triage_tui.rulebook.check.lint import lint_all
from triage_tui.rulebook.check.recorded import Matched, is_broad, matched_in
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.lua.syntax import NotUnderstood
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run


def active_texts(target_dir: Path) -> dict[str, bytes]:
    """Return the texts of the active rules of a target by their paths, none where they cannot be read."""
    try:
        return texts_of(generations.current(target_dir))
    except TriageError:
        return {}


def texts_of(generation: Generation | None) -> dict[str, bytes]:
    """Return the texts of a generation by their paths, none for no generation.

    Raises:
        TriageError: a file of it cannot be read.
    """
    if generation is None:
        return {}
    return {name: manifest.read_file(generation, name) for name in generation.files}


def check_texts(
    sources: Mapping[str, bytes], arch: str, active: Mapping[str, bytes]
) -> dict[str, list[Finding]]:
    """Return what is wrong with proposed rules, by file name; nothing of them is executed.

    `arch` is that of the program, "" where it is not known; `active` are the active rules of its target.

    Raises:
        TriageError: the rule host, which compiles the texts, cannot be started.
    """
    found = lint_all(sources, arch)
    return {name: in_order([*found[name], *conflicts(name, sources[name], active)]) for name in sources}


def breadth(matched: Matched | None, syscall: str, source: bytes) -> list[Finding]:
    """Return a warning about a rule that acts and is for more than half of many recorded calls."""
    if matched is None or not is_broad(matched.matched, matched.calls):
        return []
    try:
        acts = bool(read_body(source).acts)
    except (NotUnderstood, ImportError):
        acts = True
    told = (
        f"would match {matched.matched} of {matched.calls} recorded {syscall} calls, more than half of them"
    )
    return [Finding(1, "warning", "broad", told)] if acts else []


def check_at_calls(
    run_id: str, arch: str, calls: Iterable[Syscall], name: str, source: bytes
) -> list[Finding]:
    """Return what is wrong with a rule once it is run, in the rule host, over the calls of one run.

    Raises:
        TriageError: it is no rule, or the rule host cannot be started.
    """
    from triage_tui.rulebook.check.replay import replay

    return replay(run_id, arch, calls, name, source).findings


def first_error(
    name: str, source: bytes, run: Run, active: Mapping[str, bytes], *, run_it: bool
) -> Finding | None:
    """Return why a rule that `run` proposes cannot be approved, None when it can be.

    With `run_it` it is run over the calls of the run too, once its text is well.
    """
    arch = run.snapshot.target.arch
    errors = [one for one in check_texts({name: source}, arch, active)[name] if one.severity == "error"]
    if not errors and run_it and kind_of(name) != "start":
        found = check_at_calls(run.run_id, arch, run.trace(), name, source)
        errors = [one for one in found if one.severity == "error"]
    return errors[0] if errors else None


def _breadth_in(run: Run, rule: NamedRule) -> list[Finding]:
    # A broken header is among the findings of the lint.
    if rule.kind != "syscall":
        return []
    with contextlib.suppress(TriageError):
        arch = run.snapshot.target.arch
        matched = matched_in(run.run_id, arch, run.trace(), rule.file, rule.source)
        return breadth(matched, rule.syscall, rule.source)
    return []


def check_named(
    workspace: Workspace, rules: Iterable[NamedRule], *, run_them: bool
) -> dict[str, list[Finding]]:
    """Return what is wrong with rules that a person named, by their names.

    Those of a run are held against its architecture and the active rules of its target; with `run_them` they
    are run over its calls as well.

    Raises:
        TriageError: a run cannot be read, or the rule host cannot be started.
    """
    groups: defaultdict[tuple[str, str], list[NamedRule]] = defaultdict(list)
    for rule in rules:
        groups[rule.run_id, rule.target_id].append(rule)
    found: dict[str, list[Finding]] = {}
    for (run_id, target_id), group in groups.items():
        run = workspace.load(run_id) if run_id else None
        arch = run.snapshot.target.arch if run is not None else ""
        active = {one.file: one.source for one in active_of(workspace, target_id)} if target_id else {}
        checked = check_texts({rule.name: rule.source for rule in group}, arch, active)
        for rule in group:
            findings = checked[rule.name]
            if run is not None:
                findings = in_order([*findings, *_breadth_in(run, rule)])
            clean = not any(one.severity == "error" for one in findings)
            if run is not None and run_them and clean and rule.syscalls:
                at_calls = check_at_calls(run_id, arch, run.trace(), rule.file, rule.source)
                findings = in_order([*findings, *at_calls])
            found[rule.name] = findings
    return found
