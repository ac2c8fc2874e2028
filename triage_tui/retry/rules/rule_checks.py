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
from triage_tui.sfemu import rules_dir


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


def is_published(root: Path, target_id: str) -> bool:
    """Tell whether the rules of a target are published for SFEmu, so that they are checked for it."""
    if root.name != rules_dir.HOME:
        return False
    from triage_tui.sfemu import checks

    return checks.is_published(root, target_id)


def check_texts(
    sources: Mapping[str, bytes], arch: str, active: Mapping[str, bytes], *, published: bool = False
) -> dict[str, list[Finding]]:
    """Return what is wrong with proposed rules, by file name; nothing of them is executed.

    `arch` is that of the program, "" where it is not known; `active` are the active rules of its target.
    `published`: they would act on SFEmu, see `is_published`.

    Raises:
        TriageError: the rule host, which compiles the texts, cannot be started.
    """
    found: Mapping[str, list[Finding]] = lint_all(sources, arch)
    if published:
        from triage_tui.sfemu.checks import there

        found = {name: there(name, source, arch, found[name]) for name, source in sources.items()}
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
    published = is_published(run.dir.parent.parent, run.snapshot.target.target_id)
    checked = check_texts({name: source}, arch, active, published=published)
    errors = [one for one in checked[name] if one.severity == "error"]
    if not errors and run_it and kind_of(name) != "start" and can_be_tried(source, published):
        found = check_at_calls(run.run_id, arch, run.trace(), name, source)
        errors = [one for one in found if one.severity == "error"]
    return errors[0] if errors else None


def can_be_tried(source: bytes, published: bool) -> bool:
    """Tell whether our rule host can run a rule: one that is `published` may be for SFEmu alone."""
    if not published:
        return True
    from triage_tui.sfemu import checks

    return checks.can_be_tried(source)


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
        published = is_published(workspace.root, target_id)
        texts = {rule.name: rule.source for rule in group}
        checked = check_texts(texts, arch, active, published=published)
        for rule in group:
            findings = checked[rule.name]
            if run is not None:
                findings = in_order([*findings, *_breadth_in(run, rule)])
            clean = not any(one.severity == "error" for one in findings)
            tried = run_them and clean and rule.syscalls and can_be_tried(rule.source, published)
            if run is not None and tried:
                at_calls = check_at_calls(run_id, arch, run.trace(), rule.file, rule.source)
                findings = in_order([*findings, *at_calls])
            found[rule.name] = findings
    return found
