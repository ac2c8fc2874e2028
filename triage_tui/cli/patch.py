"""The hunks of a run's proposed rules on the command line: listing them, and naming some of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from triage_tui.cli.output import print_json
from triage_tui.errors import TriageError
from triage_tui.retry.rules import proposed, rule_checks
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, rulefile
from triage_tui.rulebook.check import explain, recorded
from triage_tui.rulebook.check.findings import Finding, in_order
from triage_tui.rulebook.check.recorded import Matched
from triage_tui.rulebook.choices import Approval, approval_of
from triage_tui.rulebook.hunks import Difference, digest_of, walk
from triage_tui.rulebook.shown import caveats, line_text
from triage_tui.runs.reader import Run
from triage_tui.text import safe_line

_CONTEXT = 3
_KEY = 12
"""Digits of a hunk's key that are printed."""


def show_hunks(workspace: Workspace, record: Run, as_json: bool) -> None:
    """Print each proposed rule file as hunks against the active rule, numbered, with their keys."""
    found = _differences(workspace, record)
    known = _known(workspace, record, found)
    if as_json:
        files = [
            _as_data(name, one, known.get(name)) | _source(record, name, one) for name, one in found.items()
        ]
        print_json({"run_id": record.run_id, "state": record.state, "files": files})
        return
    if not found:
        print("no rule is proposed for this run")
    for name, one in found.items():
        _print_file(name, one, known.get(name), _source(record, name, one).get("source", ""))


def _source(record: Run, name: str, one: Difference | str) -> dict[str, str]:
    """Return whose idea a rule file is, nothing for one that cannot be read."""
    if isinstance(one, str):
        return {}
    proposals = record.diagnosis.proposals if record.diagnosis else []
    if proposed.by_model(proposals, name, one.new):
        return {"source": "model"}
    ideas = (proposal.source for proposal in proposals if name in proposal.files)
    return {"source": next((idea for idea in ideas if idea != "model"), "kb")}


def chosen(workspace: Workspace, record: Run, wanted: Sequence[str]) -> list[Approval]:
    """Return the approval of the hunks that `--hunk FILE:WHICH` names; WHICH are numbers or keys.

    Raises:
        TriageError: there is no such file or no such hunk.
    """
    taken: dict[str, set[int]] = {}
    found = _differences(workspace, record)
    for text in wanted:
        name, _, which = text.rpartition(":")
        one = found.get(name)
        if one is None:
            raise TriageError(
                f"{safe_line(text, 80)!r} names no hunk of run {record.run_id}: write FILE:NUMBER, "
                f"as `triage-tui show {record.run_id} --section patch` lists them"
            )
        if isinstance(one, str):
            raise TriageError(one)
        taken.setdefault(name, set()).update(_number(name, one, word) for word in which.split(","))
    return [
        approval_of(name, one, numbers)
        for name, numbers in taken.items()
        if isinstance(one := found[name], Difference)
    ]


def _number(name: str, one: Difference, word: str) -> int:
    if word.isascii() and word.isdigit() and len(word) < 6 and 0 < int(word) <= len(one.hunks):
        return int(word) - 1
    keys = [number for number, key in enumerate(one.keys) if len(word) >= 6 and key.startswith(word)]
    if len(keys) == 1:
        return keys[0]
    count = len(one.hunks)
    raise TriageError(
        f"{safe_line(name)} has no hunk {safe_line(word, 40)!r}: it has {count or 'none'}"
        f"{f', numbered from 1 to {count}' if count else ', it is active as it is'}"
    )


def _differences(workspace: Workspace, record: Run) -> dict[str, Difference | str]:
    """Return each file's difference, or one sentence that says why there is none."""
    active = generations.current(workspace.rulebook_dir(record.snapshot.target.target_id))
    found: dict[str, Difference | str] = {}
    for name in record.patch_files():
        try:
            found[name] = proposed.difference(record.dir, name, active)
        except TriageError as error:
            found[name] = str(error)
    return found


class _Known(msgspec.Struct, frozen=True):
    """What is known of a rule beyond its text."""

    sentence: str
    findings: list[Finding]
    recorded: Matched | None


def _known(workspace: Workspace, record: Run, found: dict[str, Difference | str]) -> dict[str, _Known]:
    texts = {name: one.new for name, one in found.items() if isinstance(one, Difference)}
    target = record.snapshot.target
    active = rule_checks.active_texts(workspace.rulebook_dir(target.target_id))
    published = rule_checks.is_published(workspace.root, target.target_id)
    findings = rule_checks.check_texts(texts, target.arch, active, published=published)
    known = {}
    for name, text in texts.items():
        sentence, matched = "", None
        # A broken header is among the findings.
        with contextlib.suppress(TriageError):
            sentence = explain.sentence_of(name, text)
            arch = record.snapshot.target.arch
            matched = recorded.matched_in(record.run_id, arch, record.trace(), name, text)
            syscall = rulefile.to_source(name, text).syscall
            findings[name] = in_order([*findings[name], *rule_checks.breadth(matched, syscall, text)])
        known[name] = _Known(sentence, findings[name], matched)
    return known


def _as_data(name: str, one: Difference | str, known: _Known | None) -> dict[str, Any]:
    if isinstance(one, str) or known is None:
        return {"file": name, "problem": one}
    return {
        "file": name,
        "does": known.sentence,
        "recorded": known.recorded,
        "findings": known.findings,
        "sha256": digest_of(one.new),
        "active_sha256": digest_of(one.old) or None,
        "not_exact": caveats(one.new),
        "hunks": [
            {
                "number": number,
                "key": key,
                "old_start": hunk.old_start + 1,
                "new_start": hunk.new_start + 1,
                "removed": [line_text(line) for line in one.old_lines[hunk.old_start : hunk.old_end]],
                "added": [line_text(line) for line in one.new_lines[hunk.new_start : hunk.new_end]],
            }
            for number, (hunk, key) in enumerate(zip(one.hunks, one.keys, strict=True), 1)
        ],
    }


def _print_file(name: str, one: Difference | str, known: _Known | None, source: str) -> None:
    print(f"--- {safe_line(name)}")
    if source == "model":
        print("proposed by a model: read it; it is approved by itself, not with others")
    elif source == "sfemu":
        print("written by SFEmu's own tool: read it; a person must name it to approve it")
    elif source == "pack":
        print("from a pack (proposed-by in its header): a person must name it to approve it")
    if isinstance(one, str) or known is None:
        print(safe_line(str(one)))
        return
    if known.sentence:
        print(safe_line(known.sentence))
    if known.recorded is not None:
        words = recorded.in_words(known.recorded, rulefile.to_source(name, one.new).syscall)
        print(safe_line(f"{words} ({known.recorded.how})"))
    for finding in known.findings:
        print(f"{finding.severity}: line {finding.line}: {safe_line(finding.message)}")
    for caveat in caveats(one.new):
        print(f"note: {safe_line(caveat)}")
    if not one.hunks:
        print("active as it is")
    elif one.old is None:
        print("a new rule")
    near = _near(one)
    number = -1
    for place, line in enumerate(walk(one)):
        if line.hunk >= 0 and line.hunk != number:
            number = line.hunk
            hunk = one.hunks[number]
            key = re.sub(r"-1$", "", one.keys[number])[:_KEY]
            print(f"@@ hunk {number + 1} of {len(one.hunks)}: +{hunk.added} -{hunk.removed}  {key} @@")
        if place in near:
            text = one.new_lines[line.new] if line.new >= 0 else one.old_lines[line.old]
            print(f"{line.sign} {line_text(text)}")


def _near(one: Difference) -> set[int]:
    """Return the places of the lines to print: hunks, and a few lines around each."""
    changed = [place for place, line in enumerate(walk(one)) if line.hunk >= 0]
    return {near for place in changed for near in range(place - _CONTEXT, place + _CONTEXT + 1)}
