"""One analysis under way: each request within its budget, tried again where that helps, and recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from triage_tui.analyst.adapter import Answer, Client, estimate_tokens
from triage_tui.analyst.budget import Spending
from triage_tui.analyst.conversation import Conversation, Data
from triage_tui.analyst.failures import AGAIN, ModelFailure
from triage_tui.analyst.journal import Journal
from triage_tui.analyst.replies import ReplyError
from triage_tui.errors import Stopped, TriageError
from triage_tui.runs.analysis_model import Progress
from triage_tui.runs.redaction import Redaction
from triage_tui.text import number_of, safe_line

REPLY_TOKENS = 4000
NOTED_AGAIN_S = 1.0
"""Seconds between two reports on how far an answer is, for whoever watches."""
TOLD_AGAIN_S = 5.0
"""Seconds between two lines on an answer that is under way."""
_LEAST_REPLY = 200
"""A reply of fewer tokens is not worth a request."""
MAX_TRIES = 3
MAX_WAIT_S = 60.0
"""Longest wait that a server can ask for; beyond it the work ends."""
_FIRST_WAIT_S = 2.0
_NOT_TAKEN = frozenset(("connection", "key", "rate", "busy", "request"))
"""Kinds of failures in which the model read nothing."""

_T = TypeVar("_T")


class BudgetOver(TriageError):
    """A limit is reached: the work ends with what is there."""


class Session(msgspec.Struct):
    """What all phases of one analysis share."""

    client: Client
    journal: Journal
    spending: Spending
    redaction: Redaction
    request_seconds: float
    tell: Callable[[str], None] = lambda line: None
    """Gets one line per step."""
    cancel: threading.Event | None = None
    watch: Callable[[Progress], None] = lambda progress: None
    """Gets how far it is, about once a second."""

    def note(self, phase: str, characters: int = 0) -> None:
        """Tell whoever watches how far it is."""
        spent = self.spending
        self.watch(
            Progress(
                phase=phase,
                characters=characters,
                steps=spent.steps,
                steps_left=spent.steps_left,
                tokens=spent.tokens,
                tokens_left=spent.tokens_left,
                seconds=round(spent.seconds, 3),
                seconds_left=round(spent.seconds_left, 3),
                money=round(spent.money, 6),
                money_left=spent.money_left,
            )
        )

    def check(self, *, share: float = 1.0) -> None:
        """Refuse to go on when a limit is reached, or that share of one, or the work is not wanted any more.

        Raises:
            BudgetOver: a limit is reached.
            Stopped: the work was cancelled.
        """
        if self.cancel is not None and self.cancel.is_set():
            raise Stopped("the analysis was stopped")
        if (reached := self.spending.over(share=share)) is not None:
            raise BudgetOver(reached)

    def ask(
        self, phase: str, conversation: Conversation, tools: list[dict[str, Any]] | None = None
    ) -> Answer:
        """Send one request of a phase and return the answer; busy servers are asked again.

        Raises:
            BudgetOver, Stopped: as `check`.
            ModelFailure: no usable answer came.
        """
        for number in range(1, MAX_TRIES + 1):
            try:
                return self._ask_once(phase, conversation, tools or [])
            except ModelFailure as failure:
                wait = failure.wait if failure.wait is not None else _FIRST_WAIT_S * 2 ** (number - 1)
                if failure.kind not in AGAIN or number == MAX_TRIES:
                    raise
                if wait > min(MAX_WAIT_S, self.spending.seconds_left):
                    raise ModelFailure(
                        failure.kind, f"{failure}, and asks to wait {wait:.0f} seconds, which is too long"
                    ) from failure
                self.tell(f"{phase}: {failure}; asking again in {wait:.0f} s")
                if (self.cancel or threading.Event()).wait(wait):
                    raise Stopped("the analysis was stopped") from failure
        raise AssertionError("unreachable")

    def _ask_once(self, phase: str, conversation: Conversation, tools: list[dict[str, Any]]) -> Answer:
        self.check()
        needed = conversation.estimated_tokens + (estimate_tokens(str(tools)) if tools else 0)
        cost = self.client.cost(needed, _LEAST_REPLY)
        if (reached := self.spending.over(needed + _LEAST_REPLY, next_money=cost)) is not None:
            raise BudgetOver(reached)
        messages, digest = conversation.fresh(), conversation.digest
        self.journal.keep_prompt(digest, messages)
        number = self.journal.begin("request", phase, prompt_sha256=digest)
        self.spending.step()
        self.note(phase)
        began = time.monotonic()
        limit = min(self.request_seconds, self.spending.seconds_left)
        try:
            answer = self.client.ask(
                messages,
                tools,
                reply_tokens=self._reply_tokens(needed),
                seconds=limit,
                progress=self._progress(phase),
            )
        except TriageError as error:
            seconds = round(time.monotonic() - began, 3)
            if not isinstance(error, ModelFailure) or error.kind not in _NOT_TAKEN:
                # What was sent counts, whatever became of it.
                self.spending.add(needed, 0, self.client.cost(needed, 0))
            said = safe_line(str(error), 600)
            self.journal.add(
                "request", phase, number=number, prompt_sha256=digest, seconds=seconds, outcome=said
            )
            raise
        self.spending.add(answer.tokens_in, answer.tokens_out, answer.money)
        self.journal.add(
            "request",
            phase,
            number=number,
            prompt_sha256=digest,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            money=answer.money,
            seconds=round(answer.seconds, 3),
            outcome="cut at its longest" if answer.cut else "ok",
            text=self.redaction.text(answer.text),
        )
        wants = f", wants {number_of(len(answer.calls), 'tool')}" if answer.calls else ""
        spent = f"{answer.tokens_in} + {answer.tokens_out} tokens, {answer.seconds:.1f} s"
        self.tell(f"{phase}: answered{wants} ({spent})")
        self.note(phase)
        return answer

    def _reply_tokens(self, needed: int) -> int:
        """Return how long the reply may be, by what is left of tokens and of money."""
        allowed = min(REPLY_TOKENS, self.spending.tokens_left - needed)
        limit = self.spending.budget.money
        a_thousand = self.client.cost(0, 1000)
        if limit is not None and a_thousand:
            left = limit - self.spending.money - (self.client.cost(needed, 0) or 0.0)
            allowed = min(allowed, int(1000 * left / a_thousand))
        return max(_LEAST_REPLY, allowed)

    def _progress(self, phase: str) -> Callable[[int, float], None]:
        """Return what tells now and then that an answer is under way, and how much of it has come."""
        told = noted = 0.0
        used = f"{self.spending.tokens} of {self.spending.budget.tokens} tokens used before it"

        def progress(characters: int, seconds: float) -> None:
            nonlocal told, noted
            if seconds - noted >= NOTED_AGAIN_S:
                noted = seconds
                self.note(phase, characters)
            if seconds - told >= TOLD_AGAIN_S:
                told = seconds
                what = number_of(characters, "character") if characters else "nothing"
                self.tell(f"{phase}: {what} of the answer so far, {seconds:.0f} s, {used}")

        return progress

    def parsed(self, phase: str, conversation: Conversation, parse: Callable[[str], _T]) -> _T:
        """Send a request and return its parsed reply; a reply of another form may be mended once.

        Raises:
            ReplyError: neither reply could be read.
            BudgetOver, Stopped, ModelFailure: as `ask`.
        """
        answer = self.ask(phase, conversation)
        return self.understood(phase, conversation, answer, parse)

    def understood(
        self, phase: str, conversation: Conversation, answer: Answer, parse: Callable[[str], _T]
    ) -> _T:
        """Return an answer parsed, after one attempt to have it mended."""
        try:
            return parse(answer.text)
        except ReplyError as unread:
            error = ReplyError("it was cut at its longest: be shorter") if answer.cut else unread
            self.tell(f"{phase}: {error}; asking once more")
            conversation.add_answer(answer, self.redaction)
            conversation.add_user(
                "Your reply could not be read, for this reason:",
                Data("what is wrong with the reply", self.redaction.text(str(error))),
                "Reply again with the JSON object alone, and nothing around it.",
            )
            return parse(self.ask(phase, conversation).text)
