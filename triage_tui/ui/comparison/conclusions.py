"""What was concluded of two runs, proposed for them and active in them, beside each other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from triage_tui.rulebook.shown import line_text
from triage_tui.runs.diagnosis_model import Evidence, Hypothesis, Proposal
from triage_tui.runs.model import RuleHit
from triage_tui.text import safe_line
from triage_tui.ui.comparison.model import Line, Pair, Section, align, by_name, counted, partners
from triage_tui.ui.headline import headline
from triage_tui.ui.run_view import RuleText, RunView

MAX_HYPOTHESES, MAX_CLAIMS, MAX_RULES, MAX_RULE_LINES = 20, 20, 64, 800
TO_DIAGNOSIS = "pane:diagnosis"

_OWN = re.compile(rb"--[ \t]*(?:id|run|target):")
"""Lines of a rule's header that are others in each run, whatever the rule does."""


# --- diagnosis ---------------------------------------------------------------------------------------------


def diagnosis(left: RunView, right: RunView) -> Section:
    """Compare the hypotheses: cause, confidence, claims, what speaks against them, what is still wanted."""
    pairs = by_name(_summary(left), _summary(right))
    first, second = _hypotheses(left), _hypotheses(right)
    # The best of each stand beside each other where none of the other run is like them.
    best = [hypotheses[0] if hypotheses else None for hypotheses in (first, second)]
    for one, other in partners(
        first,
        second,
        lambda one: (one.cause, one.title),
        lambda one: one.cause,
        lambda one: "best" if one is best[0] or one is best[1] else id(one),
    ):
        pairs += _hypothesis(left, right, one, other)
    return Section("Diagnosis", pairs, _undiagnosed(left, right))


def _hypotheses(view: RunView) -> list[Hypothesis]:
    return view.diagnosis.hypotheses[:MAX_HYPOTHESES] if view.diagnosis is not None else []


def _undiagnosed(left: RunView, right: RunView) -> str:
    lacking = [view.diagnosis is None for view in (left, right)]
    if not any(lacking):
        return ""
    if all(lacking):
        return "There is no diagnosis of either run."
    return f"There is no diagnosis of the {'first' if lacking[0] else 'second'} run."


def _summary(view: RunView) -> dict[str, Line]:
    found = view.diagnosis
    if found is None:
        return {}
    lines = {"verdict": Line(safe_line(headline(view).verdict or found.scene, 200), link=TO_DIAGNOSIS)}
    if found.healthy:
        lines["healthy"] = Line("this looks healthy: nothing to repair", link=TO_DIAGNOSIS)
    if found.unknown_next:
        lines["next"] = Line(f"next experiment: {safe_line(found.unknown_next, 400)}", link=TO_DIAGNOSIS)
    return lines


def _hypothesis(
    left: RunView, right: RunView, one: Hypothesis | None, other: Hypothesis | None
) -> list[Pair]:
    heads = [
        Line(
            safe_line(f"{found.confidence:.2f} {found.cause}: {found.title}", 300),
            link=found.evidence[0].link if found.evidence else TO_DIAGNOSIS,
        )
        if found is not None
        else None
        for found in (one, other)
    ]
    claims, _ = align(
        _claims(left, one) if one is not None else [], _claims(right, other) if other is not None else []
    )
    return [Pair(*heads), *claims]


def _claims(view: RunView, found: Hypothesis) -> list[Line]:
    lines = [_claim(view, evidence, "●", "for") for evidence in found.evidence[:MAX_CLAIMS]]
    lines += [_claim(view, evidence, "○ against it:", "against") for evidence in found.contrary[:MAX_CLAIMS]]
    for wanted in found.wanted[:MAX_CLAIMS]:
        lines.append(Line(f"  ? still wanted: {safe_line(wanted, 300)}", link=TO_DIAGNOSIS, kind="wanted"))
    return lines


def _claim(view: RunView, evidence: Evidence, sign: str, kind: str) -> Line:
    found = view.resolve(evidence.link)
    holds = found.holds and evidence.supported
    if found.left_out and evidence.supported:
        sign, holds = "◌ left out of its bundle:", True
    text = f"  {sign if holds else '✗ unsupported:'} {safe_line(evidence.says, 400)}"
    return Line(text, link=evidence.link if found.exists else TO_DIAGNOSIS, kind=kind)


# --- proposed rules ----------------------------------------------------------------------------------------


class _Proposed(NamedTuple):
    """A rule file of one run."""

    name: str
    rule: RuleText
    proposal: Proposal | None

    @property
    def body(self) -> tuple[bytes, ...]:
        """The text but for what is another in each run."""
        lines = self.rule.difference.new_lines if self.rule.difference is not None else ()
        return tuple(line for line in lines if not _OWN.match(line))

    @property
    def title(self) -> str:
        """What the proposal calls it."""
        return self.proposal.title if self.proposal is not None else ""


def proposed_rules(left: RunView, right: RunView) -> Section:
    """Compare the proposed rules: file, id, intent, and the text where it is not the same."""
    pairs: list[Pair] = []
    pairings = partners(
        _proposed(left),
        _proposed(right),
        lambda one: (one.name, one.body),
        lambda one: one.body,
        lambda one: (one.title, one.name.split("@")[0]),
        lambda one: (one.proposal.template if one.proposal else one.name, one.name.split("@")[0]),
    )
    identical = changed = 0
    for one, other in pairings:
        if one is not None and other is not None:
            same = one.body == other.body
            identical += same
            changed += not same
            pairs += _both(one, other, same)
        elif (alone := one or other) is not None:
            lines = [_title(alone), _file(alone, False), *_intent(alone), _size(alone)]
            pairs += [Pair(line, None) if one is not None else Pair(None, line) for line in lines]
    first, second = (sum(pairing[side] is None for pairing in pairings) for side in (1, 0))
    told = [
        (changed, "with another text"), (first, "only in the first"), (second, "only in the second"),
        (identical, "identical"),
    ]  # fmt: skip
    return Section("Proposed rules", pairs, gist=", ".join(f"{n} {words}" for n, words in told if n))


def _proposed(view: RunView) -> list[_Proposed]:
    by_file = {name: proposal for proposal in reversed(view.proposals) for name in proposal.files}
    order = [name for proposal in view.proposals for name in proposal.files if name in view.rules]
    names = dict.fromkeys([*order, *view.rules])
    return [_Proposed(name, view.rules[name], by_file.get(name)) for name in list(names)[:MAX_RULES]]


def _title(one: _Proposed) -> Line:
    title = safe_line(one.title, 200) or "a rule that no proposal speaks of"
    return Line(title, link=f"rule:{one.name}")


def _file(one: _Proposed, same: bool) -> Line:
    # A file's name ends in an id that is another in each run.
    return Line(
        f"  {safe_line(one.name, 200)}",
        key="file" if same else "",
        link=f"rule:{one.name}",
    )


def _intent(one: _Proposed) -> list[Line]:
    return [Line(f"  intent: {safe_line(one.proposal.intent, 400)}")] if one.proposal is not None else []


def _size(one: _Proposed) -> Line:
    if one.rule.problem:
        return Line(f"  {safe_line(one.rule.problem, 300)}")
    count = len(one.rule.difference.new_lines) if one.rule.difference is not None else 0
    return Line(f"  {count} lines of Lua")


def _both(one: _Proposed, other: _Proposed, same: bool) -> list[Pair]:
    pairs = [Pair(_title(one), _title(other)), Pair(_file(one, True), _file(other, True))]
    pairs += align(_intent(one), _intent(other))[0]
    if same:
        return [*pairs, Pair(*[Line("  the text is identical, but for its id and run")] * 2)]
    if one.rule.problem or other.rule.problem:
        return [*pairs, Pair(_size(one), _size(other))]
    texts, cut = align(_text(one), _text(other))
    more = [Pair(*[Line(f"  {cut} lines are left out here")] * 2)] if cut else []
    return [*pairs, *texts, *more]


def _text(one: _Proposed) -> list[Line]:
    link = f"rule:{one.name}"
    # Lines of Lua have a kind of their own: none is set beside a title.
    return [Line(f"    {line_text(line)}", link=link) for line in one.body[:MAX_RULE_LINES] if line.strip()]


# --- active rules ------------------------------------------------------------------------------------------


def active_rules(left: RunView, right: RunView) -> Section:
    """Compare the rules that were active in the runs, and what each did."""
    pairs = [Pair(_generation(left), _generation(right))]
    hits = [{hit.rule: _hit(hit) for hit in view.snapshot.rule_hits[:MAX_RULES]} for view in (left, right)]
    if not any(hits) and pairs[0].same:
        return Section("Active rules", [])
    pairs += by_name(*hits)
    return Section("Active rules", pairs, gist=counted(pairs[1:]))


def _generation(view: RunView) -> Line:
    number = view.snapshot.engine.generation
    return Line(f"generation {number} of the rules" if number else "no rule was active")


def _hit(hit: RuleHit) -> Line:
    told = [f"{hit.hits} hit{'s' * (hit.hits != 1)}"]
    told += [f"{hit.errors} errors"] if hit.errors else []
    told += [safe_line(hit.state, 20).replace("_", " ")] if hit.state != "active" else []
    return Line(safe_line(f"{hit.rule}: {', '.join(told)}", 200), link=f"ev:rule/{hit.rule}")


def rule_sections(left: RunView, right: RunView) -> Sequence[Section]:
    """Return what was concluded, proposed and active."""
    return diagnosis(left, right), proposed_rules(left, right), active_rules(left, right)
