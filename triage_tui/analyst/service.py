"""The analyst: one method per phase. Each asks, and returns the parsed reply."""

from __future__ import annotations

import json
from typing import Any, Protocol

from triage_tui.analyst.briefing import Briefing, Notes
from triage_tui.analyst.failures import ModelFailure
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
from triage_tui.text import safe_line

COLLECT_SHARE = 0.6
"""Part of the budget that collecting may use: something is left to say what was found."""
_MAX_ARGUMENTS = 300


class Toolbox(Protocol):
    """What the model may look things up with."""

    def specs(self) -> list[dict[str, Any]]:
        """Return the tools as `tools` of the OpenAI chat interface."""

    def call(self, name: str, arguments: str) -> dict[str, Any]:
        """Answer a call, never raise for what is asked: `success`, and without it `error` in one sentence."""


class Analyst:
    """Asks a model about one run, phase by phase."""

    def __init__(self, session: Session, briefing: Briefing, replies: Replies | None = None) -> None:
        self._session = session
        self._briefing = briefing
        self._replies = replies or Replies()

    def classify(self) -> Classification:
        """Ask which causes come into question."""
        return self._session.parsed("classify", self._briefing.classify(), self._replies.classify)

    def collect(self, toolbox: Toolbox, notes: Notes) -> Findings | None:
        """Let the model look things up with tools, and return what it found; None when the budget ended it.

        The answers of tools are added to `notes` as they come.
        """
        conversation = self._briefing.collect(notes)
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
            conversation.add_answer(answer, self._session.redaction)
            for wanted in answer.calls:
                try:
                    self._session.check(share=COLLECT_SHARE)
                    text = self._call(toolbox, wanted.name, wanted.arguments)
                    notes.results.append((f"{wanted.name} {wanted.arguments}"[:_MAX_ARGUMENTS], text))
                except BudgetOver as over:
                    text = json.dumps({"success": False, "error": str(over)})
                conversation.add_result(wanted.id, self._briefing.data("answer of the tool", text))

    def _call(self, toolbox: Toolbox, name: str, arguments: str) -> str:
        session = self._session
        session.spending.step()
        masked = session.redaction.text(arguments)
        asked = {"tool": safe_line(name, 80), "arguments": masked}
        number = session.journal.begin("tool", "collect", **asked)
        answer = toolbox.call(name, arguments)
        text = json.dumps(answer, ensure_ascii=False)
        outcome = "ok" if answer.get("success") else str(answer.get("error", "no answer"))
        session.journal.add(
            "tool",
            "collect",
            number=number,
            **asked,
            outcome=safe_line(outcome, 600),
            text=session.redaction.text(text),
        )
        session.tell(f"collect: {safe_line(name, 40)} {safe_line(masked, 100)}: {safe_line(outcome, 160)}")
        return text

    def hypothesize(self, notes: Notes) -> Hypotheses:
        """Ask for explanations with their evidence."""
        conversation = self._briefing.hypothesize(notes)
        return self._session.parsed("hypothesize", conversation, self._replies.hypothesize)

    def refine(self, notes: Notes, rounds: str) -> Hypotheses:
        """Ask the same after a retry that failed; `rounds` says what was tried and what came of it."""
        conversation = self._briefing.refine(notes, rounds)
        return self._session.parsed("refine", conversation, self._replies.refine)

    def propose(self, hypothesis: ModelHypothesis) -> Proposed:
        """Ask for a rule that would get the program past this failure."""
        return self._session.parsed("propose", self._briefing.propose(hypothesis), self._replies.propose)

    def repair(self, wanted: WantedRule, problem: str) -> Proposed:
        """Ask for a rule in place of one that was refused, once."""
        return self._session.parsed("repair", self._briefing.repair(wanted, problem), self._replies.repair)
