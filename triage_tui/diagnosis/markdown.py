"""A diagnosis as Markdown, for people, in English or another language: every sentence with what shows it.

Whoever wrote `diagnosis.json` may be another, and what the guest said is hostile anyway: no text of it
becomes a heading, a link, an image or an element of HTML here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from triage_tui.diagnosis.cite import inert
from triage_tui.language.catalogue import ENGLISH_CATALOGUE, Catalogue
from triage_tui.runs.diagnosis_model import Diagnosis, Evidence, Experiment, Hypothesis, Opinion, Proposal
from triage_tui.runs.evidence import IN_TEXT, resolve
from triage_tui.runs.reader import Run

_ELEMENT = re.compile(r"<(?=[A-Za-z/!?])")
MAX_PARAGRAPH = 4000


def render_markdown(
    run: Run, diagnosis: Diagnosis, language: Catalogue | None = None, *, check: bool = False
) -> str:
    """Return the diagnosis as Markdown, in English unless another language is given.

    It is made from `diagnosis` alone. With `check` each link is followed, and marked as unsupported where the
    record does not hold what it cites: a diagnosis that was just made needs none, another's does.
    """
    return _Page(run, language or ENGLISH_CATALOGUE, _follow(run) if check else bool).render(diagnosis)


def _code(text: str) -> str:
    """Return text that can stand between backticks."""
    return _ELEMENT.sub(r"\\<", inert(text, 300).replace("`", "'"))


def _follow(run: Run) -> Callable[[str], bool]:
    known: dict[str, bool] = {}

    def holds(link: str) -> bool:
        if link not in known:
            known[link] = resolve(run, link).stands
        return known[link]

    return holds


class _Page:
    """One page: its run, its language, and what tells whether a link holds."""

    def __init__(self, run: Run, language: Catalogue, holds: Callable[[str], bool]) -> None:
        self.run = run
        self.language = language
        self.say = language.fill
        self.holds = holds

    def render(self, diagnosis: Diagnosis) -> str:
        say = self.say
        lines = ["# " + say("Diagnosis of {run}", run=inert(self.run.run_id)), ""]
        lines += [self.told(diagnosis.headline, 800, "headline"), ""]
        lines += [say("Scene: {scene}.", scene=self.told(diagnosis.scene, 200, "scene"))]
        if diagnosis.healthy:
            lines.append(say("The program looks healthy: nothing should be changed."))
        lines += [f"{self.told(problem, 600)}." for problem in diagnosis.kb_problems]
        for problem in diagnosis.record_problems:
            lines += ["", say("Record problem: {text}.", text=self.told(problem, 600))]
        if diagnosis.unknown_next:
            lines.append(say("Best next experiment: {text}.", text=self.told(diagnosis.unknown_next)))
        lines.append("")
        if diagnosis.derivation:
            lines += self._derivation(diagnosis)
        for position, hypothesis in enumerate(diagnosis.hypotheses, start=1):
            lines += self._hypothesis(position, hypothesis)
        if diagnosis.experiments:
            lines += self._experiments(diagnosis.experiments)
        if diagnosis.proposals:
            lines += ["## " + say("Proposed rules"), ""]
            for proposal in diagnosis.proposals:
                lines += self._proposal(proposal, diagnosis.hypotheses)
        return "\n".join(lines).rstrip() + "\n"

    def told(self, text: str, limit: int = 400, scope: str = "") -> str:
        """Return one sentence in the language of the page, inert."""
        return _ELEMENT.sub(r"\\<", self.language.sentence(inert(text, limit), scope))

    def linked(self, text: str, translate: Callable[[str], str]) -> str:
        """Return text with evidence links: the rest is inert, and a link that does not hold is none."""
        parts: list[str] = []
        at = 0
        for match in IN_TEXT.finditer(text):
            parts += [self._plain(text[at : match.start()]), self._link(match["text"], match["link"])]
            at = match.end()
        parts.append(self._plain(text[at:]))
        return _ELEMENT.sub(r"\\<", translate("".join(parts)))

    @staticmethod
    def _plain(text: str) -> str:
        # The blanks around a link are a part of the sentence.
        before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        return f"{' ' * bool(before)}{inert(text.strip(), MAX_PARAGRAPH)}{' ' * bool(after and text.strip())}"

    def _link(self, text: str, link: str) -> str:
        if self.holds(link):
            return f"[{text}]({link})"
        return f"{inert(text, 400)} {self.say('(unsupported)')}"

    def _cited(self, link: str, *, supported: bool = True) -> str:
        if supported and link and self.holds(link):
            return f"([{self.say('evidence')}]({link}))"
        return self.say("(unsupported)")

    def _evidence(self, items: Iterable[Evidence]) -> list[str]:
        return [
            f"- {self.told(item.says)} {self._cited(item.link, supported=item.supported)}" for item in items
        ]

    def _derivation(self, diagnosis: Diagnosis) -> list[str]:
        kind = self.told(diagnosis.scene_kind, 60, "scene")
        lines = [self.say("From the end back to the cause ({kind}):", kind=kind), ""]
        lines += [
            f"{number}. {self.told(step.role, 80)}: {self.told(step.says)} {self._cited(step.link)}"
            for number, step in enumerate(diagnosis.derivation, start=1)
        ]
        return [*lines, ""]

    def _hypothesis(self, position: int, hypothesis: Hypothesis) -> list[str]:
        say = self.say
        # The last place of a title may be empty.
        title = self.linked(hypothesis.title, self.language.sentence).rstrip()
        lines = [f"## {position}. {title} ({hypothesis.confidence:.2f})", ""]
        causes = {"cause": _code(hypothesis.cause), "proximate": _code(hypothesis.proximate)}
        lines += [say("Cause `{cause}`, seen at the end as `{proximate}`.", **causes), ""]
        if hypothesis.source == "model":
            source = "Source: the model {model}; its confidence is its own word, and capped."
            lines += [say(source, model=inert(hypothesis.model, 80)), ""]
        if hypothesis.origin:
            places = {"entry": _code(hypothesis.entry), "file": _code(hypothesis.origin)}
            lines += [say("By the entry `{entry}` of `{file}`, which did not ship.", **places), ""]
        if hypothesis.explanation:
            lines += [self.linked(hypothesis.explanation, self.language.paragraph), ""]
        for heading, body in (
            ("Evidence:", self._evidence(hypothesis.evidence)),
            ("Against it:", self._evidence(hypothesis.contrary)),
            ("Why it is not the first:", self._evidence(hypothesis.below)),
            ("Still wanted:", [f"- {self.told(text)}" for text in hypothesis.wanted]),
        ):
            if body:
                lines += [say(heading), "", *body, ""]
        if hypothesis.opinion is not None:
            lines += self._opinion(hypothesis.opinion)
        return lines

    def _opinion(self, opinion: Opinion) -> list[str]:
        heading = "Second opinion of the model {model}, whose confidence ({figure}) changes nothing above:"
        figure = f"{opinion.confidence:.2f}"
        lines = [self.say(heading, model=inert(opinion.model, 80), figure=figure), ""]
        text = opinion.explanation or "It gives no reason."
        lines += [self.linked(text, self.language.paragraph), ""]
        if opinion.contrary:
            lines += [self.say("Against it, as the model says:"), "", *self._evidence(opinion.contrary), ""]
        return lines

    def _experiments(self, experiments: Iterable[Experiment]) -> list[str]:
        lines = ["## " + self.say("What would make it sure"), ""]
        for entry in experiments:
            lines.append(f"- {self.told(entry.says)} (`triage-tui experiment RUN {_code(entry.id)}`)")
            tells, cost = self.told(entry.what_it_would_tell), self.told(entry.cost)
            lines.append("  " + self.say("It would tell {text}. Cost: {cost}.", text=tells, cost=cost))
        return [*lines, ""]

    def _proposal(self, proposal: Proposal, hypotheses: list[Hypothesis]) -> list[str]:
        say, told = self.say, self.told
        lines = [f"### {told(proposal.title)}", ""]
        if 0 <= proposal.hypothesis < len(hypotheses):
            number = proposal.hypothesis + 1
            title = told(hypotheses[proposal.hypothesis].title).rstrip()
            lines.append("- " + say("For: {number}. {title}", number=number, title=title))
        lines.append("- " + say("Intent: {text}", text=told(proposal.intent)))
        lines.append("- " + say("Expected effect: {text}", text=told(proposal.effect)))
        risk = say("Risk: {risk}. {text}", risk=say(proposal.risk), text=told(proposal.risk_text))
        lines += ["- " + risk, "- " + say("Roll back: {text}", text=told(proposal.inverse))]
        if proposal.not_on_sfemu:
            lines.append("- " + say("Not on SFEmu: {text}", text=told(proposal.not_on_sfemu)))
        if proposal.ranked:
            lines.append("- " + say("Ranked: {text}", text=told(proposal.ranked)))
        if proposal.source == "model":
            lines.append("- " + say("Source: a model. A person must name it to approve it."))
        if proposal.origin:
            places = {"name": _code(proposal.template), "file": _code(proposal.origin)}
            lines.append("- " + say("By the template `{name}` of `{file}`, which did not ship.", **places))
        if proposal.needs_input:
            lines.append("- " + say("Needs a person: {text}", text=told(proposal.needs_input)))
        if proposal.files:
            names = ", ".join(f"`rules_patch/{_code(name)}`" for name in proposal.files)
            lines.append("- " + say("Files: {text}", text=names))
        return [*lines, ""]
