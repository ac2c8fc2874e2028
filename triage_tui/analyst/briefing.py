"""How each phase begins: its prompt, the case, and what earlier phases found. Nothing is sent here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

import msgspec

from triage_tui.analyst.brief import Section, case_words, sections
from triage_tui.analyst.conversation import Conversation, Data, Part
from triage_tui.analyst.prompts import Assembled, Prompts
from triage_tui.analyst.replies import Classification, Findings, ModelHypothesis, WantedRule
from triage_tui.diagnosis.facts import Facts
from triage_tui.diagnosis.knowledge import CAUSES
from triage_tui.proposals.templates import load_library
from triage_tui.rulehost.helpers import HELPERS, UNSUPPORTED
from triage_tui.runs.diagnosis_model import Diagnosis
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction

MAX_RESULTS = 12_000
"""Characters of tool answers that later phases are given."""


class Notes(msgspec.Struct):
    """What earlier phases found, for later ones."""

    classification: Classification | None = None
    findings: Findings | None = None
    results: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Tool calls as text, and their answers."""


@cache
def prompt_values() -> dict[str, str]:
    """Return what stands for `@name@` in prompts: lists of ours, none of it from a run."""
    templates = load_library().templates.values()
    return {
        "causes": " ".join(sorted(CAUSES)),
        "templates": "\n".join(
            f"- {one.id}: {' '.join(one.title.split())}."
            + (f" For {', '.join(sorted(one.operations))}." if one.operations else "")
            + (f" Needs {', '.join(one.parameters)}." if one.parameters else "")
            for one in templates
        ),
        "helpers": " ".join(sorted(HELPERS - set(UNSUPPORTED))),
    }


class Briefing:
    """Makes the messages with which the phases begin, for one run."""

    def __init__(
        self, prompts: Prompts, arch: str, words: set[str], brief: Sequence[Section], redaction: Redaction
    ) -> None:
        self._prompts = prompts
        self._arch = arch
        self._words = words
        self._brief = brief
        self.redaction = redaction

    @classmethod
    def of(
        cls, run: Run, facts: Facts, diagnosis: Diagnosis | None, prompts: Prompts, redaction: Redaction
    ) -> Briefing:
        """Return the briefing on a run with its diagnosis, if it has one."""
        words = case_words(run, facts, diagnosis)
        return cls(prompts, run.snapshot.target.arch, words, sections(run, facts, diagnosis), redaction)

    def data(self, label: str, text: str) -> Data:
        """Return data for a prompt, its secrets masked. All data goes through here."""
        return Data(label, self.redaction.text(text))

    def system(self, phase: str) -> Assembled:
        """Return the system part of a phase, with the names of its files."""
        return self._prompts.assemble(phase, self._arch, self._words, prompt_values())

    def _begin(self, phase: str, *parts: Part) -> Conversation:
        case = [self.data(one.title, one.text) for one in self._brief]
        return Conversation(self.system(phase).text, "The case:", *case, *parts)

    def _noted(self, notes: Notes) -> list[Part]:
        """Return what earlier phases found as parts of a prompt; the model's own words are data as well."""
        parts: list[Part] = []
        if notes.classification is not None:
            causes = "\n".join(f"{one.cause}: {one.why}" for one in notes.classification.causes)
            parts.append(self.data("causes that you thought of first", causes))
        room = MAX_RESULTS
        for asked, answer in notes.results:
            if room <= 0:
                parts.append("Further answers of tools are left out.")
                break
            parts.append(self.data("answer of a tool", f"{asked}\n{answer[:room]}"))
            room -= len(answer)
        if notes.findings is not None:
            found = "\n".join(f"{one.says} ({', '.join(one.evidence)})" for one in notes.findings.findings)
            parts.append(self.data("what you found out", found))
        return parts

    def classify(self) -> Conversation:
        """Which causes come into question?"""
        return self._begin("classify")

    def collect(self, notes: Notes) -> Conversation:
        """What do the tools tell?"""
        return self._begin("collect", *self._noted(notes))

    def hypothesize(self, notes: Notes) -> Conversation:
        """What explains the failure?"""
        return self._begin("hypothesize", *self._noted(notes))

    def refine(self, notes: Notes, rounds: str) -> Conversation:
        """What explains it after a retry that failed? `rounds` says what was tried and what came of it."""
        tried = self.data("what was tried, and what came of it", rounds)
        return self._begin("refine", tried, *self._noted(notes))

    def propose(self, hypothesis: ModelHypothesis) -> Conversation:
        """Which rule would get the program past this?"""
        claims = [f"{one.says} ({', '.join(one.evidence)})" for one in hypothesis.claims]
        told = "\n".join([f"{hypothesis.cause}: {hypothesis.title}", *claims])
        return self._begin("propose", self.data("the hypothesis", told))

    def repair(self, wanted: WantedRule, problem: str) -> Conversation:
        """How does the rule have to be instead?"""
        given = {name: value for name in wanted.__struct_fields__ if (value := getattr(wanted, name))}
        rule = self.data("the rule as you wrote it", json.dumps(given, ensure_ascii=False, indent=1))
        return self._begin("repair", rule, self.data("why it was refused", problem))
