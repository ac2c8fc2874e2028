"""The tests of a stable set: its cases are diagnosed, and its rules do at their calls what they did."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from triage_tui.diagnosis.knowledge_base.cases import Case, parse_case, write_as_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.rulebook.check.replay import replay
from triage_tui.rulebook.packs.format import Frozen, Pack
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.text import few, safe_line

Answers = dict[str, int | str]


class Tried(NamedTuple):
    """One test. `why` says what is not as expected, "" where all is."""

    what: str
    why: str = ""


def try_set(pack: Pack) -> Iterator[Tried]:
    """Run the tests of a stable set; a pack that is none has no tests.

    Raises:
        TriageError: a case is none, or the rule host cannot be started.
    """
    stable = pack.manifest.stable
    if stable is None:
        return
    cases = {one.file: parse_case(pack.cases[one.file], one.file) for one in stable.cases}
    for one in stable.cases:
        found = diagnosed(cases[one.file])
        now = found.hypotheses[0].signature
        expected = (one.signature, one.healthy)
        why = "" if (now, found.healthy) == expected else f"diagnosed as {now}, {one.signature} expected"
        yield Tried(f"{one.file} is diagnosed", safe_line(why, 400))
    for test in stable.tests:
        yield Tried(f"{test.rule} on {test.case}", _unmet(test, pack, cases[test.case]))


def diagnosed(case: Case) -> Diagnosis:
    """Return the diagnosis of a case."""
    with tempfile.TemporaryDirectory(prefix="triage-tui-case-") as scratch:
        return diagnose(write_as_run(case, Path(scratch) / "run"))


def does(file: str, text: bytes, case: Case) -> tuple[list[int], Answers]:
    """Return the numbers of the calls of a case at which a rule acts, and what it answers.

    Raises:
        TriageError: it is no rule, or the rule host cannot be started.
    """
    done = replay("case", case.snapshot.target.arch, case.calls, file, text)
    return [one.seq for one in done.acted], {str(seq): told for seq, told in done.answers.items()}


def _unmet(test: Frozen, pack: Pack, case: Case) -> str:
    acts, answers = does(test.rule, pack.rules[test.rule], case)
    if acts != test.acts:
        return f"acts at calls {few(acts)}, {few(test.acts)} expected"
    if answers != test.answers:
        seq = next(seq for seq in (*test.answers, *answers) if answers.get(seq) != test.answers.get(seq))
        got, wanted = answers.get(seq, "no answer"), test.answers.get(seq, "no answer")
        return safe_line(f"call {seq} gets {got}, {wanted} expected", 200)
    return ""
