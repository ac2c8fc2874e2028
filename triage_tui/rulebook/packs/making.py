"""Making a rule pack of the active rules of a target, with what the runs know of their conditions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from triage_tui import __version__
from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile
from triage_tui.rulebook.generations import Generation, verify
from triage_tui.rulebook.manifest import read_file
from triage_tui.rulebook.packs.format import (
    MAX_RULES,
    MAX_TEXT,
    PACK_NAME,
    SCHEMA_VERSION,
    Conditions,
    PackManifest,
    PackRule,
    StableSet,
    packed,
    rules_digest,
)
from triage_tui.runs.ids import is_run_id
from triage_tui.text import safe_line


def pack_of(
    generation: Generation,
    target: str,
    runs_dir: Path,
    name: str,
    description: str,
    words: Sequence[str] = (),
    stable: StableSet | None = None,
    cases: Mapping[str, bytes] | None = None,
    only: Collection[str] | None = None,
) -> bytes:
    """Return a pack of the rules of a generation; with `words` only those whose file names hold one of them.

    `only` names the files that are taken; `stable` and `cases` make it a stable set.

    Raises:
        TriageError: the generation was changed, no rule is chosen, or the name is none for a pack.
    """
    if not PACK_NAME.fullmatch(name):
        raise TriageError(
            f"{safe_line(name, 80)!r} is no name for a pack: small letters, digits, - and _, 63 at most"
        )
    if problems := verify(generation):
        raise TriageError(f"nothing was exported: {problems[0]}")
    chosen = [file for file in sorted(generation.files) if not words or any(word in file for word in words)]
    if only is not None:
        chosen = [file for file in chosen if file in only]
    if not chosen:
        raise TriageError(f"no active rule of this target is named like {safe_line(', '.join(words), 100)}")
    if len(chosen) > MAX_RULES:
        raise TriageError(
            f"a pack holds at most {MAX_RULES} rules, not {len(chosen)}: choose some with --rule"
        )
    texts = {file: read_file(generation, file) for file in chosen}
    rules = [_described(file, data, runs_dir) for file, data in texts.items()]
    manifest = PackManifest(
        name=name,
        description=safe_line(description, MAX_TEXT),
        engine_version=__version__,
        rule_header_version=rulefile.VERSION,
        rules_sha256=rules_digest(rules),
        count=len(rules),
        architectures=sorted({rule.conditions.arch for rule in rules} - {""}),
        target=safe_line(target, 120),
        generation=generation.number,
        generation_digest=generation.digest,
        rules=rules,
        stable=stable,
        schema_version=SCHEMA_VERSION if stable is not None else 1,
    )
    return packed(manifest, texts, cases)


def _described(file: str, data: bytes, runs_dir: Path) -> PackRule:
    header = rulefile.parse(data).header
    source = rulefile.to_source(file, data)
    return PackRule(
        file=file,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        id=header.id,
        syscall=source.syscall,
        intent=header.intent,
        match=header.match,
        hit_limit=header.hit_limit,
        risk=header.risk,
        side_effects=header.effect,
        inverse=header.inverse,
        conditions=_conditions(header, source.syscalls, runs_dir),
    )


def _conditions(header: rulefile.RuleHeader, syscalls: Collection[str], runs_dir: Path) -> Conditions:
    """Return what the run says that the rule was proposed for; nothing where it is not here any more."""
    from triage_tui.runs.reader import load_run

    if not is_run_id(header.run):
        return Conditions()
    try:
        run = load_run(runs_dir / header.run)
    except TriageError:
        return Conditions()
    path = header.match.partition("path=")[2].partition(" ")[0]
    errnos = {
        call.errno
        for call in run.trace()
        if call.name in syscalls and call.errno and (not path or (call.path or "") == path)
    }
    target = run.snapshot.target
    return Conditions(arch=target.arch, binary_sha256=target.program_sha256, errnos=sorted(errnos)[:32])
