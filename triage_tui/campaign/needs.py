"""What a target that is not well yet needs next, in words that are the same for the same need elsewhere.

Two sources, both of its last run: the proposals that nobody decided on, and the keys of a router's store that
the program asked for and that had no value (the plugin `nvram` logs them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from triage_tui.campaign.model import Need
from triage_tui.diagnosis.signature import subject_of
from triage_tui.errors import TriageError
from triage_tui.retry.judging.ends import is_healthy
from triage_tui.runs.diagnosis_model import Hypothesis, Proposal
from triage_tui.runs.events import read_events
from triage_tui.runs.reader import Run
from triage_tui.runs.writer import RULES_LOG
from triage_tui.text import safe_line

MAX_NEEDS = 40
"""Needs that are kept of one target."""
MAX_LOG_BYTES = 1 << 20

_NOUNS = {
    "missing_file": "file",
    "missing_dir": "directory",
    "missing_device": "device",
    "missing_library": "library",
    "missing_peer": "peer",
    "missing_interface": "network interface",
    "helper_exec": "program",
    "nvram_key": "key store",
    "mtd_flash": "flash partitions",
}
"""Cause -> what would mend it, where the cause is that something is not there."""
KEY = "NVRAM default"
_ASKED = re.compile(r"\bnvram: asked for ([^\s:][^\n]{0,199}?): not set\b")
_KEY_FILE = re.compile(r"/[^/]*nvram[^/]*/([^/]{1,200})\Z")
"""A store may be a directory with a file for each key."""
_PASSING = ("/proc/", "/tmp/", "/var/tmp/", "/var/run/", "/run/", "/dev/shm/")
"""Where names often hold the number of a process, or are drawn by lot."""
_TELLS_NOTHING = frozenset(("", "unknown", "normal_exit"))


def needs_of(run: Run) -> list[Need]:
    """Return what the program of a run needs to go on, what is likeliest first.

    Each subject comes once with each template that could supply it, and once without one where nothing is
    proposed for it. One that looks well may still have asked for keys in vain; nothing else is needed by it.
    """
    diagnosis = run.diagnosis
    if diagnosis is None:
        return []
    keys = [_need_of_key(run, name) for name in _unset_keys(run)]
    if is_healthy(run):
        return keys
    found = list(_proposed(run))
    best = diagnosis.hypotheses[0] if diagnosis.hypotheses else None
    if best is not None and best.cause not in _TELLS_NOTHING:
        about = subject(best)
        if about and not any(need.subject == about for need in found):
            found.insert(0, Need(subject=about, kind=_kind(best), cause=best.cause, run=run.run_id))
        return [*found, *keys][:MAX_NEEDS]
    # What ended it is not known: a key that it asked for in vain is the better trace.
    return [*keys, *found][:MAX_NEEDS]


def subject(hypothesis: Hypothesis) -> str:
    """Return in words what a hypothesis says is needed: "file /etc/a.xml", "NVRAM default lan_ipaddr".

    "" where the record does not say which: two programs without "a file" do not need the same.
    """
    cause, thing = hypothesis.cause, _thing(hypothesis)
    if (match := _KEY_FILE.search(thing)) is not None and cause in ("missing_file", "nvram_key"):
        return safe_line(f"{KEY} {match[1]}", 300)
    if thing and cause in _NOUNS:
        return safe_line(f"{_NOUNS[cause]} {thing}", 300)
    # Where nothing is missing, the failure itself is what has to be got past.
    told = hypothesis.signature.removeprefix(cause).strip() or thing
    return safe_line(f"{cause.replace('_', ' ')} {told}", 300) if told else ""


def _kind(hypothesis: Hypothesis) -> str:
    """Return what kind of thing is missing, "" where it is not known which or nothing is."""
    return _NOUNS.get(hypothesis.cause, "") if _thing(hypothesis) else ""


def _thing(hypothesis: Hypothesis) -> str:
    """Return what a hypothesis is about; a path as it is, unless another run may give it another name."""
    given = hypothesis.parameters
    if hypothesis.cause == "missing_interface" and (interface := given.get("interface", "")):
        # Whatever was asked of it.
        return interface
    path = given.get("directory" if hypothesis.cause == "missing_dir" else "absolute", "")
    if path.startswith("/") and not path.startswith(_PASSING) and given.get("resource") != "library":
        return path
    return subject_of(hypothesis.cause, given)


def _proposed(run: Run) -> Iterator[Need]:
    assert run.diagnosis is not None
    decided = _decided(run)
    seen: set[tuple[str, str]] = set()
    for rank, proposal in enumerate(run.diagnosis.proposals):
        hypotheses = run.diagnosis.hypotheses
        if proposal.observe_only or proposal.not_on_sfemu or _is_decided(proposal, decided):
            continue
        if not 0 <= proposal.hypothesis < len(hypotheses):
            continue
        hypothesis = hypotheses[proposal.hypothesis]
        key = proposal.template, subject(hypothesis)
        if key in seen:
            continue
        seen.add(key)
        yield Need(
            template=safe_line(proposal.template, 80),
            subject=key[1],
            title=safe_line(proposal.title, 300),
            cause=hypothesis.cause,
            run=run.run_id,
            proposal=safe_line(proposal.id, 120),
            risk=proposal.risk,
            needs_input=safe_line(proposal.needs_input or "", 300),
            kind=_kind(hypothesis),
            source=proposal.source,
            rank=rank,
        )


def _decided(run: Run) -> set[str]:
    """Return the names of the rule files of a run that a person, or a policy, made active."""
    found: set[str] = set()
    # What was decided since the run was read counts as well.
    for event in read_events(run.dir)[0]:
        if event.kind == "approved":
            files = event.payload.get("files")
            if isinstance(files, (dict, list)):
                found.update(str(name) for name in files)
    return found


def _is_decided(proposal: Proposal, decided: set[str]) -> bool:
    return bool(proposal.files) and decided.issuperset(proposal.files)


def _unset_keys(run: Run) -> list[str]:
    """Return the keys that the program asked a store of rules for and that were not there, each once."""
    if not run.snapshot.rule_hits:
        return []
    try:
        log = run.text_file(f"logs/{RULES_LOG}", MAX_LOG_BYTES)
    except TriageError:
        return []
    return list(dict.fromkeys(match[1] for match in _ASKED.finditer(log)))[:MAX_NEEDS]


def _need_of_key(run: Run, name: str) -> Need:
    return Need(
        template="nvram_store",
        subject=safe_line(f"{KEY} {name}", 300),
        kind="key",
        title=safe_line(f"Give the key {name} of the store a value", 300),
        cause="nvram_key",
        run=run.run_id,
        needs_input=safe_line(f"supply the value of {name}", 300),
    )
