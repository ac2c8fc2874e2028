"""The analyst: one method per phase. Each puts its prompt together, asks, and returns the parsed reply."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from triage_tui.analyst.brief import Section
from triage_tui.analyst.conversation import Conversation, Part
from triage_tui.analyst.failures import ModelFailure
from triage_tui.analyst.prompts import Prompts
from triage_tui.analyst.replies import (
    Classification,
    Findings,
    Hypotheses,
    ModelHypothesis,
    Proposed,
    Replies,
    WantedRule,
)
from triage_tui.analyst.session import BudgetOver, Session
from triage_tui.diagnosis.knowledge import CAUSES
from triage_tui.proposals.templates import load_library
from triage_tui.rulehost.helpers import HELPERS, UNSUPPORTED
from triage_tui.text import safe_line

COLLECT_SHARE = 0.6
"""Part of the budget that collecting may use: something is left to say what was found."""
MAX_RESULTS = 12_000
"""Characters of tool answers that later phases are given."""
_MAX_ARGUMENTS = 300


class Toolbox(Protocol):
    """What the model may look things up with."""

    def specs(self) -> list[dict[str, Any]]:
        """Return the tools as `tools` of the OpenAI chat interface."""

    def call(self, name: str, arguments: str) -> dict[str, Any]:
        """Answer a call, never raise for what is asked: `success`, and `error` in one sentence without it."""


@dataclass
class Notes:
    """What earlier phases found, for later ones."""

    classification: Classification | None = None
    findings: Findings | None = None
    results: list[tuple[str, str]] = field(default_factory=list)
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


class Analyst:
    """Asks a model about one run, phase by phase."""

    def __init__(
        self,
        session: Session,
        prompts: Prompts,
        arch: str,
        words: set[str],
        brief: Sequence[Section],
        replies: Replies | None = None,
    ) -> None:
        self._session = session
        self._prompts = prompts
        self._arch = arch
        self._words = words
        self._brief = brief
        self._replies = replies or Replies()

    def conversation(self, phase: str, *parts: Part, values: Mapping[str, str] | None = None) -> Conversation:
        """Return the messages with which a phase begins; nothing is sent."""
        system = self._prompts.assemble(phase, self._arch, self._words, {**prompt_values(), **(values or {})})
        return Conversation(system.text, *self._case(), *parts)

    def _case(self) -> list[Part]:
        return ["The case:", *(self._session.data(one.title, one.text) for one in self._brief)]

    def _noted(self, notes: Notes) -> list[Part]:
        """Return what earlier phases found as parts of a prompt; the model's own words are data as well."""
        parts: list[Part] = []
        if notes.classification is not None:
            causes = "\n".join(f"{one.cause}: {one.why}" for one in notes.classification.causes)
            parts.append(self._session.data("causes that you thought of first", causes))
        room = MAX_RESULTS
        for asked, answer in notes.results:
            if room <= 0:
                parts.append("Further answers of tools are left out.")
                break
            parts.append(self._session.data(f"answer of a tool: {asked}", answer[:room]))
            room -= len(answer)
        if notes.findings is not None:
            found = "\n".join(f"{one.says} ({', '.join(one.evidence)})" for one in notes.findings.findings)
            parts.append(self._session.data("what you found out", found))
        return parts

    def classify(self) -> Classification:
        """Ask which causes come into question."""
        return self._session.parsed("classify", self.conversation("classify"), self._replies.classify)

    def collect(self, toolbox: Toolbox, notes: Notes) -> Findings | None:
        """Let the model look things up with tools, and return what it found; None when the budget ended it.

        The answers of tools are added to `notes` as they come.
        """
        conversation = self.conversation("collect", *self._noted(notes))
        tools = toolbox.specs()
        while True:
            try:
                self._session.check(share=COLLECT_SHARE)
                answer = self._session.ask("collect", conversation, tools)
            except BudgetOver as over:
                self._session.tell(f"collect: {over}; going on with what was found")
                return None
            except ModelFailure as failure:
                if failure.kind != "request" or notes.results:
                    raise
                self._session.tell(f"collect: {failure}; going on without tools")
                return None
            if not answer.calls:
                return self._session.understood("collect", conversation, answer, self._replies.collect)
            conversation.add_answer(answer)
            for wanted in answer.calls:
                try:
                    self._session.check(share=COLLECT_SHARE)
                    text = self._call(toolbox, wanted.name, wanted.arguments)
                    shown = f"{wanted.name} {wanted.arguments}"[:_MAX_ARGUMENTS]
                    notes.results.append((safe_line(self._session.redaction.text(shown), 400), text))
                except BudgetOver as over:
                    text = json.dumps({"success": False, "error": str(over)})
                conversation.add_result(wanted.id, self._session.data("answer of the tool", text))

    def _call(self, toolbox: Toolbox, name: str, arguments: str) -> str:
        session = self._session
        session.spending.step()
        answer = toolbox.call(name, arguments)
        text = json.dumps(answer, ensure_ascii=False)
        outcome = "ok" if answer.get("success") else str(answer.get("error", "no answer"))
        session.journal.add(
            "tool",
            "collect",
            tool=safe_line(name, 80),
            arguments=session.redaction.text(arguments),
            outcome=safe_line(outcome, 600),
            text=session.redaction.text(text),
        )
        session.tell(f"collect: {safe_line(name, 40)} {safe_line(arguments, 100)}: {safe_line(outcome, 160)}")
        return text

    def hypothesize(self, notes: Notes) -> Hypotheses:
        """Ask for explanations with their evidence."""
        conversation = self.conversation("hypothesize", *self._noted(notes))
        return self._session.parsed("hypothesize", conversation, self._replies.hypothesize)

    def refine(self, notes: Notes, rounds: str) -> Hypotheses:
        """Ask the same after a retry that failed; `rounds` says what was tried and what came of it."""
        tried = self._session.data("what was tried, and what came of it", rounds)
        conversation = self.conversation("refine", tried, *self._noted(notes))
        return self._session.parsed("refine", conversation, self._replies.refine)

    def propose(self, hypothesis: ModelHypothesis) -> Proposed:
        """Ask for a rule that would get the program past this failure."""
        told = self._session.data("the hypothesis", _told(hypothesis))
        return self._session.parsed("propose", self.conversation("propose", told), self._replies.propose)

    def repair(self, wanted: WantedRule, problem: str) -> Proposed:
        """Ask for a rule in place of one that was refused, once."""
        parts = (
            self._session.data(
                "the rule as you wrote it", json.dumps(_filled(wanted), ensure_ascii=False, indent=1)
            ),
            self._session.data("why it was refused", problem),
        )
        return self._session.parsed("repair", self.conversation("repair", *parts), self._replies.repair)


def _told(hypothesis: ModelHypothesis) -> str:
    claims = [f"{one.says} ({', '.join(one.evidence)})" for one in hypothesis.claims]
    return "\n".join([f"{hypothesis.cause}: {hypothesis.title}", *claims])


def _filled(wanted: WantedRule) -> dict[str, object]:
    return {name: value for name in wanted.__struct_fields__ if (value := getattr(wanted, name))}
